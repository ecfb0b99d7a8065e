//! Real binaries for tests: daemons on free ports in temporary folders, ended and cleaned up by whoever drops
//! them, also when a test fails.

pub mod http;
mod judge;
mod running;
mod served;

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

pub use judge::judge;
pub use running::Running;
pub use served::Served;

/// How long anything may take that happens within a moment on a quiet machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test: beside this test's own, built if it is not there.
pub fn lonja() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    let folder = own.parent().and_then(Path::parent).expect("tests lie in target/PROFILE/deps");
    let binary = folder.join("lonja");
    if !binary.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "-p", "lonja"]).status();
        assert!(built.is_ok_and(|status| status.success()), "cargo build -p lonja failed");
    }
    binary
}

/// Runs the binary to its end.
pub fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(lonja());
    command.args(arguments).stdin(Stdio::null()).env_remove("LONJA_MASTER");
    command.output().expect("the binary starts")
}

/// What a process wrote to stdout.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a process wrote to stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Says loudly why a test cannot run here; `true` if it cannot.
pub fn needs_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: needs root");
    }
    !is_root
}

/// Asks `question` until it answers, for as long as [`PATIENCE`].
pub fn eventually<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(answer) = question() {
            return answer;
        }
        std::thread::yield_now();
    }
    panic!("{what}: not within {PATIENCE:?}");
}

/// A daemon that is killed with its handle.
pub struct Daemon {
    child: Child,
    /// Where it listens.
    pub url: String,
}

impl Daemon {
    /// Starts a daemon and waits until it says where it listens.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_in(arguments, &[])
    }

    /// The same, with these variables in its environment.
    pub fn start_in(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(lonja())
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .env_remove("LONJA_MASTER")
            .spawn()
            .expect("the binary starts");
        let mut reader = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        reader.read_line(&mut line).expect("a daemon says where it listens");
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url.unwrap_or_else(|| panic!("{arguments:?} said {line:?}")).to_owned();
        // Whatever else it says is read, so that it never waits for a reader.
        std::thread::spawn(move || {
            let mut rest = Vec::new();
            let _unread = reader.read_to_end(&mut rest);
        });
        Self { child, url }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids are small"))
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("http://").parse().expect("an address")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the daemon is there");
    }

    /// `kill -9`, and its end.
    pub fn kill9(mut self) {
        self.signal(Signal::SIGKILL);
        let _status = self.child.wait();
    }

    /// Asks it to end and waits for that.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.child.wait().expect("the daemon ends")
    }

    /// Waits until it has ended by itself.
    pub fn ended(mut self) -> ExitStatus {
        self.child.wait().expect("the daemon ends")
    }

    /// A plain HTTP GET.
    pub fn get(&self, path: &str) -> String {
        use std::io::Write;
        let mut stream = TcpStream::connect(self.address()).expect("the daemon listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Ended before: fine.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Something that tasks wait for.
pub struct Gate {
    folder: String,
}

impl Gate {
    /// A line that waits for it.
    pub const WAIT: &str = "until [ -e gates/open ]; do sleep 0.05; done";

    /// The volume that a task which waits for it needs, for `-v`.
    pub fn volume(&self) -> String {
        format!("{}:gates:ro", self.folder)
    }

    /// Lets all through, now and later.
    pub fn open(&self) {
        self.put("open");
    }

    /// Puts an empty file there, which tasks see as `gates/NAME`.
    pub fn put(&self, name: &str) {
        std::fs::write(format!("{}/{name}", self.folder), "").expect("the folder is there");
    }

    /// Takes it away.
    pub fn take(&self, name: &str) {
        std::fs::remove_file(format!("{}/{name}", self.folder)).expect("the file is there");
    }
}

/// A master and one agent, each a process of its own, that can be killed and started again.
pub struct Cluster {
    folder: TempDir,
    /// The master, while it is up.
    pub master: Option<Daemon>,
    /// The agent, while it is up.
    pub agent: Option<Daemon>,
    url: String,
}

impl Cluster {
    /// Brings both up; `master_flags` are for the master.
    pub fn start(master_flags: &[&str]) -> Self {
        Self::start_with(master_flags, "cpus:4;mem:2048;ports:[31000-31010]")
    }

    /// Brings both up, the agent with these resources.
    pub fn start_with(master_flags: &[&str], resources: &str) -> Self {
        let mut cluster = Self::without_agent(master_flags);
        cluster.start_agent(resources);
        cluster
    }

    /// Brings the master up alone.
    pub fn without_agent(master_flags: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("lonja-test-").tempdir().expect("a temporary folder");
        let mut cluster = Self { folder, master: None, agent: None, url: String::new() };
        cluster.start_master("127.0.0.1:0", master_flags);
        cluster
    }

    /// Starts the master on its work dir.
    pub fn start_master(&mut self, listen: &str, flags: &[&str]) {
        let dir = self.path("master");
        let mut arguments = vec!["master", "--work-dir", &dir, "--listen", listen, "--log", "error"];
        arguments.extend_from_slice(flags);
        let master = Daemon::start(&arguments);
        self.url.clone_from(&master.url);
        self.master = Some(master);
    }

    /// Starts the agent on its work dir and waits until the master knows it.
    pub fn start_agent(&mut self, resources: &str) {
        self.start_agent_in(resources, &[]);
    }

    /// The same, with these variables in its environment.
    pub fn start_agent_in(&mut self, resources: &str, environment: &[(&str, &str)]) {
        self.start_agent_at("127.0.0.1:0", resources, environment);
    }

    /// The same, where it listens too.
    pub fn start_agent_at(&mut self, listen: &str, resources: &str, environment: &[(&str, &str)]) {
        let dir = self.path("agent");
        let url = self.url.clone();
        let gates = self.path("gates");
        std::fs::create_dir_all(&gates).expect("a folder");
        let arguments = [
            "agent",
            "--work-dir",
            &dir,
            "--listen",
            listen,
            "--master",
            &url,
            "--resources",
            resources,
            "--allow-host-path",
            &gates,
            "--log",
            "error",
        ];
        self.agent = Some(Daemon::start_in(&arguments, environment));
        self.until_connected();
    }

    /// Waits until the agent is connected.
    pub fn until_connected(&self) {
        eventually("the agent registers", || {
            let agents = self.list("agents");
            agents.iter().any(|agent| agent["state"] == "connected").then_some(())
        });
    }

    /// Something that tasks can wait for: they see no path of the host but what is mounted.
    pub fn gate(&self) -> Gate {
        Gate { folder: self.path("gates") }
    }

    /// A path in the cluster's folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The master's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A listing as objects; none while the master is away.
    pub fn list(&self, what: &str) -> Vec<Value> {
        let output = run(&[what, "--master", &self.url, "-o", "json"]);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        document[what].as_array().cloned().unwrap_or_default()
    }

    /// Runs a command against this cluster to its end.
    pub fn lonja(&self, arguments: &[&str]) -> Output {
        run(&[arguments, &["--master", &self.url]].concat())
    }

    /// The same, and it must not fail; what it lists, as objects.
    pub fn done(&self, arguments: &[&str]) -> Vec<Value> {
        self.done_as(arguments[0], arguments)
    }

    /// The same for a command that lists something of another name than its own.
    pub fn done_as(&self, what: &str, arguments: &[&str]) -> Vec<Value> {
        let output = self.lonja(&[arguments, &["-o", "json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        let document: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
        document[what].as_array().cloned().unwrap_or_default()
    }

    /// The same, and it must fail with status 1; what it says.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.lonja(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
        stderr(&output)
    }

    /// `kill -9` of the master, and a new one on the same work dir and address.
    pub fn restart_master(&mut self, flags: &[&str]) {
        let listen = self.url["http://".len()..].to_owned();
        if let Some(master) = self.master.take() {
            master.kill9();
        }
        self.start_master(&listen, flags);
    }

    /// Starts `lonja run` in the background; what it needs goes before the `--`.
    /// It is ended with its value, also where a test fails.
    pub fn spawn_run(&self, arguments: &[&str]) -> Running {
        let mut command = Command::new(lonja());
        command.args(["run", "--master", &self.url]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running::from(command.spawn().expect("the binary starts"))
    }

    /// The one task that is in `state`, once there is one.
    pub fn task_in(&self, state: &str) -> Value {
        eventually(state, || self.list("tasks").into_iter().find(|task| task["state"] == state))
    }

    /// The process id and start time of the one running task's program.
    pub fn running_process(&self) -> (u64, String) {
        let pid = self.task_in("TASK_RUNNING")["pid"].as_u64().expect("a running task has a process");
        (pid, start_time(pid).expect("the process is there"))
    }

    /// Every supervisor that has claimed a container of the agent.
    fn supervisors(&self) -> Vec<i32> {
        let runs = std::fs::read_dir(self.folder.path().join("agent/run")).into_iter().flatten().flatten();
        let owners = runs.filter_map(|run| std::fs::read(run.path().join("owner")).ok());
        let records = owners.filter_map(|owner| serde_json::from_slice::<Value>(&owner).ok());
        records.filter_map(|record| find_pid(&record)).collect()
    }

    /// Whether a launcher, a spare or a supervisor of the agent is there: they have its arguments, and names of their own.
    fn has_helpers(&self) -> bool {
        let work_dir = self.path("agent");
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        processes.map(|process| process.path()).any(|process| {
            let read = |file: &str| std::fs::read(process.join(file)).unwrap_or_default();
            let mut arguments = read("cmdline");
            arguments.push(0);
            read("comm").starts_with(b"lonja-")
                && arguments.split(|byte| *byte == 0).any(|argument| argument == work_dir.as_bytes())
        })
    }

    /// Ends what the agent leaves running by design, and removes its control groups.
    fn clean_up(&mut self) {
        drop(self.agent.take());
        drop(self.master.take());
        for pid in self.supervisors() {
            if !is_ours(pid) {
                continue;
            }
            // SIGTERM ends its container; it then removes its own groups.
            let _gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
            eventually("a supervisor ends", || (!is_ours(pid)).then_some(()));
        }
        // A spare that is still being made would make its group again.
        eventually("launchers and spares end", || (!self.has_helpers()).then_some(()));
        let Ok(instance) = std::fs::read_to_string(self.folder.path().join("agent/instance")) else { return };
        for group in groups(instance.trim()) {
            eventually("a control group goes", || remove_group(&group).then_some(()));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.clean_up();
    }
}

/// The control groups of one agent on this host.
pub fn groups(instance: &str) -> Vec<PathBuf> {
    let hierarchies =
        std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    let all = hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]);
    all.map(|root| root.join("lonja").join(instance)).filter(|group| group.exists()).collect()
}

/// Removes a group and those below it; `true` once it is gone.
fn remove_group(group: &Path) -> bool {
    for below in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if below.path().is_dir() {
            remove_group(&below.path());
        }
    }
    let _busy = std::fs::remove_dir(group);
    !group.exists()
}

/// When a process was started, by its pid; `None` if there is none or it is a zombie.
pub fn start_time(pid: u64) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = stat.rsplit_once(") ")?.1;
    let mut fields = rest.split(' ');
    (fields.next()? != "Z").then(|| fields.nth(18).map(ToOwned::to_owned)).flatten()
}

fn is_ours(pid: i32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.starts_with("lonja-super") && u64::try_from(pid).is_ok_and(|pid| start_time(pid).is_some())
}

/// The first number called `pid` in a record.
fn find_pid(record: &Value) -> Option<i32> {
    match record {
        Value::Object(fields) => fields
            .get("pid")
            .and_then(Value::as_i64)
            .and_then(|pid| i32::try_from(pid).ok())
            .or_else(|| fields.values().find_map(find_pid)),
        _ => None,
    }
}
