//! A real cluster on this host, for the tests that should see real processes.
//!
//! [`LocalCluster`] starts the `lonja` binary as a master and agents, each a process of its own on a free port of loopback,
//! with folders of its own, and ends all of it when it is dropped, tasks included, also when the test panics, and soon after
//! the test's process has ended in any other way, such as by SIGKILL. What it needs is the binary and a shell; neither an
//! async runtime nor the driver.
//!
//! What [`TestCluster`](crate::testing::TestCluster) proves in a second of virtual time over thousands of faults is the rule; this is for
//! the few tests of what a task really does.
//!
//! ```no_run
//! use lonja_sdk::testing::LocalCluster;
//!
//! let mut cluster = LocalCluster::new().agents(2, "cpus:2;mem:1024").start()?;
//! println!("a driver would take {}", cluster.master_url());
//! cluster.kill_agent(0)?;
//! cluster.restart_agent(0)?;
//! # Ok::<(), lonja_sdk::testing::LocalClusterError>(())
//! ```

mod cleaning;
mod daemon;
mod watchdog;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use daemon::Daemon;
use watchdog::Watchdog;

/// How long a daemon may take to be there, or an agent to register.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The variable that names the binary.
const BINARY: &str = "LONJA_BIN";

/// Why there is no local cluster, or it did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalClusterError {
    /// There is no `lonja` binary.
    #[error(
        "no `lonja` binary: {looked}; build one by `cargo build --release -p lonja` in Lonja's repository and set \
         LONJA_BIN to its path, or put it into a folder of PATH"
    )]
    NoBinary {
        /// Where it was looked for.
        looked: String,
    },
    /// A file or a process could not be handled.
    #[error("cannot {what}")]
    Host {
        /// What was tried, with its path.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A daemon ended at its start, or did not say where it listens.
    #[error("{name} did not start: {command} {ended}; it said {said:?} and logged:\n{log}")]
    NotStarted {
        /// `master`, or `agent-0` and so on.
        name: String,
        /// What was started, with its arguments.
        command: String,
        /// How that ended.
        ended: String,
        /// Its standard output.
        said: String,
        /// The end of its log.
        log: String,
    },
    /// The agents did not register in time.
    #[error("{there} of {wanted} agents are connected after {waited:?}; logs:\n{log}")]
    NotConnected {
        /// How many are.
        there: usize,
        /// How many should be.
        wanted: usize,
        /// How long it was waited.
        waited: Duration,
        /// The ends of all logs.
        log: String,
    },
    /// No agent has this number.
    #[error("there is no agent {number}: the cluster has {agents}, numbered from 0")]
    NoAgent {
        /// As it was asked for.
        number: usize,
        /// How many there are.
        agents: usize,
    },
}

pub(crate) fn host<T>(what: impl Into<String>, result: io::Result<T>) -> Result<T, LocalClusterError> {
    result.map_err(|source| LocalClusterError::Host { what: what.into(), source })
}

/// What a cluster is to be like; [`Builder::start`] brings it up.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    agents: Vec<String>,
    master_flags: Vec<String>,
    agent_flags: Vec<String>,
}

impl Builder {
    /// So many agents more with these resources each, such as `cpus:2;mem:1024` (mem in MiB).
    #[must_use]
    pub fn agents(mut self, count: usize, resources: impl Into<String>) -> Self {
        let resources = resources.into();
        self.agents.extend(std::iter::repeat_n(resources, count));
        self
    }

    /// Flags more for the master, as `lonja master --help` lists them.
    #[must_use]
    pub fn master_flags<T: Into<String>>(mut self, flags: impl IntoIterator<Item = T>) -> Self {
        self.master_flags.extend(flags.into_iter().map(Into::into));
        self
    }

    /// Flags more for each agent, as `lonja agent --help` lists them, such as `--allow-host-path`.
    #[must_use]
    pub fn agent_flags<T: Into<String>>(mut self, flags: impl IntoIterator<Item = T>) -> Self {
        self.agent_flags.extend(flags.into_iter().map(Into::into));
        self
    }

    /// Brings the cluster up; when this returns, all agents are registered. Errors: there is no binary, or a daemon
    /// does not come up within a minute; what was started has then ended again.
    pub fn start(self) -> Result<LocalCluster, LocalClusterError> {
        self.start_from(find_binary()?)
    }

    fn start_from(self, binary: PathBuf) -> Result<LocalCluster, LocalClusterError> {
        let folder = new_folder()?;
        let watchdog = match Watchdog::over(&folder, &binary) {
            Ok(watchdog) => watchdog,
            Err(error) => {
                let _empty = fs::remove_dir(&folder);
                return Err(error);
            }
        };
        let agents = (0..self.agents.len()).map(|_| None).collect();
        let listen = "127.0.0.1:0".to_owned();
        // From here on it is the cluster's own to clean up.
        let mut cluster = LocalCluster {
            binary,
            folder,
            shape: self,
            listen,
            master: None,
            agents,
            url: String::new(),
            _watchdog: watchdog,
        };
        cluster.restart_master()?;
        for number in 0..cluster.agents.len() {
            cluster.start_agent(number)?;
        }
        cluster.until_connected()?;
        Ok(cluster)
    }
}

/// A master and agents on loopback, which end with this value. See the module.
#[derive(Debug)]
pub struct LocalCluster {
    binary: PathBuf,
    folder: PathBuf,
    shape: Builder,
    /// Where the master listens: first any port, then that one.
    listen: String,
    url: String,
    master: Option<Daemon>,
    /// `None`: was killed.
    agents: Vec<Option<Daemon>>,
    /// Called off when all else is gone.
    _watchdog: Watchdog,
}

impl LocalCluster {
    /// A cluster to be described, without agents as yet.
    // As for `TestCluster`: what is described is not there before it is started.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Is there a binary? For tests that are skipped where there is none: print the error, so that nobody takes a skipped
    /// test for one that has passed.
    pub fn available() -> Result<(), LocalClusterError> {
        find_binary().map(drop)
    }

    /// The master's address, as `http://127.0.0.1:PORT`; the same after [`LocalCluster::restart_master`].
    pub fn master_url(&self) -> &str {
        &self.url
    }

    /// The `lonja` that it runs.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The folder that everything is kept in: `master`, `agent-0` and so on, with a log for each. Removed at the end.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `kill -9` of the master, if it runs. Tasks run on.
    pub fn kill_master(&mut self) {
        drop(self.master.take());
    }

    /// Starts the master anew where it was, after a `kill -9` if it still runs.
    pub fn restart_master(&mut self) -> Result<(), LocalClusterError> {
        self.kill_master();
        let mut command = self.daemon("master", &self.listen);
        command.args(&self.shape.master_flags);
        let master = Daemon::start("master", command, &self.log_of("master"), READY_WITHIN)?;
        self.url = master.url().to_owned();
        self.listen = self.url.trim_start_matches("http://").to_owned();
        self.master = Some(master);
        Ok(())
    }

    /// `kill -9` of agent `number`, counted from 0. Its tasks run on.
    pub fn kill_agent(&mut self, number: usize) -> Result<(), LocalClusterError> {
        let agents = self.agents.len();
        let agent = self.agents.get_mut(number).ok_or(LocalClusterError::NoAgent { number, agents })?;
        drop(agent.take());
        Ok(())
    }

    /// Starts agent `number` anew on its folder, after a `kill -9` if it still runs, and waits until all agents that run
    /// are registered.
    pub fn restart_agent(&mut self, number: usize) -> Result<(), LocalClusterError> {
        self.kill_agent(number)?;
        self.start_agent(number)?;
        self.until_connected()
    }

    /// Waits until as many agents are registered as run. Errors: not within a minute.
    pub fn until_connected(&self) -> Result<(), LocalClusterError> {
        let wanted = self.agents.iter().flatten().count();
        let started = Instant::now();
        loop {
            let there = self.lonja(["agents", "-o", "json"])?;
            // Counted as text: this needs no reader of JSON. What is listed says `"state": "connected"` of each.
            let text: String = String::from_utf8_lossy(&there.stdout).split_whitespace().collect();
            let there = text.matches(r#""state":"connected""#).count();
            if there >= wanted {
                return Ok(());
            }
            let waited = started.elapsed();
            if waited > READY_WITHIN {
                return Err(LocalClusterError::NotConnected { there, wanted, waited, log: self.logs() });
            }
            // Each question is a process of its own, which is pause enough.
            std::thread::yield_now();
        }
    }

    /// Runs `lonja` with these arguments against this cluster to its end.
    pub fn lonja<'a>(
        &self,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<Output, LocalClusterError> {
        let mut command = self.command();
        command.args(arguments).env("LONJA_MASTER", &self.url).stdin(Stdio::null());
        host(format!("run {}", self.binary.display()), command.output())
    }

    /// The ends of all daemons' logs, each below its name. Printed by itself when a test panics.
    pub fn logs(&self) -> String {
        let agents = (0..self.agents.len()).map(agent_name);
        let names = std::iter::once("master".to_owned()).chain(agents);
        names.map(|name| format!("--- {name}\n{}", daemon::end_of(&self.log_of(&name)))).collect()
    }

    fn start_agent(&mut self, number: usize) -> Result<(), LocalClusterError> {
        let name = agent_name(number);
        let mut command = self.daemon("agent", "127.0.0.1:0");
        command.args(["--master", &self.url, "--resources", &self.shape.agents[number]]);
        command.arg("--work-dir").arg(self.folder.join(&name)).args(&self.shape.agent_flags);
        self.agents[number] = Some(Daemon::start(&name, command, &self.log_of(&name), READY_WITHIN)?);
        Ok(())
    }

    /// The command of a daemon, with what all have in common.
    fn daemon(&self, verb: &str, listen: &str) -> Command {
        let mut command = self.command();
        command.args([verb, "--listen", listen]);
        if verb == "master" {
            command.arg("--work-dir").arg(self.folder.join("master"));
        }
        command
    }

    /// The binary, without settings of whoever runs the test except for what is logged.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("LONJA_") && name != "LONJA_LOG" {
                command.env_remove(name);
            }
        }
        command
    }

    fn log_of(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("logs of the local cluster:\n{}", self.logs());
        }
        // Killed, not asked: an agent that ends by itself leaves its tasks, too.
        self.agents.iter_mut().for_each(|agent| drop(agent.take()));
        self.kill_master();
        for number in 0..self.agents.len() {
            cleaning::clean_up_after(&self.folder.join(agent_name(number)));
        }
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("cannot remove {}: {error}; please do", self.folder.display());
        }
    }
}

fn agent_name(number: usize) -> String {
    format!("agent-{number}")
}

/// The binary: what `LONJA_BIN` names, else the first `lonja` in a folder of `PATH`.
fn find_binary() -> Result<PathBuf, LocalClusterError> {
    find_in(env::var_os(BINARY), env::var_os("PATH"))
}

fn find_in(named: Option<OsString>, path: Option<OsString>) -> Result<PathBuf, LocalClusterError> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        // Absolute, since a test's working directory is not that of its daemons.
        return match named.canonicalize() {
            Ok(binary) if binary.is_file() => Ok(binary),
            _ => Err(LocalClusterError::NoBinary {
                looked: format!("LONJA_BIN names {}, which is no file", named.display()),
            }),
        };
    }
    let folders = path.iter().flat_map(env::split_paths);
    let found = folders.map(|folder| folder.join("lonja")).find(|binary| binary.is_file());
    found.ok_or_else(|| LocalClusterError::NoBinary {
        looked: "LONJA_BIN is not set, and no folder of PATH holds `lonja`".to_owned(),
    })
}

/// A folder of this cluster alone.
fn new_folder() -> Result<PathBuf, LocalClusterError> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("lonja-local-{}-{number}", std::process::id()));
        match fs::create_dir(&folder) {
            // Left by a process of the same id that was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return host(format!("make {}", folder.display()), made).map(|()| folder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_binary_it_says_how_to_get_one() {
        let error = find_in(None, Some("/nowhere".into())).unwrap_err().to_string();

        assert!(error.contains("LONJA_BIN is not set") && error.contains("cargo build"), "{error}");

        let error = find_in(Some("/nowhere/lonja".into()), None).unwrap_err().to_string();
        assert!(error.contains("/nowhere/lonja, which is no file"), "{error}");
    }

    #[test]
    fn a_binary_that_is_no_lonja_is_named_with_how_it_ended() {
        let began = Instant::now();
        for (program, ended) in [("/bin/true", "exit status: 0"), ("/bin/false", "exit status: 1")] {
            let error = LocalCluster::new().agents(1, "cpus:1").start_from(program.into()).unwrap_err();

            let said = error.to_string();
            let begins = format!("master did not start: {program} master --listen 127.0.0.1:0 --work-dir ");
            assert!(said.starts_with(&begins) && said.contains(&format!("ended with {ended}")), "{said}");
        }
        assert!(began.elapsed() < READY_WITHIN / 2, "{:?}", began.elapsed());
    }

    #[test]
    fn what_the_variable_names_goes_before_the_path() {
        let folder = new_folder().unwrap();
        let (named, inside) = (folder.join("mine"), folder.join("lonja"));
        fs::write(&named, "").unwrap();
        fs::write(&inside, "").unwrap();
        let path = || Some(folder.clone().into_os_string());

        let found = (find_in(Some(named.clone().into()), path()), find_in(None, path()));
        fs::remove_dir_all(&folder).unwrap();

        assert_eq!((found.0.unwrap().file_name(), found.1.unwrap()), (named.file_name(), inside));
    }
}
