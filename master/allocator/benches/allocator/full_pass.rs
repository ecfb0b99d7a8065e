//! Everything is free and everybody eligible.

use std::cell::RefCell;

use divan::Bencher;
use lonja_allocator::{Options, Sorter};

use crate::cluster::{AGENT, Cluster, Size};

const ONE_A_ROLE: &[Size] = &[
    Size::new(1_000, 1),
    Size::new(1_000, 50),
    Size::new(1_000, 200),
    Size::new(1_000, 1_000),
    Size::new(10_000, 1),
    Size::new(10_000, 50),
    Size::new(10_000, 200),
    Size::new(10_000, 1_000),
    Size::new(50_000, 1),
    Size::new(50_000, 50),
    Size::new(50_000, 200),
    Size::new(50_000, 1_000),
];

const FIVE_A_ROLE: &[Size] = &[
    Size::five_a_role(1_000, 50),
    Size::five_a_role(1_000, 200),
    Size::five_a_role(1_000, 1_000),
    Size::five_a_role(10_000, 50),
    Size::five_a_role(10_000, 200),
    Size::five_a_role(10_000, 1_000),
    Size::five_a_role(50_000, 50),
    Size::five_a_role(50_000, 200),
    Size::five_a_role(50_000, 1_000),
];

/// Everything has come back. Goals: 25 ms at 50k agents, 10 ms at 10k.
#[divan::bench(args = ONE_A_ROLE, sample_size = 1, sample_count = 25, max_time = 2)]
fn one_framework_a_role(bencher: Bencher, size: Size) {
    repeated(bencher, Cluster::held(size));
}

/// As before, with two levels to choose on.
#[divan::bench(args = FIVE_A_ROLE, sample_size = 1, sample_count = 25, max_time = 2)]
fn five_frameworks_a_role(bencher: Bencher, size: Size) {
    repeated(bencher, Cluster::held(size));
}

/// Everything has come back, and who comes next is drawn. Goals as by share.
#[divan::bench(args = [Size::new(10_000, 200), Size::new(50_000, 1_000)], sample_size = 1, sample_count = 25, max_time = 2)]
fn by_lot(bencher: Bencher, size: Size) {
    let options = Options { sorter: Sorter::Random, ..Options::default() };
    repeated(bencher, Cluster::of(size, AGENT, options).allocated());
}

/// The first pass of an allocator's life, its memory still untouched.
#[divan::bench(args = [Size::new(10_000, 200), Size::new(50_000, 1_000)], sample_size = 1, sample_count = 10, max_time = 4)]
fn first_of_all(bencher: Bencher, size: Size) {
    bencher.with_inputs(|| Cluster::new(size)).bench_local_refs(|cluster| {
        assert!(cluster.pass() >= size.agents, "every agent is allocated");
    });
}

fn repeated(bencher: Bencher, cluster: Cluster) {
    let agents = cluster.agents.len();
    let cluster = RefCell::new(cluster);
    bencher.with_inputs(|| cluster.borrow_mut().give_all_back()).bench_local_values(|()| {
        assert!(cluster.borrow_mut().pass() >= agents, "every agent is allocated");
    });
}
