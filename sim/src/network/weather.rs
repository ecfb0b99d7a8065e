//! What the links between the master and its clients are going through.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::Timestamp;

use super::End;
use crate::faults::{Trouble, Ways};
use crate::random::Random;
use crate::world::Node;

/// Trouble that goes on.
#[derive(Clone, Copy, Debug)]
struct Ongoing {
    client: Node,
    trouble: Trouble,
    since: Timestamp,
}

/// The state of all links.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    ongoing: BTreeMap<u64, Ongoing>,
    begun: u64,
    /// When a narrow link has carried what was given to it.
    busy_until: BTreeMap<(Node, bool), Timestamp>,
}

impl Weather {
    /// Trouble begins; returns its number.
    pub(crate) fn begins(&mut self, now: Timestamp, client: Node, trouble: Trouble) -> u64 {
        self.begun += 1;
        self.ongoing.insert(self.begun, Ongoing { client, trouble, since: now });
        self.begun
    }

    /// Trouble ends: whose, and since when it lasted.
    pub(crate) fn ends(&mut self, number: u64) -> Option<(Node, Timestamp)> {
        self.ongoing.remove(&number).map(|ongoing| (ongoing.client, ongoing.since))
    }

    /// Is anything wrong with the link of `client`?
    pub(crate) fn is_troubled(&self, client: Node) -> bool {
        self.ongoing.values().any(|ongoing| ongoing.client == client)
    }

    /// Does nothing get to the `to` end of the link of `client`?
    pub(crate) fn is_cut(&self, client: Node, to: End) -> bool {
        self.of(client).any(|trouble| matches!(trouble, Trouble::Cut(ways) if goes(ways, to)))
    }

    /// Is the link of `client` closed to new connections?
    pub(crate) fn refuses(&self, client: Node) -> bool {
        self.of(client).any(|trouble| trouble == Trouble::Refusing)
    }

    /// When something given to the link now has passed it, but for the delay that every message has.
    pub(crate) fn passes_at(
        &mut self,
        random: &mut Random,
        now: Timestamp,
        client: Node,
        to: End,
    ) -> Timestamp {
        if self.ongoing.is_empty() {
            return now;
        }
        let mut at = now;
        let troubles: Vec<Trouble> = self.of(client).collect();
        for trouble in troubles {
            match trouble {
                Trouble::Slow(ways, most) if goes(ways, to) => {
                    at = at.max(now + random.between(Duration::ZERO, most));
                }
                Trouble::Narrow(ways, each) if goes(ways, to) => {
                    let busy = self.busy_until.entry((client, to == End::Master)).or_default();
                    *busy = (*busy).max(now) + each;
                    at = at.max(*busy);
                }
                Trouble::Slow(..) | Trouble::Narrow(..) | Trouble::Cut(_) | Trouble::Refusing => {}
            }
        }
        at
    }

    fn of(&self, client: Node) -> impl Iterator<Item = Trouble> {
        let mine = self.ongoing.values().filter(move |ongoing| ongoing.client == client);
        mine.map(|ongoing| ongoing.trouble)
    }
}

fn goes(ways: Ways, to: End) -> bool {
    match ways {
        Ways::Both => true,
        Ways::ToClient => to == End::Client,
        Ways::ToMaster => to == End::Master,
    }
}
