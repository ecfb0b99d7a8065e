//! One hierarchy per controller (cgroup v1).
//!
//! cgroups-rs writes limits and moves processes; its controllers are given the directory directly, so
//! that any mount point works. What it lacks is here: killing a group, out-of-memory events without a
//! thread per watch, removal of parents.
//!
//! Source: Linux `Documentation/admin-guide/cgroup-v1/{memory,pids}.rst`.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;

use super::files::{self, IsolationError};
use super::{Cgroup, Limits, OomWatch, Usage, V1Roots, processes};

/// One container's directories in the v1 hierarchies, `None` where the controller is not mounted.
pub(super) struct V1Cgroup {
    cpu: Option<PathBuf>,
    cpuacct: Option<PathBuf>,
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
}

impl V1Cgroup {
    pub(super) fn new(roots: &V1Roots, below: &Path) -> Self {
        let enter = |root: &Option<PathBuf>| root.as_ref().map(|root| root.join(below));
        Self {
            cpu: enter(&roots.cpu),
            cpuacct: enter(&roots.cpuacct),
            memory: enter(&roots.memory),
            pids: enter(&roots.pids),
        }
    }

    /// Each directory once: `cpu` and `cpuacct` are often one mount.
    fn groups(&self) -> Vec<&PathBuf> {
        let mut groups: Vec<&PathBuf> =
            [&self.cpu, &self.cpuacct, &self.memory, &self.pids].into_iter().flatten().collect();
        groups.dedup();
        groups
    }

    fn limit_cpu(group: &Path, limits: &Limits) -> Result<(), IsolationError> {
        let controller = CpuController::new(group.to_owned(), PathBuf::new(), false);
        let refused = limit_error("CPU", group);
        if let Some(shares) = limits.cpu_shares() {
            controller.set_shares(shares).map_err(&refused)?;
        }
        if let Some(quota) = limits.cpu_quota_us() {
            controller.set_cfs_period(100_000).map_err(&refused)?;
            controller.set_cfs_quota(quota).map_err(&refused)?;
        }
        Ok(())
    }

    fn limit_memory(group: &Path, bytes: u64) -> Result<(), IsolationError> {
        let controller = MemController::new(group.to_owned(), PathBuf::new(), false);
        let refused = limit_error("memory", group);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        controller.set_limit(bytes).map_err(&refused)?;
        // Where swap is counted, memory and swap together get the same limit: no swapping past it.
        if group.join("memory.memsw.limit_in_bytes").exists() {
            controller.set_memswap_limit(bytes).map_err(&refused)?;
        }
        Ok(())
    }
}

/// Wraps what cgroups-rs says with the resource and the group.
pub(super) fn limit_error(
    what: &'static str,
    group: &Path,
) -> impl Fn(cgroups_rs::fs::error::Error) -> IsolationError {
    let path = group.to_owned();
    move |source| IsolationError::Limit { what, path: path.clone(), source }
}

impl Cgroup for V1Cgroup {
    fn create(&self) -> Result<(), IsolationError> {
        self.groups().into_iter().try_for_each(|group| files::create(group))
    }

    fn limit(&self, limits: &Limits) -> Result<(), IsolationError> {
        if let Some(group) = &self.cpu {
            Self::limit_cpu(group, limits)?;
        }
        if let (Some(group), Some(bytes)) = (&self.memory, limits.memory_bytes) {
            Self::limit_memory(group, bytes)?;
        }
        if let (Some(group), Some(limit)) = (&self.pids, limits.pids_with_init()) {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            PidController::new(group.clone(), PathBuf::new(), false)
                .set_pid_max(MaxValue::Value(limit))
                .map_err(limit_error("process count", group))?;
        }
        Ok(())
    }

    fn attach(&self, pid: i32) -> Result<(), IsolationError> {
        // On a quiet host the first move waits for an RCU grace period, up to 10 ms; those right after
        // it do not (percpu_rwsem and rcu_sync in the kernel; the mount option favordynmods avoids it).
        self.groups()
            .into_iter()
            .try_for_each(|group| files::write(&group.join("cgroup.procs"), &pid.to_string()))
    }

    fn kill_all(&self) -> Result<(), IsolationError> {
        self.groups().into_iter().try_for_each(|group| processes::kill_listed(group))
    }

    fn oom_kills(&self) -> Result<u64, IsolationError> {
        self.memory
            .as_ref()
            .map_or(Ok(0), |group| files::read_keyed(&group.join("memory.oom_control"), "oom_kill"))
    }

    fn oom_watch(&self) -> Result<Option<OomWatch>, IsolationError> {
        let Some(group) = &self.memory else {
            return Ok(None);
        };
        let path = group.join("memory.oom_control");
        let control =
            File::open(&path).map_err(|source| IsolationError::Read { path: path.clone(), source })?;
        let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
        let event: OwnedFd = rustix::event::eventfd(0, flags)
            .map_err(|error| IsolationError::Read { path, source: error.into() })?;
        files::write(
            &group.join("cgroup.event_control"),
            &format!("{} {}", event.as_raw_fd(), control.as_raw_fd()),
        )?;
        Ok(Some(OomWatch { fd: event, events: libc::POLLIN }))
    }

    fn memory_peak(&self) -> Result<u64, IsolationError> {
        self.memory
            .as_ref()
            .map_or(Ok(0), |group| files::read_number(&group.join("memory.max_usage_in_bytes")))
    }

    fn is_populated(&self) -> Result<bool, IsolationError> {
        for group in self.groups() {
            if !processes::listed(group)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn usage(&self) -> Result<Usage, IsolationError> {
        let number = |group: &Option<PathBuf>, file: &str| {
            group.as_ref().map(|group| files::read_number(&group.join(file))).transpose()
        };
        Ok(Usage {
            cpu_ns: number(&self.cpuacct, "cpuacct.usage")?,
            memory_bytes: number(&self.memory, "memory.usage_in_bytes")?,
            pids: number(&self.pids, "pids.current")?,
            ..Usage::default()
        })
    }

    fn remove(&self) -> Result<(), IsolationError> {
        self.groups().into_iter().try_for_each(|group| files::remove_tree(group))
    }
}

/// Whether this hierarchy can be written by us: a directory can be made and removed below it.
pub(super) fn is_writable(root: &Path) -> bool {
    // Several agents of one process may be trying at once.
    static PROBES: AtomicU64 = AtomicU64::new(0);
    let number = PROBES.fetch_add(1, Ordering::Relaxed);
    let probe = root.join(format!("lonja-probe-{}-{number}", std::process::id()));
    let made = fs::create_dir(&probe).is_ok();
    let _ = fs::remove_dir(&probe);
    made
}
