//! A tiny language for tests: agents, frameworks and answers in one line each.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_model::framework::Capability;
use lonja_model::resources::{Quantities, Scalar};
use lonja_model::{AgentId, FrameworkId, Resources, Role, Timestamp};

use crate::{AgentFacts, Allocation, Allocator, FrameworkFacts, Options};

pub(crate) fn resources(text: &str) -> Resources {
    Resources::parse(text).unwrap()
}

pub(crate) fn quantities(text: &str) -> Quantities {
    resources(text).quantities()
}

pub(crate) fn agent(name: &str) -> AgentId {
    AgentId::new(name).unwrap()
}

pub(crate) fn framework(name: &str) -> FrameworkId {
    FrameworkId::new(name).unwrap()
}

pub(crate) fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

/// Roles parted by commas; none in an empty text.
pub(crate) fn roles(names: &str) -> BTreeSet<Role> {
    names.split(',').filter(|name| !name.is_empty()).map(role).collect()
}

pub(crate) fn facts(role_names: &str) -> FrameworkFacts {
    FrameworkFacts { roles: roles(role_names), ..FrameworkFacts::default() }
}

pub(crate) fn gpu_facts(role_names: &str) -> FrameworkFacts {
    FrameworkFacts { capabilities: BTreeSet::from([Capability::GpuResources]), ..facts(role_names) }
}

pub(crate) fn weight(text: &str) -> Scalar {
    Scalar::parse(text).unwrap()
}

pub(crate) struct Cluster {
    pub(crate) allocator: Allocator,
    pub(crate) now: Timestamp,
}

pub(crate) fn cluster() -> Cluster {
    let options = Options { most_slices: 1, ..Options::default() };
    Cluster { allocator: Allocator::new(options), now: Timestamp::from_nanos(1_000) }
}

impl Cluster {
    pub(crate) fn agent(mut self, name: &str, total: &str) -> Self {
        self.allocator.add_agent(agent(name), resources(total), AgentFacts::default());
        self
    }

    pub(crate) fn framework(mut self, name: &str, role_names: &str) -> Self {
        self.allocator.add_framework(framework(name), facts(role_names));
        self
    }

    pub(crate) fn weight(mut self, name: &str, amount: &str) -> Self {
        self.allocator.set_weight(role(name), weight(amount)).unwrap();
        self
    }

    /// Decides, checks everything, and tells what was allocated: `framework role agent resources`.
    pub(crate) fn allocate(&mut self) -> Vec<String> {
        let told = |allocation: &Allocation| {
            let Allocation { framework, role, agent, resources } = allocation;
            format!("{framework} {role} {agent} {resources}")
        };
        let allocations = self.allocator.allocate(self.now);
        self.allocator.check_invariants().unwrap();
        assert!(!self.allocator.needs_allocation());
        allocations.iter().map(told).collect()
    }

    pub(crate) fn advance(&mut self, seconds: u64) -> &mut Self {
        self.now = self.now + Duration::from_secs(seconds);
        self
    }

    /// An answer as [`Cluster::allocate`] tells it: these come back, refused for so long.
    pub(crate) fn give_back(&mut self, told: &str, refuse_seconds: Option<u64>) -> &mut Self {
        let [framework_name, role_name, agent_name, amount] =
            told.split(' ').collect::<Vec<_>>()[..].try_into().unwrap();
        let refuse = refuse_seconds.map(Duration::from_secs);
        let (framework, role) = (framework(framework_name), role(role_name));
        let (agent, amount) = (agent(agent_name), resources(amount));
        self.allocator.recover(self.now, &agent, &framework, &role, &amount, refuse).unwrap();
        self
    }

    pub(crate) fn charge(&mut self, told: &str) -> &mut Self {
        let [framework_name, role_name, agent_name, amount] =
            told.split(' ').collect::<Vec<_>>()[..].try_into().unwrap();
        let (framework, role) = (framework(framework_name), role(role_name));
        self.allocator.charge(&agent(agent_name), &framework, &role, &resources(amount)).unwrap();
        self
    }

    pub(crate) fn free(&self, name: &str) -> String {
        self.allocator.agent_free(&agent(name)).unwrap().to_string()
    }

    pub(crate) fn debt(&self, name: &str) -> String {
        self.allocator.debt(&agent(name)).unwrap().to_string()
    }
}
