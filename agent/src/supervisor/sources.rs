//! Where a volume's content comes from, and how a container gets hold of it.
//!
//! Invariants
//! - A path of the host is bound to what was found there when it was admitted: links that appear later on the way
//!   are refused, and so is another folder in its place.
//! - A secret lies in memory that is never swapped, in a file of its own that only the task's user reads; no path
//!   of the host leads to it.
//! - What is made in a sandbox is made without following links, and belongs to the task's user.
//!
//! Source: docs/isolation.md, "Files"; open_tree(2), fsopen(2), openat2(2); INV-43.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};
use serde::{Deserialize, Serialize};

use super::spec::{SpecError, absolute, no_nul};
use super::user::TaskUser;

/// What a volume shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeSource {
    /// A directory or file of the host.
    Host {
        /// Absolute; must exist.
        path: PathBuf,
        /// Whether symbolic links on the way are followed: yes where an operator chose the path, no where it leads
        /// through folders that tasks have had in their hands, or was resolved already.
        follows_links: bool,
        /// What was found there before; anything else is refused. `None`: whatever is there.
        identity: Option<Identity>,
    },
    /// A folder of the container's own sandbox; made if it is not there.
    Sandbox(PathBuf),
    /// A file with these bytes.
    Secret(Hidden),
    /// An empty folder in memory.
    Tmpfs {
        /// The most it may hold, in bytes; `None`: half of the host's memory, within the container's limit.
        size: Option<u64>,
    },
}

/// A file or folder of the host, whatever it is called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its file system.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

impl Identity {
    /// Of what is open here.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        let found = rustix::fs::fstat(file)?;
        Ok(Self { device: found.st_dev, inode: found.st_ino })
    }
}

/// Bytes that are passed on and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub Vec<u8>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

impl Serialize for Hidden {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // As digits: a list of numbers would take twice the room in an order.
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let byte =
            |index: usize| digits.get(index..index + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("not pairs of hexadecimal digits"))
    }
}

impl VolumeSource {
    /// Whatever is at this path of the host when the container starts.
    pub fn host(path: impl Into<PathBuf>) -> Self {
        Self::Host { path: path.into(), follows_links: true, identity: None }
    }

    pub(super) fn validate(&self) -> Result<(), SpecError> {
        match self {
            Self::Host { path, .. } => absolute("volume host path", path),
            Self::Sandbox(path) => {
                let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
                if path.as_os_str().is_empty() || !path.components().all(plain) {
                    return Err(SpecError::VolumePath(path.clone()));
                }
                no_nul("a volume path", &path.to_string_lossy())
            }
            Self::Secret(_) | Self::Tmpfs { .. } => Ok(()),
        }
    }
}

impl fmt::Display for VolumeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { path, .. } => write!(f, "volume '{}'", path.display()),
            Self::Sandbox(path) => write!(f, "sandbox folder '{}'", path.display()),
            Self::Secret(_) => f.write_str("a secret"),
            Self::Tmpfs { .. } => f.write_str("a tmpfs"),
        }
    }
}

/// A mount that is attached nowhere yet.
pub(super) struct Tree {
    pub(super) tree: OwnedFd,
    /// Else a file.
    pub(super) is_directory: bool,
}

/// Gets hold of what a volume shows, in the container's own mount namespace.
pub(super) fn tree(source: &VolumeSource, sandbox: &Path, user: Option<&TaskUser>) -> io::Result<Tree> {
    match source {
        VolumeSource::Host { path, follows_links, identity } => host(path, *follows_links, *identity),
        VolumeSource::Sandbox(path) => clone_of(&sandbox_folder(sandbox, path, user)?),
        VolumeSource::Secret(bytes) => secret(&bytes.0, sandbox, user),
        VolumeSource::Tmpfs { size } => tmpfs(*size, user),
    }
}

fn host(path: &Path, follows_links: bool, identity: Option<Identity>) -> io::Result<Tree> {
    let resolve = match follows_links {
        true => ResolveFlags::empty(),
        false => ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let place = rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve)?;
    if let Some(identity) = identity
        && Identity::of(&place)? != identity
    {
        return Err(io::Error::other("something else was put there since the launch was allowed"));
    }
    clone_of(&place)
}

fn clone_of(place: &OwnedFd) -> io::Result<Tree> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let is_directory = FileType::from_raw_mode(rustix::fs::fstat(place)?.st_mode) == FileType::Directory;
    let tree = open_tree(place, "", flags | OpenTreeFlags::AT_EMPTY_PATH)?;
    Ok(Tree { tree, is_directory })
}

/// The folder or file at `path` below the sandbox; folders that are missing are made.
fn sandbox_folder(sandbox: &Path, path: &Path, user: Option<&TaskUser>) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut place = rustix::fs::open(sandbox, flags | OFlags::DIRECTORY, Mode::empty())?;
    for part in path.components() {
        let Component::Normal(name) = part else { continue };
        place = match rustix::fs::openat(&place, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                rustix::fs::mkdirat(&place, name, Mode::from_raw_mode(0o755))?;
                let made = rustix::fs::openat(&place, name, flags | OFlags::DIRECTORY, Mode::empty())?;
                if let Some(user) = user {
                    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
                    let empty = rustix::fs::AtFlags::EMPTY_PATH;
                    rustix::fs::chownat(&made, "", Some(uid), Some(gid), empty)?;
                }
                made
            }
            found => found?,
        };
    }
    if FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode) == FileType::Symlink {
        return Err(Errno::LOOP.into());
    }
    Ok(place)
}

fn tmpfs(size: Option<u64>, user: Option<&TaskUser>) -> io::Result<Tree> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    if let Some(size) = size {
        fsconfig_set_string(&context, "size", size.to_string())?;
    }
    fsconfig_set_string(&context, "mode", if user.is_some() { "0700" } else { "1777" })?;
    if let Some(user) = user {
        fsconfig_set_string(&context, "uid", user.uid.to_string())?;
        fsconfig_set_string(&context, "gid", user.gid.to_string())?;
    }
    fsconfig_create(&context)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(Tree { tree: fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?, is_directory: true })
}

/// A mount of one file in memory that is never swapped out.
///
/// Kernels before 6.15 take part of a mount only where that is attached. So it is, over the sandbox and for a
/// moment, in this container's mount namespace, where nobody is yet.
fn secret(bytes: &[u8], sandbox: &Path, user: Option<&TaskUser>) -> io::Result<Tree> {
    let context = fsopen("ramfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "mode", "0700")?;
    fsconfig_create(&context)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let memory = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?;
    let create = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(&memory, "secret", create, Mode::from_raw_mode(0o400))?);
    file.write_all(bytes)?;
    if let Some(user) = user {
        rustix::fs::fchown(&file, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))?;
    }
    drop(file);
    let attach = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&memory, "", CWD, sandbox, attach)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(&memory, "secret", flags);
    unmount(sandbox, UnmountFlags::DETACH)?;
    Ok(Tree { tree: tree?, is_directory: false })
}
