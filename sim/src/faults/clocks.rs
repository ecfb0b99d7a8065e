//! Processes that stop for a while, and clocks that jump.
//!
//! Source: `docs/invariants.md`, INV-38: a stopped process (SIGSTOP, a suspended machine) hears nothing and says
//! nothing, its monotonic clock goes on or stands still; wall clocks jump by up to an hour.

use std::time::Duration;

use lonja_model::Timestamp;

use crate::faults::{Shape, any_node};
use crate::random::Random;
use crate::world::Node;

/// What happens to the time of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockFault {
    /// Its process stops for so long; with `frozen` its clock does as well.
    Stall { node: Node, lasts: Duration, frozen: bool },
    /// Its monotonic clock leaps ahead.
    Leap { node: Node, by: Duration },
    /// Its wall clock jumps.
    Jump { node: Node, by: Duration, back: bool },
}

/// What befalls the clocks of one run, all over before the end.
pub(super) fn draw(
    random: &mut Random,
    between: (Timestamp, Timestamp),
    shape: &Shape,
) -> Vec<(Timestamp, ClockFault)> {
    if random.chance(40) {
        return Vec::new();
    }
    let moments = super::moments(random, between);
    moments.into_iter().map(|at| (at, fault(random, shape, between.1.since(at)))).collect()
}

fn fault(random: &mut Random, shape: &Shape, left: Duration) -> ClockFault {
    let node = any_node(random, shape);
    match random.below(10) {
        0..5 => {
            let lasts = stall(random).min(left);
            ClockFault::Stall { node, lasts, frozen: random.chance(40) }
        }
        5 => ClockFault::Leap { node, by: random.millis(100, 60_000) },
        _ => {
            let by = random.between(Duration::ZERO, Duration::from_secs(3_600));
            ClockFault::Jump { node, by, back: random.chance(50) }
        }
    }
}

fn stall(random: &mut Random) -> Duration {
    match random.below(20) {
        0..12 => random.millis(10, 5_000),
        12..18 => random.millis(5_000, 30_000),
        // Longer than anybody's patience.
        _ => random.millis(30_000, 120_000),
    }
}
