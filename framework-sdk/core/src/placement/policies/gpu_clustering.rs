//! `gpu-clustering`: like to like.

use std::collections::BTreeSet;

use crate::placement::policies::{larger, number, thousandths};
use crate::placement::{Ask, Cluster, Gpus, Place, Room, Scorer, Spec};

/// Tasks of one kind together: those with a share of a device are one kind, those with so many whole devices one kind
/// each.
///
/// Score, in whole numbers: 75 on a machine that holds tasks of this kind only, 50 on one that holds others too, 25
/// on one without GPU tasks, 0 on one that holds only others; and up to 25 more the less GPU is free there, as a part
/// of the largest machine. A task without GPUs: 0 everywhere. The fullest devices that will do.
///
/// Source: Weng et al., USENIX ATC 2023, section 6.1, after Xiao et al., "Gandiva", OSDI 2018; the numbers are those
/// of the simulator published with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct GpuClustering {
    largest: Spec,
}

/// The kind of a task: all shares are one.
fn kind(gpus: Gpus) -> Gpus {
    match gpus {
        Gpus::None => Gpus::None,
        Gpus::Share(_) => Gpus::Share(1),
        Gpus::Whole(count) => Gpus::Whole(count),
    }
}

impl Scorer for GpuClustering {
    fn name(&self) -> &str {
        "gpu-clustering"
    }

    fn learn(&mut self, cluster: &Cluster) {
        self.largest = cluster.largest;
    }

    fn score(&mut self, ask: &Ask, room: &Room) -> Option<Place> {
        let devices = room.fullest(ask)?;
        if ask.need.gpus == Gpus::None {
            return Some(Place { score: 0.0, devices });
        }
        let there = room.tasks.iter().filter(|(gpus, count)| **gpus != Gpus::None && **count > 0);
        let kinds: BTreeSet<Gpus> = there.map(|(gpus, _)| kind(*gpus)).collect();
        let base = match (kinds.contains(&kind(ask.need.gpus)), kinds.len()) {
            (true, 1) => 75,
            (true, _) => 50,
            (false, 0) => 25,
            (false, _) => 0,
        };
        let all = thousandths(larger(self.largest, room.spec).devices);
        let taken = all.saturating_sub(room.free_gpus());
        let more = (25 * taken).checked_div(all).unwrap_or(0);
        Some(Place { score: number(base + more), devices })
    }
}
