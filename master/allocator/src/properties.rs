//! Whatever happens: properties over any sequence of steps, and proof that the checks do catch a fault.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::quota::Quota;
use lonja_model::resources::{Metadata, Quantities, Reservation, Resource};
use lonja_model::{AgentId, FrameworkId, Resources, Role};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::fixture::*;
use crate::round::{parts_of, reaches_one};
use crate::{AgentFacts, Allocation, Allocator, Holdings, Violation};

const AGENTS: [&str; 3] = ["a1", "a2", "a3"];
const FRAMEWORKS: [&str; 3] = ["f1", "f2", "f3"];
const ROLES: [&str; 3] = ["eng", "eng/web", "ops"];
const AMOUNTS: [&str; 8] = [
    "",
    "cpus:0.005;mem:31",
    "cpus:4;mem:512;ports:[1-9]",
    "cpus:2;cpus(eng):2;mem:64;mem(ops):64",
    "cpus:1;ports:[5-20]",
    "cpus:1;gpus:{0:1000,1:1000}",
    "cpus(eng/web):3;disks:{a,b};mem:2251799813685",
    "mem:40;gpus:{0:300}",
];

const QUOTAS: [&str; 6] = ["", "cpus:1", "cpus:3;mem:100", "mem:64", "cpus:0.005", "gpus:1;cpus:9"];

#[derive(Clone, Debug)]
enum Step {
    AddAgent(usize, usize),
    UpdateTotal(usize, usize),
    RemoveAgent(usize),
    SetAgentActive(usize, bool),
    AddFramework(usize, u8, bool),
    UpdateFramework(usize, u8, bool),
    RemoveFramework(usize),
    SetFrameworkActive(usize, bool),
    Suppress(usize, u8),
    Revive(usize, u8),
    SetWeight(usize, u64),
    SetQuota(usize, usize, usize),
    Request(usize, usize),
    Reserve(usize, usize),
    Charge(usize, usize, usize, usize),
    Recover { which: usize, part: usize, refuse: u64 },
    Allocate,
    Advance(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let (agent, framework, amount) = (0..AGENTS.len(), 0..FRAMEWORKS.len(), 0..AMOUNTS.len());
    prop_oneof![
        2 => (agent.clone(), amount.clone()).prop_map(|(agent, amount)| Step::AddAgent(agent, amount)),
        1 => (agent.clone(), amount.clone()).prop_map(|(agent, amount)| Step::UpdateTotal(agent, amount)),
        1 => agent.clone().prop_map(Step::RemoveAgent),
        1 => (agent.clone(), any::<bool>()).prop_map(|(agent, active)| Step::SetAgentActive(agent, active)),
        2 => (framework.clone(), 1..8_u8, any::<bool>()).prop_map(|(f, r, gpus)| Step::AddFramework(f, r, gpus)),
        1 => (framework.clone(), 0..8_u8, any::<bool>()).prop_map(|(f, r, gpus)| Step::UpdateFramework(f, r, gpus)),
        1 => framework.clone().prop_map(Step::RemoveFramework),
        1 => (framework.clone(), any::<bool>()).prop_map(|(f, active)| Step::SetFrameworkActive(f, active)),
        1 => (framework.clone(), 0..8_u8).prop_map(|(f, roles)| Step::Suppress(f, roles)),
        1 => (framework.clone(), 0..8_u8).prop_map(|(f, roles)| Step::Revive(f, roles)),
        1 => (0..ROLES.len(), 1..5_u64).prop_map(|(role, weight)| Step::SetWeight(role, weight)),
        1 => (0..ROLES.len(), 0..QUOTAS.len(), 0..QUOTAS.len()).prop_map(|(r, g, l)| Step::SetQuota(r, g, l)),
        1 => (framework.clone(), 0..QUOTAS.len()).prop_map(|(f, needs)| Step::Request(f, needs)),
        1 => (any::<usize>(), 0..ROLES.len()).prop_map(|(which, role)| Step::Reserve(which, role)),
        2 => (agent, framework, 0..ROLES.len(), amount.clone()).prop_map(|(a, f, r, n)| Step::Charge(a, f, r, n)),
        5 => (any::<usize>(), 0..2 * AMOUNTS.len(), 0..4_u64)
            .prop_map(|(which, part, refuse)| Step::Recover { which, part, refuse }),
        5 => Just(Step::Allocate),
        2 => (0..3_u64).prop_map(Step::Advance),
    ]
}

fn any_answer() -> impl Strategy<Value = Step> {
    let recover = (any::<usize>(), 0..2 * AMOUNTS.len(), 0..4_u64);
    prop_oneof![
        4 => recover.prop_map(|(which, part, refuse)| Step::Recover { which, part, refuse }),
        2 => (0..3_u64).prop_map(Step::Advance),
        1 => (0..2_usize, any::<bool>()).prop_map(|(agent, active)| Step::SetAgentActive(agent, active)),
        1 => (0..2_usize, 0..AMOUNTS.len()).prop_map(|(agent, amount)| Step::UpdateTotal(agent, amount)),
    ]
}

/// The roles that the bits of `set` name.
fn role_names(set: u8) -> String {
    let named = ROLES.iter().enumerate().filter(|(index, _)| set & (1 << index) != 0);
    named.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
}

/// The cluster, and an account of all that is held, kept apart from the allocator's own.
struct World {
    cluster: Cluster,
    ledger: Vec<Allocation>,
    told: Vec<Allocation>,
}

impl World {
    fn new() -> Self {
        Self { cluster: cluster(), ledger: Vec::new(), told: Vec::new() }
    }

    /// With agents and frameworks to begin with, so that steps meet something.
    fn peopled() -> Self {
        let mut cluster = cluster().agent(AGENTS[0], AMOUNTS[2]).agent(AGENTS[1], AMOUNTS[3]);
        for (name, role_names) in FRAMEWORKS.into_iter().zip(["eng", "eng/web,ops", "ops"]) {
            cluster = cluster.framework(name, role_names);
        }
        Self { cluster, ..Self::new() }
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let now = self.cluster.now;
        let allocator = &mut self.cluster.allocator;
        let facts_of =
            |set: u8, gpus: bool| if gpus { gpu_facts(&role_names(set)) } else { facts(&role_names(set)) };
        match *step {
            Step::AddAgent(index, amount) => {
                allocator.add_agent(agent(AGENTS[index]), resources(AMOUNTS[amount]), AgentFacts::default());
            }
            Step::UpdateTotal(index, amount) => {
                allocator.update_agent_total(&agent(AGENTS[index]), resources(AMOUNTS[amount]));
            }
            Step::RemoveAgent(index) => {
                allocator.remove_agent(&agent(AGENTS[index]));
                self.ledger.retain(|held| held.agent != agent(AGENTS[index]));
            }
            Step::SetAgentActive(index, true) => allocator.activate_agent(&agent(AGENTS[index])),
            Step::SetAgentActive(index, false) => allocator.deactivate_agent(&agent(AGENTS[index])),
            Step::AddFramework(index, set, gpus) => {
                allocator.add_framework(framework(FRAMEWORKS[index]), facts_of(set, gpus));
            }
            Step::UpdateFramework(index, set, gpus) => {
                allocator.update_framework(&framework(FRAMEWORKS[index]), facts_of(set, gpus));
            }
            Step::RemoveFramework(index) => allocator.remove_framework(&framework(FRAMEWORKS[index])),
            Step::SetFrameworkActive(index, true) => {
                allocator.activate_framework(&framework(FRAMEWORKS[index]))
            }
            Step::SetFrameworkActive(index, false) => {
                allocator.deactivate_framework(&framework(FRAMEWORKS[index]));
            }
            Step::Suppress(index, set) => {
                allocator.suppress(&framework(FRAMEWORKS[index]), &roles(&role_names(set)));
            }
            Step::Revive(index, set) => {
                allocator.revive(&framework(FRAMEWORKS[index]), &roles(&role_names(set)));
            }
            Step::SetWeight(index, amount) => {
                allocator.set_weight(role(ROLES[index]), weight(&amount.to_string())).unwrap();
            }
            Step::SetQuota(index, guarantees, limits) => {
                let (guarantees, limits) = (quantities(QUOTAS[guarantees]), quantities(QUOTAS[limits]));
                let empty = guarantees.is_empty() && limits.is_empty();
                let quota = (!empty).then_some(Quota { guarantees, limits });
                allocator.set_quota(role(ROLES[index]), quota);
            }
            Step::Request(index, needs) => {
                let needs = quantities(QUOTAS[needs]);
                let needs = if needs.is_empty() { Vec::new() } else { vec![needs] };
                allocator.request(&framework(FRAMEWORKS[index]), None, needs);
            }
            Step::Reserve(which, role_index) => self.reserve(which, role(ROLES[role_index])),
            Step::Charge(agent_index, framework_index, role_index, amount) => {
                let held = Allocation {
                    framework: framework(FRAMEWORKS[framework_index]),
                    role: role(ROLES[role_index]),
                    agent: agent(AGENTS[agent_index]),
                    resources: resources(AMOUNTS[amount]),
                };
                let Allocation { framework, role, agent, resources } = &held;
                if allocator.charge(agent, framework, role, resources).is_ok() {
                    self.ledger.push(held);
                }
            }
            Step::Recover { which, part, refuse } => self.recover(which, part, refuse),
            Step::Allocate => return self.allocate(),
            Step::Advance(seconds) => {
                self.cluster.now = now + Duration::from_secs(seconds);
                self.cluster.allocator.expire(self.cluster.now);
            }
        }
        Ok(())
    }

    /// What one entry of the account has of unreserved CPUs is reserved, if its agent has them.
    fn reserve(&mut self, which: usize, owner: Role) {
        if self.ledger.is_empty() {
            return;
        }
        let index = which % self.ledger.len();
        let held = self.ledger[index].clone();
        let plain = held.resources.filter(|one| one.name() == "cpus" && one.reserved_for().is_none());
        let reserved = plain.iter().map(|one| {
            let reservations = vec![Reservation::fixed(owner.clone())];
            let metadata = Metadata { reservations, ..Metadata::default() };
            Resource::with_metadata(one.name(), one.value().clone(), metadata).unwrap()
        });
        let reserved = Resources::of(reserved).unwrap();
        let Allocation { framework, role, agent, resources } = &held;
        if self.cluster.allocator.convert_held(agent, framework, role, &plain, &reserved).is_ok() {
            let rest = resources.checked_sub(&plain).unwrap();
            let Ok(converted) = rest.checked_add(&reserved) else { return };
            self.ledger[index].resources = converted;
        }
    }

    /// One entry of the account comes back, whole or in part.
    fn recover(&mut self, which: usize, part: usize, refuse: u64) {
        if self.ledger.is_empty() {
            return;
        }
        let index = which % self.ledger.len();
        let held = self.ledger[index].clone();
        let amount =
            AMOUNTS.get(part).map(|text| crate::holdings::overlap(&held.resources, &resources(text)));
        let amount = amount.unwrap_or_else(|| held.resources.clone());
        let Allocation { framework, role, agent, resources } = held;
        let refuse = Some(Duration::from_secs(refuse));
        let now = self.cluster.now;
        self.cluster.allocator.recover(now, &agent, &framework, &role, &amount, refuse).unwrap();
        let left = resources.checked_sub(&amount).unwrap();
        if left.is_empty() {
            self.ledger.remove(index);
        } else {
            self.ledger[index].resources = left;
        }
    }

    /// By the account kept here, everything given away was really free, and nobody is left who could
    /// have been served.
    fn allocate(&mut self) -> Result<(), TestCaseError> {
        let before = Standing::of(&self.cluster.allocator);
        let allocations = self.cluster.allocator.allocate(self.cluster.now);
        for allocation in &allocations {
            let mut free = Holdings::of(self.cluster.allocator.agent_total(&allocation.agent).unwrap());
            for held in self.ledger.iter().filter(|held| held.agent == allocation.agent) {
                free.take(&held.resources);
            }
            prop_assert!(free.once().contains(&allocation.resources), "{allocation:?} was not free");
            prop_assert!(!allocation.resources.is_empty());
            let usable = allocation.resources.usable_by(&allocation.role);
            prop_assert_eq!(usable, allocation.resources.clone(), "reserved for others (INV-8)");
            self.ledger.push(allocation.clone());
        }
        self.told.extend(allocations);
        let after = Standing::of(&self.cluster.allocator);
        prop_assert_eq!(after.broken_since(&before), None);
        prop_assert_eq!(passed_over(&self.cluster.allocator), None);
        prop_assert!(!self.cluster.allocator.needs_allocation());
        Ok(())
    }
}

/// How quotas stand at one moment.
struct Standing {
    quotas: BTreeMap<Role, Quota>,
    consumed: BTreeMap<Role, Quantities>,
    /// What is owed by guarantees and not free for anyone.
    short: BTreeMap<String, u128>,
}

impl Standing {
    fn of(allocator: &Allocator) -> Self {
        let quotas = allocator.quotas().clone();
        let consumed = quotas.keys().map(|role| (role.clone(), allocator.quota_consumed(role))).collect();
        let short = |(kind, owed): (u32, u128)| {
            let short = owed.saturating_sub(allocator.agents.available().get(kind));
            (allocator.kinds.name(kind).to_owned(), short)
        };
        let short = allocator.tree.owed_in_all().iter().map(short).collect();
        Self { quotas, consumed, short }
    }

    /// INV-5: a round takes no role above its limit, and none that stands above further; and it takes nothing that is
    /// owed to others: what is short of guarantees is not more than before.
    fn broken_since(&self, before: &Self) -> Option<String> {
        for (role, quota) in &self.quotas {
            for (name, limit) in quota.limits.iter() {
                let (was, is) = (before.consumed[role].get(name), self.consumed[role].get(name));
                if is > limit && is > was {
                    return Some(format!(
                        "INV-5: {role} went from {name}:{was} to {is} over its limit {limit}"
                    ));
                }
            }
        }
        for (name, short) in &self.short {
            let was = before.short.get(name).copied().unwrap_or(0);
            if *short > was {
                return Some(format!("INV-5: guarantees were short of {name}:{was}, now of {short}"));
            }
        }
        None
    }
}

/// Somebody who waits, something free that they may be offered, and no filter between: by looking at
/// everything, not only at what changed. Where quotas rule, at what has no quota.
fn passed_over(allocator: &Allocator) -> Option<(FrameworkId, Role, AgentId)> {
    for (id, number, agent) in allocator.agents.iter().filter(|(_, _, agent)| agent.is_active()) {
        for (framework, known) in allocator.frameworks.iter().filter(|(_, known)| known.active) {
            for role in known.facts.roles.difference(&known.facts.suppressed) {
                let client = allocator.clients.number(framework, role).unwrap();
                let asks = allocator.clients.get(client);
                let mut usable = allocator.shown(agent, client);
                if !allocator.quotas().is_empty() {
                    usable = usable.filter(|one| one.reserved_for().is_some());
                }
                let parts = parts_of(&allocator.kinds, &usable);
                let fits = allocator.why_ineligible(framework, role, id).is_none();
                if !usable.is_empty()
                    && fits
                    && reaches_one(&parts, &asks.minimum)
                    && reaches_one(&parts, &asks.needs)
                    && !allocator.filters.refuse(number, client, &usable)
                {
                    return Some((framework.clone(), role.clone(), id.clone()));
                }
            }
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Books balance after every step, nothing is promised twice, nobody is passed over (INV-1, 2, 4, 6).
    #[test]
    fn any_steps_keep_every_promise(steps in vec(any_step(), 0..60)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step)?;
            if let Err(violation) = world.cluster.allocator.check_invariants() {
                return Err(TestCaseError::fail(format!("after {step:?}: {violation}")));
            }
        }
    }

    /// Where only answers, returns and time change anything, nobody is passed over either: no new
    /// framework comes by whose arrival would have everything looked at again.
    #[test]
    fn answers_and_time_alone_keep_every_promise(steps in vec(any_answer(), 0..60)) {
        let mut world = World::peopled();
        for step in &steps {
            world.take(step)?;
            world.take(&Step::Allocate)?;
            if let Err(violation) = world.cluster.allocator.check_invariants() {
                return Err(TestCaseError::fail(format!("after {step:?}: {violation}")));
            }
        }
    }

    /// What comes back in full leaves everything as it was at first.
    #[test]
    fn all_that_is_recovered_is_free_again(steps in vec(any_step(), 0..40)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step)?;
        }
        while !world.ledger.is_empty() {
            world.recover(0, AMOUNTS.len(), 0);
        }
        for id in AGENTS.map(agent) {
            let allocator = &world.cluster.allocator;
            prop_assert_eq!(allocator.agent_free(&id), allocator.agent_total(&id));
            prop_assert!(allocator.debt(&id).is_none_or(Holdings::is_empty));
        }
    }

    /// The same steps, the same allocations in the same order.
    #[test]
    fn a_run_can_be_repeated(steps in vec(any_step(), 0..60)) {
        let run = || {
            let mut world = World::new();
            steps.iter().try_for_each(|step| world.take(step)).map(|()| world.told)
        };
        prop_assert_eq!(run()?, run()?);
    }

    /// With endless small demand, shares stand in proportion to weights within one agent (INV-6).
    #[test]
    fn shares_end_in_proportion_to_weights(
        weights in vec(1..10_u64, 2..5),
        agents in 1..80_usize,
        late in any::<bool>(),
    ) {
        let mut cluster = cluster();
        for (index, amount) in weights.iter().enumerate() {
            let name = format!("r{index}");
            cluster = cluster.weight(&name, &amount.to_string()).framework(&format!("f{index}"), &name);
        }
        for index in 0..agents {
            cluster = cluster.agent(&format!("a{index}"), "cpus:2;mem:100");
            if late {
                cluster.allocate();
            }
        }
        cluster.allocate();
        let shares = cluster.allocator.role_shares();
        let held = |index: usize| shares[&role(&format!("r{index}"))].allocated.get("cpus").whole_units() / 2;
        let all: u64 = (0..weights.len()).map(held).sum();
        prop_assert_eq!(all, u64::try_from(agents).unwrap());
        for (one, other) in (0..weights.len()).flat_map(|i| (0..weights.len()).map(move |j| (i, j))) {
            // When `one` got its last agent, `other` did not stand lower.
            let without_last = held(one).saturating_sub(1);
            prop_assert!(without_last * weights[other] <= held(other) * weights[one], "{shares:?}");
        }
    }
}

// The checks catch what they are for.

fn in_use() -> Cluster {
    let mut cluster = cluster().agent("a1", "cpus:4").agent("a2", "cpus:1").framework("f1", "web");
    cluster.allocate();
    cluster.give_back("f1 web a1 cpus:2", Some(9)).allocate();
    cluster
}

fn number(cluster: &Cluster, name: &str) -> u32 {
    cluster.allocator.agents.number(&agent(name)).unwrap()
}

fn client(cluster: &Cluster) -> u32 {
    cluster.allocator.clients.number(&framework("f1"), &role("web")).unwrap()
}

#[test]
fn resources_out_of_nothing_are_caught() {
    let mut cluster = in_use();
    let a1 = number(&cluster, "a1");
    cluster.allocator.agents.forge_free(a1, resources("cpus:2.001"));
    let caught = cluster.allocator.check_agent(&agent("a1"));
    assert!(matches!(caught, Err(Violation::Conservation { .. })), "{caught:?}");
    assert_eq!(cluster.allocator.check_invariants(), caught);
}

#[test]
fn a_lost_return_is_caught() {
    let mut cluster = in_use();
    let a1 = number(&cluster, "a1");
    cluster.allocator.agents.forge_free(a1, resources("cpus:1"));
    assert!(matches!(cluster.allocator.check_agent(&agent("a1")), Err(Violation::Conservation { .. })));
}

#[test]
fn something_free_while_in_debt_is_caught() {
    let mut cluster = in_use();
    cluster.charge("f1 web a1 cpus:3");
    let a1 = number(&cluster, "a1");
    cluster.allocator.agents.forge_free_and_debt(a1, &resources("cpus:0.5"));
    let caught = cluster.allocator.check_agent(&agent("a1"));
    assert!(matches!(caught, Err(Violation::FreeInDebt { .. })), "{caught:?}");
}

#[test]
fn a_holder_that_holds_nothing_is_caught() {
    let mut cluster = in_use();
    let (a1, nobody) = (number(&cluster, "a1"), client(&cluster) + 1);
    cluster.allocator.agents.forge_holder(a1, nobody);
    assert!(matches!(cluster.allocator.check_agent(&agent("a1")), Err(Violation::Holders { .. })));
}

#[test]
fn a_total_that_is_not_the_sum_of_the_agents_is_caught() {
    let mut cluster = in_use();
    cluster.allocator.agents.forge_total();
    assert_eq!(cluster.allocator.check_invariants(), Err(Violation::ClusterTotal));
}

#[test]
fn a_share_that_does_not_follow_from_the_books_is_caught() {
    let mut cluster = in_use();
    let entry = cluster.allocator.clients.get(client(&cluster)).entry;
    let Allocator { tree, agents, .. } = &mut cluster.allocator;
    tree.account(entry, &[(0, 1)], &[], agents.totals());
    let caught = cluster.allocator.check_invariants();
    assert_eq!(caught, Err(Violation::Allocated { role: role("web"), framework: Some(framework("f1")) }));
}

#[test]
fn consumption_that_does_not_follow_from_the_books_is_caught() {
    let mut cluster = in_use();
    let client = client(&cluster);
    cluster.allocator.account_limited(client, &[(0, 1)], &[]);
    assert_eq!(cluster.allocator.check_invariants(), Err(Violation::Consumed { role: role("web") }));
}

#[test]
fn a_line_out_of_order_is_caught() {
    let mut cluster = in_use();
    for name in ["f2", "f3"] {
        cluster = cluster.framework(name, "web");
    }
    cluster.allocate();
    let web = cluster.allocator.tree.find_role(&role("web")).unwrap();
    let leaf = cluster.allocator.tree.find_leaf(web).unwrap();
    cluster.allocator.tree.forge_order(leaf);
    assert!(matches!(cluster.allocator.check_invariants(), Err(Violation::Order { .. })));
}

#[test]
fn someone_in_line_who_wants_nothing_is_caught() {
    let mut cluster = in_use();
    cluster.allocator.frameworks.suppress(&framework("f1"), &roles("web"));
    let (role, framework) = (role("web"), framework("f1"));
    assert_eq!(cluster.allocator.check_invariants(), Err(Violation::Line { role, framework }));
}

#[test]
fn a_filter_without_ground_is_caught() {
    let mut cluster = in_use();
    cluster.allocator.frameworks.remove(&framework("f1"));
    let caught = cluster.allocator.check_filters();
    assert!(matches!(caught, Err(Violation::Filter { .. })), "{caught:?}");
}

#[test]
fn a_refusal_that_is_remembered_without_a_filter_is_caught() {
    let mut cluster = in_use();
    let (a1, client) = (number(&cluster, "a1"), client(&cluster));
    cluster.allocator.filters.remove_client(client);
    assert!(cluster.allocator.agents.get(a1).unwrap().refused_by.get(client));
    let caught = cluster.allocator.check_filters();
    assert!(matches!(caught, Err(Violation::Filter { .. })), "{caught:?}");
}

#[test]
fn a_filter_that_would_never_end_is_caught() {
    let mut cluster = in_use();
    cluster.allocator.filters.forge_no_deadlines();
    assert_eq!(cluster.allocator.check_invariants(), Err(Violation::FilterIndex));
}

#[test]
fn an_agent_left_off_the_list_is_caught() {
    let mut cluster = in_use();
    let a1 = number(&cluster, "a1");
    cluster.allocator.agents.forge_list(a1);
    assert_eq!(cluster.allocator.check_invariants(), Err(Violation::FreeList { agent: agent("a1") }));
}

#[test]
fn a_role_over_its_limit_and_a_guarantee_given_away_are_caught() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "web");
    let guarantee = Quota { guarantees: quantities("cpus:3"), limits: Quantities::default() };
    let limit = Quota { guarantees: Quantities::default(), limits: quantities("cpus:1") };
    cluster.allocator.set_quota(role("ops"), Some(guarantee));
    cluster.allocator.set_quota(role("web"), Some(limit));
    let before = Standing::of(&cluster.allocator);
    cluster.charge("f1 web a1 cpus:1");
    assert_eq!(Standing::of(&cluster.allocator).broken_since(&before), None);
    cluster.charge("f1 web a1 cpus:1");
    let broken = Standing::of(&cluster.allocator).broken_since(&before).unwrap();
    assert!(broken.contains("over its limit"), "{broken}");
    cluster.allocator.set_quota(role("web"), None);
    let broken = Standing::of(&cluster.allocator).broken_since(&before).unwrap();
    assert!(broken.contains("guarantees were short"), "{broken}");
}
