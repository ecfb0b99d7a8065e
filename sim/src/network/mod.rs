//! Connections between clients (agents and frameworks) and the master.
//!
//! What is said over a connection arrives in order, none of it twice but where a fault repeats it, each message after
//! a delay of its own. While a way is cut messages wait, as with TCP, and are sent again some time after; if the
//! sender has hung up meanwhile they arrive late, perhaps after those of the client's next connection. A connection
//! that breaks tells both its ends, one or neither.
//!
//! Invariants
//! - Each side hears of the end of a connection once, and nothing after it.
//! - Over one connection and one way nothing overtakes anything.
//!
//! Reading order: this file (what a connection is), `weather` (what links are going through), `transport` (how the
//! world sends and receives), `keep_alive` (how an end finds out that the other is no more).

mod keep_alive;
mod transport;
mod weather;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lonja_model::Timestamp;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::scheduler::{self, Call, CallResult};

use crate::random::Random;
use crate::world::Node;

use weather::Weather;

/// One connection; never named again in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Client,
    Master,
}

impl End {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Master,
            Self::Master => Self::Client,
        }
    }
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
    /// The transport asks whether the other end is there.
    KeepAlive,
    /// The transport says that it is.
    Alive,
    /// The other end is no more.
    Closed,
}

#[derive(Debug)]
struct Connection {
    client: Node,
    /// The client knows that it stands.
    stands: bool,
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
    /// Everything is lost, the end of the connection too.
    swallows: bool,
    /// What arrived while the way was cut.
    waiting: VecDeque<Payload>,
    /// When the listener last heard anything.
    heard: Timestamp,
    /// When the listener last heard that the other end is there, because it had asked.
    heard_alive: Option<Timestamp>,
    /// The listener's keep-alive runs.
    watched: bool,
}

/// What becomes of a message that gets to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It is heard.
    Arrives,
    /// It waits until the way is open.
    Waits,
    /// It is lost.
    Lost,
    /// Nobody is there, and the sender has not heard so: it hears it now.
    NobodyThere,
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Network {
    connections: BTreeMap<ConnectionId, Connection>,
    named: u64,
    pub(crate) weather: Weather,
    /// How many messages in a thousand come twice.
    pub(crate) repeats: u64,
    /// Of a million messages so many are lost, each with its connection.
    pub(crate) losses: u64,
}

impl Network {
    /// No connections yet. How many messages in a thousand come twice is drawn, if any may.
    pub(crate) fn draw(random: &mut Random, repeats: bool) -> Self {
        let mut network = Self::default();
        network.draw_repeats(random, repeats);
        network
    }

    /// Draws anew how many messages in a thousand come twice, if any may. All else stays: links that are cut are.
    pub(crate) fn draw_repeats(&mut self, random: &mut Random, repeats: bool) {
        self.repeats = if repeats { [0, 0, 5, 30][random.index(4)] } else { 0 };
    }

    /// A new connection from `client` to the master that runs now.
    pub(crate) fn open(&mut self, now: Timestamp, client: Node) -> ConnectionId {
        self.named += 1;
        let id = ConnectionId(self.named);
        let direction = || Direction { heard: now, ..Direction::default() };
        let connection = Connection { client, stands: false, to_client: direction(), to_master: direction() };
        self.connections.insert(id, connection);
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
        let client = self.client(id)?;
        let nobody_told = self.is_half_open(id);
        self.direction(id, to).filter(|direction| !direction.deaf || nobody_told)?;
        let delay = match random.below(100) {
            0..90 => random.between(Duration::from_micros(50), Duration::from_millis(2)),
            90..99 => random.millis(2, 50),
            _ => random.millis(50, 500),
        };
        let at = self.weather.passes_at(random, now, client, to) + delay;
        let direction = self.direction(id, to)?;
        direction.clear_at = direction.clear_at.max(at);
        Some(direction.clear_at)
    }

    /// What becomes of `payload`, which gets to the `to` end now. `resent`: it has waited already.
    pub(crate) fn passes(
        &mut self,
        now: Timestamp,
        id: ConnectionId,
        to: End,
        payload: &Payload,
        resent: bool,
    ) -> Passage {
        let is_end = matches!(payload, Payload::Closed);
        let Some(client) = self.client(id) else { return Passage::Lost };
        let half_open = self.is_half_open(id);
        let is_cut = self.weather.is_cut(client, to);
        let Some(connection) = self.connections.get_mut(&id) else { return Passage::Lost };
        let (direction, other_deaf) = match to {
            End::Client => (&mut connection.to_client, connection.to_master.deaf),
            End::Master => (&mut connection.to_master, connection.to_client.deaf),
        };
        if direction.swallows {
            return Passage::Lost;
        }
        if is_cut || (!resent && !direction.waiting.is_empty()) {
            return Passage::Waits;
        }
        if direction.deaf {
            return if half_open { Passage::NobodyThere } else { Passage::Lost };
        }
        if direction.cut && !is_end {
            return Passage::Lost;
        }
        direction.heard = now;
        match payload {
            Payload::Alive => direction.heard_alive = Some(now),
            Payload::Opened => connection.stands = true,
            _ => {}
        }
        if is_end {
            match to {
                End::Client => connection.to_client.deaf = true,
                End::Master => connection.to_master.deaf = true,
            }
            if other_deaf {
                self.connections.remove(&id);
            }
        }
        Passage::Arrives
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
        mine.waiting.clear();
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
            direction.waiting.clear();
        }
    }

    /// Nothing passes any more, either way: what is between the two ends has forgotten the connection.
    pub(crate) fn swallow(&mut self, id: ConnectionId) {
        for end in [End::Client, End::Master] {
            if let Some(direction) = self.direction(id, end) {
                direction.swallows = true;
                direction.waiting.clear();
            }
        }
    }

    /// Does the client know that it stands?
    pub(crate) fn stands(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.stands)
    }

    /// Is this end no more?
    pub(crate) fn has_left(&self, id: ConnectionId, end: End) -> bool {
        self.connections.get(&id).is_none_or(|connection| match end {
            End::Client => connection.to_client.deaf,
            End::Master => connection.to_master.deaf,
        })
    }

    /// Is one of its ends gone, of which the other has not been told?
    fn is_half_open(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| {
            let (client, master) = (&connection.to_client, &connection.to_master);
            client.deaf != master.deaf
        })
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
        let id = network.open(Timestamp::ZERO, Node::Agent(0));
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
        let id = network.open(Timestamp::ZERO, Node::Agent(0));
        assert!(network.leave(id, End::Client), "the master must be told");
        assert!(!network.leave(id, End::Client), "once");
        assert_eq!(passage(&mut network, id, End::Master, &Payload::Closed), Passage::Arrives);
        assert_eq!(passage(&mut network, id, End::Master, &Payload::Closed), Passage::Lost);
    }

    #[test]
    fn nothing_arrives_at_an_end_that_left_and_only_the_end_after_a_cut() {
        let mut network = Network::default();
        let id = network.open(Timestamp::ZERO, Node::Agent(0));
        network.leave(id, End::Client);
        network.cut(id, End::Master);
        assert_eq!(passage(&mut network, id, End::Client, &Payload::Opened), Passage::NobodyThere);
        assert_eq!(passage(&mut network, id, End::Master, &Payload::Alive), Passage::Lost);
        assert_eq!(passage(&mut network, id, End::Master, &Payload::Closed), Passage::Arrives);
    }

    #[test]
    fn what_has_waited_goes_before_what_has_not() {
        let mut network = Network::default();
        let id = network.open(Timestamp::ZERO, Node::Agent(0));
        network.direction(id, End::Master).unwrap().waiting.push_back(Payload::Alive);
        assert_eq!(passage(&mut network, id, End::Master, &Payload::Alive), Passage::Waits);
        let resent = network.passes(Timestamp::ZERO, id, End::Master, &Payload::Alive, true);
        assert_eq!(resent, Passage::Arrives);
    }

    fn passage(network: &mut Network, id: ConnectionId, to: End, payload: &Payload) -> Passage {
        network.passes(Timestamp::ZERO, id, to, payload, false)
    }
}
