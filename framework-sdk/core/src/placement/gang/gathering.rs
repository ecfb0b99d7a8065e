//! One step of gathering: who starts, what is held, and when it is given back.

use std::time::Duration;

use lonja_model::{Offer, OfferId, Timestamp};

use super::{Gangs, Gathered};
use crate::placement::Placement;
use crate::{MAX_HOLD, Plan};

/// Held a little longer than is gathered, so that it is given back by the scheduler and not taken from it.
const SLACK: Duration = Duration::from_secs(1);

/// So many gangs, the oldest, are tried with offers that are about to be given back.
const MAX_TRIED: usize = 16;

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
        self.keep(now, useful, &mut gathered);
        gathered
    }

    /// Starts gangs, the oldest first. One that cannot start stands before all behind it, unless nothing is kept for it.
    /// Returns what of the offers is of use to it.
    fn start(&mut self, placement: &mut Placement, gathered: &mut Gathered, keeps: bool) -> Vec<OfferId> {
        let mut useful = Vec::new();
        let keys: Vec<u64> = self.waiting.keys().copied().take(MAX_TRIED).collect();
        for key in keys {
            if self.in_hand.is_empty() {
                break;
            }
            let Some(gang) = self.waiting.get(&key) else { continue };
            let offers: Vec<Offer> = self.in_hand.values().cloned().collect();
            match placement.decide_together(&offers, &gang.members) {
                Ok(decision) => {
                    let unused: std::collections::BTreeSet<&OfferId> = decision.unused.iter().collect();
                    self.in_hand.retain(|offer, _| unused.contains(offer));
                    let started: Vec<_> = gang.members.iter().map(|member| member.id().clone()).collect();
                    if let Some(gang) = self.take(key) {
                        self.launched.push((gang.name.clone(), started.clone()));
                        gathered.started.push((gang.name, started));
                    }
                    gathered.plan = std::mem::take(&mut gathered.plan).and(decision.plan);
                    // The next one gathers for itself.
                    self.gathers_until = None;
                }
                Err(not) => {
                    if gathered.unplaced.is_empty() {
                        gathered.unplaced = not.unplaced;
                        let is_used = |offer: &&OfferId| !not.unused.contains(offer);
                        useful = self.in_hand.keys().filter(is_used).cloned().collect();
                    }
                    if keeps {
                        break;
                    }
                }
            }
        }
        useful
    }

    /// Holds what is of use, within bounds, and lets the rest go.
    fn keep(&mut self, now: Timestamp, mut useful: Vec<OfferId>, gathered: &mut Gathered) {
        useful.truncate(self.options.most_offers);
        if self.rests_until.is_some() {
            useful.clear();
        }
        let useful: std::collections::BTreeSet<OfferId> = useful.into_iter().collect();
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
        let until = match self.gathers_until {
            Some(until) => until,
            None => now + self.patience(now),
        };
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

    /// How long the oldest gang gathers from now on: three quarters to five quarters of the shortest time and of its
    /// age.
    fn patience(&mut self, now: Timestamp) -> Duration {
        let age = self.waiting.values().next().map_or(Duration::ZERO, |gang| now.since(gang.since));
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
