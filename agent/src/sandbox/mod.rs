//! A task's files: where it starts, where its output goes, and how long they stay after it.
//!
//! ```text
//! <work dir>/sandboxes/<framework>/<task>/<container>/   stdout, stderr, whatever the task leaves
//! ```
//!
//! Invariants
//! - Only the innermost folder belongs to the task's user; those above are the agent's.
//! - Files of ended tasks go oldest first ([`collection`]); those of a task whose container may be alive never do.

pub(crate) mod collection;
pub(crate) mod files;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lonja_model::{ContainerId, FrameworkId, TaskId};

use crate::disk::Disks;
use crate::supervisor::find_user;
use collection::Collection;

/// Who comes to a sandbox by its path on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Also the task, which shares the host's root.
    Everyone,
    /// The agent alone: what a task leaves there, such as programs that become its user, is nobody else's to run.
    Agent,
}

/// All sandboxes of one agent. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Sandboxes {
    root: PathBuf,
    disks: Arc<Disks>,
    collection: Arc<Collection>,
}

impl Sandboxes {
    /// The sandboxes below a work dir. Those that are there already count as ended until they are found in use.
    pub(crate) fn open(work_dir: &Path, disks: Arc<Disks>) -> io::Result<Self> {
        let root = work_dir.join("sandboxes");
        fs::DirBuilder::new().recursive(true).mode(0o711).create(&root)?;
        let collection = Arc::new(Collection::new(disks.clone()));
        Ok(Self { root, disks, collection })
    }

    /// The disk that they lie on.
    pub(crate) fn disks(&self) -> &Arc<Disks> {
        &self.disks
    }

    /// What removes those of ended tasks.
    pub(crate) fn collection(&self) -> &Arc<Collection> {
        &self.collection
    }

    /// Where the files of one run of a task are.
    pub(crate) fn path(&self, framework: &FrameworkId, task: &TaskId, container: &ContainerId) -> PathBuf {
        self.task_dir(framework, task).join(container.as_str())
    }

    fn task_dir(&self, framework: &FrameworkId, task: &TaskId) -> PathBuf {
        self.root.join(framework.as_str()).join(task.as_str())
    }

    /// Makes a sandbox that belongs to `user` and may hold so many bytes.
    pub(crate) fn create(
        &self,
        path: &Path,
        user: Option<&str>,
        reach: Reach,
        limit: Option<u64>,
    ) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o711).create(parent)?;
            let mode = if reach == Reach::Agent { 0o700 } else { 0o711 };
            fs::set_permissions(parent, fs::Permissions::from_mode(mode))?;
        }
        // A user that does not exist is the supervisor's to report.
        let owner = user.and_then(|wanted| find_user(wanted).ok().flatten());
        let owner = owner.filter(|_| nix::unistd::geteuid().is_root());
        self.disks.create(path, limit, owner.map(|owner| (owner.uid.as_raw(), owner.gid.as_raw())))
    }

    /// The newest run of a task, whether it has ended or not.
    pub(crate) fn newest(&self, framework: &FrameworkId, task: &TaskId) -> Option<PathBuf> {
        let runs = fs::read_dir(self.task_dir(framework, task)).ok()?.flatten();
        runs.filter_map(|run| Some((changed(&run.metadata().ok()?), run.path()))).max().map(|(_, path)| path)
    }

    /// The sandbox at this path, if it is one of ours; else `None`. What is below it is returned apart.
    pub(crate) fn find(&self, path: &Path) -> Option<(PathBuf, PathBuf)> {
        let mut parts = path.strip_prefix(&self.root).ok()?.components();
        let mut sandbox = self.root.clone();
        for _ in 0..3 {
            match parts.next()? {
                std::path::Component::Normal(part) => sandbox.push(part),
                _ => return None,
            }
        }
        Some((sandbox, parts.as_path().to_owned()))
    }

    /// Opens a sandbox for reading. Blocks.
    pub(crate) fn open_root(&self, path: &Path) -> io::Result<OwnedFd> {
        self.disks.open_root(path)
    }

    /// After a restart: the sandboxes that no container uses any more begin to age where they stood; what is mounted for
    /// others than the living goes. Blocks.
    pub(crate) fn find_ended(&self, in_use: &[ContainerId], living: &[PathBuf]) {
        let (mut all, mut ended) = (Vec::new(), Vec::new());
        let in_use: BTreeSet<&OsStr> =
            in_use.iter().map(|container| OsStr::new(container.as_str())).collect();
        let folders = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
        for framework in folders(&self.root) {
            for task in folders(&framework.path()) {
                for run in folders(&task.path()) {
                    all.push(run.path());
                    if in_use.contains(run.file_name().as_os_str()) {
                        continue;
                    }
                    ended.push(run.path());
                }
            }
        }
        if let Err(error) = self.disks.sweep(living, &all) {
            tracing::warn!(%error, "what was mounted for containers that are gone cannot be taken off");
        }
        for sandbox in living {
            if let Err(error) = self.disks.find_again(sandbox) {
                tracing::error!(sandbox = %sandbox.display(), %error, "a sandbox' own disk cannot be mounted again");
            }
        }
        // Only now: a folder with something mounted on it shows the times of that.
        let aged = ended
            .into_iter()
            .map(|path| (fs::symlink_metadata(&path).map_or((0, 0), |metadata| changed(&metadata)), path));
        self.collection.begin_with(aged.collect());
    }

    /// Nothing of the container is alive: what was mounted for it goes. Its files stay. Blocks.
    pub(crate) fn release(&self, path: &Path) {
        if let Err(error) = self.disks.release(path) {
            tracing::warn!(path = %path.display(), %error, "a sandbox cannot be released");
        }
    }

    /// A task has ended for good: its files begin to age. Blocks for a moment.
    pub(crate) fn ended(&self, path: PathBuf) {
        self.release(&path);
        self.collection.add(path);
    }
}

/// When a folder was last changed, in seconds and nanoseconds of Unix time: by its inode, whose time no task can set.
fn changed(metadata: &fs::Metadata) -> (i64, i64) {
    (metadata.ctime(), metadata.ctime_nsec())
}
