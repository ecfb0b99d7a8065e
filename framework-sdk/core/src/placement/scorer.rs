//! Which of the places where a task fits is best?

use crate::placement::{Ask, Room, Spec};

/// What a scorer may know beforehand.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// The largest machine: the greatest of each kind over all machines.
    pub largest: Spec,
    /// What tasks are like, with how many of each: all that are expected, or all that were seen so far.
    pub workload: Vec<(Ask, u64)>,
}

/// A place on one machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The greater the better. Where two are equal the machine that comes first is taken. What is not a number
    /// counts as no place at all.
    pub score: f64,
    /// On which devices: indices into [`Room::devices`].
    pub devices: Vec<usize>,
}

/// Says how good a machine is for a task. Yours may be as simple as one line:
///
/// ```
/// use lonja_sdk_core::placement::{Ask, Place, Room, Scorer};
///
/// /// Fewest free CPUs first.
/// struct Tight;
///
/// impl Scorer for Tight {
///     fn name(&self) -> &str {
///         "tight"
///     }
///
///     fn score(&mut self, ask: &Ask, room: &Room) -> Option<Place> {
///         Some(Place { score: -room.cpus.to_f64(), devices: room.fullest(ask)? })
///     }
/// }
/// ```
pub trait Scorer: Send {
    /// Its name, as people write it.
    fn name(&self) -> &str;

    /// Learns what the cluster and its workload are like. Said before the first score, and again when that changes.
    fn learn(&mut self, cluster: &Cluster) {
        let _ = cluster;
    }

    /// The best place for `ask` in `room`, where it fits ([`Room::fits`]); `None`: not there.
    fn score(&mut self, ask: &Ask, room: &Room) -> Option<Place>;

    /// Does a score depend on `ask` and `room` alone? Then whoever asks may keep it until the room changes.
    fn is_pure(&self) -> bool {
        true
    }

    /// For policies to which one machine is as good as another: which of so many machines to look at next. If the
    /// task fits there it is placed there; after some misses all machines are scored after all. Asked only of
    /// scorers that are not pure. `None`: score them all.
    fn draw(&mut self, machines: usize) -> Option<usize> {
        let _ = machines;
        None
    }
}
