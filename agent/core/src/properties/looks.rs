//! Checks in the world around the agent: who is looked at, what is seen, and a count of failures of its own.

use std::collections::BTreeMap;

use lonja_model::check::{Check, CheckKind, HealthCheck, Pace, Probe};
use lonja_model::checkpoint::TaskRecord;
use lonja_model::{ContainerId, TaskInfo, Timestamp};

use super::world::pick;
use crate::fixture::*;
use crate::{CheckOrder, CheckResult, Event};

/// Gives a task checks, as `checked` says.
pub(super) fn ask(info: &mut TaskInfo, checked: u8) {
    let pace = Pace {
        delay: secs(u64::from(checked % 3)),
        interval: secs(u64::from(checked % 5)),
        timeout: secs(u64::from(checked % 7)),
    };
    if checked & 1 == 1 {
        let grace = secs(u64::from(checked % 11) * 10);
        let (probe, consecutive_failures) = (Probe::tcp(80), u32::from(checked % 4));
        info.health_check = Some(Box::new(HealthCheck { probe, pace, grace, consecutive_failures }));
    }
    if checked & 2 == 2 {
        info.check = Some(Box::new(Check { probe: Probe::http(80, "/"), pace }));
    }
}

/// One container's health as anyone could count it.
#[derive(Debug, Default)]
struct Count {
    /// When each failure of the health check was told since the last success; those before a restart count too.
    failures: Vec<Timestamp>,
    succeeded: bool,
}

/// What was ordered, and what was seen.
#[derive(Debug, Default)]
pub(super) struct Looks {
    under_way: BTreeMap<(ContainerId, CheckKind), u64>,
    counts: BTreeMap<ContainerId, Count>,
}

impl Looks {
    /// The agent orders. One look at a time, at containers that run and are not being ended.
    pub(super) fn order(&mut self, order: CheckOrder, runs: impl Fn(&ContainerId) -> bool) {
        match order {
            CheckOrder::Run(run) => {
                assert!(!run.timeout.is_zero() && run.timeout <= crate::LONGEST_TIMEOUT);
                let before = self.under_way.insert((run.container, run.kind), run.number);
                assert_eq!(before, None, "two looks at once");
            }
            CheckOrder::Stop { container, kind } => {
                let before = self.under_way.remove(&(container.clone(), kind));
                assert!(before.is_some() && !runs(&container), "a look that goes on is stopped");
            }
        }
    }

    /// One of the looks that are under way ends.
    pub(super) fn result(&mut self, which: u8, saw: u8, now: Timestamp) -> Option<Event> {
        let all: Vec<_> = self.under_way.keys().cloned().collect();
        let (container, kind) = pick(&all, which)?;
        let number = self.under_way.remove(&(container.clone(), kind))?;
        let result = match (kind, saw) {
            (_, 0) => CheckResult::NotBegun("too much to do".to_owned()),
            (_, 1) => CheckResult::Failed("too slow".to_owned()),
            (CheckKind::Health, _) => CheckResult::Connected(saw == 2),
            (CheckKind::General, _) => CheckResult::Answered(200 + u16::from(saw)),
        };
        let count = self.counts.entry(container.clone()).or_default();
        match (kind, &result) {
            (CheckKind::Health, CheckResult::Connected(true)) => {
                count.succeeded = true;
                count.failures.clear();
            }
            (CheckKind::Health, CheckResult::Connected(false) | CheckResult::Failed(_)) => {
                count.failures.push(now);
            }
            _ => {}
        }
        Some(Event::CheckEnded { container, kind, number, result })
    }

    /// A record is durable. Nobody is given up before so many failures in a row, and none of them in the grace
    /// period unless there was a success before.
    pub(super) fn recorded(&self, record: &TaskRecord, now: Timestamp) {
        if !record.watched.given_up {
            return;
        }
        let check = record.info.health_check.as_ref().expect("only a health check gives up");
        let count = &self.counts[&record.container];
        let started = record.watched.started.expect("it ran");
        let counts =
            |at: &&Timestamp| count.succeeded || at.since(started) > check.grace || check.grace.is_zero();
        let failures = count.failures.iter().filter(counts).count();
        let allowed = usize::try_from(check.consecutive_failures.max(1)).unwrap();
        assert!(failures >= allowed && now >= started, "given up after {failures} of {allowed} failures");
    }

    /// The agent dies, and every look with it.
    pub(super) fn die(&mut self) {
        self.under_way.clear();
    }
}
