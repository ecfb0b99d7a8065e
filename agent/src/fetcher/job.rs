//! What is asked of a fetching process, and what it answers.

use std::io::Write;
use std::path::{Path, PathBuf};

use lonja_model::files::Uri;
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};
use serde::{Deserialize, Serialize};

use super::addresses::Addresses;
use super::authorities::Authorities;
use crate::supervisor::{Identity, TaskUser};

/// The first argument that makes this program a fetching process. Not for people.
pub const CHILD_ARGUMENT: &str = "fetching-process";

/// The largest encoded job, in bytes: the URIs of one task, with room.
pub(super) const LARGEST_JOB: u32 = 4 << 20;

/// The largest encoded report, in bytes.
pub(super) const LARGEST_REPORT: usize = 64 << 10;

/// Files for one sandbox, or one for the cache.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    /// Where they go.
    pub(super) sandbox: Option<PathBuf>,
    /// Whom they belong to; `None`: the agent's own user.
    pub(super) user: Option<TaskUser>,
    pub(super) items: Vec<Item>,
    pub(super) addresses: Addresses,
    /// All that may be written, in bytes.
    pub(super) most_bytes: u64,
    /// How long it may take.
    pub(super) seconds: u64,
    /// Whom to believe when servers say who they are; `None`: those that come with this program.
    #[serde(default)]
    pub(super) authorities: Option<Authorities>,
    /// That much is the task's own limit of its disk, not what the agent fetches for any.
    #[serde(default)]
    pub(super) most_is_disk: bool,
}

impl Job {
    /// The same, of a task that may have so many bytes on its disk: where these are only counted now and then, a fetch is
    /// not to fill the disk before they are.
    pub(super) fn within(mut self, disk: Option<u64>) -> Self {
        if let Some(disk) = disk.filter(|disk| *disk < self.most_bytes) {
            self.most_bytes = disk;
            self.most_is_disk = true;
        }
        self
    }

    /// What it fetches, for people.
    pub(super) fn shown(&self) -> String {
        match &self.items[..] {
            [one] => one.shown.clone(),
            [first, rest @ ..] => format!("{} and {} more", first.shown, rest.len()),
            [] => "nothing".to_owned(),
        }
    }
}

/// One file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Item {
    /// Its URI as people are shown it.
    pub(super) shown: String,
    pub(super) origin: Origin,
    pub(super) destination: Destination,
    /// What its content must be, as hexadecimal digits.
    pub(super) sha256: Option<String>,
}

impl Item {
    pub(super) fn new(uri: &Uri, origin: Origin, destination: Destination) -> Self {
        Self { shown: uri.shown(), origin, destination, sha256: uri.sha256.map(|sum| sum.to_string()) }
    }
}

/// Where a file comes from.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Origin {
    /// An http or https URL.
    Web(String),
    /// The host, where the agent admitted it.
    Host { path: PathBuf, identity: Identity },
    /// The agent's cache.
    Cached { path: PathBuf, sha256: String },
}

/// What becomes of a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Destination {
    /// It is written to this file of the cache, which the agent has made.
    Cache { path: PathBuf },
    /// It goes below the sandbox.
    Sandbox {
        /// Its path there.
        name: String,
        kind: Kind,
        /// Keep the archive itself, too.
        keep_archive: bool,
    },
}

impl Destination {
    pub(super) fn in_sandbox(uri: &Uri, kind: Kind, keep_archive: bool) -> Self {
        Self::Sandbox { name: uri.file_name().to_owned(), kind, keep_archive }
    }
}

/// What is done with a file that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// Nothing.
    Plain,
    /// It is made executable.
    Executable,
    /// It is unpacked.
    Tar,
    TarGzip,
    TarBzip2,
    TarXz,
    TarZstd,
    Zip,
    /// It is unpacked into one file without the ending.
    Gzip,
}

impl Kind {
    /// By what is asked for and by the file's name, as Mesos does it.
    pub(super) fn of(uri: &Uri) -> Self {
        if uri.executable {
            return Self::Executable;
        }
        let name = uri.file_name();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        if !uri.extract {
            Self::Plain
        } else if ends(&[".tar.gz", ".tgz"]) {
            Self::TarGzip
        } else if ends(&[".tar.bz2", ".tbz2", ".tbz"]) {
            Self::TarBzip2
        } else if ends(&[".tar.xz", ".txz"]) {
            Self::TarXz
        } else if ends(&[".tar.zst", ".tzst"]) {
            Self::TarZstd
        } else if ends(&[".tar"]) {
            Self::Tar
        } else if ends(&[".zip"]) {
            Self::Zip
        } else if ends(&[".gz"]) && name.len() > 3 && !name.ends_with("/.gz") {
            Self::Gzip
        } else {
            Self::Plain
        }
    }
}

/// A file that has arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fetched {
    /// Its size.
    pub(super) bytes: u64,
    /// Its checksum, as hexadecimal digits.
    pub(super) sha256: String,
}

/// How it went.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Report {
    /// All files are there, in the order of the job.
    Done(Vec<Fetched>),
    Failed {
        /// Which and why, for people.
        message: String,
        /// This item's file in the cache is not what it was.
        damaged: Option<usize>,
    },
}

/// Adds a line to the task's stderr, as whoever the task is. A task that is not told by this is told by its status.
pub(super) fn note(sandbox: &Path, user: Option<&TaskUser>, line: &str) {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(directory) = rustix::fs::openat(CWD, sandbox, flags, Mode::empty()) else { return };
    // What was fetched may have this name: no link is followed, and no FIFO waited for.
    let flags = OFlags::CREATE
        | OFlags::APPEND
        | OFlags::WRONLY
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(directory, "stderr", flags, Mode::from_raw_mode(0o644)) else { return };
    let mut file = std::fs::File::from(file);
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return;
    }
    if let Some(user) = user {
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        let _status_tells = rustix::fs::fchown(&file, Some(uid), Some(gid));
    }
    let _status_tells = file.write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_how_a_file_is_unpacked_unless_told_otherwise() {
        let kind = |name: &str| Kind::of(&Uri::new(format!("http://h/{name}")).unwrap());
        for (name, expected) in [
            ("a.tar.gz", Kind::TarGzip),
            ("a.tgz", Kind::TarGzip),
            ("a.tar", Kind::Tar),
            ("a.zip", Kind::Zip),
            ("a.txt.gz", Kind::Gzip),
            (".gz", Kind::Plain),
            ("a", Kind::Plain),
            ("a.tar.bz2", Kind::TarBzip2),
            ("a.tbz2", Kind::TarBzip2),
            ("a.tar.xz", Kind::TarXz),
            ("a.txz", Kind::TarXz),
            ("a.tar.zst", Kind::TarZstd),
            ("a.xz", Kind::Plain),
            ("a.tar.gz?b=c.zip", Kind::TarGzip),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
        let mut uri = Uri::new("http://h/a.tar.xz").unwrap();
        uri.extract = false;
        assert_eq!(Kind::of(&uri), Kind::Plain);
        uri.executable = true;
        assert_eq!(Kind::of(&uri), Kind::Executable);
    }
}
