//! What will happen: a heap of times, and what is to happen beside it.
//!
//! Invariants
//! - Things happen in the order of their times, and of one time in the order in which they were put in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use lonja_agent_core::Event as AgentEvent;
use lonja_model::Timestamp;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::scheduler::{Call, CallResult, Event as FrameworkEvent};

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Happening {
    /// The next task of the workload is wanted.
    Arrival,
    /// The state of the fleet is looked at.
    Sample,
    /// The master's deadline.
    MasterTick,
    /// An agent's deadline.
    AgentTick(u32),
    /// A framework's deadline.
    FrameworkTick(u32),
    /// A message reaches the master.
    FromAgent(u32, Box<FromAgent>),
    /// A message reaches an agent.
    ToAgent(u32, Box<ToAgent>),
    /// A call reaches the master, on this stream.
    Call { stream: u64, number: u64, call: Box<Call> },
    /// Something reaches a framework on this stream.
    ToFramework { stream: u64, event: Box<FrameworkEvent> },
    /// An answer reaches a framework on this stream.
    Answer { stream: u64, number: u64, result: Box<CallResult> },
    /// A framework's connection stands.
    Connected { stream: u64 },
    /// The master closes a framework's stream.
    Closed { stream: u64 },
    /// A framework has closed its stream.
    HungUp { stream: u64 },
    /// A container begins to run.
    Started { live: usize },
    /// A container may have ended: the number tells a task from one that had its place before.
    Ended { live: usize, number: u64, killed: bool },
    /// An agent's own events at the start.
    Agent(u32, Box<AgentEvent>),
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    times: BinaryHeap<Reverse<(Timestamp, u64, usize)>>,
    happenings: Vec<Option<Happening>>,
    unused: Vec<usize>,
    last: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Timestamp, happening: Happening) {
        self.last += 1;
        let place = match self.unused.pop() {
            Some(place) => {
                self.happenings[place] = Some(happening);
                place
            }
            None => {
                self.happenings.push(Some(happening));
                self.happenings.len() - 1
            }
        };
        self.times.push(Reverse((at, self.last, place)));
    }

    pub(super) fn pop(&mut self) -> Option<(Timestamp, Happening)> {
        let Reverse((at, _, place)) = self.times.pop()?;
        self.unused.push(place);
        self.happenings[place].take().map(|happening| (at, happening))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_happen_by_their_times_and_then_in_the_order_they_were_put_in() {
        let mut queue = Queue::default();
        for (at, agent) in [(2, 1), (1, 2), (2, 3), (1, 4)] {
            queue.push(Timestamp::from_nanos(at), Happening::AgentTick(agent));
        }
        let order: Vec<_> = std::iter::from_fn(|| match queue.pop() {
            Some((_, Happening::AgentTick(agent))) => Some(agent),
            _ => None,
        })
        .collect();
        assert_eq!(order, [2, 4, 1, 3]);
    }
}
