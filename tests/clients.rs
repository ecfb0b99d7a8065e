//! Unmodified clients of Marathon's API, as their authors published them, judge the service framework: each through its
//! scenario (`tests/clients/run`) against real daemons. Skipped where a client cannot be had.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lonja_tests::{Cluster, Served};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How long a scenario may take, with what has to be installed for it.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the runner exits with where a client cannot be had.
const CANNOT_RUN: i32 = 77;

/// The runner with all that it started, ended by whoever drops it.
struct Runner(Child);

impl Drop for Runner {
    fn drop(&mut self) {
        if let (Ok(None), Ok(group)) = (self.0.try_wait(), i32::try_from(self.0.id())) {
            // It removes its folder by itself when it is asked to end.
            let _gone = killpg(Pid::from_raw(group), Signal::SIGTERM);
        }
        let _status = self.0.wait();
    }
}

/// Runs a client through its scenario.
fn judge(client: &str) {
    let mut cluster = Cluster::without_agent(&[]);
    // What is made up from a schema is not to run anywhere.
    if client != "schema" {
        cluster.start_agent("cpus:4;mem:2048;disk:4096;ports:[31000-31100]");
    }
    let mut served = Served::on(cluster, &[]);
    let asked = PathBuf::from(served.cluster.path("restart-asked"));
    let restarted = PathBuf::from(served.cluster.path("restarted"));
    let restart =
        format!("touch '{}'; until [ -e '{}' ]; do sleep 0.05; done", asked.display(), restarted.display());
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/run"));
    command.args([client, &served.url()]).env("LONJA_CLIENTS_RESTART", restart);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut runner = Runner(command.spawn().expect("the runner starts"));
    let stdout = BufReader::new(runner.0.stdout.take().expect("stdout is piped"));
    let said = std::thread::spawn(move || {
        let lines = stdout.lines().map_while(Result::ok);
        lines.inspect(|line| eprintln!("{line}")).collect::<Vec<String>>()
    });
    let started = Instant::now();
    let status = loop {
        if let Some(status) = runner.0.try_wait().expect("it is a child") {
            break status;
        }
        assert!(started.elapsed() < PATIENCE, "{client}: its scenario has not ended within {PATIENCE:?}");
        if asked.exists() && !restarted.exists() {
            served.restart();
            std::fs::write(&restarted, "").expect("a file");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let said = said.join().expect("it reads");
    match status.code() {
        // It said `skipped: why`, which has just been printed.
        Some(CANNOT_RUN) => assert!(said.iter().any(|line| line.starts_with("skipped: ")), "{said:?}"),
        code => assert_eq!(code, Some(0), "{client}: its scenario does not hold"),
    }
}

#[test]
fn marathon_of_python_creates_scales_kills_updates_rolls_back_and_deletes() {
    judge("marathon");
}

#[test]
fn shpkpr_deploys_and_says_what_does_not_get_well() {
    judge("shpkpr");
}

#[test]
fn the_event_bus_of_npm_gets_the_events_it_asked_for_also_after_a_restart() {
    judge("event-bus");
}

#[test]
fn prometheus_discovers_every_port_of_every_instance() {
    judge("prometheus");
}

#[test]
fn whatever_the_schema_allows_is_answered_as_it_says() {
    judge("schema");
}
