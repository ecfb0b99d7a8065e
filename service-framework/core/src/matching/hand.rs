//! The offers of one decision, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::{AgentId, Offer, Timestamp};
use lonja_sdk_core::Step;
use lonja_sdk_core::placement::{Room, Spec};

use super::fields::{Field, text_of};
use super::judge::{Compiled, Judge, Liking};
use super::launch::Launch;
use super::nearness::Near;
use super::patterns::Patterns;
use super::slot::Slot;
use super::taking::{Miss, Taken};
use super::{Matched, Want, resident, taking};
use crate::definition::RunSpec;
use crate::instance::Place;
use crate::waiting::{ProcessedOffers, Reason};

/// The most of an agent's attributes that is written down with each place on it, in bytes.
const MAX_VALUES: usize = 16 * 1024;

/// The offers of one decision, with what is left of each.
#[derive(Debug)]
pub struct Hand {
    now: Timestamp,
    region: Option<String>,
    enforcing: BTreeSet<String>,
    slots: Vec<Slot>,
    by_agent: BTreeMap<AgentId, Vec<usize>>,
    largest: Spec,
    patterns: Patterns,
    memos: BTreeMap<usize, Memo>,
}

/// What is known of an app or pod, and what has been seen of each slot for it.
#[derive(Debug)]
struct Memo {
    compiled: Compiled,
    seen: Vec<Seen>,
}

/// What has been seen of a slot for one app or pod.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// It is counted as looked at.
    processed: bool,
    /// It is counted as not used.
    unused: bool,
    /// What its rules ask of the agent alone holds there.
    fits: bool,
    /// Nothing of this kind goes there any more in this decision.
    hopeless: bool,
}

impl Hand {
    /// All of `offers`, of which nothing is used yet.
    pub fn new(offers: &[Offer], now: Timestamp) -> Self {
        let mut hand = Self {
            now,
            region: None,
            enforcing: BTreeSet::new(),
            slots: Vec::with_capacity(offers.len()),
            by_agent: BTreeMap::new(),
            largest: Spec::default(),
            patterns: Patterns::default(),
            memos: BTreeMap::new(),
        };
        offers.iter().for_each(|offer| hand.add(offer));
        hand
    }

    /// The same, with expressions that an earlier one has compiled.
    #[must_use]
    pub fn with_patterns(self, patterns: Patterns) -> Self {
        Self { patterns, ..self }
    }

    /// The same, with the master's region: apps that name no region or zone go there, or where there is none. Without this
    /// they go anywhere.
    #[must_use]
    pub fn in_region(self, region: Option<String>) -> Self {
        Self { region, ..self }
    }

    /// The same, with the top-level groups that make their services use the group's role. It is told to their tasks.
    #[must_use]
    pub fn enforcing(self, groups: impl IntoIterator<Item = String>) -> Self {
        Self { enforcing: groups.into_iter().collect(), ..self }
    }

    fn add(&mut self, offer: &Offer) {
        let of_agent = self.by_agent.entry(offer.agent.clone()).or_default();
        let same = of_agent.iter().find(|index| self.slots[**index].offer().role == offer.role);
        match same {
            Some(index) => {
                // Offers that cannot be held together are no offers of one agent; what is not used is declined.
                if !self.slots[*index].join(offer) {
                    return;
                }
            }
            None => {
                of_agent.push(self.slots.len());
                self.slots.push(Slot::new(offer));
            }
        }
        let spec = Room::of(offer).spec;
        self.largest = Spec {
            cpus: self.largest.cpus.max(spec.cpus),
            mem: self.largest.mem.max(spec.mem),
            devices: self.largest.devices.max(spec.devices),
        };
    }

    /// Puts one instance where it may go and its app likes it best; `notes` are told what became of the offers that were
    /// looked at. None: nowhere. O(offers · constraints + siblings).
    ///
    /// An offer counts once for each app or pod and decision, however many of its instances are put to it.
    pub fn place(&mut self, want: &Want<'_>, notes: &mut ProcessedOffers) -> Option<Matched> {
        let key = Compiled::key(want.spec);
        let mut memo = match self.memos.remove(&key) {
            Some(memo) => memo,
            None => Memo {
                compiled: Compiled::new(want.spec, &mut self.patterns),
                seen: vec![Seen::default(); self.slots.len()],
            },
        };
        let matched = self.put(want, &mut memo, notes);
        self.memos.insert(key, memo);
        matched
    }

    fn put(&mut self, want: &Want<'_>, memo: &mut Memo, notes: &mut ProcessedOffers) -> Option<Matched> {
        let Memo { compiled, seen } = memo;
        let region = self.region.clone();
        let near = self.nearness(want, compiled);
        let mut judge = Judge::new(want, compiled, near, region.as_deref(), self.now);
        if let Some(home) = want.home.filter(|home| !home.volumes.is_empty()) {
            return self.put_home(home, &mut judge, seen, notes);
        }
        let own = self.own(want.siblings);
        let mut places: Vec<(Liking, usize)> = Vec::new();
        let (tasks, most) = (compiled.needs.tasks.len(), want.config.max_instances_per_offer);
        for (index, seen) in seen.iter_mut().enumerate() {
            let slot = &mut self.slots[index];
            if seen.hopeless || !slot.takes(tasks, most) {
                continue;
            }
            let has_gpus = slot.has_gpus;
            let (offer, room) = slot.room(compiled.accepted, self.largest);
            match judge.place(offer, has_gpus, room, seen.fits) {
                Ok(()) => {
                    seen.fits = true;
                    let own = own.get(index).copied().unwrap_or(0);
                    places.push((judge.liking(offer, room, own), index));
                }
                Err(reason) => {
                    // Amounts only get less while the same offers are looked at; what counts others may turn.
                    seen.hopeless = reason != Reason::UnfulfilledConstraint
                        || (!seen.fits && judge.broken_for_good(offer).is_some());
                    seen.fits |= !seen.hopeless;
                    note(notes, self.now, seen, offer, reason, || judge.why_not(reason, offer, room));
                }
            }
        }
        while let Some(best) = take_best(&mut places) {
            match self.take(best, &mut judge) {
                Ok(matched) => {
                    self.note_used(notes, &mut seen[best], best);
                    return Some(matched);
                }
                Err(miss) => {
                    let offer = self.slots[best].offer();
                    note(notes, self.now, &mut seen[best], offer, miss.reason, || miss.detail);
                }
            }
        }
        None
    }

    /// Puts one with data where these are.
    fn put_home(
        &mut self,
        home: &Place,
        judge: &mut Judge<'_, '_>,
        seen: &mut [Seen],
        notes: &mut ProcessedOffers,
    ) -> Option<Matched> {
        let role = judge.want.spec.role();
        let here = self.by_agent.get(&home.agent).into_iter().flatten().copied();
        let here: Vec<usize> =
            here.filter(|index| self.slots[*index].offer().role.as_str() == role).collect();
        for (index, seen) in seen.iter_mut().enumerate().filter(|(index, _)| !here.contains(index)) {
            let (offer, reason) = (self.slots[index].offer(), Reason::NoCorrespondingReservationFound);
            note(notes, self.now, seen, offer, reason, || format!("its data are on {}", home.hostname));
        }
        for index in here {
            let offer = self.slots[index].offer();
            let taken = match judge.serves(offer) {
                Ok(()) => {
                    let Compiled { needs, accepted, .. } = judge.compiled;
                    let want = judge.want;
                    resident::again(&self.slots[index].left, *accepted, home, want, needs, judge.draws())
                }
                Err(reason) => Err(Miss::new(reason, "the agent is being maintained")),
            };
            match taken.and_then(|taken| self.launch(index, taken, judge)) {
                Ok(matched) => {
                    self.note_used(notes, &mut seen[index], index);
                    return Some(matched);
                }
                Err(miss) => {
                    let offer = self.slots[index].offer();
                    if seen[index].unused {
                        // So far it was of no use to those whose data are elsewhere; this says more.
                        notes.remember(self.now, offer, miss.reason, || miss.detail);
                    } else {
                        note(notes, self.now, &mut seen[index], offer, miss.reason, || miss.detail);
                    }
                }
            }
        }
        None
    }

    /// Takes what it needs there and launches it.
    fn take(&mut self, index: usize, judge: &mut Judge<'_, '_>) -> Result<Matched, Miss> {
        let Compiled { needs, accepted, .. } = judge.compiled;
        let (want, slot) = (judge.want, &self.slots[index]);
        let taken = if want.spec.is_resident() {
            let role = slot.offer().role.clone();
            resident::first(&slot.left, &role, want, needs, &mut self.patterns, judge.draws())?
        } else {
            taking::stateless(&slot.left, *accepted, needs, judge.draws())?
        };
        self.launch(index, taken, judge)
    }

    fn launch(&mut self, index: usize, taken: Taken, judge: &mut Judge<'_, '_>) -> Result<Matched, Miss> {
        let Compiled { needs, .. } = judge.compiled;
        let slot = &mut self.slots[index];
        let place = place_of(slot.offer(), judge.want.spec, &taken);
        let group = judge.want.spec.id().top_group();
        let enforces_role = group.is_some_and(|group| self.enforcing.contains(group));
        let launch = Launch { want: judge.want, needs, place: &place, taken: &taken, enforces_role };
        let (step, tasks) =
            launch.step(judge.draws()).map_err(|why| Miss::new(Reason::UnfulfilledConstraint, why))?;
        let Taken { before, left, .. } = taken;
        slot.push(before.into_iter().chain([step]), left);
        slot.placed += 1;
        Ok(Matched { offer: slot.offer().id.clone(), place, tasks })
    }

    fn note_used(&self, notes: &mut ProcessedOffers, seen: &mut Seen, index: usize) {
        if !std::mem::replace(&mut seen.processed, true) {
            notes.note_processed();
        }
        notes.note_used(self.now, self.slots[index].offer());
    }

    /// How many of these are on the agent of each slot.
    fn own(&self, siblings: &[&Place]) -> Vec<u32> {
        if siblings.is_empty() {
            return Vec::new();
        }
        let mut own = vec![0_u32; self.slots.len()];
        for place in siblings {
            for index in self.by_agent.get(&place.agent).into_iter().flatten() {
                own[*index] = own[*index].saturating_add(1);
            }
        }
        own
    }

    fn nearness(&self, want: &Want<'_>, compiled: &Compiled) -> Vec<Near> {
        let affinities = compiled.app().into_iter().flat_map(|app| &app.affinity);
        // Places that were written down by earlier builds hold only what their own constraints looked at.
        let value_at = |field: &Field, place: &Place| {
            let index = self.by_agent.get(&place.agent)?.first()?;
            field.of_offer(self.slots[*index].offer()).map(std::borrow::Cow::into_owned)
        };
        affinities.map(|one| Near::new(one, &(want.neighbours)(&one.app), value_at)).collect()
    }

    /// Frees what this framework has reserved for volumes of which none is wanted: their data are destroyed. To be asked
    /// before anything is placed.
    pub fn free_orphans(&mut self, is_wanted: &dyn Fn(&str) -> bool) {
        for slot in &mut self.slots {
            let framework = slot.offer().framework.clone();
            for (step, left) in resident::freed(&slot.left, &framework, is_wanted) {
                slot.push([step], left);
            }
        }
    }

    /// The expressions that it has compiled, for the next hand.
    pub fn take_patterns(&mut self) -> Patterns {
        std::mem::take(&mut self.patterns)
    }

    /// What is to be done: for each agent and role the offers that are used together, and the steps in order. Offers that are
    /// in none of them are not used.
    pub fn used(self) -> Vec<(Vec<Offer>, Vec<Step>)> {
        let used = self.slots.into_iter().filter(|slot| !slot.steps.is_empty());
        used.map(|slot| (slot.offers, slot.steps)).collect()
    }
}

fn note(
    notes: &mut ProcessedOffers,
    now: Timestamp,
    seen: &mut Seen,
    offer: &Offer,
    reason: Reason,
    detail: impl FnOnce() -> String,
) {
    if !std::mem::replace(&mut seen.processed, true) {
        notes.note_processed();
    }
    // Once is enough for one decision: it is told of by the thousand.
    if !std::mem::replace(&mut seen.unused, true) {
        notes.note_unused(now, offer, reason, detail);
    }
}

/// The place that is liked best, the first of equal ones.
fn take_best(places: &mut Vec<(Liking, usize)>) -> Option<usize> {
    let better = |one: &(Liking, usize), other: &(Liking, usize)| {
        let levels = one.0.iter().zip(&other.0).map(|(one, other)| one.total_cmp(other));
        levels.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).then(other.1.cmp(&one.1))
    };
    let best = (0..places.len()).max_by(|one, other| better(&places[*one], &places[*other]))?;
    Some(places.swap_remove(best).1)
}

fn place_of(offer: &Offer, spec: &RunSpec, taken: &Taken) -> Place {
    Place {
        agent: offer.agent.clone(),
        hostname: offer.hostname.clone(),
        agent_port: offer.port,
        region: offer.domain.as_ref().map(|domain| domain.region.clone()),
        zone: offer.domain.as_ref().map(|domain| domain.zone.clone()),
        values: values_of(offer, spec),
        ports: taken.ports.iter().flatten().copied().collect(),
        volumes: taken.volumes.clone(),
    }
}

/// The agent's attributes as text, those that the definition's constraints look at first: others may be added to it while it
/// runs.
fn values_of(offer: &Offer, spec: &RunSpec) -> Vec<(String, String)> {
    let named = spec.constraints().iter().map(|one| one.field.as_str());
    let all = offer.attributes.0.iter().map(|(name, _)| name.as_str());
    let mut values: Vec<(String, String)> = Vec::new();
    let mut bytes = 0;
    for name in named.chain(all) {
        let Some(value) = offer.attributes.get(name).map(text_of) else { continue };
        if values.iter().any(|(known, _)| known == name) || bytes + name.len() + value.len() > MAX_VALUES {
            continue;
        }
        bytes += name.len() + value.len();
        values.push((name.to_owned(), value.into_owned()));
    }
    values
}
