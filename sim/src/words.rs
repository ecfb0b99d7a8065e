//! What travels, in a few words each, for the journal.

use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::operation::{LaunchTask, Operation};
use lonja_model::scheduler::{Call, Event};
use lonja_model::{TaskId, TaskState, TaskStatus};

use crate::network::Payload;

/// The kinds of messages that clusters of the simulator send. Not played: messages of executors, and calls that its
/// frameworks have no use for.
pub(crate) const PLAYED: [&str; 40] = [
    "opened",
    "closed",
    "agent: registered",
    "agent: run",
    "agent: kill",
    "agent: acknowledge",
    "agent: resend updates",
    "agent: shut down framework",
    "agent: ping",
    "agent: apply",
    "agent: acknowledge operation",
    "master: register",
    "master: reregister",
    "master: update",
    "master: pong",
    "master: operation update",
    "framework: subscribed",
    "framework: heartbeat",
    "framework: offers",
    "framework: rescind",
    "framework: update",
    "framework: failure",
    "framework: inverse offers",
    "framework: rescind inverse",
    "framework: operation update",
    "call: subscribe",
    "call: teardown",
    "call: accept",
    "call: decline",
    "call: revive",
    "call: suppress",
    "call: kill",
    "call: acknowledge",
    "call: reconcile",
    "call: acknowledge operation",
    "answer: done",
    "answer: refused",
    "operator",
    "killed",
    "starts",
];

/// What kind of event it is that a framework is told.
pub(crate) fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Subscribed { .. } => "framework: subscribed",
        Event::Heartbeat => "framework: heartbeat",
        Event::Offers(_) => "framework: offers",
        Event::Rescind(_) => "framework: rescind",
        Event::Update(_) => "framework: update",
        Event::Message { .. } => "framework: message",
        Event::Failure { .. } => "framework: failure",
        Event::Error(_) => "framework: error",
        Event::InverseOffers(_) => "framework: inverse offers",
        Event::RescindInverse(_) => "framework: rescind inverse",
        Event::OperationUpdate(_) => "framework: operation update",
    }
}

/// What kind of message it is.
pub(crate) fn name(payload: &Payload) -> &'static str {
    match payload {
        Payload::Opened => "opened",
        Payload::Closed => "closed",
        Payload::KeepAlive => "keep-alive",
        Payload::Alive => "alive",
        Payload::ToAgent(message) => match message {
            ToAgent::Registered { .. } => "agent: registered",
            ToAgent::Refused { .. } => "agent: refused",
            ToAgent::Run { .. } => "agent: run",
            ToAgent::RunInExecutor { .. } => "agent: run in executor",
            ToAgent::Kill { .. } => "agent: kill",
            ToAgent::Acknowledge { .. } => "agent: acknowledge",
            ToAgent::ResendUpdates { .. } => "agent: resend updates",
            ToAgent::ShutdownFramework { .. } => "agent: shut down framework",
            ToAgent::Message { .. } => "agent: message",
            ToAgent::ShutdownExecutor { .. } => "agent: shutdown executor",
            ToAgent::Ping { .. } => "agent: ping",
            ToAgent::Apply { .. } => "agent: apply",
            ToAgent::AcknowledgeOperation { .. } => "agent: acknowledge operation",
        },
        Payload::FromAgent(message) => match message {
            FromAgent::Register { .. } => "master: register",
            FromAgent::Reregister { .. } => "master: reregister",
            FromAgent::Update { .. } => "master: update",
            FromAgent::Pong { .. } => "master: pong",
            FromAgent::OperationUpdate { .. } => "master: operation update",
            FromAgent::Message { .. } => "master: message",
            FromAgent::ExecutorEnded { .. } => "master: executor ended",
        },
        Payload::ToFramework(event) => event_name(event),
        Payload::Call(_, call) => match &**call {
            Call::Subscribe { .. } => "call: subscribe",
            Call::Teardown => "call: teardown",
            Call::Accept { .. } => "call: accept",
            Call::Decline { .. } => "call: decline",
            Call::Revive { .. } => "call: revive",
            Call::Suppress { .. } => "call: suppress",
            Call::Kill { .. } => "call: kill",
            Call::Acknowledge { .. } => "call: acknowledge",
            Call::Reconcile { .. } => "call: reconcile",
            Call::Message { .. } => "call: message",
            Call::UpdateFramework { .. } => "call: update framework",
            Call::AcceptInverseOffers { .. } => "call: accept inverse offers",
            Call::DeclineInverseOffers { .. } => "call: decline inverse offers",
            Call::Request { .. } => "call: request",
            Call::AcknowledgeOperation { .. } => "call: acknowledge operation",
            Call::ReconcileOperations { .. } => "call: reconcile operations",
            Call::ShutdownExecutor { .. } => "call: shutdown executor",
            Call::Unplaced { .. } => "call: unplaced",
        },
        Payload::Answer(_, Ok(())) => "answer: done",
        Payload::Answer(_, Err(_)) => "answer: refused",
    }
}

/// A number that tells a message from most others of its kind, at next to no cost.
pub(crate) fn digest(payload: &Payload) -> u64 {
    let length = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let state = |state: TaskState| u64::from(state.name().as_bytes()[state.name().len() - 1]);
    match payload {
        Payload::Call(id, _) | Payload::Answer(id, _) => *id,
        Payload::ToAgent(ToAgent::Ping { sequence }) => *sequence,
        Payload::FromAgent(FromAgent::Pong { sequence }) => *sequence,
        Payload::ToAgent(ToAgent::Run { tasks, .. } | ToAgent::RunInExecutor { tasks, .. }) => {
            length(tasks.len())
        }
        Payload::FromAgent(FromAgent::Reregister { tasks, .. }) => length(tasks.len()),
        Payload::FromAgent(FromAgent::Update { status, latest, .. }) => {
            state(status.state) << 8 | state(*latest)
        }
        Payload::ToFramework(event) => match &**event {
            Event::Offers(offers) => length(offers.len()),
            Event::Update(status) => state(status.state),
            _ => 0,
        },
        Payload::Opened
        | Payload::Closed
        | Payload::KeepAlive
        | Payload::Alive
        | Payload::ToAgent(_)
        | Payload::FromAgent(_) => 0,
    }
}

/// Says what `payload` is.
pub(crate) fn payload(payload: &Payload) -> String {
    match payload {
        Payload::Opened => "connection opened".to_owned(),
        Payload::Closed => "connection closed".to_owned(),
        Payload::KeepAlive => "are you there?".to_owned(),
        Payload::Alive => "yes".to_owned(),
        Payload::ToAgent(message) => to_agent(message),
        Payload::FromAgent(message) => from_agent(message),
        Payload::ToFramework(event) => to_framework(event),
        Payload::Call(id, what) => format!("call {id} {}", call(what)),
        Payload::Answer(id, Ok(())) => format!("call {id} done"),
        Payload::Answer(id, Err(refusal)) => format!("call {id} refused: {refusal}"),
    }
}

fn to_agent(message: &ToAgent) -> String {
    match message {
        ToAgent::Registered { agent, .. } => format!("Registered {agent}"),
        ToAgent::Refused { reason, .. } => format!("Refused: {reason}"),
        ToAgent::Run { framework, tasks, .. } => {
            format!("Run {} of {framework}", list(tasks.iter().map(|task| &task.id)))
        }
        ToAgent::RunInExecutor { framework, tasks, starts_executor, .. } => {
            let how = if *starts_executor { "new" } else { "known" };
            format!("Run {} of {framework} in a {how} executor", list(tasks.iter().map(|task| &task.id)))
        }
        ToAgent::Kill { framework, task, .. } => format!("Kill {task} of {framework}"),
        ToAgent::Acknowledge { framework, task, update } => {
            format!("Acknowledge {task} of {framework}, update {update}")
        }
        ToAgent::ResendUpdates { framework } => format!("ResendUpdates of {framework}"),
        ToAgent::ShutdownFramework { framework } => format!("ShutdownFramework {framework}"),
        ToAgent::Message { framework, .. } => format!("Message of {framework}"),
        ToAgent::ShutdownExecutor { framework, executor } => {
            format!("ShutdownExecutor {executor} of {framework}")
        }
        ToAgent::Ping { sequence } => format!("Ping {sequence}"),
        ToAgent::Apply { operation } => format!("Apply {} {}", operation.conversion.name(), operation.uuid),
        ToAgent::AcknowledgeOperation { operation } => format!("AcknowledgeOperation {operation}"),
    }
}

fn from_agent(message: &FromAgent) -> String {
    match message {
        FromAgent::Register { .. } => "Register".to_owned(),
        FromAgent::Reregister { agent, tasks, .. } => {
            let tasks: Vec<_> = tasks.iter().map(|task| format!("{} {}", task.info.id, task.state)).collect();
            format!("Reregister {agent} [{}]", tasks.join(", "))
        }
        FromAgent::Update { framework, status: said, latest } => {
            format!("Update of {framework}: {}, by now {latest}", status(said))
        }
        FromAgent::Pong { sequence } => format!("Pong {sequence}"),
        FromAgent::OperationUpdate { record, .. } => {
            format!("OperationUpdate {}: {:?}", record.operation.uuid, record.status.state)
        }
        FromAgent::Message { framework, .. } => format!("Message to {framework}"),
        FromAgent::ExecutorEnded { framework, executor, .. } => {
            format!("ExecutorEnded {executor} of {framework}")
        }
    }
}

fn to_framework(event: &Event) -> String {
    match event {
        Event::Subscribed { framework, master, .. } => format!("Subscribed {framework} at {}", master.id),
        Event::Heartbeat => "Heartbeat".to_owned(),
        Event::Offers(offers) => {
            let offers: Vec<_> =
                offers.iter().map(|offer| format!("{} {}", offer.id, offer.resources)).collect();
            format!("Offers [{}]", offers.join(", "))
        }
        Event::Rescind(offer) => format!("Rescind {offer}"),
        Event::Update(said) => format!("Update {}", status(said)),
        Event::Message { .. } => "Message".to_owned(),
        Event::Failure { agent, .. } => format!("Failure of {agent}"),
        Event::Error(reason) => format!("Error: {reason}"),
        Event::InverseOffers(offers) => {
            format!("InverseOffers {}", list(offers.iter().map(|offer| &offer.id)))
        }
        Event::RescindInverse(offer) => format!("RescindInverse {offer}"),
        Event::OperationUpdate(status) => {
            format!("OperationUpdate {:?}: {:?}", status.operation, status.state)
        }
    }
}

fn call(call: &Call) -> String {
    match call {
        Call::Subscribe { framework, .. } => match framework {
            Some(framework) => format!("Subscribe as {framework}"),
            None => "Subscribe".to_owned(),
        },
        Call::Teardown => "Teardown".to_owned(),
        Call::Accept { offers, operations, .. } => {
            let tasks = operations.iter().flat_map(Operation::tasks).map(LaunchTask::id);
            format!("Accept {} for {}", list(offers), list(tasks))
        }
        Call::Decline { offers, .. } => format!("Decline {}", list(offers)),
        Call::Revive { .. } => "Revive".to_owned(),
        Call::Suppress { .. } => "Suppress".to_owned(),
        Call::Kill { task, .. } => format!("Kill {task}"),
        Call::Acknowledge { task, update, .. } => format!("Acknowledge {task}, update {update}"),
        Call::Reconcile { tasks } => {
            format!("Reconcile {}", list(tasks.iter().map(|(task, _): &(TaskId, _)| task)))
        }
        Call::Message { .. } => "Message".to_owned(),
        Call::UpdateFramework { .. } => "UpdateFramework".to_owned(),
        Call::AcceptInverseOffers { offers, .. } => format!("AcceptInverseOffers {}", list(offers)),
        Call::DeclineInverseOffers { offers, .. } => format!("DeclineInverseOffers {}", list(offers)),
        Call::Request { .. } => "Request".to_owned(),
        Call::AcknowledgeOperation { operation, .. } => format!("AcknowledgeOperation {operation}"),
        Call::ReconcileOperations { .. } => "ReconcileOperations".to_owned(),
        Call::ShutdownExecutor { executor, .. } => format!("ShutdownExecutor {executor}"),
        Call::Unplaced { tasks } => format!("Unplaced {}", list(tasks.iter().map(|task| &task.task))),
    }
}

fn status(status: &TaskStatus) -> String {
    let reason = status.reason.map(|reason| format!(", {reason:?}")).unwrap_or_default();
    match status.update {
        Some(update) => format!("{} {}{reason}, update {update}", status.task, status.state),
        None => format!("{} {}{reason}", status.task, status.state),
    }
}

fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}
