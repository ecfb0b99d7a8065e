//! Everybody does the same at once.

use std::cell::RefCell;
use std::collections::BTreeSet;

use divan::Bencher;

use crate::cluster::{Cluster, Size};

const SIZES: &[Size] = &[Size::new(10_000, 200), Size::new(10_000, 1_000), Size::new(50_000, 1_000)];

/// Everything is free and everybody suppressed; then all revive, before the next pass gives them everything.
/// Mesos has this as AllocatorBacklog.
#[divan::bench(args = SIZES, sample_size = 1, sample_count = 10, max_time = 3)]
fn all_revive(bencher: Bencher, size: Size) {
    let cluster = RefCell::new(Cluster::new(size));
    let suppressed = || {
        let mut cluster = cluster.borrow_mut();
        cluster.give_all_back();
        for_each(&mut cluster, 100, false);
        assert_eq!(cluster.pass(), 0, "nobody wants anything");
    };
    bencher.with_inputs(suppressed).bench_local_values(|()| {
        let mut cluster = cluster.borrow_mut();
        for_each(&mut cluster, 100, true);
        assert!(cluster.pass() >= size.agents, "every agent is allocated");
    });
}

/// Everything is free again and everybody suppresses, before the next pass finds nobody in line.
#[divan::bench(args = SIZES, sample_size = 1, sample_count = 10, max_time = 3)]
fn all_suppress(bencher: Bencher, size: Size) {
    let cluster = RefCell::new(Cluster::new(size));
    let everybody_in_line = || {
        let mut cluster = cluster.borrow_mut();
        for_each(&mut cluster, 100, true);
        cluster.pass();
        cluster.give_all_back();
    };
    bencher.with_inputs(everybody_in_line).bench_local_values(|()| {
        let mut cluster = cluster.borrow_mut();
        for_each(&mut cluster, 100, false);
        assert_eq!(cluster.pass(), 0, "nobody wants anything");
    });
}

/// A full pass for the one per cent that is not suppressed. Mesos has this as ExtremeSuppressOffers.
#[divan::bench(args = SIZES, sample_size = 1, sample_count = 25, max_time = 2)]
fn pass_with_99_per_cent_suppressed(bencher: Bencher, size: Size) {
    let cluster = RefCell::new(Cluster::new(size));
    for_each(&mut cluster.borrow_mut(), 99, false);
    bencher.with_inputs(|| cluster.borrow_mut().give_all_back()).bench_local_values(|()| {
        assert!(cluster.borrow_mut().pass() >= size.agents, "every agent is allocated");
    });
}

/// So many per cent of the frameworks revive, or suppress, one after the other.
fn for_each(cluster: &mut Cluster, per_cent: usize, revive: bool) {
    let those = cluster.clients.len() * per_cent / 100;
    for (framework, _) in cluster.clients.iter().take(those) {
        if revive {
            cluster.allocator.revive(framework, &BTreeSet::new());
        } else {
            cluster.allocator.suppress(framework, &BTreeSet::new());
        }
    }
}
