//! `fgd`: fragmentation gradient descent.
//!
//! A free GPU is a *fragment* for a task that cannot use it where it lies: the CPUs beside it are gone, too little of
//! it is left, too few others are free there, its model is not allowed. What a machine has of fragments for the
//! typical task is a number ([`Typical::fragments`]); FGD places each task where that number falls most, or grows
//! least.
//!
//! Invariants
//! - Fragments are summed in whole numbers (thousandths times tasks), so equal places have exactly equal scores.
//!
//! Source: Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
//! Descent", USENIX ATC 2023, sections 3 and 4; typical tasks and rounding as in the simulator published with it.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::resources::Scalar;

use crate::placement::{Ask, Cluster, Gpus, Place, Room, Scorer};

/// Typical are the most frequent tasks until they are so many of a hundred.
const TYPICAL_PERCENT: u64 = 95;

/// What tasks are typically like.
#[derive(Clone, Debug, Default)]
pub struct Typical {
    /// How many tasks they stand for.
    tasks: u64,
    /// How many of them ask for GPUs.
    gpu_tasks: u64,
    /// By model of GPU that a task names.
    by_model: BTreeMap<String, Users>,
    /// On machines of other models or of none.
    other: Users,
}

/// Who of the typical tasks may use GPUs of one model.
#[derive(Clone, Debug, Default)]
struct Users {
    /// Tasks that never do: they want no GPU, or another model.
    never: u64,
    /// Those of them that want another model.
    elsewhere: u64,
    groups: Vec<Group>,
}

/// Tasks that ask for the same GPUs.
#[derive(Clone, Debug)]
struct Group {
    of_each: u16,
    devices: usize,
    tasks: u64,
    /// By CPUs asked for, ascending: how many tasks ask for no more.
    cpus: Vec<(Scalar, u64)>,
}

impl Typical {
    /// The typical ones of a workload: distinct asks by CPUs, GPUs and models, the most frequent first, until they
    /// are 95 % of all tasks, tasks without GPUs included.
    pub fn new(workload: &[(Ask, u64)]) -> Self {
        Self::most_frequent(workload, TYPICAL_PERCENT)
    }

    /// The same of all tasks, the rare ones too.
    pub fn all(workload: &[(Ask, u64)]) -> Self {
        Self::most_frequent(workload, 100)
    }

    fn most_frequent(workload: &[(Ask, u64)], percent: u64) -> Self {
        let mut distinct: BTreeMap<(Scalar, Gpus, &BTreeSet<String>), u64> = BTreeMap::new();
        for (ask, count) in workload {
            let tasks = distinct.entry((ask.need.cpus, ask.need.gpus, &ask.models)).or_default();
            *tasks = tasks.saturating_add(*count);
        }
        let all = distinct.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let mut by_count: Vec<_> = distinct.into_iter().filter(|(_, count)| *count > 0).collect();
        by_count
            .sort_by(|(ask, count), (other_ask, other)| other.cmp(count).then_with(|| other_ask.cmp(ask)));
        let mut tasks = 0_u64;
        by_count.retain(|(_, count)| {
            let wanted = u128::from(tasks) * 100 < u128::from(all) * u128::from(percent);
            tasks = if wanted { tasks.saturating_add(*count) } else { tasks };
            wanted
        });
        let models: BTreeSet<&String> =
            by_count.iter().flat_map(|((_, _, models), _)| models.iter()).collect();
        let of = |model: Option<&String>| {
            Users::new(by_count.iter().map(|((cpus, gpus, models), count)| {
                let allowed = models.is_empty() || model.is_some_and(|model| models.contains(model));
                (*cpus, *gpus, allowed, *count)
            }))
        };
        let by_model = models.into_iter().map(|model| (model.clone(), of(Some(model)))).collect();
        let gpu_tasks = by_count.iter().filter(|((_, gpus, _), _)| *gpus != Gpus::None);
        let gpu_tasks = gpu_tasks.fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        Self { tasks, gpu_tasks, by_model, other: of(None) }
    }

    /// How many of the free GPU thousandths of `room` the typical task cannot use there: the mean over the typical
    /// tasks. 0 if none are known.
    pub fn fragments(&self, room: &Room) -> f64 {
        let free: Vec<u16> = room.devices.iter().map(|(_, free)| *free).collect();
        let sum = self.users(room).fragments(room.cpus, &free);
        if self.tasks == 0 { 0.0 } else { float(sum) / float(self.tasks) }
    }

    /// How many of the free GPU thousandths of `room` would stay free if it was filled up with one kind of typical
    /// task until GPUs or CPUs run out: the mean over the typical tasks that ask for GPUs. 0 if none are known.
    ///
    /// Other than [`Typical::fragments`] it tells how many tasks fit, not whether one does: eight free GPUs beside the
    /// CPUs for two tasks are six too many, and of a whole device a share of 810 leaves 190.
    pub fn unfilled(&self, room: &Room) -> f64 {
        let free: Vec<u16> = room.devices.iter().map(|(_, free)| *free).collect();
        let sum = self.users(room).unfilled(room.cpus, &free);
        if self.gpu_tasks == 0 { 0.0 } else { float(sum) / float(self.gpu_tasks) }
    }

    fn users(&self, room: &Room) -> &Users {
        room.model.as_ref().and_then(|model| self.by_model.get(model)).unwrap_or(&self.other)
    }
}

impl Users {
    /// Of tasks by CPUs, GPUs, whether they may use those here, and number.
    fn new(tasks: impl Iterator<Item = (Scalar, Gpus, bool, u64)>) -> Self {
        let (mut never, mut elsewhere) = (0_u64, 0_u64);
        let mut by_gpus: BTreeMap<Gpus, BTreeMap<Scalar, u64>> = BTreeMap::new();
        for (cpus, gpus, allowed, count) in tasks {
            if gpus == Gpus::None || !allowed {
                never = never.saturating_add(count);
                elsewhere = elsewhere.saturating_add(if allowed { 0 } else { count });
            } else {
                let tasks = by_gpus.entry(gpus).or_default().entry(cpus).or_default();
                *tasks = tasks.saturating_add(count);
            }
        }
        let group = |(gpus, by_cpus): (Gpus, BTreeMap<Scalar, u64>)| {
            let mut tasks = 0_u64;
            let up_to = |(cpus, count): (Scalar, u64)| {
                tasks = tasks.saturating_add(count);
                (cpus, tasks)
            };
            let cpus = by_cpus.into_iter().map(up_to).collect();
            Group { of_each: gpus.of_each(), devices: gpus.devices(), tasks, cpus }
        };
        Self { never, elsewhere, groups: by_gpus.into_iter().map(group).collect() }
    }

    /// Thousandths times tasks.
    fn fragments(&self, cpus: Scalar, devices: &[u16]) -> u64 {
        let all: u64 = devices.iter().map(|free| u64::from(*free)).sum();
        let mut sum = all.saturating_mul(self.never);
        if all == 0 {
            return 0;
        }
        for group in &self.groups {
            let (mut enough, mut too_small) = (0, 0_u64);
            for free in devices {
                if *free >= group.of_each {
                    enough += 1;
                } else {
                    too_small += u64::from(*free);
                }
            }
            let fit = if enough >= group.devices { group.with_at_most(cpus) } else { 0 };
            sum = sum.saturating_add(too_small.saturating_mul(fit));
            sum = sum.saturating_add(all.saturating_mul(group.tasks - fit));
        }
        sum
    }

    /// Thousandths times tasks.
    fn unfilled(&self, cpus: Scalar, devices: &[u16]) -> u64 {
        let all: u64 = devices.iter().map(|free| u64::from(*free)).sum();
        let mut sum = all.saturating_mul(self.elsewhere);
        for group in &self.groups {
            let by_gpus = group.fill(devices);
            let mut smaller = 0;
            for (asked, up_to) in &group.cpus {
                let tasks = up_to - smaller;
                smaller = *up_to;
                // As many as fit by CPUs, the last one in part.
                let by_cpus = cpus.thousandths().saturating_mul(group.thousandths());
                let by_cpus = by_cpus.checked_div(asked.thousandths()).unwrap_or(u64::MAX);
                let left = all.saturating_sub(by_gpus.min(by_cpus));
                sum = sum.saturating_add(left.saturating_mul(tasks));
            }
        }
        sum
    }
}

impl Group {
    /// Thousandths that one task takes.
    fn thousandths(&self) -> u64 {
        let devices = u64::try_from(self.devices).unwrap_or(u64::MAX);
        devices.saturating_mul(u64::from(self.of_each))
    }

    /// Thousandths of these devices that the tasks take if there are enough of them, and CPUs.
    fn fill(&self, devices: &[u16]) -> u64 {
        let places = devices.iter().map(|free| u64::from(free.checked_div(self.of_each).unwrap_or(0)));
        let tasks = places.sum::<u64>().checked_div(u64::try_from(self.devices).unwrap_or(u64::MAX));
        tasks.unwrap_or(0).saturating_mul(self.thousandths())
    }

    /// How many of the tasks ask for no more CPUs than this.
    fn with_at_most(&self, cpus: Scalar) -> u64 {
        let after = self.cpus.partition_point(|(asked, _)| *asked <= cpus);
        after.checked_sub(1).and_then(|last| self.cpus.get(last)).map_or(0, |(_, tasks)| *tasks)
    }
}

/// A sum as a double; above 2^53 rounded, which is far above what a fleet has.
#[expect(clippy::cast_precision_loss, reason = "whole doubles are exact up to 2^53")]
fn float(sum: u64) -> f64 {
    sum as f64
}

/// Fragmentation gradient descent: the place where fragments fall most.
///
/// Score: the whole part of 100 / (1 + e^(−Δ/1000)), Δ being the thousandths by which [`Typical::fragments`] falls if
/// the task is placed there. A share of a device tries each device that has enough, of equal ones the first; whole
/// devices are any that are free.
#[derive(Clone, Debug, Default)]
pub struct Fgd {
    typical: Typical,
}

impl Scorer for Fgd {
    fn name(&self) -> &str {
        "fgd"
    }

    fn learn(&mut self, cluster: &Cluster) {
        self.typical = Typical::new(&cluster.workload);
    }

    fn score(&mut self, ask: &Ask, room: &Room) -> Option<Place> {
        let users = self.typical.users(room);
        let mut free: Vec<u16> = room.devices.iter().map(|(_, free)| *free).collect();
        let before = users.fragments(room.cpus, &free);
        let cpus = room.cpus.saturating_sub(ask.need.cpus);
        let squashed = |after: u64| {
            let fall = if before >= after { float(before - after) } else { -float(after - before) };
            let fall = if self.typical.tasks == 0 { 0.0 } else { fall / float(self.typical.tasks) };
            (100.0 / (1.0 + (-fall / 1000.0).exp())).trunc()
        };
        let Gpus::Share(share) = ask.need.gpus else {
            let devices = room.fullest(ask)?;
            for index in &devices {
                free[*index] = free[*index].saturating_sub(ask.need.gpus.of_each());
            }
            return Some(Place { score: squashed(users.fragments(cpus, &free)), devices });
        };
        let mut best: Option<Place> = None;
        for index in 0..free.len() {
            let left = free[index];
            // A device with as much left as an earlier one is no better.
            if left < share || free[..index].contains(&left) {
                continue;
            }
            free[index] = left - share;
            let score = squashed(users.fragments(cpus, &free));
            free[index] = left;
            if best.as_ref().is_none_or(|best| score > best.score) {
                best = Some(Place { score, devices: vec![index] });
            }
        }
        best
    }
}
