//! What a container in profile `host` sees: the host's files, a `/proc` of its own, and its volumes.
//!
//! Invariants
//! - No mount made here is ever seen outside the container.
//! - A relative volume path stays in the sandbox: no component of it may be a symbolic link.
//!
//! Source: mount_namespaces(7), open_tree(2), mount_setattr(2).

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount, move_mount, open_tree};

use super::profile::places::{self, refuse_volume};
use super::profile::trees::open_without_links;
use super::report::{Failure, FailureReason};
use super::spec::Volume;
use super::sys::{self, MountChange};

/// Gives the container its own `/proc`, in a mount namespace of its own.
pub(super) fn prepare() -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None).map_err(|error| {
        Failure::new(FailureReason::Namespace, format!("cannot mount the container's /proc: {error}"))
    })
}

/// Mounts one volume.
pub(super) fn mount_volume(volume: &Volume, sandbox: &Path) -> Result<(), Failure> {
    let refuse =
        |what: &str, path: &Path, error: &dyn std::fmt::Display| refuse_volume(volume, what, path, error);
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_without_links(&volume.host_path)
        .and_then(|source| open_tree(&source, "", flags | OpenTreeFlags::AT_EMPTY_PATH))
        .map_err(|error| refuse("host path", &volume.host_path, &error))?;
    if volume.read_only {
        // Before it is attached: there is no moment at which it could be written.
        let change = MountChange { set: libc::MOUNT_ATTR_RDONLY, whole: true, ..MountChange::default() };
        sys::change_mount(tree.as_fd(), &change)
            .map_err(|error| refuse("make read-only", &volume.host_path, &error))?;
    }
    let path = &volume.container_path;
    let target = if path.is_absolute() {
        open_path(path).map_err(|error| refuse("container path", path, &error))?
    } else {
        let is_directory = volume.host_path.is_dir();
        open_path(sandbox)
            .and_then(|sandbox| places::reach(&sandbox, path, is_directory, &[]))
            .map_err(|error| refuse("path in the sandbox", path, &error))?
    };
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, "", &target, "", flags).map_err(|error| refuse("attach at", path, &error))
}

fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}
