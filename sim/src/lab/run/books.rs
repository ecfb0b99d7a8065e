//! What is so, as the machines see it: what is free, who uses how much, who waits. Samples are taken from here, never
//! from what anybody was told.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::Resources;
use lonja_model::resources::{Scalar, Value};
use lonja_sdk_core::placement::policies::fgd::Typical;
use lonja_sdk_core::placement::{Ask, Room};

use crate::lab::{Sample, Workload};

/// The kinds that are looked at.
const KINDS: [&str; 3] = ["cpus", "mem", "gpus"];

/// Amounts of [`KINDS`], in thousandths.
pub(super) type Amounts = [u64; 3];

/// Amounts of the kinds that are looked at.
pub(super) fn amounts(resources: &Resources) -> Amounts {
    let mut amounts = [0; 3];
    for resource in resources.iter() {
        let Some(kind) = KINDS.iter().position(|kind| *kind == resource.name()) else { continue };
        amounts[kind] += match resource.value() {
            Value::Scalar(amount) => amount.thousandths(),
            Value::Devices(devices) => devices.total(),
            Value::Ranges(_) | Value::Set(_) => 0,
        };
    }
    amounts
}

/// One machine.
#[derive(Debug)]
struct Machine {
    free: Resources,
    /// What is free there that the typical task cannot use, in thousandths; none: to be worked out anew.
    fragments: Option<f64>,
}

/// All books.
#[derive(Debug)]
pub(super) struct Books<'a> {
    workload: &'a Workload,
    machines: Vec<Machine>,
    total: Amounts,
    used: Amounts,
    used_by: Vec<Amounts>,
    measure: Measure,
    pub(super) waiting: u64,
    pub(super) running: u64,
}

/// What a fragment is.
#[derive(Debug)]
enum Measure {
    /// GPUs that the typical task cannot use.
    Gpus(Box<Typical>),
    /// CPUs where this does not fit.
    Cpus(Ask),
}

impl Measure {
    fn of(&self, room: &Room) -> f64 {
        match self {
            Self::Gpus(typical) => typical.fragments(room),
            Self::Cpus(median) if room.fits(median) => 0.0,
            Self::Cpus(_) => room.cpus.thousandths() as f64,
        }
    }
}

impl<'a> Books<'a> {
    pub(super) fn new(workload: &'a Workload, asks: &[(Ask, u64)]) -> Self {
        let machine = |total: &Resources| Machine { free: total.clone(), fragments: None };
        let mut total = [0_u64; 3];
        for machine in &workload.machines {
            add(&mut total, amounts(&machine.total));
        }
        let measure = if total[2] > 0 {
            Measure::Gpus(Box::new(Typical::new(asks)))
        } else {
            Measure::Cpus(median(asks))
        };
        Self {
            workload,
            machines: workload.machines.iter().map(|known| machine(&known.total)).collect(),
            total,
            used: [0; 3],
            used_by: vec![[0; 3]; workload.frameworks.len()],
            measure,
            waiting: 0,
            running: 0,
        }
    }

    /// A task begins to use resources. Errors: the machine does not have them, in words (INV-2).
    pub(super) fn take(&mut self, machine: u32, framework: usize, taken: &Resources) -> Result<(), String> {
        let known = &mut self.machines[machine as usize];
        let Some(free) = known.free.checked_sub(taken) else {
            let name = &self.workload.machines[machine as usize].name;
            return Err(format!("INV-2: machine {name} has {} free and is to give {taken}", known.free));
        };
        known.free = free;
        known.fragments = None;
        add(&mut self.used, amounts(taken));
        add(&mut self.used_by[framework], amounts(taken));
        self.running += 1;
        Ok(())
    }

    /// A task has ended.
    pub(super) fn give_back(&mut self, machine: u32, framework: usize, taken: &Resources) {
        let known = &mut self.machines[machine as usize];
        known.free = known.free.checked_add(taken).expect("what comes back was taken from there");
        known.fragments = None;
        subtract(&mut self.used, amounts(taken));
        subtract(&mut self.used_by[framework], amounts(taken));
        self.running -= 1;
    }

    /// The state of the fleet. O(machines that changed since the last sample), and a glance at each other.
    pub(super) fn sample(&mut self, at: Duration) -> Sample {
        let kinds = KINDS.iter().zip(self.used).zip(self.total).filter(|(_, total)| *total > 0);
        let used: BTreeMap<String, f64> =
            kinds.map(|((kind, used), total)| ((*kind).to_owned(), used as f64 / total as f64)).collect();
        let share = |amounts: &Amounts| {
            let parts = amounts.iter().zip(self.total).filter(|(_, total)| *total > 0);
            parts.map(|(used, total)| *used as f64 / total as f64).fold(0.0, f64::max)
        };
        Sample {
            at,
            used,
            shares: self.used_by.iter().map(share).collect(),
            fragmentation: self.fragmentation(),
            waiting: self.waiting,
            running: self.running,
        }
    }

    fn fragmentation(&mut self) -> f64 {
        let kind = match self.measure {
            Measure::Gpus(_) => 2,
            Measure::Cpus(_) => 0,
        };
        let free = self.total[kind] - self.used[kind];
        let mut fragments = 0.0;
        for (machine, about) in self.machines.iter_mut().zip(&self.workload.machines) {
            let measure = || self.measure.of(&Room::new(&machine.free, &about.attributes));
            fragments += *machine.fragments.get_or_insert_with(measure);
        }
        if free == 0 { 0.0 } else { (fragments / free as f64).clamp(0.0, 1.0) }
    }
}

fn add(sum: &mut Amounts, more: Amounts) {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

fn subtract(sum: &mut Amounts, less: Amounts) {
    sum.iter_mut().zip(less).for_each(|(sum, less)| *sum -= less);
}

/// The median of each amount, by itself.
fn median(asks: &[(Ask, u64)]) -> Ask {
    let middle = |amount: fn(&Ask) -> Scalar| {
        let mut counts: BTreeMap<Scalar, u64> = BTreeMap::new();
        asks.iter().for_each(|(ask, count)| *counts.entry(amount(ask)).or_default() += count);
        let half = counts.values().sum::<u64>().div_ceil(2);
        let mut sum = 0;
        let passes = |(_, count): &(&Scalar, &u64)| {
            sum += **count;
            sum >= half
        };
        counts.iter().find(passes).map(|(amount, _)| *amount).unwrap_or_default()
    };
    let mut ask = Ask::default();
    (ask.need.cpus, ask.need.mem) = (middle(|ask| ask.need.cpus), middle(|ask| ask.need.mem));
    ask
}
