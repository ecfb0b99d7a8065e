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
            "cannot mount {} at '{}': {what} '{}': {error}",
            volume.source,
            volume.container_path.display(),
            path.display(),
        ),
    )
}

/// Whether a mount shows a folder, not a file.
pub(in super::super) fn is_directory(tree: &OwnedFd) -> bool {
    let kind = rustix::fs::fstat(tree).map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode));
    kind == Ok(rustix::fs::FileType::Directory)
}

/// The folder or file at `path` below `top`. What is missing is made; where the host's root owns nothing, by the first
/// of `makers`, as users and groups of the host, who may.
///
/// Errors: a component is a link, or something of another kind; `..`.
pub(in super::super) fn reach(
    top: &OwnedFd,
    path: &Path,
    is_directory: bool,
    makers: &[(u32, u32)],
) -> Result<OwnedFd, Errno> {
    let mut place = top.try_clone().map_err(|error| super::mounting::errno(&error))?;
    let mut parts = path.components().filter(|part| !matches!(part, Component::CurDir | Component::RootDir));
    let mut next = parts.next();
    while let Some(part) = next {
        let Component::Normal(name) = part else {
            return Err(Errno::INVAL);
        };
        next = parts.next();
        place = enter(&place, name.as_ref(), is_directory || next.is_some(), makers)?;
    }
    Ok(place)
}

fn enter(
    place: &OwnedFd,
    name: &Path,
    wants_directory: bool,
    makers: &[(u32, u32)],
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
        Err(Errno::OVERFLOW) => as_makers(makers, || make(place, name, wants_directory))?,
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

/// Does it with the rights to files of the first of these users who has them, and with none of root's.
fn as_makers(makers: &[(u32, u32)], make: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let become_for_files = |(uid, gid): (u32, u32)| {
        setfsgid(Gid::from_raw(gid));
        setfsuid(Uid::from_raw(uid));
    };
    let mut made = Err(Errno::OVERFLOW);
    for maker in makers {
        become_for_files(*maker);
        made = make();
        if !matches!(made, Err(Errno::ACCESS | Errno::PERM | Errno::OVERFLOW)) {
            break;
        }
    }
    become_for_files(own);
    made
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Attack A-45: who shares a folder swaps a part of the path between a folder and a link to the host.
    #[test]
    fn however_often_a_path_is_swapped_the_way_never_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        let (top, outside) = (dir.path().join("top"), dir.path().join("outside"));
        for folder in [top.join("a/b"), outside.join("b")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::os::unix::fs::symlink(&outside, top.join("link")).unwrap();
        let top = OwnedFd::from(std::fs::File::open(top).unwrap());
        let stop = AtomicBool::new(false);
        let (mut reached, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let swap = || {
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    rustix::fs::renameat_with(top.as_fd(), "a", top.as_fd(), "link", flags)
                };
                while !stop.load(Ordering::Relaxed) {
                    swap().unwrap();
                }
            });
            for attempt in 0..10_000 {
                let name = format!("a/b/{}", attempt % 7);
                match reach(&top, Path::new(&name), true, &[]) {
                    Ok(_) => reached += 1,
                    Err(Errno::NOTDIR | Errno::LOOP) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(std::fs::read_dir(outside.join("b")).unwrap().count(), 0, "something was made outside");
        assert!(reached > 0 && refused > 0, "{reached} reached, {refused} refused: no swap met a look-up");
    }

    #[test]
    fn a_way_up_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let top = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        assert_eq!(reach(&top, Path::new("a/../../b"), true, &[]).unwrap_err(), Errno::INVAL);
    }
}
