//! A folder that everything stays beneath.
//!
//! Invariants
//! - Each step opens one plain name in an open folder, and never through a link: whatever another process of the
//!   same user swaps meanwhile, no step leaves.
//! - Nothing that is there is written over.
//!
//! Source: openat2(2); INV-43.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

/// How deep a path may go.
const DEEPEST: usize = 64;

/// A relative path of plain names, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    folders: Vec<OsString>,
    name: OsString,
}

impl Path {
    /// Errors: it is absolute, climbs, is too deep or empty.
    pub(super) fn parse(path: &[u8]) -> io::Result<Self> {
        let refuse = |why: &str| {
            let shown: String = String::from_utf8_lossy(path).chars().take(128).collect();
            io::Error::other(format!("{shown:?} {why}"))
        };
        if path.first() == Some(&b'/') {
            return Err(refuse("is an absolute path"));
        }
        let mut folders = Vec::new();
        for name in path.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => return Err(refuse("leads out of the sandbox")),
                name if name.len() > 255 || name.contains(&0) => return Err(refuse("is no name of a file")),
                name => folders.push(OsStr::from_bytes(name).to_owned()),
            }
        }
        if folders.len() > DEEPEST {
            return Err(refuse("is too deep"));
        }
        let name = folders.pop().ok_or_else(|| refuse("names nothing"))?;
        Ok(Self { folders, name })
    }

    /// How many folders it lies in.
    pub(super) fn depth(&self) -> usize {
        self.folders.len()
    }
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

const HANDLE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

impl Folder {
    pub(super) fn open(path: &std::path::Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(CWD, path, HANDLE | OFlags::DIRECTORY, Mode::empty())?))
    }

    pub(super) fn handle(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// The folder that `path` lies in; made if `make`.
    fn parent(&self, path: &Path, make: bool) -> io::Result<OwnedFd> {
        let mut place = rustix::fs::openat(&self.0, ".", HANDLE | OFlags::DIRECTORY, Mode::empty())?;
        for name in &path.folders {
            place = step(&place, name, make)?;
        }
        Ok(place)
    }

    /// Makes a folder with those above it; one that is there is fine.
    pub(super) fn make_folder(&self, path: &Path) -> io::Result<()> {
        step(&self.parent(path, true)?, &path.name, true).map(drop)
    }

    /// Makes an empty file. Errors: something of that name is there.
    pub(super) fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parent = self.parent(path, true)?;
        let file = rustix::fs::openat(parent, &path.name, flags, Mode::from_raw_mode(mode));
        file.map(File::from).map_err(|error| taken(error, &path.name))
    }

    /// Opens a plain file.
    pub(super) fn read(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.parent(path, false)?, &path.name, flags, Mode::empty())?;
        Ok(File::from(file))
    }

    /// Makes a symbolic link. Errors: its target is not surely beneath this folder.
    ///
    /// A target may climb only at its beginning, and no higher than the folder: the folders it lies in are real ones,
    /// and every other link keeps to the same rule, so none of them leads out, nor do several after each other.
    pub(super) fn symlink(&self, path: &Path, target: &[u8]) -> io::Result<()> {
        let shown = || String::from_utf8_lossy(target).chars().take(128).collect::<String>();
        let mut climbs = 0_usize;
        let mut descended = false;
        for name in target.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." if descended => climbs = usize::MAX,
                b".." => climbs = climbs.saturating_add(1),
                _ => descended = true,
            }
        }
        if target.is_empty() || target.first() == Some(&b'/') || target.contains(&0) || climbs > path.depth()
        {
            let why = format!("the link {:?} to {:?} may lead out of the sandbox", path.name, shown());
            return Err(io::Error::other(why));
        }
        let made = rustix::fs::symlinkat(OsStr::from_bytes(target), self.parent(path, true)?, &path.name);
        made.map_err(|error| taken(error, &path.name))
    }

    /// Gives a plain file a second name.
    pub(super) fn hard_link(&self, path: &Path, existing: &Path) -> io::Result<()> {
        let from = self.parent(existing, false)?;
        let found = rustix::fs::statat(&from, &existing.name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(io::Error::other(format!("the hard link {:?} is to no plain file", path.name)));
        }
        // Without flags a link is never followed.
        let made =
            rustix::fs::linkat(from, &existing.name, self.parent(path, true)?, &path.name, AtFlags::empty());
        made.map_err(|error| taken(error, &path.name))
    }

    /// Removes a file, as far as that works.
    pub(super) fn remove(&self, path: &Path) {
        if let Ok(parent) = self.parent(path, false) {
            let _stays = rustix::fs::unlinkat(parent, &path.name, AtFlags::empty());
        }
    }

    /// The task's stderr. `None`: something is in its place, and the task's supervisor will say so.
    pub(super) fn open_log(&self) -> Option<File> {
        let flags = OFlags::CREATE
            | OFlags::APPEND
            | OFlags::WRONLY
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, "stderr", flags, Mode::from_raw_mode(0o644)).ok()?;
        let file = File::from(file);
        file.metadata().is_ok_and(|metadata| metadata.is_file()).then_some(file)
    }
}

fn step(place: &OwnedFd, name: &OsStr, make: bool) -> io::Result<OwnedFd> {
    if make {
        match rustix::fs::mkdirat(place, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Links are refused here: one is no directory.
    rustix::fs::openat(place, name, HANDLE | OFlags::DIRECTORY, Mode::empty()).map_err(|error| match error {
        Errno::NOTDIR | Errno::LOOP => {
            io::Error::other(format!("{name:?} is a link or a file, not a folder"))
        }
        error => error.into(),
    })
}

fn taken(error: Errno, name: &OsStr) -> io::Error {
    match error {
        Errno::EXIST => io::Error::other(format!("{name:?} is there already")),
        error => error.into(),
    }
}
