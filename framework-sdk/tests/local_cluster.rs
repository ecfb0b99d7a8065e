//! A scheduler on real daemons: skipped, and loudly so, where there is no `lonja` binary.
#![cfg(feature = "testing")]

use std::io::{BufRead, BufReader};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use lonja_sdk::testing::LocalCluster;

/// A cluster, or a word about why there is none.
fn cluster(agents: usize) -> Option<LocalCluster> {
    if let Err(error) = LocalCluster::available() {
        eprintln!("SKIPPED: {error}");
        return None;
    }
    Some(LocalCluster::new().agents(agents, "cpus:1;mem:256").start().expect("the cluster comes up"))
}

/// Processes with a folder among their arguments.
fn processes_of(folder: &Path) -> Vec<PathBuf> {
    let name = folder.as_os_str().as_encoded_bytes().to_owned();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let has_name = |process: &PathBuf| {
        let arguments = std::fs::read(process.join("cmdline")).unwrap_or_default();
        arguments.windows(name.len()).any(|window| window == name)
    };
    processes.filter(has_name).collect()
}

/// Starts a task that would run for an hour, and waits until it runs.
fn start_a_long_task(cluster: &LocalCluster) -> Child {
    let mut command = Command::new(cluster.binary());
    command.args(["run", "--master", cluster.master_url(), "--", "sleep", "3600"]);
    let run = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let running = |output: Output| String::from_utf8_lossy(&output.stdout).contains("TASK_RUNNING");
    while !running(cluster.lonja(["tasks", "-o", "json"]).expect("the binary runs")) {}
    run
}

#[test]
fn tasks_end_with_it_also_when_the_test_panics() {
    let Some(cluster) = cluster(1) else { return };
    let folder = cluster.folder().to_owned();
    let mut run = start_a_long_task(&cluster);

    let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let _cluster = cluster;
        panic!("as tests do");
    }));
    run.kill().unwrap();
    run.wait().unwrap();

    assert!(panicked.is_err());
    assert_eq!(processes_of(&folder), Vec::<PathBuf>::new());
    assert!(!folder.exists());
}

#[test]
fn it_brings_daemons_up_runs_a_task_survives_kills_and_leaves_nothing() {
    let Some(mut cluster) = cluster(2) else { return };
    let folder = cluster.folder().to_owned();

    let ran = cluster.lonja(["run", "--", "echo", "here"]).unwrap();
    assert!(String::from_utf8_lossy(&ran.stdout).contains("here"), "{ran:?}");

    let url = cluster.master_url().to_owned();
    cluster.kill_agent(1).unwrap();
    cluster.restart_master().unwrap();
    cluster.restart_agent(1).unwrap();
    assert_eq!(cluster.master_url(), url);
    assert!(cluster.kill_agent(2).unwrap_err().to_string().contains("no agent 2"));

    drop(cluster);
    assert_eq!(processes_of(&folder), Vec::<PathBuf>::new());
    assert!(!folder.exists());
}

/// The variable that makes a test of this file the one that is killed.
const VICTIM: &str = "LONJA_TEST_VICTIM";

#[test]
fn nothing_outlives_a_test_that_is_killed() {
    if std::env::var_os(VICTIM).is_some() {
        let cluster = cluster(1).expect("the other process has found a binary");
        let mut run = start_a_long_task(&cluster);
        println!("\nfolder={}", cluster.folder().display());
        let _killed = run.wait();
        return;
    }
    if let Err(error) = LocalCluster::available() {
        eprintln!("SKIPPED: {error}");
        return;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", "nothing_outlives_a_test_that_is_killed", "--nocapture"]).env(VICTIM, "1");
    let mut victim = victim.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
    let folder = lines.filter_map(|line| line.strip_prefix("folder=").map(PathBuf::from)).next();
    let folder = folder.expect("it says where its cluster is");
    let before = processes_of(&folder);

    victim.kill().unwrap();
    victim.wait().unwrap();

    let began = Instant::now();
    while !processes_of(&folder).is_empty() || folder.exists() {
        let left = processes_of(&folder);
        assert!(began.elapsed() < Duration::from_secs(60), "left in {}: {left:?}", folder.display());
        std::thread::yield_now();
    }
    assert!(before.len() >= 4, "master, agent, launcher and a supervisor were there: {before:?}");
}
