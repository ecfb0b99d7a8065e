//! `binpack`: best fit.

use crate::placement::policies::{asked_parts, free_parts, larger};
use crate::placement::{Ask, Cluster, Place, Room, Scorer, Spec};

/// Least left: of CPUs and of GPUs together, as parts of the largest machine, each with half the weight. The fullest
/// devices that will do.
///
/// Score: the whole part of 100 · (1 − ½ (cpus left / largest) − ½ (GPUs left / largest)). Memory does not count, as
/// in the source.
///
/// Source: Weng et al., USENIX ATC 2023, section 6.1; weights as in the simulator published with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct BestFit {
    largest: Spec,
}

impl Scorer for BestFit {
    fn name(&self) -> &str {
        "binpack"
    }

    fn learn(&mut self, cluster: &Cluster) {
        self.largest = cluster.largest;
    }

    fn score(&mut self, ask: &Ask, room: &Room) -> Option<Place> {
        let largest = larger(self.largest, room.spec);
        let free = free_parts(room, largest);
        let asked = asked_parts(&ask.need, largest);
        let left: f64 = free.iter().zip(asked).map(|(free, asked)| (free - asked) * 0.5).sum();
        Some(Place { score: ((1.0 - left) * 100.0).trunc(), devices: room.fullest(ask)? })
    }
}
