//! What came of one run and of many.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use lonja_model::TaskState;
use lonja_model::scheduler::Event;

use crate::coverage::Coverage;
use crate::faults::{DiskFault, Kill, Moment};
use crate::steps::StepCounts;
use crate::troubles::{ClockTroubles, NetworkTroubles};
use crate::world::Node;
use crate::{Options, Profile};

/// How much happened. A run in which nothing happens proves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Offers sent by masters.
    pub offers: u64,
    /// Containers that agents began to make.
    pub launches: u64,
    /// Status updates and answers that reached frameworks, repeats included.
    pub updates: u64,
    /// The same by the state that was told.
    pub told: BTreeMap<TaskState, u64>,
    /// Processes killed.
    pub kills: Kills,
    /// News of operations on resources that reached frameworks, repeats included.
    pub operations: u64,
    /// Commands of operators that a master carried out.
    pub commands: u64,
    /// Commands of operators that a master refused.
    pub refused_commands: u64,
    /// Looks at tasks, for their health and otherwise.
    pub looks: u64,
    /// Faults of disks and hosts, by kind.
    pub disk_faults: BTreeMap<&'static str, u64>,
    /// How often each named step was passed, and how often somebody was killed there.
    pub steps: StepCounts,
    /// What the network went through.
    pub network: NetworkTroubles,
    /// What clocks went through.
    pub clocks: ClockTroubles,
    /// Events by kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Changes of tasks' states before their frameworks' eyes: from none or one state to another.
    pub arcs: BTreeMap<(Option<TaskState>, TaskState), u64>,
}

/// Processes killed, by what they were and again by when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kills {
    /// Masters.
    pub masters: u64,
    /// Agents.
    pub agents: u64,
    /// Frameworks.
    pub frameworks: u64,
    /// At a drawn moment, in a commit or not.
    pub at_any_time: u64,
    /// In a commit that was lost.
    pub before_durable: u64,
    /// In a commit that held, before anything was sent.
    pub after_durable: u64,
    /// At a named step; see [`Activity::steps`].
    pub at_a_step: u64,
}

impl Kills {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.masters + self.agents + self.frameworks
    }
}

impl Activity {
    pub(crate) fn count_event(&mut self, event: &Event) {
        if let Event::Offers(offers) = event {
            self.offers += u64::try_from(offers.len()).unwrap_or(u64::MAX);
        }
    }

    pub(crate) fn count_update(&mut self, before: Option<TaskState>, state: TaskState) {
        self.updates += 1;
        if before != Some(state) {
            *self.arcs.entry((before, state)).or_default() += 1;
        }
        *self.told.entry(state).or_default() += 1;
    }

    pub(crate) fn count_disk_fault(&mut self, fault: &DiskFault) {
        *self.disk_faults.entry(fault.kind()).or_default() += 1;
    }

    pub(crate) fn count_kill(&mut self, kill: Kill) {
        let kills = &mut self.kills;
        match kill.node {
            Node::Master => kills.masters += 1,
            Node::Agent(_) => kills.agents += 1,
            Node::Framework(_) => kills.frameworks += 1,
        }
        match kill.moment {
            Moment::Now => kills.at_any_time += 1,
            Moment::BeforeDurable => kills.before_durable += 1,
            Moment::AfterDurable => kills.after_durable += 1,
            Moment::At(step) => {
                kills.at_a_step += 1;
                self.steps.kill(step);
            }
        }
    }
}

impl AddAssign for Activity {
    fn add_assign(&mut self, other: Self) {
        self.offers += other.offers;
        self.launches += other.launches;
        self.updates += other.updates;
        for (state, number) in other.told {
            *self.told.entry(state).or_default() += number;
        }
        self.kills += other.kills;
        self.operations += other.operations;
        self.looks += other.looks;
        self.commands += other.commands;
        self.refused_commands += other.refused_commands;
        for (kind, number) in other.disk_faults {
            *self.disk_faults.entry(kind).or_default() += number;
        }
        self.steps += &other.steps;
        self.network += other.network;
        self.clocks += other.clocks;
        for (kind, number) in other.kinds {
            *self.kinds.entry(kind).or_default() += number;
        }
        for (arc, number) in other.arcs {
            *self.arcs.entry(arc).or_default() += number;
        }
    }
}

impl AddAssign for Kills {
    fn add_assign(&mut self, other: Self) {
        self.masters += other.masters;
        self.agents += other.agents;
        self.frameworks += other.frameworks;
        self.at_any_time += other.at_any_time;
        self.before_durable += other.before_durable;
        self.after_durable += other.after_durable;
        self.at_a_step += other.at_a_step;
    }
}

/// One fault of a run, or one wish of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its number among those that the seed draws.
    pub number: usize,
    /// When, in nanoseconds of virtual time.
    pub at_nanos: u64,
    /// What.
    pub words: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_nanos(self.at_nanos).as_secs_f64();
        write!(f, "{} at {seconds:.3} s: {}", self.number, self.words)
    }
}

/// What came of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The hash over every event: the same for the same seed and options.
    pub trace_hash: u64,
    /// How much time passed in the cluster.
    pub virtual_time: Duration,
    /// When its last event was, in nanoseconds of virtual time; a run begins at one second.
    pub ended_at_nanos: u64,
    /// How many events there were.
    pub events: u64,
    /// Jobs that its frameworks wanted done.
    pub jobs: u64,
    /// How much happened.
    pub activity: Activity,
    /// The first promise that was broken, if any: its number in `docs/invariants.md`, or `liveness`, or
    /// `panic`, a colon, and how.
    pub broken: Option<String>,
    /// The faults of the run, in order.
    pub faults: Vec<Fault>,
    /// The last events in words, oldest first, if a promise was broken; at most 80.
    pub last_events: Vec<String>,
}

/// What came of many seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Seeds tried.
    pub seeds: u64,
    /// How much time passed in all clusters together.
    pub virtual_time: Duration,
    /// Events in all clusters.
    pub events: u64,
    /// Jobs that frameworks wanted done in all clusters.
    pub jobs: u64,
    /// How much happened in all clusters.
    pub activity: Activity,
    /// One number for all trace hashes in order.
    pub trace_hash: u64,
    /// The runs in which a promise was broken, in order of their seeds; at most 10, see `failed`.
    pub failures: Vec<Outcome>,
    /// How many runs broke a promise.
    pub failed: u64,
    /// Why the whole counts as failed though no promise was broken: too little happened (INV-M2).
    pub too_quiet: Option<String>,
}

/// States that frameworks are told in any cluster that lives through faults.
const TOLD_OFTEN: [TaskState; 9] = [
    TaskState::Starting,
    TaskState::Running,
    TaskState::Killing,
    TaskState::Unreachable,
    TaskState::Finished,
    TaskState::Failed,
    TaskState::Killed,
    TaskState::Dropped,
    TaskState::Gone,
];

/// Failures kept in full.
const FAILURES_KEPT: usize = 10;

impl Report {
    /// Takes in what came of one more seed.
    pub fn take(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.virtual_time += outcome.virtual_time;
        self.events += outcome.events;
        self.jobs += outcome.jobs;
        self.activity += outcome.activity.clone();
        self.trace_hash =
            (self.trace_hash ^ outcome.trace_hash).wrapping_mul(0x0100_0000_01b3).rotate_left(7);
        if outcome.broken.is_some() {
            self.failed += 1;
            if self.failures.len() < FAILURES_KEPT {
                self.failures.push(outcome);
            }
        }
    }

    /// Did every run keep every promise, and did enough happen?
    pub fn is_ok(&self) -> bool {
        self.failed == 0 && self.too_quiet.is_none()
    }

    /// What was tried and what was not.
    pub fn coverage(&self) -> Coverage {
        Coverage::of(&self.activity)
    }

    /// How much time passed in all clusters together, in hours.
    pub fn virtual_hours(&self) -> f64 {
        self.virtual_time.as_secs_f64() / 3600.0
    }

    /// Looks whether enough happened for the silence of the checkers to mean something (INV-M2).
    pub fn judge_activity(&mut self, options: &Options) {
        let jobs = self.jobs;
        // Over a few short runs chance may leave a kind of kill or a state out.
        let many = self.seeds >= 50 && options.duration >= Duration::from_secs(600) && jobs >= 1_000;
        let many = many && options.faults == Profile::ALL && options.keep.is_none();
        let few = u64::from(many);
        let Activity {
            offers,
            launches,
            updates,
            told,
            kills,
            operations,
            commands,
            looks,
            network,
            clocks,
            ..
        } = &self.activity;
        let mut floors = vec![
            ("offers", *offers, self.seeds),
            ("launches", *launches, jobs / 2),
            ("updates", *updates, jobs),
            ("kills of masters", kills.masters, few),
            ("kills of agents", kills.agents, few),
            ("kills of frameworks", kills.frameworks, few),
            ("kills in a commit that is lost", kills.before_durable, few),
            ("kills in a commit that holds", kills.after_durable, few),
            ("commands of operators", *commands, self.seeds * few),
            ("news of operations", *operations, self.seeds * few),
            ("looks at tasks", *looks, self.seeds * few),
        ];
        for state in TOLD_OFTEN {
            floors.push((state.name(), told.get(&state).copied().unwrap_or(0), few));
        }
        for (what, number) in network.all().into_iter().chain(clocks.all()) {
            floors.push((what, number, few));
        }
        let low = floors.into_iter().find(|(_, number, least)| number < least);
        self.too_quiet =
            low.map(|(what, number, least)| format!("INV-M2: {number} {what}, at least {least}"));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Activity {
            offers,
            launches,
            updates,
            told: _,
            kills,
            operations,
            commands,
            refused_commands,
            looks,
            network,
            clocks,
            disk_faults: _,
            steps: _,
            kinds: _,
            arcs: _,
        } = &self.activity;
        write!(
            f,
            "{} seeds, {:.1} cluster-hours, {} events, {offers} offers, {launches} launches, {updates} updates, \
             {operations} news of operations, {commands} commands of operators ({refused_commands} refused), {looks} looks at tasks, {} kills (masters {}, agents {}, frameworks {}; in a lost commit {}, in a held one {}), {network}, {clocks}",
            self.seeds,
            self.virtual_hours(),
            self.events,
            kills.total(),
            kills.masters,
            kills.agents,
            kills.frameworks,
            kills.before_durable,
            kills.after_durable,
        )?;
        match (&self.too_quiet, self.failed) {
            (_, 1..) => write!(f, "; {} seeds broke a promise", self.failed),
            (Some(why), 0) => write!(f, "; too little happened: {why}"),
            (None, 0) => write!(f, "; no promise was broken"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.last_events {
            writeln!(f, "{line}")?;
        }
        let broken = self.broken.as_deref().unwrap_or("no promise was broken");
        let hours = self.virtual_time.as_secs_f64() / 3600.0;
        write!(f, "seed {}: {} events in {hours:.2} h, {broken}", self.seed, self.events)
    }
}
