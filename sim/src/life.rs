//! How processes start, find the master, and die.
//!
//! A try to connect follows the shells: a connection is asked for again after one and three seconds and given up after
//! five (`CONNECT_TIMEOUT` of `agent/src/master_link.rs` and `framework-sdk/src/connection.rs`); then an agent waits for
//! a tenth of a second to five, twice as long each time and up to half more (`BACKOFF`), and a framework as its core says.

use std::time::Duration;

use lonja_model::Timestamp;

use crate::Mutant;
use crate::faults::{Ending, Kill, Moment};
use crate::invariants::Broken;
use crate::network::{ConnectionId, End, Payload};
use crate::steps::Step;
use crate::world::{Happening, Node, World};

/// How long one try to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// When a connection that gets no answer is asked for again; the last is when it is given up.
const ASKED_AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), CONNECT_TIMEOUT];
/// An agent's first wait before another try, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

impl World {
    /// A kill waits for its victim's next commit, or for the step that it is aimed at.
    pub(crate) fn arm(&mut self, kill: Kill) {
        match kill.moment {
            Moment::At(_) => self.aimed.push(kill),
            Moment::Now | Moment::BeforeDurable | Moment::AfterDurable => {
                self.armed.insert(kill.node, kill);
            }
        }
    }

    /// `node` comes to `step`. True: it is killed there.
    pub(crate) fn dies_at(&mut self, node: Node, step: Step) -> Result<bool, Broken> {
        self.activity.steps.pass(step);
        let aimed = self.aimed.iter().position(|kill| kill.node == node && kill.moment == Moment::At(step));
        let Some(kill) = aimed.map(|index| self.aimed.swap_remove(index)) else { return Ok(false) };
        self.activity.count_kill(kill);
        self.journal.note(self.now, "killed at a step", [node.number(), 0], || {
            format!("{node} is killed at the step \"{}\"", step.name())
        });
        let durable = self.random.chance(50);
        self.die(kill, durable)?;
        Ok(true)
    }

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

    /// Something has befallen `node` that explains trouble for a while.
    pub(crate) fn disturbs(&mut self, node: Node) {
        self.partitions.disturbs(node, self.now);
    }

    /// A process starts, if none runs.
    pub(crate) fn start(&mut self, node: Node) -> Result<(), Broken> {
        if self.life(node).is_some() || self.held.contains(&node) {
            return Ok(());
        }
        if self.cannot_start(node) {
            return Ok(());
        }
        self.disk_is_sound(node)?;
        self.journal.note(self.now, "starts", [node.number(), 0], || format!("{node} starts"));
        let life = self.next_life(node);
        self.clocks.start(node, self.now);
        if node == Node::Master {
            let now = self.local(node);
            self.partitions.silence.master_starts(now);
            self.partitions.streams.master_starts();
        }
        self.disturbs(node);
        match node {
            Node::Master => self.start_master(life),
            Node::Agent(i) => self.start_agent(i, life),
            Node::Framework(i) => self.start_framework(i, life)?,
        }
        self.failed_dials.remove(&node);
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
        let is_agent = matches!(node, Node::Agent(_));
        if self.mutant == Mutant::AgentStaysAway && is_agent && self.partitions.has_connected(node) {
            return;
        }
        if let (Some(life), true) = (self.life(node), node != Node::Master) {
            let failed = self.failed_dials.get(&node).copied().unwrap_or(0);
            let wait = if matches!(node, Node::Agent(_)) && failed > 0 {
                let wait = (BACKOFF.0 * 2_u32.saturating_pow(failed.min(10))).min(BACKOFF.1);
                self.random.between(wait, wait * 3 / 2)
            } else {
                self.random.millis(1, 500)
            };
            let at = self.now + wait;
            self.queue.at(at, Happening::Dial { node, life, since: at });
        }
    }

    /// A client connects, if there is a master to connect to and a way.
    pub(crate) fn dial(&mut self, node: Node, life: u64, since: Timestamp) {
        if self.life(node) != Some(life) || self.link(node).is_none_or(|link| link.is_some()) {
            return;
        }
        if let Some(until) = self.stalled_until(node) {
            return self.queue.at(until, Happening::Dial { node, life, since });
        }
        let weather = &self.network.weather;
        if weather.is_cut(node, End::Client) || weather.is_cut(node, End::Master) {
            let waited = self.now.since(since);
            let next = ASKED_AGAIN.into_iter().find(|at| *at > waited);
            return match next {
                Some(wait) => self.queue.at(since + wait, Happening::Dial { node, life, since }),
                None => self.dial_failed(node, "no answer within 5 s"),
            };
        }
        if weather.refuses(node) || self.master.process.is_none() {
            return self.dial_failed(node, "connection refused");
        }
        self.failed_dials.remove(&node);
        let id = self.network.open(self.now, node);
        if let Some(link) = self.link(node) {
            *link = Some(id);
        }
        self.partitions.connects(node, id, life);
        self.send(id, End::Client, Payload::Opened);
        if self.network.weather.is_troubled(node) || self.stalled_until(Node::Master).is_some() {
            self.watch(node);
        }
        if let Node::Framework(framework) = node {
            let late = self.clocks.after(node, since, CONNECT_TIMEOUT).max(self.now);
            self.queue.at(late, Happening::DialIsLate { framework, id });
        }
    }

    /// There is no connection.
    fn dial_failed(&mut self, node: Node, why: &str) {
        self.activity.network.failed_dials += 1;
        *self.failed_dials.entry(node).or_default() += 1;
        // The SDK has a back-off of its own; of agents the shell knocks again.
        if let Node::Framework(i) = node {
            if let Some(process) = self.frameworks[i].process.as_mut() {
                process.take(lonja_sdk_core::Event::Disconnected { why: why.to_owned() });
            }
        } else {
            self.dial_soon(node);
        }
    }

    /// The SDK waits for the master's answer for so long, and not only for its host's.
    pub(crate) fn dial_is_late(&mut self, framework: usize, id: ConnectionId) -> Option<Node> {
        let node = Node::Framework(framework);
        if self.frameworks[framework].link != Some(id) || self.network.stands(id) {
            return None;
        }
        if let Some(until) = self.stalled_until(node) {
            self.queue.at(until, Happening::DialIsLate { framework, id });
            return None;
        }
        self.hang_up(node);
        self.dial_failed(node, "no answer within 5 s");
        Some(node)
    }

    /// A client drops its connection.
    pub(crate) fn hang_up(&mut self, node: Node) {
        if let Some(id) = self.link(node).and_then(Option::take) {
            // What its host had not sent yet goes on its way, or is dropped with the connection.
            let lost = self.random.chance(30);
            if self.network.leave(id, End::Client) {
                if lost {
                    self.network.cut(id, End::Master);
                }
                self.send(id, End::Master, Payload::Closed);
            }
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
                self.die(kill, durable)
            }
            Moment::BeforeDurable | Moment::AfterDurable | Moment::At(_) => {
                self.arm(kill);
                Ok(())
            }
        }
    }

    /// A process dies. What it was about to commit is durable or not; nothing of it is sent.
    pub(crate) fn die(&mut self, kill: Kill, durable: bool) -> Result<(), Broken> {
        let Kill { node, down, silent, .. } = kill;
        self.disturbs(node);
        self.stalls.remove(&node);
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
        self.break_connections(node, silent);
        self.set_alarm(node);
        self.queue.at(self.now + down, Happening::Start(node));
        Ok(())
    }

    /// A process's connections end with it; what it had said still arrives, or is lost. `silent`: nobody is told.
    fn break_connections(&mut self, node: Node, silent: bool) {
        if let Some(link) = self.link(node) {
            *link = None;
        }
        let mine = if node == Node::Master { End::Master } else { End::Client };
        let other = mine.other();
        if silent {
            self.activity.network.silent_deaths += 1;
        }
        for id in self.network.of(node) {
            let lost = self.random.chance(50);
            if self.network.leave(id, mine) {
                if lost {
                    self.network.cut(id, other);
                }
                if !silent {
                    self.send(id, other, Payload::Closed);
                }
            }
        }
        self.watch(node);
    }
}
