//! Places to mount at, made where they are missing, without ever following a link.

use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::super::report::{Failure, FailureReason};
use super::super::spec::Volume;

/// Why a volume is not mounted.
pub(in super::super) fn refuse_volume(
    volume: &Volume,
    what: &str,
    path: &Path,
    error: &dyn std::fmt::Display,
) -> Failure {
    Failure::new(
        FailureReason::Volume,
        format!(
            "cannot mount volume '{}' at '{}': {what} '{}': {error}",
            volume.host_path.display(),
            volume.container_path.display(),
            path.display(),
        ),
    )
}

/// The folder or file at `path` below `top`. What is missing is made, by `maker` where its owner is not known.
///
/// Errors: a component is a link, or something of another kind; `..`.
pub(in super::super) fn reach(
    top: &OwnedFd,
    path: &Path,
    is_directory: bool,
    maker: Option<(u32, u32)>,
) -> Result<OwnedFd, Errno> {
    let mut place = top.try_clone().map_err(|error| super::mounting::errno(&error))?;
    let mut parts = path.components().filter(|part| !matches!(part, Component::CurDir | Component::RootDir));
    let mut next = parts.next();
    while let Some(part) = next {
        let Component::Normal(name) = part else {
            return Err(Errno::INVAL);
        };
        next = parts.next();
        place = enter(&place, name.as_ref(), is_directory || next.is_some(), maker)?;
    }
    Ok(place)
}

fn enter(
    place: &OwnedFd,
    name: &Path,
    wants_directory: bool,
    maker: Option<(u32, u32)>,
) -> Result<OwnedFd, Errno> {
    let mut flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if wants_directory {
        flags |= OFlags::DIRECTORY;
    }
    // Most are there; and where nothing can be made, what is there will do.
    match rustix::fs::openat(place, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        found => return found,
    }
    match make(place, name, wants_directory) {
        // Where owners are mapped, the host's root owns nothing.
        Err(Errno::OVERFLOW) => as_maker(maker, || make(place, name, wants_directory))?,
        made => made?,
    }
    rustix::fs::openat(place, name, flags, Mode::empty())
}

fn make(place: &OwnedFd, name: &Path, directory: bool) -> Result<(), Errno> {
    let made = if directory {
        rustix::fs::mkdirat(place, name, Mode::from_raw_mode(0o755))
    } else {
        let create = OFlags::CREATE
            | OFlags::EXCL
            | OFlags::WRONLY
            | OFlags::CLOEXEC
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK;
        rustix::fs::openat(place, name, create, Mode::from_raw_mode(0o644)).map(drop)
    };
    match made {
        Err(Errno::EXIST) => Ok(()),
        made => made,
    }
}

/// Does it with this user's rights to files, and none of root's.
fn as_maker(maker: Option<(u32, u32)>, make: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    let (uid, gid) = maker.ok_or(Errno::OVERFLOW)?;
    let (old_uid, old_gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    setfsgid(Gid::from_raw(gid));
    setfsuid(Uid::from_raw(uid));
    let made = make();
    setfsuid(Uid::from_raw(old_uid));
    setfsgid(Gid::from_raw(old_gid));
    made
}
