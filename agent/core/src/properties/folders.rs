//! The disk under an agent's volumes, and the operations that a master asks for.

use std::collections::{BTreeMap, VecDeque};

use lonja_model::operation::{AgentOperation, Conversion, OperationState, OperationStatus};
use lonja_model::resources::Resources;
use lonja_model::{OperationId, OperationUuid};

use crate::fixture::*;
use crate::total::volume_name;
use crate::{Event, VolumeOrder};

/// What tasks ask for, all of them for role `eng`.
pub(super) fn needs(which: u8) -> Resources {
    let all = [
        resources("cpus:1"),
        resources("cpus:2;mem:300"),
        resources("cpus:0.5;ports:[31000-31001]"),
        resources("cpus:1;ports:[31001-31003]"),
        resources("mem:2000"),
        reserved("cpus:1", "eng"),
        volume("disk:20", "eng", "v1", false),
        volume("disk:20", "eng", "v2", true),
        volume("disk:20", "eng", "v2", true).checked_add(&resources("cpus:0.5")).unwrap(),
    ];
    all[usize::from(which) % all.len()].clone()
}

/// What the master asks for.
fn conversion(which: u8) -> Conversion {
    let all = [
        reserve("cpus:1", "eng"),
        Conversion::unreserve(reserved("cpus:1", "eng")).unwrap(),
        reserve("disk:20", "eng"),
        Conversion::unreserve(reserved("disk:20", "eng")).unwrap(),
        create("disk:20", "eng", "v1", false),
        Conversion::destroy(volume("disk:20", "eng", "v1", false)).unwrap(),
        create("disk:20", "eng", "v2", true),
        Conversion::destroy(volume("disk:20", "eng", "v2", true)).unwrap(),
        reserve("cpus:9", "eng"),
        reserve("disk:40", "eng"),
    ];
    all[usize::from(which) % all.len()].clone()
}

/// A role and a volume's id.
type Name = (String, String);

fn names(volumes: &Resources) -> impl Iterator<Item = Name> {
    volumes.iter().filter_map(volume_name).map(|(role, id)| (role.to_string(), id.to_owned()))
}

/// The folders as they are, and what is still to be done about them.
#[derive(Default)]
pub(super) struct Folders {
    /// Each folder, with the number of its making: a folder made anew holds other data.
    there: BTreeMap<Name, u32>,
    makings: u32,
    orders: VecDeque<VolumeOrder>,
    /// Which making each volume of the durable total rests on.
    rest_on: BTreeMap<Name, u32>,
}

impl Folders {
    pub(super) fn order(&mut self, orders: Vec<VolumeOrder>) {
        self.orders.extend(orders);
    }

    /// Does the next order, or fails to; what is to be told.
    pub(super) fn work(&mut self, fails: bool) -> Option<Event> {
        match self.orders.pop_front()? {
            VolumeOrder::Make { number, .. } if fails => {
                Some(Event::VolumesMade { number, result: Err("no space".to_owned()) })
            }
            VolumeOrder::Make { number, volumes } => {
                for name in names(&volumes) {
                    self.makings += 1;
                    self.there.insert(name, self.makings);
                }
                Some(Event::VolumesMade { number, result: Ok(()) })
            }
            VolumeOrder::Remove(volumes) => {
                for name in names(&volumes) {
                    self.there.remove(&name);
                }
                None
            }
            VolumeOrder::Sweep { keep } => {
                let keep: Vec<Name> = names(&keep).collect();
                self.there.retain(|name, _| keep.contains(name));
                None
            }
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.orders.is_empty()
    }

    /// The agent dies, with so many of its orders done.
    pub(super) fn die(&mut self, done: usize) {
        for _ in 0..done {
            self.work(false);
        }
        self.orders.clear();
    }

    /// `total` is durable: volumes that it has not had before rest on the folders there are.
    pub(super) fn durable(&mut self, total: &Resources) {
        let now: Vec<Name> = names(total).collect();
        self.rest_on.retain(|name, _| now.contains(name));
        for name in now {
            let making = self.there.get(&name).copied().expect("a volume in the total has its folder");
            self.rest_on.entry(name).or_insert(making);
        }
    }

    /// Each volume has the folder it was made with.
    pub(super) fn check(&self) {
        for (name, making) in &self.rest_on {
            assert_eq!(self.there.get(name), Some(making), "the data of {name:?} is lost");
        }
    }

    /// Nothing but volumes is left.
    pub(super) fn check_the_end(&self) {
        assert_eq!(self.there, self.rest_on);
    }
}

/// Every operation that was ever asked for, by its number.
#[derive(Default)]
pub(super) struct Asked(Vec<Ask>);

struct Ask {
    operation: AgentOperation,
    /// How it went, once the agent has recorded it.
    outcome: Option<OperationStatus>,
    acknowledged: bool,
}

impl Asked {
    /// A new operation, or one that was not answered or not acknowledged yet once more.
    pub(super) fn next(&mut self, which: u8, again: bool) -> AgentOperation {
        let open = self.0.iter().rev().find(|ask| !ask.acknowledged);
        if let (true, Some(ask)) = (again, open) {
            return ask.operation.clone();
        }
        let number = u16::try_from(self.0.len()).unwrap();
        let mut uuid = [0; 16];
        uuid[..2].copy_from_slice(&number.to_be_bytes());
        let operation = AgentOperation {
            uuid: OperationUuid(uuid),
            framework: None,
            id: Some(OperationId::new(format!("o{number}")).unwrap()),
            conversion: conversion(which),
        };
        self.0.push(Ask { operation: operation.clone(), outcome: None, acknowledged: false });
        operation
    }

    fn of(&mut self, uuid: OperationUuid) -> &mut Ask {
        &mut self.0[usize::from(u16::from_be_bytes([uuid.0[0], uuid.0[1]]))]
    }

    /// The agent has made an outcome durable: the only one there ever is.
    pub(super) fn recorded(&mut self, uuid: OperationUuid, status: &OperationStatus) {
        let ask = self.of(uuid);
        assert!(!ask.acknowledged && ask.outcome.is_none(), "{uuid} is done twice");
        let finished = status.state == OperationState::Finished;
        assert_eq!(status.converted == *ask.operation.conversion.after(), finished);
        ask.outcome = Some(status.clone());
    }

    /// An outcome is told.
    pub(super) fn told(&mut self, uuid: OperationUuid, status: &OperationStatus) {
        let ask = self.of(uuid);
        assert_eq!(ask.outcome.as_ref(), Some(status), "what is told was made durable");
        assert!(!ask.acknowledged, "{uuid} is told after its acknowledgement");
    }

    /// One whose outcome waits for an acknowledgement.
    pub(super) fn unacknowledged(&self, which: u8) -> Option<OperationUuid> {
        let open = self.0.iter().filter(|ask| ask.outcome.is_some() && !ask.acknowledged);
        let open: Vec<OperationUuid> = open.map(|ask| ask.operation.uuid).collect();
        open.get(usize::from(which).checked_rem(open.len())?).copied()
    }

    pub(super) fn acknowledged(&mut self, uuid: OperationUuid) {
        self.of(uuid).acknowledged = true;
    }
}
