//! One hierarchy for all controllers (cgroup v2).
//!
//! cgroups-rs's own v2 hierarchy is fixed to `/sys/fs/cgroup`; its controllers take any directory, so
//! they are used directly. That also lets a delegated subtree, or a recorded tree in a test, be the
//! root. Ours are: enabling controllers down the path, events, `memory.oom.group`, swap, removal.
//!
//! Source: Linux `Documentation/admin-guide/cgroup-v2.rst`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::hugetlb::HugeTlbController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;

use super::figures::{self, Keyed};
use super::files::{self, IsolationError};
use super::limits::CPU_PERIOD_US;
use super::v1::{limit_error, no_io};
use super::{
    Cgroup, CpuUsage, DeviceRule, IoLimits, IoThrottle, Limits, MemoryUsage, OomWatch, Swap, Usage,
    device_program, processes,
};

/// The controllers that carry our limits.
const WANTED: [&str; 5] = ["cpu", "hugetlb", "io", "memory", "pids"];

/// One container's group below `root`, a v2 mount point or a delegated subtree.
pub(super) struct V2Cgroup {
    root: PathBuf,
    group: PathBuf,
}

impl V2Cgroup {
    pub(super) fn new(root: &Path, below: &Path) -> Self {
        Self { root: root.to_owned(), group: root.join(below) }
    }

    /// Its directory.
    pub(super) fn path(&self) -> &Path {
        &self.group
    }

    fn file(&self, name: &str) -> PathBuf {
        self.group.join(name)
    }

    fn make(&self) -> Result<(), IsolationError> {
        files::create(&self.group)
    }

    /// Switches the controllers on from the root to the group's parent.
    fn enable_controllers(&self) -> Result<(), IsolationError> {
        let wanted = |path: &Path| {
            let listed = files::read(&path.join("cgroup.controllers"))?;
            Ok(listed.split_whitespace().filter(|name| WANTED.contains(name)).count())
        };
        // What the root has came down to us already: usual from the second container on.
        if wanted(&self.group)? == wanted(&self.root)? {
            return Ok(());
        }
        let mut parents: Vec<&Path> =
            self.group.ancestors().skip(1).take_while(|parent| parent.starts_with(&self.root)).collect();
        parents.reverse();
        for parent in parents {
            let available = files::read(&parent.join("cgroup.controllers"))?;
            let switch = parent.join("cgroup.subtree_control");
            let enabled = files::read(&switch)?;
            let missing: Vec<String> = available
                .split_whitespace()
                .filter(|name| WANTED.contains(name))
                .filter(|name| !enabled.split_whitespace().any(|other| other == *name))
                .map(|name| format!("+{name}"))
                .collect();
            if !missing.is_empty() {
                files::write(&switch, &missing.join(" "))?;
            }
        }
        Ok(())
    }

    fn has(&self, file: &str) -> bool {
        self.file(file).exists()
    }
}

/// The v2 weight (1 to 10,000) for v1 shares (2 to 262,144), as the kernel's users convert it.
/// Source: OCI runtime specification implementers' formula, 1 + (shares - 2) * 9999 / 262142.
fn weight_of(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

/// Whether this v2 root offers controllers, and which.
pub(super) fn controllers_of(root: &Path) -> Vec<String> {
    let listed = files::read(&root.join("cgroup.controllers")).unwrap_or_default();
    listed.split_whitespace().map(str::to_owned).collect()
}

/// The part of the interface that v2 has without any controller; the hybrid driver borrows it.
impl V2Cgroup {
    /// The directory that children can be born in.
    pub(super) fn open(&self) -> Option<OwnedFd> {
        files::open_directory(&self.group).ok()
    }

    /// Lets what runs in the group open and make these devices only.
    pub(super) fn limit_devices(&self, rules: &[DeviceRule]) -> Result<(), IsolationError> {
        let refused = |source| IsolationError::DeviceFilter { path: self.group.clone(), source };
        let group = files::open_directory(&self.group).map_err(refused)?;
        match device_program::attach(group.as_fd(), rules) {
            // Told once, at the agent's start.
            Err(_) if !device_program::can_load() => Ok(()),
            other => other.map_err(refused),
        }
    }

    /// Where the hierarchy counts huge pages.
    pub(super) fn limit_huge_pages(&self, limits: &Limits) -> Result<(), IsolationError> {
        let Some(allowed) = &limits.huge_pages else {
            return Ok(());
        };
        let controller = HugeTlbController::new(self.group.clone(), PathBuf::new(), true);
        for size in controller.get_sizes().into_iter().filter(|size| self.has(&format!("hugetlb.{size}.max")))
        {
            let bytes = allowed.get(&size).copied().unwrap_or(0);
            controller.set_limit_in_bytes(&size, bytes).map_err(limit_error("huge pages", &self.group))?;
        }
        Ok(())
    }

    pub(super) fn pressure(&self) -> super::Pressure {
        figures::pressure(&self.group)
    }
}

impl V2Cgroup {
    fn limit_cpu(&self, limits: &Limits) -> Result<(), IsolationError> {
        let cpu = CpuController::new(self.group.clone(), PathBuf::new(), true);
        if let Some(shares) = limits.cpu_shares().filter(|_| self.has("cpu.weight")) {
            cpu.set_shares(weight_of(shares)).map_err(limit_error("CPU", &self.group))?;
        }
        if let Some(quota) = limits.cpu_quota_us().filter(|_| self.has("cpu.max")) {
            cpu.set_cfs_quota_and_period(Some(quota), Some(CPU_PERIOD_US))
                .map_err(limit_error("CPU", &self.group))?;
        }
        Ok(())
    }

    fn limit_memory(&self, limits: &Limits) -> Result<(), IsolationError> {
        if !self.has("memory.max") {
            return Ok(());
        }
        let memory = MemController::new(self.group.clone(), PathBuf::new(), true);
        let refused = limit_error("memory", &self.group);
        let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        if let Some(request) = limits.memory_request_bytes {
            memory.set_soft_limit(number(request)).map_err(&refused)?;
        }
        // The kernel then kills the container whole, also when it is the host that is short of memory.
        if self.has("memory.oom.group") {
            files::write(&self.file("memory.oom.group"), "1")?;
        }
        let Some(bytes) = limits.memory_bytes else {
            return Ok(());
        };
        memory.set_limit(number(bytes)).map_err(&refused)?;
        let swap = match limits.swap {
            Swap::None => 0,
            Swap::Bytes(swap) => number(swap),
            Swap::Unlimited => return Ok(()),
        };
        if self.has("memory.swap.max") {
            memory.set_memswap_limit(swap).map_err(&refused)?;
        }
        Ok(())
    }

    fn limit_io(&self, limits: &IoLimits) -> Result<(), IsolationError> {
        if limits.is_empty() {
            return Ok(());
        }
        if !self.has("io.max") {
            return Err(no_io("controller 'io' is not available"));
        }
        files::write_each(&self.file("io.max"), limits.throttles.iter().map(throttle_line))?;
        let Some(weight) = limits.weight else {
            return Ok(());
        };
        // 100 is everyone's in all of them.
        for name in ["io.bfq.weight", "io.weight"] {
            if self.has(name) {
                return files::write(&self.file(name), &format!("default {weight}"));
            }
        }
        Err(no_io("this kernel's block device scheduler knows no weights; leave the weight out"))
    }

    fn cpu_usage(&self) -> CpuUsage {
        let statistics = Keyed::read(&self.file("cpu.stat"));
        let ns = |key: &str| statistics.get(key).map(|us| us.saturating_mul(1_000));
        let limit = files::read(&self.file("cpu.max")).unwrap_or_default();
        CpuUsage {
            user_ns: ns("user_usec"),
            system_ns: ns("system_usec"),
            limit_thousandths: limit
                .split_once(' ')
                .and_then(|(quota, period)| figures::cpu_limit(quota, period)),
            periods: statistics.get("nr_periods"),
            throttled_periods: statistics.get("nr_throttled"),
            throttled_ns: ns("throttled_usec"),
        }
    }

    fn memory_usage(&self) -> MemoryUsage {
        let statistics = Keyed::read(&self.file("memory.stat"));
        let events = Keyed::read(&self.file("memory.events"));
        let number = |name: &str| figures::number(&self.file(name));
        MemoryUsage {
            rss_bytes: statistics.get("anon"),
            cache_bytes: statistics.get("file"),
            mapped_bytes: statistics.get("file_mapped"),
            shared_bytes: statistics.get("shmem"),
            swap_bytes: number("memory.swap.current"),
            peak_bytes: number("memory.peak"),
            limit_bytes: number("memory.max"),
            soft_limit_bytes: number("memory.low").filter(|bytes| *bytes > 0),
            limit_hits: events.get("max"),
            oom_kills: events.get("oom_kill"),
        }
    }
}

/// A line for `io.max`.
fn throttle_line(limit: &IoThrottle) -> String {
    use std::fmt::Write;
    let mut line = format!("{}:{}", limit.major, limit.minor);
    for (key, rate) in [
        ("rbps", limit.read_bps),
        ("wbps", limit.write_bps),
        ("riops", limit.read_iops),
        ("wiops", limit.write_iops),
    ] {
        if let Some(rate) = rate {
            let _ = write!(line, " {key}={rate}");
        }
    }
    line
}

impl Cgroup for V2Cgroup {
    fn create(&self) -> Result<(), IsolationError> {
        self.make()?;
        self.enable_controllers()
    }

    fn limit(&self, limits: &Limits) -> Result<(), IsolationError> {
        let group = &self.group;
        self.limit_cpu(limits)?;
        self.limit_memory(limits)?;
        self.limit_io(&limits.io)?;
        self.limit_huge_pages(limits)?;
        if let Some(rules) = &limits.devices {
            self.limit_devices(rules)?;
        }
        if let Some(limit) = limits.pids_with_init().filter(|_| self.has("pids.max")) {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            PidController::new(group.clone(), PathBuf::new(), true)
                .set_pid_max(MaxValue::Value(limit))
                .map_err(limit_error("process count", group))?;
        }
        Ok(())
    }

    fn resize(&self, limits: &Limits) -> Result<(), IsolationError> {
        self.limit_cpu(limits)?;
        if limits.cpu_quota_us().is_none() && self.has("cpu.max") {
            files::write(&self.file("cpu.max"), &format!("max {CPU_PERIOD_US}"))?;
        }
        // Nothing but a number is a limit that could grow.
        let held = figures::number(&self.file("memory.max"));
        let grown = limits.memory_bytes.filter(|wanted| held.is_some_and(|held| *wanted > held));
        if held.is_some() && limits.memory_bytes.is_none() {
            files::write(&self.file("memory.max"), "max")?;
        }
        self.limit_memory(&Limits { memory_bytes: grown, ..limits.clone() })?;
        self.limit_huge_pages(limits)
    }

    fn attach(&self, pid: i32) -> Result<(), IsolationError> {
        files::write(&self.file("cgroup.procs"), &pid.to_string())
    }

    fn birthplace(&self) -> Option<OwnedFd> {
        self.open()
    }

    fn attach_newborn(&self, _: i32) -> Result<(), IsolationError> {
        Ok(())
    }

    fn kill_all(&self) -> Result<(), IsolationError> {
        match files::write(&self.file("cgroup.kill"), "1") {
            // Before Linux 5.14 there is no cgroup.kill; a missing group has nothing to kill.
            Err(IsolationError::Write { source, .. }) if files::is_gone(&source) => {
                processes::kill_listed_below(&self.group)
            }
            other => other,
        }
    }

    fn oom_kills(&self) -> Result<u64, IsolationError> {
        if !self.has("memory.events") {
            return Ok(0);
        }
        files::read_keyed(&self.file("memory.events"), "oom_kill")
    }

    fn forks_refused(&self) -> Result<u64, IsolationError> {
        Ok(Keyed::read(&self.file("pids.events")).get("max").unwrap_or(0))
    }

    fn oom_watch(&self) -> Result<Option<OomWatch>, IsolationError> {
        let path = self.file("memory.events");
        match File::open(&path) {
            Ok(file) => {
                let watch = OomWatch { fd: file.into(), events: libc::POLLPRI };
                watch.acknowledge();
                Ok(Some(watch))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(IsolationError::Read { path, source }),
        }
    }

    fn memory_peak(&self) -> Result<u64, IsolationError> {
        // memory.peak came with Linux 5.19; before it, what is in use now is the best there is.
        for name in ["memory.peak", "memory.current"] {
            if self.has(name) {
                return files::read_number(&self.file(name));
            }
        }
        Ok(0)
    }

    fn is_populated(&self) -> Result<bool, IsolationError> {
        match files::read_keyed(&self.file("cgroup.events"), "populated") {
            Ok(populated) => Ok(populated != 0),
            Err(IsolationError::Read { source, .. }) if files::is_gone(&source) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn members(&self) -> Result<BTreeSet<i32>, IsolationError> {
        processes::listed(&self.group)
    }

    fn usage(&self) -> Result<Usage, IsolationError> {
        let number = |name: &str| self.has(name).then(|| files::read_number(&self.file(name))).transpose();
        let cpu_us = self
            .has("cpu.stat")
            .then(|| files::read_keyed(&self.file("cpu.stat"), "usage_usec"))
            .transpose()?;
        Ok(Usage {
            cpu_ns: cpu_us.map(|us| us.saturating_mul(1_000)),
            memory_bytes: number("memory.current")?,
            pids: number("pids.current")?,
            cpu: self.cpu_usage(),
            memory: self.memory_usage(),
            pids_limit: figures::number(&self.file("pids.max")),
            pids_refused: Keyed::read(&self.file("pids.events")).get("max"),
            io: figures::v2_io(&files::read(&self.file("io.stat")).unwrap_or_default()),
            network: None,
            pressure: self.pressure(),
        })
    }

    fn remove(&self) -> Result<(), IsolationError> {
        files::remove_tree(&self.group)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A v2 tree as Linux 6.1 shows it, limits unset, with the container's group already made.
    fn recorded_tree() -> (tempfile::TempDir, V2Cgroup) {
        let root = tempfile::tempdir().unwrap();
        let below = Path::new("lonja/a1/c1");
        for group in ["", "lonja", "lonja/a1", "lonja/a1/c1"] {
            let dir = root.path().join(group);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("cgroup.controllers"), "cpuset cpu io memory hugetlb pids\n").unwrap();
            fs::write(dir.join("cgroup.subtree_control"), "").unwrap();
        }
        let group = root.path().join(below);
        // Nothing has come down to it yet.
        fs::write(group.join("cgroup.controllers"), "").unwrap();
        for (name, text) in [
            ("cgroup.procs", ""),
            ("cgroup.kill", ""),
            ("cgroup.events", "populated 1\nfrozen 0\n"),
            ("cpu.weight", "100\n"),
            ("cpu.max", "max 100000\n"),
            ("cpu.stat", "usage_usec 12\nuser_usec 7\nsystem_usec 5\n"),
            ("memory.max", "max\n"),
            ("memory.low", "0\n"),
            ("io.max", ""),
            ("io.weight", ""),
            ("io.stat", "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"),
            ("memory.swap.max", "max\n"),
            ("memory.oom.group", "0\n"),
            ("memory.current", "4096\n"),
            ("memory.peak", "8192\n"),
            ("memory.events", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 1\n"),
            ("pids.max", "max\n"),
            ("pids.current", "3\n"),
        ] {
            fs::write(group.join(name), text).unwrap();
        }
        let cgroup = V2Cgroup::new(root.path(), below);
        (root, cgroup)
    }

    fn text(root: &tempfile::TempDir, file: &str) -> String {
        fs::read_to_string(root.path().join(file)).unwrap()
    }

    #[test]
    fn limits_reach_the_v2_files() {
        let (root, cgroup) = recorded_tree();

        cgroup.create().unwrap();
        cgroup
            .limit(&Limits {
                cpus_thousandths: Some(1_500),
                cpu_limit_thousandths: Some(1_500),
                memory_bytes: Some(32 << 20),
                pids_max: Some(64),
                memory_request_bytes: Some(16 << 20),
                io: IoLimits {
                    throttles: vec![IoThrottle {
                        major: 254,
                        write_bps: Some(1),
                        read_iops: Some(2),
                        ..IoThrottle::default()
                    }],
                    weight: Some(50),
                },
                ..Limits::default()
            })
            .unwrap();

        let group = "lonja/a1/c1";
        assert_eq!(text(&root, &format!("{group}/cpu.weight")), "59");
        assert_eq!(text(&root, &format!("{group}/cpu.max")), "150000 100000");
        assert_eq!(text(&root, &format!("{group}/memory.max")), "33554432");
        assert_eq!(text(&root, &format!("{group}/memory.swap.max")), "0");
        // Ordinary files keep their old tail, the kernel's do not: only the start is compared.
        assert!(text(&root, &format!("{group}/memory.oom.group")).starts_with('1'));
        assert_eq!(text(&root, &format!("{group}/memory.low")), "16777216");
        assert_eq!(text(&root, &format!("{group}/io.max")), "254:0 wbps=1 riops=2");
        assert_eq!(text(&root, &format!("{group}/io.weight")), "default 50");
        assert_eq!(text(&root, &format!("{group}/pids.max")), "65");
        for parent in ["", "lonja/", "lonja/a1/"] {
            let switch = text(&root, &format!("{parent}cgroup.subtree_control"));
            assert_eq!(switch, "+cpu +io +memory +hugetlb +pids", "{parent}");
        }
        assert_eq!(text(&root, &format!("{group}/cgroup.subtree_control")), "");
    }

    #[test]
    fn controllers_that_came_down_already_are_left_alone() {
        let (root, cgroup) = recorded_tree();
        let listed = text(&root, "cgroup.controllers");
        fs::write(root.path().join("lonja/a1/c1/cgroup.controllers"), listed).unwrap();

        cgroup.create().unwrap();

        assert_eq!(text(&root, "cgroup.subtree_control"), "");
    }

    #[test]
    fn counters_are_read_and_the_kill_is_written() {
        let (root, cgroup) = recorded_tree();

        cgroup.attach(4242).unwrap();
        cgroup.kill_all().unwrap();

        assert_eq!(text(&root, "lonja/a1/c1/cgroup.procs"), "4242");
        assert_eq!(text(&root, "lonja/a1/c1/cgroup.kill"), "1");
        assert_eq!(cgroup.oom_kills().unwrap(), 1);
        assert_eq!(cgroup.memory_peak().unwrap(), 8192);
        assert!(cgroup.is_populated().unwrap());
        let usage = cgroup.usage().unwrap();
        assert_eq!(usage.cpu_ns, Some(12_000));
        assert_eq!(usage.memory_bytes, Some(4096));
        assert_eq!(usage.pids, Some(3));
        assert_eq!(cgroup.oom_watch().unwrap().unwrap().events, libc::POLLPRI);
    }

    #[test]
    fn a_missing_group_is_empty() {
        let root = tempfile::tempdir().unwrap();
        let cgroup = V2Cgroup::new(root.path(), Path::new("lonja/a1/c1"));

        assert!(!cgroup.is_populated().unwrap());
        cgroup.kill_all().unwrap();
        cgroup.remove().unwrap();
    }

    #[test]
    fn weights_keep_the_order_of_shares() {
        assert_eq!(weight_of(2), 1);
        assert_eq!(weight_of(1024), 39);
        assert_eq!(weight_of(262_144), 10_000);
    }
}
