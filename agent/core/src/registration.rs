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

use lonja_model::agent::{AgentCapability, AgentInfo};
use lonja_model::checkpoint::{CheckpointOp, Identity};
use lonja_model::link::{AgentTask, FromAgent, ToAgent};
use lonja_model::{AgentId, TaskState, Timestamp};

use crate::deadlines::Deadline;
use crate::effects::Note;
use crate::executors;
use crate::operations;
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
    operations::pause(turn);
    turn.effects.send.clear();
    turn.effects.new_link = true;
}

/// Asks for registration, and sets the time to ask again.
pub(crate) fn register_again(turn: &mut Turn<'_>) {
    let message = match turn.identity.as_ref() {
        None => FromAgent::Register {
            info: Box::new(AgentInfo { id: None, ..turn.config.info.clone() }),
            version: turn.config.version.clone(),
            capabilities: AgentCapability::all(),
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
            info: (*record.info).clone(),
            state: record.state,
            container: has_container(record.state).then(|| record.container.clone()),
            pid: task.place.pid(),
            healthy: record.watched.healthy,
            check: record.watched.check,
        });
    }
    let info = Box::new(AgentInfo { id: Some(agent.clone()), ..turn.config.info.clone() });
    let total = turn.book.ledger().total().clone();
    let operations = turn.operations.records().cloned().collect();
    let version = turn.config.version.clone();
    let executors = executors::report(turn);
    let capabilities = AgentCapability::all();
    FromAgent::Reregister {
        agent,
        info,
        version,
        tasks,
        frameworks,
        total,
        operations,
        executors,
        capabilities,
    }
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
        // The master waits for this word before it offers the agent: it leaves once the id is durable, so that
        // no task is ever sent to an agent that could come back without knowing its own name.
        turn.effects.send.push(FromAgent::Pong { sequence: 0 });
        operations::resume(turn);
        executors::resume(turn);
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
    operations::pause(turn);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::*;

    fn registers(effects: &crate::Effects) -> bool {
        matches!(effects.send[..], [FromAgent::Register { .. }])
    }

    fn tasks_told(effects: &crate::Effects) -> Vec<AgentTask> {
        match &effects.send[..] {
            [FromAgent::Reregister { tasks, .. }, ..] => tasks.clone(),
            other => panic!("no registration in {other:?}"),
        }
    }

    #[test]
    fn a_new_agent_asks_for_an_id_as_soon_as_there_is_a_link() {
        let mut stage = newborn("cpus:4");
        assert!(registers(&stage.link_up()));
        assert!(!stage.agent.is_registered());
    }

    #[test]
    fn registration_is_tried_again_with_growing_waits_up_to_a_minute() {
        let mut stage = newborn("cpus:4");
        let _ = stage.link_up();
        for doubled in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let wait = stage.next_in().unwrap();
            assert!(wait <= secs(doubled) && wait >= secs(doubled) / 2, "{wait:?}");
            assert!(registers(&stage.after(wait)));
        }
    }

    #[test]
    fn an_identity_is_durable_and_used_from_then_on() {
        let mut stage = newborn("cpus:4");
        let _ = stage.link_up();
        let effects = stage.registered();
        assert!(
            matches!(&effects.persist[..], [CheckpointOp::Identity(identity)] if identity.agent.as_str() == "a1")
        );
        let _ = stage.restart(&[]);
        assert_eq!(stage.agent.id().map(AgentId::as_str), Some("a1"));
        assert!(tasks_told(&stage.link_up()).is_empty());
        assert!(stage.registered().persist.is_empty(), "nothing new to remember");
    }

    #[test]
    fn an_agent_that_grew_remembers_so_once_it_is_registered() {
        let mut stage = agent("cpus:4");
        stage.config.info = agent_info("cpus:8");
        let _ = stage.restart(&[]);
        let _ = stage.back_online();
        assert_eq!(stage.checkpoint.identity.unwrap().info.resources, resources("cpus:8"));
    }

    #[test]
    fn a_returning_agent_tells_of_every_task_also_of_unacknowledged_ends() {
        let mut stage = agent("cpus:4");
        let _ = stage.running("f1", "t1", "cpus:1");
        let _ = stage.running("f2", "t2", "cpus:1");
        let _ = stage.exited("t2", exit(0));
        let _ = stage.run("f2", "too-big", "cpus:9");
        let _ = stage.link_down();
        let effects = stage.link_up();
        let told: Vec<_> = tasks_told(&effects)
            .iter()
            .map(|task| (task.info.id.to_string(), task.state, task.container.is_some()))
            .collect();
        let expected = [
            ("t1".to_owned(), TaskState::Running, true),
            ("t2".to_owned(), TaskState::Finished, true),
            ("too-big".to_owned(), TaskState::Dropped, false),
        ];
        let mut told = told;
        told.sort();
        assert_eq!(told, expected);
        let FromAgent::Reregister { frameworks, .. } = &effects.send[0] else { panic!() };
        assert_eq!(frameworks.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["f1", "f2"]);
    }

    #[test]
    fn a_master_that_uses_another_id_is_the_wrong_one() {
        let mut stage = agent("cpus:4");
        let _ = stage.link_down();
        let _ = stage.link_up();
        let effects = stage.registered_as("a2");
        assert!(effects.shutdown.unwrap().contains("another cluster"));
        assert_eq!(stage.checkpoint.identity.as_ref().unwrap().agent.as_str(), "a1");
        assert_eq!(
            stage.run("f1", "t1", "cpus:1"),
            crate::Effects::default(),
            "a stopped agent does nothing"
        );
    }

    #[test]
    fn a_refusal_for_good_stops_the_agent_and_says_why() {
        let mut stage = newborn("cpus:4");
        let _ = stage.link_up();
        let effects = stage.receive(ToAgent::Refused { reason: "marked gone".into(), permanent: true });
        assert!(effects.shutdown.unwrap().contains("marked gone"));
        assert_eq!(stage.agent.next_deadline(), None);
    }

    #[test]
    fn a_refusal_for_now_is_waited_out_over_new_links_too() {
        let mut stage = newborn("cpus:4");
        let _ = stage.link_up();
        let effects = stage.receive(ToAgent::Refused { reason: "busy".into(), permanent: false });
        assert!(effects.send.is_empty() && effects.shutdown.is_none());
        let _ = stage.link_down();
        assert!(stage.link_up().send.is_empty());
        let wait = stage.next_in().unwrap();
        assert!(wait >= millis(500) && wait <= secs(1), "{wait:?}");
        assert!(registers(&stage.after(wait)));
    }

    #[test]
    fn a_ping_is_answered_by_its_number() {
        let mut stage = agent("cpus:4");
        assert_eq!(stage.receive(ToAgent::Ping { sequence: 7 }).send, [FromAgent::Pong { sequence: 7 }]);
    }

    /// The master asks so before it takes a returning agent at its word.
    #[test]
    fn a_ping_is_answered_before_the_master_has_answered_the_registration() {
        let mut stage = agent("cpus:4");
        let _ = stage.link_down();
        assert!(tasks_told(&stage.link_up()).is_empty());
        assert_eq!(stage.receive(ToAgent::Ping { sequence: 0 }).send, [FromAgent::Pong { sequence: 0 }]);
        assert!(!stage.agent.is_registered());
    }

    #[test]
    fn a_silent_master_makes_the_agent_connect_anew() {
        let mut stage = agent("cpus:4");
        let _ = stage.after(PING * 4);
        let _ = stage.receive(ToAgent::Ping { sequence: 1 });
        assert!(!stage.after(PING * 5 - millis(1)).reconnect);
        let effects = stage.after(millis(1));
        assert!(effects.reconnect && !stage.agent.is_registered());
        assert_eq!(stage.agent.next_deadline(), None, "without a link nothing is waited for");
        assert!(tasks_told(&stage.link_up()).is_empty());
    }

    #[test]
    fn what_an_old_link_was_to_carry_does_not_go_over_the_next() {
        let mut stage = agent("cpus:4");
        let mut batch = stage.run("f1", "t1", "cpus:1");
        assert_eq!(states(&batch), [TaskState::Starting]);
        batch.append(stage.link_down());
        batch.append(stage.link_up());
        assert_eq!(batch.send.len(), 1);
        assert_eq!(tasks_told(&batch).len(), 1);
        assert_eq!(batch.launch.len(), 1, "but the launch stands");
    }

    #[test]
    fn nothing_but_registration_is_listened_to_before_registration() {
        let mut stage = newborn("cpus:4");
        let _ = stage.link_up();
        let effects = stage.run("f1", "t1", "cpus:1");
        assert!(effects.persist.is_empty() && effects.launch.is_empty());
        assert_eq!(effects.notes, [Note::Unexpected { message: "Run" }]);
    }
}
