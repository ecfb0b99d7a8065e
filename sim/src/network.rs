//! Connections between clients (agents and frameworks) and the master.
//!
//! What is said over a connection arrives in order, none of it twice, each message after a delay of its
//! own. A connection breaks with either of its processes; then what was on its way to the survivor either
//! still arrives or is lost, as with TCP. Loss, duplication and partitions are not modelled yet.
//!
//! Invariants
//! - Each side hears of the end of a connection once, and nothing after it.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::Timestamp;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::scheduler::{self, Call, CallResult};

use crate::random::Random;
use crate::world::Node;

/// One connection; never named again in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Client,
    Master,
}

/// What travels.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// To a client: the connection stands.
    Opened,
    ToAgent(ToAgent),
    FromAgent(FromAgent),
    ToFramework(Box<scheduler::Event>),
    Call(u64, Box<Call>),
    Answer(u64, CallResult),
    /// The other end is no more.
    Closed,
}

#[derive(Debug)]
struct Connection {
    client: Node,
    to_client: Direction,
    to_master: Direction,
}

/// One way of a connection.
#[derive(Debug, Default)]
struct Direction {
    /// Nothing sent later may arrive before this.
    clear_at: Timestamp,
    /// Nobody listens any more.
    deaf: bool,
    /// What was on its way is lost; only the end of the connection is still to be told.
    cut: bool,
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Network {
    connections: BTreeMap<ConnectionId, Connection>,
    named: u64,
}

impl Network {
    /// A new connection from `client` to the master that runs now.
    pub(crate) fn open(&mut self, client: Node) -> ConnectionId {
        self.named += 1;
        let id = ConnectionId(self.named);
        let (to_client, to_master) = (Direction::default(), Direction::default());
        self.connections.insert(id, Connection { client, to_client, to_master });
        id
    }

    /// Whose connection it is.
    pub(crate) fn client(&self, id: ConnectionId) -> Option<Node> {
        self.connections.get(&id).map(|connection| connection.client)
    }

    /// When something sent now to the `to` end arrives; `None`: that end is gone already.
    pub(crate) fn send(
        &mut self,
        random: &mut Random,
        now: Timestamp,
        id: ConnectionId,
        to: End,
    ) -> Option<Timestamp> {
        let direction = self.direction(id, to).filter(|direction| !direction.deaf)?;
        let delay = match random.below(100) {
            0..90 => random.between(Duration::from_micros(50), Duration::from_millis(2)),
            90..99 => random.millis(2, 50),
            _ => random.millis(50, 500),
        };
        direction.clear_at = direction.clear_at.max(now + delay);
        Some(direction.clear_at)
    }

    /// Does `payload`, which arrives at the `to` end now, reach anyone?
    pub(crate) fn arrives(&mut self, id: ConnectionId, to: End, payload: &Payload) -> bool {
        let is_end = matches!(payload, Payload::Closed);
        let Some(direction) = self.direction(id, to) else { return false };
        if direction.deaf || (direction.cut && !is_end) {
            return false;
        }
        if is_end {
            self.connections.remove(&id);
        }
        true
    }

    /// The `end` listens no more, because its process died or closed the connection. True: the other end
    /// is still there and must be told.
    pub(crate) fn leave(&mut self, id: ConnectionId, end: End) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let (mine, other) = match end {
            End::Client => (&mut connection.to_client, &connection.to_master),
            End::Master => (&mut connection.to_master, &connection.to_client),
        };
        let first = !mine.deaf;
        mine.deaf = true;
        if other.deaf {
            self.connections.remove(&id);
            return false;
        }
        first
    }

    /// What is on its way to the `to` end is lost.
    pub(crate) fn cut(&mut self, id: ConnectionId, to: End) {
        if let Some(direction) = self.direction(id, to) {
            direction.cut = true;
        }
    }

    /// Every connection of `node`; of the master: all.
    pub(crate) fn of(&self, node: Node) -> Vec<ConnectionId> {
        let all = self.connections.iter();
        all.filter(|(_, connection)| node == Node::Master || connection.client == node)
            .map(|(id, _)| *id)
            .collect()
    }

    fn direction(&mut self, id: ConnectionId, to: End) -> Option<&mut Direction> {
        let connection = self.connections.get_mut(&id)?;
        Some(match to {
            End::Client => &mut connection.to_client,
            End::Master => &mut connection.to_master,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_in_order() {
        let (mut network, mut random) = (Network::default(), Random::new(3));
        let id = network.open(Node::Agent(0));
        let mut last = Timestamp::ZERO;
        for _ in 0..500 {
            let at = network.send(&mut random, Timestamp::ZERO, id, End::Master).unwrap();
            assert!(at >= last);
            last = at;
        }
    }

    #[test]
    fn each_end_hears_of_the_end_once() {
        let mut network = Network::default();
        let id = network.open(Node::Agent(0));
        assert!(network.leave(id, End::Client), "the master must be told");
        assert!(!network.leave(id, End::Client), "once");
        assert!(network.arrives(id, End::Master, &Payload::Closed));
        assert!(!network.arrives(id, End::Master, &Payload::Closed));
    }

    #[test]
    fn nothing_arrives_at_an_end_that_left_and_only_the_end_after_a_cut() {
        let mut network = Network::default();
        let id = network.open(Node::Agent(0));
        network.leave(id, End::Client);
        network.cut(id, End::Master);
        assert!(!network.arrives(id, End::Client, &Payload::Opened));
        assert!(!network.arrives(id, End::Master, &Payload::FromAgent(FromAgent::Pong { sequence: 1 })));
        assert!(network.arrives(id, End::Master, &Payload::Closed));
    }
}
