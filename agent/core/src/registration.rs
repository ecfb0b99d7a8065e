//! Becoming known to the master, and staying so.
//!
//! A link is up or down; over a link the agent asks for registration, again and again with growing waits,
//! until it is answered. From then on the master pings; if it falls silent the link counts as dead, for
//! the master will call the agent unreachable at about the same time.
//!
//! A second registration over one link says nothing new: the link keeps order, so whatever the master
//! sent after it had answered the first is known to neither message. The master answers it and compares
//! no tasks.
//!
//! Invariants
//! - An agent has one id for life; a master that calls it by another is the wrong one.
//! - Updates go only over a link on which the agent is registered.
//!
//! Source: Mesos agent, `--registration_backoff_factor` (1 s, at most 1 min); `MASTER_PING_TIMEOUT`.

use std::time::Duration;

use lonja_model::agent::AgentInfo;
use lonja_model::checkpoint::{CheckpointOp, Identity};
use lonja_model::link::{AgentTask, FromAgent, ToAgent};
use lonja_model::{AgentId, TaskState, Timestamp};

use crate::deadlines::Deadline;
use crate::effects::Note;
use crate::status_updates;
use crate::turn::Turn;

/// No wait is shorter than this, whatever the configuration says, lest one instant never ends.
pub(crate) const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// How the agent stands with the master.
#[derive(Debug, Default)]
pub(crate) struct Registration {
    link: Link,
    /// Registrations sent or refused since the last success: each doubles the wait.
    tries: u32,
    /// The master refused: no try before this, whatever links come and go.
    not_before: Option<Timestamp>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Link {
    #[default]
    Down,
    /// Up, not yet registered over it.
    Fresh,
    /// Registered; the master may be silent for so long. `None`: for ever.
    Registered { patience: Option<Duration> },
}

impl Registration {
    /// Does a master know the agent over the present link?
    pub(crate) fn is_registered(&self) -> bool {
        matches!(self.link, Link::Registered { .. })
    }

    /// Is a registration under way?
    pub(crate) fn is_asking(&self) -> bool {
        self.link == Link::Fresh
    }

    /// Does `message` make sense over the link as it stands?
    pub(crate) fn accepts(&self, message: &ToAgent) -> bool {
        match self.link {
            Link::Down => false,
            Link::Fresh => {
                matches!(message, ToAgent::Registered { .. } | ToAgent::Refused { .. } | ToAgent::Ping { .. })
            }
            Link::Registered { .. } => true,
        }
    }
}

/// A new link: ask at once, unless a refusal says later.
pub(crate) fn link_up(turn: &mut Turn<'_>) {
    drop_link(turn);
    turn.registration.link = Link::Fresh;
    match turn.registration.not_before.filter(|at| *at > turn.now) {
        Some(at) => turn.deadlines.set(Deadline::Register, at),
        None => {
            // A refusal is about the agent, not about the link: after one the waits keep growing.
            if turn.registration.not_before.is_none() {
                turn.registration.tries = 0;
            }
            register_again(turn);
        }
    }
}

/// The link is gone: nothing is asked and nothing told until the next.
pub(crate) fn link_down(turn: &mut Turn<'_>) {
    drop_link(turn);
}

fn drop_link(turn: &mut Turn<'_>) {
    turn.registration.link = Link::Down;
    turn.deadlines.clear(&Deadline::Register);
    turn.deadlines.clear(&Deadline::Silence);
    status_updates::pause(turn);
    turn.effects.send.clear();
    turn.effects.new_link = true;
}

/// Asks for registration, and sets the time to ask again.
pub(crate) fn register_again(turn: &mut Turn<'_>) {
    let message = match turn.identity.as_ref() {
        None => FromAgent::Register {
            info: Box::new(AgentInfo { id: None, ..turn.config.info.clone() }),
            version: turn.config.version.clone(),
        },
        Some(identity) => reregistration(turn, identity.agent.clone()),
    };
    turn.effects.send.push(message);
    let wait = next_wait(turn);
    turn.deadlines.set(Deadline::Register, turn.now + wait);
}

/// Everything the agent knows, but for tasks of frameworks that were shut down: the master has counted
/// those out, and nobody waits for them.
fn reregistration(turn: &Turn<'_>, agent: AgentId) -> FromAgent {
    let mut tasks = Vec::with_capacity(turn.book.len());
    let mut frameworks = Vec::new();
    for ((framework, _), task) in turn.book.iter().filter(|(_, task)| !task.record.orphaned) {
        if frameworks.last().is_none_or(|(last, _)| last != framework)
            && let Some(info) = turn.book.frameworks().get(framework)
        {
            frameworks.push((framework.clone(), info.clone()));
        }
        let record = &task.record;
        tasks.push(AgentTask {
            framework: framework.clone(),
            role: record.role.clone(),
            info: record.info.clone(),
            state: record.state,
            container: has_container(record.state).then(|| record.container.clone()),
        });
    }
    let info = Box::new(AgentInfo { id: Some(agent.clone()), ..turn.config.info.clone() });
    FromAgent::Reregister { agent, info, version: turn.config.version.clone(), tasks, frameworks }
}

/// May a task in `state` have, or have had, a container?
pub(crate) fn has_container(state: TaskState) -> bool {
    state != TaskState::Staging && state != TaskState::Dropped
}

fn next_wait(turn: &mut Turn<'_>) -> Duration {
    let factor = 1u32.checked_shl(turn.registration.tries).unwrap_or(u32::MAX);
    turn.registration.tries = turn.registration.tries.saturating_add(1);
    let wait = turn.config.registration_backoff.saturating_mul(factor);
    turn.draws.jitter(wait.min(turn.config.registration_backoff_max)).max(SHORTEST_WAIT)
}

/// The master knows the agent.
pub(crate) fn registered(
    turn: &mut Turn<'_>,
    agent: AgentId,
    ping_interval: Duration,
    max_missed_pings: u32,
) {
    if let Some(known) = turn.agent()
        && *known != agent
    {
        let reason = format!(
            "the master calls this agent {agent}, its checkpoint says {known}: this is another cluster, or \
             the work dir of another agent. Start it on the right master, or on an empty work dir"
        );
        stop(turn, reason);
        return;
    }
    keep_identity(turn, agent);
    let patience =
        Some(ping_interval.saturating_mul(max_missed_pings)).filter(|patience| !patience.is_zero());
    let was_registered = turn.registration.is_registered();
    *turn.registration = Registration { link: Link::Registered { patience }, tries: 0, not_before: None };
    turn.deadlines.clear(&Deadline::Register);
    listen(turn);
    if !was_registered {
        status_updates::resume(turn);
    }
}

/// Makes durable who the agent is, if that is news.
fn keep_identity(turn: &mut Turn<'_>, agent: AgentId) {
    let info = AgentInfo { id: None, ..turn.config.info.clone() };
    let identity = Identity { agent, info };
    if turn.identity.as_ref() != Some(&identity) {
        turn.effects.persist.push(CheckpointOp::Identity(Box::new(identity.clone())));
        *turn.identity = Some(identity);
    }
}

/// The master does not want the agent, now or ever.
pub(crate) fn refused(turn: &mut Turn<'_>, reason: String, permanent: bool) {
    if permanent {
        stop(turn, format!("the master refuses this agent for good: {reason}"));
        return;
    }
    turn.note(Note::Refused { reason });
    turn.registration.link = Link::Fresh;
    turn.deadlines.clear(&Deadline::Silence);
    status_updates::pause(turn);
    // The try that was refused has set the time of the next already.
    let at = turn.deadlines.get(&Deadline::Register).unwrap_or_else(|| turn.now + next_wait(turn));
    turn.registration.not_before = Some(at);
    turn.deadlines.set(Deadline::Register, at);
}

fn stop(turn: &mut Turn<'_>, reason: String) {
    drop_link(turn);
    turn.effects.shutdown = Some(reason);
}

/// The master asks for a sign of life, and gives one.
pub(crate) fn ping(turn: &mut Turn<'_>, sequence: u64) {
    turn.effects.send.push(FromAgent::Pong { sequence });
    listen(turn);
}

/// Counts the master's silence from now on.
fn listen(turn: &mut Turn<'_>) {
    match turn.registration.link {
        Link::Registered { patience: Some(patience) } => {
            turn.deadlines.set(Deadline::Silence, turn.now + patience)
        }
        Link::Registered { patience: None } | Link::Down | Link::Fresh => {
            turn.deadlines.clear(&Deadline::Silence)
        }
    }
}

/// The master has been silent for too long.
pub(crate) fn silence(turn: &mut Turn<'_>) {
    turn.note(Note::Silence);
    drop_link(turn);
    turn.effects.reconnect = true;
}
