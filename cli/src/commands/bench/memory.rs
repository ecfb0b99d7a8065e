//! Memory of daemons at rest, each a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use lonja_agent::supervisor::Owner;

/// A daemon that ends with its handle.
pub(super) struct Daemon {
    process: Child,
    watchdog: Child,
    pub(super) url: String,
}

/// Ends the daemon `$0` if this process ends without a word, killed as it may be.
const WATCHDOG: &str = r#"read word || kill -s TERM "$0""#;

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut line) = self.watchdog.stdin.take() {
            let _gone = line.write_all(b"done\n");
        }
        let _waited = self.watchdog.wait();
        // Gone already: fine.
        let _gone = nix::sys::signal::kill(self.pid(), nix::sys::signal::Signal::SIGTERM);
        let _waited = self.process.wait();
    }
}

impl Daemon {
    pub(super) fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(arguments)
            .args(["--log", "error"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().context("a daemon's stdout is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let url = line.split_whitespace().last().filter(|word| word.starts_with("http://"));
        let url = url.with_context(|| format!("{arguments:?} did not start: {line:?}"))?.to_owned();
        // In a group of its own: what ends this process, as Ctrl-C does, is not to end it too.
        let watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, &process.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { process, watchdog, url })
    }

    /// Ends it as a crash does.
    pub(super) fn kill9(mut self) {
        let _gone = self.process.kill();
        let _waited = self.process.wait();
    }

    pub(super) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).unwrap_or_default())
    }
}

/// Lines with the memory of an idle master, an idle agent, and what one container costs beside its task.
pub(crate) fn measure(work_dir: &Path) -> anyhow::Result<Vec<String>> {
    let dir = |name: &str| work_dir.join(name).display().to_string();
    let master = Daemon::start(&["master", "--work-dir", &dir("idle-master"), "--listen", "127.0.0.1:0"])?;
    let agent_dir = dir("idle-agent");
    let agent = Daemon::start(&[
        "agent",
        "--work-dir",
        &agent_dir,
        "--listen",
        "127.0.0.1:0",
        "--master",
        &master.url,
    ])?;
    let mut task = Command::new(std::env::current_exe()?)
        .args(["run", "--master", &master.url, "--", "sleep", "60"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let measured = containers(&agent_dir);
    // SIGTERM: the task is killed with it.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(task.id()).unwrap_or_default());
    let _asked = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    let _ended = task.wait();
    let supervisors = measured?;
    let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
    let line = |what: &str, kib: u64, goal: &str| format!("memory: {what} {} (goal {goal})", mib(kib));
    Ok(vec![
        line("idle master, resident", resident_kib(master.process.id())?, "30 MiB"),
        line("idle agent, resident", resident_kib(agent.process.id())?, "25 MiB"),
        line("supervisor, Pss", supervisors, "2 MiB"),
    ])
}

/// The Pss of the supervisor of the one container that runs below `agent_dir`, once it does.
fn containers(agent_dir: &str) -> anyhow::Result<u64> {
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        for run in std::fs::read_dir(Path::new(agent_dir).join("run")).into_iter().flatten().flatten() {
            if let Ok(Some(Owner::Supervisor(supervisor))) = Owner::read(&run.path()) {
                return field_kib(&format!("/proc/{}/smaps_rollup", supervisor.process.pid), "Pss:");
            }
        }
        if Instant::now() > give_up {
            bail!("no container has started below {agent_dir}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    field_kib(&format!("/proc/{pid}/status"), "VmRSS:")
}

pub(super) fn field_kib(path: &str, field: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(path).with_context(|| path.to_owned())?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.with_context(|| format!("{path} has no {field}"))
}
