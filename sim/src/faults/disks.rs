//! Disks that fill up, fail, slow down and rot; hosts that lose power; agents that are declared gone.
//!
//! What each comes to for a commit is told in [`disk`](crate::disk). What the daemons make of it is theirs: a failed commit
//! ends the process, which is started again within seconds; a slow one makes everything wait, the answers to pings
//! too.
//!
//! A rotten disk is an agent that comes back with nothing: its containers are strangers to it and go (INV-26), it
//! registers under a new id, and an operator declares the old one gone, or its tasks would be waited for until the end of
//! days. The same happens to an agent that was declared gone by mistake: it is told to stop for good, and its machine is
//! set up anew.
//!
//! Power loss is more than a kill: containers die with their agent, what was not synced is forgotten, and process ids
//! mean nothing any more.

use std::time::Duration;

use lonja_master_core::agents::Presence;
use lonja_model::registry::AgentStanding;
use lonja_model::{AgentId, Timestamp};

use crate::disk::{Betrayal, Fate, Health};
use crate::faults::{Kill, Shape};
use crate::invariants::Broken;
use crate::operator::Wish;
use crate::random::Random;
use crate::world::{Happening, Node, World};

/// After how many seconds an operator declares an agent gone whose disk is, and says it again, lest no master heard it.
const DECLARES_AFTER: [u64; 4] = [20, 200, 800, 2_000];
/// After how many seconds of quiet an operator looks for agents that nobody is.
const TIDIES_UP_AFTER: [u64; 4] = [60, 300, 900, 2_000];

/// What [`DiskFault::kind`] can say.
pub(crate) const KINDS: [&str; 8] = [
    "disk full",
    "disk fails once",
    "disk fails",
    "disk slow",
    "disk stalls",
    "power loss",
    "disk rots",
    "agent declared gone",
];

/// One thing that goes wrong with a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskFault {
    /// A disk behaves like this for a while.
    Ails { node: Node, health: Health, lasts: Duration },
    /// A machine loses power and starts again.
    PowerLoss { node: Node, down: Duration },
    /// An agent's disk is gone with all that was on it.
    Rots { agent: usize, down: Duration },
    /// An operator declares an agent gone that is not.
    DeclaredGone { agent: usize },
}

/// The faults of one run, in order, all between the two times.
pub(super) fn draw(
    random: &mut Random,
    between: (Timestamp, Timestamp),
    shape: &Shape,
) -> Vec<(Timestamp, DiskFault)> {
    // Some runs have only sound disks.
    if random.chance(20) {
        return Vec::new();
    }
    super::moments(random, between).into_iter().map(|at| (at, any(random, shape))).collect()
}

fn any(random: &mut Random, shape: &Shape) -> DiskFault {
    let agent = random.index(shape.agents);
    let node = match random.below(10) {
        0..3 => Node::Master,
        3..8 => Node::Agent(agent),
        _ => Node::Framework(random.index(shape.frameworks)),
    };
    match random.below(20) {
        0..3 => DiskFault::Ails { node, health: Health::Full, lasts: random.millis(1_000, 120_000) },
        3..6 => DiskFault::Ails { node, health: Health::FailsOnce, lasts: Duration::from_secs(600) },
        6..8 => DiskFault::Ails { node, health: Health::Fails, lasts: random.millis(1_000, 60_000) },
        8..10 => DiskFault::Ails { node, health: Health::Slow, lasts: random.millis(10_000, 120_000) },
        10..12 => DiskFault::Ails { node, health: Health::Stalls, lasts: Duration::from_secs(600) },
        12..18 => DiskFault::PowerLoss { node, down: random.millis(5_000, 180_000) },
        18 => DiskFault::Rots { agent, down: random.millis(30_000, 300_000) },
        _ => DiskFault::DeclaredGone { agent },
    }
}

impl DiskFault {
    /// What kind of fault it is, for counts.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Ails { health: Health::Full, .. } => "disk full",
            Self::Ails { health: Health::FailsOnce, .. } => "disk fails once",
            Self::Ails { health: Health::Fails, .. } => "disk fails",
            Self::Ails { health: Health::Slow, .. } => "disk slow",
            Self::Ails { health: Health::Stalls, .. } => "disk stalls",
            Self::Ails { health: Health::Sound, .. } => "disk sound",
            Self::PowerLoss { .. } => "power loss",
            Self::Rots { .. } => "disk rots",
            Self::DeclaredGone { .. } => "agent declared gone",
        }
    }
}

impl World {
    /// Something goes wrong with a machine.
    pub(crate) fn disk_fault(&mut self, fault: DiskFault) -> Result<(), Broken> {
        self.journal.note(self.now, fault.kind(), [0, 0], || format!("fault: {fault:?}"));
        match fault {
            DiskFault::Ails { node, health, lasts } => {
                // A disk that is full never slows down the end of the faults.
                let until = (self.now + lasts).min(self.calm_at);
                match node {
                    Node::Master => self.master.disk.ail(health, until),
                    Node::Agent(i) => self.agents[i].disk.ail(health, until),
                    Node::Framework(i) => self.frameworks[i].disk.ail(health, until),
                }
                Ok(())
            }
            DiskFault::PowerLoss { node, down } => self.lose_power(node, down),
            DiskFault::Rots { agent, down } => {
                self.wipe(agent);
                if self.life(Node::Agent(agent)).is_some() {
                    self.die(Kill::now(Node::Agent(agent), down), false)?;
                    self.forget_everything(agent);
                } else {
                    self.forget_everything(agent);
                }
                Ok(())
            }
            DiskFault::DeclaredGone { agent } => {
                let identity = self.agents[agent].disk.committed().identity.as_ref();
                if let Some(agent) = identity.map(|identity| identity.agent.clone()) {
                    self.queue.at(self.now, Happening::Operate(Wish::Gone(agent)));
                }
                Ok(())
            }
        }
    }

    /// A machine loses power; after a while it and its process start again.
    pub(crate) fn lose_power(&mut self, node: Node, down: Duration) -> Result<(), Broken> {
        if let Node::Agent(i) = node {
            let host = &mut self.agents[i];
            host.kernel.lose_power(&mut self.random);
        }
        if self.life(node).is_some() {
            let durable = self.random.chance(50);
            // A machine without power tells nobody that its connections are no more.
            self.die(Kill { silent: true, ..Kill::now(node, down) }, durable)?;
        }
        match node {
            Node::Master => self.master.disk.lose_power(),
            Node::Agent(i) => self.agents[i].disk.lose_power(),
            Node::Framework(i) => self.frameworks[i].disk.lose_power(),
        }
        Ok(())
    }

    /// An agent's disk is about to be lost: its id will never be heard of again, and an operator says so, in time.
    fn wipe(&mut self, agent: usize) {
        let checkpoint = self.agents[agent].disk.committed().clone();
        let Some(identity) = &checkpoint.identity else { return };
        let id = identity.agent.clone();
        let settling = [1, 60, 300].map(|seconds| self.calm_at.max(self.now) + Duration::from_secs(seconds));
        let soon = DECLARES_AFTER.map(|seconds| self.now + Duration::from_secs(seconds));
        for at in soon.into_iter().chain(settling) {
            self.queue.at(at, Happening::Operate(Wish::Gone(id.clone())));
        }
        self.oracle.agent_is_lost(&checkpoint);
        self.lost.push(checkpoint);
        // What runs there is a stranger to the next agent.
        self.partitions.wants_empty(agent);
    }

    fn forget_everything(&mut self, agent: usize) {
        self.agents[agent].disk = Default::default();
        self.agents[agent].kill_watch.clear();
    }

    /// An agent was told to stop for good. If its id is gone, its machine is set up anew; for any other reason it is a
    /// mistake.
    pub(crate) fn gives_up(&mut self, agent: usize, reason: &str) -> Result<(), Broken> {
        let registry = self.master.disk.committed();
        let identity = self.agents[agent].disk.committed().identity.as_ref();
        let standing =
            identity.and_then(|identity| registry.agents.get(&identity.agent)).map(|record| record.standing);
        if !matches!(standing, Some(AgentStanding::Gone { .. })) {
            return Err(Broken::new("liveness", format!("agent {agent} gives up: {reason}")));
        }
        let down = self.random.millis(30_000, 300_000);
        self.wipe(agent);
        self.die(Kill::now(Node::Agent(agent), down), false)?;
        self.forget_everything(agent);
        Ok(())
    }

    /// Once the faults are over an operator sees to it that nobody waits for names that agents never learned or have
    /// lost: many of them together look like a cut cable, and the master removes none by itself (INV-35).
    pub(crate) fn tidy_up_later(&mut self) {
        for seconds in TIDIES_UP_AFTER {
            self.queue.at(self.now + Duration::from_secs(seconds), Happening::Operate(Wish::TidyUp));
        }
    }

    /// The operator compares the master's agents with the machines there are.
    pub(crate) fn tidy_up(&mut self) {
        let Some(process) = &self.master.process else { return };
        let answers = |agent: &AgentId| {
            let identities = self.agents.iter().filter_map(|host| host.disk.committed().identity.as_ref());
            identities.into_iter().any(|identity| identity.agent == *agent)
        };
        let snapshot = process.core.snapshot();
        let waited_for = snapshot.agents.iter().filter(|agent| {
            let waits = matches!(agent.presence, Presence::Disconnected | Presence::Recovered);
            waits && !answers(&agent.id)
        });
        for agent in waited_for {
            self.queue.at(self.now, Happening::Operate(Wish::Gone(agent.id.clone())));
        }
    }

    /// What the commit of `node` that begins now comes to.
    pub(crate) fn commit_fate(&mut self, node: Node) -> Fate {
        match node {
            Node::Master => self.master.disk.fate(&mut self.random, self.now),
            Node::Agent(i) => self.agents[i].disk.fate(&mut self.random, self.now),
            Node::Framework(i) => self.frameworks[i].disk.fate(&mut self.random, self.now),
        }
    }

    /// How the disk of `node` behaves now.
    pub(crate) fn health(&self, node: Node) -> Health {
        match node {
            Node::Master => self.master.disk.health(self.now),
            Node::Agent(i) => self.agents[i].disk.health(self.now),
            Node::Framework(i) => self.frameworks[i].disk.health(self.now),
        }
    }

    /// A commit has failed: the daemon steps down with its memory, and is started again.
    pub(crate) fn step_down(&mut self, node: Node, durable: bool) -> Result<(), Broken> {
        let numbers = [node.number(), u64::from(durable)];
        self.journal
            .note(self.now, "commit fails", numbers, || format!("{node} steps down: its commit has failed"));
        let down = self.random.millis(1_000, 5_000);
        self.die(Kill::now(node, down), durable)
    }

    /// A daemon whose disk cannot be read does not start; it is tried again.
    pub(crate) fn cannot_start(&mut self, node: Node) -> bool {
        if self.health(node) != Health::Fails {
            return false;
        }
        self.journal.note(self.now, "start refused", [node.number(), 0], || {
            format!("{node} cannot read its disk and does not start")
        });
        let wait = self.random.millis(1_000, 5_000);
        self.queue.at(self.now + wait, Happening::Start(node));
        true
    }

    /// INV-11, INV-30: what `node` finds on its disk is a sound history.
    pub(crate) fn disk_is_sound(&self, node: Node) -> Result<(), Broken> {
        match node {
            Node::Master => self.master.disk.found_is_sound(),
            Node::Agent(i) => self.agents[i].disk.found_is_sound(),
            Node::Framework(i) => self.frameworks[i].disk.found_is_sound(),
        }
    }

    /// The operator says that an agent will never return.
    pub(crate) fn gone_command(agent: &AgentId) -> lonja_master_core::OperatorCommand {
        let agent = agent.clone();
        lonja_master_core::OperatorCommand::Maintenance(lonja_master_core::MaintenanceCommand::MarkGone {
            agent,
        })
    }
}

/// How a batch came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is durable, and its process knows.
    Acknowledged,
    /// Its process does not live to know; is it there?
    InDoubt { holds: bool },
}

impl Ending {
    /// Is the batch there for those who read?
    pub(crate) fn holds(self) -> bool {
        match self {
            Self::Acknowledged => true,
            Self::InDoubt { holds } => holds,
        }
    }

    /// Carries the ending out on a disk.
    pub(crate) fn carry_out<T: crate::disk::Durable + Clone>(
        self,
        disk: &mut crate::disk::Disk<T>,
        batch: Vec<T::Op>,
        betrayal: Betrayal,
    ) {
        match self {
            Self::Acknowledged => disk.commit(batch, betrayal),
            Self::InDoubt { holds } => disk.leave(batch, holds, betrayal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_fault_is_drawn() {
        let shape = Shape { agents: 3, frameworks: 2, jobs: 1 };
        let mut random = Random::new(1);
        let kinds: std::collections::BTreeSet<_> =
            (0..500).map(|_| any(&mut random, &shape).kind()).collect();
        assert_eq!(kinds, KINDS.into_iter().collect());
    }
}
