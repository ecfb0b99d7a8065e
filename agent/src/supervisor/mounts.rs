//! What a container in profile `host` sees: the host's files, a `/proc` of its own, and its volumes.
//!
//! Invariants
//! - No mount made here is ever seen outside the container.
//! - A relative volume path stays in the sandbox: no component of it may be a symbolic link.
//! - What a volume shows is got hold of once, by [`sources`](super::sources); no path is looked up twice.
//!
//! Source: mount_namespaces(7), open_tree(2), mount_setattr(2).

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, mount, move_mount};

use super::profile::places::{self, refuse_volume};
use super::report::{Failure, FailureReason};
use super::sources::{self, Owner};
use super::spec::Volume;
use super::sys::{self, MountChange};
use super::task::plain;
use super::user::TaskUser;

/// Gives the container its own `/proc`, in a mount namespace of its own.
pub(super) fn prepare() -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None).map_err(|error| {
        Failure::new(FailureReason::Namespace, format!("cannot mount the container's /proc: {error}"))
    })
}

/// Mounts one volume. `user` is whom its own files belong to; `None`: nobody in particular.
pub(super) fn mount_volume(volume: &Volume, sandbox: &Path, user: Option<&TaskUser>) -> Result<(), Failure> {
    let refuse =
        |what: &str, path: &Path, error: &dyn std::fmt::Display| refuse_volume(volume, what, path, error);
    let path = &volume.container_path;
    let mut tree = sources::open(&volume.source, sandbox, Owner::new(user, None))
        .map_err(|error| refuse("cannot get hold of it for", path, &plain(&error)))?;
    if volume.read_only {
        // Before it is attached: there is no moment at which it could be written.
        let change = MountChange { set: libc::MOUNT_ATTR_RDONLY, whole: true, ..MountChange::default() };
        sys::change_mount(tree.as_fd(), &change).map_err(|error| refuse("make read-only", path, &error))?;
    }
    let alone = sources::alone(&volume.source, &tree, sandbox);
    if let Some(file) = alone.map_err(|error| refuse("take the file for", path, &error))? {
        tree = file;
    }
    let target = if path.is_absolute() {
        open_path(path).map_err(|error| refuse("container path", path, &error))?
    } else {
        let is_directory = places::is_directory(&tree);
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
