//! What of an ask does not fit in a room.

use crate::placement::{Ask, Room};

/// One thing that does not fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Miss {
    pub(super) reason: &'static str,
    /// How much of what is asked for is missing, from 0 to 1.
    pub(super) part: f64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Cpus,
    Mem,
    Disk,
    Ports,
    Gpus,
    Model,
}

/// What does not fit, in a fixed order: at most as many as there are kinds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Misses {
    misses: [Option<Miss>; 6],
    length: usize,
}

impl Misses {
    fn add(&mut self, reason: &'static str, what: What, part: f64) {
        if let Some(next) = self.misses.get_mut(self.length) {
            *next = Some(Miss { reason, part, what });
            self.length += 1;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Miss> {
        self.misses.iter().flatten()
    }

    pub(super) fn first(&self) -> Option<&Miss> {
        self.iter().next()
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }
}

/// All of what does not fit; none if it fits.
pub(super) fn misses(room: &Room, ask: &Ask) -> Misses {
    let need = &ask.need;
    let mut misses = Misses::default();
    let scalars = [
        ("too few cpus", What::Cpus, need.cpus, room.cpus),
        ("too little mem", What::Mem, need.mem, room.mem),
        ("too little disk", What::Disk, need.disk, room.disk),
    ];
    for (reason, what, wants, free) in scalars {
        if wants > free {
            misses.add(reason, what, 1.0 - free.to_f64() / wants.to_f64());
        }
    }
    if need.ports > room.ports {
        misses.add("too few ports", What::Ports, 0.5);
    }
    if enough_devices(room, ask) < need.gpus.devices() {
        misses.add("too few gpus", What::Gpus, 0.5);
    } else if !room.fits(ask) && misses.length == 0 {
        // Nothing else is left that could be in the way.
        misses.add("other gpu_model", What::Model, 1.0);
    }
    misses
}

fn enough_devices(room: &Room, ask: &Ask) -> usize {
    let each = ask.need.gpus.of_each();
    room.devices.iter().filter(|(_, free)| *free >= each).count()
}

impl Miss {
    /// What is asked for and what is there, for people.
    pub(super) fn why(&self, room: &Room, ask: &Ask) -> String {
        let need = &ask.need;
        match self.what {
            What::Cpus => format!("cpus: wants {}, {} free", need.cpus, room.cpus),
            What::Mem => format!("mem: wants {}, {} free", need.mem, room.mem),
            What::Disk => format!("disk: wants {}, {} free", need.disk, room.disk),
            What::Ports => format!("ports: wants {}, {} free", need.ports, room.ports),
            What::Gpus => format!(
                "gpus: wants {} with {} thousandths each, {} free",
                need.gpus.devices(),
                need.gpus.of_each(),
                enough_devices(room, ask)
            ),
            What::Model => {
                let models: Vec<&str> = ask.models.iter().map(String::as_str).collect();
                let model = room.model.as_deref().unwrap_or("not told");
                format!("gpu_model: wants {}, is {model}", models.join(" or "))
            }
        }
    }
}
