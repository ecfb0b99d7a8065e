//! One thing changes in a large cluster in which everything is allocated.

use std::cell::RefCell;
use std::collections::BTreeMap;

use divan::Bencher;
use lonja_allocator::{AgentFacts, Allocation};
use lonja_model::AgentId;

use crate::cluster::{AGENT, Cluster, Seed, Size, agent_id, resources};

const LARGE: &[Size] = &[Size::new(10_000, 200), Size::new(50_000, 1_000)];

/// All that one agent has comes back at once, and goes to others: recover and pass. Goal: 20 µs.
#[divan::bench(args = LARGE, sample_size = 1, sample_count = 2_000, max_time = 1)]
fn one_agent_returns(bencher: Bencher, size: Size) {
    let shares = RefCell::new(Shares::new(Cluster::held(size)));
    bencher.with_inputs(|| shares.borrow_mut().draw_agent()).bench_local_values(|all| {
        shares.borrow_mut().give_back(&all);
        all
    });
}

/// A task that had an eighth of an agent ends: recover and pass. Goal: 20 µs.
#[divan::bench(args = LARGE, sample_size = 1, sample_count = 2_000, max_time = 1)]
fn one_task_ends(bencher: Bencher, size: Size) {
    let shares = RefCell::new(Shares::new(in_eighths(size)));
    bencher.with_inputs(|| shares.borrow_mut().draw_one()).bench_local_values(|one| {
        shares.borrow_mut().give_back(&one);
        one
    });
}

/// The cluster's total changes, and with it the share of everybody: one more agent and a pass. Mesos' sorters have
/// this as FullSort.
#[divan::bench(args = LARGE, sample_size = 1, sample_count = 200, max_time = 1)]
fn one_agent_joins(bencher: Bencher, size: Size) {
    let cluster = RefCell::new(Cluster::held(size));
    let (newcomer, total) = (agent_id(size.agents), resources(AGENT));
    let without = || {
        let mut cluster = cluster.borrow_mut();
        cluster.allocator.remove_agent(&newcomer);
        cluster.held.retain(|allocation| allocation.agent != newcomer);
        cluster.pass();
    };
    bencher.with_inputs(without).bench_local_values(|()| {
        let mut cluster = cluster.borrow_mut();
        cluster.allocator.add_agent(newcomer.clone(), total.clone(), AgentFacts::default());
        assert!(cluster.pass() > 0, "the newcomer is allocated");
    });
}

/// What is allocated, by agent, and a seed to draw from it.
struct Shares {
    cluster: Cluster,
    by_agent: BTreeMap<AgentId, Vec<Allocation>>,
    seed: Seed,
}

impl Shares {
    fn new(cluster: Cluster) -> Self {
        let mut shares = Self { cluster, by_agent: BTreeMap::new(), seed: Seed(2) };
        shares.file();
        shares
    }

    /// Files what passes have given away.
    fn file(&mut self) {
        for allocation in self.cluster.held.drain(..) {
            self.by_agent.entry(allocation.agent.clone()).or_default().push(allocation);
        }
    }

    /// All that is allocated of one agent.
    fn draw_agent(&mut self) -> Vec<Allocation> {
        self.file();
        let agent = self.seed.below(self.cluster.agents.len());
        self.by_agent.remove(&self.cluster.agents[agent]).expect("everything is allocated")
    }

    /// One of its allocations.
    fn draw_one(&mut self) -> Vec<Allocation> {
        let mut all = self.draw_agent();
        let one = all.swap_remove(self.seed.below(all.len()));
        if !all.is_empty() {
            self.by_agent.insert(one.agent.clone(), all);
        }
        vec![one]
    }

    /// What is measured: these come back, and what they free is allocated again.
    fn give_back(&mut self, allocations: &[Allocation]) {
        for allocation in allocations {
            self.cluster.give_back(allocation, None);
        }
        assert!(self.cluster.pass() > 0, "what came back is allocated again");
    }
}

/// Every agent is used up by eight tasks of frameworks that take turns.
fn in_eighths(size: Size) -> Cluster {
    let mut cluster = Cluster::new(size);
    let eighths: Vec<_> = (0..8)
        .map(|part| {
            let begin = 31_000 + 125 * part;
            let end = if part == 7 { 32_000 } else { begin + 124 };
            resources(&format!("cpus:3;mem:512;disk:512;ports:[{begin}-{end}]"))
        })
        .collect();
    for (number, agent) in cluster.agents.iter().enumerate() {
        for (part, eighth) in eighths.iter().enumerate() {
            let (framework, role) = &cluster.clients[(8 * number + part) % cluster.clients.len()];
            cluster.allocator.charge(agent, framework, role, eighth).expect("the agent is known");
            let (framework, role) = (framework.clone(), role.clone());
            let allocation = Allocation { framework, role, agent: agent.clone(), resources: eighth.clone() };
            cluster.held.push(allocation);
        }
    }
    assert_eq!(cluster.pass(), 0, "every agent is used up");
    cluster
}
