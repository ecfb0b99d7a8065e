//! `/state-summary`: agents and frameworks with counts in place of tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use lonja_master_core::Snapshot;
use lonja_master_core::tasks::Task;
use lonja_model::{AgentId, FrameworkId, TaskState};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::frameworks::Summary;
use super::out::{Gone, Out, Reader, listing};
use super::shapes::Agent;
use super::slaves::is_listed;
use super::{Door, reply};

/// The states that Mesos counts here.
const COUNTED: [TaskState; 10] = [
    TaskState::Staging,
    TaskState::Starting,
    TaskState::Running,
    TaskState::Killing,
    TaskState::Finished,
    TaskState::Killed,
    TaskState::Failed,
    TaskState::Lost,
    TaskState::Error,
    TaskState::Unreachable,
];

/// `/state-summary`.
pub(super) async fn summary(State(door): State<Door>, reader: Reader) -> Response {
    let Ok(snapshot) = door.handle.snapshot().await else { return reply::stopped() };
    match door.answers.make(move || (Tallies::of(&snapshot), snapshot)).await {
        Ok(((tallies, snapshot), _)) => {
            listing(&door, reader, move |out| write(out, snapshot, tallies)).await
        }
        Err(busy) => reply::unanswered(&busy.into()),
    }
}

/// How many tasks are in each state, and whom else they belong to.
struct Tally<With> {
    states: BTreeMap<TaskState, usize>,
    with: BTreeSet<With>,
}

impl<With> Default for Tally<With> {
    fn default() -> Self {
        Self { states: BTreeMap::new(), with: BTreeSet::new() }
    }
}

impl<With: Ord + Clone> Tally<With> {
    fn add(&mut self, task: &Task, with: &With) {
        *self.states.entry(task.state).or_default() += 1;
        if !self.with.contains(with) {
            self.with.insert(with.clone());
        }
    }
}

/// Of every agent and every framework.
#[derive(Default)]
struct Tallies {
    agents: BTreeMap<AgentId, Tally<FrameworkId>>,
    frameworks: BTreeMap<FrameworkId, Tally<AgentId>>,
}

impl Tallies {
    /// O(tasks · log(agents and frameworks)).
    fn of(snapshot: &Snapshot) -> Self {
        let mut tallies = Self::default();
        for task in snapshot.tasks.iter().chain(&snapshot.completed_tasks) {
            tallies.agents.entry(task.agent().clone()).or_default().add(task, &task.framework);
            tallies.frameworks.entry(task.framework.clone()).or_default().add(task, task.agent());
        }
        tallies
    }
}

/// All states that are counted, by their names.
struct StateCounts<'a>(&'a BTreeMap<TaskState, usize>);

impl Serialize for StateCounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(COUNTED.len()))?;
        for state in COUNTED {
            map.serialize_entry(state.name(), &self.0.get(&state).copied().unwrap_or(0))?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Counted<'a, T: Serialize> {
    #[serde(flatten)]
    what: T,
    #[serde(flatten)]
    counts: StateCounts<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    framework_ids: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slave_ids: Option<Vec<&'a str>>,
}

#[derive(Serialize)]
struct Head<'a> {
    hostname: &'a str,
    cluster: &'a str,
}

async fn write(mut out: Out, snapshot: Arc<Snapshot>, tallies: Tallies) -> Result<(), Gone> {
    let Tallies { mut agents, mut frameworks } = tallies;
    out.open(&Head { hostname: &snapshot.master.hostname, cluster: "" });
    out.begin("slaves");
    for view in snapshot.agents.iter().filter(|view| is_listed(view)) {
        let tally = agents.remove(&view.id).unwrap_or_default();
        out.item(&Counted {
            what: Agent::of(view),
            counts: StateCounts(&tally.states),
            framework_ids: Some(tally.with.iter().map(|id| id.as_str()).collect()),
            slave_ids: None,
        });
        out.pass().await?;
    }
    out.end();
    out.begin("frameworks");
    for view in &snapshot.frameworks {
        let tally = frameworks.remove(&view.id).unwrap_or_default();
        out.item(&Counted {
            what: Summary::of(view),
            counts: StateCounts(&tally.states),
            framework_ids: None,
            slave_ids: Some(tally.with.iter().map(|id| id.as_str()).collect()),
        });
        out.pass().await?;
    }
    out.end();
    out.close();
    out.finish().await
}
