//! What is known of agents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lonja_model::agent::Domain;
use lonja_model::attributes::Attributes;
use lonja_model::resources::Scalar;
use lonja_model::{AgentId, Offer, TaskId};

use super::Told;
use crate::placement::predicate::{Site, Subject};
use crate::placement::{Gpus, Room, Spec};

/// All agents. Each keeps its slot for as long as it is known, so that it is looked for by its name once.
/// Names of one master have a long beginning in common: they are told apart by a number made of them first.
#[derive(Clone, Debug, Default)]
pub(super) struct Agents {
    by_name: BTreeMap<(u64, AgentId), usize>,
    slots: Vec<Option<Machine>>,
    unused: Vec<usize>,
}

impl Agents {
    pub(super) fn slot(&self, agent: &AgentId) -> Option<usize> {
        self.by_name.get(&key(agent)).copied()
    }

    pub(super) fn at(&self, slot: usize) -> Option<&Machine> {
        self.slots.get(slot)?.as_ref()
    }

    pub(super) fn at_mut(&mut self, slot: usize) -> Option<&mut Machine> {
        self.slots.get_mut(slot)?.as_mut()
    }

    pub(super) fn get(&self, agent: &AgentId) -> Option<&Machine> {
        self.at(self.slot(agent)?)
    }

    pub(super) fn get_mut(&mut self, agent: &AgentId) -> Option<&mut Machine> {
        self.at_mut(self.slot(agent)?)
    }

    pub(super) fn get_or_add(&mut self, agent: &AgentId) -> &mut Machine {
        let slot = match self.slot(agent) {
            Some(slot) => slot,
            None => {
                let slot = self.unused.pop().unwrap_or(self.slots.len());
                if slot == self.slots.len() {
                    self.slots.push(None);
                }
                self.by_name.insert(key(agent), slot);
                slot
            }
        };
        self.slots[slot].get_or_insert_default()
    }

    pub(super) fn remove(&mut self, agent: &AgentId) -> Option<Machine> {
        let slot = self.by_name.remove(&key(agent))?;
        self.unused.push(slot);
        self.slots[slot].take()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&AgentId, &Machine)> {
        self.by_name.iter().filter_map(|((_, agent), slot)| Some((agent, self.at(*slot)?)))
    }
}

/// By what an agent is looked for. Names that share a number only cost time.
fn key(agent: &AgentId) -> (u64, AgentId) {
    let mut number = 0_u64;
    for chunk in agent.as_str().as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        number = (number.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    (number, agent.clone())
}

/// One agent.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    /// As offers told it.
    pub(super) place: Option<Place>,
    /// Which of all tellings that was, the first 1.
    pub(super) telling: u64,
    pub(super) tasks: BTreeSet<TaskId>,
    pub(super) by_gpus: BTreeMap<Gpus, u32>,
    pub(super) used: (Scalar, Scalar),
    /// The most that was ever seen.
    pub(super) spec: Spec,
    pub(super) is_lost: bool,
    /// In which subscription an offer of it was last seen.
    pub(super) seen_in: u64,
    /// In which decision it was last seen, and as which of its machines.
    pub(super) mark: Option<(u64, usize)>,
}

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) hostname: String,
    pub(super) domain: Option<Domain>,
    pub(super) attributes: Attributes,
}

impl Place {
    fn is_of(&self, offer: &Offer) -> bool {
        self.hostname == offer.hostname && self.domain == offer.domain && self.attributes == offer.attributes
    }
}

impl Machine {
    /// Is it as this offer tells?
    pub(super) fn is_as_told(&self, offer: &Offer) -> bool {
        !self.is_lost && self.place.as_ref().is_some_and(|place| place.is_of(offer))
    }

    /// The value of `subject`, as far as it is known.
    pub(super) fn value(&self, agent: &AgentId, subject: &Subject) -> Option<Arc<str>> {
        let Some(Place { hostname, domain, attributes }) = &self.place else {
            return (*subject == Subject::Agent).then(|| Arc::from(agent.as_str()));
        };
        let site = Site { agent, hostname, domain: domain.as_ref(), attributes };
        subject.value(&site).map(|value| Arc::from(&*value))
    }
}

/// What is known of an agent whose offer was just seen.
pub(crate) struct Seen<'a> {
    /// None if there are too many to be remembered.
    pub(super) machine: Option<&'a mut Machine>,
    pub(super) slot: Option<usize>,
    pub(super) decision: u64,
}

impl Seen<'_> {
    /// Is there a place to mark it?
    pub(crate) fn is_known(&self) -> bool {
        self.machine.is_some()
    }

    /// As which telling it is kept.
    pub(crate) fn told(&self) -> Option<Told> {
        Some((self.slot?, self.machine.as_ref()?.telling))
    }

    /// The number by which it was marked in this decision.
    pub(crate) fn mark(&self) -> Option<usize> {
        let (decision, number) = self.machine.as_ref()?.mark?;
        (decision == self.decision).then_some(number)
    }

    pub(crate) fn set_mark(&mut self, number: usize) {
        if let Some(machine) = &mut self.machine {
            machine.mark = Some((self.decision, number));
        }
    }

    /// Fills in what an offer does not tell: how large the machine is in all, and what of one's own runs there.
    pub(crate) fn complete(&mut self, room: &mut Room) {
        let Some(machine) = &mut self.machine else { return };
        let sum = |free: Scalar, used: Scalar| free.checked_add(used).unwrap_or(Scalar::MAX);
        let spec = &mut machine.spec;
        spec.cpus = spec.cpus.max(sum(room.cpus, machine.used.0));
        spec.mem = spec.mem.max(sum(room.mem, machine.used.1));
        spec.devices = spec.devices.max(room.devices.len());
        room.spec = *spec;
        if !machine.by_gpus.is_empty() {
            room.tasks = machine.by_gpus.clone();
        }
    }
}
