//! Figures rather than rules: `cargo test --release -p lonja-agent --test containers -- figures`.

use std::time::{Duration, Instant};

use lonja_agent::containerizer::{Confinement, Containerizer, Limits};
use lonja_agent::launcher::{Launcher, LauncherOptions};

use lonja_model::profile::Profile;

use crate::host::{Host, name};

/// Prints launch latencies and the memory of an idle container's processes.
pub fn print() {
    let launcher = Launcher::fork(LauncherOptions::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let host = Host::new(&launcher);
        launch_latency(&host, "back to back", 200, Duration::ZERO).await;
        // After a pause the kernel waits for an RCU grace period before the first move of a process
        // between control groups, some 10 ms on a quiet host.
        launch_latency(&host, "100 ms apart", 50, Duration::from_millis(100)).await;
        memory(&host, &launcher).await;
    });
    drop(runtime);
    launcher.stop().unwrap();
}

/// Profiles take turns, so that all meet the same weather.
async fn launch_latency(host: &Host, how: &str, count: usize, pause: Duration) {
    let profiles = [
        (Profile::Host, Confinement::host()),
        (Profile::Default, Confinement::standard()),
        (Profile::Hardened, Confinement::hardened()),
    ];
    let mut times = [const { (Vec::new(), Vec::new()) }; 3];
    for number in 0..count * profiles.len() {
        tokio::time::sleep(pause).await;
        let id = format!("true{count}-{number}");
        let mut spec = host.spec(&id, "");
        spec.command = lonja_agent::containerizer::Command::Argv { program: "true".into(), args: Vec::new() };
        spec.limits = Limits { memory_bytes: Some(64 << 20), ..spec.limits };
        let turn = number % profiles.len();
        (spec.profile, spec.confinement) = profiles[turn].clone();
        let (launches, lives) = &mut times[turn];
        let before = Instant::now();
        host.start(spec).await;
        launches.push(before.elapsed());
        host.exit_of(&id).await;
        lives.push(before.elapsed());
        host.containerizer.cleanup(&name(&id)).await.unwrap();
    }
    for ((profile, _), (launches, lives)) in profiles.iter().zip(&mut times) {
        print_quantiles(&format!("{profile:<8} launch() of `true`, {how}"), launches);
        print_quantiles(&format!("{profile:<8} launch() to exit record read, {how}"), lives);
    }
}

fn print_quantiles(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |hundredths: usize| times[times.len() * hundredths / 100];
    println!(
        "{what}: p10 {:?}, p50 {:?}, p90 {:?}, p99 {:?}, n {}",
        at(10),
        at(50),
        at(90),
        at(99),
        times.len()
    );
}

async fn memory(host: &Host, launcher: &Launcher) {
    let task = host.start_shell("idle", "exec sleep 1000").await;
    // Init is the task's parent.
    let status = std::fs::read_to_string(format!("/proc/{task}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    for (who, pid) in [
        ("launcher", launcher.pid()),
        ("supervisor", host.owner("idle").process.pid),
        ("init", parent.trim().parse().unwrap()),
    ] {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = |key: &str| rollup.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
        println!("{who}: {}, {}, {}", line("Rss:"), line("Pss:"), line("Private_Dirty:"));
    }
    host.containerizer.destroy(&name("idle")).await.unwrap();
}
