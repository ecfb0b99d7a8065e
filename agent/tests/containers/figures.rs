//! Figures rather than rules: `cargo test --release -p lonja-agent --test containers -- figures`.

use std::time::{Duration, Instant};

use lonja_agent::containerizer::{Containerizer, Limits};
use lonja_agent::launcher::{Launcher, LauncherOptions};
use lonja_agent::supervisor::Owner;

use crate::host::{Host, name};

/// Containers launched one after the other.
const LAUNCHES: usize = 500;

/// Prints launch latencies and the memory of an idle container's processes.
pub fn print() {
    let launcher = Launcher::fork(LauncherOptions::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let host = Host::new(&launcher);
        launch_latency(&host).await;
        memory(&host, &launcher).await;
    });
    drop(runtime);
    launcher.stop().unwrap();
}

async fn launch_latency(host: &Host) {
    let mut launches = Vec::new();
    let mut lives = Vec::new();
    for number in 0..LAUNCHES {
        let id = format!("true{number}");
        let mut spec = host.spec(&id, "");
        spec.command = lonja_agent::containerizer::Command::Argv { program: "true".into(), args: Vec::new() };
        spec.limits = Limits { memory_bytes: Some(64 << 20), ..spec.limits };
        let before = Instant::now();
        host.start(spec).await;
        launches.push(before.elapsed());
        host.exit_of(&id).await;
        lives.push(before.elapsed());
        host.containerizer.cleanup(&name(&id)).await.unwrap();
    }
    print_quantiles("launch() of `true`", &mut launches);
    print_quantiles("launch() to exit record read", &mut lives);
}

fn print_quantiles(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |hundredths: usize| times[times.len() * hundredths / 100];
    println!("{what}: p50 {:?}, p90 {:?}, p99 {:?}, n {}", at(50), at(90), at(99), times.len());
}

async fn memory(host: &Host, launcher: &Launcher) {
    let task = host.start_shell("idle", "exec sleep 1000").await;
    let Some(Owner::Supervisor(supervisor)) = Owner::read(&host.dir.path().join("work/run/idle")).unwrap()
    else {
        panic!("no owner");
    };
    // Init is the task's parent.
    let status = std::fs::read_to_string(format!("/proc/{task}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    for (who, pid) in [
        ("launcher", launcher.pid()),
        ("supervisor", supervisor.pid),
        ("init", parent.trim().parse().unwrap()),
    ] {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = |key: &str| rollup.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
        println!("{who}: {}, {}, {}", line("Rss:"), line("Pss:"), line("Private_Dirty:"));
    }
    host.containerizer.destroy(&name("idle")).await.unwrap();
}
