//! The launcher's own life.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::LauncherOptions;
use super::wire::{self, Received, Request};
use crate::isolation::{InstanceId, Layout};
use crate::supervisor::sys::{self, Child, Forked};

/// How long a throw-away launcher waits for its supervisors before it kills them.
const SUPERVISOR_PATIENCE: Duration = Duration::from_secs(10);

/// Runs the launcher and never returns.
pub(super) fn run(socket: OwnedFd, options: LauncherOptions) -> ! {
    sys::block_signals();
    sys::ignore_broken_pipes();
    sys::close_all_except(&[socket.as_raw_fd()]);
    sys::new_session();
    sys::set_process_name(c"lonja-launcher");
    let prepared = sys::silence_standard_streams()
        .and_then(|()| std::env::set_current_dir("/"))
        .and_then(|()| sys::signal_descriptor(&[libc::SIGCHLD]));
    let Ok(signals) = prepared else {
        // The daemon learns of it at its first request.
        sys::exit_now(1);
    };
    sys::forget_environment();
    sys::trim_heap();
    let mut launcher = Serving {
        socket,
        signals,
        ephemeral: options.ephemeral,
        supervisors: BTreeMap::new(),
        instances: BTreeSet::new(),
    };
    launcher.serve();
    if options.ephemeral {
        launcher.end_all();
        launcher.remove_traces(&options.remove_on_exit);
    }
    sys::exit_now(0)
}

struct Serving {
    socket: OwnedFd,
    signals: OwnedFd,
    ephemeral: bool,
    supervisors: BTreeMap<i32, Child>,
    /// Everyone who ever asked, so that their control groups can be removed.
    instances: BTreeSet<InstanceId>,
}

impl Serving {
    fn serve(&mut self) {
        loop {
            let mut entries = [
                sys::poll_entry(Some(self.socket.as_fd()), libc::POLLIN),
                sys::poll_entry(Some(self.signals.as_fd()), libc::POLLIN),
            ];
            if sys::poll(&mut entries, None).is_err() {
                std::thread::sleep(Duration::from_millis(10));
            }
            self.reap();
            match wire::receive(&self.socket) {
                Received::Request(request) => self.launch(request),
                Received::Nonsense | Received::Nothing => {}
                Received::HungUp => return,
            }
        }
    }

    fn launch(&mut self, request: Request) {
        if self.ephemeral {
            self.instances.insert(request.instance);
        }
        let launcher = rustix::process::getpid();
        match sys::fork_into(0) {
            Ok(Forked::Child) => {
                if self.ephemeral {
                    // Should the launcher itself be killed, its containers end all the same.
                    sys::die_with_parent(libc::SIGINT);
                    if rustix::process::getppid() != Some(launcher) {
                        sys::exit_now(1);
                    }
                }
                let status = supervise(&request.run_dir, request.report);
                sys::exit_now(status)
            }
            Ok(Forked::Parent(child)) => {
                self.supervisors.insert(child.pid, child);
            }
            // The pipe closes without a report, which says enough.
            Err(_) => {}
        }
    }

    fn reap(&mut self) {
        while sys::next_signal(&self.signals).is_some() {}
        while let Some((pid, _)) = sys::reap_any() {
            self.supervisors.remove(&pid);
        }
    }

    /// Ends every container and waits for its supervisor.
    fn end_all(&mut self) {
        for supervisor in self.supervisors.values() {
            let _ = sys::send_signal(supervisor.handle.as_fd(), sys::kill_signal(), 0);
        }
        let deadline = Instant::now() + SUPERVISOR_PATIENCE;
        while !self.supervisors.is_empty() && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut entries = [sys::poll_entry(Some(self.signals.as_fd()), libc::POLLIN)];
            let _ = sys::poll(&mut entries, Some(left));
            self.reap();
        }
        for supervisor in self.supervisors.values() {
            // Its init, and so its container, dies with it.
            let _ = sys::send_signal(supervisor.handle.as_fd(), libc::SIGKILL, 0);
        }
    }

    fn remove_traces(&self, directories: &[PathBuf]) {
        let layout = Layout::detect();
        for instance in &self.instances {
            let _ = layout.remove_instance(instance);
        }
        for directory in directories {
            // A daemon that is still dying may add a file meanwhile: once more, then.
            for _ in 0..5 {
                match std::fs::remove_dir_all(directory) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// The supervisor's status; a panic ends it like a crash, and its container with it.
fn supervise(run_dir: &std::path::Path, report: OwnedFd) -> i32 {
    let log = run_dir.join("supervisor.log");
    std::panic::set_hook(Box::new(move |panic| {
        let _ = std::fs::write(&log, format!("{panic}\n"));
    }));
    let run = std::panic::AssertUnwindSafe(|| crate::supervisor::run(run_dir, report));
    std::panic::catch_unwind(run).unwrap_or(101)
}
