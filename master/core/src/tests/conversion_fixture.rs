//! Reservations and volumes in a few words, and an agent's half of operations.

use lonja_model::labels::Labels;
use lonja_model::link::{AgentTask, FromAgent, ToAgent};
use lonja_model::offer::Filters;
use lonja_model::operation::{
    AgentOperation, Conversion, Operation, OperationRecord, OperationState, OperationStatus,
};
use lonja_model::resources::{Disk, Metadata, Persistence, Reservation, ReservationKind, Resource};
use lonja_model::scheduler::{Call, CallResult, Event as FrameworkEvent};
use lonja_model::{AgentId, Offer, OperationId, OperationUuid, Resources, Role, TaskInfo, UpdateId};

use super::fixture::*;
use crate::{Event, LinkId, OperatorCommand, RequestId, StreamId};

fn changed(text: &str, change: impl Fn(&mut Metadata)) -> Resources {
    let all = res(text);
    let all = all.iter().map(|resource| {
        let mut metadata = resource.metadata().clone();
        change(&mut metadata);
        Resource::with_metadata(resource.name(), resource.value().clone(), metadata).unwrap()
    });
    Resources::of(all).unwrap()
}

fn layer(role: &str, principal: Option<&str>) -> Reservation {
    Reservation {
        kind: ReservationKind::Dynamic,
        role: Role::new(role).unwrap(),
        principal: principal.map(str::to_owned),
        labels: Labels::default(),
    }
}

/// Reserved for each of `roles` on top of what `text` says.
pub(super) fn reserved(text: &str, roles: &[&str]) -> Resources {
    changed(text, |metadata| metadata.reservations.extend(roles.iter().map(|role| layer(role, None))))
}

pub(super) fn reserved_by(text: &str, role: &str, principal: &str) -> Resources {
    changed(text, |metadata| metadata.reservations.push(layer(role, Some(principal))))
}

/// A volume on dynamically reserved disk.
pub(super) fn volume(text: &str, role: &str, id: &str, shared: bool) -> Resources {
    changed(text, |metadata| {
        metadata.reservations.push(layer(role, None));
        metadata.shared = shared;
        metadata.disk = Some(Disk {
            persistence: Some(Persistence { id: id.into(), principal: None }),
            container_path: Some("data".into()),
            ..Disk::default()
        });
    })
}

pub(super) fn both(one: &Resources, other: &Resources) -> Resources {
    one.checked_add(other).unwrap()
}

pub(super) fn reserve(resources: &Resources) -> Conversion {
    Conversion::reserve(resources.clone(), None).unwrap()
}

pub(super) fn create(volumes: &Resources) -> Conversion {
    Conversion::create(volumes.clone()).unwrap()
}

pub(super) fn destroy(volumes: &Resources) -> Conversion {
    Conversion::destroy(volumes.clone()).unwrap()
}

/// An operation without an id.
pub(super) fn step(conversion: Conversion) -> Operation {
    Operation::Convert { id: None, conversion }
}

/// An operation that its framework wants news of.
pub(super) fn named(id: &str, conversion: Conversion) -> Operation {
    Operation::Convert { id: Some(operation_id(id)), conversion }
}

pub(super) fn operation_id(id: &str) -> OperationId {
    OperationId::new(id).unwrap()
}

/// A task that needs exactly this.
pub(super) fn task_on(id: &str, agent: &AgentId, resources: &Resources) -> TaskInfo {
    TaskInfo { resources: resources.clone(), ..task_info(id, agent, "cpus:1") }
}

pub(super) fn launch_of(tasks: Vec<TaskInfo>) -> Operation {
    use lonja_model::operation::LaunchTask;
    Operation::Launch(tasks.into_iter().map(|task| LaunchTask::Valid(Box::new(task))).collect())
}

impl Cluster {
    pub(super) fn accept(
        &mut self,
        stream: StreamId,
        offer: &Offer,
        operations: Vec<Operation>,
    ) -> CallResult {
        let offers = vec![offer.id.clone()];
        self.call(stream, Call::Accept { offers, operations, filters: Filters { refuse: secs(5_000) } })
    }

    /// The operations that have been sent to the agent on `link`.
    pub(super) fn asked_of(&self, link: LinkId) -> Vec<AgentOperation> {
        let sent = self.sent(link).iter();
        sent.filter_map(
            |m| if let ToAgent::Apply { operation } = m { Some((**operation).clone()) } else { None },
        )
        .collect()
    }

    /// The operations of which the agent on `link` has been told to forget the outcome.
    pub(super) fn acknowledged_to(&self, link: LinkId) -> Vec<OperationUuid> {
        let sent = self.sent(link).iter();
        sent.filter_map(|m| {
            if let ToAgent::AcknowledgeOperation { operation } = m { Some(*operation) } else { None }
        })
        .collect()
    }

    /// What the framework on `stream` has been told of its operations: name, state, update and message.
    pub(super) fn news(&self, stream: StreamId) -> Vec<&OperationStatus> {
        let events = self.events(stream).iter();
        events
            .filter_map(
                |e| if let FrameworkEvent::OperationUpdate(status) = e { Some(&**status) } else { None },
            )
            .collect()
    }

    pub(super) fn last_news(&self, stream: StreamId) -> (String, OperationState) {
        let news = self.news(stream);
        let last = news.last().expect("it was told something");
        (last.operation.as_ref().unwrap().to_string(), last.state)
    }

    /// The agent's answer; its total is what it said last, with the conversion done if it is.
    pub(super) fn outcome(&mut self, link: LinkId, operation: &AgentOperation, state: OperationState) {
        let agent = self.master.state.agents.on_link(link).unwrap().clone();
        let before = self.master.state.agents.get(&agent).unwrap().total.clone();
        let done = state == OperationState::Finished;
        let total = if done { operation.conversion.apply(&before).unwrap() } else { before };
        let record = Box::new(record_of(operation, state));
        self.say(link, FromAgent::OperationUpdate { record, total });
    }

    /// The agent has done all that it was sent on this link and has not answered yet, in order.
    pub(super) fn finish_all(&mut self, link: LinkId) {
        for operation in self.asked_of(link) {
            let known = self.master.state.operations.get(&operation.uuid);
            if known.is_some_and(|known| known.is_pending()) {
                self.outcome(link, &operation, OperationState::Finished);
            }
        }
    }

    /// An agent comes back on a new link with this total, these tasks and these records.
    pub(super) fn back_with(
        &mut self,
        agent: &AgentId,
        configured: &str,
        total: &Resources,
        tasks: Vec<AgentTask>,
        operations: Vec<OperationRecord>,
    ) -> LinkId {
        let link = LinkId(self.number());
        let frameworks = tasks
            .iter()
            .map(|task| (task.framework.clone(), framework_info(task.role.as_str(), secs(60))))
            .collect();
        let info = Box::new(agent_info(configured));
        let (agent, total, version) = (agent.clone(), total.clone(), "0.1.0".into());
        let executors = vec![];
        self.come_back(
            link,
            FromAgent::Reregister {
                agent,
                info,
                version,
                tasks,
                frameworks,
                total,
                operations,
                executors,
                capabilities: lonja_model::agent::AgentCapability::all(),
            },
        );
        link
    }

    /// Asks as an operator.
    pub(super) fn convert(&mut self, agent: &AgentId, conversion: Conversion) -> RequestId {
        let request = RequestId(self.number());
        let command = OperatorCommand::Convert { agent: agent.clone(), conversion };
        self.handle(Event::Operator { request, command });
        request
    }

    /// The answer to an operator; `None`: there is none yet.
    pub(super) fn answer_to(&self, request: RequestId) -> Option<CallResult> {
        self.operator_answers.get(&request).cloned()
    }

    pub(super) fn total(&self, agent: &AgentId) -> Resources {
        self.master.state.allocator.agent_total(agent).unwrap().clone()
    }

    pub(super) fn free(&self, agent: &AgentId) -> Resources {
        self.master.state.allocator.agent_free(agent).unwrap().clone()
    }

    pub(super) fn known_operations(&self) -> usize {
        self.master.state.operations.len()
    }
}

/// The update by which an agent tells of `operation`.
pub(super) fn update_of(operation: &AgentOperation) -> UpdateId {
    UpdateId(operation.uuid.0)
}

pub(super) fn record_of(operation: &AgentOperation, state: OperationState) -> OperationRecord {
    let done = state == OperationState::Finished;
    let status = OperationStatus {
        operation: operation.id.clone(),
        state,
        message: (!done).then(|| "no space left on device".to_owned()),
        converted: if done { operation.conversion.after().clone() } else { Resources::new() },
        update: operation.id.as_ref().map(|_| update_of(operation)),
        agent: None,
    };
    OperationRecord { operation: operation.clone(), status }
}
