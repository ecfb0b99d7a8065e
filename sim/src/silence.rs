//! What silence brings about, and when (INV-33, INV-35).
//!
//! All is measured by the master's own clock, from when a word got to its host: so the limits hold to the nanosecond,
//! however fast that clock runs, and nothing is allowed for skew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_master_core::{Config, Effects, Outbound, Snapshot};
use lonja_model::registry::{AgentStanding, Registry, RegistryOp};
use lonja_model::scheduler::Event;
use lonja_model::{AgentId, TaskState, Timestamp};

use crate::invariants::Broken;
use crate::network::ConnectionId;
use crate::world::{Node, World};

/// A master may be so late: it waits for commits, and is looked at only now and then.
const SLACK: Duration = Duration::from_secs(2);

/// What masters are set to.
#[derive(Clone, Copy, Debug)]
struct Limits {
    ping: Duration,
    silence: Duration,
    reregistration: Duration,
    brake_least: usize,
    brake_percent: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let config = Config::default();
        Self {
            ping: config.ping_interval,
            silence: config.silence_limit(),
            reregistration: config.agent_reregister_timeout,
            brake_least: config.removal_brake_least,
            brake_percent: usize::try_from(config.removal_brake_percent).unwrap_or(100),
        }
    }
}

/// When the present master heard of whom.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    limits: Limits,
    started: Timestamp,
    /// When it last went on after having been stopped: what waited then was heard then.
    resumed: Timestamp,
    heard: BTreeMap<ConnectionId, Timestamp>,
    /// Over which link each agent was last welcomed.
    links: BTreeMap<AgentId, ConnectionId>,
    /// When so many were silent together, last, that the brake may have held.
    crowded: Option<Timestamp>,
}

impl Silence {
    pub(crate) fn master_starts(&mut self, now: Timestamp) {
        *self = Self { limits: self.limits, started: now, resumed: now, ..Self::default() };
    }

    pub(crate) fn master_resumes(&mut self, now: Timestamp) {
        self.resumed = now;
    }

    /// The master has waited so long for its disk: what came meanwhile is heard now, and beyond a ping interval it takes
    /// that for time in which it was stopped.
    pub(crate) fn master_waited(&mut self, time: Duration, now: Timestamp) {
        if time >= SLACK / 2 {
            self.master_resumes(now);
        }
    }

    /// A word of an agent gets to the master's host.
    pub(crate) fn hears(&mut self, link: ConnectionId, now: Timestamp) {
        let before = self.heard.insert(link, now);
        if before.is_some_and(|before| now.since(before) >= self.limits.ping * 2) {
            self.crowded = Some(now);
        }
    }

    /// The master welcomes an agent.
    pub(crate) fn welcomes(&mut self, agent: &AgentId, link: ConnectionId, now: Timestamp) {
        if let Some(old) = self.links.insert(agent.clone(), link).filter(|old| *old != link) {
            self.heard.remove(&old);
            self.crowded = Some(now);
        }
    }

    /// When the agent was last heard, if this master has welcomed it.
    fn last_word(&self, agent: &AgentId) -> Option<Timestamp> {
        self.heard.get(self.links.get(agent)?).copied()
    }

    /// How long it has been silent, and how long it may be.
    fn of(&self, agent: &AgentId, now: Timestamp) -> (Duration, Duration) {
        match self.last_word(agent) {
            Some(at) => (now.since(at), self.limits.silence),
            None => (now.since(self.started), self.limits.reregistration),
        }
    }

    /// The agent is about to be declared unreachable: its silence was long enough.
    pub(crate) fn is_long_enough(&self, agent: &AgentId, now: Timestamp) -> Result<(), Broken> {
        let (silence, limit) = self.of(agent, now);
        if silence >= limit {
            return Ok(());
        }
        let what = format!("agent {agent} is called unreachable after {silence:?}, the limit is {limit:?}");
        Err(Broken::new("INV-33", what))
    }

    /// None of `agents`, which count as there, has been silent for longer than the limit and one ping, unless so many
    /// are silent together that the brake may hold.
    pub(crate) fn is_noticed<'a>(
        &mut self,
        agents: impl Iterator<Item = &'a AgentId>,
        now: Timestamp,
    ) -> Result<(), Broken> {
        let silences: Vec<_> = agents.map(|agent| (agent, self.of(agent, now))).collect();
        let quiet = silences.iter().filter(|(_, (silence, _))| *silence >= self.limits.ping * 2).count();
        if quiet >= self.limits.brake_least {
            self.crowded = Some(now);
        }
        let late = self.limits.ping + SLACK;
        // The brake is looked at once a ping, and the crowd now and then.
        if self.crowded.is_some_and(|at| now.since(at) <= late + self.limits.ping) {
            return Ok(());
        }
        for (agent, (silence, limit)) in silences {
            let since_resumed = now.since(self.resumed);
            if silence.min(since_resumed) > limit + late {
                let what = format!("agent {agent} is silent for {silence:?} and not called unreachable");
                return Err(Broken::new("INV-33", what));
            }
        }
        Ok(())
    }

    /// Agents are about to be declared unreachable, out of all that were there, none of them drained. INV-35: most of
    /// them are not silent together.
    pub(crate) fn is_no_cut_cable<'a>(
        &self,
        present: impl Iterator<Item = &'a AgentId>,
        now: Timestamp,
    ) -> Result<(), Broken> {
        let mut counts = (0, 0);
        for agent in present {
            let silence = self.of(agent, now).0.min(now.since(self.resumed));
            counts.0 += 1;
            counts.1 += usize::from(silence >= self.limits.ping * 2);
        }
        let (present, silent) = counts;
        if silent < self.limits.brake_least || silent * 100 <= present * self.limits.brake_percent {
            return Ok(());
        }
        let what = format!("{silent} of {present} agents are silent together, and one is called unreachable");
        Err(Broken::new("INV-35", what))
    }
}

/// INV-33: every task of an agent that is declared unreachable is so in the master's eyes, and each subscribed framework
/// is told of its own, all of them partition-aware here.
pub(crate) fn owners_are_told(agent: &AgentId, snapshot: &Snapshot, sent: &[Outbound]) -> Result<(), Broken> {
    let mut told = BTreeSet::new();
    let mut came = BTreeSet::new();
    for out in sent {
        match out {
            Outbound::Framework(_, Event::Update(status)) if status.state == TaskState::Unreachable => {
                told.insert(status.task.clone());
            }
            Outbound::Framework(_, Event::Subscribed { framework, .. }) => {
                came.insert(framework.clone());
            }
            _ => {}
        }
    }
    for task in snapshot.tasks.iter().filter(|task| task.info.agent == *agent) {
        if !task.state.is_terminal() && task.state != TaskState::Unreachable {
            let what = format!("agent {agent} is unreachable, its task {} is {}", task.info.id, task.state);
            return Err(Broken::new("INV-33", what));
        }
        let owner = snapshot.frameworks.iter().find(|framework| framework.id == task.framework);
        let listens = owner.is_some_and(|owner| owner.stream.is_some() && !came.contains(&owner.id));
        if listens && task.state == TaskState::Unreachable && !told.contains(&task.info.id) {
            let what =
                format!("agent {agent} is unreachable, {} is not told of {}", task.framework, task.info.id);
            return Err(Broken::new("INV-33", what));
        }
    }
    Ok(())
}

fn present(registry: &Registry) -> impl Iterator<Item = &AgentId> {
    let all = registry.agents.iter();
    all.filter(|(_, record)| record.standing == AgentStanding::Admitted).map(|(id, _)| id)
}

impl World {
    /// The master is about to make `effects` durable: whom it declares unreachable.
    pub(crate) fn judge_declarations(&self, effects: &Effects) -> Result<(), Broken> {
        let is_unreachable = |op: &RegistryOp| match op {
            RegistryOp::Agent(id, Some(record))
                if matches!(record.standing, AgentStanding::Unreachable { .. }) =>
            {
                Some(id.clone())
            }
            _ => None,
        };
        let declared: BTreeSet<AgentId> = effects.persist.iter().filter_map(is_unreachable).collect();
        let registry = self.master.disk.committed();
        let is_new = |id: &&AgentId| {
            let before = registry.agents.get(*id).map(|record| record.standing);
            !matches!(before, Some(AgentStanding::Unreachable { .. }))
        };
        let declared: Vec<&AgentId> = declared.iter().filter(is_new).collect();
        let (false, Some(process)) = (declared.is_empty(), &self.master.process) else { return Ok(()) };
        let now = self.local(Node::Master);
        let silence = &self.partitions.silence;
        let snapshot = process.core.snapshot();
        for agent in declared {
            silence.is_long_enough(agent, now)?;
            owners_are_told(agent, &snapshot, &effects.send)?;
        }
        if !self.partitions.any_emptied() {
            silence.is_no_cut_cable(present(registry), now)?;
        }
        Ok(())
    }

    /// Whom the master should have declared unreachable.
    pub(crate) fn judge_silence(&mut self) -> Result<(), Broken> {
        let Some(process) = &self.master.process else { return Ok(()) };
        if process.committing.is_some() || self.stalled_until(Node::Master).is_some() {
            return Ok(());
        }
        let now = self.local(Node::Master);
        let registry = self.master.disk.committed();
        self.partitions.silence.is_noticed(present(registry), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A master that welcomed so many agents at second 100 and heard nothing since.
    fn silent(agents: u64) -> (Silence, Vec<AgentId>, Timestamp) {
        let (mut silence, start) = (Silence::default(), Timestamp::ZERO + secs(100));
        silence.master_starts(start);
        let ids: Vec<_> = (0..agents).map(|i| AgentId::new(format!("S{i}")).expect("an id")).collect();
        for (number, id) in (0..).zip(&ids) {
            silence.hears(ConnectionId(number), start);
            silence.welcomes(id, ConnectionId(number), start);
        }
        (silence, ids, start)
    }

    #[test]
    fn a_declaration_a_nanosecond_too_soon_is_noticed() {
        let (silence, ids, start) = silent(1);
        let limit = start + Config::default().silence_limit();
        assert!(silence.is_long_enough(&ids[0], limit).is_ok());
        assert!(silence.is_long_enough(&ids[0], limit - Duration::from_nanos(1)).is_err());
    }

    #[test]
    fn a_declaration_that_does_not_come_is_noticed_unless_the_brake_may_hold() {
        let Limits { ping, silence: limit, .. } = Limits::default();
        let late = secs(1) + SLACK + ping + limit;
        for (agents, wrong) in [(1, true), (2, true), (3, false)] {
            let (mut silence, ids, start) = silent(agents);
            assert!(silence.is_noticed(ids.iter(), start + limit).is_ok());
            assert_eq!(silence.is_noticed(ids.iter(), start + late).is_err(), wrong, "{agents}");
        }
    }

    #[test]
    fn a_cut_cable_is_told_from_a_dead_agent() {
        let (mut silence, ids, start) = silent(7);
        let now = start + secs(75);
        assert!(silence.is_no_cut_cable(ids.iter(), now).is_err());
        (0..4).for_each(|link| silence.hears(ConnectionId(link), now));
        assert!(silence.is_no_cut_cable(ids.iter(), now).is_ok(), "three of seven");
    }
}
