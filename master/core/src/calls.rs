//! What frameworks ask, routed. Every call is answered: done, or refused with a reason.

use lonja_model::link::ToAgent;
use lonja_model::scheduler::{Call, CallResult, Refusal, RefusalCode};
use lonja_model::{AgentId, FrameworkId, Role, TaskId, Timestamp};
use std::collections::BTreeSet;
use std::time::Duration;

use crate::descriptions::Claims;
use crate::effects::{Effects, Outbound, StreamId};
use crate::inverse_offers::Willingness;
use crate::{
    State, accept, counters, descriptions, executors, feedback, inverse_offers, offers, reconcile, requests,
    subscription, unplaced, updates,
};

/// Takes one call and answers it.
pub(crate) fn call(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    stream: StreamId,
    id: u64,
    framework: Option<FrameworkId>,
    call: Call,
) {
    state.counters.calls += 1;
    let message = counters::call_message(&call);
    state.counters.count_message(message);
    let name = counters::call_name(&call);
    let result = if let Call::Subscribe { framework, info, suppressed, constraints } = call {
        let claims = Claims { info: *info, suppressed, constraints };
        subscription::subscribe(state, effects, now, (stream, id), framework, claims)
    } else {
        admitted(state, now, stream, framework)
            .and_then(|framework| subscribed(state, effects, now, &framework, call))
    };
    match result {
        Ok(()) => state.counters.count_valid(message),
        Err(_) => state.counters.calls_refused += 1,
    }
    if let Some(known) =
        state.frameworks.on_stream(stream).cloned().and_then(|id| state.frameworks.get_mut(&id))
    {
        *known.counters.calls.entry(name).or_default() += 1;
    }
    if id != 0 || result.is_err() {
        effects.send.push(Outbound::Answer(stream, id, result));
    }
}

/// Whether a call on this stream in this framework's name would be looked at.
pub(crate) fn may_call(state: &State, stream: StreamId, named: Option<&FrameworkId>) -> CallResult {
    match state.frameworks.on_stream(stream) {
        Some(framework) => is_named(framework, named),
        None => Err(not_subscribed_here(state, named)),
    }
}

fn is_named(framework: &FrameworkId, named: Option<&FrameworkId>) -> CallResult {
    let Some(named) = named.filter(|named| *named != framework) else { return Ok(()) };
    let message = format!("this stream speaks for framework {framework}, the call names {named}");
    Err(Refusal { field: Some("framework_id".into()), ..Refusal::new(RefusalCode::InvalidArgument, message) })
}

/// The framework that may call on this stream, now.
fn admitted(
    state: &mut State,
    now: Timestamp,
    stream: StreamId,
    named: Option<FrameworkId>,
) -> Result<FrameworkId, Refusal> {
    let Some(framework) = state.frameworks.on_stream(stream).cloned() else {
        return Err(not_subscribed_here(state, named.as_ref()));
    };
    is_named(&framework, named.as_ref())?;
    let rate = state.config.calls_per_second;
    if let Some(known) = state.frameworks.get_mut(&framework)
        && !known.calls.take(now)
    {
        let message = format!("over {rate} calls a second; wait and send it again");
        return Err(Refusal::new(RefusalCode::RateLimited, message));
    }
    Ok(framework)
}

/// Why nobody may call by a stream that has no subscription, in the order in which Mesos looks.
fn not_subscribed_here(state: &State, named: Option<&FrameworkId>) -> Refusal {
    let Some(framework) = named else {
        let message = "this stream has no subscription; send SUBSCRIBE first";
        return Refusal::new(RefusalCode::NotSubscribed, message);
    };
    let (code, field, message) = match state.frameworks.get(framework) {
        None => (
            RefusalCode::NotFound,
            "framework_id",
            "Framework cannot be found; send SUBSCRIBE first".to_owned(),
        ),
        Some(known) if known.stream.is_none() => {
            let message = "Framework is not subscribed; send SUBSCRIBE with its id first".to_owned();
            (RefusalCode::NotSubscribed, "framework_id", message)
        }
        Some(_) => {
            let message = format!(
                "framework {framework} is subscribed by another stream; send the stream id that its SUBSCRIBE was answered with"
            );
            (RefusalCode::InvalidArgument, "stream", message)
        }
    };
    Refusal { field: Some(field.into()), ..Refusal::new(code, message) }
}

fn subscribed(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    framework: &FrameworkId,
    call: Call,
) -> CallResult {
    match call {
        Call::Subscribe { .. } => unreachable!("routed before"),
        Call::Teardown => {
            subscription::remove(state, effects, now, framework, "it asked to be torn down");
            Ok(())
        }
        Call::Accept { offers, operations, filters } => {
            accept::accept(state, effects, now, framework, &offers, operations, filters)
        }
        Call::Decline { offers, filters } => {
            offers::decline(state, now, framework, &offers, filters);
            Ok(())
        }
        Call::Revive { roles } => {
            own_roles(state, framework, &roles)?;
            state.allocator.revive(framework, &roles);
            inverse_offers::revive(state, framework);
            if let Some(known) = state.frameworks.get_mut(framework) {
                known.suppressed.retain(|role| !roles.is_empty() && !roles.contains(role));
            }
            Ok(())
        }
        Call::Suppress { roles } => {
            own_roles(state, framework, &roles)?;
            state.allocator.suppress(framework, &roles);
            if let Some(known) = state.frameworks.get_mut(framework) {
                let all = if roles.is_empty() { known.info.roles.clone() } else { roles };
                known.suppressed.extend(all);
            }
            Ok(())
        }
        Call::Kill { task, agent, grace } => {
            kill(state, effects, now, framework, &task, agent.as_ref(), grace)
        }
        Call::Acknowledge { agent, task, update } => {
            updates::acknowledge(state, effects, framework, &agent, &task, update)
        }
        Call::Reconcile { tasks } => {
            reconcile::reconcile(state, effects, now, framework, tasks);
            Ok(())
        }
        Call::Message { agent, executor, data } => {
            let link = state.agents.get(&agent).and_then(|agent| agent.link());
            let Some(link) = link else {
                return Err(Refusal::new(RefusalCode::NotFound, format!("agent {agent} is not connected")));
            };
            effects.agent(link, ToAgent::Message { framework: framework.clone(), executor, data });
            Ok(())
        }
        Call::ShutdownExecutor { agent, executor } => {
            executors::shut_down(state, effects, framework, &agent, executor)
        }
        Call::UpdateFramework { info, suppressed, constraints } => {
            let claims = Claims { info: *info, suppressed, constraints };
            descriptions::update(state, effects, now, framework, claims)
        }
        Call::AcceptInverseOffers { offers, filters } => {
            inverse_offers::answer(state, now, framework, &offers, Willingness::Accepted, filters);
            Ok(())
        }
        Call::DeclineInverseOffers { offers, filters } => {
            inverse_offers::answer(state, now, framework, &offers, Willingness::Declined, filters);
            Ok(())
        }
        Call::Request { requests } => requests::request(state, framework, requests),
        Call::Unplaced { tasks } => unplaced::report(state, now, framework, tasks),
        Call::AcknowledgeOperation { agent, operation, update } => {
            feedback::acknowledge(state, effects, framework, agent.as_ref(), &operation, update)
        }
        Call::ReconcileOperations { operations } => {
            reconcile::operations(state, effects, framework, operations);
            Ok(())
        }
    }
}

fn own_roles(state: &State, framework: &FrameworkId, roles: &BTreeSet<Role>) -> CallResult {
    let Some(known) = state.frameworks.get(framework) else { return Ok(()) };
    match roles.iter().find(|role| !known.info.roles.contains(role)) {
        None => Ok(()),
        Some(other) => {
            let message = format!("this framework has not subscribed with role {other}; nothing was changed");
            Err(Refusal {
                field: Some("roles".into()),
                ..Refusal::new(RefusalCode::InvalidArgument, message)
            })
        }
    }
}

/// KILL. It is carried out when the task's agent is there, now or on its return (INV-23).
pub(crate) fn kill(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    framework: &FrameworkId,
    task: &TaskId,
    agent: Option<&AgentId>,
    grace: Option<Duration>,
) -> CallResult {
    let Some(known) = state.tasks.get_mut(framework, task) else {
        reconcile::explicit(state, effects, now, framework, task, agent);
        return Ok(());
    };
    if let Some(other) = agent.filter(|agent| *agent != known.agent()) {
        let message = format!("task {task} is on agent {}, not on {other}; it was not killed", known.agent());
        return Err(Refusal {
            field: Some("kill.agent_id".into()),
            ..Refusal::new(RefusalCode::Conflict, message)
        });
    }
    if known.state.is_terminal() {
        if let Some(status) = updates::last_word(known, now) {
            updates::deliver(state, effects, framework, status);
        }
        return Ok(());
    }
    known.killing = Some(grace);
    let at = known.agent().clone();
    if let Some(link) = state.agents.get(&at).and_then(|agent| agent.link()) {
        effects.agent(link, ToAgent::Kill { framework: framework.clone(), task: task.clone(), grace });
    }
    Ok(())
}
