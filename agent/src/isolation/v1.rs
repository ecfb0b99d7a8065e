//! One hierarchy per controller (cgroup v1).
//!
//! cgroups-rs writes limits and moves processes; its controllers are given the directory directly, so
//! that any mount point works. What it lacks is here: killing a group, out-of-memory events without a
//! thread per watch, removal of parents.
//!
//! Source: Linux `Documentation/admin-guide/cgroup-v1/{memory,pids}.rst`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::blkio::BlkIoController;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::hugetlb::HugeTlbController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;

use super::figures::{self, Keyed};
use super::files::{self, IsolationError};
use super::limits::CPU_PERIOD_US;
use super::{
    Cgroup, CpuUsage, DeviceRule, IoLimits, Limits, MemoryUsage, OomWatch, Swap, Usage, V1Roots, processes,
};

/// One container's directories in the v1 hierarchies, `None` where the controller is not mounted.
pub(super) struct V1Cgroup {
    cpu: Option<PathBuf>,
    cpuacct: Option<PathBuf>,
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
    blkio: Option<PathBuf>,
    devices: Option<PathBuf>,
    hugetlb: Option<PathBuf>,
}

impl V1Cgroup {
    pub(super) fn new(roots: &V1Roots, below: &Path) -> Self {
        let enter = |root: &Option<PathBuf>| root.as_ref().map(|root| root.join(below));
        Self {
            cpu: enter(&roots.cpu),
            cpuacct: enter(&roots.cpuacct),
            memory: enter(&roots.memory),
            pids: enter(&roots.pids),
            blkio: enter(&roots.blkio),
            devices: enter(&roots.devices),
            hugetlb: enter(&roots.hugetlb),
        }
    }

    /// Each directory once: `cpu` and `cpuacct` are often one mount.
    fn groups(&self) -> Vec<&PathBuf> {
        let mut groups: Vec<&PathBuf> =
            [&self.cpu, &self.cpuacct, &self.memory, &self.pids, &self.blkio, &self.devices, &self.hugetlb]
                .into_iter()
                .flatten()
                .collect();
        groups.dedup();
        groups
    }

    /// Whether the device list is kept here.
    pub(super) fn has_devices(&self) -> bool {
        self.devices.is_some()
    }

    /// Whether huge pages are counted here.
    pub(super) fn has_huge_pages(&self) -> bool {
        self.hugetlb.is_some()
    }

    fn limit_cpu(group: &Path, limits: &Limits) -> Result<(), IsolationError> {
        let controller = CpuController::new(group.to_owned(), PathBuf::new(), false);
        let refused = limit_error("CPU", group);
        if let Some(shares) = limits.cpu_shares() {
            controller.set_shares(shares).map_err(&refused)?;
        }
        if let Some(quota) = limits.cpu_quota_us() {
            controller.set_cfs_period(CPU_PERIOD_US).map_err(&refused)?;
            controller.set_cfs_quota(quota).map_err(&refused)?;
        }
        Ok(())
    }

    fn limit_memory(group: &Path, limits: &Limits) -> Result<(), IsolationError> {
        let controller = MemController::new(group.to_owned(), PathBuf::new(), false);
        let refused = limit_error("memory", group);
        let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        if let Some(request) = limits.memory_request_bytes {
            controller.set_soft_limit(number(request)).map_err(&refused)?;
        }
        let Some(bytes) = limits.memory_bytes else {
            return Ok(());
        };
        controller.set_limit(number(bytes)).map_err(&refused)?;
        // Where swap is counted, it is with memory together.
        let together = match limits.swap {
            Swap::None => bytes,
            Swap::Bytes(swap) => bytes.saturating_add(swap),
            Swap::Unlimited => return Ok(()),
        };
        if group.join("memory.memsw.limit_in_bytes").exists() {
            controller.set_memswap_limit(number(together)).map_err(&refused)?;
        }
        Ok(())
    }

    /// Memory may only grow; with swap counted, both together first, for neither limit may be below the other.
    fn resize_memory(group: &Path, limits: &Limits) -> Result<(), IsolationError> {
        let held = figures::v1_limit(&group.join("memory.limit_in_bytes"));
        let with_swap = group.join("memory.memsw.limit_in_bytes");
        let grown = match (held, limits.memory_bytes) {
            (Some(held), Some(wanted)) if wanted > held => Some(wanted),
            (Some(_), None) => {
                if with_swap.exists() {
                    files::write(&with_swap, "-1")?;
                }
                files::write(&group.join("memory.limit_in_bytes"), "-1")?;
                None
            }
            (Some(_) | None, _) => None,
        };
        if let (Some(bytes), true) = (grown, with_swap.exists()) {
            let together = match limits.swap {
                Swap::None => Some(bytes),
                Swap::Bytes(swap) => Some(bytes.saturating_add(swap)),
                Swap::Unlimited => None,
            };
            if let Some(together) = together {
                files::write(&with_swap, &together.to_string())?;
            }
        }
        Self::limit_memory(group, &Limits { memory_bytes: grown, ..limits.clone() })
    }

    fn limit_io(&self, limits: &IoLimits) -> Result<(), IsolationError> {
        if limits.is_empty() {
            return Ok(());
        }
        let Some(group) = &self.blkio else {
            return Err(no_io("the v1 controller 'blkio' is not mounted"));
        };
        let controller = BlkIoController::new(group.clone(), PathBuf::new(), false);
        let refused = limit_error("block devices", group);
        for limit in &limits.throttles {
            let (major, minor) = (u64::from(limit.major), u64::from(limit.minor));
            if let Some(rate) = limit.read_bps {
                controller.throttle_read_bps_for_device(major, minor, rate).map_err(&refused)?;
            }
            if let Some(rate) = limit.write_bps {
                controller.throttle_write_bps_for_device(major, minor, rate).map_err(&refused)?;
            }
            if let Some(rate) = limit.read_iops {
                controller.throttle_read_iops_for_device(major, minor, rate).map_err(&refused)?;
            }
            if let Some(rate) = limit.write_iops {
                controller.throttle_write_iops_for_device(major, minor, rate).map_err(&refused)?;
            }
        }
        let Some(weight) = limits.weight else {
            return Ok(());
        };
        // The one came with the scheduler that newer kernels have, the other left with its forerunner.
        for name in ["blkio.bfq.weight", "blkio.weight"] {
            let file = group.join(name);
            if file.exists() {
                return files::write(&file, &weight.to_string());
            }
        }
        Err(no_io("this kernel's block device scheduler knows no weights; leave the weight out"))
    }

    fn limit_devices(group: &Path, rules: &[DeviceRule]) -> Result<(), IsolationError> {
        files::write(&group.join("devices.deny"), "a")?;
        files::write_each(&group.join("devices.allow"), rules)
    }

    fn limit_huge_pages(group: &Path, limits: &Limits) -> Result<(), IsolationError> {
        let Some(allowed) = &limits.huge_pages else {
            return Ok(());
        };
        let controller = HugeTlbController::new(group.to_owned(), PathBuf::new(), false);
        for size in controller.get_sizes() {
            let bytes = allowed.get(&size).copied().unwrap_or(0);
            controller.set_limit_in_bytes(&size, bytes).map_err(limit_error("huge pages", group))?;
        }
        Ok(())
    }

    fn cpu_usage(&self) -> CpuUsage {
        let account = |name: &str| self.cpuacct.as_ref().and_then(|group| figures::number(&group.join(name)));
        let mut usage = CpuUsage {
            user_ns: account("cpuacct.usage_user"),
            system_ns: account("cpuacct.usage_sys"),
            ..CpuUsage::default()
        };
        if let Some(group) = &self.cpu {
            let statistics = Keyed::read(&group.join("cpu.stat"));
            let text = |name: &str| fs::read_to_string(group.join(name)).unwrap_or_default();
            usage.limit_thousandths =
                figures::cpu_limit(&text("cpu.cfs_quota_us"), &text("cpu.cfs_period_us"));
            usage.periods = statistics.get("nr_periods");
            usage.throttled_periods = statistics.get("nr_throttled");
            usage.throttled_ns = statistics.get("throttled_time");
        }
        usage
    }

    fn memory_usage(group: &Path) -> MemoryUsage {
        let statistics = Keyed::read(&group.join("memory.stat"));
        let number = |name: &str| figures::number(&group.join(name));
        MemoryUsage {
            rss_bytes: statistics.get("total_rss"),
            cache_bytes: statistics.get("total_cache"),
            mapped_bytes: statistics.get("total_mapped_file"),
            shared_bytes: statistics.get("total_shmem"),
            swap_bytes: statistics.get("total_swap"),
            peak_bytes: number("memory.max_usage_in_bytes"),
            limit_bytes: figures::v1_limit(&group.join("memory.limit_in_bytes")),
            soft_limit_bytes: figures::v1_limit(&group.join("memory.soft_limit_in_bytes")),
            // Where swap is limited as well it is tried first, and the hits are counted there.
            limit_hits: number("memory.failcnt")
                .map(|hits| hits.saturating_add(number("memory.memsw.failcnt").unwrap_or(0))),
            oom_kills: Keyed::read(&group.join("memory.oom_control")).get("oom_kill"),
        }
    }
}

/// What keeps limits on block devices from being set.
pub(super) fn no_io(why: &str) -> IsolationError {
    IsolationError::Unavailable { what: "the use of block devices", why: why.to_owned() }
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
        if let Some(group) = &self.memory {
            Self::limit_memory(group, limits)?;
        }
        self.limit_io(&limits.io)?;
        if let (Some(group), Some(rules)) = (&self.devices, &limits.devices) {
            Self::limit_devices(group, rules)?;
        }
        if let Some(group) = &self.hugetlb {
            Self::limit_huge_pages(group, limits)?;
        }
        if let (Some(group), Some(limit)) = (&self.pids, limits.pids_with_init()) {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            PidController::new(group.clone(), PathBuf::new(), false)
                .set_pid_max(MaxValue::Value(limit))
                .map_err(limit_error("process count", group))?;
        }
        Ok(())
    }

    fn resize(&self, limits: &Limits) -> Result<(), IsolationError> {
        if let Some(group) = &self.cpu {
            Self::limit_cpu(group, limits)?;
            let quota = group.join("cpu.cfs_quota_us");
            if limits.cpu_quota_us().is_none() && quota.exists() {
                files::write(&quota, "-1")?;
            }
        }
        if let Some(group) = &self.memory {
            Self::resize_memory(group, limits)?;
        }
        match &self.hugetlb {
            Some(group) => Self::limit_huge_pages(group, limits),
            None => Ok(()),
        }
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

    fn forks_refused(&self) -> Result<u64, IsolationError> {
        let events = self.pids.as_ref().map(|group| group.join("pids.events"));
        Ok(events.and_then(|file| Keyed::read(&file).get("max")).unwrap_or(0))
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

    fn members(&self) -> Result<BTreeSet<i32>, IsolationError> {
        self.groups().first().map_or(Ok(BTreeSet::new()), |group| processes::listed(group))
    }

    fn usage(&self) -> Result<Usage, IsolationError> {
        let number = |group: &Option<PathBuf>, file: &str| {
            group.as_ref().map(|group| files::read_number(&group.join(file))).transpose()
        };
        let io = self.blkio.as_ref().map(|group| {
            let text = |name: &str| fs::read_to_string(group.join(name)).unwrap_or_default();
            figures::v1_io(&text("blkio.throttle.io_service_bytes"), &text("blkio.throttle.io_serviced"))
        });
        let pids = |name: &str| self.pids.as_ref().map(|group| group.join(name));
        Ok(Usage {
            cpu_ns: number(&self.cpuacct, "cpuacct.usage")?,
            memory_bytes: number(&self.memory, "memory.usage_in_bytes")?,
            pids: number(&self.pids, "pids.current")?,
            cpu: self.cpu_usage(),
            memory: self.memory.as_ref().map(|group| Self::memory_usage(group)).unwrap_or_default(),
            pids_limit: pids("pids.max").and_then(|file| figures::number(&file)),
            pids_refused: pids("pids.events").and_then(|file| Keyed::read(&file).get("max")),
            io: io.unwrap_or_default(),
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
