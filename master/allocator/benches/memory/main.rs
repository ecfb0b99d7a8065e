//! How much memory the allocator takes: `cargo bench -p lonja-allocator --bench memory`.
//!
//! What the process has resident, less what it had before. 50,000 agents, all allocated, to 1,000 frameworks with
//! 100,000 filters between them. Goal: 300 MiB. Linux only; elsewhere it says so and measures nothing.

#![allow(clippy::print_stdout, reason = "a figure for whoever called it")]

#[path = "../allocator/cluster.rs"]
#[allow(dead_code, reason = "shared with the benches of time")]
mod cluster;

use std::fs;

use cluster::{AGENT, Cluster, Seed, Size, refuse, resources};

const SIZE: Size = Size::new(50_000, 1_000);
const FILTERS: usize = 100_000;

fn main() {
    // `--list` and such are for harnesses that have something to list.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let Some(before) = resident_kib() else {
        println!("memory: not measured, there is no /proc/self/status");
        return;
    };
    let say = |what: &str| {
        let kib = resident_kib().unwrap_or(before).saturating_sub(before);
        println!("memory/{SIZE}, {what}: {}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024);
    };
    let mut cluster = Cluster::new(SIZE);
    say("all free");
    filter(&mut cluster);
    say("with 100,000 filters");
    let made = cluster.pass();
    assert!(made >= SIZE.agents, "every agent is allocated");
    cluster.held = Vec::new();
    say("and all allocated");
    assert_eq!(cluster.allocator.filter_count(), FILTERS, "the filters are still in force");
}

/// Frameworks refuse agents, both drawn from a seed.
fn filter(cluster: &mut Cluster) {
    let total = resources(AGENT);
    let mut seed = Seed(3);
    while cluster.allocator.filter_count() < FILTERS {
        let agent = &cluster.agents[seed.below(SIZE.agents)];
        let (framework, role) = &cluster.clients[seed.below(cluster.clients.len())];
        refuse(&mut cluster.allocator, cluster.now, (agent, framework, role), &total);
    }
}

/// What the process has in memory, in KiB.
fn resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
