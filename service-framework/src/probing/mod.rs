//! The framework's own health and readiness checks, run from here.
//!
//! One task keeps the times of all checks; only a check that is under way has a task of its own, and there are never more of
//! those than the bound allows. What is due waits in the order in which it fell due, so that no app's checks can crowd out
//! another's.
//!
//! Invariants
//! - No check is under way twice at once.
//! - Each look ends within its timeout, reads a bounded answer, and follows no redirect.
//! - A check that is wanted no more is ended, and is not heard of again.
//!
//! Source: Marathon's health checks (`HTTP`, `HTTPS`, `TCP`) and readiness checks; `docs/service-discovery.md`.

pub(crate) mod get;
mod look;
mod rounds;
mod tls;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use lonja_services_core::event::Watch;
use lonja_services_core::{Command, PathId};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::discovery::Counters;
use look::Looked;
use rounds::{Number, Rounds};
pub(crate) use tls::trusting;

/// Changes that may wait for the prober.
const CHANGES: usize = 256;

/// With nothing to do the prober looks up from its wait so often.
const IDLE: Duration = Duration::from_secs(3_600);

/// A way to the prober. Cheap to clone. The prober ends with the last of them.
#[derive(Clone, Debug)]
pub(crate) struct Prober {
    changes: mpsc::Sender<Change>,
}

/// A change of what is looked at.
#[derive(Debug)]
enum Change {
    /// Of one app.
    App(PathId, Arc<[Watch]>),
    /// All there is.
    All(BTreeMap<PathId, Arc<[Watch]>>),
}

impl Prober {
    /// Starts one that runs at most `at_once` checks at a time and gives what they see to `results`, as
    /// [`Command::Health`] and [`Command::Readiness`].
    pub(crate) fn start(at_once: usize, results: mpsc::Sender<Command>, counters: Arc<Counters>) -> Self {
        let (changes, inbox) = mpsc::channel(CHANGES);
        let desk = Desk {
            rounds: Rounds::new(at_once, rounds::any_seed()),
            under_way: JoinSet::new(),
            numbers: HashMap::new(),
            aborts: HashMap::new(),
            results,
            tls: trusting(),
            counters,
        };
        tokio::spawn(desk.run(inbox));
        Self { changes }
    }

    /// From now on exactly `watches` are looked at of `app`. Those that were before go on at their pace.
    pub(crate) async fn set(&self, app: PathId, watches: Arc<[Watch]>) {
        // It has ended only when the runtime ends.
        let _sent = self.changes.send(Change::App(app, watches)).await;
    }

    /// From now on exactly these are looked at.
    pub(crate) async fn set_all(&self, all: BTreeMap<PathId, Arc<[Watch]>>) {
        let _sent = self.changes.send(Change::All(all)).await;
    }
}

/// The task that keeps the times.
struct Desk {
    rounds: Rounds,
    under_way: JoinSet<Looked>,
    numbers: HashMap<Id, Number>,
    aborts: HashMap<Number, AbortHandle>,
    results: mpsc::Sender<Command>,
    tls: tokio_rustls::TlsConnector,
    counters: Arc<Counters>,
}

impl Desk {
    async fn run(mut self, mut inbox: mpsc::Receiver<Change>) {
        loop {
            self.begin_all_due();
            let wake = self.rounds.next_due().unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                change = inbox.recv() => match change {
                    Some(change) => self.change(change),
                    None => return,
                },
                Some(end) = self.under_way.join_next_with_id() => self.ended(end),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    fn begin_all_due(&mut self) {
        let now = Instant::now();
        while let Some((number, watch)) = self.rounds.take(now) {
            let (tls, results) = (self.tls.clone(), self.results.clone());
            let look = async move {
                let (command, looked) = look::look(&watch, &tls).await;
                // The core may be slow to take it; this look keeps its turn until then, so that no heap of results grows.
                let _taken = results.send(command).await;
                looked
            };
            let abort = self.under_way.spawn(look);
            self.numbers.insert(abort.id(), number);
            self.aborts.insert(number, abort);
        }
        self.counters.checks_under_way.set(self.rounds.under_way());
        self.counters.checks_kept.set(self.rounds.len());
    }

    fn change(&mut self, change: Change) {
        let now = Instant::now();
        let given_up = match change {
            Change::App(app, watches) => self.rounds.set(now, &app, &watches),
            Change::All(all) => self.rounds.set_all(now, &all),
        };
        for number in given_up {
            if let Some(abort) = self.aborts.remove(&number) {
                abort.abort();
            }
        }
    }

    fn ended(&mut self, end: Result<(Id, Looked), JoinError>) {
        let (id, looked) = match end {
            Ok((id, looked)) => (id, Some(looked)),
            Err(error) => (error.id(), None),
        };
        if let Some(looked) = looked {
            self.counters.checks.add(1);
            self.counters.checks_failed.add(u64::from(!looked.good));
        }
        if let Some(number) = self.numbers.remove(&id) {
            self.aborts.remove(&number);
            self.rounds.done(Instant::now(), number, !looked.is_some_and(|looked| looked.last));
        }
    }
}
