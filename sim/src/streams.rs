//! Who may speak for a framework, and which offers still count (INV-14, INV-39).

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::operation::{LaunchTask, Operation};
use lonja_model::scheduler::{CallResult, Event};
use lonja_model::{FrameworkId, OfferId, TaskId};

use crate::hosts::kernel::TaskKey;
use crate::invariants::Broken;
use crate::network::ConnectionId;

/// The streams of the present master, and what was offered over all.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Over which stream each framework is subscribed.
    live: BTreeMap<FrameworkId, ConnectionId>,
    superseded: BTreeSet<ConnectionId>,
    /// Those that were sent an ERROR.
    refused: BTreeSet<ConnectionId>,
    /// Offers made over those that are not superseded.
    offered: BTreeMap<OfferId, ConnectionId>,
    /// On which offers each task was launched.
    used: BTreeMap<TaskKey, Vec<OfferId>>,
}

impl Streams {
    pub(crate) fn master_starts(&mut self) {
        // What an earlier master offered is dead, and so is what nobody knows.
        *self = Self { used: std::mem::take(&mut self.used), ..Self::default() };
    }

    /// The master says `event` over `stream`; `is_open`: can it still be heard over that one? INV-14: whoever is
    /// superseded is told so first, and nothing after.
    pub(crate) fn says(
        &mut self,
        stream: ConnectionId,
        event: &Event,
        is_open: impl Fn(ConnectionId) -> bool,
    ) -> Result<(), Broken> {
        if let Event::Error(_) = event {
            self.refused.insert(stream);
            return Ok(());
        }
        if self.superseded.contains(&stream) {
            let what = format!("connection {} is superseded, and is told {event:?}", stream.0);
            return Err(Broken::new("INV-14", what));
        }
        match event {
            Event::Subscribed { framework, .. } => {
                let old = self.live.insert(framework.clone(), stream).filter(|old| *old != stream);
                let Some(old) = old else { return Ok(()) };
                self.superseded.insert(old);
                self.offered.retain(|_, stream| *stream != old);
                if is_open(old) && !self.refused.contains(&old) {
                    let what = format!("{framework} subscribes anew, connection {} is not told", old.0);
                    return Err(Broken::new("INV-14", what));
                }
            }
            Event::Offers(offers) => {
                self.offered.extend(offers.iter().map(|offer| (offer.id.clone(), stream)));
            }
            _ => {}
        }
        Ok(())
    }

    /// Over which stream a framework is subscribed.
    pub(crate) fn of(&self, framework: &FrameworkId) -> Option<ConnectionId> {
        self.live.get(framework).copied()
    }

    /// The master answers a call. INV-14: those of a superseded stream are refused.
    pub(crate) fn answers(&self, stream: ConnectionId, result: &CallResult) -> Result<(), Broken> {
        if result.is_ok() && self.superseded.contains(&stream) {
            let what = format!("a call over connection {}, which is superseded, is carried out", stream.0);
            return Err(Broken::new("INV-14", what));
        }
        Ok(())
    }

    /// A framework accepts offers.
    pub(crate) fn accepts(&mut self, framework: &FrameworkId, offers: &[OfferId], operations: &[Operation]) {
        for operation in operations {
            for id in operation.tasks().iter().map(LaunchTask::id) {
                self.used.insert((framework.clone(), id.clone()), offers.to_vec());
            }
        }
    }

    /// The master has tasks launched. INV-39: on offers that were made over the present stream of their framework.
    pub(crate) fn runs<'a>(
        &mut self,
        framework: &FrameworkId,
        tasks: impl Iterator<Item = &'a TaskId>,
    ) -> Result<(), Broken> {
        let live = self.live.get(framework);
        for task in tasks {
            for offer in self.used.remove(&(framework.clone(), task.clone())).unwrap_or_default() {
                if live.is_some() && self.offered.get(&offer) == live {
                    continue;
                }
                let what = format!("task {task} of {framework} is launched on {offer}, which is dead");
                return Err(Broken::new("INV-39", what));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: ConnectionId = ConnectionId(1);
    const NEW: ConnectionId = ConnectionId(2);

    fn framework() -> FrameworkId {
        FrameworkId::new("f1").expect("an id")
    }

    #[test]
    fn a_launch_on_an_offer_of_an_earlier_stream_is_noticed() {
        let (offer, task) = (OfferId::new("o1").expect("an id"), TaskId::new("t1").expect("an id"));
        for (over, wrong) in [(NEW, false), (OLD, true)] {
            let mut streams = Streams::default();
            streams.offered.insert(offer.clone(), over);
            streams.used.insert((framework(), task.clone()), vec![offer.clone()]);
            streams.live.insert(framework(), NEW);
            assert_eq!(streams.runs(&framework(), [&task].into_iter()).is_err(), wrong);
        }
    }

    #[test]
    fn a_call_that_is_carried_out_for_a_superseded_stream_is_noticed() {
        let mut streams = Streams::default();
        assert!(streams.answers(OLD, &Ok(())).is_ok());
        streams.superseded.insert(OLD);
        assert!(streams.answers(OLD, &Ok(())).is_err());
        assert!(streams.says(OLD, &Event::Heartbeat, |_| true).is_err());
    }
}
