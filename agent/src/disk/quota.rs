//! Quotas of file systems: btrfs' by subvolume, ext4's and xfs' by project.
//!
//! Source: btrfs-quota(8); Linux `Documentation/filesystems/quota.rst`; Mesos, `disk/xfs` isolator.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};

use super::{kernel, measure};

/// What statfs(2) calls btrfs.
const BTRFS: i64 = 0x9123_683E;

/// Projects that sandboxes get. An operator's own are usually small numbers.
const PROJECTS: std::ops::Range<u32> = 1_000_000..1_100_000;

pub(super) fn open(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::empty())?)
}

/// Whether btrfs can hold sandboxes below this folder to a limit; with `enable`, quotas are turned on for that.
pub(super) fn probe_btrfs(folder: &Path, enable: bool) -> Result<(), String> {
    let opened = open(folder).map_err(|error| error.to_string())?;
    let kind = rustix::fs::fstatfs(&opened).map_err(|error| error.to_string())?.f_type;
    if kind != BTRFS {
        return Err("the work dir is not on btrfs".to_owned());
    }
    if enable {
        let enabled = kernel::enable_btrfs_quotas(opened.as_fd());
        enabled.map_err(|error| format!("btrfs quotas cannot be turned on: {error}"))?;
    }
    let trial = folder.join(format!(".lonja-trial-{}", std::process::id()));
    let tried = make_subvolume(&trial, 1 << 20);
    let removed = remove_subvolume(&trial);
    tried.and(removed).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOTCONN) => {
            "btrfs quotas are off: `btrfs quota enable`, or start the agent with --disk-limit btrfs"
                .to_owned()
        }
        _ => format!("btrfs quotas cannot be used: {error}"),
    })
}

/// Makes a folder that can hold so many bytes.
pub(super) fn make_subvolume(folder: &Path, bytes: u64) -> io::Result<()> {
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    kernel::create_subvolume(open(parent)?.as_fd(), name.as_bytes())?;
    let made = open(folder)?;
    let limited = kernel::subvolume_id(made.as_fd())
        .and_then(|subvolume| kernel::limit_subvolume(made.as_fd(), subvolume, bytes));
    if limited.is_err() {
        drop(made);
        remove_subvolume(folder)?;
    }
    limited
}

/// Removes a folder with all that is in it, and its limit if it is a subvolume.
pub(super) fn remove_subvolume(folder: &Path) -> io::Result<()> {
    let parent = folder.parent().map(open).transpose()?;
    let subvolume = match (&parent, open(folder)) {
        (Some(parent), Ok(opened)) if !kernel::same_device(parent, &opened)? => {
            kernel::subvolume_id(opened.as_fd()).ok()
        }
        _ => None,
    };
    super::removal::remove(folder)?;
    if let (Some(parent), Some(subvolume)) = (parent, subvolume) {
        // Newer kernels have forgotten it by themselves; older ones may need a moment, and it takes no room.
        let _gone = kernel::forget_subvolume(parent.as_fd(), subvolume);
    }
    Ok(())
}

/// Whether the file system of this folder holds projects to limits.
pub(super) fn probe_projects(folder: &Path) -> Result<(), String> {
    let opened = open(folder).map_err(|error| error.to_string())?;
    kernel::has_project_quotas(opened.as_fd()).map_err(|error| {
        format!("the work dir's file system is not mounted with project quotas (option prjquota): {error}")
    })
}

/// Projects that are in use by sandboxes.
#[derive(Debug, Default)]
pub(super) struct Projects(Mutex<BTreeSet<u32>>);

impl Projects {
    /// A folder that is there already has this one.
    pub(super) fn note(&self, folder: &Path) {
        let project = open(folder).and_then(|opened| kernel::project_of(opened.as_fd()));
        if let Ok(project) = project
            && PROJECTS.contains(&project)
        {
            self.used().insert(project);
        }
    }

    /// Gives an empty folder a project of its own with a limit.
    pub(super) fn limit(&self, folder: &Path, bytes: u64) -> io::Result<()> {
        let opened = open(folder)?;
        let project = {
            let mut used = self.used();
            let free = PROJECTS.into_iter().find(|project| !used.contains(project));
            let project = free.ok_or_else(|| io::Error::other("all projects for sandboxes are in use"))?;
            used.insert(project);
            project
        };
        // The limit first: nothing is ever in the project without it.
        let limited = kernel::limit_project(opened.as_fd(), project, bytes, (bytes / measure::EACH).max(16))
            .and_then(|()| kernel::set_project(opened.as_fd(), project));
        if limited.is_err() {
            self.used().remove(&project);
        }
        limited
    }

    /// Removes a folder with all that is in it, and its project's limit.
    pub(super) fn remove(&self, folder: &Path) -> io::Result<()> {
        let project = open(folder).and_then(|opened| kernel::project_of(opened.as_fd())).ok();
        super::removal::remove(folder)?;
        let Some(project) = project.filter(|project| PROJECTS.contains(project)) else { return Ok(()) };
        if let Some(parent) = folder.parent().filter(|parent| fs::exists(parent).unwrap_or(false)) {
            kernel::limit_project(open(parent)?.as_fd(), project, 0, 0)?;
        }
        self.used().remove(&project);
        Ok(())
    }

    fn used(&self) -> std::sync::MutexGuard<'_, BTreeSet<u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
