//! How the world sends and receives, and what its network goes through.

use lonja_model::Timestamp;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::scheduler::{self, Call};

use super::{ConnectionId, End, Passage, Payload};
use crate::faults::{NetworkFault, Told, Trouble};
use crate::invariants::Broken;
use crate::world::{Happening, Node, World};
use crate::{Mutant, words};

/// The longest that a message which waited is sent again after its way is open. TCP doubles the wait up to two minutes.
const RESENT_WITHIN_SECONDS: u64 = 60;
/// The latest that a repeated message comes.
const REPEATED_WITHIN_MILLIS: u64 = 5_000;

/// May a message come twice, and when?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeats {
    /// Nobody ever says it twice over one connection.
    Never,
    /// Right after itself: what came between could make it mean something else.
    AtOnce,
    /// At any time: whoever says it, says it again until it is answered.
    Later,
}

impl World {
    /// Something is sent; it arrives if anyone is left to hear it.
    pub(crate) fn send(&mut self, id: ConnectionId, to: End, payload: Payload) {
        if self.loses(id, &payload) {
            return;
        }
        let Some(at) = self.network.send(&mut self.random, self.now, id, to) else { return };
        let again = repeats(&payload);
        if again != Repeats::Never
            && self.network.repeats > 0
            && self.random.below(1_000) < self.network.repeats
        {
            self.activity.network.repeated += 1;
            let late = self.random.millis(0, REPEATED_WITHIN_MILLIS);
            let second = if again == Repeats::Later { at + late } else { at };
            self.queue.at(at, Happening::Arrival { id, to, payload: payload.clone() });
            self.queue.at(second, Happening::Arrival { id, to, payload });
            return;
        }
        let at = if self.mutant == Mutant::NetworkOvertakes && self.random.chance(10) {
            at + self.random.millis(0, REPEATED_WITHIN_MILLIS)
        } else {
            at
        };
        self.queue.at(at, Happening::Arrival { id, to, payload });
    }

    /// Something gets to an end of a connection; returns whom it reached.
    pub(crate) fn arrive(
        &mut self,
        id: ConnectionId,
        to: End,
        payload: Payload,
        resent: bool,
    ) -> Result<Option<Node>, Broken> {
        let Some(client) = self.network.client(id) else { return Ok(None) };
        match self.network.passes(self.now, id, to, &payload, resent) {
            Passage::Arrives => {}
            Passage::Lost => return Ok(None),
            Passage::Waits => {
                if let Some(direction) = self.network.direction(id, to) {
                    if resent {
                        direction.waiting.push_front(payload);
                    } else {
                        direction.waiting.push_back(payload);
                    }
                }
                return Ok(None);
            }
            Passage::NobodyThere => {
                let host_is_up = self.at_end(id, to).is_some_and(|node| self.life(node).is_some());
                if host_is_up && !matches!(payload, Payload::Closed) {
                    self.send(id, to.other(), Payload::Closed);
                }
                return Ok(None);
            }
        }
        match payload {
            Payload::KeepAlive => {
                self.answer_keep_alive(id, to);
                return Ok(None);
            }
            Payload::Alive => return Ok(None),
            _ => {}
        }
        let numbers = [id.0, words::digest(&payload)];
        let words = || match to {
            End::Master => format!("{client} -> master: {}", words::payload(&payload)),
            End::Client => format!("master -> {client}: {}", words::payload(&payload)),
        };
        self.journal.note(self.now, words::name(&payload), numbers, words);
        match (to, client) {
            (End::Master, _) => {
                if matches!(payload, Payload::FromAgent(_)) {
                    let now = self.local(Node::Master);
                    self.partitions.silence.hears(id, now);
                }
                self.arrive_at_master(client, id, payload)?;
                return Ok(Some(Node::Master));
            }
            (End::Client, Node::Agent(index)) => {
                self.arrive_at_agent(index, id, payload)?;
            }
            (End::Client, Node::Framework(index)) => {
                self.arrive_at_framework(index, id, payload)?;
            }
            (End::Client, Node::Master) => {}
        }
        Ok(Some(client))
    }

    fn answer_keep_alive(&mut self, id: ConnectionId, at: End) {
        let Some(node) = self.at_end(id, at) else { return };
        if let Some(stall) = self.stalls.get_mut(&node) {
            stall.unanswered.push((id, at));
        } else {
            self.send(id, at.other(), Payload::Alive);
        }
    }

    /// What waited on a way is sent again, one after the other.
    pub(crate) fn resend(&mut self, id: ConnectionId, to: End) -> Result<Option<Node>, Broken> {
        let Some(direction) = self.network.direction(id, to) else { return Ok(None) };
        let Some(payload) = direction.waiting.pop_front() else { return Ok(None) };
        let reached = self.arrive(id, to, payload, true)?;
        let client = self.network.client(id);
        let is_cut = client.is_some_and(|client| self.network.weather.is_cut(client, to));
        let more = self.network.direction(id, to).is_some_and(|way| !way.waiting.is_empty());
        if more && !is_cut {
            self.queue.at(self.now, Happening::Resend { id, to });
        }
        Ok(reached)
    }

    /// Something happens to the network.
    pub(crate) fn trouble(&mut self, fault: NetworkFault) {
        match fault {
            NetworkFault::Lasts { client, trouble, lasts } => {
                self.journal.note(self.now, "trouble", [client.number(), 0], || {
                    format!("trouble between {client} and master for {lasts:?}: {trouble:?}")
                });
                self.activity.network.count(trouble);
                let number = self.trouble_begins(client, trouble);
                self.queue.at(self.now + lasts, Happening::TroubleEnds(number));
            }
            NetworkFault::Breaks { client, told } => self.break_link(client, told),
        }
    }

    /// Trouble of a link begins; returns its number.
    pub(crate) fn trouble_begins(&mut self, client: Node, trouble: Trouble) -> u64 {
        self.disturbs(client);
        let number = self.network.weather.begins(self.now, client, trouble);
        if !matches!(trouble, Trouble::Refusing) {
            self.watch(client);
        }
        number
    }

    /// Is this message lost? Over TCP it takes its connection along: whatever else came through, so would it.
    fn loses(&mut self, id: ConnectionId, payload: &Payload) -> bool {
        let may = !matches!(payload, Payload::Opened | Payload::Closed | Payload::KeepAlive | Payload::Alive);
        if !may || self.network.losses == 0 || self.random.below(1_000_000) >= self.network.losses {
            return false;
        }
        let Some(client) = self.network.client(id) else { return false };
        self.break_connection(client, id, Told::Both);
        true
    }

    /// Trouble of a link is over.
    pub(crate) fn trouble_ends(&mut self, number: u64) {
        let Some((client, since)) = self.network.weather.ends(number) else { return };
        self.journal.note(self.now, "trouble ends", [client.number(), 0], || {
            format!("trouble between {client} and master ends")
        });
        self.disturbs(client);
        self.send_again(client, since);
    }

    /// The ways of a link that are open again carry what has waited, after a while: the longer the way was cut, the
    /// longer the sender waits between its tries.
    fn send_again(&mut self, client: Node, since: Timestamp) {
        let lasted = self.now.since(since);
        for id in self.network.of(client) {
            for to in [End::Client, End::Master] {
                let is_cut = self.network.weather.is_cut(client, to);
                let waits = self.network.direction(id, to).is_some_and(|way| !way.waiting.is_empty());
                if waits && !is_cut {
                    let most = lasted.min(std::time::Duration::from_secs(RESENT_WITHIN_SECONDS));
                    let wait = self.random.between(std::time::Duration::ZERO, most);
                    self.queue.at(self.now + wait, Happening::Resend { id, to });
                }
            }
        }
    }

    /// The connection of `client`, if there is one, carries nothing more.
    fn break_link(&mut self, client: Node, told: Told) {
        if let Some(id) = self.network.of(client).last().copied() {
            self.break_connection(client, id, told);
        }
    }

    fn break_connection(&mut self, client: Node, id: ConnectionId, told: Told) {
        self.journal.note(self.now, "breaks", [client.number(), id.0], || {
            format!("the connection of {client} breaks, told: {told:?}")
        });
        self.activity.network.count_break(told);
        self.disturbs(client);
        self.network.swallow(id);
        let ends: &[End] = match told {
            Told::Both => &[End::Client, End::Master],
            Told::Client => &[End::Client],
            Told::Master => &[End::Master],
            Told::Nobody => &[],
        };
        for to in ends {
            let wait = self.random.millis(0, 2_000);
            self.queue.at(self.now + wait, Happening::Reset { id, to: *to });
        }
        self.watch(client);
    }

    /// An end is told by its own host that its connection is over.
    pub(crate) fn reset(&mut self, id: ConnectionId, to: End) -> Result<Option<Node>, Broken> {
        let Some(client) = self.network.client(id) else { return Ok(None) };
        let is_deaf = self.network.direction(id, to).is_none_or(|way| way.deaf);
        if is_deaf {
            return Ok(None);
        }
        let _untold = self.network.leave(id, to);
        self.hears_of_end(id, client, to)
    }
}

/// May `payload` come twice?
fn repeats(payload: &Payload) -> Repeats {
    match payload {
        Payload::Opened | Payload::Closed | Payload::KeepAlive | Payload::Alive => Repeats::Never,
        Payload::ToAgent(message) => match message {
            ToAgent::Refused { .. } => Repeats::Never,
            ToAgent::Registered { .. }
            | ToAgent::Run { .. }
            | ToAgent::RunInExecutor { .. }
            | ToAgent::Apply { .. } => Repeats::AtOnce,
            ToAgent::Kill { .. }
            | ToAgent::Acknowledge { .. }
            | ToAgent::ResendUpdates { .. }
            | ToAgent::ShutdownFramework { .. }
            | ToAgent::Message { .. }
            | ToAgent::ShutdownExecutor { .. }
            | ToAgent::Ping { .. }
            | ToAgent::AcknowledgeOperation { .. } => Repeats::Later,
        },
        Payload::FromAgent(message) => match message {
            FromAgent::Register { .. } | FromAgent::Reregister { .. } | FromAgent::OperationUpdate { .. } => {
                Repeats::AtOnce
            }
            // A repeat that comes after the executor is started anew would take away what is set aside for it.
            FromAgent::ExecutorEnded { .. } => Repeats::AtOnce,
            FromAgent::Update { .. } | FromAgent::Pong { .. } | FromAgent::Message { .. } => Repeats::Later,
        },
        Payload::ToFramework(event) => match &**event {
            scheduler::Event::Subscribed { .. } | scheduler::Event::Error(_) => Repeats::Never,
            scheduler::Event::Update(status) if status.update.is_some() => Repeats::Later,
            _ => Repeats::AtOnce,
        },
        Payload::Answer(..) => Repeats::AtOnce,
        Payload::Call(_, call) => match &**call {
            Call::Subscribe { .. } | Call::Teardown => Repeats::Never,
            Call::Kill { .. }
            | Call::Acknowledge { .. }
            | Call::AcknowledgeOperation { .. }
            | Call::Decline { .. }
            | Call::Reconcile { .. }
            | Call::ReconcileOperations { .. } => Repeats::Later,
            _ => Repeats::AtOnce,
        },
    }
}
