//! A spare's life: it makes a container ahead of time and waits for the launcher's word.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use super::pools::Plan;
use super::wire::{self, Request};
use crate::supervisor::{self, Spare, sys};

/// Waits for an order and runs it to its end; without one, leaves nothing behind.
pub(super) fn run(plan: Plan, line: OwnedFd) -> i32 {
    supervisor::begin(&[line.as_raw_fd()]);
    // Without a spare container the order, if one comes, is run from scratch, which tells what is wrong.
    let mut spare = Spare::make(&plan.layout, &plan.instance, plan.group, &plan.mould);
    drop((plan.layout, plan.instance));
    let undisturbed = match &spare {
        Some(spare) => spare.wait(line.as_fd()),
        None => sys::poll(&mut [sys::poll_entry(Some(line.as_fd()), libc::POLLIN)], None).is_ok(),
    };
    let order = wire::receive_in_spare(line.as_fd());
    drop(line);
    if (!undisturbed || order.is_none())
        && let Some(spare) = spare.take()
    {
        spare.dismiss();
    }
    order.map_or(0, |order| supervise(order, spare))
}

/// Runs an order from scratch, or in a spare.
pub(super) fn supervise(order: Request, spare: Option<Spare>) -> i32 {
    note_panics(&order.run_dir);
    supervisor::run(&order.run_dir, order.report, spare)
}

fn note_panics(run_dir: &Path) {
    let log = run_dir.join("supervisor.log");
    std::panic::set_hook(Box::new(move |panic| {
        let _ = std::fs::write(&log, format!("{panic}\n"));
    }));
}
