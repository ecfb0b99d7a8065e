//! A task's files: where it starts, where its output goes, and how long they stay after it.
//!
//! ```text
//! <work dir>/sandboxes/<framework>/<task>/<container>/   stdout, stderr, whatever the task leaves
//! ```
//!
//! Invariants
//! - Only the innermost folder belongs to the task's user; those above are the agent's.
//! - Ended sandboxes are kept for a week, at most a thousand of them, the oldest going first; they are looked at
//!   when the agent starts and whenever a task ends.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use lonja_model::{ContainerId, FrameworkId, TaskId};

/// How long the files of an ended task stay.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// How many ended tasks' files stay.
const MOST_KEPT: usize = 1_000;

/// Who comes to a sandbox by its path on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Also the task, which shares the host's root.
    Everyone,
    /// The agent alone: what a task leaves there, such as programs that become its user, is nobody else's to run.
    Agent,
}

/// All sandboxes of one agent.
#[derive(Debug)]
pub(crate) struct Sandboxes {
    root: PathBuf,
    /// Ended ones, oldest first.
    ended: Mutex<VecDeque<(SystemTime, PathBuf)>>,
}

impl Sandboxes {
    /// The sandboxes below a work dir. Those that are there already count as ended until they are found in use.
    pub(crate) fn open(work_dir: &Path) -> io::Result<Self> {
        let root = work_dir.join("sandboxes");
        fs::DirBuilder::new().recursive(true).mode(0o711).create(&root)?;
        Ok(Self { root, ended: Mutex::new(VecDeque::new()) })
    }

    /// Where the files of one run of a task are.
    pub(crate) fn path(&self, framework: &FrameworkId, task: &TaskId, container: &ContainerId) -> PathBuf {
        self.task_dir(framework, task).join(container.as_str())
    }

    fn task_dir(&self, framework: &FrameworkId, task: &TaskId) -> PathBuf {
        self.root.join(framework.as_str()).join(task.as_str())
    }

    /// Makes a sandbox that belongs to `user`.
    pub(crate) fn create(&self, path: &Path, user: Option<&str>, reach: Reach) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o711).create(parent)?;
            if reach == Reach::Agent {
                fs::set_permissions(parent, fs::Permissions::from_mode(0o700))?;
            } else {
                fs::set_permissions(parent, fs::Permissions::from_mode(0o711))?;
            }
        }
        fs::DirBuilder::new().mode(0o750).create(path)?;
        // A user that does not exist is the supervisor's to report.
        let owner = user.and_then(|name| nix::unistd::User::from_name(name).ok().flatten());
        if let Some(owner) = owner
            && nix::unistd::geteuid().is_root()
        {
            nix::unistd::chown(path, Some(owner.uid), Some(owner.gid))?;
        }
        Ok(())
    }

    /// The newest run of a task, whether it has ended or not.
    pub(crate) fn newest(&self, framework: &FrameworkId, task: &TaskId) -> Option<PathBuf> {
        let runs = fs::read_dir(self.task_dir(framework, task)).ok()?.flatten();
        runs.filter_map(|run| Some((run.metadata().ok()?.modified().ok()?, run.path())))
            .max()
            .map(|(_, path)| path)
    }

    /// Finds the sandboxes that no container uses any more, oldest first.
    pub(crate) fn find_ended(&self, in_use: &[ContainerId]) {
        let mut found = Vec::new();
        let folders = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
        for framework in folders(&self.root) {
            for task in folders(&framework.path()) {
                for run in folders(&task.path()) {
                    if in_use.iter().any(|container| OsStr::new(container.as_str()) == run.file_name()) {
                        continue;
                    }
                    let modified = run.metadata().and_then(|metadata| metadata.modified());
                    found.push((modified.unwrap_or(SystemTime::UNIX_EPOCH), run.path()));
                }
            }
        }
        found.sort();
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = found.into();
        self.collect();
    }

    /// A task has ended for good: its files begin to age. Blocks while old ones are removed.
    pub(crate) fn ended(&self, path: PathBuf) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push_back((SystemTime::now(), path));
        self.collect();
    }

    fn collect(&self) {
        loop {
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            let old = |since: &SystemTime| since.elapsed().is_ok_and(|age| age > KEPT_FOR);
            let surplus = ended.len() > MOST_KEPT || ended.front().is_some_and(|(since, _)| old(since));
            let Some((_, path)) = ended.pop_front_if(|_| surplus) else { return };
            drop(ended);
            // Links are removed, never followed.
            if let Err(error) = fs::remove_dir_all(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "an old sandbox cannot be removed");
            }
            for folder in path.ancestors().skip(1).take(2) {
                // Not empty: other runs or tasks are still there.
                let _kept = fs::remove_dir(folder);
            }
        }
    }
}
