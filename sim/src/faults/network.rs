//! What goes wrong between the master and a client.
//!
//! Each trouble has a beginning and an end, all of them before the calm; what was under way arrives later. Source:
//! `docs/invariants.md`, INV-21 and INV-33: partitions both ways or one way, of one client or of the master, delay,
//! connections that break and tell both ends, one or none, flapping, too little bandwidth, and links that clog one
//! after the other and recover in another order.

use std::time::Duration;

use lonja_model::Timestamp;

use crate::faults::Shape;
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
    Lasts { client: Node, trouble: Trouble, lasts: Duration },
    Breaks { client: Node, told: Told },
}

/// What befalls the network of one run, in order, all of it over before the end.
pub(super) fn draw(
    random: &mut Random,
    between: (Timestamp, Timestamp),
    shape: &Shape,
) -> Vec<(Timestamp, NetworkFault)> {
    if random.chance(25) {
        return Vec::new();
    }
    let agents = (0..shape.agents).map(Node::Agent);
    let clients: Vec<Node> = agents.chain((0..shape.frameworks).map(Node::Framework)).collect();
    let mut story = Story { faults: Vec::new(), until: between.1 };
    for at in super::moments(random, between) {
        story.tell(random, at, &clients);
    }
    story.faults.sort_by_key(|(at, _)| *at);
    story.faults
}

struct Story {
    faults: Vec<(Timestamp, NetworkFault)>,
    until: Timestamp,
}

impl Story {
    fn tell(&mut self, random: &mut Random, at: Timestamp, clients: &[Node]) {
        let client = clients[random.index(clients.len())];
        let lasts = length(random);
        match random.below(20) {
            0..5 => self.lasts(at, client, Trouble::Cut(ways(random)), lasts),
            5 => {
                // The master's own cable.
                let trouble = Trouble::Cut(ways(random));
                for client in clients {
                    self.lasts(at, *client, trouble, lasts);
                }
            }
            6..9 => {
                let most = random.millis(10, 5_000);
                self.lasts(at, client, Trouble::Slow(ways(random), most), lasts);
            }
            9 | 10 => {
                let each = random.millis(10, 1_000);
                self.lasts(at, client, Trouble::Narrow(ways(random), each), lasts);
            }
            11 => self.lasts(at, client, Trouble::Refusing, lasts),
            12..17 => {
                let told = [Told::Both, Told::Client, Told::Master, Told::Nobody][random.index(4)];
                self.faults.push((at, NetworkFault::Breaks { client, told }));
            }
            17 => self.flap(random, at, client),
            _ => self.swizzle(random, at, clients),
        }
    }

    fn lasts(&mut self, at: Timestamp, client: Node, trouble: Trouble, lasts: Duration) {
        if at < self.until {
            let lasts = lasts.min(self.until.since(at));
            self.faults.push((at, NetworkFault::Lasts { client, trouble, lasts }));
        }
    }

    /// A second without, a second with, for up to ten minutes.
    fn flap(&mut self, random: &mut Random, at: Timestamp, client: Node) {
        let ways = ways(random);
        let end = (at + random.millis(10_000, 600_000)).min(self.until);
        let mut at = at;
        while at < end {
            self.lasts(at, client, Trouble::Cut(ways), random.millis(500, 1_500));
            at = at + random.millis(1_600, 3_000);
        }
    }

    /// Some links clog one after the other, and recover in another order.
    fn swizzle(&mut self, random: &mut Random, at: Timestamp, clients: &[Node]) {
        let mut at = at;
        let chosen: Vec<Node> = clients.iter().copied().filter(|_| random.chance(60)).collect();
        let span = length(random);
        for client in chosen {
            let lasts = random.between(Duration::from_secs(1), span.max(Duration::from_secs(2)));
            self.lasts(at, client, Trouble::Cut(ways(random)), lasts);
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
        let shape = Shape { agents: 3, frameworks: 2, jobs: 1 };
        for seed in 0..200 {
            for (at, fault) in draw(&mut Random::new(seed), (from, until), &shape) {
                assert!(at >= from && at <= until);
                if let NetworkFault::Lasts { lasts, .. } = fault {
                    assert!(at + lasts <= until);
                }
            }
        }
    }
}
