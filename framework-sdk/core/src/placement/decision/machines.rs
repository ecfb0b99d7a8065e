//! The machines of one decision: offers of one agent and role are used together.

use std::collections::BTreeMap;

use lonja_model::{Offer, Resources, TaskInfo};

use super::rooms::Rooms;
use crate::placement::fit::plain;
use crate::placement::predicate::Site;
use crate::placement::{OwnTasks, Room};

/// One machine, in one role.
pub(super) struct Machine<'a> {
    /// At least one.
    pub(super) offers: Vec<&'a Offer>,
    /// What tasks may be given a part of, less what they were given.
    pub(super) free: Resources,
    /// Equal rooms are of one class.
    pub(super) class: usize,
    /// What is launched there.
    pub(super) tasks: Vec<TaskInfo>,
}

impl<'a> Machine<'a> {
    pub(super) fn first(&self) -> &'a Offer {
        self.offers[0]
    }

    pub(super) fn site(&self) -> Site<'a> {
        Site::from(self.first())
    }
}

/// All machines in the order in which their first offers stand, and their rooms.
pub(super) fn machines<'a>(offers: &'a [Offer], own: &mut OwnTasks) -> (Vec<Machine<'a>>, Rooms) {
    let mut machines: Vec<Machine<'a>> = Vec::with_capacity(offers.len());
    let mut by_name = BTreeMap::new();
    for offer in offers {
        let free = offer.resources.filter(plain);
        let number = *by_name.entry((&offer.agent, &offer.role)).or_insert(machines.len());
        let Some(machine) = machines.get_mut(number) else {
            machines.push(Machine { offers: vec![offer], free, class: 0, tasks: Vec::new() });
            continue;
        };
        // What cannot be counted together, a port that is offered twice, is no master's doing; then it is left alone.
        if let Ok(sum) = machine.free.checked_add(&free) {
            machine.free = sum;
            machine.offers.push(offer);
        }
    }
    let mut rooms = Rooms::new(machines.len());
    for (index, machine) in machines.iter_mut().enumerate() {
        let offer = machine.first();
        let mut room = Room::new(&machine.free, &offer.attributes);
        own.see(offer).complete(&mut room);
        machine.class = rooms.join(index, room);
    }
    (machines, rooms)
}
