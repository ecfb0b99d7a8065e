//! `dot`: the dot product.

use crate::placement::policies::{asked_parts, free_parts, larger};
use crate::placement::{Ask, Cluster, Place, Room, Scorer, Spec};

/// The smaller product of what is free and what is asked for, CPUs and GPUs as parts of the largest machine: large
/// machines are left to large tasks of another shape. The fullest devices that will do.
///
/// Score: the whole part of 100 · (1 − ½ (cpus free · cpus asked + GPUs free · GPUs asked)).
///
/// Source: Weng et al., USENIX ATC 2023, section 6.1, after Grandl et al., "Multi-resource Packing for Cluster
/// Schedulers", SIGCOMM 2014; GPUs of a machine merged into one sum, as in the published runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct DotProduct {
    largest: Spec,
}

impl Scorer for DotProduct {
    fn name(&self) -> &str {
        "dot"
    }

    fn learn(&mut self, cluster: &Cluster) {
        self.largest = cluster.largest;
    }

    fn score(&mut self, ask: &Ask, room: &Room) -> Option<Place> {
        let largest = larger(self.largest, room.spec);
        let free = free_parts(room, largest);
        let asked = asked_parts(&ask.need, largest);
        let product: f64 = free.iter().zip(asked).map(|(free, asked)| free * asked).sum();
        Some(Place { score: ((1.0 - product / 2.0) * 100.0).trunc(), devices: room.fullest(ask)? })
    }
}
