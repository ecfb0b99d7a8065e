//! One step of gathering: who starts, what is held, and when it is given back.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use lonja_model::{Offer, OfferId, Timestamp};

use super::{Gangs, Gathered};
use crate::placement::Placement;
use crate::{MAX_HOLD, Plan};

/// Held a little longer than is gathered, so that it is given back by the scheduler and not taken from it.
const SLACK: Duration = Duration::from_secs(1);

/// So many gangs are tried in one step.
const MAX_TRIED: usize = 16;

/// For so many of them something is kept at most: fewer than are tried, so that there are always others in turn.
const MAX_GATHERING: usize = 4;

impl Gangs {
    pub(super) fn advance(&mut self, now: Timestamp, placement: &mut Placement) -> Gathered {
        let mut gathered = Gathered::default();
        self.launched.clear();
        if self.rests_until.is_some_and(|until| until <= now) {
            self.rests_until = None;
        }
        let is_over = self.gathers_until.is_some_and(|until| until <= now);
        // While it rests, and when its time is over, what is there may start a gang, but is not kept.
        let keeps = self.rests_until.is_none() && !is_over;
        let useful = self.start(placement, &mut gathered, keeps);
        if is_over {
            let rest = self.rest();
            self.give_back(&mut gathered, rest);
            self.gathers_until = None;
            self.rests_until = (!self.waiting.is_empty()).then(|| now + rest);
            return gathered;
        }
        self.keep(now, &useful, &mut gathered);
        gathered
    }

    /// Starts gangs. One that cannot start has what is of use to it kept for it, and those behind it are tried on the
    /// rest; if nothing is kept, each is tried on everything. Returns what is to be kept.
    fn start(
        &mut self,
        placement: &mut Placement,
        gathered: &mut Gathered,
        keeps: bool,
    ) -> BTreeSet<OfferId> {
        let mut kept = BTreeSet::new();
        let mut gather = BTreeSet::new();
        let mut launches = Vec::new();
        let (first, others) = self.to_try();
        let turns =
            first.into_iter().map(|key| (key, false)).chain(others.into_iter().map(|key| (key, true)));
        for (key, is_in_turn) in turns {
            let left = self.in_hand.iter().filter(|(id, _)| !kept.contains(*id));
            let offers: Vec<Offer> = left.map(|(_, offer)| offer.clone()).collect();
            if offers.is_empty() {
                break;
            }
            if is_in_turn {
                self.tried_last = key;
            }
            let Some(gang) = self.waiting.get(&key) else { continue };
            match placement.decide_together(&offers, &gang.members) {
                Ok(decision) => {
                    launches.append(&mut placement.take_launches());
                    let unused: BTreeSet<&OfferId> = decision.unused.iter().collect();
                    self.in_hand.retain(|offer, _| kept.contains(offer) || unused.contains(offer));
                    self.started(key, gathered);
                    gathered.plan = std::mem::take(&mut gathered.plan).and(decision.plan);
                }
                Err(not) => {
                    if gathered.unplaced.is_empty() {
                        gathered.unplaced = not.unplaced;
                    }
                    if keeps && gather.len() < MAX_GATHERING {
                        let unused: BTreeSet<OfferId> = not.unused.into_iter().collect();
                        let more = self.options.most_offers.saturating_sub(kept.len());
                        let useful = offers.into_iter().map(|offer| offer.id);
                        let before = kept.len();
                        kept.extend(useful.filter(|offer| !unused.contains(offer)).take(more));
                        if kept.len() > before {
                            gather.insert(key);
                        }
                    }
                }
            }
        }
        placement.set_launches(launches);
        self.gather = gather;
        kept
    }

    /// The oldest with those that gather, and others in turn, so that each has its turn however many are before it.
    fn to_try(&self) -> (BTreeSet<u64>, Vec<u64>) {
        let first: BTreeSet<u64> = self.waiting.keys().take(1).chain(&self.gather).copied().collect();
        let last = self.tried_last;
        let behind = self.waiting.range((Bound::Excluded(last), Bound::Unbounded));
        let others = behind.chain(self.waiting.range(..=last)).map(|(key, _)| *key);
        let others = others.filter(|key| !first.contains(key)).take(MAX_TRIED.saturating_sub(first.len()));
        let others = others.collect();
        (first, others)
    }

    fn started(&mut self, key: u64, gathered: &mut Gathered) {
        let Some(gang) = self.take(key) else { return };
        let members: Vec<_> = gang.members.iter().map(|member| member.id().clone()).collect();
        self.launched.push((gang.name.clone(), members.clone()));
        gathered.started.push((gang.name, members));
    }

    /// Holds what is of use, and lets the rest go.
    fn keep(&mut self, now: Timestamp, useful: &BTreeSet<OfferId>, gathered: &mut Gathered) {
        let mut plan = std::mem::take(&mut gathered.plan);
        for (id, offer) in std::mem::take(&mut self.in_hand) {
            if useful.contains(&id) {
                self.in_hand.insert(id, offer);
            } else {
                plan = plan.decline(&offer, self.options.shortest);
            }
        }
        if self.in_hand.is_empty() {
            self.gathers_until = None;
            gathered.plan = plan;
            return;
        }
        // Time goes on as long as anything is in hand that was there before, for whomever it is kept.
        let goes_on = self.in_hand.keys().any(|offer| self.held.contains(offer));
        let until = match self.gathers_until.filter(|_| goes_on) {
            Some(until) => until,
            None => now + self.patience(now),
        };
        self.held = self.in_hand.keys().cloned().collect();
        self.gathers_until = Some(until);
        for offer in self.in_hand.values() {
            plan = plan.hold(offer, until.since(now) + SLACK);
        }
        gathered.plan = plan;
    }

    fn give_back(&mut self, gathered: &mut Gathered, rest: Duration) {
        let mut plan: Plan = std::mem::take(&mut gathered.plan);
        for (_, offer) in std::mem::take(&mut self.in_hand) {
            plan = plan.decline(&offer, rest);
        }
        gathered.plan = plan;
    }

    /// How long is gathered from now on: three quarters to five quarters of the shortest time and of the age of the oldest
    /// gang that something is kept for.
    fn patience(&mut self, now: Timestamp) -> Duration {
        let oldest = self.gather.first().and_then(|key| self.waiting.get(key));
        let age = oldest.map_or(Duration::ZERO, |gang| now.since(gang.since));
        let mean = self.options.shortest.saturating_add(age);
        let longest = self.options.longest.min(MAX_HOLD.saturating_sub(SLACK));
        self.part(mean.min(longest), 750, 500).min(longest)
    }

    /// How long it rests after that: half of the shortest time to all of it.
    fn rest(&mut self) -> Duration {
        self.part(self.options.shortest, 500, 500)
    }

    /// So many thousandths of a time, and up to so many more.
    fn part(&mut self, of: Duration, least: u64, more: u64) -> Duration {
        let thousandths = least + self.draws.bits() % (more + 1);
        let nanos = of.as_nanos() * u128::from(thousandths) / 1_000;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
