//! What goes wrong, drawn from the seed before the run. Each family of faults has a stream of numbers of its own, so
//! that leaving one out shifts no other; each seed draws how strong each of its families is.
//!
//! Every fault ends at the end of the faults at the latest, whether its own end comes or was left out.

mod clocks;
pub(crate) mod disks;
mod kills;
mod network;

use std::time::Duration;

use lonja_model::{Role, Timestamp};

pub(crate) use clocks::ClockFault;
pub(crate) use disks::{DiskFault, Ending};
pub(crate) use kills::{Kill, Moment};
pub(crate) use network::{NetworkFault, Told, Trouble, Ways};

use crate::random::Random;
use crate::world::{Happening, Node};
use crate::{Options, Profile, operator};

/// How large a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) agents: usize,
    pub(crate) frameworks: usize,
    /// Jobs of each framework.
    pub(crate) jobs: usize,
}

impl Shape {
    /// What the options say, and the rest from the seed.
    pub(crate) fn draw(random: &mut Random, options: &Options) -> Self {
        let (agents, frameworks) = (5 + random.index(6), 1 + random.index(4));
        let an_hour = 80 + random.below(80);
        let agents = options.agents.unwrap_or(agents).max(1);
        let frameworks = options.frameworks.unwrap_or(frameworks).max(1);
        let in_all = options.duration.as_secs().saturating_mul(an_hour) / 3_600;
        let drawn = usize::try_from(in_all).unwrap_or(usize::MAX) / frameworks;
        Self { agents, frameworks, jobs: options.jobs.unwrap_or(drawn).max(1) }
    }
}

/// The faults of one run, in order, all between the two times.
pub(crate) fn draw(
    random: &mut Random,
    profile: Profile,
    shape: &Shape,
    roles: &[Role],
    between: (Timestamp, Timestamp),
) -> Vec<(Timestamp, Happening)> {
    let (mut for_kills, mut for_operators) = (random.fork(), random.fork());
    let mut for_disks = random.fork();
    let (mut for_network, mut for_clocks) = (random.fork(), random.fork());
    let mut all = Vec::new();
    if profile.kills {
        let kills = kills::draw(&mut for_kills, between, shape);
        all.extend(kills.into_iter().map(|(at, kill)| (at, Happening::Kill(kill))));
    }
    if profile.disks {
        let faults = disks::draw(&mut for_disks, between, shape);
        all.extend(faults.into_iter().map(|(at, fault)| (at, Happening::Disk(fault))));
    }
    if profile.network {
        let faults = network::draw(&mut for_network, between, shape);
        all.extend(faults.into_iter().map(|(at, fault)| (at, Happening::Trouble(fault))));
    }
    if profile.clocks {
        let faults = clocks::draw(&mut for_clocks, between, shape);
        all.extend(faults.into_iter().map(|(at, fault)| (at, Happening::Warp(fault))));
    }
    if profile.operators {
        let wishes = operator::draw(&mut for_operators, between, shape.agents, roles);
        all.extend(wishes.into_iter().map(|(at, wish)| (at, Happening::Operate(wish))));
    }
    all.sort_by_key(|(at, _)| *at);
    all
}

/// A node that something is to happen to; the master more often than it would by its number.
fn any_node(random: &mut Random, shape: &Shape) -> Node {
    match random.below(10) {
        0..3 => Node::Master,
        3..7 => Node::Agent(random.index(shape.agents)),
        _ => Node::Framework(random.index(shape.frameworks)),
    }
}

/// Draws when something happens: calm and stormy runs, and storms in calm ones, so that what only a quiet stretch shows
/// is not drowned. Short runs are dense.
pub(crate) fn moments(random: &mut Random, (from, until): (Timestamp, Timestamp)) -> Vec<Timestamp> {
    let long = until.since(from) > Duration::from_secs(1_800);
    let mean = if long { [120, 300, 600][random.index(3)] } else { [5, 20, 60, 180][random.index(4)] };
    let mut moments = spread(random, mean, (from, until));
    let hours = until.since(from).as_secs() / 3_600;
    for hour in 0..hours {
        if random.chance(30) {
            let begins = from + Duration::from_secs(hour * 3_600) + random.millis(0, 3_400_000);
            let ends = until.min(begins + random.millis(10_000, 180_000));
            let mean = [5, 20][random.index(2)];
            moments.extend(spread(random, mean, (begins, ends)));
        }
    }
    moments.sort();
    moments
}

/// Moments with gaps of `mean` seconds, give or take.
fn spread(random: &mut Random, mean: u64, (from, until): (Timestamp, Timestamp)) -> Vec<Timestamp> {
    let mut moments = Vec::new();
    let mut at = from + random.millis(0, mean * 1_000);
    while at < until {
        moments.push(at);
        at = at + random.millis(mean * 100, mean * 1_900);
    }
    moments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_in_order_and_within_their_time() {
        let (from, until) = (Timestamp::from_nanos(10), Timestamp::ZERO + Duration::from_secs(9_000));
        for seed in 0..50 {
            let moments = moments(&mut Random::new(seed), (from, until));
            assert!(moments.is_sorted());
            assert!(moments.iter().all(|at| *at >= from && *at < until));
            assert!(moments.len() >= 6, "{}", moments.len());
        }
    }
}
