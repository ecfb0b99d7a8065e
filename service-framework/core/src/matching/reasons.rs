//! Why offers were not used: counted for the queue's listing, and told to `lonja explain`.

use std::collections::BTreeMap;

use lonja_model::resources::Scalar;
use lonja_model::unplaced::{NearMiss, Unplaced};
use lonja_model::{Offer, TaskId, Timestamp};
use lonja_sdk_core::placement::Room;

use super::needs::Needs;
use crate::definition::RunSpec;
use crate::waiting::{MAX_UNUSED, ProcessedOffers, Reason, Rejection, UnusedOffer};

/// What of the needs is not in the room, the first in the order of the reasons. GPUs have to be whole.
pub(super) fn lacking(needs: &Needs, disk: Scalar, room: &Room) -> Option<Reason> {
    let whole = &needs.whole;
    if whole.cpus > room.cpus {
        Some(Reason::InsufficientCpus)
    } else if whole.mem > room.mem {
        Some(Reason::InsufficientMemory)
    } else if disk > room.disk {
        Some(Reason::InsufficientDisk)
    } else if whole.gpus.devices() > room.whole_devices() {
        Some(Reason::InsufficientGpus)
    } else if needs.host_ports() > room.ports {
        Some(Reason::InsufficientPorts)
    } else {
        None
    }
}

/// In words what is lacking: `cpus: wants 2, 1.5 free`.
pub(super) fn lacking_in_words(reason: Reason, needs: &Needs, disk: Scalar, room: &Room) -> String {
    let whole = &needs.whole;
    match reason {
        Reason::InsufficientCpus => format!("cpus: wants {}, {} free", whole.cpus, room.cpus),
        Reason::InsufficientMemory => format!("mem: wants {}, {} free", whole.mem, room.mem),
        Reason::InsufficientDisk => format!("disk: wants {disk}, {} free", room.disk),
        Reason::InsufficientGpus => {
            format!("gpus: wants {} whole ones, {} free", whole.gpus.devices(), room.whole_devices())
        }
        Reason::InsufficientPorts => format!("ports: wants {}, {} free", needs.host_ports(), room.ports),
        Reason::UnfulfilledRole
        | Reason::UnfulfilledConstraint
        | Reason::NoCorrespondingReservationFound
        | Reason::AgentMaintenance
        | Reason::DeclinedScarceResources => reason.name().to_owned(),
    }
}

impl ProcessedOffers {
    /// An offer is looked at.
    pub(super) fn note_processed(&mut self) {
        self.processed = self.processed.saturating_add(1);
    }

    /// It is used.
    pub(super) fn note_used(&mut self, now: Timestamp, offer: &Offer) {
        self.last_used_at = Some(now);
        self.last_unused.remove(&offer.agent);
    }

    /// It is not used.
    pub(super) fn note_unused(
        &mut self,
        now: Timestamp,
        offer: &Offer,
        reason: Reason,
        detail: impl FnOnce() -> String,
    ) {
        self.last_unused_at = Some(now);
        self.unused = self.unused.saturating_add(1);
        *self.rejected.entry(reason).or_default() += 1;
        self.remember(now, offer, reason, detail);
    }

    /// Keeps it as the last that was heard of its agent.
    pub(super) fn remember(
        &mut self,
        now: Timestamp,
        offer: &Offer,
        reason: Reason,
        detail: impl FnOnce() -> String,
    ) {
        if !self.last_unused.contains_key(&offer.agent) && !self.make_room(now) {
            return;
        }
        let rejection = Rejection { reason, detail: detail() };
        let unused = UnusedOffer { offer: offer.clone(), rejection, at: now };
        self.last_unused.insert(offer.agent.clone(), unused);
    }

    /// Forgets the oldest of too many; says no if all are of now.
    fn make_room(&mut self, now: Timestamp) -> bool {
        if self.last_unused.len() < MAX_UNUSED {
            return true;
        }
        let oldest = self.last_unused.iter().min_by_key(|(_, unused)| unused.at);
        let oldest = oldest.filter(|(_, unused)| unused.at < now).map(|(agent, _)| agent.clone());
        oldest.is_some_and(|agent| self.last_unused.remove(&agent).is_some())
    }
}

/// For `lonja explain TASK`: why `task`, of this definition, is not placed, by the last offer of each agent that was looked at
/// for it. None: it was not looked for.
pub fn unplaced(spec: &RunSpec, task: &TaskId, notes: &ProcessedOffers) -> Option<Unplaced> {
    if spec.instances() == 0 && notes.processed == 0 {
        return None;
    }
    let last = || notes.last_unused.values();
    let mut reasons: BTreeMap<Reason, u64> = BTreeMap::new();
    for unused in last() {
        *reasons.entry(unused.rejection.reason).or_default() += 1;
    }
    let mut reasons: Vec<_> =
        reasons.into_iter().map(|(reason, count)| (in_words(reason).to_owned(), count)).collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let near = last().max_by(|one, other| {
        let free = |unused: &UnusedOffer| free(&unused.offer, unused.rejection.reason);
        let of = |unused: &UnusedOffer| (unused.rejection.reason, free(unused));
        of(one).cmp(&of(other))
    });
    let nearest = near.map(|unused| NearMiss {
        agent: unused.offer.agent.clone(),
        hostname: unused.offer.hostname.clone(),
        why: unused.rejection.detail.clone(),
    });
    let offers = u64::try_from(notes.last_unused.len()).unwrap_or(u64::MAX);
    Some(Unplaced { task: task.to_string(), offers, reasons, nearest }.trimmed())
}

/// How much of what was lacking is there.
fn free(offer: &Offer, reason: Reason) -> Scalar {
    match reason {
        Reason::InsufficientCpus => offer.resources.scalar("cpus"),
        Reason::InsufficientMemory => offer.resources.scalar("mem"),
        Reason::InsufficientDisk => offer.resources.scalar("disk"),
        Reason::UnfulfilledRole
        | Reason::UnfulfilledConstraint
        | Reason::NoCorrespondingReservationFound
        | Reason::AgentMaintenance
        | Reason::InsufficientGpus
        | Reason::InsufficientPorts
        | Reason::DeclinedScarceResources => Scalar::ZERO,
    }
}

fn in_words(reason: Reason) -> &'static str {
    match reason {
        Reason::UnfulfilledRole => "role: the offer is for another, or what is there may not be used",
        Reason::UnfulfilledConstraint => "a constraint does not hold there",
        Reason::NoCorrespondingReservationFound => "its data are elsewhere",
        Reason::AgentMaintenance => "the agent is being maintained",
        Reason::InsufficientCpus => "cpus: not as many are free",
        Reason::InsufficientMemory => "mem: not as much is free",
        Reason::InsufficientDisk => "disk: not as much is free",
        Reason::InsufficientGpus => "gpus: not as many are free",
        Reason::InsufficientPorts => "ports: not those, or not as many, are free",
        Reason::DeclinedScarceResources => "the agent's GPUs are kept for who needs them",
    }
}
