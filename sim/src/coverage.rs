//! What was tried and what was not: faults, messages, states and the ways between them.
//!
//! A checker that is silent about what never happens proves nothing (INV-M2); so everything that can happen has its name
//! here beforehand, and what no run reached is told.

use std::collections::BTreeMap;

use lonja_model::TaskState;

use crate::report::Activity;
use crate::words;

/// How often each thing that can happen happened, by `family: name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage(BTreeMap<String, u64>);

/// States that frameworks can be told. Those left out need what the simulator does not play: executors of frameworks'
/// own, and frameworks without partition awareness.
const STATES: [TaskState; 11] = [
    TaskState::Starting,
    TaskState::Running,
    TaskState::Killing,
    TaskState::Unreachable,
    TaskState::Unknown,
    TaskState::Finished,
    TaskState::Failed,
    TaskState::Killed,
    TaskState::Dropped,
    TaskState::Gone,
    TaskState::GoneByOperator,
];

impl Coverage {
    pub(crate) fn of(activity: &Activity) -> Self {
        let mut all = BTreeMap::new();
        for name in words::PLAYED {
            let number = activity.kinds.get(name).copied().unwrap_or(0);
            all.insert(format!("message: {name}"), number);
        }
        for state in STATES {
            all.insert(format!("told: {}", state.name()), activity.told.get(&state).copied().unwrap_or(0));
        }
        for (from, to) in arcs() {
            let number = activity.arcs.get(&(from, to)).copied().unwrap_or(0);
            all.insert(
                format!("transition: {} -> {}", from.map_or("new", TaskState::name), to.name()),
                number,
            );
        }
        let kills = &activity.kills;
        for (name, number) in [
            ("master", kills.masters),
            ("agent", kills.agents),
            ("framework", kills.frameworks),
            ("at any time", kills.at_any_time),
            ("in a commit that is lost", kills.before_durable),
            ("in a commit that holds", kills.after_durable),
        ] {
            all.insert(format!("kill: {name}"), number);
        }
        for name in crate::faults::disks::KINDS {
            all.insert(format!("disk: {name}"), activity.disk_faults.get(name).copied().unwrap_or(0));
        }
        for (name, number) in activity.network.all() {
            all.insert(format!("network: {name}"), number);
        }
        for (name, number) in activity.clocks.all() {
            all.insert(format!("clocks: {name}"), number);
        }
        for (name, counts) in activity.steps.iter() {
            all.insert(format!("kill at: {name}"), counts.killed);
        }
        Self(all)
    }

    /// All of it.
    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.0
    }

    /// What never happened.
    pub fn never(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, number)| **number == 0).map(|(name, _)| name.as_str())
    }
}

/// The ways that a task takes before its framework's eyes in any cluster that lives through faults.
fn arcs() -> impl Iterator<Item = (Option<TaskState>, TaskState)> {
    use TaskState::{Dropped, Failed, Finished, Gone, Killed, Killing, Running, Starting, Unreachable};
    let first = [Starting, Running, Unreachable, Dropped].map(|to| (None, to));
    let later = [
        (Starting, Running),
        (Starting, Failed),
        (Starting, Killed),
        (Running, Finished),
        (Running, Failed),
        (Running, Killed),
        (Running, Killing),
        (Running, Unreachable),
        (Running, Gone),
        (Killing, Killed),
        (Unreachable, Running),
        (Unreachable, Finished),
    ];
    first.into_iter().chain(later.map(|(from, to)| (Some(from), to)))
}
