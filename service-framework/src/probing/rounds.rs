//! When each check is due: a calendar without a clock.
//!
//! Invariants
//! - A check is in the calendar, or under way, or has said its last word.
//! - Never more are under way than the bound; what fell due first goes first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use lonja_services_core::PathId;
use lonja_services_core::event::{Watch, WatchKind};
use lonja_services_core::instance::InstanceId;
use tokio::time::Instant;

/// The first health check comes after at most so long.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// A check at one instance. Never used again.
pub(super) type Number = u64;

/// What makes two watches the same check: the instance, and its health check's number or none for readiness.
type Key = (InstanceId, Option<usize>);

/// All checks with their times.
pub(super) struct Rounds {
    at_once: usize,
    under_way: usize,
    apps: BTreeMap<PathId, BTreeMap<Key, Number>>,
    rounds: HashMap<Number, Round>,
    calendar: BTreeSet<(Instant, Number)>,
    next: Number,
    random: u64,
}

struct Round {
    watch: Arc<Watch>,
    /// None: it is under way, or over.
    due: Option<Instant>,
    /// When it began the last time.
    began: Instant,
}

/// A seed that differs from run to run.
pub(super) fn any_seed() -> u64 {
    RandomState::new().hash_one(0_u8)
}

impl Rounds {
    /// An empty calendar.
    pub(super) fn new(at_once: usize, seed: u64) -> Self {
        Self {
            at_once: at_once.max(1),
            under_way: 0,
            apps: BTreeMap::new(),
            rounds: HashMap::new(),
            calendar: BTreeSet::new(),
            next: 0,
            random: seed,
        }
    }

    /// How many checks there are.
    pub(super) fn len(&self) -> usize {
        self.rounds.len()
    }

    /// How many are under way.
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Exactly `watches` are looked at of `app`. Returns those that are no longer; some may be under way.
    pub(super) fn set(&mut self, now: Instant, app: &PathId, watches: &[Watch]) -> Vec<Number> {
        let mut before = self.apps.remove(app).unwrap_or_default();
        let mut after = BTreeMap::new();
        for watch in watches {
            let key = (watch.instance.clone(), health_number(&watch.check));
            let kept = before.get(&key).copied().filter(|number| {
                self.rounds.get(number).is_some_and(|round| is_same_look(&round.watch, watch))
            });
            let number = match kept {
                Some(number) => {
                    before.remove(&key);
                    number
                }
                None => self.add(now, watch.clone()),
            };
            if let Some(double) = after.insert(key, number) {
                self.remove(double);
            }
        }
        if !after.is_empty() {
            self.apps.insert(app.clone(), after);
        }
        before.into_values().inspect(|number| self.remove(*number)).collect()
    }

    /// Exactly these are looked at. Returns those that are no longer.
    pub(super) fn set_all(&mut self, now: Instant, all: &BTreeMap<PathId, Arc<[Watch]>>) -> Vec<Number> {
        let gone: Vec<PathId> = self.apps.keys().filter(|app| !all.contains_key(*app)).cloned().collect();
        let mut given_up: Vec<Number> = gone.iter().flat_map(|app| self.set(now, app, &[])).collect();
        for (app, watches) in all {
            given_up.extend(self.set(now, app, watches));
        }
        given_up
    }

    /// The next check to begin now; none: nothing is due, or as many are under way as may be.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Number, Arc<Watch>)> {
        let &(due, number) = self.calendar.first()?;
        if due > now || self.under_way >= self.at_once {
            return None;
        }
        self.calendar.pop_first();
        self.under_way += 1;
        let round = self.rounds.get_mut(&number)?;
        round.due = None;
        round.began = now;
        Some((number, Arc::clone(&round.watch)))
    }

    /// One that was taken has ended; `again`: it is looked at once more, an interval after it began.
    pub(super) fn done(&mut self, now: Instant, number: Number, again: bool) {
        self.under_way = self.under_way.saturating_sub(1);
        let pace = self.fraction(95, 100);
        let Some(round) = self.rounds.get_mut(&number).filter(|_| again) else { return };
        // A little early rather than late, so that checks that began together drift apart.
        let due = now.max(round.began + interval(&round.watch.check).mul_f64(pace));
        round.due = Some(due);
        self.calendar.insert((due, number));
    }

    /// When to call [`Rounds::take`] next; none: when something has ended or changed.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.calendar.first().map(|(due, _)| *due).filter(|_| self.under_way < self.at_once)
    }

    fn add(&mut self, now: Instant, watch: Watch) -> Number {
        let number = self.next;
        self.next += 1;
        let wait = match &watch.check {
            WatchKind::Health(_, check) => check.interval.min(FIRST_WITHIN).mul_f64(self.fraction(75, 100)),
            WatchKind::Readiness(_) => Duration::ZERO,
        };
        let due = now + wait;
        self.calendar.insert((due, number));
        self.rounds.insert(number, Round { watch: Arc::new(watch), due: Some(due), began: now });
        number
    }

    fn remove(&mut self, number: Number) {
        if let Some(Round { due: Some(due), .. }) = self.rounds.remove(&number) {
            self.calendar.remove(&(due, number));
        }
    }

    /// Something between two numbers of hundredths. SplitMix64.
    fn fraction(&mut self, from: u64, to: u64) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let thousandths = (mixed >> 33) % ((to - from) * 10 + 1) + from * 10;
        thousandths as f64 / 1_000.0
    }
}

fn health_number(check: &WatchKind) -> Option<usize> {
    match check {
        WatchKind::Health(number, _) => Some(*number),
        WatchKind::Readiness(_) => None,
    }
}

fn interval(check: &WatchKind) -> Duration {
    let asked = match check {
        WatchKind::Health(_, check) => check.interval,
        WatchKind::Readiness(check) => check.interval,
    };
    // What is asked for without a pause would take a turn for itself.
    asked.max(Duration::from_millis(100))
}

/// Is it the same look at the same program? The rest of a definition may differ.
fn is_same_look(one: &Watch, other: &Watch) -> bool {
    one.incarnation == other.incarnation
        && one.host == other.host
        && one.port == other.port
        && one.check == other.check
}

#[cfg(test)]
#[path = "rounds_tests.rs"]
mod tests;
