//! Frameworks subscribing, failing over, going away, and being removed.
//!
//! - A newer stream wins; the older one gets an ERROR event and is closed (INV-14).
//! - Without a stream a framework has its failover timeout to come back; its tasks run on meanwhile. The
//!   time left is what is stored, so that a restart of the master never shortens it (INV-37).
//! - A removed framework's tasks are killed and forgotten; its id stays refused.
//!
//! Source: Mesos v1 scheduler API, SUBSCRIBE and TEARDOWN.

use std::sync::Arc;
use std::time::Duration;

use lonja_model::link::ToAgent;
use lonja_model::registry::FrameworkStanding;
use lonja_model::resources::Quantities;
use lonja_model::scheduler::{CallResult, Event, Refusal, RefusalCode};
use lonja_model::task::{Reason, Source};
use lonja_model::{FrameworkId, FrameworkInfo, TaskState, TaskStatus, Timestamp};

use crate::deadlines::Timer;
use crate::descriptions::{Claims, Description};
use crate::effects::{ClusterEvent, Effects, Outbound, StreamId};
use crate::frameworks::Framework;
use crate::{State, executors, feedback, inverse_offers, offers, registry, snapshot, updates};

/// SUBSCRIBE, by the call of that number. A refusal also comes as an ERROR event, and the stream is closed.
pub(crate) fn subscribe(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    (stream, call): (StreamId, u64),
    id: Option<FrameworkId>,
    claims: Claims,
) -> CallResult {
    if let Some(speaks_for) = state.frameworks.on_stream(stream) {
        let message = format!("this stream is subscribed already, for framework {speaks_for}");
        return Err(Refusal::new(RefusalCode::Conflict, message));
    }
    let description = match admissible(state, id.as_ref(), call, claims) {
        Ok(description) => description,
        Err(refusal) => {
            effects.framework(stream, Event::Error(refusal.message.clone()));
            effects.send.push(Outbound::CloseStream(stream));
            return Err(refusal);
        }
    };
    let known = id.as_ref().is_some_and(|id| state.frameworks.get(id).is_some());
    let id = id.unwrap_or_else(|| new_id(state));
    if known {
        come_back(state, effects, now, stream, &id, description);
    } else {
        come_first(state, effects, now, stream, &id, description);
    }
    if let Some(framework) = state.frameworks.get_mut(&id) {
        framework.subscribed_by = call;
    }
    state.deadlines.set(Timer::Heartbeat(id.clone()), now + state.config.heartbeat_interval);
    let heartbeat = state.config.heartbeat_interval;
    let event = Event::Subscribed { framework: id.clone(), heartbeat, master: state.me.clone() };
    effects.framework(stream, event);
    effects.framework(stream, Event::Heartbeat);
    if known {
        // Its unacknowledged updates wait on the agents, some of them for minutes: it wants them now.
        for agent in state.tasks.agents_of(&id) {
            if let Some(link) = state.agents.get(&agent).and_then(|agent| agent.link()) {
                effects.agent(link, ToAgent::ResendUpdates { framework: id.clone() });
            }
        }
        feedback::framework_returned(state, effects, &id);
    }
    Ok(())
}

fn new_id(state: &mut State) -> FrameworkId {
    let number = state.frameworks.next_number();
    FrameworkId::new(format!("{}-{number:04}", state.me.id)).expect("made of letters, digits and dashes")
}

/// Did the instance that subscribed by `last` send `call` before that? Then it has given up the stream by which `call`
/// comes, and has another: only the network was late. The upper half of a number names the instance.
fn is_stale(last: u64, call: u64) -> bool {
    call >> 32 != 0 && call >> 32 == last >> 32 && call < last
}

fn admissible(
    state: &State,
    id: Option<&FrameworkId>,
    call: u64,
    claims: Claims,
) -> Result<Description, Refusal> {
    let description = claims.check("subscribe")?;
    let conflict = |message: String| Err(Refusal::new(RefusalCode::Conflict, message));
    if id.and_then(|id| state.frameworks.get(id)).is_some_and(|known| is_stale(known.subscribed_by, call)) {
        return conflict("this instance has subscribed over a newer stream since".to_owned());
    }
    if let Some(record) = id.and_then(|id| state.registry.frameworks.get(id)) {
        if record.standing == FrameworkStanding::Removed {
            return conflict(
                "Framework has been removed; subscribe without an id to get a new one".to_owned(),
            );
        }
        if record.info.principal != description.info.principal {
            return conflict("a framework cannot change its principal; subscribe as before".to_owned());
        }
    } else if id.is_some_and(|id| id.as_str().starts_with(&format!("{}-", state.me.id))) {
        return conflict(
            "this master has never given that id; subscribe without an id to get one".to_owned(),
        );
    } else if state.frameworks.len() >= state.config.max_frameworks {
        return conflict(format!("this master has {} frameworks and takes no more", state.frameworks.len()));
    }
    Ok(description)
}

fn come_first(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    stream: StreamId,
    id: &FrameworkId,
    mut description: Description,
) {
    let info = &mut description.info;
    info.failover_timeout = info.failover_timeout.min(state.config.max_failover_timeout);
    registry::put_framework(state, effects, id, info, FrameworkStanding::Connected);
    state.allocator.add_framework(id.clone(), description.facts());
    let Description { info, suppressed, constraints } = description;
    let framework = Framework {
        info: Arc::new(info),
        stream: Some(stream),
        suppressed,
        constraints,
        registered: Some(now),
        reregistered: None,
        subscribed_by: 0,
        waiting: None,
        counters: Default::default(),
        calls: registry::call_budget(state, now),
    };
    state.frameworks.insert(id.clone(), framework);
    state.counters.frameworks_subscribed += 1;
    publish(state, effects, id, ClusterEvent::FrameworkAdded);
}

fn come_back(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    stream: StreamId,
    id: &FrameworkId,
    mut description: Description,
) {
    if let Some(old) = state.frameworks.set_stream(id, Some(stream)) {
        effects.framework(old, Event::Error("Framework failed over".to_owned()));
        effects.send.push(Outbound::CloseStream(old));
        // Offers belong to the conversation they were made in (INV-39).
        offers::discard_of(state, now, id);
    }
    let Some(known) = state.frameworks.get_mut(id) else { return };
    let info = &mut description.info;
    info.user.clone_from(&known.info.user);
    info.checkpoint = known.info.checkpoint;
    info.failover_timeout = info.failover_timeout.min(state.config.max_failover_timeout);
    known.info = Arc::new(info.clone());
    known.suppressed.clone_from(&description.suppressed);
    known.constraints.clone_from(&description.constraints);
    known.registered = known.registered.or(Some(now));
    known.reregistered = Some(now);
    known.waiting = None;
    registry::put_framework(state, effects, id, info, FrameworkStanding::Connected);
    state.deadlines.cancel(Timer::FrameworkRemoval(id.clone()));
    state.deadlines.cancel(Timer::StoreTimeLeft(id.clone()));
    // Down and up again, so that the filters of the old conversation go.
    state.allocator.deactivate_framework(id);
    state.allocator.update_framework(id, description.facts());
    state.allocator.request(id, None, Vec::new());
    state.allocator.activate_framework(id);
    inverse_offers::touch_all_of(state, id);
    state.counters.frameworks_resubscribed += 1;
    publish(state, effects, id, ClusterEvent::FrameworkUpdated);
}

/// Tells a framework that the master is there.
pub(crate) fn heartbeat(state: &mut State, effects: &mut Effects, now: Timestamp, id: &FrameworkId) {
    let Some(stream) = state.frameworks.get(id).and_then(|framework| framework.stream) else { return };
    effects.framework(stream, Event::Heartbeat);
    state.deadlines.set(Timer::Heartbeat(id.clone()), now + state.config.heartbeat_interval);
}

/// A framework's stream is no more: its offers go back, its tasks run on, its time runs.
pub(crate) fn stream_closed(state: &mut State, effects: &mut Effects, now: Timestamp, stream: StreamId) {
    let Some(id) = state.frameworks.on_stream(stream).cloned() else { return };
    state.frameworks.set_stream(&id, None);
    offers::discard_of(state, now, &id);
    state.allocator.deactivate_framework(&id);
    state.deadlines.cancel(Timer::Heartbeat(id.clone()));
    let Some(info) = state.frameworks.get(&id).map(|framework| framework.info.clone()) else { return };
    if info.failover_timeout.is_zero() {
        return remove(state, effects, now, &id, "its stream closed and it has no failover timeout");
    }
    let left = info.failover_timeout;
    registry::put_framework(state, effects, &id, &info, FrameworkStanding::Disconnected { left });
    await_return(state, now, &id, &info, left);
    publish(state, effects, &id, ClusterEvent::FrameworkUpdated);
}

/// So often is the time left of an absent framework stored over the whole of its failover timeout: that much at
/// most does a restart of the master add.
const STORED_TIMES: u32 = 8;

/// Sets the deadline of an absent framework, and has the time left stored now and then on the way there.
pub(crate) fn await_return(
    state: &mut State,
    now: Timestamp,
    id: &FrameworkId,
    info: &FrameworkInfo,
    left: Duration,
) {
    state.deadlines.set(Timer::FrameworkRemoval(id.clone()), now + left);
    let step = info.failover_timeout / STORED_TIMES;
    if step > Duration::ZERO {
        state.deadlines.set(Timer::StoreTimeLeft(id.clone()), now + step);
    }
}

/// Stores what is left of an absent framework's failover timeout, so that restarts of the master do not begin
/// it anew again and again.
pub(crate) fn store_time_left(state: &mut State, effects: &mut Effects, now: Timestamp, id: &FrameworkId) {
    let Some(at) = state.deadlines.get(&Timer::FrameworkRemoval(id.clone())) else { return };
    let Some(info) = state.frameworks.get(id).map(|framework| framework.info.clone()) else { return };
    let left = at.since(now);
    registry::put_framework(state, effects, id, &info, FrameworkStanding::Disconnected { left });
    await_return(state, now, id, &info, left);
}

/// Removes a framework for good and has its tasks killed.
///
/// Their resources count as free at once, though the tasks may take their grace period to end: an agent
/// holds back a launch that needs what they still use.
pub(crate) fn remove(state: &mut State, effects: &mut Effects, now: Timestamp, id: &FrameworkId, why: &str) {
    offers::discard_of(state, now, id);
    let Some(view) = snapshot::framework(state, id) else { return };
    let mut agents = state.tasks.agents_of(id);
    agents.append(&mut state.executors.agents_of(id));
    for agent in agents {
        if let Some(link) = state.agents.get(&agent).and_then(|agent| agent.link()) {
            effects.agent(link, ToAgent::ShutdownFramework { framework: id.clone() });
        }
    }
    end_tasks(state, effects, now, id);
    executors::framework_removed(state, now, id);
    feedback::framework_removed(state, effects, id);
    let Some(framework) = state.frameworks.remove(id) else { return };
    registry::put_framework(state, effects, id, &framework.info, FrameworkStanding::Removed);
    state.deadlines.cancel(Timer::FrameworkRemoval(id.clone()));
    state.deadlines.cancel(Timer::StoreTimeLeft(id.clone()));
    state.deadlines.cancel(Timer::Heartbeat(id.clone()));
    state.allocator.remove_framework(id);
    inverse_offers::forget_framework(state, id);
    if let Some(stream) = framework.stream {
        effects.framework(stream, Event::Error(format!("Framework has been removed: {why}")));
        effects.send.push(Outbound::CloseStream(stream));
    }
    let nothing = Quantities::default;
    let view = Arc::new(snapshot::FrameworkView {
        unregistered: Some(now),
        stream: None,
        allocated: nothing(),
        offered: nothing(),
        ..view
    });
    state.history.framework_removed(view.clone());
    state.counters.frameworks_removed += 1;
    effects.publish.push(ClusterEvent::FrameworkRemoved(view));
}

/// Ends and forgets the tasks of a framework that is being removed, of which nobody is left to hear.
fn end_tasks(state: &mut State, effects: &mut Effects, now: Timestamp, id: &FrameworkId) {
    let before = effects.publish.len();
    let tasks = state.tasks.of_framework(id);
    let tasks: Vec<_> =
        tasks.map(|task| (task.id().clone(), task.agent().clone(), task.state.is_terminal())).collect();
    for (task, agent, ended) in tasks {
        if !ended {
            let status = TaskStatus::new(task.clone(), TaskState::Killed, Source::Master, now)
                .because(Reason::FrameworkRemoved)
                .saying("its framework has been removed")
                .on(agent);
            updates::note(state, effects, now, id, &status);
        }
        updates::forget(state, id, &task);
    }
    // Each was told when it was launched: who could keep up with that can keep up with all of them at once.
    let told = effects.publish.split_off(before);
    if !told.is_empty() {
        effects.publish.push(ClusterEvent::Several(told.into()));
    }
}

/// Tells those who watch the cluster of a framework as it is now.
pub(crate) fn publish(
    state: &State,
    effects: &mut Effects,
    id: &FrameworkId,
    event: fn(Arc<snapshot::FrameworkView>) -> ClusterEvent,
) {
    if let Some(view) = snapshot::framework(state, id) {
        effects.publish.push(event(Arc::new(view)));
    }
}
