//! What goes wrong, one by one as a test asks for it, or drawn from the seed.

use std::time::Duration;

use lonja_model::Role;

use super::{Cluster, Failure};
use crate::clocks::Clocks;
use crate::faults::{self, ClockFault, Kill, Shape, Trouble, Ways};
use crate::world::{Happening, Node};
use crate::{Fault, Profile, operator};

/// How long a process that is kept down stays so unless somebody starts it: longer than any run.
const FOR_GOOD: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Somebody to whom something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The master.
    Master,
    /// The agent of this number, from 0.
    Agent(usize),
    /// The scheduler of the member of this number, from 0.
    Scheduler(usize),
}

impl Place {
    fn node(self) -> Node {
        match self {
            Self::Master => Node::Master,
            Self::Agent(index) => Node::Agent(index),
            Self::Scheduler(index) => Node::Framework(index),
        }
    }
}

impl Cluster {
    /// Is there such a place here?
    pub fn has(&self, place: Place) -> bool {
        match place {
            Place::Master => true,
            Place::Agent(index) => index < self.agents(),
            Place::Scheduler(index) => index < self.members(),
        }
    }

    /// Is its process up?
    pub fn is_up(&self, place: Place) -> bool {
        self.has(place) && self.world.life(place.node()).is_some()
    }

    /// Kills the process, as SIGKILL does; what it was about to make durable is or is not. It is started again after
    /// `down`. Nothing happens if it is down already.
    pub fn kill(&mut self, place: Place, down: Duration) -> Result<(), Failure> {
        let node = place.node();
        self.attempt(|world| match world.life(node) {
            Some(_) => world.fault(Kill::now(node, down)),
            None => Ok(()),
        })
    }

    /// Kills the process and keeps it down.
    pub fn stop(&mut self, place: Place) -> Result<(), Failure> {
        self.world.held.insert(place.node());
        self.kill(place, FOR_GOOD)
    }

    /// Starts a process that is down, if it is.
    pub fn start(&mut self, place: Place) {
        self.world.held.remove(&place.node());
        self.world.queue.at(self.world.now, Happening::Start(place.node()));
    }

    /// The machine loses power and starts again after `down`: an agent's containers are gone, and how they ended nobody
    /// saw.
    pub fn lose_power(&mut self, place: Place, down: Duration) -> Result<(), Failure> {
        self.attempt(|world| world.lose_power(place.node(), down))
    }

    /// The process stands still for so long, as a stopped one does, and goes on.
    pub fn pause(&mut self, place: Place, lasts: Duration) -> Result<(), Failure> {
        let fault = ClockFault::Stall { node: place.node(), lasts, frozen: false };
        self.attempt(|world| {
            world.warp(fault);
            Ok(())
        })
    }

    /// Nothing passes between that place and the master any more; the master itself is cut off from all. What is said
    /// waits, as TCP has it.
    pub fn cut_off(&mut self, place: Place) {
        for node in self.clients_at(place) {
            if !self.cuts.contains_key(&node) {
                let words = || format!("nothing passes between {node} and master");
                self.world.journal.note(self.world.now, "trouble", [node.number(), 0], words);
                let number = self.world.trouble_begins(node, Trouble::Cut(Ways::Both));
                self.cuts.insert(node, number);
            }
        }
    }

    /// Undoes [`Self::cut_off`].
    pub fn join(&mut self, place: Place) {
        for node in self.clients_at(place) {
            if let Some(number) = self.cuts.remove(&node) {
                self.world.trouble_ends(number);
            }
        }
    }

    /// From now on so many of a million messages are lost, each with its connection, and both ends told: over TCP there
    /// is no other way to lose one.
    pub fn lose_messages(&mut self, of_a_million: u64) {
        self.world.network.losses = of_a_million;
    }

    fn clients_at(&self, place: Place) -> Vec<Node> {
        match place {
            Place::Master => {
                let agents = (0..self.agents()).map(Node::Agent);
                agents.chain((0..self.members()).map(Node::Framework)).collect()
            }
            Place::Agent(_) | Place::Scheduler(_) => vec![place.node()],
        }
    }

    /// Draws faults for the time to come from the seed: which families of `profile` there are, how strong, when and
    /// whom they meet. All are over after `lasts`, but for processes that were killed right before. Called before anything
    /// has happened it also draws how fast clocks run and whether messages come twice.
    pub fn draw_faults(&mut self, profile: Profile, lasts: Duration) {
        let world = &mut self.world;
        let mut random = world.random.fork();
        let until = world.now + lasts;
        let (agents, frameworks) = (world.agents.len(), world.frameworks.len());
        if agents == 0 || frameworks == 0 {
            return;
        }
        let shape = Shape { agents, frameworks, jobs: 0 };
        let mut roles: Vec<Role> = world.frameworks.iter().flat_map(|host| host.resident.roles()).collect();
        roles.sort();
        roles.dedup();
        let drawn = faults::draw(&mut random, profile, &shape, &roles, (world.now, until));
        if world.now == self.born {
            let clients = (0..agents).map(Node::Agent).chain((0..frameworks).map(Node::Framework));
            let nodes = std::iter::once(Node::Master).chain(clients);
            world.clocks = Clocks::draw(&mut random.fork(), profile.clocks, nodes);
            world.network.draw_repeats(&mut random.fork(), profile.network);
        }
        for (at, fault) in drawn {
            let number = self.drawn;
            self.drawn += 1;
            if self.keep.as_ref().is_none_or(|keep| keep.contains(&number)) {
                let at_nanos = u64::try_from(at.since(self.born).as_nanos()).unwrap_or(u64::MAX);
                world.faults.push(Fault { number, at_nanos, words: format!("{fault:?}") });
                world.queue.at(at, fault);
            }
        }
        if profile.operators {
            operator::take_back(&mut world.queue, until, agents, &roles);
        }
        world.smooth = false;
        world.calm_at = world.calm_at.max(until);
        world.queue.at(world.calm_at, Happening::Calm);
    }
}
