//! Processes that stop for a while, and clocks that jump.
//!
//! Source: `docs/invariants.md`, INV-38: a stopped process (SIGSTOP, a suspended machine) hears nothing and says
//! nothing, its monotonic clock goes on or stands still; wall clocks jump by up to an hour.

use std::time::Duration;

use lonja_model::Timestamp;

use crate::faults::any_node;
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

/// What befalls the clocks of one run, all over before `until`.
pub(crate) fn schedule(
    random: &mut Random,
    (from, until): (Timestamp, Timestamp),
    agents: usize,
    frameworks: usize,
) -> Vec<(Timestamp, ClockFault)> {
    let gap = [0, 0, 40, 150][random.index(4)];
    let mut faults = Vec::new();
    let mut at = if gap > 0 { from } else { until };
    loop {
        at = at + random.millis(gap * 100, gap * 2_000);
        if at >= until {
            return faults;
        }
        let node = any_node(random, agents, frameworks);
        let fault = match random.below(10) {
            0..5 => {
                let lasts = stall(random).min(until.since(at));
                ClockFault::Stall { node, lasts, frozen: random.chance(40) }
            }
            5 => ClockFault::Leap { node, by: random.millis(100, 60_000) },
            _ => {
                let by = random.between(Duration::ZERO, Duration::from_secs(3_600));
                ClockFault::Jump { node, by, back: random.chance(50) }
            }
        };
        faults.push((at, fault));
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
