//! The openb experiment: how much of a real GPU cluster do placement policies fill?
//!
//! A published experiment, run again with the placement code of the SDK as it is used live, so that the figures can
//! be laid beside the published ones ([`published`]). All tasks of a list are shuffled by the seed, then tasks are
//! drawn from the list until what is asked for is 1.3 times the GPUs of the cluster. They arrive one after another;
//! each is placed by the policy, or fails for good, and none ends. Measured is what is allocated when so much was
//! asked for.
//!
//! Pure: a [`Workload`] in, numbers out.
//!
//! Invariants
//! - The same trace, policy and seed give the same numbers; with the same seed every policy sees the same tasks in the
//!   same order.
//! - No machine gives more than it has, of any kind.
//!
//! Source: Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
//! Descent", USENIX ATC 2023, section 6; `docs/openb.md` says what was taken from where.

mod run;
mod summary;

pub mod published;

#[cfg(test)]
mod tests;

use lonja_model::resources::Scalar;
use lonja_sdk_core::placement::{Ask, Cluster, Gpus, Room, Spec};

use crate::lab::Workload;

pub use run::{Run, run};
pub use summary::{Cell, Summary};

/// How far a run goes: percent of the cluster's GPUs that are asked for.
pub const ASKED_PERCENT: usize = 130;

/// A cluster and what it is asked to run, ready for runs.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The machines that have GPUs, in the order of the list.
    machines: Vec<Room>,
    /// The tasks in the order of the list.
    tasks: Vec<Ask>,
    cluster: Cluster,
    /// GPU thousandths of all machines.
    gpus: u64,
}

/// Why a workload is none for this experiment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoExperiment {
    /// There is nothing to fill.
    #[error("no machine of {0} has GPUs; the experiment fills GPUs")]
    NoGpus(String),
    /// Nothing asks for GPUs, so that what is asked for never reaches its end.
    #[error("no task of {0} asks for GPUs; the experiment asks for 1.3 times the GPUs there are")]
    NoGpuTasks(String),
}

impl Trace {
    /// The experiment on a workload: its machines that have GPUs, and its tasks without their times.
    pub fn new(workload: &Workload) -> Result<Self, NoExperiment> {
        let rooms = workload.machines.iter().map(|machine| Room::new(&machine.total, &machine.attributes));
        let machines: Vec<Room> = rooms.filter(|room| room.spec.devices > 0).collect();
        let gpus: u64 = machines.iter().map(Room::free_gpus).sum();
        if gpus == 0 {
            return Err(NoExperiment::NoGpus(workload.source.clone()));
        }
        let tasks: Vec<Ask> = workload.arrivals.iter().map(|arrival| arrival.ask.clone()).collect();
        if tasks.iter().all(|ask| ask.need.gpus == Gpus::None) {
            return Err(NoExperiment::NoGpuTasks(workload.source.clone()));
        }
        let cluster = Cluster {
            largest: largest(&machines),
            workload: tasks.iter().map(|ask| (ask.clone(), 1)).collect(),
        };
        Ok(Self { machines, tasks, cluster, gpus })
    }

    /// How many machines have GPUs.
    pub fn machines(&self) -> usize {
        self.machines.len()
    }

    /// How many GPUs there are, in thousandths.
    pub fn gpus(&self) -> u64 {
        self.gpus
    }

    /// How many tasks the list has.
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }
}

/// The greatest of each kind.
fn largest(machines: &[Room]) -> Spec {
    let greatest = |of: fn(&Room) -> Scalar| machines.iter().map(of).max().unwrap_or_default();
    Spec {
        cpus: greatest(|room| room.cpus),
        mem: greatest(|room| room.mem),
        devices: machines.iter().map(|room| room.spec.devices).max().unwrap_or_default(),
    }
}
