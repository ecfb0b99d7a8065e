//! How processes start, find the master, and die.

use std::time::Duration;

use crate::faults::{Ending, Kill, Moment};
use crate::invariants::Broken;
use crate::network::{ConnectionId, End, Payload};
use crate::steps::Step;
use crate::world::{Happening, Node, World};

impl World {
    /// Which life `node` is in, if it is up.
    pub(crate) fn life(&self, node: Node) -> Option<u64> {
        match node {
            Node::Master => self.master.process.as_ref().map(|process| process.life),
            Node::Agent(i) => self.agents[i].process.as_ref().map(|process| process.life),
            Node::Framework(i) => self.frameworks[i].process.as_ref().map(|process| process.life),
        }
    }

    fn link(&mut self, node: Node) -> Option<&mut Option<ConnectionId>> {
        match node {
            Node::Master => None,
            Node::Agent(i) => Some(&mut self.agents[i].link),
            Node::Framework(i) => Some(&mut self.frameworks[i].link),
        }
    }

    /// A process starts, if none runs.
    pub(crate) fn start(&mut self, node: Node) -> Result<(), Broken> {
        if self.life(node).is_some() {
            return Ok(());
        }
        if self.cannot_start(node) {
            return Ok(());
        }
        self.disk_is_sound(node)?;
        self.journal.note(self.now, "starts", [node.number(), 0], || format!("{node} starts"));
        let life = self.next_life(node);
        match node {
            Node::Master => self.start_master(life),
            Node::Agent(i) => self.start_agent(i, life),
            Node::Framework(i) => self.start_framework(i, life),
        }
        if matches!(node, Node::Agent(_)) {
            self.dial_soon(node);
        }
        if self.life(node).is_none() {
            return Ok(());
        }
        let started = match node {
            Node::Master => Step::MasterStarted,
            Node::Agent(_) => Step::AgentStarted,
            Node::Framework(_) => Step::FrameworkStarted,
        };
        if self.dies_at(node, started)? {
            return Ok(());
        }
        self.begin_commit(node)
    }

    /// A client looks for the master in a while.
    pub(crate) fn dial_soon(&mut self, node: Node) {
        if let (Some(life), true) = (self.life(node), node != Node::Master) {
            let wait = self.random.millis(1, 500);
            self.queue.at(self.now + wait, Happening::Dial { node, life });
        }
    }

    /// A client connects, if there is a master to connect to.
    pub(crate) fn dial(&mut self, node: Node, life: u64) {
        if self.life(node) != Some(life) || self.link(node).is_none_or(|link| link.is_some()) {
            return;
        }
        if self.master.process.is_none() {
            // The SDK has a back-off of its own; of agents the shell knocks again.
            if let Node::Framework(i) = node
                && let Some(process) = self.frameworks[i].process.as_mut()
            {
                process.take(lonja_sdk_core::Event::Disconnected { why: "connection refused".to_owned() });
            } else {
                self.dial_soon(node);
            }
            return;
        }
        let id = self.network.open(node);
        if let Some(link) = self.link(node) {
            *link = Some(id);
        }
        self.send(id, End::Client, Payload::Opened);
    }

    /// A client drops its connection.
    pub(crate) fn hang_up(&mut self, node: Node) {
        if let Some(id) = self.link(node).and_then(Option::take)
            && self.network.leave(id, End::Client)
        {
            self.send(id, End::Master, Payload::Closed);
        }
    }

    /// Something is sent; it arrives if anyone is left to hear it.
    pub(crate) fn send(&mut self, id: ConnectionId, to: End, payload: Payload) {
        if let Some(at) = self.network.send(&mut self.random, self.now, id, to) {
            self.queue.at(at, Happening::Arrival { id, to, payload });
        }
    }

    /// A kill comes.
    pub(crate) fn fault(&mut self, kill: Kill) -> Result<(), Broken> {
        if self.life(kill.node).is_none() {
            return Ok(());
        }
        match kill.moment {
            Moment::Now => {
                self.activity.count_kill(kill);
                let durable = self.random.chance(50);
                self.die(kill.node, durable, kill.down)
            }
            Moment::BeforeDurable | Moment::AfterDurable | Moment::At(_) => {
                self.arm(kill);
                Ok(())
            }
        }
    }

    /// A process dies. What it was about to commit is durable or not; nothing of it is sent.
    pub(crate) fn die(&mut self, node: Node, durable: bool, down: Duration) -> Result<(), Broken> {
        let what = if durable { "its commit, if any, held" } else { "its commit, if any, is lost" };
        let numbers = [node.number(), u64::from(durable)];
        self.journal.note(self.now, "killed", numbers, || format!("{node} is killed, {what}"));
        let ending = Ending::InDoubt { holds: durable };
        match node {
            Node::Master => {
                let unsaid = self.master.process.take().and_then(|process| process.committing);
                if let Some(mut effects) = unsaid {
                    self.commit_master(&mut effects, ending)?;
                }
                self.ledger.master_died();
            }
            Node::Agent(i) => {
                let unsaid = self.agents[i].process.take().and_then(|process| process.committing);
                if let Some(mut effects) = unsaid {
                    self.commit_agent(i, &mut effects, ending)?;
                }
                self.orphan_containers(i);
            }
            Node::Framework(i) => {
                let unsaid = self.frameworks[i].process.take().and_then(|process| process.committing);
                if let Some(mut effects) = unsaid {
                    self.commit_framework(i, &mut effects, ending);
                }
                self.frameworks[i].speaks_as = None;
            }
        }
        self.break_connections(node);
        self.set_alarm(node);
        self.queue.at(self.now + down, Happening::Start(node));
        Ok(())
    }

    /// A process's connections end with it; what it had said still arrives, or is lost.
    fn break_connections(&mut self, node: Node) {
        if let Some(link) = self.link(node) {
            *link = None;
        }
        let (mine, other) =
            if node == Node::Master { (End::Master, End::Client) } else { (End::Client, End::Master) };
        for id in self.network.of(node) {
            let lost = self.random.chance(50);
            if self.network.leave(id, mine) {
                if lost {
                    self.network.cut(id, other);
                }
                self.send(id, other, Payload::Closed);
            }
        }
    }
}
