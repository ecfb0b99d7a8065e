//! Why somebody gets what it gets, and no more: the gates of an allocation, asked one by one and counted.
//!
//! For one framework in one role every agent is taken through the gates in the order in which a round has them; the
//! first that stops it is its obstacle. What passes all of them could be had now: it is then only a matter of whose
//! turn it is. The same data serves people and programs (`docs/design.md`, D9).
//!
//! Invariants
//! - Every agent counts once: under one obstacle, or among those that could be had.
//! - Asking changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use lonja_model::quota::Quota;
use lonja_model::resources::{Quantities, Scalar};
use lonja_model::{AgentId, FrameworkId, Resources, Role, Timestamp};

use crate::Allocator;
use crate::agents::Agent;
use crate::amounts::{Kind, Parts, part};
use crate::eligibility::Ineligible;
use crate::quotas::is_limited;
use crate::role_tree::{DEFAULT_WEIGHT, ROOT};
use crate::round::{parts_of, reaches, reaches_one};
use crate::shares::Share;

/// How one role stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleExplanation {
    /// Which.
    pub role: Role,
    /// 1 unless set.
    pub weight: Scalar,
    /// Its own quota; those of roles above it count too.
    pub quota: Option<Quota>,
    /// What counts against its quota.
    pub consumed: Quantities,
    /// What is left of its guarantee to be served before others.
    pub unmet: Quantities,
    /// What it and the roles below it hold, offered and in use.
    pub allocated: Quantities,
    /// The largest fraction of any one resource of the cluster, not divided by the weight, in millionths.
    pub dominant_share_millionths: u64,
    /// The frameworks that are subscribed with it, by id.
    pub frameworks: Vec<ClientExplanation>,
}

/// How one framework stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameworkExplanation {
    /// Which.
    pub framework: FrameworkId,
    /// In each of its roles.
    pub roles: Vec<ClientExplanation>,
}

/// How one framework stands in one of its roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientExplanation {
    /// Which framework.
    pub framework: FrameworkId,
    /// In which role.
    pub role: Role,
    /// What it holds, offered and in use.
    pub holds: Quantities,
    /// Agents of which it could be offered something now, were it its turn.
    pub agents: u32,
    /// What it could be offered of these, all together.
    pub could_get: Quantities,
    /// How many others in line would be served before it.
    pub ahead: u32,
    /// What stands in the way, that of most agents first.
    pub obstacles: Vec<Obstacle>,
}

/// What stands in the way of offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The framework is away.
    Inactive,
    /// It has asked for no offers in this role.
    Suppressed,
    /// Agents that are deactivated, draining or not yet confirmed.
    AgentsNotOffered {
        /// How many.
        agents: u32,
    },
    /// Agents of which nothing is free.
    NothingFree {
        /// How many.
        agents: u32,
    },
    /// Agents whose free resources are reserved for others, or of a kind that the framework does not understand.
    NotForIt {
        /// How many.
        agents: u32,
    },
    /// Agents that are kept from it for what they are.
    Hidden {
        /// Why.
        reason: Ineligible,
        /// How many.
        agents: u32,
    },
    /// A quota leaves no room.
    Limit {
        /// Whose: the role's own, or that of one above it.
        role: Role,
        /// The resource that ran out first.
        name: String,
        /// How much it may consume.
        limit: Scalar,
        /// How much it does.
        consumed: Scalar,
        /// Agents of which it therefore gets nothing.
        agents: u32,
    },
    /// What is free is kept for the guarantees of others.
    Headroom {
        /// What guarantees are still owed.
        owed: Quantities,
        /// Agents of which it therefore gets nothing.
        agents: u32,
    },
    /// What is free is less than an offer must hold.
    TooSmall {
        /// How many.
        agents: u32,
        /// What an offer must hold, as alternatives.
        least: Vec<Quantities>,
        /// Whether the framework asked for that, or it is the cluster's minimum.
        asked: bool,
        /// The agent that came nearest.
        nearest: Miss,
    },
    /// Agents that it has refused.
    Refused {
        /// How many.
        agents: u32,
        /// Until the first filter ends.
        soonest: Duration,
        /// Until the last one ends.
        latest: Duration,
    },
}

/// The agent that came nearest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// Which.
    pub agent: AgentId,
    /// What of it could be offered.
    pub has: Quantities,
    /// What is missing to the alternative that came nearest.
    pub lacks: Quantities,
}

impl Obstacle {
    /// How many agents it is about; all for those that are about none in particular.
    pub fn agents(&self) -> u32 {
        match self {
            Self::Inactive | Self::Suppressed => u32::MAX,
            Self::AgentsNotOffered { agents }
            | Self::NothingFree { agents }
            | Self::NotForIt { agents }
            | Self::Hidden { agents, .. }
            | Self::Limit { agents, .. }
            | Self::Headroom { agents, .. }
            | Self::TooSmall { agents, .. }
            | Self::Refused { agents, .. } => *agents,
        }
    }

    /// A name for programs, stable.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Inactive => "framework_inactive",
            Self::Suppressed => "suppressed",
            Self::AgentsNotOffered { .. } => "agents_not_offered",
            Self::NothingFree { .. } => "nothing_free",
            Self::NotForIt { .. } => "reserved_for_others",
            Self::Hidden { .. } => "hidden",
            Self::Limit { .. } => "quota_limit",
            Self::Headroom { .. } => "quota_headroom",
            Self::TooSmall { .. } => "too_small",
            Self::Refused { .. } => "refused",
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inactive => f.write_str("the framework is not connected"),
            Self::Suppressed => f.write_str("the framework has suppressed offers for this role"),
            Self::AgentsNotOffered { agents } => {
                write!(f, "{}: deactivated, draining or not ready", Count(*agents))
            }
            Self::NothingFree { agents } => write!(f, "{}: nothing is free", Count(*agents)),
            Self::NotForIt { agents } => {
                write!(f, "{}: what is free is reserved for others or of another kind", Count(*agents))
            }
            Self::Hidden { reason, agents } => write!(f, "{}: {reason}", Count(*agents)),
            Self::Limit { role, name, limit, consumed, agents } => write!(
                f,
                "{}: role {role} consumes {name}:{consumed} of its limit {name}:{limit}",
                Count(*agents)
            ),
            Self::Headroom { owed, agents } => {
                write!(
                    f,
                    "{}: what is free is kept for guarantees, which are short of {owed}",
                    Count(*agents)
                )
            }
            Self::TooSmall { agents, least, asked, nearest } => {
                let least: Vec<String> = least.iter().map(Quantities::to_string).collect();
                let whose = if *asked { "the framework needs" } else { "an offer must hold" };
                let Miss { agent, has, lacks } = nearest;
                let least = least.join(" or ");
                write!(
                    f,
                    "{}: {whose} {least}; agent {agent} comes nearest with {has}, short of {lacks}",
                    Count(*agents)
                )
            }
            Self::Refused { agents, soonest, latest } => {
                let (soonest, latest) = (soonest.as_secs_f64(), latest.as_secs_f64());
                write!(
                    f,
                    "{}: refused by the framework, for {soonest:.1} s to {latest:.1} s more",
                    Count(*agents)
                )
            }
        }
    }
}

struct Count(u32);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} agent{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

/// Reasons for which agents are hidden that are told apart, at most.
const MOST_REASONS: usize = 16;

/// What a gate says of one agent.
enum Gate {
    Pass(Quantities),
    NotOffered,
    NothingFree,
    NotForIt,
    Hidden(Ineligible),
    Limit { role: Role, name: String, limit: Scalar, consumed: Scalar },
    Headroom,
    TooSmall { has: Quantities, lacks: Quantities },
    Refused { until: Timestamp },
}

/// What is gathered over all agents.
#[derive(Default)]
struct Tally {
    agents: u32,
    could_get: Quantities,
    not_offered: u32,
    nothing_free: u32,
    not_for_it: u32,
    hidden: Vec<(Ineligible, u32)>,
    limits: BTreeMap<(Role, String), (Scalar, Scalar, u32)>,
    headroom: u32,
    too_small: u32,
    nearest: Option<Miss>,
    refused: Option<(u32, Timestamp, Timestamp)>,
}

impl Tally {
    fn count(&mut self, agent: &AgentId, gate: Gate) {
        match gate {
            Gate::Pass(quantities) => {
                self.agents += 1;
                self.could_get.add(&quantities);
            }
            Gate::NotOffered => self.not_offered += 1,
            Gate::NothingFree => self.nothing_free += 1,
            Gate::NotForIt => self.not_for_it += 1,
            Gate::Hidden(reason) => {
                let told = self.hidden.iter().position(|(known, _)| *known == reason);
                match told {
                    Some(at) => self.hidden[at].1 += 1,
                    None if self.hidden.len() < MOST_REASONS => self.hidden.push((reason, 1)),
                    // Beyond so many reasons the first speaks for the others.
                    None => self.hidden[0].1 += 1,
                }
            }
            Gate::Limit { role, name, limit, consumed } => {
                self.limits.entry((role, name)).or_insert((limit, consumed, 0)).2 += 1;
            }
            Gate::Headroom => self.headroom += 1,
            Gate::TooSmall { has, lacks } => {
                self.too_small += 1;
                if self.nearest.as_ref().is_none_or(|nearest| is_nearer(&lacks, &nearest.lacks)) {
                    self.nearest = Some(Miss { agent: agent.clone(), has, lacks });
                }
            }
            Gate::Refused { until } => {
                let (agents, soonest, latest) = self.refused.unwrap_or((0, until, until));
                self.refused = Some((agents + 1, soonest.min(until), latest.max(until)));
            }
        }
    }

    fn obstacles(
        self,
        now: Timestamp,
        least: Vec<Quantities>,
        asked: bool,
        owed: Quantities,
    ) -> Vec<Obstacle> {
        let some = |agents: u32| (agents > 0).then_some(agents);
        let mut all = Vec::new();
        all.extend(some(self.not_offered).map(|agents| Obstacle::AgentsNotOffered { agents }));
        all.extend(some(self.nothing_free).map(|agents| Obstacle::NothingFree { agents }));
        all.extend(some(self.not_for_it).map(|agents| Obstacle::NotForIt { agents }));
        all.extend(self.hidden.into_iter().map(|(reason, agents)| Obstacle::Hidden { reason, agents }));
        let limits = self.limits.into_iter();
        all.extend(limits.map(|((role, name), (limit, consumed, agents))| Obstacle::Limit {
            role,
            name,
            limit,
            consumed,
            agents,
        }));
        all.extend(some(self.headroom).map(|agents| Obstacle::Headroom { owed, agents }));
        let agents = self.too_small;
        all.extend(self.nearest.map(|nearest| Obstacle::TooSmall { agents, least, asked, nearest }));
        all.extend(self.refused.map(|(agents, soonest, latest)| Obstacle::Refused {
            agents,
            soonest: soonest.since(now),
            latest: latest.since(now),
        }));
        all.sort_by_key(|obstacle| std::cmp::Reverse(obstacle.agents()));
        all
    }
}

/// Does one lack less than the other? By the number of names that are short, then by the sum of what is.
fn is_nearer(one: &Quantities, other: &Quantities) -> bool {
    let measure = |lacks: &Quantities| {
        let sum = lacks.iter().map(|(_, amount)| u128::from(amount.thousandths())).sum::<u128>();
        (lacks.iter().count(), sum)
    };
    measure(one) < measure(other)
}

impl Allocator {
    /// How a role stands, and each framework that is subscribed with it or holds something in it; `None`: nobody has
    /// heard of it. O(agents × frameworks of the role).
    pub fn explain_role(&self, now: Timestamp, role: &Role) -> Option<RoleExplanation> {
        let entry = self.tree.find_role(role)?;
        let place = self.tree.place(entry);
        let share = Share::dominant(&place.allocated, DEFAULT_WEIGHT, &self.agents.totals().counted);
        let clients = self.clients.iter().filter(|((_, other), _)| other == role);
        Some(RoleExplanation {
            role: role.clone(),
            weight: place.weight,
            quota: self.quotas.get(role).cloned(),
            consumed: self.quota_consumed(role),
            unmet: self.quota_owed(role),
            allocated: self.kinds.quantities(&place.allocated),
            dominant_share_millionths: share.millionths(),
            frameworks: clients.map(|(_, client)| self.explain_client(now, client)).collect(),
        })
    }

    /// How a framework stands in each of its roles; `None`: it is not known. O(agents × its roles).
    pub fn explain_framework(&self, now: Timestamp, framework: &FrameworkId) -> Option<FrameworkExplanation> {
        let roles: Vec<ClientExplanation> =
            self.clients.of(framework).map(|(_, client)| self.explain_client(now, client)).collect();
        let known = self.frameworks.get(framework).is_some() || !roles.is_empty();
        known.then(|| FrameworkExplanation { framework: framework.clone(), roles })
    }

    fn explain_client(&self, now: Timestamp, client: u32) -> ClientExplanation {
        let (framework, role) = self.clients.name(client).clone();
        let asks = self.clients.get(client);
        let mut tally = Tally::default();
        for (id, agent, known) in self.agents.iter() {
            let gate = self.gate(id, agent, known, client);
            tally.count(id, gate);
        }
        let known = self.frameworks.get(&framework);
        let mut obstacles = Vec::new();
        if known.is_none_or(|known| !known.active) {
            obstacles.push(Obstacle::Inactive);
        }
        if known.is_some_and(|known| known.facts.suppressed.contains(&role)) {
            obstacles.push(Obstacle::Suppressed);
        }
        let (agents, could_get) = (tally.agents, tally.could_get.clone());
        let asked = !asks.needs.is_empty();
        let least = if asked { &asks.needs } else { &asks.minimum };
        let least = least.iter().map(|parts| self.named(parts)).collect();
        let owed = self.kinds.quantities(self.tree.owed_in_all());
        obstacles.extend(tally.obstacles(now, least, asked, owed));
        ClientExplanation {
            holds: self.kinds.quantities(&self.tree.place(asks.entry).allocated),
            ahead: if self.tree.is_in_line(asks.entry) { self.tree.ahead_of(asks.entry) } else { 0 },
            framework,
            role,
            agents,
            could_get,
            obstacles,
        }
    }

    /// Takes one agent through the gates, in the order of a round.
    fn gate(&self, id: &AgentId, agent: u32, known: &Agent, client: u32) -> Gate {
        let (framework, role) = self.clients.name(client);
        let asks = self.clients.get(client);
        if !known.is_active() {
            return Gate::NotOffered;
        }
        if known.free().is_empty() {
            return Gate::NothingFree;
        }
        if let Some(reason) = self.why_ineligible(framework, role, id) {
            return Gate::Hidden(reason);
        }
        let shown = self.shown(known, client);
        if shown.is_empty() {
            return Gate::NotForIt;
        }
        let allowed =
            if self.quotas.is_empty() { shown.clone() } else { self.within_quota(&shown, asks.entry) };
        let (before, after) = (parts_of(&self.kinds, &shown), parts_of(&self.kinds, &allowed));
        let large_enough =
            |parts: &Parts| reaches_one(parts, &asks.minimum) && reaches_one(parts, &asks.needs);
        if !large_enough(&after) {
            if large_enough(&before) {
                return self.quota_gate(&shown, asks.entry, &before, &after);
            }
            return self.too_small(&before, &asks.minimum, &asks.needs);
        }
        match self.filters.refused_until(agent, client, &allowed) {
            Some(until) => Gate::Refused { until },
            None => Gate::Pass(allowed.quantities()),
        }
    }

    /// Which limit it is that leaves too little; if none does, it is what guarantees of others are owed.
    fn quota_gate(&self, shown: &Resources, client: u32, before: &Parts, after: &Parts) -> Gate {
        let limited = parts_of(&self.kinds, &shown.filter(is_limited));
        for (kind, amount) in before.iter().filter(|(kind, amount)| part(after, *kind) < *amount) {
            let mut entry = self.tree.above(client);
            while entry != ROOT {
                let books = &self.tree.place(entry).books;
                let left = u128::from(*amount - part(&limited, *kind).min(*amount));
                let given = u128::from(part(after, *kind));
                if let (Some(limit), Some(room)) = (books.limit(*kind), books.room(*kind))
                    && room + left <= given
                    && let Some((role, _)) = self.tree.roles().find(|(_, other)| *other == entry)
                {
                    return Gate::Limit {
                        role: role.clone(),
                        name: self.kinds.name(*kind).to_owned(),
                        limit: amount_of(limit),
                        consumed: amount_of(books.consumed.get(*kind)),
                    };
                }
                entry = self.tree.above(entry);
            }
        }
        Gate::Headroom
    }

    fn too_small(&self, has: &Parts, minimum: &[Parts], needs: &[Parts]) -> Gate {
        let lacks = |least: &Parts| -> Parts {
            let lack = |(kind, amount): &(Kind, u64)| (*kind, amount.saturating_sub(part(has, *kind)));
            least.iter().map(lack).filter(|(_, amount)| *amount > 0).collect()
        };
        // What the framework needs says more than what any offer must hold.
        let unmet =
            if needs.iter().any(|need| reaches(has, need)) || needs.is_empty() { minimum } else { needs };
        let lacks = unmet.iter().map(|least| self.named(&lacks(least)));
        let nearest = lacks.reduce(|one, other| if is_nearer(&other, &one) { other } else { one });
        Gate::TooSmall { has: self.named(has), lacks: nearest.unwrap_or_default() }
    }

    fn named(&self, parts: &Parts) -> Quantities {
        let amount = |amount: u64| Scalar::from_thousandths(amount).unwrap_or(Scalar::MAX);
        parts.iter().map(|(kind, parts)| (self.kinds.name(*kind), amount(*parts))).collect()
    }
}

fn amount_of(sum: u128) -> Scalar {
    u64::try_from(sum).ok().and_then(Scalar::from_thousandths).unwrap_or(Scalar::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::*;

    fn told(cluster: &Cluster, name: &str) -> Vec<String> {
        let explained = cluster.allocator.explain_framework(cluster.now, &framework(name)).unwrap();
        explained.roles.iter().flat_map(|client| &client.obstacles).map(Obstacle::to_string).collect()
    }

    #[test]
    fn what_could_be_had_is_told_with_how_many_come_first() {
        let cluster = cluster().agent("a1", "cpus:4;mem:64").framework("f1", "x").framework("f2", "y");
        let client = &cluster.allocator.explain_framework(cluster.now, &framework("f2")).unwrap().roles[0];
        assert_eq!(
            (client.agents, client.could_get.to_string(), client.ahead),
            (1, "cpus:4;mem:64".into(), 1)
        );
        assert!(client.obstacles.is_empty());
        assert_eq!(cluster.allocator.explain_role(cluster.now, &role("z")), None);
    }

    #[test]
    fn an_agent_that_is_too_small_is_told_with_what_it_lacks() {
        let mut cluster = cluster().agent("a1", "cpus:1;mem:64").agent("a2", "cpus:3;mem:64");
        cluster = cluster.framework("f1", "web");
        cluster.allocator.request(&framework("f1"), None, vec![quantities("cpus:4;mem:64")]);
        assert_eq!(
            told(&cluster, "f1"),
            [
                "2 agents: the framework needs cpus:4;mem:64; agent a2 comes nearest with cpus:3;mem:64, short of cpus:1"
            ]
        );
    }

    #[test]
    fn filters_suppression_and_deactivation_are_told() {
        let mut cluster = cluster().agent("a1", "cpus:4").agent("a2", "cpus:4").framework("f1", "web");
        for offer in cluster.allocate() {
            cluster.give_back(&offer, Some(5));
        }
        cluster.allocator.deactivate_agent(&agent("a2"));
        assert_eq!(
            told(&cluster, "f1"),
            [
                "1 agent: deactivated, draining or not ready",
                "1 agent: refused by the framework, for 5.0 s to 5.0 s more"
            ]
        );
        cluster.allocator.suppress(&framework("f1"), &roles("web"));
        assert_eq!(told(&cluster, "f1")[0], "the framework has suppressed offers for this role");
    }

    #[test]
    fn limits_and_guarantees_are_told_with_their_numbers() {
        let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "eng/web").framework("f2", "ops");
        let limit = Quota { limits: quantities("cpus:2"), ..Quota::default() };
        cluster.charge("f1 eng/web a1 cpus:2").allocator.set_quota(role("eng"), Some(limit));
        let guarantee = Quota { guarantees: quantities("cpus:3"), ..Quota::default() };
        cluster.allocator.set_quota(role("db"), Some(guarantee));
        assert_eq!(told(&cluster, "f1"), ["1 agent: role eng consumes cpus:2 of its limit cpus:2"]);
        assert_eq!(
            told(&cluster, "f2"),
            ["1 agent: what is free is kept for guarantees, which are short of cpus:3"]
        );
        let explained = cluster.allocator.explain_role(cluster.now, &role("db")).unwrap();
        assert_eq!((explained.unmet.to_string(), explained.frameworks.len()), ("cpus:3".to_owned(), 0));
    }

    #[test]
    fn what_is_reserved_for_others_or_hidden_is_told() {
        let cluster = cluster().agent("a1", "cpus(db):4").agent("a2", "cpus:1;gpus:1").framework("f1", "web");
        let told = told(&cluster, "f1");
        assert_eq!(told.len(), 2);
        assert!(told.contains(&"1 agent: what is free is reserved for others or of another kind".to_owned()));
        assert!(told.iter().any(|text| text.contains("GPU_RESOURCES")), "{told:?}");
    }
}
