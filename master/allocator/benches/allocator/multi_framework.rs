//! A day of a cluster: many frameworks of three kinds place all their tasks.
//!
//! 80 agents of 64 CPUs and 488,000 MiB; 4 frameworks with 4,000 tasks of long-running services each, 500 with 5 builds
//! and 50 with 20 batch tasks. Each takes what it can use of an offer, but not more than so many tasks from one, and
//! declines the rest for the usual 5 seconds of virtual time; who has placed all its tasks suppresses.
//!
//! Source: Mesos, `hierarchical_allocations_benchmarks.cpp`, MultiFrameworkAllocations.

use std::collections::{BTreeMap, BTreeSet};

use divan::Bencher;
use lonja_allocator::{AgentFacts, Allocation, Allocator, Options};
use lonja_model::offer::Filters;
use lonja_model::{FrameworkId, Resources, Timestamp};

use crate::cluster::{agent_id, facts, framework_id, resources, role};

/// From an empty cluster to the last task: passes, accepts, declines and the frameworks' own arithmetic.
#[divan::bench(sample_size = 1, sample_count = 10, max_time = 5)]
fn until_80_agents_554_frameworks_18500_tasks_are_placed(bencher: Bencher) {
    bencher.with_inputs(Day::new).bench_local_refs(|day| {
        while day.waiting > 0 {
            day.round();
        }
        day.placed
    });
}

struct Kind {
    frameworks: usize,
    tasks: usize,
    task: &'static str,
    most_per_offer: usize,
}

const KINDS: [Kind; 3] = [
    Kind { frameworks: 4, tasks: 4_000, task: "cpus:0.07;mem:400", most_per_offer: 100 },
    Kind { frameworks: 500, tasks: 5, task: "cpus:0.1;mem:4000", most_per_offer: 1 },
    Kind { frameworks: 50, tasks: 20, task: "cpus:1;mem:1000", most_per_offer: 5 },
];

/// What one framework still wants.
struct Wanted {
    tasks: usize,
    task: Resources,
    most_per_offer: usize,
}

struct Day {
    allocator: Allocator,
    now: Timestamp,
    wanted: BTreeMap<FrameworkId, Wanted>,
    /// Frameworks that have not placed all their tasks.
    waiting: usize,
    placed: usize,
    rounds: usize,
}

impl Day {
    fn new() -> Self {
        let mut allocator = Allocator::new(Options::default());
        let mut wanted = BTreeMap::new();
        for kind in &KINDS {
            for _ in 0..kind.frameworks {
                let number = wanted.len();
                let framework = framework_id(number);
                allocator.add_framework(framework.clone(), facts(&role(number)));
                let (task, tasks, most_per_offer) = (resources(kind.task), kind.tasks, kind.most_per_offer);
                wanted.insert(framework, Wanted { tasks, task, most_per_offer });
            }
        }
        for number in 0..80 {
            let total = resources("cpus:64;mem:488000");
            allocator.add_agent(agent_id(number), total, AgentFacts::default());
        }
        let waiting = wanted.len();
        Self { allocator, now: Timestamp::from_nanos(1_000_000_000), wanted, waiting, placed: 0, rounds: 0 }
    }

    /// One pass, and every framework's answer. If nobody was offered anything, time goes on to the end of a filter.
    fn round(&mut self) {
        self.rounds += 1;
        assert!(self.rounds < 1_000_000, "everybody gets its turn");
        let allocations = self.allocator.allocate(self.now);
        if allocations.is_empty() {
            self.now = self.allocator.next_deadline().expect("who waits has declined something");
        }
        for allocation in allocations {
            self.answer(&allocation);
        }
    }

    fn answer(&mut self, offer: &Allocation) {
        let wanted = self.wanted.get_mut(&offer.framework).expect("it was added");
        let mut rest = offer.resources.clone();
        let mut placed = 0;
        while placed < wanted.most_per_offer.min(wanted.tasks) {
            let Some(less) = rest.checked_sub(&wanted.task) else { break };
            rest = less;
            placed += 1;
        }
        wanted.tasks -= placed;
        self.placed += placed;
        let done = wanted.tasks == 0;
        if !rest.is_empty() {
            let Allocation { framework, role, agent, .. } = offer;
            let refuse = Some(Filters::DEFAULT.refuse);
            let declined = self.allocator.recover(self.now, agent, framework, role, &rest, refuse);
            declined.expect("part of what was offered");
        }
        if done && placed > 0 {
            self.allocator.suppress(&offer.framework, &BTreeSet::new());
            self.waiting -= 1;
        }
    }
}
