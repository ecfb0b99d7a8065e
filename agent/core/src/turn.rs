//! What the handling of one event may look at and change.

use lonja_model::checkpoint::Identity;
use lonja_model::{AgentId, Timestamp};

use crate::book::Book;
use crate::config::Config;
use crate::deadlines::Deadlines;
use crate::draws::Draws;
use crate::effects::{Effects, Note};
use crate::operations::Operations;
use crate::registration::Registration;

/// One event's turn: the parts of the agent, and the effects so far.
pub(crate) struct Turn<'a> {
    pub(crate) now: Timestamp,
    pub(crate) config: &'a Config,
    pub(crate) identity: &'a mut Option<Identity>,
    pub(crate) registration: &'a mut Registration,
    pub(crate) book: &'a mut Book,
    pub(crate) operations: &'a mut Operations,
    pub(crate) deadlines: &'a mut Deadlines,
    pub(crate) draws: &'a mut Draws,
    pub(crate) effects: &'a mut Effects,
}

impl Turn<'_> {
    /// The agent's id, if it has one.
    pub(crate) fn agent(&self) -> Option<&AgentId> {
        self.identity.as_ref().map(|identity| &identity.agent)
    }

    /// A line for the log.
    pub(crate) fn note(&mut self, note: Note) {
        self.effects.notes.push(note);
    }
}
