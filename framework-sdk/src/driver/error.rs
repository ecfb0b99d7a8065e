//! Why a run ended before its scheduler said so.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use lonja_model::FrameworkId;

use crate::store::StoreError;

/// Why a run ended before its scheduler said so.
///
/// Its `Debug` is its `Display` with its causes, since that is what a `main` that returns it prints.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// An address is none.
    #[error(
        "{master:?} is not the address of a master: {why}; it must read `http://HOST:PORT`, several with commas between"
    )]
    Address {
        /// As it was given.
        master: String,
        /// What is wrong with it.
        why: String,
    },
    /// No master was reached in the time given.
    #[error(
        "no master answers at {master} after {waited:?}: {why}; is it running? see `lonja master` or `lonja dev`"
    )]
    Unreachable {
        /// The addresses.
        master: String,
        /// How long it was tried.
        waited: Duration,
        /// What the last try came to.
        why: String,
    },
    /// Somebody answers at each address, and none is a Lonja master.
    #[error(
        "what answers at {master} is no Lonja master of this version ({why}); check the address and the port, and \
         that master and SDK are of one release"
    )]
    NoMaster {
        /// The addresses.
        master: String,
        /// What it said.
        why: String,
    },
    /// The framework was to be torn down, and no master has confirmed it in time.
    #[error(
        "framework {framework} may not be torn down: no master confirmed it at {master} within {waited:?}; \
         its tasks end once its failover timeout of {failover_timeout:?} has passed"
    )]
    NotTornDown {
        /// Which.
        framework: FrameworkId,
        /// The addresses.
        master: String,
        /// How long it was tried.
        waited: Duration,
        /// How long the master keeps it.
        failover_timeout: Duration,
    },
    /// What must not be forgotten could not be kept, or not be found. Nothing was sent that rests on it.
    #[error("the scheduler's state could not be kept in {store}; nothing was sent that rests on it")]
    Store {
        /// Which store.
        store: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The options name one framework and the store another.
    #[error(
        "the store {store} is that of framework {kept}, but the options name {given}: leave the id out, or name \
         another store"
    )]
    OtherFramework {
        /// Which store.
        store: String,
        /// The id in it.
        kept: FrameworkId,
        /// The id in the options.
        given: FrameworkId,
    },
    /// The master has removed this framework: somebody else tore it down, or it was away for longer than its failover
    /// timeout. Its tasks have been killed. What its store keeps is as it was: a new framework starts with another store, or
    /// with this one after [`Store::forget_framework`](crate::store::Store::forget_framework), and then with the scheduler's
    /// own notes.
    #[error(
        "framework {framework}, whose id is kept in {store}, has been removed by the master and its tasks were killed: it \
         was torn down by somebody else, or was away for longer than its failover timeout (the master says: {why}); to run \
         as a new framework start with an empty store, or call `Store::forget_framework` on this one first, which keeps the \
         scheduler's own notes"
    )]
    Removed {
        /// Which.
        framework: FrameworkId,
        /// Where its id is kept.
        store: String,
        /// The master's words.
        why: String,
    },
    /// The scheduler panicked; what it would have done then was not done. With [`Driver::run_from`](crate::Driver::run_from)
    /// it was made anew from the store first, as often as it may be.
    #[error("scheduler {scheduler} panicked in `{method}`{}: {message}", times(*.rebuilt))]
    Panicked {
        /// The scheduler's type.
        scheduler: &'static str,
        /// In which method.
        method: &'static str,
        /// What it said.
        message: String,
        /// How often it had been made anew within the last minute.
        rebuilt: usize,
    },
    /// The thread of the scheduler could not be started, or is gone: a mistake of this library.
    #[error("the scheduler's thread ended: {why}")]
    Thread {
        /// As far as is known.
        why: String,
    },
}

impl fmt::Debug for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.to_string();
        f.write_str(&last)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some say their cause in their own words already.
            if !last.contains(&text) {
                write!(f, ": {text}")?;
            }
            last = text;
            cause = error.source();
        }
        Ok(())
    }
}

fn times(rebuilt: usize) -> String {
    match rebuilt {
        0 => String::new(),
        times => format!(", having been made anew {times} times within a minute"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_main_prints_is_what_people_read_with_its_causes_each_once() {
        let inner = std::io::Error::other("no space left");
        let source = StoreError::Failed { why: "the disk failed".to_owned(), source: Some(Box::new(inner)) };
        let error = DriverError::Store { store: "/state".to_owned(), source };
        let printed = format!("{error:?}");
        assert!(printed.starts_with(&error.to_string()), "{printed}");
        assert!(printed.ends_with(": the disk failed: no space left"), "{printed}");
    }
}
