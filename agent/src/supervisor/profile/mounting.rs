//! The few ways in which a container's root is put together.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::super::report::{Failure, FailureReason};
use super::super::sys::{self, MountChange};

/// No set-user-id programs and no devices: true of everything that a container sees but six devices.
pub(super) const NO_POWER: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

/// Nor can it be written.
pub(super) const READ_ONLY: u64 = NO_POWER | libc::MOUNT_ATTR_RDONLY;

/// Why the root cannot be built.
pub(super) fn refuse(what: impl std::fmt::Display, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        FailureReason::Namespace,
        format!("cannot build the container's root file system: {what}: {error}"),
    )
}

/// A new file system of this kind, not attached anywhere yet. An option without value is a flag.
pub(in super::super) fn file_system(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Errno> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        if value.is_empty() {
            fsconfig_set_flag(&context, *name)?;
        } else {
            fsconfig_set_string(&context, *name, *value)?;
        }
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A copy of the mount at `path` below `place`, with the mounts below it if `whole`, not attached anywhere yet.
pub(in super::super) fn copy(place: BorrowedFd<'_>, path: &str, whole: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags |= OpenTreeFlags::AT_EMPTY_PATH;
    if whole {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(place, path, flags)
}

/// Puts a mount that is not attached yet at `path` below `place`, which exists and is no link.
pub(super) fn attach(mount: &OwnedFd, place: BorrowedFd<'_>, path: &str) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", place, path, flags)
}

/// Shows `source` of the host at `path` in the root, with these attributes on all of it.
pub(super) fn show(source: &str, root: &OwnedFd, path: &str, attributes: u64) -> Result<(), Errno> {
    let tree = copy(CWD, source, true)?;
    sys::change_mount(tree.as_fd(), &MountChange { set: attributes, whole: true, ..MountChange::default() })
        .map_err(|error| errno(&error))?;
    attach(&tree, root.as_fd(), path)
}

/// What stands at `path` below `place`, without following any link.
pub(super) fn look(place: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(place, path, flags, Mode::empty(), resolve)
}

/// Makes a folder with exactly this mode. The umask must be zero.
pub(super) fn folder(root: &OwnedFd, path: &str, mode: u32) -> Result<(), Failure> {
    rustix::fs::mkdirat(root, path, Mode::from_raw_mode(mode))
        .map_err(|error| refuse(format_args!("make '/{path}'"), &error))
}

/// Makes an empty file for something to be mounted on.
pub(super) fn file(root: &OwnedFd, path: &str) -> Result<(), Failure> {
    write(root, path, "")
}

/// Makes a file with this text, that all may read. The umask must be zero.
pub(super) fn write(root: &OwnedFd, path: &str, text: &str) -> Result<(), Failure> {
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let made = rustix::fs::openat(root, path, flags, Mode::from_raw_mode(0o644));
    let written = made
        .map_err(std::io::Error::from)
        .and_then(|file| std::io::Write::write_all(&mut std::fs::File::from(file), text.as_bytes()));
    written.map_err(|error| refuse(format_args!("write '/{path}'"), &super::super::task::plain(&error)))
}

/// Makes a symbolic link.
pub(super) fn link(root: &OwnedFd, path: &str, target: &str) -> Result<(), Failure> {
    rustix::fs::symlinkat(target, root, path).map_err(|error| refuse(format_args!("make '/{path}'"), &error))
}

/// A system call's error of ours as a code.
pub(super) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
