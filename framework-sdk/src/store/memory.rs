//! A store that lasts as long as its process.

use std::sync::{Arc, Mutex, PoisonError};

use lonja_sdk_core::{Record, State};

use super::{Store, StoreError};

/// Keeps a [`State`] in memory: for tests, and for schedulers whose work ends with them. Its clones are one store, so a
/// test can look into it, or start a second run from it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// What it holds now.
    pub fn state(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl From<State> for MemoryStore {
    fn from(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<State, StoreError> {
        Ok(self.state())
    }

    fn commit(&mut self, changes: &[Record]) -> Result<(), StoreError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            state.apply(change.clone());
        }
        Ok(())
    }

    fn name(&self) -> String {
        "the memory of this process".to_owned()
    }
}
