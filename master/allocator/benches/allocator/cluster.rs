//! Clusters to measure with: so many agents, so many frameworks, inputs from a seed.
//!
//! Agents are those of Mesos' benchmarks (24 CPUs, 4096 MiB, 4096 MiB of disk, a thousand ports), ids are as long
//! as those a master gives. Virtual time goes on by one allocation window with each pass.
//!
//! Source: Mesos, `hierarchical_allocator_benchmarks.cpp`, DeclineOffers.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use lonja_allocator::{AgentFacts, Allocation, Allocator, FrameworkFacts, Options};
use lonja_model::{AgentId, FrameworkId, Resources, Role, Timestamp};

/// How long a master gathers changes before it allocates.
const WINDOW: Duration = Duration::from_millis(5);

/// What every agent has.
pub(crate) const AGENT: &str = "cpus:24;mem:4096;disk:4096;ports:[31000-32000]";

/// How large a cluster is, and its name in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) agents: usize,
    pub(crate) roles: usize,
    pub(crate) frameworks_per_role: usize,
}

impl Size {
    /// Every framework has a role of its own.
    pub(crate) const fn new(agents: usize, frameworks: usize) -> Self {
        Self { agents, roles: frameworks, frameworks_per_role: 1 }
    }

    /// Five frameworks share each role.
    pub(crate) const fn five_a_role(agents: usize, frameworks: usize) -> Self {
        Self { agents, roles: frameworks / 5, frameworks_per_role: 5 }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agents, roles, frameworks_per_role } = self;
        let (count, unit) = if *agents < 1_000 { (*agents, "") } else { (agents / 1_000, "k") };
        write!(f, "{count}{unit}_agents_{}_frameworks", roles * frameworks_per_role)?;
        if *frameworks_per_role > 1 { write!(f, "_in_{roles}_roles") } else { Ok(()) }
    }
}

/// Numbers that are the same in every run (SplitMix64).
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    /// From 0 up to `bound`, which is not reached.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound).expect("a bound of a benchmark is small");
        usize::try_from((mixed ^ (mixed >> 31)) % bound).expect("below a bound that was a size")
    }
}

pub(crate) fn resources(text: &str) -> Resources {
    Resources::parse(text).expect("resources are written in this file")
}

pub(crate) fn framework_id(number: usize) -> FrameworkId {
    FrameworkId::new(format!("4b6c1d9e-7a52-1-{number:04}")).expect("letters, digits and dashes")
}

pub(crate) fn agent_id(number: usize) -> AgentId {
    AgentId::new(format!("4b6c1d9e-7a52-1-S{number}")).expect("letters, digits and dashes")
}

pub(crate) fn role(number: usize) -> Role {
    Role::new(format!("role-{number:04}")).expect("letters, digits and dashes")
}

pub(crate) fn facts(role: &Role) -> FrameworkFacts {
    FrameworkFacts { roles: BTreeSet::from([role.clone()]), ..FrameworkFacts::default() }
}

/// An allocator, who is in its cluster, and what the last pass gave away.
pub(crate) struct Cluster {
    pub(crate) allocator: Allocator,
    pub(crate) now: Timestamp,
    pub(crate) agents: Vec<AgentId>,
    pub(crate) clients: Vec<(FrameworkId, Role)>,
    pub(crate) held: Vec<Allocation>,
}

impl Cluster {
    /// All agents free and to be looked at, all frameworks in line.
    pub(crate) fn new(size: Size) -> Self {
        Self::of(size, AGENT, Options::default())
    }

    /// Agents that have this, and an operator who has set that.
    pub(crate) fn of(size: Size, agent: &str, options: Options) -> Self {
        let mut allocator = Allocator::new(options);
        let mut clients = Vec::new();
        for number in 0..size.roles * size.frameworks_per_role {
            let client = (framework_id(number), role(number / size.frameworks_per_role));
            allocator.add_framework(client.0.clone(), facts(&client.1));
            clients.push(client);
        }
        let agents: Vec<AgentId> = (0..size.agents).map(agent_id).collect();
        let total = resources(agent);
        for agent in &agents {
            allocator.add_agent(agent.clone(), total.clone(), AgentFacts::default());
        }
        Self { allocator, now: Timestamp::from_nanos(1_000_000_000), agents, clients, held: Vec::new() }
    }

    /// The same with everything allocated already.
    pub(crate) fn held(size: Size) -> Self {
        Self::new(size).allocated()
    }

    /// After one pass.
    pub(crate) fn allocated(mut self) -> Self {
        self.pass();
        self
    }

    /// What is measured as a rule: one allocation over all that changed. Returns how much was allocated.
    pub(crate) fn pass(&mut self) -> usize {
        self.now = self.now + WINDOW;
        let allocations = self.allocator.allocate(self.now);
        let made = allocations.len();
        if self.held.is_empty() {
            self.held = allocations;
        } else {
            self.held.extend(allocations);
        }
        made
    }

    /// All that passes gave away comes back unused, and nobody refuses anything.
    pub(crate) fn give_all_back(&mut self) {
        for allocation in std::mem::take(&mut self.held) {
            self.give_back(&allocation, None);
        }
    }

    /// This comes back, refused for so long.
    pub(crate) fn give_back(&mut self, allocation: &Allocation, refuse: Option<Duration>) {
        let Allocation { framework, role, agent, resources } = allocation;
        let recovered = self.allocator.recover(self.now, agent, framework, role, resources, refuse);
        recovered.expect("it was allocated, and comes back once");
    }

    /// Every framework refuses every agent whole, for as long as may be.
    pub(crate) fn refuse_everything(&mut self) {
        let total = resources(AGENT);
        for (framework, role) in &self.clients {
            for agent in &self.agents {
                refuse(&mut self.allocator, self.now, (agent, framework, role), &total);
            }
        }
    }

    /// Every agent goes and comes back at once, as it was: all have to be looked at again.
    pub(crate) fn look_at_all_again(&mut self) {
        for agent in &self.agents {
            self.allocator.deactivate_agent(agent);
            self.allocator.activate_agent(agent);
        }
        assert!(self.allocator.needs_allocation(), "what was free comes back into question");
    }
}

/// As if it had been offered and declined for as long as may be.
pub(crate) fn refuse(
    allocator: &mut Allocator,
    now: Timestamp,
    (agent, framework, role): (&AgentId, &FrameworkId, &Role),
    offered: &Resources,
) {
    allocator.charge(agent, framework, role, offered).expect("the agent is known");
    let longest = Some(lonja_model::offer::Filters::MAX);
    let declined = allocator.recover(now, agent, framework, role, offered, longest);
    declined.expect("charged just now");
}
