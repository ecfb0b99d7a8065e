//! An allocator and the books kept beside it, taken through steps together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_allocator::{AgentFacts, Allocation, Allocator, FrameworkFacts, Options};
use lonja_model::resources::{Metadata, Reservation, Resource, Scalar, Value};
use lonja_model::{AgentId, FrameworkId, Resources, Role, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::judge::{judge, the_books_agree};
use crate::ledger::{AgentEntry, FrameworkEntry, Holder, Ledger};
use crate::steps::{AGENTS, CAPABILITIES, FRAMEWORKS, NEEDS, ROLES, Step, named, quota, resources, total};

pub(crate) fn agent(name: &str) -> AgentId {
    AgentId::new(name).unwrap()
}

pub(crate) fn framework(name: &str) -> FrameworkId {
    FrameworkId::new(name).unwrap()
}

pub(crate) fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

/// See the module.
pub(crate) struct World {
    pub(crate) allocator: Allocator,
    pub(crate) books: Ledger,
    /// All that was ever allocated.
    pub(crate) told: Vec<Allocation>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let books = Ledger::new(options.clone(), Timestamp::from_nanos(1_000));
        Self { allocator: Allocator::new(options), books, told: Vec::new() }
    }

    /// With agents and frameworks to begin with, so that steps meet something.
    pub(crate) fn peopled() -> Self {
        let mut world = Self::new();
        for (at, total) in [0, 1, 2, 6].into_iter().enumerate() {
            world.add_agent(agent(AGENTS[at]), crate::steps::total(total));
        }
        for (at, roles) in [1, 2 | 8, 4, 8 | 16].into_iter().enumerate() {
            world.add_framework(framework(FRAMEWORKS[at]), facts(roles, 0b0110, 0));
        }
        world
    }

    pub(crate) fn add_agent(&mut self, agent: AgentId, total: Resources) {
        self.allocator.add_agent(agent.clone(), total.clone(), AgentFacts::default());
        self.books.agents.insert(agent, AgentEntry { total, active: true });
    }

    pub(crate) fn add_framework(&mut self, framework: FrameworkId, facts: FrameworkFacts) {
        self.allocator.add_framework(framework.clone(), facts.clone());
        self.drop_what_left_roles_had(&framework, &facts);
        self.books.frameworks.insert(framework, FrameworkEntry { facts, active: true });
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.books.now = self.books.now + by;
        self.allocator.expire(self.books.now);
        let now = self.books.now;
        self.books.filters.retain(|filter| filter.until > now);
    }

    /// One round, judged.
    pub(crate) fn allocate(&mut self) -> Result<Vec<Allocation>, TestCaseError> {
        let round = self.allocator.allocate(self.books.now);
        match judge(&self.books, &round) {
            Ok(after) => self.books = after,
            Err(breach) => return Err(TestCaseError::fail(breach.to_string())),
        }
        prop_assert!(!self.allocator.needs_allocation());
        self.told.extend(round.iter().cloned());
        Ok(round)
    }

    pub(crate) fn give_back(&mut self, holder: &Holder, resources: &Resources, refuse: Option<Duration>) {
        let (agent, framework, role) = holder;
        let now = self.books.now;
        self.allocator.recover(now, agent, framework, role, resources, refuse).unwrap();
        self.books.take_back(holder, resources);
        self.books.refuse(holder, resources, refuse.unwrap_or_default());
    }

    pub(crate) fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        self.carry_out(*step)?;
        the_books_agree(&self.books, &self.allocator)
            .map_err(|breach| TestCaseError::fail(format!("after {step:?}: {breach}")))
    }

    fn carry_out(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::AddAgent(at, which) => self.add_or_enlarge(&agent(AGENTS[at]), total(which)),
            Step::RemoveAgent(at) => {
                let gone = agent(AGENTS[at]);
                self.allocator.remove_agent(&gone);
                self.books.agents.remove(&gone);
                self.books.held.retain(|(agent, _, _), _| *agent != gone);
                self.books.filters.retain(|filter| filter.agent != gone);
            }
            Step::SetAgentActive(at, active) => {
                let agent = agent(AGENTS[at]);
                let set = if active { Allocator::activate_agent } else { Allocator::deactivate_agent };
                set(&mut self.allocator, &agent);
                if let Some(known) = self.books.agents.get_mut(&agent) {
                    known.active = active;
                }
            }
            Step::AddFramework { framework: at, roles, capabilities, minimum } => {
                self.add_framework(framework(FRAMEWORKS[at]), facts(roles, capabilities, minimum));
            }
            Step::UpdateFramework { framework: at, roles, capabilities, minimum } => {
                self.update_framework(&framework(FRAMEWORKS[at]), facts(roles, capabilities, minimum));
            }
            Step::RemoveFramework(at) => {
                let gone = framework(FRAMEWORKS[at]);
                self.allocator.remove_framework(&gone);
                self.books.frameworks.remove(&gone);
                self.books.needs.retain(|(framework, _), _| *framework != gone);
                self.books.filters.retain(|filter| filter.framework != gone);
            }
            Step::SetFrameworkActive(at, active) => {
                self.set_framework_active(&framework(FRAMEWORKS[at]), active)
            }
            Step::Suppress(at, set) => self.suppress(&framework(FRAMEWORKS[at]), set),
            Step::Revive(at, set) => self.revive(&framework(FRAMEWORKS[at]), set),
            Step::SetWeight(at, weight) => {
                let weight = Scalar::from_units(weight).unwrap();
                self.allocator.set_weight(role(ROLES[at]), weight).unwrap();
            }
            Step::SetQuota { role: at, quota: which, force } => {
                self.set_quota(role(ROLES[at]), which.map(quota), force);
            }
            Step::Charge { agent: a, framework: f, role: r } => {
                self.charge_half(&(agent(AGENTS[a]), framework(FRAMEWORKS[f]), role(ROLES[r])));
            }
            Step::Recover { which, half, refuse } => self.recover(which, half, refuse),
            Step::Convert { which, back } => self.convert(which, back),
            Step::ConvertFree { agent: a, role: r } => self.reserve_half(&agent(AGENTS[a]), &role(ROLES[r])),
            Step::Request(at, which) => self.request(&framework(FRAMEWORKS[at]), NEEDS[which]),
            Step::Allocate => {
                self.allocate()?;
            }
            Step::Advance(seconds) => self.advance(Duration::from_secs(seconds)),
        }
        Ok(())
    }

    /// A known agent comes back with more than it had; one whose new total lacks something in use is left alone, for
    /// these books know no debts.
    fn add_or_enlarge(&mut self, agent: &AgentId, total: Resources) {
        let held = self.books.held.iter().filter(|((holder, _, _), _)| holder == agent);
        let mut rest = Some(total.clone());
        for (_, held) in held {
            let own = held.filter(|resource| !resource.metadata().shared);
            let mut volumes = held.iter().filter(|resource| resource.metadata().shared);
            let there = volumes.all(|volume| total.iter().any(|one| one.metadata() == volume.metadata()));
            rest = rest.filter(|_| there).and_then(|rest| rest.checked_sub(&own));
        }
        if rest.is_some() {
            self.add_agent(agent.clone(), total);
        }
    }

    fn update_framework(&mut self, framework: &FrameworkId, facts: FrameworkFacts) {
        self.allocator.update_framework(framework, facts.clone());
        if self.books.frameworks.contains_key(framework) {
            self.drop_what_left_roles_had(framework, &facts);
        }
        if let Some(known) = self.books.frameworks.get_mut(framework) {
            known.facts = facts;
        }
    }

    fn drop_what_left_roles_had(&mut self, framework: &FrameworkId, facts: &FrameworkFacts) {
        let kept = &facts.roles;
        self.books.filters.retain(|filter| filter.framework != *framework || kept.contains(&filter.role));
        self.books.needs.retain(|(owner, role), _| owner != framework || kept.contains(role));
    }

    fn set_framework_active(&mut self, framework: &FrameworkId, active: bool) {
        if active {
            self.allocator.activate_framework(framework);
        } else {
            self.allocator.deactivate_framework(framework);
            self.books.filters.retain(|filter| filter.framework != *framework);
        }
        if let Some(known) = self.books.frameworks.get_mut(framework) {
            known.active = active;
        }
    }

    fn suppress(&mut self, framework: &FrameworkId, set: u8) {
        let roles: BTreeSet<Role> = named(&ROLES, set).map(role).collect();
        self.allocator.suppress(framework, &roles);
        if let Some(known) = self.books.frameworks.get_mut(framework) {
            let subscribed = known.facts.roles.iter();
            let meant = subscribed.filter(|role| roles.is_empty() || roles.contains(*role));
            known.facts.suppressed.extend(meant.cloned().collect::<Vec<_>>());
        }
    }

    fn revive(&mut self, framework: &FrameworkId, set: u8) {
        let roles: BTreeSet<Role> = named(&ROLES, set).map(role).collect();
        self.allocator.revive(framework, &roles);
        let meant = |role: &Role| roles.is_empty() || roles.contains(role);
        if let Some(known) = self.books.frameworks.get_mut(framework) {
            known.facts.suppressed.retain(|role| !meant(role));
        }
        self.books.filters.retain(|filter| filter.framework != *framework || !meant(&filter.role));
    }

    /// As an operator would: checked, and forced only where that may be.
    fn set_quota(&mut self, role: Role, quota: Option<lonja_model::quota::Quota>, force: bool) {
        let change = [(role.clone(), quota.clone())];
        let checked = self.allocator.check_quotas(&change);
        if checked.is_ok() || checked.is_err_and(|refusal| force && refusal.may_be_forced()) {
            self.allocator.set_quota(role.clone(), quota.clone());
            match quota {
                Some(quota) => self.books.quotas.insert(role, quota),
                None => self.books.quotas.remove(&role),
            };
        }
    }

    /// Half of the CPUs that are free are found in use.
    fn charge_half(&mut self, holder: &Holder) {
        let (agent, framework, role) = holder;
        let half = self.books.agents.get(agent).map(|_| {
            let cpus = self
                .books
                .free(agent)
                .unreserved()
                .filter(|one| one.name() == "cpus" && !one.metadata().revocable);
            Scalar::from_thousandths(cpus.scalar("cpus").thousandths() / 2).unwrap()
        });
        let amount = half.map(|half| resources(&format!("cpus:{half}")));
        let charged = self.allocator.charge(agent, framework, role, &amount.clone().unwrap_or_default());
        assert_eq!(charged.is_ok(), amount.is_some());
        if let Some(amount) = amount {
            self.books.charge(holder, &amount);
        }
    }

    fn request(&mut self, framework: &FrameworkId, needs: &[&str]) {
        let needs: Vec<_> = needs.iter().map(|need| resources(need).quantities()).collect();
        self.allocator.request(framework, None, needs.clone());
        if self.books.frameworks.contains_key(framework) {
            let roles = self.books.frameworks[framework].facts.roles.iter();
            let said = roles.map(|role| ((framework.clone(), role.clone()), needs.clone()));
            self.books.needs.extend(said.collect::<Vec<_>>());
        }
    }

    /// Half of an agent's free plain CPUs become reserved for the role.
    fn reserve_half(&mut self, agent: &AgentId, role: &Role) {
        if !self.books.agents.contains_key(agent) || *role == Role::default_role() {
            return;
        }
        let free = self.books.free(agent);
        let Some(cpus) =
            free.iter().find(|one| one.name() == "cpus" && *one.metadata() == Metadata::default())
        else {
            return;
        };
        let cpus = Resources::of([cpus.clone()]).unwrap();
        let before = halved(&cpus);
        if before.is_empty() {
            return; // a thousandth has no half
        }
        let own = Metadata { reservations: vec![Reservation::fixed(role.clone())], ..Metadata::default() };
        let after = before
            .iter()
            .map(|one| Resource::with_metadata("cpus", one.value().clone(), own.clone()).unwrap());
        let after = Resources::of(after).unwrap();
        let too_much = cpus.checked_add(&before).unwrap();
        self.allocator.convert_free(agent, &too_much, &after).unwrap_err();
        self.allocator.convert_free(agent, &before, &after).unwrap();
        let known = self.books.agents.get_mut(agent).unwrap();
        known.total = known.total.checked_sub(&before).unwrap().checked_add(&after).unwrap();
    }

    /// Something that is held comes back, all of it or the half of each amount.
    fn recover(&mut self, which: usize, half: bool, refuse: u64) {
        let Some((holder, held)) = pick(&self.books.held, which) else { return };
        let amount = if half { halved(&held) } else { held };
        self.give_back(&holder, &amount, Some(Duration::from_secs(refuse)));
    }

    /// What a client holds of plain CPUs becomes reserved for its role, or what it has reserved so becomes plain.
    fn convert(&mut self, which: usize, back: bool) {
        let Some((holder, held)) = pick(&self.books.held, which) else { return };
        let (agent, framework, role) = &holder;
        if *role == Role::default_role() {
            return;
        }
        let own = Metadata { reservations: vec![Reservation::fixed(role.clone())], ..Metadata::default() };
        let (from, to) = if back { (own, Metadata::default()) } else { (Metadata::default(), own) };
        let before = held.filter(|one| one.name() == "cpus" && *one.metadata() == from);
        let after = before
            .iter()
            .map(|one| Resource::with_metadata("cpus", one.value().clone(), to.clone()).unwrap());
        let after = Resources::of(after).unwrap();
        if before.is_empty() {
            return;
        }
        self.allocator.convert_held(agent, framework, role, &before, &after).unwrap();
        self.books.take_back(&holder, &before);
        let known = self.books.agents.get_mut(agent).unwrap();
        known.total = known.total.checked_sub(&before).unwrap().checked_add(&after).unwrap();
        self.books.charge(&holder, &after);
    }
}

pub(crate) fn facts(roles: u8, capabilities: u8, minimum: u8) -> FrameworkFacts {
    let all = CAPABILITIES.iter().enumerate();
    let capabilities = all.filter(|(at, _)| capabilities & (1 << at) != 0).map(|(_, capability)| *capability);
    let roles: BTreeSet<Role> = named(&ROLES, roles).map(role).collect();
    let least = match minimum {
        1 => Some(vec![]),
        2 => Some(vec![resources("cpus:1").quantities()]),
        3 => Some(vec![resources("cpus:2;mem:100").quantities(), resources("ports:[1-2]").quantities()]),
        _ => None,
    };
    let minimum_offers: BTreeMap<Role, _> =
        least.iter().flat_map(|least| roles.iter().map(|role| (role.clone(), least.clone()))).collect();
    FrameworkFacts {
        roles,
        capabilities: capabilities.collect(),
        minimum_offers,
        ..FrameworkFacts::default()
    }
}

fn pick(held: &BTreeMap<Holder, Resources>, which: usize) -> Option<(Holder, Resources)> {
    let at = which.checked_rem(held.len())?;
    held.iter().nth(at).map(|(holder, held)| (holder.clone(), held.clone()))
}

/// The half of each amount; of everything else all, but for volumes.
fn halved(held: &Resources) -> Resources {
    let parts = held.iter().filter(|one| one.metadata().disk.is_none()).filter_map(|one| match one.value() {
        Value::Scalar(amount) => {
            let half = Value::Scalar(Scalar::from_thousandths(amount.thousandths() / 2)?);
            Resource::with_metadata(one.name(), half, one.metadata().clone()).ok()
        }
        Value::Ranges(_) | Value::Set(_) | Value::Devices(_) => Some(one.clone()),
    });
    Resources::of(parts).unwrap()
}
