//! The machines of one decision: offers of one agent and role are used together.

use std::collections::BTreeMap;

use lonja_model::{AgentId, Offer, Resources, TaskInfo};

use super::rooms::Rooms;
use crate::placement::fit::plain;
use crate::placement::own_tasks::Told;
use crate::placement::predicate::Site;
use crate::placement::{OwnTasks, Room};

/// One machine, in one role.
pub(super) struct Machine<'a> {
    /// At least one.
    pub(super) offers: Vec<&'a Offer>,
    /// What tasks may be given a part of, less what they were given.
    pub(super) free: Resources,
    /// What is kept of its agent.
    pub(super) told: Option<Told>,
    /// Of the same agent in another role.
    other: Option<usize>,
    /// Of one offer alone, until it has joined its class.
    room: Option<Room>,
    /// Equal rooms are of one class.
    pub(super) class: usize,
    /// What is launched there.
    pub(super) tasks: Vec<TaskInfo>,
}

impl<'a> Machine<'a> {
    pub(super) fn first(&self) -> &'a Offer {
        self.offers[0]
    }

    /// Another offer of it; `false` if they cannot be counted together: a port that is offered twice is no master's doing.
    fn add(&mut self, offer: &'a Offer, free: &Resources) -> bool {
        let Ok(sum) = self.free.checked_add(free) else { return false };
        self.free = sum;
        self.offers.push(offer);
        self.room = None;
        true
    }

    pub(super) fn site(&self) -> Site<'a> {
        Site::from(self.first())
    }
}

/// All machines in the order in which their first offers stand, and their rooms.
pub(super) fn machines<'a>(offers: &'a [Offer], own: &mut OwnTasks) -> (Vec<Machine<'a>>, Rooms) {
    let mut machines: Vec<Machine<'a>> = Vec::with_capacity(offers.len());
    let mut not_marked: BTreeMap<&AgentId, usize> = BTreeMap::new();
    own.begin();
    for offer in offers {
        let free = offer.resources.filter(plain);
        let mut seen = own.see(offer);
        let known = if seen.is_known() { seen.mark() } else { not_marked.get(&offer.agent).copied() };
        let same = known.and_then(|first| of_role(&machines, first, offer));
        if same.is_some_and(|number| machines[number].add(offer, &free)) {
            continue;
        }
        // The first of its role, or one that stands for itself since it cannot be counted together with the others.
        let number = machines.len();
        if seen.is_known() {
            seen.set_mark(number);
        } else {
            not_marked.insert(&offer.agent, number);
        }
        let mut room = Room::new(&free, &offer.attributes);
        seen.complete(&mut room);
        let (offers, told, room, tasks) = (vec![offer], seen.told(), Some(room), Vec::new());
        machines.push(Machine { offers, told, other: known, free, room, class: 0, tasks });
    }
    let mut rooms = Rooms::new(machines.len());
    for (index, machine) in machines.iter_mut().enumerate() {
        let room = machine.room.take().unwrap_or_else(|| {
            let offer = machine.first();
            let mut room = Room::new(&machine.free, &offer.attributes);
            own.see(offer).complete(&mut room);
            room
        });
        machine.class = rooms.join(index, room);
    }
    (machines, rooms)
}

/// Of the machines of one agent the one of this role.
fn of_role(machines: &[Machine<'_>], first: usize, offer: &Offer) -> Option<usize> {
    let mut next = Some(first);
    while let Some(number) = next {
        if machines[number].first().role == offer.role {
            return Some(number);
        }
        next = machines[number].other;
    }
    None
}
