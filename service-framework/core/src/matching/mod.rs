//! Offers against instances: where each may go, where it goes, and what is launched there.
//!
//! A [`Hand`] holds the offers of one decision. Each instance that waits is put to it as a [`Want`]; it goes to the place that
//! it may have and that its app likes best, or the offers that were looked at are noted with the reason why they will not do.
//! In the end the hand says what is to be done with each agent's offers.
//!
//! Invariants
//! - What is launched on an agent is never more than its offers hold, and nothing of it is used twice.
//! - Offers of different agents or roles are never mixed.
//! - What is noted of an offer is the first reason that holds, in the order of [`Reason`](crate::waiting::Reason).
//!
//! Images are to come: an image's name stays in the definition, and its program is run from the agent's own files.
//!
//! Source: Marathon's rules for matching offers; preferences and affinities are Lonja's own.

mod accepted;
mod constraints;
mod fields;
mod hand;
mod judge;
mod nearness;
mod needs;
mod patterns;
mod ports;
mod reasons;
mod resident;
mod slot;
mod taking;

mod launch;

#[cfg(test)]
mod tests;

use lonja_model::resources::Quantities;
use lonja_model::{FrameworkId, OfferId, TaskId};

use crate::config::Config;
use crate::definition::RunSpec;
use crate::instance::{InstanceId, Place};
use crate::path_id::PathId;

pub(crate) use fields::Field;

pub use accepted::{FRAMEWORK_LABEL, INSTANCE_LABEL, VOLUMES_LABEL};
pub use hand::Hand;
pub use patterns::Patterns;
pub use reasons::unplaced;

/// An instance that is to be launched, and what has a say in where.
pub struct Want<'a> {
    /// Of what.
    pub spec: &'a RunSpec,
    /// Which.
    pub instance: &'a InstanceId,
    /// Of the launch to come.
    pub incarnation: u32,
    /// Where its data are, if it has any: it is launched there or nowhere.
    pub home: Option<&'a Place>,
    /// Where those are that count for its constraints: of the same app or pod, reachable, and not older than the last change
    /// of what runs. The first placed first. Those that this hand has placed count as well: whoever asks adds them.
    pub siblings: &'a [&'a Place],
    /// How many are wanted in all.
    pub target: u32,
    /// Where the instances of another app are, for affinities.
    pub neighbours: &'a dyn Fn(&PathId) -> Vec<&'a Place>,
    /// What the operator decided.
    pub config: &'a Config,
    /// Who launches.
    pub framework: &'a FrameworkId,
    /// Any number; another for each launch.
    pub draw: u64,
}

/// An instance that has been given a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// On which offer; of several of one agent the first.
    pub offer: OfferId,
    /// Where.
    pub place: Place,
    /// Its tasks, each with its container of a pod, in the order of the definition.
    pub tasks: Vec<(TaskId, Option<String>)>,
}

/// What one instance needs in all, its volumes on the agent's own disk included; ports are no amount. For the master, which
/// then makes no smaller offers.
pub fn size(spec: &RunSpec) -> Quantities {
    let needs = needs::Needs::of(spec);
    let disk = needs.whole.disk.checked_add(needs.own_disk()).unwrap_or(needs.whole.disk);
    lonja_sdk_core::task::Need { disk, ..needs.whole }.quantities()
}
