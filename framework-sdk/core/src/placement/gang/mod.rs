//! Gangs: tasks that start together or not at all.
//!
//! [`Gangs`] holds offers until all members of a gang fit, and then launches them all in one plan. It is a state machine
//! that a scheduler calls: it takes `now`, and says when it wants to be called again.
//!
//! Who holds and waits can wait for ever: two schedulers that each hold half of a cluster, say. So what is held is given
//! back after a time, all of it, and the scheduler rests before it begins anew. The time is drawn from a seed and is the longer
//! the older the gang is, so that of two that are in each other's way the younger yields and the older gets what was
//! given back. Within one scheduler the older gang takes what is of use to it, and younger ones are tried on the rest and
//! gather of it, a few at a time and each in its turn: a gang that nothing helps is in nobody's way.
//!
//! Invariants
//! - All members of a gang are in one plan, or none is.
//! - Held are at most [`Options::most_offers`] offers, only such on which a member would go, none for longer than
//!   [`Options::longest`], and none while it rests.
//! - A gang that fits on an idle cluster starts in the end, whoever else gathers by these rules: see the tests.

mod gathering;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::time::earliest;
use lonja_model::unplaced::Unplaced;
use lonja_model::{AgentId, Offer, OfferId, TaskId, Timestamp};

use crate::draws::Draws;
use crate::placement::{Placement, Wanted};
use crate::{Plan, Problem};

/// The most gangs that wait in one scheduler.
pub const MAX_GANGS: usize = 10_000;

/// The most members of one gang.
pub const MAX_MEMBERS: usize = 10_000;

/// How a scheduler gathers offers for its gangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// How long a new gang gathers before all is given back, about; an old one gathers up to [`Options::longest`].
    pub shortest: Duration,
    /// How long any gang gathers at most; at most [`MAX_HOLD`](crate::MAX_HOLD).
    pub longest: Duration,
    /// How many offers are held at most.
    pub most_offers: usize,
    /// Randomness: different for each scheduler of a cluster, so that they do not give back in step.
    pub seed: u64,
}

impl Options {
    /// 10 to 80 seconds, and 1,000 offers.
    pub const fn seeded(seed: u64) -> Self {
        let (shortest, longest) = (Duration::from_secs(10), Duration::from_secs(80));
        Self { shortest, longest, most_offers: 1_000, seed }
    }

    /// How long is gathered.
    #[must_use]
    pub const fn gather_for(mut self, shortest: Duration, longest: Duration) -> Self {
        self.shortest = shortest;
        self.longest = longest;
        self
    }

    /// How many offers are held at most.
    #[must_use]
    pub const fn most_offers(mut self, offers: usize) -> Self {
        self.most_offers = offers;
        self
    }
}

/// Why a gang is not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidGang {
    /// A gang of this name waits.
    #[error("gang {0} waits already; give this one another name")]
    NameInUse(String),
    /// It has no members, or more than [`MAX_MEMBERS`].
    #[error("gang {name} has {members} members; it may have 1 to {MAX_MEMBERS}")]
    Members {
        /// Which.
        name: String,
        /// How many there are.
        members: usize,
    },
    /// Two members have one id.
    #[error("gang {name} has two members {task}; each needs an id of its own")]
    SameId {
        /// Which.
        name: String,
        /// Of both.
        task: TaskId,
    },
    /// As many gangs wait as may.
    #[error("{MAX_GANGS} gangs wait already; submit this one when some have started")]
    TooMany,
}

/// Gangs that wait for their start. See the module.
///
/// ```
/// use lonja_model::scheduler::MasterInfo;
/// use lonja_model::{AgentId, FrameworkId, Offer, OfferId, TaskId, TaskStatus, Timestamp};
/// use lonja_sdk_core::placement::gang::{Gangs, Options};
/// use lonja_sdk_core::placement::policies::BestFit;
/// use lonja_sdk_core::placement::{Placement, Wanted};
/// use lonja_sdk_core::{Plan, Problem, Scheduler, Task};
///
/// /// Four workers that talk to each other.
/// struct Training {
///     gangs: Gangs,
///     placement: Placement,
/// }
///
/// impl Training {
///     fn new(now: Timestamp) -> Result<Self, Box<dyn std::error::Error>> {
///         let mut gangs = Gangs::new(Options::seeded(7));
///         let task = Task::shell("train")?.cpus(4.0)?;
///         let member = |index| Ok(Wanted::new(TaskId::new(format!("worker-{index}"))?, task.clone()));
///         let members = (0..4).map(member).collect::<Result<Vec<_>, lonja_model::InvalidId>>()?;
///         gangs.submit(now, "training", members)?;
///         Ok(Self { gangs, placement: Placement::new(Box::new(BestFit::default())) })
///     }
/// }
///
/// impl Scheduler for Training {
///     fn offers(&mut self, now: Timestamp, offers: &[Offer]) -> Plan {
///         self.gangs.offers(now, &mut self.placement, offers).plan
///     }
///     fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
///         self.placement.update(status);
///         Plan::new()
///     }
///     fn wants_offers(&self) -> bool {
///         self.gangs.wants_offers()
///     }
///     fn next_deadline(&self) -> Option<Timestamp> {
///         self.gangs.next_deadline()
///     }
///     fn tick(&mut self, now: Timestamp) -> Plan {
///         self.gangs.tick(now, &mut self.placement).plan
///     }
///     // What was launched of a gang that is broken is killed; submit it anew, with new ids.
///     fn refused(&mut self, _now: Timestamp, problem: &Problem) -> Plan {
///         let (plan, _broken) = self.gangs.refused(&mut self.placement, problem);
///         plan
///     }
///     fn rescinded(&mut self, _now: Timestamp, offer: &OfferId) {
///         self.gangs.rescinded(offer);
///     }
///     fn agent_lost(&mut self, _now: Timestamp, agent: &AgentId) -> Plan {
///         self.gangs.agent_lost(agent);
///         self.placement.agent_lost(agent);
///         Plan::new()
///     }
///     fn subscribed(&mut self, _now: Timestamp, _framework: &FrameworkId, _master: &MasterInfo) -> Plan {
///         self.placement.subscribed();
///         Plan::new()
///     }
///     fn disconnected(&mut self, _now: Timestamp) {
///         self.gangs.disconnected();
///     }
/// }
/// # Training::new(Timestamp::ZERO)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Gangs {
    options: Options,
    draws: Draws,
    /// In the order in which they came.
    waiting: BTreeMap<u64, Gang>,
    names: BTreeSet<String>,
    last: u64,
    in_hand: BTreeMap<OfferId, Offer>,
    /// Those for which something is in hand.
    gather: BTreeSet<u64>,
    /// The one that was tried last.
    tried_last: u64,
    /// What was in hand after the last step.
    held: BTreeSet<OfferId>,
    /// When all in hand is given back.
    gathers_until: Option<Timestamp>,
    rests_until: Option<Timestamp>,
    /// The launches of the last plan.
    launched: Vec<(String, Vec<TaskId>)>,
}

/// One gang.
#[derive(Clone, Debug)]
struct Gang {
    name: String,
    members: Vec<Wanted>,
    since: Timestamp,
}

/// What is to be done now.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Gathered {
    /// Launches, and what is held and given back.
    pub plan: Plan,
    /// The gangs that the plan starts, with their members.
    pub started: Vec<(String, Vec<TaskId>)>,
    /// Why members of the oldest gang that was tried and did not start have no place.
    pub unplaced: Vec<Unplaced>,
}

/// A gang of which only a part could be launched, because offers of its plan were gone. The plan that comes with it
/// kills that part; submit the gang anew, with new ids, or with the same when all have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broken {
    /// Which.
    pub gang: String,
    /// Those that were launched.
    pub launched: Vec<TaskId>,
    /// Those that were not.
    pub left: Vec<TaskId>,
}

impl Gangs {
    /// None waits.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            draws: Draws::new(options.seed),
            waiting: BTreeMap::new(),
            names: BTreeSet::new(),
            last: 0,
            in_hand: BTreeMap::new(),
            gather: BTreeSet::new(),
            held: BTreeSet::new(),
            tried_last: 0,
            gathers_until: None,
            rests_until: None,
            launched: Vec::new(),
        }
    }

    /// A gang waits from now on, behind all others. It is tried with the next offers. Errors: [`InvalidGang`].
    pub fn submit(
        &mut self,
        now: Timestamp,
        name: impl Into<String>,
        members: Vec<Wanted>,
    ) -> Result<(), InvalidGang> {
        let name = name.into();
        if self.names.contains(&name) {
            return Err(InvalidGang::NameInUse(name));
        }
        if members.is_empty() || members.len() > MAX_MEMBERS {
            return Err(InvalidGang::Members { name, members: members.len() });
        }
        let mut ids = BTreeSet::new();
        if let Some(twice) = members.iter().find(|member| !ids.insert(member.id())) {
            let task = twice.id().clone();
            return Err(InvalidGang::SameId { name, task });
        }
        if self.waiting.len() >= MAX_GANGS {
            return Err(InvalidGang::TooMany);
        }
        self.last += 1;
        self.names.insert(name.clone());
        self.waiting.insert(self.last, Gang { name, members, since: now });
        Ok(())
    }

    /// Takes a gang that waits away; its members.
    pub fn withdraw(&mut self, name: &str) -> Option<Vec<Wanted>> {
        let (key, _) = self.waiting.iter().find(|(_, gang)| gang.name == name)?;
        let key = *key;
        self.take(key).map(|gang| gang.members)
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many offers are held.
    pub fn in_hand(&self) -> usize {
        self.in_hand.len()
    }

    /// Are offers of use? Not while it rests, nor when none waits.
    pub fn wants_offers(&self) -> bool {
        !self.waiting.is_empty() && self.rests_until.is_none()
    }

    /// When [`Gangs::tick`] is to be called, should nothing happen before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        earliest(self.gathers_until, self.rests_until)
    }

    /// Offers come in. Starts what can start, and holds what helps those that wait, the oldest first; what is of no use is
    /// declined.
    pub fn offers(&mut self, now: Timestamp, placement: &mut Placement, offers: &[Offer]) -> Gathered {
        let offers = offers.iter().map(|offer| (offer.id.clone(), offer.clone()));
        self.in_hand.extend(offers);
        self.advance(now, placement)
    }

    /// Its deadline has come: gives back, or begins anew.
    pub fn tick(&mut self, now: Timestamp, placement: &mut Placement) -> Gathered {
        self.advance(now, placement)
    }

    /// An offer was taken back by the master.
    pub fn rescinded(&mut self, offer: &OfferId) {
        self.in_hand.remove(offer);
    }

    /// An agent is lost, with its offers.
    pub fn agent_lost(&mut self, agent: &AgentId) {
        self.in_hand.retain(|_, offer| offer.agent != *agent);
    }

    /// The connection is lost, and with it all offers.
    pub fn disconnected(&mut self) {
        self.in_hand.clear();
        self.gather.clear();
        self.gathers_until = None;
    }

    /// Something of the last plan was not done ([`Scheduler::refused`](crate::Scheduler::refused)). If that breaks a gang,
    /// what of it was launched is killed. A gang of which nothing was launched is broken as well.
    pub fn refused(&mut self, placement: &mut Placement, problem: &Problem) -> (Plan, Option<Broken>) {
        let left = placement.refused(problem);
        let is_of = |(_, tasks): &(String, Vec<TaskId>)| left.iter().any(|task| tasks.contains(task));
        let Some(index) = self.launched.iter().position(is_of) else { return (Plan::new(), None) };
        // A second launch of the same gang may be refused, too: what it would have launched is not there to be killed.
        let (gang, tasks) = &mut self.launched[index];
        tasks.retain(|task| !left.contains(task));
        let mut plan = Plan::new();
        for task in tasks.iter() {
            plan = plan.kill(task.clone(), None);
        }
        let broken = Broken { gang: gang.clone(), launched: tasks.clone(), left };
        (plan, Some(broken))
    }

    fn take(&mut self, key: u64) -> Option<Gang> {
        let gang = self.waiting.remove(&key)?;
        self.names.remove(&gang.name);
        self.gather.remove(&key);
        Some(gang)
    }
}

#[cfg(test)]
mod tests;
