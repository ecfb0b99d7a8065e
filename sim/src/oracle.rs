//! What everyone was told and may rely on, over all lives of all processes.
//!
//! The oracle sees what becomes durable and what is said, and knows nothing of how cores work inside. It
//! compares each new word with all that was said before.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::checkpoint::{Checkpoint, CheckpointOp};
use lonja_model::link::ToAgent;
use lonja_model::operation::{ConversionKind, Operation};
use lonja_model::registry::{AgentStanding, FrameworkStanding, Registry};
use lonja_model::scheduler::Event;
use lonja_model::{AgentId, FrameworkId, OfferId, TaskState, TaskStatus, UpdateId};

use crate::hosts::kernel::TaskKey;
use crate::invariants::Broken;
use crate::volumes::{self, Volume};

/// All that was said so far.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    launched: BTreeSet<TaskKey>,
    offers: BTreeSet<OfferId>,
    agents: BTreeMap<AgentId, usize>,
    frameworks: BTreeMap<FrameworkId, usize>,
    told: BTreeMap<TaskKey, Told>,
    acknowledged: BTreeSet<UpdateId>,
    over: BTreeMap<TaskKey, TaskState>,
    /// What frameworks were told last.
    latest: BTreeMap<TaskKey, TaskState>,
    /// Volumes that a framework has wanted destroyed.
    unwanted: BTreeSet<Volume>,
}

/// The updates of one task.
#[derive(Debug, Default)]
struct Told {
    /// As its agent made them durable, in order.
    made: Vec<UpdateId>,
    /// How many of them have reached the framework.
    delivered: usize,
    /// Those of them that say no more than that the task runs.
    news: BTreeSet<UpdateId>,
    /// News that was never sent, for newer news took its place.
    overtaken: BTreeSet<UpdateId>,
}

impl Told {
    /// These updates wait from now on. News of a running task takes the place of such news right before it that was not
    /// the oldest.
    fn takes(&mut self, waiting: &[TaskStatus]) {
        for (place, status) in waiting.iter().enumerate() {
            let Some(update) = status.update else { continue };
            if self.made.contains(&update) {
                continue;
            }
            let is_news = status.state == TaskState::Running;
            if let Some(last) = self.made.last().copied()
                && is_news
                && place > 0
                && self.news.contains(&last)
                && self.delivered < self.made.len()
                && waiting.iter().all(|status| status.update != Some(last))
            {
                self.made.pop();
                self.overtaken.insert(last);
            }
            if is_news {
                self.news.insert(update);
            }
            self.made.push(update);
        }
    }
}

impl Oracle {
    /// An agent makes a container for `task`. INV-15: once for each task; INV-17: not after its end was
    /// told; INV-20: its record is durable.
    pub(crate) fn launches(&mut self, task: &TaskKey, checkpoint: &Checkpoint) -> Result<(), Broken> {
        if !self.launched.insert(task.clone()) {
            return Err(Broken::new("INV-15", format!("task {} of {} is launched twice", task.1, task.0)));
        }
        if let Some(end) = self.over.get(task) {
            let what =
                format!("task {} of {} is launched after its framework was told {end}", task.1, task.0);
            return Err(Broken::new("INV-17", what));
        }
        if !checkpoint.tasks.contains_key(task) {
            let what = format!("task {} of {} is launched without a durable record", task.1, task.0);
            return Err(Broken::new("INV-20", what));
        }
        Ok(())
    }

    /// The master says this to the agent on host `index`; `registry` is what is durable. INV-9: an id is
    /// one agent's for ever; INV-10: it is admitted durably first, and perhaps gone by the end of the same batch.
    pub(crate) fn master_tells_agent(
        &mut self,
        index: usize,
        message: &ToAgent,
        registry: &Registry,
        just_gone: impl Fn(&AgentId) -> bool,
    ) -> Result<(), Broken> {
        let ToAgent::Registered { agent, .. } = message else { return Ok(()) };
        let owner = *self.agents.entry(agent.clone()).or_insert(index);
        if owner != index {
            let what = format!("agents {owner} and {index} are both called {agent}");
            return Err(Broken::new("INV-9", what));
        }
        let standing = registry.agents.get(agent).map(|record| record.standing);
        if standing != Some(AgentStanding::Admitted) && !just_gone(agent) {
            let what = format!("agent {agent} is welcomed, the durable registry says {standing:?}");
            return Err(Broken::new("INV-10", what));
        }
        Ok(())
    }

    /// The master says this to the framework on host `index`. INV-3: an offer id is used once, over all
    /// masters; INV-10: what is offered is durable; INV-14: a framework id is one framework's.
    pub(crate) fn master_tells_framework(
        &mut self,
        index: usize,
        event: &Event,
        registry: &Registry,
    ) -> Result<(), Broken> {
        match event {
            Event::Offers(offers) => offers.iter().try_for_each(|offer| {
                if !self.offers.insert(offer.id.clone()) {
                    return Err(Broken::new("INV-3", format!("offer id {} is used again", offer.id)));
                }
                if self.frameworks.get(&offer.framework) != Some(&index) {
                    let what = format!("offer {} of {} goes to another framework", offer.id, offer.framework);
                    return Err(Broken::new("INV-24", what));
                }
                if registry.agents.contains_key(&offer.agent) {
                    return Ok(());
                }
                let what = format!("offer {} is of {}, which is not durable", offer.id, offer.agent);
                Err(Broken::new("INV-10", what))
            }),
            Event::Subscribed { framework, .. } => {
                let owner = *self.frameworks.entry(framework.clone()).or_insert(index);
                if owner != index {
                    let what = format!("frameworks {owner} and {index} are both called {framework}");
                    return Err(Broken::new("INV-14", what));
                }
                match registry.frameworks.get(framework).map(|record| record.standing) {
                    Some(FrameworkStanding::Connected) => Ok(()),
                    other => {
                        let what = format!("{framework} is subscribed, the durable registry says {other:?}");
                        Err(Broken::new("INV-10", what))
                    }
                }
            }
            Event::Heartbeat
            | Event::Rescind(_)
            | Event::InverseOffers(_)
            | Event::RescindInverse(_)
            | Event::OperationUpdate(_)
            | Event::Update(_)
            | Event::Message { .. }
            | Event::Failure { .. }
            | Event::Error(_) => Ok(()),
        }
    }

    /// An agent makes `ops` durable on top of `before`. INV-8: see [`volumes`]. INV-20: an update leaves the checkpoint only when
    /// its framework has dealt with it, durably, or is no more.
    pub(crate) fn agent_commits(
        &mut self,
        before: &Checkpoint,
        ops: &[CheckpointOp],
        registry: &Registry,
    ) -> Result<(), Broken> {
        volumes::keeps(before, ops, &self.unwanted)?;
        let mut after: BTreeMap<TaskKey, Vec<UpdateId>> = BTreeMap::new();
        for op in ops {
            let CheckpointOp::Task(framework, task, record) = op else { continue };
            let key = (framework.clone(), task.clone());
            let updates: &[TaskStatus] = record.as_ref().map_or(&[], |record| &record.updates);
            let told = self.told.entry(key.clone()).or_default();
            told.takes(updates);
            after.insert(key, updates.iter().filter_map(|status| status.update).collect());
        }
        for (key, kept) in after {
            let removed = registry.frameworks.get(&key.0).map(|record| record.standing);
            if removed == Some(FrameworkStanding::Removed) {
                continue;
            }
            let had = before.tasks.get(&key).map_or(&[][..], |record| &record.updates);
            for update in had.iter().filter_map(|status| status.update) {
                if self.told.get(&key).is_some_and(|told| told.overtaken.contains(&update)) {
                    continue;
                }
                if !kept.contains(&update) && !self.acknowledged.contains(&update) {
                    let what = format!("an update of task {} of {} is dropped unacknowledged", key.1, key.0);
                    return Err(Broken::new("INV-20", what));
                }
            }
        }
        Ok(())
    }

    /// A framework uses offers so. INV-8: a volume may go once somebody has wanted it destroyed, not before.
    pub(crate) fn accepts(&mut self, operations: &[Operation]) -> Result<(), Broken> {
        for operation in operations {
            if let Operation::Convert { conversion, .. } = operation
                && conversion.kind() == ConversionKind::Destroy
            {
                self.unwanted.extend(volumes::all(conversion.before())?);
            }
        }
        Ok(())
    }

    /// Volumes that a framework has asked to destroy.
    pub(crate) fn unwanted(&self) -> &BTreeSet<volumes::Volume> {
        &self.unwanted
    }

    /// A framework acknowledges an update; all that it learned from it is durable.
    pub(crate) fn acknowledges(&mut self, update: UpdateId) {
        self.acknowledged.insert(update);
    }

    /// A status reaches its framework. INV-19: first deliveries keep the order in which the updates were
    /// made, nothing is skipped, and each waits for the one before to be acknowledged; INV-17: a final end
    /// stays.
    pub(crate) fn delivered(&mut self, task: TaskKey, status: &TaskStatus) -> Result<(), Broken> {
        if let Some(update) = status.update {
            self.delivered_update(&task, update)?;
        }
        if is_final(status.state) {
            let before = *self.over.entry(task.clone()).or_insert(status.state);
            // "Not there" has three names, by who is asked and when.
            let same = before == status.state || (was_never(before) && was_never(status.state));
            if !same {
                let what =
                    format!("task {} of {} ended as {before}, then as {}", task.1, task.0, status.state);
                return Err(Broken::new("INV-17", what));
            }
        }
        Ok(())
    }

    /// What a framework was told of `task` before it is told `state`.
    pub(crate) fn told_before(&mut self, task: &TaskKey, state: TaskState) -> Option<TaskState> {
        self.latest.insert(task.clone(), state)
    }

    fn delivered_update(&mut self, task: &TaskKey, update: UpdateId) -> Result<(), Broken> {
        let wrong = |what: &str| Err(Broken::new("INV-19", format!("task {} of {}: {what}", task.1, task.0)));
        let Some(told) = self.told.get_mut(task) else {
            return wrong("an update arrives that was never made durable");
        };
        let Some(index) = told.made.iter().position(|made| *made == update) else {
            return wrong("an update arrives that was never made durable");
        };
        if index > told.delivered {
            return wrong("an update arrives before one that was made earlier");
        }
        if index == told.delivered {
            if index > 0 && !self.acknowledged.contains(&told.made[index - 1]) {
                return wrong("an update arrives while the one before is unacknowledged");
            }
            told.delivered += 1;
        }
        Ok(())
    }

    /// An agent has lost its memory: nobody will hear what it had yet to tell.
    pub(crate) fn agent_is_lost(&mut self, checkpoint: &Checkpoint) {
        for task in checkpoint.tasks.keys() {
            if let Some(told) = self.told.get_mut(task) {
                told.delivered = told.made.len();
            }
        }
    }

    /// Has its framework been told that the task ended?
    pub(crate) fn end_was_told(&self, task: &TaskKey) -> bool {
        self.over.contains_key(task)
    }

    /// The first agent that was ever admitted, by its name.
    pub(crate) fn first_agent(&self) -> Option<&AgentId> {
        self.agents.keys().next()
    }

    /// The first framework that ever subscribed, by its name.
    pub(crate) fn first_framework(&self) -> Option<&FrameworkId> {
        self.frameworks.keys().next()
    }

    /// How many updates of `task` were made and have not reached its framework.
    pub(crate) fn untold(&self) -> impl Iterator<Item = &TaskKey> {
        self.told.iter().filter(|(_, told)| told.delivered < told.made.len()).map(|(task, _)| task)
    }
}

/// Does this say that the task did not run, or is not there?
fn was_never(state: TaskState) -> bool {
    matches!(state, TaskState::Dropped | TaskState::Gone | TaskState::Error)
}

/// Is this the last that will ever be said of a task?
pub(crate) fn is_final(state: TaskState) -> bool {
    match state {
        TaskState::Finished
        | TaskState::Failed
        | TaskState::Killed
        | TaskState::Error
        | TaskState::Dropped
        | TaskState::Gone => true,
        TaskState::Staging
        | TaskState::Starting
        | TaskState::Running
        | TaskState::Killing
        | TaskState::Unreachable
        | TaskState::Lost
        | TaskState::GoneByOperator
        | TaskState::Unknown => false,
    }
}
