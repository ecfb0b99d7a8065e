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

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{
    MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount,
};
use serde::{Deserialize, Serialize};

use super::profile::mounting::{copy, file_system};
use super::profile::trees::open_without_links;
use super::spec::{SpecError, absolute, no_nul};
use super::user::TaskUser;

/// What a volume shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeSource {
    /// A directory or file of the host.
    Host {
        /// Absolute; must exist. No component of it may be a symbolic link: those were resolved before.
        path: PathBuf,
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
        Self::Host { path: path.into(), identity: None }
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

/// Whom what is made for a container belongs to.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    /// By the ids that disks keep.
    on_disk: Option<(u32, u32)>,
    /// By the ids of whoever makes it.
    in_memory: Option<(u32, u32)>,
}

impl Owner {
    /// `user` by the container's own ids, of which the first is the host's `first`, if it has its own.
    pub(super) fn new(user: Option<&TaskUser>, first: Option<u32>) -> Self {
        let on_disk = user.map(|user| (user.uid, user.gid));
        let in_memory = match (on_disk, first) {
            (ids, Some(first)) => {
                let (uid, gid) = ids.unwrap_or((0, 0));
                Some((first + uid, first + gid))
            }
            (ids, None) => ids,
        };
        Self { on_disk, in_memory }
    }
}

/// Gets hold of what a volume shows, as a mount that is attached nowhere yet. A secret's is to go through [`alone`].
pub(super) fn open(source: &VolumeSource, sandbox: &Path, owner: Owner) -> io::Result<OwnedFd> {
    match source {
        VolumeSource::Host { path, identity } => {
            let place = open_without_links(path)?;
            if let Some(identity) = identity
                && Identity::of(&place)? != *identity
            {
                return Err(io::Error::other("something else was put there since the launch was allowed"));
            }
            Ok(copy(place.as_fd(), "", true)?)
        }
        VolumeSource::Sandbox(path) => {
            Ok(copy(sandbox_folder(sandbox, path, owner.on_disk)?.as_fd(), "", true)?)
        }
        VolumeSource::Secret(bytes) => secret(&bytes.0, owner.in_memory),
        VolumeSource::Tmpfs { size } => Ok(tmpfs(*size, owner.in_memory)?),
    }
}

/// The folder or file at `path` below the sandbox; folders that are missing are made.
fn sandbox_folder(sandbox: &Path, path: &Path, owner: Option<(u32, u32)>) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut place = rustix::fs::open(sandbox, flags | OFlags::DIRECTORY, Mode::empty())?;
    for part in path.components() {
        let Component::Normal(name) = part else { continue };
        place = match rustix::fs::openat(&place, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                rustix::fs::mkdirat(&place, name, Mode::from_raw_mode(0o755))?;
                let made = rustix::fs::openat(&place, name, flags | OFlags::DIRECTORY, Mode::empty())?;
                if let Some((uid, gid)) = owner {
                    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                    rustix::fs::chownat(&made, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
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

/// Nothing in memory is a program or a device.
const NO_PROGRAMS: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

fn tmpfs(size: Option<u64>, owner: Option<(u32, u32)>) -> Result<OwnedFd, Errno> {
    let size = size.map(|size| size.to_string());
    let ids = owner.map(|(uid, gid)| (uid.to_string(), gid.to_string()));
    let mut options = vec![("mode", "1777")];
    options.extend(size.as_deref().map(|size| ("size", size)));
    if let Some((uid, gid)) = &ids {
        options.extend([("uid", uid.as_str()), ("gid", gid.as_str())]);
    }
    file_system("tmpfs", &options, NO_PROGRAMS)
}

/// The name of a secret in the file system it has for itself.
const SECRET: &str = "secret";

/// A file system with one file, in memory that is never swapped out.
fn secret(bytes: &[u8], owner: Option<(u32, u32)>) -> io::Result<OwnedFd> {
    let memory = file_system("ramfs", &[("mode", "0700")], NO_PROGRAMS)?;
    let create = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(&memory, SECRET, create, Mode::from_raw_mode(0o400))?);
    file.write_all(bytes)?;
    if let Some((uid, gid)) = owner {
        rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok(memory)
}

/// A secret's file alone, to be attached by itself.
///
/// Kernels before 6.15 take part of a mount only where that is attached. So it is, for a moment, over the folder `over`
/// in the container's mount namespace, where nobody is yet.
pub(super) fn alone(source: &VolumeSource, tree: &OwnedFd, over: &Path) -> Result<Option<OwnedFd>, Errno> {
    if !matches!(source, VolumeSource::Secret(_)) {
        return Ok(None);
    }
    move_mount(tree, "", CWD, over, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let file = open_tree(tree, SECRET, flags);
    unmount(over, UnmountFlags::DETACH)?;
    file.map(Some)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::HostPaths;

    #[test]
    fn what_takes_the_place_of_an_admitted_path_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["allowed", "allowed/data", "allowed/other", "outside"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        symlink("data", root.join("allowed/alias")).unwrap();
        symlink(root.join("outside"), root.join("allowed/out")).unwrap();
        let allowed = HostPaths::Below(vec![root.join("allowed")]);
        let admitted = allowed.admit(&root.join("allowed/alias")).unwrap();
        assert_eq!(admitted.path, root.join("allowed/data"));
        assert!(allowed.admit(&root.join("allowed/out")).unwrap_err().contains("--allow-host-path"));
        let source = VolumeSource::from(admitted);
        let refused = || open(&source, &root, Owner::new(None, None)).unwrap_err();

        fs::remove_dir(root.join("allowed/data")).unwrap();
        symlink(root.join("outside"), root.join("allowed/data")).unwrap();
        assert_eq!(refused().raw_os_error(), Some(libc::ELOOP));

        fs::remove_file(root.join("allowed/data")).unwrap();
        fs::rename(root.join("allowed/other"), root.join("allowed/data")).unwrap();
        assert!(refused().to_string().contains("something else was put there"));

        fs::rename(root.join("allowed"), root.join("away")).unwrap();
        symlink(root.join("outside"), root.join("allowed")).unwrap();
        assert_eq!(refused().raw_os_error(), Some(libc::ELOOP), "nor may a folder above become a link");
    }

    #[test]
    fn a_sandbox_folder_is_found_or_made_and_never_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = dir.path().join("sandbox");
        fs::create_dir_all(sandbox.join("there")).unwrap();
        symlink("/etc", sandbox.join("link")).unwrap();
        assert!(sandbox_folder(&sandbox, "there/and/below".as_ref(), None).is_ok());
        assert!(sandbox.join("there/and/below").is_dir());
        assert!(sandbox_folder(&sandbox, "link".as_ref(), None).is_err());
        assert!(sandbox_folder(&sandbox, "link/cron.d".as_ref(), None).is_err());
        for path in ["", "/etc", "../other", "a/../../b"] {
            assert!(VolumeSource::Sandbox(path.into()).validate().is_err(), "{path}");
        }
    }

    #[test]
    fn hidden_bytes_survive_an_order_and_are_not_shown() {
        let source = VolumeSource::Secret(Hidden(vec![0, 0xff, b'x']));
        let text = serde_json::to_string(&source).unwrap();
        assert_eq!(serde_json::from_str::<VolumeSource>(&text).unwrap(), source);
        assert_eq!(format!("{source:?} {source}"), "Secret(...) a secret");
        for bad in ["\"0\"", "\"zz\"", "\"é0\""] {
            assert!(serde_json::from_str::<Hidden>(bad).is_err(), "{bad}");
        }
    }
}
