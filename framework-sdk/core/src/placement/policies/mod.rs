//! Placement policies: ordinary scorers, by name.
//!
//! | name | prefers |
//! | --- | --- |
//! | `random` | any machine, any device |
//! | `spread` | the machine with most left |
//! | `binpack` | best fit: the machine with least left |
//! | `dot` | the smaller product of what is asked for and what is free |
//! | `gpu-packing` | shared devices before free ones, used machines before empty ones |
//! | `gpu-clustering` | machines that hold tasks of the same kind |
//! | `fgd` | the place where GPUs that typical tasks can use are lost least |
//! | `fill` | as `fgd`, and the place after which more typical tasks fill the machine up |
//!
//! Six of them (all but `spread` and `fill`) are those of the published experiment on the openb trace; their scores are whole
//! numbers from 0 to 100 as there, because equal scores, and that the first of equal machines is taken, decide half
//! of its result. `docs/openb.md` compares the figures.
//!
//! Source: Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
//! Descent", USENIX ATC 2023, section 6 (the policies and what they are compared by), and the simulator published
//! with it (how scores are rounded).

mod best_fit;
mod dot_product;
mod fill;
mod gpu_clustering;
mod gpu_packing;
mod random;
mod spread;

pub mod fgd;

use crate::placement::{Room, Scorer, Spec};

pub use best_fit::BestFit;
pub use dot_product::DotProduct;
pub use fgd::Fgd;
pub use fill::Fill;
pub use gpu_clustering::GpuClustering;
pub use gpu_packing::GpuPacking;
pub use random::Random;
pub use spread::Spread;

/// All policies, as [`by_name`] knows them.
pub const NAMES: [&str; 8] =
    ["random", "spread", "binpack", "dot", "gpu-packing", "gpu-clustering", "fgd", "fill"];

/// No policy has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no placement policy {0:?}; there are {names}", names = NAMES.join(", "))]
pub struct UnknownPolicy(pub String);

/// The policy of this name. `seed` is for those that draw: `random`.
pub fn by_name(name: &str, seed: u64) -> Result<Box<dyn Scorer>, UnknownPolicy> {
    Ok(match name {
        "random" => Box::new(Random::new(seed)),
        "spread" => Box::new(Spread),
        "binpack" => Box::new(BestFit::default()),
        "dot" => Box::new(DotProduct::default()),
        "gpu-packing" => Box::new(GpuPacking),
        "gpu-clustering" => Box::new(GpuClustering::default()),
        "fgd" => Box::new(Fgd::default()),
        "fill" => Box::new(Fill::default()),
        other => return Err(UnknownPolicy(other.chars().take(64).collect())),
    })
}

/// A count as a number; what is above 2^32 counts as that.
fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// A count of devices in thousandths.
fn thousandths(devices: usize) -> u64 {
    u64::try_from(devices).unwrap_or(u64::MAX).saturating_mul(1000)
}

/// `part` of `whole`; 0 if there is no whole.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// The larger of the two, kind by kind: a machine may be larger than any that was known of.
fn larger(one: Spec, other: Spec) -> Spec {
    Spec {
        cpus: one.cpus.max(other.cpus),
        mem: one.mem.max(other.mem),
        devices: one.devices.max(other.devices),
    }
}

/// What is free as parts of the largest machine: CPUs and GPUs.
fn free_parts(room: &Room, largest: Spec) -> [f64; 2] {
    let cpus = ratio(room.cpus.to_f64(), largest.cpus.to_f64());
    [cpus, ratio(number(room.free_gpus()), number(thousandths(largest.devices)))]
}

/// What is asked for as parts of the largest machine: CPUs and GPUs.
fn asked_parts(need: &crate::task::Need, largest: Spec) -> [f64; 2] {
    let cpus = ratio(need.cpus.to_f64(), largest.cpus.to_f64());
    [cpus, ratio(number(need.gpus.thousandths().thousandths()), number(thousandths(largest.devices)))]
}

#[cfg(test)]
mod tests;
