//! A scheduler of one's own in a simulated cluster, beside ready-made policies: one file, on the SDK alone.
//!
//! ```sh
//! cargo run --release --example simulated
//! ```
//!
//! [`Oldest`] is an ordinary [`Scheduler`]: it would run against a master by a `Driver` as it stands. Here it meets the
//! production master in virtual time, on a hundred machines for six hours, and so do two policies of
//! [`lonja_sdk::placement`]. Its rule: strictly in order of arrival. A task that does not fit makes all others wait,
//! which is fair and costs throughput; the numbers say how much.

#![allow(clippy::print_stdout, reason = "its report is for people")]

use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

use lonja_sdk::placement::{Ask, Placer, fit, placer, policies};
use lonja_sdk::prelude::*;
use lonja_sdk::testing::{Client, Fleet, RunResult, Workload, simulate};

/// Launches in order of arrival, and nothing out of turn.
struct Oldest {
    command: Task,
    waiting: VecDeque<(TaskId, Need)>,
}

impl Scheduler for Oldest {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let mut plan = Plan::new();
        let mut left: Vec<Resources> = offers.iter().map(|offer| offer.resources.clone()).collect();
        let mut launches: Vec<Vec<TaskInfo>> = vec![Vec::new(); offers.len()];
        while let Some((id, need)) = self.waiting.front() {
            let fits = |(index, left): (usize, &Resources)| Some((index, fit(left, need)?));
            let Some((index, taken)) = left.iter().enumerate().find_map(fits) else { break };
            left[index] = left[index].checked_sub(&taken).unwrap_or_default();
            launches[index].push(self.command.with_resources(&offers[index].agent, id.clone(), taken));
            self.waiting.pop_front();
        }
        for (offer, tasks) in offers.iter().zip(launches).filter(|(_, tasks)| !tasks.is_empty()) {
            plan = plan.launch(offer, tasks);
        }
        // What does not do now may do in a moment, with what a task leaves behind.
        plan.refuse_rest(Duration::from_secs(1))
    }

    fn update(&mut self, _now: Timestamp, _status: &TaskStatus) -> Plan {
        Plan::new()
    }

    fn wants_offers(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl Client for Oldest {
    fn arrive(&mut self, _now: Timestamp, id: TaskId, ask: &Ask) {
        self.waiting.push_back((id, ask.need));
    }
}

/// Small tasks all the time, and a large one every minute: nearly as much as the machines can do.
fn workload() -> Result<Workload, Box<dyn Error>> {
    let small = Task::shell("true")?.cpus(1.0)?.mem_mib(1024.0)?;
    let large = Task::shell("true")?.cpus(7.0)?.mem_mib(4096.0)?;
    let mut fleet = Fleet::of(100, "cpus:8;mem:32768")?.lasts(Duration::from_secs(6 * 3600));
    for second in 0..5 * 3600 {
        let at = Duration::from_secs(second);
        fleet = fleet.task(at, *small.need(), Some(Duration::from_secs(400 + second * 7919 % 400)));
        if second % 60 == 0 {
            fleet = fleet.task(at, *large.need(), Some(Duration::from_secs(900)));
        }
    }
    Ok(fleet.into())
}

fn report(result: &RunResult) {
    let mut waits = result.waits.clone();
    waits.sort_by(f64::total_cmp);
    let rank = |part: usize| waits.get(waits.len() * part / 100).copied().unwrap_or_default();
    let RunResult { policy, placed, arrived, .. } = result;
    println!(
        "{policy:<10} placed {placed} of {arrived}, waited {:.1} s (p50), {:.1} s (p99)",
        rank(50),
        rank(99)
    );
    if let Some(why) = &result.stopped {
        println!("{policy:<10} was stopped: {why}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let workload = workload()?;
    let command = Task::shell("true")?;
    report(&simulate(&workload, 1, |_| Oldest { command: command.clone(), waiting: VecDeque::new() })?);
    for policy in ["binpack", "spread"] {
        let scorer = policies::by_name(policy, 1)?;
        let mut scorer = Some(scorer);
        let result = simulate(&workload, 1, |_| {
            let scorer = scorer.take().expect("one framework, one scheduler");
            Placer::new(scorer, placer::Options::exclusive())
        })?;
        report(&RunResult { policy: policy.to_owned(), ..result });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_task_is_not_overtaken() {
        let small = Task::shell("true").unwrap().cpus(1.0).unwrap();
        let large = Task::shell("true").unwrap().cpus(8.0).unwrap();
        let second = Duration::from_secs;
        let fleet = Fleet::of(1, "cpus:8;mem:1024").unwrap();
        let fleet = fleet.task(second(0), *small.need(), Some(second(100)));
        let fleet = fleet.task(second(1), *large.need(), Some(second(100)));
        let workload = fleet.task(second(2), *small.need(), Some(second(100))).into();
        let command = Task::shell("true").unwrap();

        let scheduler = |_: &_| Oldest { command: command.clone(), waiting: VecDeque::new() };
        let result = simulate(&workload, 1, scheduler).unwrap();

        let waits: Vec<u64> = result.waits.iter().map(|wait| wait.round() as u64).collect();
        assert_eq!(waits.len(), 3);
        assert!(waits[1] >= 99 && waits[2] >= 198, "{waits:?}");
    }
}
