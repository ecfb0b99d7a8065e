//! The addresses of agents that are known by name.
//!
//! Nobody waits for the host's resolver: it is asked in the background, and its last good answer serves until it has been
//! silent or wrong for too long.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Directory, Host};
use crate::discovery::Counters;

/// An answer is asked for again after so long.
const FRESH: Duration = Duration::from_secs(30);

/// A last good answer serves for so long.
const STALE: Duration = Duration::from_secs(600);

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// From one round to the next at least.
const PAUSE: Duration = Duration::from_millis(100);

/// Names asked for at once.
const AT_ONCE: usize = 8;

/// What names lead to.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    known: RwLock<BTreeMap<Arc<str>, Known>>,
    wanted: Notify,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Vec<IpAddr>,
    asked: Instant,
    good: Option<Instant>,
}

impl Hosts {
    /// The addresses; empty: none is known at present.
    pub(crate) fn addresses(&self, host: &Host) -> Vec<IpAddr> {
        match host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
                known.get(name).map(|known| known.addresses.clone()).unwrap_or_default()
            }
        }
    }

    /// New names may be wanted.
    pub(crate) fn look_again(&self) {
        self.wanted.notify_one();
    }

    /// Keeps what the directory's names lead to. Does not end.
    pub(crate) async fn keep(&self, directory: &Directory, counters: &Counters) {
        loop {
            self.refresh(&directory.hostnames(), counters).await;
            // Many changes at once are one.
            tokio::time::sleep(PAUSE).await;
            tokio::select! {
                () = self.wanted.notified() => {}
                () = tokio::time::sleep(FRESH / 2) => {}
            }
        }
    }

    async fn refresh(&self, wanted: &BTreeSet<Arc<str>>, counters: &Counters) {
        let now = Instant::now();
        let due: Vec<Arc<str>> = {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.retain(|name, _| wanted.contains(name));
            let is_due = |name: &&Arc<str>| {
                known.get(*name).is_none_or(|known| now.saturating_duration_since(known.asked) >= FRESH)
            };
            wanted.iter().filter(is_due).cloned().collect()
        };
        let asked = futures::stream::iter(due).map(|name| async move { (resolve(&name).await, name) });
        let mut answers = asked.buffer_unordered(AT_ONCE);
        while let Some((addresses, name)) = answers.next().await {
            self.learn(name, addresses);
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let lost = wanted.iter().filter(|name| known.get(*name).is_none_or(|one| one.addresses.is_empty()));
        counters.hosts_unresolved.set(lost.count());
    }

    fn learn(&self, name: Arc<str>, addresses: Vec<IpAddr>) {
        let now = Instant::now();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.remove(&name);
        let learnt = if addresses.is_empty() {
            let kept = before
                .filter(|before| before.good.is_some_and(|good| now.saturating_duration_since(good) < STALE));
            match kept {
                Some(kept) => Known { asked: now, ..kept },
                None => Known { addresses, asked: now, good: None },
            }
        } else {
            Known { addresses, asked: now, good: Some(now) }
        };
        known.insert(name, learnt);
    }
}

async fn resolve(name: &str) -> Vec<IpAddr> {
    match tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name, 0))).await {
        Ok(Ok(addresses)) => {
            let found: BTreeSet<IpAddr> = addresses.map(|address| address.ip()).take(16).collect();
            found.into_iter().collect()
        }
        Ok(Err(error)) => {
            tracing::debug!(host = name, %error, "an agent's hostname has no address");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}
