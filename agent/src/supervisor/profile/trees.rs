//! What a container is shown of the host's files: its sandbox and its volumes, as mounts not attached yet.
//!
//! They are opened where the host's mounts are seen as they are now, by who has the power to say who owns what in
//! them: the supervisor, or init where nobody has it. Nothing later looks up a path of the host's.
//!
//! Source: open_tree(2); mount_setattr(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use crate::isolation::DeviceRule;

use super::super::report::{Failure, FailureReason};
use super::super::sources::{self, Owner, VolumeSource};
use super::super::spec::{ContainerSpec, Volume};
use super::super::sys::{self, MountChange};
use super::super::task::{Logs, plain};
use super::super::user::TaskUser;
use super::mounting::{NO_POWER, READ_ONLY, copy};
use super::places::refuse_volume;
use super::root::open_folder;
use super::users::Users;

/// How deep what was fetched may go: as deep as archives are unpacked.
const MOST_FOLDERS: u8 = 65;

/// The sandbox first, then the volumes in their order, then the nodes of devices in theirs.
pub(in super::super) fn open_all(
    spec: &ContainerSpec,
    users: Option<&Users>,
    user: Option<&TaskUser>,
) -> Result<Vec<OwnedFd>, Failure> {
    let mut trees = vec![sandbox(&spec.sandbox, users, user)?];
    for volume in &spec.volumes {
        trees.push(open_volume(volume, &spec.sandbox, users, user)?);
    }
    for (device, path) in spec.limits.nodes() {
        trees.push(open_device(device, path)?);
    }
    Ok(trees)
}

/// Devices keep their owners, whom a container does not have among its users: others' permissions count.
fn open_device(device: &DeviceRule, path: &Path) -> Result<OwnedFd, Failure> {
    let refuse = |error: &dyn std::fmt::Display| {
        let message = format!("cannot show the device '{}': {error}", path.display());
        Failure::new(FailureReason::Sandbox, message)
    };
    let node = open_without_links(path).map_err(|error| refuse(&error))?;
    let number = rustix::fs::fstat(&node).map_err(|error| refuse(&error))?.st_rdev;
    if !device.is_of(number) {
        return Err(refuse(&"it is another device than when the agent looked; restart the agent"));
    }
    let tree = copy(node.as_fd(), "", false).map_err(|error| refuse(&error))?;
    let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;
    change(&tree, attributes, None).map_err(|error| refuse(&plain(&error)))?;
    Ok(tree)
}

fn sandbox(path: &Path, users: Option<&Users>, user: Option<&TaskUser>) -> Result<OwnedFd, Failure> {
    let refuse = |error: &io::Error| {
        let message = format!("cannot open the sandbox '{}': {}", path.display(), plain(error));
        Failure::new(FailureReason::Sandbox, message)
    };
    let folder = open_folder(path).map_err(|error| refuse(&error.into()))?;
    let tree = copy(folder.as_fd(), "", true).map_err(|error| refuse(&error.into()))?;
    match change(&tree, NO_POWER, users) {
        Err(error) if users.is_some() && cannot_map(&error) => {
            // Then its files belong outside to who has them inside.
            change(&tree, NO_POWER, None).map_err(|error| refuse(&error))?;
            give_to(&folder, users, user).map_err(|error| refuse(&error.into()))?;
        }
        changed => changed.map_err(|error| refuse(&error))?,
    }
    Ok(tree)
}

fn give_to(folder: &OwnedFd, users: Option<&Users>, user: Option<&TaskUser>) -> Result<(), Errno> {
    let Some(users) = users else { return Ok(()) };
    let (uid, gid) = user.map_or((0, 0), |user| (user.uid, user.gid));
    let owner = (Uid::from_raw(users.ids.first + uid), Gid::from_raw(users.ids.first + gid));
    let flags = rustix::fs::AtFlags::EMPTY_PATH;
    rustix::fs::chownat(folder, "", Some(owner.0), Some(owner.1), flags)?;
    give_below(folder, owner, MOST_FOLDERS)
}

/// The logs, and whatever was fetched: nobody is in the container yet. Links are given away, never followed.
fn give_below(folder: &OwnedFd, owner: (Uid, Gid), depth: u8) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut entries = rustix::fs::Dir::new(rustix::fs::openat(folder, ".", flags, Mode::empty())?)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let no_follow = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(folder, name, Some(owner.0), Some(owner.1), no_follow)?;
        if entry.file_type() == FileType::Directory {
            let depth = depth.checked_sub(1).ok_or(Errno::NAMETOOLONG)?;
            give_below(&rustix::fs::openat(folder, name, flags, Mode::empty())?, owner, depth)?;
        }
    }
    Ok(())
}

fn open_volume(
    volume: &Volume,
    sandbox: &Path,
    users: Option<&Users>,
    user: Option<&TaskUser>,
) -> Result<OwnedFd, Failure> {
    let path = &volume.container_path;
    let refuse = |what: &str, error: &dyn std::fmt::Display| refuse_volume(volume, what, path, error);
    let owner = Owner::new(user, users.map(|users| users.ids.first));
    let tree = sources::open(&volume.source, sandbox, owner)
        .map_err(|error| refuse("cannot get hold of it for", &plain(&error)))?;
    let attributes = if volume.read_only { READ_ONLY } else { NO_POWER };
    if matches!(volume.source, VolumeSource::Secret(_) | VolumeSource::Tmpfs { .. }) {
        // Made just now, of the container's own ids.
        return match change(&tree, attributes, None) {
            Ok(()) => Ok(tree),
            Err(error) => Err(refuse("restrict", &plain(&error))),
        };
    }
    // Before it is attached: there is no moment at which it could be written.
    match change(&tree, attributes, users) {
        Err(error) if users.is_some() && cannot_map(&error) && volume.read_only => {
            // Owners look like nobody then, and what others may read can be read.
            change(&tree, attributes, None).map_err(|error| refuse("make read-only", &error))?;
        }
        Err(error) if users.is_some() && cannot_map(&error) => {
            let what = "its file system, or one mounted below, cannot show its files to users of a container \
                        (idmapped mounts); mount it read-only, or start the agent with --no-userns:";
            return Err(refuse(what, &plain(&error)));
        }
        changed => changed.map_err(|error| refuse("restrict", &plain(&error)))?,
    }
    Ok(tree)
}

/// An absolute path of which the links were resolved before: should one be there now, somebody put it there.
pub(in super::super) fn open_without_links(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve)
}

/// Nothing that is mounted in the container comes back to the host, and what is there has these attributes.
fn change(tree: &OwnedFd, set: u64, users: Option<&Users>) -> io::Result<()> {
    let change =
        MountChange { set, slave: true, users: users.map(|users| users.fd().as_raw_fd()), whole: true };
    sys::change_mount(tree.as_fd(), &change)
}

fn cannot_map(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM | libc::EOPNOTSUPP))
}

/// The logs again, by way of the sandbox as the container sees it: the task finds them by `/dev/stdout` as its own.
pub(in super::super) fn reopen_logs(sandbox: &OwnedFd) -> Result<Logs, Failure> {
    let open = |name: &str| {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let opened = rustix::fs::openat2(sandbox, name, flags, Mode::empty(), resolve).and_then(|file| {
            rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
            Ok(file)
        });
        opened.map_err(|error| {
            let message = format!("cannot open '{name}' in the sandbox again: {}", plain(&error.into()));
            Failure::new(FailureReason::Sandbox, message)
        })
    };
    Ok(Logs { stdout: open("stdout")?, stderr: open("stderr")? })
}
