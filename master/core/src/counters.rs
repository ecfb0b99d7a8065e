//! What has happened since the master started, and how its kinds are called in the metrics of Mesos.

use std::collections::BTreeMap;

use lonja_model::TaskState;
use lonja_model::link::FromAgent;
use lonja_model::operation::OperationState;
use lonja_model::scheduler::Call;
use lonja_model::task::{Reason, Source, TaskStatus};

/// What has happened since this master started. Each only grows.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each counts what its name says")]
pub struct Counters {
    pub agents_registered: u64,
    pub agents_reregistered: u64,
    pub agents_unreachable: u64,
    pub agents_drained: u64,
    pub agents_gone: u64,
    pub removal_brakes: u64,
    pub frameworks_subscribed: u64,
    pub frameworks_resubscribed: u64,
    pub frameworks_removed: u64,
    pub calls: u64,
    pub calls_refused: u64,
    pub allocations: u64,
    pub offers_made: u64,
    pub offers_accepted: u64,
    pub offers_declined: u64,
    pub offers_rescinded: u64,
    pub inverse_offers_made: u64,
    pub tasks_launched: u64,
    /// Status updates by the state they tell of, repeats not counted.
    pub updates: BTreeMap<TaskState, u64>,
    /// Those of them that tell of an end, or of silence, by who said so and why.
    pub endings: BTreeMap<(TaskState, Source, Option<Reason>), u64>,
    /// Messages of frameworks and agents by [`call_message`] and [`agent_message`].
    pub messages: BTreeMap<&'static str, u64>,
    /// Those of them that were of use, by the same names.
    pub valid_messages: BTreeMap<&'static str, u64>,
    /// Operations on resources by where they stood, each time that changed.
    pub operations: BTreeMap<OperationState, u64>,
}

impl Counters {
    pub(crate) fn count_update(&mut self, state: TaskState) {
        *self.updates.entry(state).or_default() += 1;
    }

    pub(crate) fn count_status(&mut self, status: &TaskStatus) {
        self.count_update(status.state);
        if status.state.is_terminal() || status.state == TaskState::Unreachable {
            *self.endings.entry((status.state, status.source, status.reason)).or_default() += 1;
        }
    }

    pub(crate) fn count_operation(&mut self, state: OperationState) {
        *self.operations.entry(state).or_default() += 1;
    }

    pub(crate) fn count_message(&mut self, name: Option<&'static str>) {
        if let Some(name) = name {
            *self.messages.entry(name).or_default() += 1;
        }
    }

    pub(crate) fn count_valid(&mut self, name: Option<&'static str>) {
        if let Some(name) = name {
            *self.valid_messages.entry(name).or_default() += 1;
        }
    }
}

/// What has happened to one framework since this master knew it. Each only grows.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each counts what its name says")]
pub struct FrameworkCounters {
    /// By [`call_name`].
    pub calls: BTreeMap<&'static str, u64>,
    pub offers_made: u64,
    pub offers_accepted: u64,
    pub offers_declined: u64,
    pub offers_rescinded: u64,
    /// Tasks that have ended, by how.
    pub endings: BTreeMap<TaskState, u64>,
}

/// The call's type as the API names it, in small letters.
pub fn call_name(call: &Call) -> &'static str {
    match call {
        Call::Subscribe { .. } => "subscribe",
        Call::UpdateFramework { .. } => "update_framework",
        Call::Teardown => "teardown",
        Call::Accept { .. } => "accept",
        Call::Decline { .. } => "decline",
        Call::AcceptInverseOffers { .. } => "accept_inverse_offers",
        Call::DeclineInverseOffers { .. } => "decline_inverse_offers",
        Call::Request { .. } => "request",
        Call::Revive { .. } => "revive",
        Call::Suppress { .. } => "suppress",
        Call::Kill { .. } => "kill",
        Call::Acknowledge { .. } => "acknowledge",
        Call::Reconcile { .. } => "reconcile",
        Call::AcknowledgeOperation { .. } => "acknowledge_operation_status",
        Call::ReconcileOperations { .. } => "reconcile_operations",
        Call::Message { .. } => "message",
        Call::ShutdownExecutor { .. } => "shutdown",
        Call::Unplaced { .. } => "unplaced",
    }
}

/// What Mesos counts the call as in `master/messages_...`; `None`: as nothing.
pub fn call_message(call: &Call) -> Option<&'static str> {
    Some(match call {
        Call::Subscribe { framework: None, .. } => "register_framework",
        Call::Subscribe { framework: Some(_), .. } => "reregister_framework",
        Call::Teardown => "unregister_framework",
        Call::Accept { .. } => "launch_tasks",
        Call::Decline { .. } => "decline_offers",
        Call::Request { .. } => "resource_request",
        Call::Revive { .. } => "revive_offers",
        Call::Suppress { .. } => "suppress_offers",
        Call::Kill { .. } => "kill_task",
        Call::Acknowledge { .. } => "status_update_acknowledgement",
        Call::Reconcile { .. } => "reconcile_tasks",
        Call::AcknowledgeOperation { .. } => "operation_status_update_acknowledgement",
        Call::ReconcileOperations { .. } => "reconcile_operations",
        Call::Message { .. } => "framework_to_executor",
        Call::UpdateFramework { .. }
        | Call::AcceptInverseOffers { .. }
        | Call::DeclineInverseOffers { .. }
        | Call::ShutdownExecutor { .. }
        | Call::Unplaced { .. } => return None,
    })
}

/// What Mesos counts the message as in `master/messages_...`; `None`: as nothing.
pub fn agent_message(message: &FromAgent) -> Option<&'static str> {
    Some(match message {
        FromAgent::Register { .. } => "register_slave",
        FromAgent::Reregister { .. } => "reregister_slave",
        FromAgent::Update { .. } => "status_update",
        FromAgent::OperationUpdate { .. } => "operation_status_update",
        FromAgent::Message { .. } => "executor_to_framework",
        FromAgent::ExecutorEnded { .. } => "exited_executor",
        FromAgent::Pong { .. } => return None,
    })
}
