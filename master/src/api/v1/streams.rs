//! Which stream a `Mesos-Stream-Id` names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use lonja_master_core::StreamId;
use uuid::Uuid;

/// The streams that are open, by the ids that their frameworks got. Each is there as long as its stream.
#[derive(Clone, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<Uuid, StreamId>>>);

/// One stream's place, left when it is dropped.
pub(super) struct Listed {
    streams: Streams,
    pub(super) id: Uuid,
}

impl Streams {
    /// Lists a stream under an id that nobody can guess.
    pub(super) fn list(&self, stream: StreamId) -> Listed {
        let id = Uuid::new_v4();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, stream);
        Listed { streams: self.clone(), id }
    }

    /// The stream of that id.
    pub(super) fn find(&self, id: &str) -> Option<StreamId> {
        let id = Uuid::try_parse(id).ok()?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.streams.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
