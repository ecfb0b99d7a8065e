//! Looking into a sandbox, on behalf of somebody who may not look anywhere else.
//!
//! The task is free to change what it likes meanwhile. So every path is resolved by the kernel beneath the sandbox, the
//! thing is held before it is looked at, and only then opened: no FIFO or device is ever opened, and nothing blocks.
//!
//! Invariants
//! - Nothing outside the sandbox is read: links inside are followed as far as they stay beneath it (INV-43).
//! - A listing has at most [`MOST_ENTRIES`] entries, a piece at most [`LARGEST_PIECE`] bytes.
//!
//! Source: openat2(2), `RESOLVE_BENEATH`; docs/invariants.md, INV-43, INV-44, INV-45.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// Entries of one listing.
pub(crate) const MOST_ENTRIES: usize = 10_000;

/// Bytes of one piece of a file.
pub(crate) const LARGEST_PIECE: usize = 64 << 10;

/// The longest path, in bytes, as Linux has it.
const LONGEST_PATH: usize = 4_095;

/// How often a path is tried again that changes under our hands.
const ATTEMPTS: usize = 32;

/// Why a path cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    /// No path of a sandbox.
    #[error("path {path:?}: {why}")]
    Invalid {
        /// The path, shortened.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nothing is there, or it leads out of the sandbox, which looks the same from outside.
    #[error("{0:?} is not there")]
    NotFound(String),
    /// It is something that is not shown.
    #[error("{path:?} is {what}")]
    Kind {
        /// The path.
        path: String,
        /// What it is, such as `a device`.
        what: &'static str,
    },
    /// The disk failed.
    #[error("cannot read {path:?}")]
    Io {
        /// The path.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name; bytes that are no text are replaced.
    pub(crate) name: String,
    /// Kind and permissions, as stat(2) has them.
    pub(crate) mode: u32,
    pub(crate) links: u64,
    pub(crate) size: u64,
    /// In seconds of Unix time.
    pub(crate) modified: i64,
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// What is in a folder, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Entry>,
    /// There is more.
    pub(crate) truncated: bool,
}

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) data: Vec<u8>,
    /// Of its first byte.
    pub(crate) offset: u64,
    /// The file's, at that moment.
    pub(crate) size: u64,
}

/// What is in a folder; a file is listed as itself. Blocks.
pub(crate) fn list(root: &OwnedFd, path: &str) -> Result<Listing, FilesError> {
    let failed = |error: Errno| FilesError::Io { path: shown(path), source: error.into() };
    let (held, stat) = hold(root, path)?;
    if kind_of(&stat) != FileType::Directory {
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        return Ok(Listing { entries: vec![entry(name, &stat)], truncated: false });
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(&held, ".", flags, Mode::empty()).map_err(failed)?;
    let mut listing = Listing::default();
    for found in Dir::read_from(&folder).map_err(failed)? {
        let found = found.map_err(failed)?;
        let name = found.file_name();
        if name.to_bytes() == b"." || name.to_bytes() == b".." {
            continue;
        }
        if listing.entries.len() == MOST_ENTRIES {
            listing.truncated = true;
            break;
        }
        // Gone meanwhile: then it is not listed.
        if let Ok(stat) = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
        {
            let name = std::ffi::OsString::from_vec(name.to_bytes().to_vec());
            listing.entries.push(entry(name.to_string_lossy().into_owned(), &stat));
        }
    }
    listing.entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(listing)
}

/// Opens a plain file; what else there may be is refused by name. Blocks.
pub(crate) fn open(root: &OwnedFd, path: &str) -> Result<(File, u64), FilesError> {
    let (held, stat) = hold(root, path)?;
    if kind_of(&stat) != FileType::RegularFile {
        return Err(FilesError::Kind { path: shown(path), what: what(&stat) });
    }
    let owner = rustix::fs::fstat(root).map_err(|error| io_error(path, error))?.st_uid;
    if stat.st_nlink > 1 && stat.st_uid != owner {
        // A second name for a file of somebody else's, who may never have meant it to be here.
        return Err(FilesError::Kind { path: shown(path), what: "another user's file, linked to" });
    }
    // The very thing that was looked at, whatever its path leads to by now.
    let handle = format!("/proc/self/fd/{}", held.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(handle, flags, Mode::empty()).map_err(|error| io_error(path, error))?;
    Ok((File::from(file), u64::try_from(stat.st_size).unwrap_or(0)))
}

/// Reads a piece of a file, at most [`LARGEST_PIECE`] bytes. Blocks.
pub(crate) fn read(root: &OwnedFd, path: &str, offset: u64, length: usize) -> Result<Piece, FilesError> {
    let (file, size) = open(root, path)?;
    let data = read_at(&file, offset, length.min(LARGEST_PIECE));
    let data = data.map_err(|source| FilesError::Io { path: shown(path), source })?;
    Ok(Piece { data, offset, size })
}

/// Reads until the piece is whole or the file ends. Blocks.
pub(crate) fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    // Offsets beyond this are none for the kernel; nothing lies there.
    let end = offset.checked_add(length as u64);
    if end.is_none_or(|end| i64::try_from(end).is_err()) {
        return Ok(Vec::new());
    }
    let mut data = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut data[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    data.truncate(filled);
    Ok(data)
}

/// Gets hold of what is at a path beneath the root, without opening it.
fn hold(root: &OwnedFd, path: &str) -> Result<(OwnedFd, Stat), FilesError> {
    let relative = check(path)?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    for _ in 0..ATTEMPTS {
        match rustix::fs::openat2(root.as_fd(), relative, flags, Mode::empty(), resolve) {
            Ok(held) => {
                let stat = rustix::fs::fstat(&held).map_err(|error| io_error(path, error))?;
                return Ok((held, stat));
            }
            // Something was renamed meanwhile, so that the kernel cannot be certain.
            Err(Errno::AGAIN) => {}
            Err(
                Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG | Errno::ACCESS,
            ) => break,
            Err(error) => return Err(io_error(path, error)),
        }
    }
    Err(FilesError::NotFound(shown(path)))
}

/// The path as it is resolved. Errors: it cannot be one of a sandbox.
fn check(path: &str) -> Result<&str, FilesError> {
    let refuse = |why| Err(FilesError::Invalid { path: shown(path), why });
    if path.len() > LONGEST_PATH {
        return refuse("it is longer than 4,095 bytes");
    }
    if path.contains('\0') {
        return refuse("it contains a NUL byte");
    }
    let relative = path.trim_start_matches('/');
    if relative.split('/').any(|part| part == "..") {
        return refuse("it contains '..'; give it from the sandbox on");
    }
    Ok(if relative.is_empty() { "." } else { relative })
}

fn io_error(path: &str, error: Errno) -> FilesError {
    FilesError::Io { path: shown(path), source: error.into() }
}

fn shown(path: &str) -> String {
    path.chars().take(200).collect()
}

fn kind_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn what(stat: &Stat) -> &'static str {
    match kind_of(stat) {
        FileType::RegularFile => "a file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        _ => "a device",
    }
}

fn entry(name: String, stat: &Stat) -> Entry {
    Entry {
        name,
        mode: stat.st_mode,
        links: stat.st_nlink,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        modified: stat.st_mtime,
        user: stat.st_uid,
        group: stat.st_gid,
    }
}

/// Kind and permissions as ls(1) writes them, such as `drwxr-x---`.
pub(crate) fn mode_text(mode: u32) -> String {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        _ => '-',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
        });
    }
    text
}

#[cfg(test)]
mod tests;
