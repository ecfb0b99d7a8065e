//! What travels, in a few words each, for the journal.

use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::operation::{LaunchTask, Operation};
use lonja_model::scheduler::{Call, Event};
use lonja_model::{TaskId, TaskStatus};

use crate::network::Payload;

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
        ToAgent::Kill { framework, task, .. } => format!("Kill {task} of {framework}"),
        ToAgent::Acknowledge { framework, task, update } => {
            format!("Acknowledge {task} of {framework}, update {update}")
        }
        ToAgent::ResendUpdates { framework } => format!("ResendUpdates of {framework}"),
        ToAgent::ShutdownFramework { framework } => format!("ShutdownFramework {framework}"),
        ToAgent::Message { framework, .. } => format!("Message of {framework}"),
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
            let tasks = operations.iter().flat_map(|operation| match operation {
                Operation::Launch(tasks) => tasks.as_slice(),
                Operation::Convert { .. } | Operation::Invalid { .. } | Operation::Unsupported(_) => &[],
            });
            let tasks = tasks.map(|task| match task {
                LaunchTask::Valid(info) => &info.id,
                LaunchTask::Invalid { task, .. } => task,
            });
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
        Call::Unsupported(name) => name.clone(),
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
