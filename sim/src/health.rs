//! Checks of tasks: what jobs ask for, what looks at them see, and who may be ended for it.
//!
//! A task is well, or sickens after a while and fails every look from then on, though its program runs. While the faults
//! last a look at a task that is well may also fail by bad luck, take too long, or not be begun at all.
//!
//! Promises
//! - health: nobody is ended for failures that were not seen: not before so many in a row as the task allows, and not
//!   within its grace period unless it was well before.
//! - time: nobody is ended for its time before that is up.
//! - A task that is sick, or whose time is up, ends: its job waits for that, and liveness for the job.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_agent_core::{CheckOrder, CheckResult, Event, RunCheck};
use lonja_model::check::{Check, CheckKind, HealthCheck, Pace, Probe};
use lonja_model::checkpoint::TaskRecord;
use lonja_model::{ContainerId, Timestamp};

use crate::Mutant;
use crate::invariants::Broken;
use crate::random::Random;
use crate::steps::Step;
use crate::workload::{Plan, Script};
use crate::world::{Happening, Node, World};

/// What a job wants its tasks looked at for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Care {
    pub(crate) health: Option<HealthCheck>,
    pub(crate) check: Option<Check>,
}

/// Has jobs looked at, and some of their tasks fall ill or dawdle. What is drawn here shifts nothing elsewhere.
pub(crate) fn afflict(plan: &mut Plan, seed: u64, index: u64) {
    let random = &mut Random::new(seed ^ 0x6865_616c_7468 ^ (index << 48));
    for job in &mut plan.jobs {
        if random.chance(40) {
            let (grace, allowed) = (random.millis(0, 30_000), 1 + random.below(4));
            let consecutive_failures = u32::try_from(allowed).unwrap_or(1);
            let probe = Probe::tcp(80);
            job.care.health = Some(HealthCheck { probe, pace: pace(random), grace, consecutive_failures });
            if random.chance(50) {
                job.fails_first(Script::Sicken { after: random.millis(0, 60_000) });
            }
        }
        if random.chance(20) {
            job.care.check = Some(Check { probe: Probe::http(80, "/"), pace: pace(random) });
        }
        if random.chance(15) {
            job.fails_first(Script::Dawdle { longest: random.millis(0, 60_000) });
        }
    }
}

fn pace(random: &mut Random) -> Pace {
    let delay = random.millis(0, 10_000);
    Pace { delay, interval: random.millis(500, 20_000), timeout: random.millis(500, 20_000) }
}

/// What anyone could write down who sees the looks at one machine's containers.
#[derive(Debug, Default)]
pub(crate) struct HealthWatch {
    looks: BTreeMap<ContainerId, Looks>,
    /// When each program started, by the clock of its agent's present life.
    starts: BTreeMap<ContainerId, Timestamp>,
}

#[derive(Debug, Default)]
struct Looks {
    failures: u32,
    succeeded: bool,
}

impl HealthWatch {
    /// A new life of the agent finds programs that started then.
    pub(crate) fn restarted(&mut self, starts: BTreeMap<ContainerId, Timestamp>) {
        self.looks.retain(|container, _| starts.contains_key(container));
        self.starts = starts;
    }

    /// An agent hears that a program started.
    pub(crate) fn started(&mut self, container: &ContainerId, local: Timestamp) {
        self.starts.insert(container.clone(), local);
    }

    /// A look has shown this.
    fn seen(&mut self, container: &ContainerId, result: &CheckResult) {
        let looks = self.looks.entry(container.clone()).or_default();
        match result {
            CheckResult::Exited(0) | CheckResult::Answered(200..400) | CheckResult::Connected(true) => {
                *looks = Looks { failures: 0, succeeded: true };
            }
            CheckResult::Exited(_)
            | CheckResult::Answered(_)
            | CheckResult::Connected(false)
            | CheckResult::Failed(_) => looks.failures += 1,
            CheckResult::NotBegun(_) => {}
        }
    }

    /// A task is about to be ended, and it was not asked for: for its health or its time? `None`: for neither.
    pub(crate) fn judge(&self, record: &TaskRecord, local: Timestamp) -> Option<Result<(), Broken>> {
        let container = &record.container;
        let ran = self.starts.get(container).map_or(Duration::ZERO, |start| local.since(*start));
        let task = &record.info.id;
        if let (true, Some(check)) = (record.watched.given_up, &record.info.health_check) {
            let none = Looks::default();
            let looks = self.looks.get(container).unwrap_or(&none);
            let too_soon = !looks.succeeded && !check.grace.is_zero() && ran <= check.grace;
            if looks.failures < check.consecutive_failures || too_soon {
                let what = format!(
                    "task {task} is ended {ran:?} after its start for {} failures in a row; it allows {} after {:?}",
                    looks.failures, check.consecutive_failures, check.grace
                );
                return Some(Err(Broken::new("health", what)));
            }
            return Some(Ok(()));
        }
        let longest = record.info.max_completion_time.filter(|_| record.killing.is_none())?;
        if ran < longest {
            let what = format!("task {task} is ended after {ran:?}; it may run for {longest:?}");
            return Some(Err(Broken::new("time", what)));
        }
        Some(Ok(()))
    }
}

impl World {
    /// An agent wants to look at tasks, or no more. True: it was killed meanwhile.
    pub(crate) fn order_looks(&mut self, index: usize, orders: Vec<CheckOrder>) -> Result<bool, Broken> {
        for order in orders {
            // A look that is given up brings a result nevertheless: too late, as it may happen.
            let CheckOrder::Run(order) = order else { continue };
            let RunCheck { container, kind, number, pid, timeout, .. } = *order;
            if !self.agents[index].kernel.is_pid_of(pid, &container) {
                let what = format!("agent {index} looks at process {pid}, which is not of {container}");
                return Err(Broken::new("INV-28", what));
            }
            let (takes, result) = self.sees(index, &container, kind, timeout);
            let life = self.life(Node::Agent(index)).unwrap_or(0);
            let seen = Happening::Seen { agent: index, life, container, kind, number, result };
            self.queue.at(self.now + takes, seen);
            if self.dies_at(Node::Agent(index), Step::AgentOrderedLook)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How long a look takes that begins now, and what it shows.
    fn sees(
        &mut self,
        index: usize,
        container: &ContainerId,
        kind: CheckKind,
        timeout: Duration,
    ) -> (Duration, CheckResult) {
        let troubled = self.now < self.calm_at;
        let random = &mut self.luck;
        let takes = random.millis(0, 50).min(timeout);
        let luck = if troubled { random.below(100) } else { 99 };
        let is_sick = self.agents[index].kernel.is_sick(container, self.now);
        match (luck, kind) {
            (0..2, _) => (takes, CheckResult::NotBegun("too many looks at once".to_owned())),
            (2..8, _) => (timeout, CheckResult::Failed("no end in time".to_owned())),
            (8..12, CheckKind::Health) => (takes, CheckResult::Connected(false)),
            (_, CheckKind::Health) => (takes, CheckResult::Connected(!is_sick)),
            (8..30, CheckKind::General) => (takes, CheckResult::Answered(503)),
            (_, CheckKind::General) => (takes, CheckResult::Answered(if is_sick { 500 } else { 200 })),
        }
    }

    /// A look has come to its end.
    pub(crate) fn seen(
        &mut self,
        index: usize,
        life: u64,
        container: ContainerId,
        kind: CheckKind,
        number: u64,
        result: CheckResult,
    ) -> Result<(), Broken> {
        let node = Node::Agent(index);
        if self.life(node) != Some(life) || self.dies_at(node, Step::AgentLooked)? {
            return Ok(());
        }
        let host = &mut self.agents[index];
        if kind == CheckKind::Health {
            host.health_watch.seen(&container, &result);
        }
        self.activity.looks += 1;
        let result = match self.mutant {
            Mutant::AgentSeesGhosts => CheckResult::Connected(false),
            Mutant::AgentLooksAway => CheckResult::Connected(true),
            _ => result,
        };
        if let Some(process) = host.process.as_mut() {
            process.take(Event::CheckEnded { container, kind, number, result });
        }
        Ok(())
    }
}
