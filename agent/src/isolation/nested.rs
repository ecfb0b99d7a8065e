//! A control group below a container's, for one process beside the task and all that it starts.
//!
//! It has no limits and no controllers of its own: what runs in it is held to the container's, and counts for it.
//! It is there so that what such a process leaves behind can be found and ended. Where a v2 tree is mounted it is
//! made there alone; on v1 in one hierarchy alone, and in all others its processes stand in the container's group.
//!
//! Invariants
//! - Dropped, the group is gone, and so is all that ran in it.
//! - Whoever empties or removes the container's group reaches this one too.
//!
//! Source: Linux `Documentation/admin-guide/cgroup-v2.rst`, "No Internal Process Constraint", which holds for
//! groups that give controllers to those below only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::files::{self, IsolationError};
use super::processes;
use super::v2::V2Cgroup;
use super::{Cgroup, GroupName, InstanceId, Layout, V1Roots};

/// How long killed processes may take to be gone; what is stuck in the kernel then waits for its container's end.
const DEATH_PATIENCE: Duration = Duration::from_secs(10);

/// What their names begin with.
const PREFIX: &str = "exec-";

/// How many groups of this kind one container may have.
const MOST: usize = 1_000;

/// The group of one process beside the task.
pub struct NestedGroup {
    container: Box<dyn Cgroup>,
    own: Option<Own>,
}

/// Names a group of this kind below one container's, for others than who made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NestedGroupName {
    /// The directory's name.
    name: String,
    /// And its number in the file system: a name may be used again, this is not.
    inode: u64,
}

/// The group's directory, and what can be done by it.
enum Own {
    V1(PathBuf),
    V2(V2Cgroup),
}

impl NestedGroup {
    /// Makes a group below this container's. Where a host has no means for it there is none, and processes just
    /// enter the container's.
    ///
    /// Errors: the container's own group is gone, or has too many of this kind.
    pub fn make(layout: &Layout, instance: &InstanceId, group: &GroupName) -> Result<Self, IsolationError> {
        let container = layout.container(instance, group);
        let below = Layout::below(instance, group);
        let own = match layout {
            Layout::V2 { root } | Layout::Hybrid { unified: root, .. } => {
                let path = make_one(&root.join(&below))?;
                Some(Own::V2(V2Cgroup::new(root, &path)))
            }
            Layout::V1(roots) => match place(roots) {
                Some(root) => Some(Own::V1(make_one(&root.join(&below))?)),
                None => None,
            },
            Layout::Unlimited { .. } => None,
        };
        Ok(Self { container, own })
    }

    /// What the group is called, if there is one.
    pub fn name(&self) -> Option<NestedGroupName> {
        let path = self.path()?;
        let name = path.file_name()?.to_str()?.to_owned();
        Some(NestedGroupName { name, inode: inode(path)? })
    }

    fn path(&self) -> Option<&Path> {
        match self.own.as_ref()? {
            Own::V1(path) => Some(path),
            Own::V2(group) => Some(group.path()),
        }
    }

    /// The group that somebody made who is gone, to be dropped in their stead. `None`: it is no more, or another has its
    /// name.
    pub fn left_behind(
        layout: &Layout,
        instance: &InstanceId,
        group: &GroupName,
        made: &NestedGroupName,
    ) -> Option<Self> {
        if !made.name.starts_with(PREFIX) || made.name.contains('/') {
            return None;
        }
        let below = Layout::below(instance, group).join(&made.name);
        let own = match layout {
            Layout::V2 { root } | Layout::Hybrid { unified: root, .. } => {
                Own::V2(V2Cgroup::new(root, &root.join(&below)))
            }
            Layout::V1(roots) => Own::V1(place(roots)?.join(&below)),
            Layout::Unlimited { .. } => return None,
        };
        let left = Self { container: layout.container(instance, group), own: Some(own) };
        if left.path().and_then(inode) == Some(made.inode) {
            return Some(left);
        }
        // Not ours to end.
        std::mem::forget(left);
        None
    }

    /// Moves the process in, and so under the container's limits.
    pub fn attach(&self, pid: i32) -> Result<(), IsolationError> {
        let Some(own) = &self.own else {
            return self.container.attach(pid);
        };
        // Where this group is in a tree of its own, that is all that is left to do there.
        self.container.attach_newborn(pid)?;
        match own {
            Own::V1(group) => files::write(&group.join("cgroup.procs"), &pid.to_string()),
            Own::V2(group) => group.attach(pid),
        }
    }

    fn is_populated(&self) -> Result<bool, IsolationError> {
        match &self.own {
            None => Ok(false),
            Some(Own::V1(group)) => Ok(!processes::listed(group)?.is_empty()),
            Some(Own::V2(group)) => group.is_populated(),
        }
    }

    fn kill_all(&self) -> Result<(), IsolationError> {
        match &self.own {
            None => Ok(()),
            Some(Own::V1(group)) => processes::kill_listed(group),
            Some(Own::V2(group)) => group.kill_all(),
        }
    }

    fn remove(&self) -> Result<(), IsolationError> {
        match &self.own {
            None => Ok(()),
            Some(Own::V1(group)) => files::remove(group),
            Some(Own::V2(group)) => group.remove(),
        }
    }

    /// Kills all that is in the group, waits until nothing is, and removes it.
    fn end(&self) -> Result<(), IsolationError> {
        let started = Instant::now();
        let mut pause = Duration::from_micros(200);
        while self.is_populated()? {
            self.kill_all()?;
            if started.elapsed() > DEATH_PATIENCE {
                return Err(IsolationError::StillPopulated);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        self.remove()
    }
}

impl Drop for NestedGroup {
    fn drop(&mut self) {
        // What cannot be ended now ends with the container, of whose group this one is a part.
        let _ = self.end();
    }
}

/// The v1 hierarchy to make groups in. There must be another, in which the processes stand in the container's own
/// group, where whoever ends it finds them; and first those that count nothing of their own.
fn place(roots: &V1Roots) -> Option<&PathBuf> {
    let preferred = [&roots.cpuacct, &roots.pids, &roots.memory].into_iter().flatten().next()?;
    let others = [&roots.cpu, &roots.memory, &roots.pids, &roots.blkio, &roots.devices, &roots.hugetlb];
    others.into_iter().flatten().any(|root| root != preferred).then_some(preferred)
}

fn inode(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// Makes a group below this one, which must be there: a container that has ended is not begun anew.
fn make_one(container: &Path) -> Result<PathBuf, IsolationError> {
    let refused = |source| IsolationError::Create { path: container.to_owned(), source };
    for number in 1..=MOST {
        let path = container.join(format!("{PREFIX}{number}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused(error)),
        }
    }
    Err(refused(io::Error::other("too many processes beside the task")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_below_a_container_that_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::V2 { root: root.path().to_owned() };
        let (instance, group) = (InstanceId::new("a1").unwrap(), GroupName::new("c1").unwrap());

        assert!(NestedGroup::make(&layout, &instance, &group).is_err());

        fs::create_dir_all(root.path().join("lonja/a1/c1")).unwrap();
        let one = NestedGroup::make(&layout, &instance, &group).unwrap();
        let other = NestedGroup::make(&layout, &instance, &group).unwrap();
        let names = || files::children(&root.path().join("lonja/a1/c1")).unwrap().len();
        assert_eq!(names(), 2);
        drop((one, other));
        assert_eq!(names(), 0);
    }

    #[test]
    fn who_is_left_a_group_removes_that_one_and_no_later_one_of_its_name() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::V2 { root: root.path().to_owned() };
        let (instance, group) = (InstanceId::new("a1").unwrap(), GroupName::new("c1").unwrap());
        let container = root.path().join("lonja/a1/c1");
        fs::create_dir_all(&container).unwrap();
        let one = NestedGroup::make(&layout, &instance, &group).unwrap();
        let name = one.name().unwrap();
        let left = |name: &NestedGroupName| NestedGroup::left_behind(&layout, &instance, &group, name);

        let other = NestedGroupName { inode: name.inode + 1, ..name.clone() };
        assert!(left(&other).is_none());
        let outside = NestedGroupName { name: "exec-/../../c2".to_owned(), ..name.clone() };
        assert!(left(&outside).is_none());
        assert_eq!(files::children(&container).unwrap().len(), 1);
        std::mem::forget(one);
        drop(left(&name).unwrap());
        assert_eq!(files::children(&container).unwrap().len(), 0);
        assert!(left(&name).is_none(), "it is gone");
    }

    #[test]
    fn on_v1_the_processes_stay_in_the_containers_group_of_another_hierarchy() {
        let alone = V1Roots { pids: Some("/p".into()), ..V1Roots::default() };
        assert_eq!(place(&alone), None);
        let together = "/sys/fs/cgroup/cpu,cpuacct";
        let both =
            V1Roots { cpu: Some(together.into()), cpuacct: Some(together.into()), ..V1Roots::default() };
        assert_eq!(place(&both), None);
        let usual = V1Roots { memory: Some("/m".into()), ..both };
        assert_eq!(place(&usual), Some(&PathBuf::from(together)));
    }
}
