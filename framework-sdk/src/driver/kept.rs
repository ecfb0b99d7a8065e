//! The store, whose panics stay inside: one that panics has failed, and says in which method.
//!
//! Invariants
//! - A store that has panicked is not called again: what it holds may be half done.

use lonja_sdk_core::{Record, State};

use super::contained::{Panicked, caught};
use crate::store::{Store, StoreError};

/// See the module.
pub(crate) struct Kept {
    store: Option<Box<dyn Store>>,
    name: String,
}

impl Kept {
    pub(crate) fn new(store: Box<dyn Store>) -> Self {
        let name = caught("Store::name", || store.name());
        Self { store: Some(store), name: name.unwrap_or_else(|_| "a store whose `name` panics".to_owned()) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn load(&mut self) -> Result<State, StoreError> {
        self.call("Store::load", |store| store.load())
    }

    pub(crate) fn commit(&mut self, changes: &[Record]) -> Result<(), StoreError> {
        self.call("Store::commit", |store| store.commit(changes))
    }

    fn call<T>(
        &mut self,
        method: &'static str,
        work: impl FnOnce(&mut dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some(store) = &mut self.store else {
            return Err(StoreError::failed("the store has panicked before"));
        };
        caught(method, || work(&mut **store)).unwrap_or_else(|Panicked { method, message }| {
            self.let_go();
            Err(StoreError::Panicked { method, message })
        })
    }

    /// What it holds open is closed; others may want it.
    fn let_go(&mut self) {
        let store = self.store.take();
        if let Err(Panicked { method, message }) = caught("Store::drop", || drop(store)) {
            tracing::error!(store = self.name, method, message, "the store panicked");
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.let_go();
    }
}
