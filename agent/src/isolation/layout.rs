//! Which kind of control groups this host has, and where ours go.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::files::{self, IsolationError};
use super::hybrid::HybridCgroup;
use super::unlimited::Unlimited;
use super::v1::{self, V1Cgroup};
use super::v2::{self, V2Cgroup};
use super::{Cgroup, GroupName, InstanceId, device_program};

/// The directory below each hierarchy's root that holds every agent instance of this host.
const TOP: &str = "lonja";

/// How long a killed container may take to be gone before its removal is given up.
const DEATH_PATIENCE: Duration = Duration::from_secs(10);

/// Mount points of the v1 controllers we use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct V1Roots {
    /// `cpu`: shares and quota.
    pub cpu: Option<PathBuf>,
    /// `cpuacct`: CPU time used.
    pub cpuacct: Option<PathBuf>,
    /// `memory`: limit, peak, out-of-memory events.
    pub memory: Option<PathBuf>,
    /// `pids`: process count.
    pub pids: Option<PathBuf>,
    /// `blkio`: rates and counters of block devices.
    #[serde(default)]
    pub blkio: Option<PathBuf>,
    /// `devices`: which ones can be opened.
    #[serde(default)]
    pub devices: Option<PathBuf>,
    /// `hugetlb`: huge pages.
    #[serde(default)]
    pub hugetlb: Option<PathBuf>,
}

impl V1Roots {
    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        let used = [&self.cpu, &self.cpuacct, &self.memory, &self.pids];
        used.into_iter().chain([&self.blkio, &self.devices, &self.hugetlb]).flatten()
    }
}

/// The host's kind of control groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// One hierarchy per controller.
    V1(V1Roots),
    /// v1 limits, and a v2 tree that kills and counts.
    Hybrid {
        /// The v1 hierarchies.
        limits: V1Roots,
        /// Mount point of the v2 tree.
        unified: PathBuf,
    },
    /// One hierarchy for all: its mount point, or a subtree delegated to us.
    V2 {
        /// The group below which ours are made.
        root: PathBuf,
    },
    /// None we may write.
    Unlimited {
        /// Why not, for people.
        why: String,
    },
}

/// One thing a container should be held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitKind {
    /// CPU weight and, if asked for, a hard cap.
    Cpu,
    /// Memory in bytes.
    Memory,
    /// Number of processes.
    Processes,
    /// At the end nothing of the container survives.
    WholeDeath,
    /// Rates of block devices. A task that asks for what the host lacks is refused.
    Io,
    /// Which devices can be opened or made.
    Devices,
    /// Memory in huge pages.
    HugePages,
    /// The sandbox's share of the disk.
    Disk,
    /// It sees only what was put into its root.
    RootFileSystem,
    /// Its users are not the host's: root inside is nobody outside.
    Users,
}

/// Whether this host holds containers to a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforcement {
    /// The limit.
    pub limit: LimitKind,
    /// Why it is not enforced and what to do; `None` when it is.
    pub not_enforced: Option<String>,
}

impl Layout {
    /// Finds out what this process may use: `/proc/self/mountinfo`, `/proc/self/cgroup`, and a trial.
    pub fn detect() -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::from_mounts(&mounts, &own, &v1::is_writable)
    }

    /// As [`Layout::detect`], from given texts; `writable` tells whether groups can be made below a path.
    pub fn from_mounts(mounts: &str, own: &str, writable: &dyn Fn(&Path) -> bool) -> Self {
        let mut limits = V1Roots::default();
        let mut unified = None;
        for (kind, point, options) in mounts.lines().filter_map(cgroup_mount) {
            if kind == "cgroup2" {
                unified.get_or_insert(point);
                continue;
            }
            for option in options.split(',') {
                let root = match option {
                    "cpu" => &mut limits.cpu,
                    "cpuacct" => &mut limits.cpuacct,
                    "memory" => &mut limits.memory,
                    "pids" => &mut limits.pids,
                    "blkio" => &mut limits.blkio,
                    "devices" => &mut limits.devices,
                    "hugetlb" => &mut limits.hugetlb,
                    _ => continue,
                };
                root.get_or_insert_with(|| point.clone());
            }
        }
        let has_v1 = limits.all().next().is_some();
        if has_v1 && limits.all().all(|root| writable(root)) {
            return match unified {
                Some(unified) if writable(&unified) => Self::Hybrid { limits, unified },
                _ => Self::V1(limits),
            };
        }
        let Some(unified) = unified else {
            let why = if has_v1 {
                "the v1 control groups cannot be written: run as root"
            } else {
                "no control groups are mounted: mount cgroup2 at /sys/fs/cgroup"
            };
            return Self::Unlimited { why: why.to_owned() };
        };
        match delegated(&unified, own, writable) {
            Some(root) => Self::V2 { root },
            None => Self::Unlimited {
                why: format!(
                    "no control group below {} can be written: run as root, or under systemd with \
                     Delegate=yes and DelegateSubgroup=agent",
                    unified.display()
                ),
            },
        }
    }

    /// The control group of one container of one agent instance. Nothing is made yet.
    pub fn container(&self, instance: &InstanceId, group: &GroupName) -> Box<dyn Cgroup> {
        self.group(&Self::below(instance, group))
    }

    /// Where a container's group lies below each hierarchy's root.
    pub(super) fn below(instance: &InstanceId, group: &GroupName) -> PathBuf {
        Path::new(TOP).join(instance.as_str()).join(group.as_str())
    }

    fn group(&self, below: &Path) -> Box<dyn Cgroup> {
        match self {
            Self::V1(limits) => Box::new(V1Cgroup::new(limits, below)),
            Self::Hybrid { limits, unified } => Box::new(HybridCgroup {
                limits: V1Cgroup::new(limits, below),
                core: V2Cgroup::new(unified, below),
            }),
            Self::V2 { root } => Box::new(V2Cgroup::new(root, below)),
            Self::Unlimited { .. } => Box::new(Unlimited),
        }
    }

    /// Every control group of this instance in any hierarchy, of containers and of spares.
    pub fn groups(&self, instance: &InstanceId) -> Result<BTreeSet<GroupName>, IsolationError> {
        let mut names = BTreeSet::new();
        for root in self.roots() {
            let children = files::children(&root.join(TOP).join(instance.as_str()))?;
            // What has another name was not made by any agent.
            names.extend(children.into_iter().filter_map(|name| GroupName::new(name).ok()));
        }
        Ok(names)
    }

    /// Whether the group exists in any hierarchy.
    pub fn has_group(&self, instance: &InstanceId, group: &GroupName) -> bool {
        let below = Self::below(instance, group);
        self.roots().into_iter().any(|root| root.join(&below).exists())
    }

    /// Kills what runs in the control group and removes it. Missing is fine.
    pub fn destroy(&self, instance: &InstanceId, group: &GroupName) -> Result<(), IsolationError> {
        let group = self.group(&Self::below(instance, group));
        let mut attempts = 0;
        loop {
            super::empty(group.as_ref(), DEATH_PATIENCE)?;
            match group.remove() {
                // A spare may come into its group between our look and the removal: once more, then.
                Err(IsolationError::Remove { .. }) if attempts < 3 => attempts += 1,
                other => return other,
            }
        }
    }

    /// Kills and removes everything of this instance, and the shared parent if no other is left.
    pub fn remove_instance(&self, instance: &InstanceId) -> Result<(), IsolationError> {
        for group in self.groups(instance)? {
            self.destroy(instance, &group)?;
        }
        for root in self.roots() {
            files::remove_tree(&root.join(TOP).join(instance.as_str()))?;
            // Fails while another agent has groups there, which is as it should be.
            let _ = std::fs::remove_dir(root.join(TOP));
        }
        Ok(())
    }

    fn roots(&self) -> Vec<&PathBuf> {
        match self {
            Self::V1(limits) => limits.all().collect(),
            Self::Hybrid { limits, unified } => limits.all().chain([unified]).collect(),
            Self::V2 { root } => vec![root],
            Self::Unlimited { .. } => Vec::new(),
        }
    }

    /// For each limit whether this host enforces it and, if not, why.
    pub fn what_is_enforced(&self) -> Vec<Enforcement> {
        let v1_gap = |root: &Option<PathBuf>, name: &str| match root {
            Some(_) => None,
            None => Some(format!("the v1 controller '{name}' is not mounted")),
        };
        let filters = || {
            let why = "this process may not load device filters: run as root with CAP_BPF and CAP_NET_ADMIN";
            (!device_program::can_load()).then(|| why.to_owned())
        };
        let (cpu, memory, pids, io, devices, huge_pages) = match self {
            Self::V1(limits) | Self::Hybrid { limits, .. } => {
                let unified = match self {
                    Self::Hybrid { unified, .. } => v2::controllers_of(unified),
                    _ => Vec::new(),
                };
                let counted_by_v2 = unified.iter().any(|controller| controller == "hugetlb");
                // The filter of v2 does for what v1 lacks.
                let devices = match (v1_gap(&limits.devices, "devices"), self) {
                    (Some(_), Self::Hybrid { .. }) => filters(),
                    (gap, _) => gap,
                };
                (
                    v1_gap(&limits.cpu, "cpu"),
                    v1_gap(&limits.memory, "memory"),
                    v1_gap(&limits.pids, "pids"),
                    v1_gap(&limits.blkio, "blkio"),
                    devices,
                    v1_gap(&limits.hugetlb, "hugetlb").filter(|_| !counted_by_v2),
                )
            }
            Self::V2 { root } => {
                let available = v2::controllers_of(root);
                let gap = |name: &str| {
                    let missing = !available.iter().any(|controller| controller == name);
                    missing.then(|| format!("controller '{name}' is not available in {}", root.display()))
                };
                (gap("cpu"), gap("memory"), gap("pids"), gap("io"), filters(), gap("hugetlb"))
            }
            Self::Unlimited { why } => {
                let why = || Some(why.clone());
                (why(), why(), why(), why(), why(), why())
            }
        };
        // The pid namespace sees to it on every host.
        [
            (LimitKind::Cpu, cpu),
            (LimitKind::Memory, memory),
            (LimitKind::Processes, pids),
            (LimitKind::WholeDeath, None),
            (LimitKind::Io, io),
            (LimitKind::Devices, devices),
            (LimitKind::HugePages, huge_pages),
        ]
        .map(|(limit, not_enforced)| Enforcement { limit, not_enforced })
        .to_vec()
    }
}

/// File system kind, mount point and super options of a `mountinfo` line, if it is a control group one.
fn cgroup_mount(line: &str) -> Option<(&str, PathBuf, &str)> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut file_system = file_system.split(' ');
    let kind = file_system.next()?;
    let options = file_system.nth(1)?;
    let point = mount.split(' ').nth(4)?;
    matches!(kind, "cgroup" | "cgroup2").then(|| (kind, PathBuf::from(point), options))
}

/// The v2 group below which we may make groups: the mount point, or what was delegated to us.
fn delegated(unified: &Path, own: &str, writable: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    if writable(unified) {
        return Some(unified.to_owned());
    }
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let own = unified.join(own.trim());
    // The delegated group cannot both hold us and give controllers to children, so an agent set up
    // well runs in a leaf of it: the parent is what we may use.
    let parent = own.parent().filter(|parent| parent.starts_with(unified));
    parent.into_iter().chain([own.as_path()]).find(|group| writable(group)).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
    const PURE: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";

    #[test]
    fn each_kind_of_host_is_told_apart() {
        let everything = |_: &Path| true;
        let Layout::Hybrid { limits, unified } = Layout::from_mounts(HYBRID, "", &everything) else {
            panic!("hybrid host");
        };
        assert_eq!(limits.cpu, limits.cpuacct);
        assert_eq!(limits.memory, Some("/sys/fs/cgroup/memory".into()));
        assert_eq!(unified, Path::new("/sys/fs/cgroup/unified"));

        let without_unified = HYBRID.rsplit_once('\n').unwrap().0;
        let v1 = Layout::from_mounts(without_unified, "", &everything);
        assert!(matches!(v1, Layout::V1(_)));

        let v2 = Layout::from_mounts(PURE, "", &everything);
        let root = PathBuf::from("/sys/fs/cgroup");
        assert_eq!(v2, Layout::V2 { root });
    }

    #[test]
    fn an_unprivileged_agent_uses_the_group_delegated_to_it() {
        let service = Path::new("/sys/fs/cgroup/user.slice/lonja.service");
        let own = "0::/user.slice/lonja.service/agent\n";

        let found = Layout::from_mounts(PURE, own, &|path| path.starts_with(service));

        let root = service.to_owned();
        assert_eq!(found, Layout::V2 { root });
    }

    #[test]
    fn what_is_not_enforced_says_why() {
        let layout = Layout::from_mounts(HYBRID, "0::/\n", &|_| false);

        let list = layout.what_is_enforced();

        assert_eq!(list.len(), 7);
        let memory = list[1].not_enforced.as_ref().unwrap();
        assert!(memory.contains("run as root"), "{memory}");
        assert_eq!(list[3].not_enforced, None);
    }
}
