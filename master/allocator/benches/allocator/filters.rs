//! Frameworks that decline.

use std::cell::RefCell;
use std::collections::BTreeSet;

use divan::Bencher;
use lonja_allocator::FrameworkFacts;
use lonja_model::offer::Filters;
use lonja_model::resources::{Quantities, Scalar};
use lonja_model::{FrameworkId, Role};

use crate::cluster::{Cluster, Seed, Size, facts, framework_id, resources, role};

/// The third is beside 50k agents × 200 frameworks what the second is, with the filters that fit into memory.
const SIZES: &[Size] = &[Size::new(10_000, 50), Size::new(10_000, 200), Size::new(50_000, 50)];

/// All agents go and come back, and everybody has refused all of them: nothing is offered. Goal: 5 ms.
#[divan::bench(args = SIZES, sample_size = 1, sample_count = 25, max_time = 2)]
fn all_refused_all_looked_at_again(bencher: Bencher, size: Size) {
    let cluster = RefCell::new(Cluster::new(size));
    cluster.borrow_mut().refuse_everything();
    bencher.with_inputs(|| cluster.borrow_mut().look_at_all_again()).bench_local_values(|()| {
        assert_eq!(cluster.borrow_mut().pass(), 0, "everybody has refused everything");
    });
}

/// The same, and what has everything looked at is one more framework that revives, for which every agent is too
/// small: REVIVE and pass. Goal: 5 ms.
#[divan::bench(args = SIZES, sample_size = 1, sample_count = 25, max_time = 2)]
fn all_refused_one_revives(bencher: Bencher, size: Size) {
    let cluster = RefCell::new(Cluster::new(size));
    cluster.borrow_mut().refuse_everything();
    let too_large = Quantities::from_iter([("cpus", Scalar::from_units(1_000).expect("a small number"))]);
    let (framework, role): (FrameworkId, Role) = (framework_id(size.roles), role(size.roles));
    let facts = FrameworkFacts { minimum_offers: [(role.clone(), vec![too_large])].into(), ..facts(&role) };
    cluster.borrow_mut().allocator.add_framework(framework.clone(), facts);
    cluster.borrow_mut().pass();
    bencher.bench_local(|| {
        let mut cluster = cluster.borrow_mut();
        cluster.allocator.revive(&framework, &BTreeSet::new());
        assert_eq!(cluster.pass(), 0, "everybody has refused everything, or finds it too small");
    });
}

/// Mesos' DeclineOffers to its end: a pass, everything declined for good, and so on until everybody has declined
/// everything; offers, declines and passes together. Two thirds of each agent, and 16 ranges of its ports, are in use.
#[divan::bench(args = [Size::new(1_000, 50), Size::new(1_000, 200)], sample_size = 1, sample_count = 3, max_time = 4)]
fn decline_offers_until_nothing_is_left(bencher: Bencher, size: Size) {
    let fill = || {
        let mut cluster = Cluster::new(size);
        let mut seed = Seed(1);
        for (number, agent) in cluster.agents.iter().enumerate() {
            let (framework, role) = &cluster.clients[number % cluster.clients.len()];
            let used = resources(&format!("cpus:16;mem:2014;disk:1024;ports:{}", ports(&mut seed)));
            cluster.allocator.charge(agent, framework, role, &used).expect("the agent is known");
        }
        cluster
    };
    bencher.with_inputs(fill).bench_local_refs(|cluster| {
        let mut declined = 0;
        while cluster.pass() > 0 {
            for allocation in std::mem::take(&mut cluster.held) {
                cluster.give_back(&allocation, Some(Filters::MAX));
                declined += 1;
            }
        }
        assert!(declined >= size.agents * size.roles, "everybody was asked about every agent");
    });
}

/// 16 ranges, each somewhere in its own sixteenth of the agent's ports.
fn ports(seed: &mut Seed) -> String {
    let ranges = (0..16).map(|part| {
        let begin = 31_000 + 62 * part + seed.below(30);
        format!("{begin}-{}", begin + seed.below(30))
    });
    format!("[{}]", ranges.collect::<Vec<_>>().join(","))
}
