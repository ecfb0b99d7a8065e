//! What the tasks of one executor share on the host: the executor's sandbox, and folders in it.
//!
//! The built-in executor has no process, only a sandbox, in the place that a task of its name would have. It is made
//! with the first of its tasks, and begins to age when the last has ended.
//!
//! Invariants
//! - No symbolic link is followed below the executor's sandbox: what lies there is the tasks' to change.
//!
//! Source: Mesos v1 `Volume.Source.SandboxPath` of type PARENT.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use lonja_agent_core::{LaunchContainer, Runs};
use lonja_model::{ExecutorId, TaskId};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, chownat, mkdirat, openat};
use rustix::io::Errno;

use crate::containerizer::{self, Volume, VolumeSource};
use crate::disk;
use crate::sandbox::{Reach, Sandboxes};

/// Held while an executor's sandbox is made: the first of its tasks makes it, the others find it whole. One for each
/// sandbox, since making one may take as long as a file system does; it is there as long as somebody makes it.
static MAKING: Mutex<BTreeMap<PathBuf, Weak<Mutex<()>>>> = Mutex::new(BTreeMap::new());

/// What is held while this sandbox is made.
fn making_of(sandbox: &Path) -> Arc<Mutex<()>> {
    let mut all = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(making) = all.get(sandbox).and_then(Weak::upgrade) {
        return making;
    }
    all.retain(|_, making| making.strong_count() > 0);
    let making = Arc::default();
    all.insert(sandbox.to_owned(), Arc::downgrade(&making));
    making
}

/// Where an executor's sandbox lies: where that of a task of its name would.
pub(crate) fn as_task(executor: &ExecutorId) -> TaskId {
    TaskId::new(executor.as_str()).expect("an executor's id is as good as a task's")
}

/// What a container takes from its executor's.
pub(crate) struct Shared {
    /// The container that it joins.
    pub(crate) joins: Option<containerizer::ContainerId>,
    /// The executor's sandbox, if it is in a group.
    pub(crate) sandbox: Option<PathBuf>,
    /// The folders that it mounts.
    pub(crate) volumes: Vec<Volume>,
}

/// Makes the sandbox of the task's executor, and the folders of it that the task mounts. Errors: which cannot be had.
pub(crate) fn share(order: &LaunchContainer, sandboxes: &Sandboxes, reach: Reach) -> Result<Shared, String> {
    let Runs::InGroup { parent, executor } = &order.runs else {
        return Ok(Shared { joins: None, sandbox: None, volumes: Vec::new() });
    };
    let sandbox = sandboxes.path(&order.framework, &as_task(&executor.id), parent);
    let limit = disk::limit_in(&executor.resources);
    let lock = making_of(&sandbox);
    let making = lock.lock().unwrap_or_else(PoisonError::into_inner);
    if !sandbox.is_dir() {
        let made = sandboxes.create(&sandbox, order.user.as_deref(), reach, limit);
        made.map_err(|error| {
            // The next of its tasks makes it anew: half of one may lack its limit.
            let _nothing_in_it = sandboxes.disks().remove(&sandbox);
            format!("cannot make the sandbox of executor {}: {error}", executor.id)
        })?;
    }
    drop(making);
    let mut volumes = Vec::with_capacity(order.task.container.parent_volumes.len());
    for volume in &order.task.container.parent_volumes {
        make_below(&sandbox, &volume.path, order.user.as_deref())
            .map_err(|error| format!("cannot make {} in the executor's sandbox: {error}", volume.path))?;
        volumes.push(Volume {
            source: VolumeSource::host(sandbox.join(&volume.path)),
            container_path: volume.container_path.clone().into(),
            read_only: volume.read_only,
        });
    }
    let joins = containerizer::ContainerId::new(parent.as_str()).map_err(|error| error.to_string())?;
    Ok(Shared { joins: Some(joins), sandbox: Some(sandbox), volumes })
}

/// Makes a folder for `user` below `sandbox`, step by step from its descriptor.
fn make_below(sandbox: &Path, path: &str, user: Option<&str>) -> Result<(), Errno> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let owner = user.and_then(|wanted| crate::supervisor::find_user(wanted).ok().flatten());
    let mut here: OwnedFd = openat(CWD, sandbox, folder, Mode::empty())?;
    for name in path.split('/') {
        match mkdirat(&here, name, Mode::from_raw_mode(0o750)) {
            Ok(()) => {
                if let Some(owner) = &owner
                    && nix::unistd::geteuid().is_root()
                {
                    let (uid, gid) = (Uid::from_raw(owner.uid.as_raw()), Gid::from_raw(owner.gid.as_raw()));
                    chownat(&here, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
                }
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        here = openat(&here, name, folder, Mode::empty())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_make_the_same_sandbox_wait_for_each_other() {
        let (one, again, other) = (
            making_of(Path::new("/x/one")),
            making_of(Path::new("/x/one")),
            making_of(Path::new("/x/other")),
        );
        let _making = one.lock().unwrap();
        assert!(again.try_lock().is_err());
        assert!(other.try_lock().is_ok());
    }

    #[test]
    fn folders_are_made_once_and_links_are_not_followed() {
        let sandbox = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        make_below(sandbox.path(), "a/b", None).unwrap();
        make_below(sandbox.path(), "a/b", None).unwrap();
        assert!(sandbox.path().join("a/b").is_dir());
        std::os::unix::fs::symlink(outside.path(), sandbox.path().join("link")).unwrap();
        assert!(make_below(sandbox.path(), "link/x", None).is_err());
        assert!(std::fs::read_dir(outside.path()).unwrap().next().is_none());
    }
}
