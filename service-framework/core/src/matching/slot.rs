//! One agent's offers for one role, and what is left of them.

use lonja_model::{Offer, Resources};
use lonja_sdk_core::placement::{Room, Spec};
use lonja_sdk_core::{MAX_TASKS, Step};

use super::accepted::Accepted;

/// One agent's offers for one role, used together.
#[derive(Debug)]
pub(super) struct Slot {
    /// At least one.
    pub(super) offers: Vec<Offer>,
    /// What of them is left.
    pub(super) left: Resources,
    pub(super) steps: Vec<Step>,
    /// Has any GPU been offered?
    pub(super) has_gpus: bool,
    /// How many instances were placed here.
    pub(super) placed: usize,
    tasks: usize,
    /// What is free for whom, once it was asked for.
    rooms: Vec<(Accepted, Room)>,
}

impl Slot {
    pub(super) fn new(offer: &Offer) -> Self {
        Self {
            left: offer.resources.clone(),
            has_gpus: has_gpus(offer),
            offers: vec![offer.clone()],
            steps: Vec::new(),
            placed: 0,
            tasks: 0,
            rooms: Vec::new(),
        }
    }

    /// Of which all others are like: agent, role, name and attributes.
    pub(super) fn offer(&self) -> &Offer {
        &self.offers[0]
    }

    /// Takes in another offer of the same agent and role; says no if they cannot be held together.
    pub(super) fn join(&mut self, offer: &Offer) -> bool {
        let Ok(left) = self.left.checked_add(&offer.resources) else { return false };
        self.left = left;
        self.has_gpus |= has_gpus(offer);
        self.offers.push(offer.clone());
        true
    }

    /// Has it room for so many more tasks in one call?
    pub(super) fn takes(&self, tasks: usize, most: usize) -> bool {
        self.placed < most.max(1) && self.tasks + tasks <= MAX_TASKS
    }

    /// The offer, and what is free there for those who accept this; `largest` is the largest machine.
    pub(super) fn room(&mut self, accepted: Accepted, largest: Spec) -> (&Offer, &Room) {
        let index = match self.rooms.iter().position(|(other, _)| *other == accepted) {
            Some(index) => index,
            None => {
                let free = accepted.of_all(&self.left);
                let room = Room { spec: largest, ..Room::new(&free, &self.offer().attributes) };
                self.rooms.push((accepted, room));
                self.rooms.len() - 1
            }
        };
        (&self.offers[0], &self.rooms[index].1)
    }

    /// Takes the steps, which leave this.
    pub(super) fn push(&mut self, steps: impl IntoIterator<Item = Step>, left: Resources) {
        for step in steps {
            self.tasks += step.tasks().len();
            match (self.steps.last_mut(), step) {
                (Some(Step::Launch(before)), Step::Launch(tasks)) => before.extend(tasks),
                (_, step) => self.steps.push(step),
            }
        }
        self.left = left;
        self.rooms.clear();
    }
}

fn has_gpus(offer: &Offer) -> bool {
    offer.resources.iter().any(|resource| resource.name() == "gpus")
}
