//! What a container's file system shows: a `/proc` of its own, and its volumes.
//!
//! Invariants
//! - No mount made here is ever seen outside the container.
//! - A relative volume path stays in the sandbox: no component of it may be a symbolic link.
//! - What a volume shows is got hold of once, by [`sources`](super::sources); no path is looked up twice.
//!
//! Source: mount_namespaces(7), open_tree(2), mount_setattr(2).

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, mount, mount_change, move_mount};

use super::report::{Failure, FailureReason};
use super::sources::{self, Tree};
use super::spec::Volume;
use super::sys;
use super::task::plain;
use super::user::TaskUser;

/// Cuts the container's mounts off from the host's and gives it its own `/proc`.
pub(super) fn prepare() -> Result<(), Failure> {
    // Slave rather than private: what the host unmounts later goes here too, so that a container never
    // keeps a disk busy. Nothing flows the other way.
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", slave).map_err(|error| {
        Failure::new(
            FailureReason::Namespace,
            format!("cannot detach the container's mounts from the host's: {error}"),
        )
    })?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None).map_err(|error| {
        Failure::new(FailureReason::Namespace, format!("cannot mount the container's /proc: {error}"))
    })
}

/// Mounts one volume. `user` is whom its own files belong to; `None`: nobody in particular.
pub(super) fn mount_volume(volume: &Volume, sandbox: &Path, user: Option<&TaskUser>) -> Result<(), Failure> {
    let refuse = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
        Failure::new(
            FailureReason::Volume,
            format!(
                "cannot mount {} at '{}': {what} '{}': {error}",
                volume.source,
                volume.container_path.display(),
                path.display(),
            ),
        )
    };
    let path = &volume.container_path;
    let Tree { tree, is_directory } = sources::tree(&volume.source, sandbox, user)
        .map_err(|error| refuse("cannot get hold of it for", path, &plain(&error)))?;
    if volume.read_only {
        // Before it is attached: there is no moment at which it could be written.
        sys::make_tree_read_only(tree.as_fd()).map_err(|error| refuse("make read-only", path, &error))?;
    }
    let target = if path.is_absolute() {
        open_path(path).map_err(|error| refuse("container path", path, &error))?
    } else {
        make_below(sandbox, path, is_directory)
            .map_err(|error| refuse("path in the sandbox", path, &error))?
    };
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, "", &target, "", flags).map_err(|error| refuse("attach at", path, &error))
}

fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Opens `path` below `root`, making what is missing, without ever following a symbolic link.
pub(super) fn make_below(root: &Path, path: &Path, is_directory: bool) -> Result<OwnedFd, Errno> {
    let mut place = open_path(root)?;
    let parts: Vec<PathBuf> = path
        .components()
        .filter(|part| !matches!(part, Component::CurDir))
        .map(|part| PathBuf::from(part.as_os_str()))
        .collect();
    for (index, part) in parts.iter().enumerate() {
        let wants_directory = is_directory || index + 1 < parts.len();
        place = enter(&place, part, wants_directory)?;
    }
    Ok(place)
}

fn enter(place: &OwnedFd, name: &Path, wants_directory: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if wants_directory {
        match rustix::fs::mkdirat(place, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        flags |= OFlags::DIRECTORY;
    } else {
        let create = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let create = create | OFlags::NONBLOCK;
        drop(rustix::fs::openat(place, name, create, Mode::from_raw_mode(0o644))?);
    }
    rustix::fs::openat(place, name, flags, Mode::empty())
}
