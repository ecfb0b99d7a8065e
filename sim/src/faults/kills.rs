//! Kills of master, agents and frameworks.
//!
//! A kill comes at a drawn moment, or in the middle of the victim's next commit: before it is durable
//! (neither changes nor messages happened) or after (the changes did, the messages did not), or where the
//! victim next passes a named [`Step`]. Most victims are back within seconds, some only after the master has given
//! them up; some are killed again while they recover.

use std::time::Duration;

use lonja_model::Timestamp;

use crate::faults::{Shape, any_node};
use crate::random::Random;
use crate::steps::{Step, Whose};
use crate::world::Node;

/// When a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// At once.
    Now,
    /// In its next commit, which is lost.
    BeforeDurable,
    /// In its next commit, which holds.
    AfterDurable,
    /// When it next comes to this step.
    At(Step),
}

/// One kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kill {
    pub(crate) node: Node,
    pub(crate) moment: Moment,
    /// How long until the process starts again.
    pub(crate) down: Duration,
    /// Its machine goes with it: nobody is told that its connections are no more.
    pub(crate) silent: bool,
}

impl Kill {
    /// The process dies at once, and its machine says so.
    pub(crate) fn now(node: Node, down: Duration) -> Self {
        Self { node, moment: Moment::Now, down, silent: false }
    }
}

/// The kills of one run, in order, all between the two times.
pub(super) fn draw(
    random: &mut Random,
    between: (Timestamp, Timestamp),
    shape: &Shape,
) -> Vec<(Timestamp, Kill)> {
    let mut kills = Vec::new();
    // What happens once in a life of many: names are learned at the very beginning.
    if random.chance(30) {
        let (node, step) = if random.chance(50) {
            (Node::Agent(random.index(shape.agents)), Step::AgentWritesIdentity)
        } else {
            (Node::Framework(random.index(shape.frameworks)), Step::FrameworkWritesId)
        };
        kills.push((
            between.0,
            Kill { node, moment: Moment::At(step), down: downtime(random), silent: false },
        ));
    }
    for at in super::moments(random, between) {
        if random.chance(60) {
            kills.extend(at_a_step(random, shape).into_iter().map(|kill| (at, kill)));
            continue;
        }
        let node = any_node(random, shape);
        let moment = match random.below(4) {
            0 | 1 => Moment::Now,
            2 => Moment::BeforeDurable,
            _ => Moment::AfterDurable,
        };
        let down = downtime(random);
        let silent = random.chance(15);
        kills.push((at, Kill { node, moment, down, silent }));
        if moment == Moment::Now && random.chance(20) {
            // Again, while it recovers.
            let again = at + down + random.millis(0, 50);
            let kill = Kill { node, moment: Moment::Now, down: downtime(random), silent: false };
            kills.push((again.min(between.1), kill));
        }
    }
    kills.sort_by_key(|(at, _)| *at);
    kills
}

/// A kill at a drawn step; sometimes with another, early in the victim's next life.
fn at_a_step(random: &mut Random, shape: &Shape) -> Vec<Kill> {
    let step = Step::draw(random);
    let node = match step.whose() {
        Whose::Master => Node::Master,
        Whose::Agent => Node::Agent(random.index(shape.agents)),
        Whose::Framework => Node::Framework(random.index(shape.frameworks)),
    };
    let mut kills = vec![Kill { node, moment: Moment::At(step), down: downtime(random), silent: false }];
    if random.chance(25) {
        let early = Step::draw_early(random, step.whose());
        kills.push(Kill { node, moment: Moment::At(early), down: random.millis(1, 2_000), silent: false });
    }
    kills
}

fn downtime(random: &mut Random) -> Duration {
    match random.below(10) {
        0..6 => random.millis(1, 2_000),
        6..9 => random.millis(2_000, 30_000),
        // Longer than the master waits for a silent agent.
        _ => random.millis(60_000, 150_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_come_in_order_and_within_their_time() {
        let (from, until) = (Timestamp::from_nanos(10), Timestamp::ZERO + Duration::from_secs(900));
        for seed in 0..50 {
            let shape = Shape { agents: 3, frameworks: 2, jobs: 1 };
            let kills = draw(&mut Random::new(seed), (from, until), &shape);
            assert!(kills.is_sorted_by_key(|(at, _)| *at));
            assert!(kills.iter().all(|(at, _)| *at >= from && *at <= until));
        }
    }
}
