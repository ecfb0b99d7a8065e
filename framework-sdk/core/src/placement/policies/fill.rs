//! `fill`: a policy of our own.
//!
//! FGD asks whether a typical task finds *one* place on a machine; it does not see that eight free GPUs beside the CPUs
//! for two tasks are six too many. So on the openb trace it keeps on giving CPUs away beside GPUs that then stay free.
//! This policy also asks how *many* tasks the machine would take: what would stay free of its GPUs if it was filled
//! up with them. For that all tasks count, the rare ones too, or those with eight GPUs would find no machine whole.
//!
//! `docs/openb.md` has its figures on both lists beside those of FGD.

use crate::placement::policies::fgd::Typical;
use crate::placement::{Ask, Cluster, Gpus, Place, Room, Scorer};

/// How much a thousandth counts that a machine full of tasks would leave free, beside one of a fragment.
const WEIGHT: f64 = 0.1;

/// Falls closer than this are equal, in thousandths of a GPU: then the first machine is filled before another is
/// begun.
const STEP: f64 = 20.0;

/// The place after which least is lost to tasks like the expected ones, one alone and many together.
///
/// Score: (Δf + 0.1 · Δu) / 20, rounded down, where Δf is by how much [`Typical::fragments`] of the typical tasks falls
/// and Δu by how much [`Typical::unfilled`] of all tasks does, in thousandths of a GPU, when the task is placed there.
/// A share of a device tries each device that has enough, of equal ones the first; whole devices are any that are
/// free.
#[derive(Clone, Debug, Default)]
pub struct Fill {
    typical: Typical,
    all: Typical,
}

impl Scorer for Fill {
    fn name(&self) -> &str {
        "fill"
    }

    fn learn(&mut self, cluster: &Cluster) {
        self.typical = Typical::new(&cluster.workload);
        self.all = Typical::all(&cluster.workload);
    }

    fn score(&mut self, ask: &Ask, room: &Room) -> Option<Place> {
        let lost = |room: &Room| self.typical.fragments(room) + WEIGHT * self.all.unfilled(room);
        let before = lost(room);
        let mut best: Option<Place> = None;
        for devices in candidates(ask, room)? {
            let mut after = room.clone();
            after.take(ask, &devices);
            let score = ((before - lost(&after)) / STEP).floor();
            if best.as_ref().is_none_or(|best| score > best.score) {
                best = Some(Place { score, devices });
            }
        }
        best
    }
}

/// The devices worth trying: each with enough for a share, unless an earlier one has as much left; any whole ones.
fn candidates(ask: &Ask, room: &Room) -> Option<Vec<Vec<usize>>> {
    let Gpus::Share(share) = ask.need.gpus else { return Some(vec![room.fullest(ask)?]) };
    let left = |index: usize| room.devices.get(index).map_or(0, |(_, left)| *left);
    let first_of_its_kind = |index: &usize| (0..*index).all(|earlier| left(earlier) != left(*index));
    let enough = (0..room.devices.len()).filter(|index| left(*index) >= share);
    Some(enough.filter(first_of_its_kind).map(|index| vec![index]).collect())
}
