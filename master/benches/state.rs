//! How long `/state` of a large cluster takes over HTTP, and what it costs: `cargo bench -p lonja-master --bench state`.
//!
//! A real master in this process, with 10,000 agents and 50,000 tasks of ten frameworks that all are registered through
//! its inbox. `picture` is the time until the driver has answered with a snapshot, for which the core stands still;
//! `state` the time until the last byte is read, `gzip` the same compressed. What was held at most meanwhile, and how
//! long, is printed first. Goal: 500 ms for `/state`, 50 ms for the picture.

#[path = "../tests/read_endpoints/cluster.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod cluster;

use std::sync::OnceLock;
use std::time::Instant;

use cluster::{Cluster, agent_info, task};
use divan::Bencher;
use lonja_model::framework::FrameworkInfo;
use tokio::runtime::Runtime;

const AGENTS: usize = 10_000;
const FRAMEWORKS: usize = 10;
const TASKS_PER_AGENT: usize = 5;

fn main() {
    let (runtime, cluster) = large();
    runtime.block_on(async {
        // Memory that is free again counts as held until it is used anew: the second answer says what one costs.
        for _ in 0..2 {
            let before = forget_peak();
            let begun = Instant::now();
            let answer = cluster.get("/state").await;
            let (took, peak) = (begun.elapsed(), resident("VmHWM:"));
            let mib = |bytes: usize| bytes / (1 << 20);
            eprintln!(
                "/state: {} MiB in {took:?}; {} MiB resident before, {} MiB at most (the reader keeps the answer twice)",
                mib(answer.body.len()),
                mib(before),
                mib(peak)
            );
        }
    });
    divan::main();
}

#[divan::bench(sample_size = 1, sample_count = 10)]
fn picture_10k_agents_50k_tasks(bencher: Bencher) {
    let (runtime, cluster) = large();
    bencher.bench_local(|| runtime.block_on(cluster.handle().snapshot()));
}

#[divan::bench(sample_size = 1, sample_count = 10)]
fn state_10k_agents_50k_tasks(bencher: Bencher) {
    let (runtime, cluster) = large();
    bencher.bench_local(|| runtime.block_on(cluster.get("/state")).body.len());
}

#[divan::bench(sample_size = 1, sample_count = 5)]
fn gzip_10k_agents_50k_tasks(bencher: Bencher) {
    let (runtime, cluster) = large();
    let gzip = "Accept-Encoding: gzip\r\n";
    bencher.bench_local(|| runtime.block_on(cluster.ask("GET", "/state", gzip, "")).body.len());
}

/// The cluster that all benches share.
fn large() -> (&'static Runtime, &'static Cluster) {
    static SHARED: OnceLock<(Runtime, Cluster)> = OnceLock::new();
    let (runtime, cluster) = SHARED.get_or_init(|| {
        let runtime = Runtime::new().expect("a runtime starts");
        let cluster = runtime.block_on(fill());
        (runtime, cluster)
    });
    (runtime, cluster)
}

async fn fill() -> Cluster {
    let cluster = Cluster::start().await;
    for number in 0..AGENTS {
        let info = agent_info(&format!("node-{number:05}"), "cpus:64;mem:4096;ports:[31000-32000]");
        cluster.register(info).await;
    }
    // The first takes a tenth of the agents by tasks, the second of what is left, and so on.
    for number in 0..FRAMEWORKS {
        let share = AGENTS / FRAMEWORKS;
        let framework = cluster.framework(FrameworkInfo::named(format!("framework {number}")), share).await;
        for (index, offer) in framework.offers.iter().take(share).enumerate() {
            // All of the agent, so that it is offered to nobody again.
            let one = |task_index: usize| {
                let port = 31_000 + 200 * task_index;
                let last = if task_index + 1 == TASKS_PER_AGENT { 32_000 } else { port + 199 };
                let resources = format!("cpus:12.8;mem:819.2;ports:[{port}-{last}]");
                task(&format!("task-{number}-{index}-{task_index}"), &offer.agent, &resources)
            };
            cluster.launch(&framework, offer, (0..TASKS_PER_AGENT).map(one).collect()).await;
        }
        let rest = framework.offers.iter().skip(share).map(|offer| offer.id.clone()).collect();
        let filters = lonja_model::offer::Filters { refuse: std::time::Duration::from_secs(3_600) };
        cluster.call(&framework, lonja_model::scheduler::Call::Decline { offers: rest, filters }).await;
    }
    let snapshot = cluster.handle().snapshot().await.expect("the master runs");
    assert_eq!(snapshot.tasks.len(), AGENTS * TASKS_PER_AGENT);
    cluster
}

/// What the process holds now, from where its peak is counted anew.
fn forget_peak() -> usize {
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux lets a process forget its peak");
    resident("VmRSS:")
}

/// A line of `/proc/self/status`, in bytes.
fn resident(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells");
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes << 10
}
