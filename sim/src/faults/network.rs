//! What goes wrong between the master and a client.
//!
//! Each trouble has a beginning and an end, all of them before the calm; what was under way arrives later. Source:
//! `docs/invariants.md`, INV-21 and INV-33: partitions both ways or one way, of one client or of the master, delay,
//! connections that break and tell both ends, one or none, flapping, too little bandwidth, and links that clog one
//! after the other and recover in another order.

use std::time::Duration;

use lonja_model::Timestamp;

use crate::random::Random;
use crate::world::Node;

/// Which ways of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ways {
    Both,
    ToClient,
    ToMaster,
}

/// A state that a link is in for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing passes; what is said waits to be sent again.
    Cut(Ways),
    /// Each message takes up to so much longer.
    Slow(Ways, Duration),
    /// Each message takes the link for so long.
    Narrow(Ways, Duration),
    /// Nobody can connect; what is connected stays.
    Refusing,
}

/// Who hears at once that a connection broke; another finds out by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Both,
    Client,
    Master,
    Nobody,
}

/// One thing that happens to the link of `client`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkFault {
    Begins { number: u64, client: Node, trouble: Trouble },
    Ends { number: u64 },
    Breaks { client: Node, told: Told },
}

/// The network of one run.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    pub(crate) faults: Vec<(Timestamp, NetworkFault)>,
    /// How many messages in a thousand come twice.
    pub(crate) repeats: u64,
    troubles: u64,
}

/// What befalls the network of one run.
pub(crate) fn schedule(
    random: &mut Random,
    (from, until): (Timestamp, Timestamp),
    agents: usize,
    frameworks: usize,
) -> Schedule {
    let gap = [0, 15, 60, 200][random.index(4)];
    let mut schedule = Schedule { repeats: [0, 0, 5, 30][random.index(4)], ..Schedule::default() };
    let clients: Vec<Node> =
        (0..agents).map(Node::Agent).chain((0..frameworks).map(Node::Framework)).collect();
    let mut at = if gap > 0 { from } else { until };
    loop {
        at = at + random.millis(gap * 100, gap * 2_000);
        if at >= until {
            break;
        }
        schedule.draw(random, (at, until), &clients);
    }
    // Stable: what begins and ends at one instant keeps its order.
    schedule.faults.sort_by_key(|(at, _)| *at);
    schedule
}

impl Schedule {
    fn draw(&mut self, random: &mut Random, (at, until): (Timestamp, Timestamp), clients: &[Node]) {
        let client = clients[random.index(clients.len())];
        let lasts = length(random);
        match random.below(20) {
            0..5 => self.lasts((at, until), client, Trouble::Cut(ways(random)), lasts),
            5..7 => {
                // The master's own cable.
                let trouble = Trouble::Cut(ways(random));
                for client in clients {
                    self.lasts((at, until), *client, trouble, lasts);
                }
            }
            7..10 => {
                let most = random.millis(10, 5_000);
                self.lasts((at, until), client, Trouble::Slow(ways(random), most), lasts);
            }
            10 => {
                let each = random.millis(10, 1_000);
                self.lasts((at, until), client, Trouble::Narrow(ways(random), each), lasts);
            }
            11 => self.lasts((at, until), client, Trouble::Refusing, lasts),
            12..17 => {
                let told = [Told::Both, Told::Client, Told::Master, Told::Nobody][random.index(4)];
                self.faults.push((at, NetworkFault::Breaks { client, told }));
            }
            17 | 18 => self.flap(random, (at, until), client),
            _ => self.swizzle(random, (at, until), clients),
        }
    }

    fn lasts(
        &mut self,
        (at, until): (Timestamp, Timestamp),
        client: Node,
        trouble: Trouble,
        lasts: Duration,
    ) {
        self.troubles += 1;
        let number = self.troubles;
        self.faults.push((at, NetworkFault::Begins { number, client, trouble }));
        self.faults.push(((at + lasts).min(until), NetworkFault::Ends { number }));
    }

    /// A second without, a second with, for up to ten minutes.
    fn flap(&mut self, random: &mut Random, (at, until): (Timestamp, Timestamp), client: Node) {
        let ways = ways(random);
        let end = (at + random.millis(10_000, 600_000)).min(until);
        let mut at = at;
        while at < end {
            self.lasts((at, until), client, Trouble::Cut(ways), random.millis(500, 1_500));
            at = at + random.millis(1_600, 3_000);
        }
    }

    /// Some links clog one after the other, and recover in another order.
    fn swizzle(&mut self, random: &mut Random, (at, until): (Timestamp, Timestamp), clients: &[Node]) {
        let mut at = at;
        let chosen: Vec<Node> = clients.iter().copied().filter(|_| random.chance(60)).collect();
        let span = length(random);
        for client in chosen {
            let lasts = random.between(Duration::from_secs(1), span.max(Duration::from_secs(2)));
            self.lasts((at.min(until), until), client, Trouble::Cut(ways(random)), lasts);
            at = at + random.millis(0, 10_000);
        }
    }
}

fn ways(random: &mut Random) -> Ways {
    match random.below(4) {
        0 => Ways::ToClient,
        1 => Ways::ToMaster,
        _ => Ways::Both,
    }
}

/// Around each of the limits: of reading on, of a try to connect, of the keep-alive, of silence.
fn length(random: &mut Random) -> Duration {
    match random.below(10) {
        0..3 => random.millis(50, 5_000),
        3..6 => random.millis(5_000, 45_000),
        6..9 => random.millis(45_000, 120_000),
        _ => random.millis(120_000, 400_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_ends_before_the_calm() {
        let (from, until) = (Timestamp::from_nanos(10), Timestamp::ZERO + Duration::from_secs(900));
        for seed in 0..200 {
            let schedule = schedule(&mut Random::new(seed), (from, until), 3, 2);
            let mut open = std::collections::BTreeSet::new();
            for (at, fault) in schedule.faults {
                assert!(at >= from && at <= until);
                match fault {
                    NetworkFault::Begins { number, .. } => assert!(open.insert(number)),
                    NetworkFault::Ends { number } => assert!(open.remove(&number)),
                    NetworkFault::Breaks { .. } => {}
                }
            }
            assert!(open.is_empty());
        }
    }
}
