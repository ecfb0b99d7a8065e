//! Roles with quotas.

use std::cell::RefCell;

use divan::Bencher;
use lonja_allocator::Options;
use lonja_model::quota::Quota;

use crate::cluster::{Cluster, Size, resources, role};

const EXHAUSTED: &[Size] = &[
    Size::new(1_000, 50),
    Size::new(10_000, 200),
    Size::new(10_000, 1_000),
    Size::new(50_000, 200),
    Size::new(50_000, 1_000),
];

const LARGE_AND_SMALL: &[Size] = &[Size::new(300, 300), Size::new(3_000, 3_000)];

/// Every role has reached its limit, the cluster is half free, and all of it is looked at again: nothing is offered.
/// Goal: 5 ms.
#[divan::bench(
    args = EXHAUSTED,
    sample_size = 1, sample_count = 25, max_time = 2,
)]
fn all_exhausted_all_looked_at_again(bencher: Bencher, size: Size) {
    let mut cluster = Cluster::new(size);
    let agents_each = size.agents / size.roles / 2;
    let half = format!("cpus:{};mem:{};disk:{}", 24 * agents_each, 4096 * agents_each, 4096 * agents_each);
    for number in 0..size.roles {
        cluster.allocator.set_quota(role(number), Some(only_limits(&half)));
    }
    nothing_more(bencher, cluster);
}

/// Guarantees of half an agent for five roles of six and of two agents for the sixth, which are their limits too;
/// one framework a role. One pass from nothing. Mesos has this as LargeAndSmallQuota. Goal: 50 ms for 3,000.
#[divan::bench(args = LARGE_AND_SMALL, sample_size = 1, sample_count = 10, max_time = 4)]
fn large_and_small(bencher: Bencher, size: Size) {
    let cluster = RefCell::new(large_and_small_cluster(size));
    bencher.with_inputs(|| cluster.borrow_mut().give_all_back()).bench_local_values(|()| {
        assert!(cluster.borrow_mut().pass() > 0, "quotas are served");
    });
}

/// The same once all have what they may have, and everything is looked at again: nothing is offered. Goal: 5 ms.
#[divan::bench(args = LARGE_AND_SMALL, sample_size = 1, sample_count = 10, max_time = 4)]
fn large_and_small_exhausted(bencher: Bencher, size: Size) {
    nothing_more(bencher, large_and_small_cluster(size));
}

fn large_and_small_cluster(size: Size) -> Cluster {
    let mut cluster = Cluster::of(size, "cpus:2;mem:2048;disk:2048", Options::default());
    let small = both_alike("cpus:1;mem:1024;disk:1024");
    let large = both_alike("cpus:4;mem:4096;disk:4096");
    for number in 0..size.roles {
        // Large ones stand between small ones, as names have it in practice.
        let quota = if number % 6 == 0 { &large } else { &small };
        cluster.allocator.set_quota(role(number), Some(quota.clone()));
    }
    cluster
}

fn only_limits(text: &str) -> Quota {
    Quota { limits: resources(text).quantities(), ..Quota::default() }
}

fn both_alike(text: &str) -> Quota {
    Quota { guarantees: resources(text).quantities(), limits: resources(text).quantities() }
}

/// Passes until nobody gets anything more, then measures passes over everything that offer nothing.
fn nothing_more(bencher: Bencher, mut cluster: Cluster) {
    while cluster.pass() > 0 {
        cluster.look_at_all_again();
    }
    let cluster = RefCell::new(cluster);
    bencher.with_inputs(|| cluster.borrow_mut().look_at_all_again()).bench_local_values(|()| {
        assert_eq!(cluster.borrow_mut().pass(), 0, "every role has reached its limit");
    });
}
