//! What time each process believes it is.
//!
//! A process counts on from its machine's wall clock at its start by a monotonic clock (`model/src/clock.rs`), so
//! that is what it gets here: an origin that jumps with the wall clock, then a rate of its own. In a fifth of the runs
//! and more, rates differ by up to a tenth; a clock may also stand still while its process is stopped (a suspended
//! machine) or leap ahead (a virtual machine that is resumed).
//!
//! Invariants
//! - What a process sees never runs backwards within its life.
//! - A core that is woken for a deadline finds that it has come: `local(world(deadline)) >= deadline`.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::Timestamp;

use crate::random::Random;
use crate::world::Node;

/// Where wall clocks stand when a run begins: far enough from zero for any jump back.
const EPOCH: Duration = Duration::from_secs(1_000_000);

/// A clock that keeps time.
const TRUE_RATE: u64 = 1_000;

/// One process's clock.
#[derive(Clone, Copy, Debug)]
struct Clock {
    world: Timestamp,
    local: Timestamp,
    /// Thousandths: how much of its time passes in so much of the world's.
    rate: u64,
    /// It stands still.
    frozen: bool,
}

impl Clock {
    fn local(&self, world: Timestamp) -> Timestamp {
        if self.frozen {
            return self.local;
        }
        self.local + scale(world.since(self.world), self.rate, TRUE_RATE, false)
    }

    fn world(&self, local: Timestamp) -> Timestamp {
        self.world + scale(local.since(self.local), TRUE_RATE, self.rate, true)
    }
}

fn scale(time: Duration, by: u64, of: u64, up: bool) -> Duration {
    if by == of {
        return time;
    }
    let product = time.as_nanos().saturating_mul(u128::from(by));
    let of = u128::from(of.max(1));
    let scaled = if up { product.div_ceil(of) } else { product / of };
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(u64::MAX))
}

/// All clocks.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    running: BTreeMap<Node, Clock>,
    rates: BTreeMap<Node, u64>,
    /// How far each wall clock is ahead of the start of the world.
    walls: BTreeMap<Node, Duration>,
}

impl Clocks {
    /// Draws a rate for each node: all true in two runs of three, else each within a tenth.
    pub(crate) fn draw(random: &mut Random, may_differ: bool, nodes: impl IntoIterator<Item = Node>) -> Self {
        let skewed = random.chance(34) && may_differ;
        let rate = |random: &mut Random| if skewed { 900 + random.below(201) } else { TRUE_RATE };
        let rates = nodes.into_iter().map(|node| (node, rate(random))).collect();
        Self { running: BTreeMap::new(), rates, walls: BTreeMap::new() }
    }

    /// Do any two clocks run at different rates?
    pub(crate) fn are_skewed(&self) -> bool {
        self.rates.values().any(|rate| *rate != TRUE_RATE)
    }

    /// A process of `node` starts.
    pub(crate) fn start(&mut self, node: Node, now: Timestamp) {
        let wall = self.walls.get(&node).copied().unwrap_or(EPOCH);
        let rate = self.rates.get(&node).copied().unwrap_or(TRUE_RATE);
        self.running.insert(node, Clock { world: now, local: now + wall, rate, frozen: false });
    }

    /// What the process of `node` believes the time is.
    pub(crate) fn local(&self, node: Node, now: Timestamp) -> Timestamp {
        self.running.get(&node).map_or(now, |clock| clock.local(now))
    }

    /// When the clock of `node` will show `local`.
    pub(crate) fn world(&self, node: Node, local: Timestamp) -> Timestamp {
        self.running.get(&node).map_or(local, |clock| clock.world(local))
    }

    /// When `time` will have passed for the process of `node`.
    pub(crate) fn after(&self, node: Node, now: Timestamp, time: Duration) -> Timestamp {
        self.world(node, self.local(node, now) + time)
    }

    /// The wall clock of `node` jumps; a process that runs does not notice.
    pub(crate) fn jump(&mut self, node: Node, by: Duration, back: bool) {
        let wall = self.walls.entry(node).or_insert(EPOCH);
        *wall = if back { wall.saturating_sub(by) } else { *wall + by };
    }

    /// The monotonic clock of `node` leaps ahead.
    pub(crate) fn leap(&mut self, node: Node, now: Timestamp, by: Duration) {
        if let Some(clock) = self.running.get_mut(&node) {
            *clock = Clock { world: now, local: clock.local(now) + by, ..*clock };
        }
    }

    /// The clock of `node` stands still, or goes on where it stood.
    pub(crate) fn freeze(&mut self, node: Node, now: Timestamp, frozen: bool) {
        if let Some(clock) = self.running.get_mut(&node) {
            *clock = Clock { world: now, local: clock.local(now), frozen, ..*clock };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_woken_for_a_deadline_finds_that_it_has_come() {
        for rate in 900..=1_100 {
            let start = Timestamp::from_nanos(77);
            let clock = Clock { world: start, local: start + EPOCH, rate, frozen: false };
            for nanos in [0, 1, 999, 1_000_000_007, 75_000_000_000] {
                let deadline = clock.local + Duration::from_nanos(nanos);
                let woken = clock.world(deadline);
                assert!(clock.local(woken) >= deadline, "{rate} {nanos}");
                assert!(clock.local(woken).since(deadline) <= Duration::from_nanos(2));
            }
        }
    }

    #[test]
    fn a_running_process_does_not_notice_a_jump_of_the_wall_clock_and_the_next_does() {
        let (mut clocks, now) = (Clocks::default(), Timestamp::from_nanos(5));
        clocks.start(Node::Master, now);
        let before = clocks.local(Node::Master, now);
        clocks.jump(Node::Master, Duration::from_secs(3_600), true);
        assert_eq!(clocks.local(Node::Master, now), before);
        clocks.start(Node::Master, now);
        assert_eq!(before.since(clocks.local(Node::Master, now)), Duration::from_secs(3_600));
    }

    #[test]
    fn a_clock_that_stood_still_goes_on_where_it_stood() {
        let (mut clocks, start) = (Clocks::default(), Timestamp::ZERO);
        clocks.start(Node::Master, start);
        let (since, now) = (start + Duration::from_secs(3), start + Duration::from_secs(8));
        let stood = clocks.local(Node::Master, since);
        clocks.freeze(Node::Master, since, true);
        assert_eq!(clocks.local(Node::Master, now), stood);
        clocks.freeze(Node::Master, now, false);
        assert_eq!(clocks.local(Node::Master, now), stood);
        clocks.leap(Node::Master, now, Duration::from_secs(60));
        assert_eq!(clocks.local(Node::Master, now), stood + Duration::from_secs(60));
    }
}
