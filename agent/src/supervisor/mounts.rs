//! What a container's file system shows: a `/proc` of its own, and its volumes.
//!
//! Invariants
//! - No mount made here is ever seen outside the container.
//! - A relative volume path stays in the sandbox: no component of it may be a symbolic link.
//!
//! Source: mount_namespaces(7), open_tree(2), mount_setattr(2).

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change, move_mount,
    open_tree,
};

use super::report::{Failure, FailureReason};
use super::spec::Volume;
use super::sys;

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

/// Mounts one volume.
pub(super) fn mount_volume(volume: &Volume, sandbox: &Path) -> Result<(), Failure> {
    let refuse = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
        Failure::new(
            FailureReason::Volume,
            format!(
                "cannot mount volume '{}' at '{}': {what} '{}': {error}",
                volume.host_path.display(),
                volume.container_path.display(),
                path.display(),
            ),
        )
    };
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = if volume.follows_links {
        open_tree(CWD, &volume.host_path, flags)
    } else {
        open_without_links(&volume.host_path)
            .and_then(|source| open_tree(&source, "", flags | OpenTreeFlags::AT_EMPTY_PATH))
    };
    let tree = tree.map_err(|error| refuse("host path", &volume.host_path, &error))?;
    if volume.read_only {
        // Before it is attached: there is no moment at which it could be written.
        sys::make_tree_read_only(tree.as_fd())
            .map_err(|error| refuse("make read-only", &volume.host_path, &error))?;
    }
    let path = &volume.container_path;
    let target = if path.is_absolute() {
        open_path(path).map_err(|error| refuse("container path", path, &error))?
    } else {
        let is_directory = volume.host_path.is_dir();
        make_below(sandbox, path, is_directory)
            .map_err(|error| refuse("path in the sandbox", path, &error))?
    };
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, "", &target, "", flags).map_err(|error| refuse("attach at", path, &error))
}

/// Opens an absolute path no component of which may be a symbolic link.
fn open_without_links(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve)
}

fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Opens `path` below `root`, making what is missing, without ever following a symbolic link.
fn make_below(root: &Path, path: &Path, is_directory: bool) -> Result<OwnedFd, Errno> {
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
