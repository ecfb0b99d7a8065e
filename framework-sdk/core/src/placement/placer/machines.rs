//! The machines of which offers are in hand, or where tasks of one's own run.
//!
//! Invariants
//! - What is free on a machine is what its offers hold together, less what was taken since for launches that are
//!   about to be sent.
//! - A machine is remembered until its agent is lost: offers tell only what is free, and a machine is as large as the
//!   most that was ever seen there. Its number is used again then.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::resources::{DeviceId, Resource, Scalar};
use lonja_model::{AgentId, Offer, OfferId, Resources, Role, Timestamp};

use crate::placement::{Ask, Gpus, Room, Spec};

/// One machine, in one role: offers of different roles cannot be used together.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) agent: AgentId,
    /// Each with the time when it is given back.
    pub(super) offers: Vec<(Timestamp, Offer)>,
    /// Of it tasks may be given a part: neither volumes nor what may be taken back.
    pub(super) free: Resources,
    /// The most that was ever seen.
    spec: Spec,
    devices: BTreeSet<DeviceId>,
    /// One's own tasks here.
    tasks: BTreeMap<Gpus, u32>,
    used: (Scalar, Scalar),
}

impl Machine {
    /// What there is room for.
    pub(super) fn room(&self) -> Option<Room> {
        let (_, first) = self.offers.first()?;
        let room = Room::new(&self.free, &first.attributes);
        Some(Room { spec: self.spec, tasks: self.tasks.clone(), ..room })
    }

    /// Sums up what the offers hold.
    fn count(&mut self) {
        let mut free = Resources::new();
        for (_, offer) in &self.offers {
            // What cannot be counted together, a port that is offered twice, is no master's doing; then the first
            // that holds it counts.
            free = free.checked_add(&offer.resources).unwrap_or(free);
        }
        self.free = free.filter(is_plain);
        for resource in self.free.iter().filter(|resource| resource.name() == "gpus") {
            if let lonja_model::resources::Value::Devices(devices) = resource.value() {
                self.devices.extend(devices.iter().map(|(device, _)| device.clone()));
            }
        }
        let sum = |free: Scalar, used: Scalar| free.checked_add(used).unwrap_or(Scalar::MAX);
        let cpus = sum(self.free.scalar("cpus"), self.used.0);
        let mem = sum(self.free.scalar("mem"), self.used.1);
        self.spec = larger(self.spec, Spec { cpus, mem, devices: self.devices.len() });
    }
}

/// The greater of each kind.
pub(super) fn larger(one: Spec, other: Spec) -> Spec {
    let devices = one.devices.max(other.devices);
    Spec { cpus: one.cpus.max(other.cpus), mem: one.mem.max(other.mem), devices }
}

fn is_plain(resource: &Resource) -> bool {
    let metadata = resource.metadata();
    metadata.disk.is_none() && !metadata.revocable && !metadata.shared
}

/// All machines, by number: the earlier one is seen, the smaller.
#[derive(Debug, Default)]
pub(super) struct Machines {
    machines: BTreeMap<u32, Machine>,
    by_name: BTreeMap<(AgentId, Role), u32>,
    unused: BTreeSet<u32>,
    offers: BTreeMap<OfferId, u32>,
    by_time: BTreeSet<(Timestamp, OfferId)>,
    in_hand: usize,
    /// The greatest of each kind over all machines ever seen.
    pub(super) largest: Spec,
    has_grown: bool,
}

impl Machines {
    pub(super) fn get(&self, number: u32) -> Option<&Machine> {
        self.machines.get(&number)
    }

    /// Has the largest machine become larger since this was last asked?
    pub(super) fn take_growth(&mut self) -> bool {
        std::mem::take(&mut self.has_grown)
    }

    /// Is this offer in hand?
    pub(super) fn has(&self, offer: &OfferId) -> bool {
        self.offers.contains_key(offer)
    }

    /// How many machines there are of which offers are in hand.
    pub(super) fn in_hand(&self) -> usize {
        self.in_hand
    }

    /// An offer comes in, to be given back at `until`; returns its machine.
    pub(super) fn put(&mut self, offer: &Offer, until: Timestamp) -> u32 {
        let name = (offer.agent.clone(), offer.role.clone());
        let number = match self.by_name.get(&name) {
            Some(number) => *number,
            None => self.add(name),
        };
        self.offers.insert(offer.id.clone(), number);
        self.by_time.insert((until, offer.id.clone()));
        if let Some(machine) = self.machines.get_mut(&number) {
            self.in_hand += usize::from(machine.offers.is_empty());
            machine.offers.push((until, offer.clone()));
            machine.count();
            let largest = larger(self.largest, machine.spec);
            self.has_grown |= largest != self.largest;
            self.largest = largest;
        }
        number
    }

    fn add(&mut self, name: (AgentId, Role)) -> u32 {
        let next = || u32::try_from(self.machines.len()).expect("fewer machines than numbers");
        let number = self.unused.pop_first().unwrap_or_else(next);
        let machine = Machine {
            agent: name.0.clone(),
            offers: Vec::new(),
            free: Resources::new(),
            spec: Spec::default(),
            devices: BTreeSet::new(),
            tasks: BTreeMap::new(),
            used: Default::default(),
        };
        self.machines.insert(number, machine);
        self.by_name.insert(name, number);
        number
    }

    /// An offer has ended; returns its machine.
    pub(super) fn end(&mut self, offer: &OfferId) -> Option<u32> {
        let number = self.offers.remove(offer)?;
        let machine = self.machines.get_mut(&number)?;
        for (until, _) in machine.offers.extract_if(.., |(_, held)| held.id == *offer) {
            self.by_time.remove(&(until, offer.clone()));
        }
        self.in_hand -= usize::from(machine.offers.is_empty());
        machine.count();
        Some(number)
    }

    /// Takes all offers of a machine out of hand.
    pub(super) fn take_offers(&mut self, number: u32) -> Vec<Offer> {
        let Some(machine) = self.machines.get_mut(&number) else { return Vec::new() };
        let offers = std::mem::take(&mut machine.offers);
        self.in_hand -= usize::from(!offers.is_empty());
        machine.free = Resources::new();
        for (until, offer) in &offers {
            self.offers.remove(&offer.id);
            self.by_time.remove(&(*until, offer.id.clone()));
        }
        offers.into_iter().map(|(_, offer)| offer).collect()
    }

    /// An offer whose time is up by `now`.
    pub(super) fn next_expired(&self, now: Timestamp) -> Option<OfferId> {
        self.by_time.first().filter(|(until, _)| *until <= now).map(|(_, offer)| offer.clone())
    }

    /// Part of what is free is about to be used by a task that asks so.
    pub(super) fn use_up(&mut self, number: u32, taken: &Resources, ask: &Ask) {
        let Some(machine) = self.machines.get_mut(&number) else { return };
        machine.free = machine.free.checked_sub(taken).expect("what is taken was found there");
        *machine.tasks.entry(ask.need.gpus).or_default() += 1;
        let sum = |used: Scalar, more: Scalar| used.checked_add(more).unwrap_or(Scalar::MAX);
        machine.used = (sum(machine.used.0, ask.need.cpus), sum(machine.used.1, ask.need.mem));
    }

    /// A task that asked so runs there no more.
    pub(super) fn task_ended(&mut self, number: u32, ask: &Ask) {
        let Some(machine) = self.machines.get_mut(&number) else { return };
        if let Some(tasks) = machine.tasks.get_mut(&ask.need.gpus) {
            *tasks = tasks.saturating_sub(1);
        }
        machine.tasks.retain(|_, tasks| *tasks > 0);
        let (cpus, mem) = machine.used;
        machine.used = (cpus.saturating_sub(ask.need.cpus), mem.saturating_sub(ask.need.mem));
    }

    /// An agent is lost: forgets its machines with all that was offered there, and returns their numbers. O(machines).
    pub(super) fn forget_agent(&mut self, agent: &AgentId) -> Vec<u32> {
        let lost = self.by_name.extract_if(.., |(known, _), _| known == agent);
        let lost: Vec<u32> = lost.map(|(_, number)| number).collect();
        for number in &lost {
            self.take_offers(*number);
            self.machines.remove(number);
            self.unused.insert(*number);
        }
        lost
    }

    /// The machines of which offers are in hand.
    pub(super) fn with_offers(&self) -> Vec<u32> {
        let with = self.machines.iter().filter(|(_, machine)| !machine.offers.is_empty());
        with.map(|(number, _)| *number).collect()
    }
}
