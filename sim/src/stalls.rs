//! Processes that are stopped: they hear nothing, say nothing, and go on where they were.
//!
//! What arrives meanwhile waits in their host's buffers; commits, timers and tries to connect wait as well. Their
//! containers run on.

use std::collections::BTreeMap;

use lonja_model::Timestamp;

use crate::faults::ClockFault;
use crate::network::{ConnectionId, End, Payload};
use crate::world::{Happening, Node, World};

/// One process that is stopped.
#[derive(Debug)]
pub(crate) struct Stall {
    until: Timestamp,
    /// Questions of other ends' transports.
    pub(crate) unanswered: Vec<(ConnectionId, End)>,
}

/// All of them.
pub(crate) type Stalls = BTreeMap<Node, Stall>;

impl World {
    /// Until when `node` is stopped, if it is.
    pub(crate) fn stalled_until(&self, node: Node) -> Option<Timestamp> {
        self.stalls.get(&node).map(|stall| stall.until)
    }

    /// Something happens to the time of a node.
    pub(crate) fn warp(&mut self, fault: ClockFault) {
        match fault {
            ClockFault::Stall { node, lasts, frozen } => {
                if self.life(node).is_none() || self.stalls.contains_key(&node) {
                    return;
                }
                self.journal.note(self.now, "stopped", [node.number(), 0], || {
                    format!("{node} is stopped for {lasts:?}, its clock as well: {frozen}")
                });
                self.activity.clocks.stalls += 1;
                let until = self.now + lasts;
                let stall = Stall { until, unanswered: Vec::new() };
                self.stalls.insert(node, stall);
                self.clocks.freeze(node, self.now, frozen);
                self.disturbs(node);
                self.queue.at(until, Happening::Resume(node));
                self.set_alarm(node);
                self.watch(node);
            }
            ClockFault::Leap { node, by } => {
                if self.life(node).is_none() {
                    return;
                }
                self.journal.note(self.now, "leaps", [node.number(), 0], || {
                    format!("the clock of {node} leaps by {by:?}")
                });
                self.activity.clocks.leaps += 1;
                self.disturbs(node);
                self.clocks.leap(node, self.now, by);
                self.set_alarm(node);
            }
            ClockFault::Jump { node, by, back } => {
                self.journal.note(self.now, "jumps", [node.number(), 0], || {
                    format!("the wall clock of {node} jumps by {by:?}, back: {back}")
                });
                self.activity.clocks.jumps += 1;
                self.clocks.jump(node, by, back);
            }
        }
    }

    /// A process goes on.
    pub(crate) fn resume(&mut self, node: Node) -> Option<Node> {
        let due = self.stalled_until(node).is_some_and(|until| until <= self.now);
        let stall = if due { self.stalls.remove(&node)? } else { return None };
        self.journal.note(self.now, "goes on", [node.number(), 0], || format!("{node} goes on"));
        self.disturbs(node);
        self.clocks.freeze(node, self.now, false);
        if node == Node::Master {
            let now = self.local(node);
            self.partitions.silence.master_resumes(now);
        }
        for (id, at) in stall.unanswered {
            self.send(id, at.other(), Payload::Alive);
        }
        Some(node)
    }
}
