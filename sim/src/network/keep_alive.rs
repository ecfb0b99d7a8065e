//! How an end finds out that nobody is at the other.
//!
//! The shells leave this to HTTP/2: master (`master/src/api/mod.rs`), agent (`agent/src/master_link.rs`) and SDK
//! (`framework-sdk/src/connection.rs`) all ask after [`KEEPALIVE`] without a word and wait as long for the answer;
//! then the connection is over for whoever asked. Where a link has no trouble the answer always comes in time, so it
//! is not simulated there: an end is watched from when its link gets into trouble until that is over.

use std::time::Duration;

use lonja_model::Timestamp;

use super::{ConnectionId, End, Payload};
use crate::invariants::Broken;
use crate::world::{Happening, Node, World};

/// The transport asks after this long without a word, and waits as long for the answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

impl World {
    /// The link of `client` is in trouble: its ends take care.
    pub(crate) fn watch(&mut self, client: Node) {
        for id in self.network.of(client) {
            for end in [End::Client, End::Master] {
                let Some(direction) = self.network.direction(id, end) else { continue };
                if !direction.deaf && !std::mem::replace(&mut direction.watched, true) {
                    self.queue.at(self.now, Happening::KeepAlive { id, end, asked: None });
                }
            }
        }
    }

    /// The node that an end belongs to.
    pub(crate) fn at_end(&self, id: ConnectionId, end: End) -> Option<Node> {
        let client = self.network.client(id)?;
        Some(if end == End::Master { Node::Master } else { client })
    }

    /// The time of an end's keep-alive may have come; `asked`: when it asked, if it did. Returns whom it cost the connection.
    pub(crate) fn keep_alive(
        &mut self,
        id: ConnectionId,
        end: End,
        asked: Option<Timestamp>,
    ) -> Result<Option<Node>, Broken> {
        let Some(node) = self.at_end(id, end) else { return Ok(None) };
        if let Some(until) = self.stalled_until(node) {
            self.queue.at(until, Happening::KeepAlive { id, end, asked });
            return Ok(None);
        }
        let is_well = self.is_well(id);
        let direction = self.network.direction(id, end).filter(|direction| !direction.deaf);
        let Some(direction) = direction else { return Ok(None) };
        if let Some(asked) = asked
            && direction.heard_alive.is_none_or(|heard| heard < asked)
        {
            return self.give_up(id, end);
        }
        if is_well {
            direction.watched = false;
            return Ok(None);
        }
        let due = self.clocks.after(node, direction.heard, KEEPALIVE);
        if self.now < due {
            self.queue.at(due, Happening::KeepAlive { id, end, asked: None });
        } else {
            self.send(id, end.other(), Payload::KeepAlive);
            let late = self.clocks.after(node, self.now, KEEPALIVE);
            self.queue.at(late, Happening::KeepAlive { id, end, asked: Some(self.now) });
        }
        Ok(None)
    }

    /// Does nothing stand between the two ends?
    fn is_well(&self, id: ConnectionId) -> bool {
        let Some(connection) = self.network.connections.get(&id) else { return true };
        let ways = [&connection.to_client, &connection.to_master];
        let passes = ways.iter().all(|way| !way.deaf && !way.swallows && way.waiting.is_empty());
        let is_stalled = |node| self.stalled_until(node).is_some();
        passes
            && !self.network.weather.is_troubled(connection.client)
            && !is_stalled(connection.client)
            && !is_stalled(Node::Master)
    }

    /// An end has waited in vain: for it the connection is over; the other hears so if anything gets there.
    fn give_up(&mut self, id: ConnectionId, end: End) -> Result<Option<Node>, Broken> {
        let Some(node) = self.at_end(id, end) else { return Ok(None) };
        let Some(client) = self.network.client(id) else { return Ok(None) };
        self.journal.note(self.now, "gives up", [node.number(), id.0], || {
            format!("{node} gives up a silent connection of {client}")
        });
        self.activity.network.given_up += 1;
        let lost = self.random.chance(50);
        if self.network.leave(id, end) {
            if lost {
                self.network.cut(id, end.other());
            }
            self.send(id, end.other(), Payload::Closed);
        }
        self.hears_of_end(id, client, end)
    }

    /// The process at an end is told that its connection is over.
    pub(crate) fn hears_of_end(
        &mut self,
        id: ConnectionId,
        client: Node,
        end: End,
    ) -> Result<Option<Node>, Broken> {
        Ok(match (end, client) {
            (End::Master, _) => {
                self.arrive_at_master(client, id, Payload::Closed)?;
                Some(Node::Master)
            }
            (End::Client, Node::Agent(index)) => {
                self.arrive_at_agent(index, id, Payload::Closed)?;
                Some(client)
            }
            (End::Client, Node::Framework(index)) => {
                self.framework_hears_of_end(index, id, "keep-alive timed out");
                Some(client)
            }
            (End::Client, Node::Master) => None,
        })
    }
}
