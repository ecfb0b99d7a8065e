//! Other programs that start containers, each with the same root and the same no-op.
//!
//! Each runs in a process of its own that is asked for batches through a pipe. For OCI runtimes that process has a
//! mount namespace without the v2 tree of a hybrid host: crun refuses hybrid hosts, and limits are v1 there.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// A program that starts containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    /// `runc run`, everything that Docker's default has but the network and seccomp.
    Runc,
    /// `crun run`, the same bundle.
    Crun,
    /// `crun run` with a network namespace.
    CrunNet,
    /// `bwrap`, process ids, ipc, host name and mounts, no control group.
    Bwrap,
}

impl Peer {
    pub(super) const ALL: [Self; 4] = [Self::Runc, Self::Crun, Self::CrunNet, Self::Bwrap];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Runc => "runc run",
            Self::Crun => "crun run",
            Self::CrunNet => "crun run, network namespace",
            Self::Bwrap => "bwrap",
        }
    }

    fn argument(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
            Self::CrunNet => "crun-net",
            Self::Bwrap => "bwrap",
        }
    }

    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Crun | Self::CrunNet => "crun",
            Self::Bwrap => "bwrap",
        }
    }

    /// Whether the program is on the path.
    pub(super) fn is_there(self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(self.program()).is_file())
    }

    /// Makes what the program needs below `folder`: a root, and a bundle that describes it.
    fn prepare(self, folder: &Path) -> anyhow::Result<()> {
        let root = folder.join("rootfs");
        for part in ["proc", "dev", "sys", "tmp"] {
            fs::create_dir_all(root.join(part))?;
        }
        super::noop::write(&root.join("noop"))?;
        if self != Self::Bwrap {
            fs::write(folder.join("config.json"), serde_json::to_vec(&bundle(self == Self::CrunNet))?)?;
        }
        Ok(())
    }

    fn once(self, folder: &Path, id: &str) -> Command {
        let mut command = Command::new(self.program());
        if self == Self::Bwrap {
            command.args(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--bind"]);
            command.arg(folder.join("rootfs")).args(["/", "--proc", "/proc", "--dev", "/dev", "--", "/noop"]);
        } else {
            command.arg("--root").arg(folder.join("state"));
            if self != Self::Runc {
                command.arg("--cgroup-manager=cgroupfs");
            }
            command.arg("run").arg("--bundle").arg(folder).arg(id);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

/// The description of a container as Docker would have it, without its network and its seccomp table.
///
/// Source: OCI runtime specification 1.0.
fn bundle(network: bool) -> Value {
    let mount = |target: &str, kind: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": kind, "options": options });
    let capabilities = [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ];
    let mut namespaces = vec!["pid", "ipc", "uts", "mount"];
    if network {
        namespaces.push("network");
    }
    let namespaces: Vec<Value> = namespaces.into_iter().map(|kind| json!({ "type": kind })).collect();
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": ["/noop"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "bench",
        "mounts": [
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/tmp", "tmpfs", &["nosuid", "nodev", "mode=1777"]),
        ],
        "linux": {
            "namespaces": namespaces,
            "resources": {
                "memory": { "limit": 64 << 20 },
                "cpu": { "shares": 1024 },
                "pids": { "limit": 256 },
            },
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/sched_debug", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

/// How many containers a second two processes start and end, each `count` of them.
pub(super) fn two_at_once(peer: Peer, folder: &Path, count: usize) -> anyhow::Result<f64> {
    let start = |number: usize| Asked::start(peer, &folder.join(format!("two-{number}")));
    let mut both = [start(0)?, start(1)?];
    let began = Instant::now();
    both.iter_mut().try_for_each(|asked| asked.ask(count))?;
    for asked in &mut both {
        asked.answer(count)?;
    }
    Ok(2.0 * count as f64 / began.elapsed().as_secs_f64())
}

/// A peer's process, which waits to be asked.
pub(super) struct Asked {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Asked {
    /// Errors: it cannot be started, or its first container fails, with what it said.
    pub(super) fn start(peer: Peer, folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join(peer.argument());
        fs::create_dir_all(&folder)?;
        peer.prepare(&folder)?;
        let lonja = std::env::current_exe()?;
        let mut command = if peer == Peer::Bwrap {
            Command::new(&lonja)
        } else {
            // What is mounted over v1 hierarchies only; elsewhere there is nothing to unmount.
            let line = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"";
            let mut command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "sh", "-c", line, "sh"]).arg(&lonja);
            command
        };
        command.args(["bench", "start-peer", peer.argument()]).arg(&folder);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = process.stdin.take().context("its input is piped")?;
        let output = BufReader::new(process.stdout.take().context("its output is piped")?);
        let mut asked = Self { process, input, output };
        asked.batch(1)?;
        Ok(asked)
    }

    /// Times so many containers, one after another, each from start to gone.
    pub(super) fn batch(&mut self, count: usize) -> anyhow::Result<Vec<Duration>> {
        self.ask(count)?;
        self.answer(count)
    }

    fn ask(&mut self, count: usize) -> anyhow::Result<()> {
        writeln!(self.input, "{count}")?;
        Ok(self.input.flush()?)
    }

    fn answer(&mut self, count: usize) -> anyhow::Result<Vec<Duration>> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if let Some(problem) = line.strip_prefix("error ") {
            bail!("{}", problem.trim());
        }
        let times = line.split_whitespace().map(str::parse::<u64>);
        let times: Vec<u64> = times.collect::<Result<_, _>>().context("a peer's answer")?;
        if times.len() != count {
            bail!("a peer ended early");
        }
        Ok(times.into_iter().map(Duration::from_nanos).collect())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _waited = self.process.wait();
    }
}

/// The other end: runs containers as it is asked, one number a line, and answers with nanoseconds.
pub(crate) fn serve(peer: Peer, folder: &Path) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    let mut made = 0;
    for line in io::stdin().lock().lines() {
        let count: u64 = line?.trim().parse()?;
        let mut times = Vec::new();
        for _ in 0..count {
            made += 1;
            match once(peer, folder, &format!("lonja-bench-{}-{made}", std::process::id())) {
                Ok(time) => times.push(time.as_nanos().to_string()),
                Err(error) => {
                    times = vec![format!("error {}", error.to_string().replace('\n', " "))];
                    break;
                }
            }
        }
        writeln!(output, "{}", times.join(" "))?;
        output.flush()?;
    }
    Ok(())
}

fn once(peer: Peer, folder: &Path, id: &str) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let ended = peer.once(folder, id).output().with_context(|| peer.program().to_owned())?;
    let took = began.elapsed();
    if !ended.status.success() {
        let said: String = String::from_utf8_lossy(&ended.stderr).chars().take(300).collect();
        bail!("{} ended with {}: {}", peer.program(), ended.status, said.trim());
    }
    Ok(took)
}
