//! Clients of others, as their authors published them, which judge a daemon: `tests/clients/run` takes each through its scenario.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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

/// Runs a client through its scenario against the daemon at `address`; `restart` kills that daemon and starts it again there.
/// Where the client cannot be had, why has been printed.
///
/// # Panics
/// The scenario does not hold.
pub fn judge(client: &str, address: &str, mut restart: impl FnMut()) {
    let folder = tempfile::Builder::new().prefix("lonja-judge-").tempdir().expect("a temporary folder");
    let (asked, restarted) = (folder.path().join("restart-asked"), folder.path().join("restarted"));
    let wish =
        format!("touch '{}'; until [ -e '{}' ]; do sleep 0.05; done", asked.display(), restarted.display());
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/run"));
    command.args([client, address]).env("LONJA_CLIENTS_RESTART", wish);
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
            restart();
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
