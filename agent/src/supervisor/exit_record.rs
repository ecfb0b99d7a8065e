//! How a container ended, durable before its supervisor is gone.
//!
//! The file is JSON, `{"crc32":"xxxxxxxx","record":{…}}`; the checksum covers the record's bytes as they
//! stand, so that a torn or altered file is told from a true one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::report::{Failure, StartedRecord};

const BEFORE_SUM: &str = "{\"crc32\":\"";
const BEFORE_RECORD: &str = "\",\"record\":";
const AFTER_RECORD: &str = "}\n";

/// What the block of a small file holds on nearly every file system, in bytes.
const ONE_BLOCK: usize = 4_096;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskEnd {
    /// By itself, with this status (0 to 255).
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl std::fmt::Display for TaskEnd {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(status) => write!(formatter, "exited with status {status}"),
            Self::Signaled(signal) => write!(formatter, "terminated by signal {signal}"),
        }
    }
}

/// The container used more memory than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryBreach {
    /// What it may use, in bytes.
    pub limit_bytes: u64,
    /// The most it used, in bytes; about the limit, since the kernel stops it there.
    pub peak_bytes: u64,
    /// It never reached its limit (0: it has none): the host had no more to give.
    #[serde(default)]
    pub host_was_short: bool,
}

/// The container had as many processes as it may, and its forks failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedForks {
    /// How many processes and threads it may have.
    pub limit: u64,
    /// How many forks were refused.
    pub count: u64,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// How the task ended; `None` when it never ran.
    pub status: Option<TaskEnd>,
    /// Whether the agent had asked for the end.
    pub kill_requested: bool,
    /// Set when memory was the reason.
    pub memory_breach: Option<MemoryBreach>,
    /// Why the container could not run, or could not be watched.
    pub failure: Option<Failure>,
    /// When, in milliseconds of Unix time.
    pub finished_at_unix_ms: u64,
    /// Whether the limit on processes made itself felt; nobody is ended for it.
    #[serde(default)]
    pub refused_forks: Option<RefusedForks>,
}

/// Why there is no exit record to trust.
#[derive(Debug, thiserror::Error)]
pub enum ExitRecordError {
    /// None was written.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// Torn, or altered after it was written.
    #[error("{} is damaged: its checksum does not match", .0.display())]
    Damaged(PathBuf),
    /// The file system failed.
    #[error("cannot access {}", path.display())]
    Io {
        /// The record's file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl ExitRecord {
    /// Name of the record's file in the run directory.
    pub const FILE: &'static str = "exit.json";

    /// Writes the record; once this returns it survives a crash of the host.
    ///
    /// On a full disk it takes the place of the record of the start, which nobody needs any more. Errors: also when there is
    /// no such place, and then the disk is full (`is_full`).
    pub fn store(&self, run_dir: &Path) -> Result<(), ExitRecordError> {
        let path = run_dir.join(Self::FILE);
        let temporary = run_dir.join("exit.json.new");
        let refused = |source| ExitRecordError::Io { path: path.clone(), source };
        let record = serde_json::to_string(self).map_err(|error| refused(error.into()))?;
        let sum = crc32(record.as_bytes());
        let text = format!("{BEFORE_SUM}{sum:08x}{BEFORE_RECORD}{record}{AFTER_RECORD}");
        let written = write_new(&temporary, &text).or_else(|error| {
            // Empty, or torn.
            let _gone = fs::remove_file(&temporary);
            let started = run_dir.join(StartedRecord::FILE);
            if !is_full(&error) || text.len() > ONE_BLOCK {
                return Err(error);
            }
            write_over(&started, &text).and_then(|()| fs::rename(&started, &temporary)).map_err(|_| error)
        });
        written.map_err(refused)?;
        fs::rename(&temporary, &path).map_err(refused)?;
        File::open(run_dir).and_then(|dir| dir.sync_all()).map_err(refused)
    }

    /// Reads the record back. Errors: see [`ExitRecordError`].
    pub fn load(run_dir: &Path) -> Result<Self, ExitRecordError> {
        let path = run_dir.join(Self::FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ExitRecordError::Missing(path));
            }
            Err(source) => return Err(ExitRecordError::Io { path, source }),
        };
        decode(&text).ok_or(ExitRecordError::Damaged(path))
    }
}

impl ExitRecordError {
    /// Whether it is for want of room only.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Writes into the one block that a small file has.
fn write_over(path: &Path, text: &str) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

fn decode(text: &[u8]) -> Option<ExitRecord> {
    let (sum, rest) = text.strip_prefix(BEFORE_SUM.as_bytes())?.split_at_checked(8)?;
    let record = rest.strip_prefix(BEFORE_RECORD.as_bytes())?.strip_suffix(AFTER_RECORD.as_bytes())?;
    if format!("{:08x}", crc32(record)).as_bytes() != sum {
        return None;
    }
    serde_json::from_slice(record).ok()
}

/// CRC-32 as in IEEE 802.3. Bit by bit: a record has a few hundred bytes.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for &byte in bytes {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            let polynomial = if sum & 1 == 1 { 0xEDB8_8320 } else { 0 };
            sum = (sum >> 1) ^ polynomial;
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> ExitRecord {
        ExitRecord {
            status: Some(TaskEnd::Signaled(9)),
            kill_requested: true,
            memory_breach: Some(MemoryBreach {
                limit_bytes: 32 << 20,
                peak_bytes: 31 << 20,
                host_was_short: false,
            }),
            failure: None,
            finished_at_unix_ms: 1_790_000_000_000,
            refused_forks: Some(RefusedForks { limit: 64, count: 7 }),
        }
    }

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_stored_record_is_read_back() {
        let run_dir = tempfile::tempdir().unwrap();
        assert!(matches!(ExitRecord::load(run_dir.path()), Err(ExitRecordError::Missing(_))));

        record().store(run_dir.path()).unwrap();

        assert_eq!(ExitRecord::load(run_dir.path()).unwrap(), record());
    }

    #[test]
    fn every_torn_or_altered_record_is_noticed() {
        let run_dir = tempfile::tempdir().unwrap();
        record().store(run_dir.path()).unwrap();
        let path = run_dir.path().join(ExitRecord::FILE);
        let whole = fs::read(&path).unwrap();

        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let error = ExitRecord::load(run_dir.path()).unwrap_err();
            assert!(matches!(error, ExitRecordError::Damaged(_)), "cut at {cut}");
        }
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert!(ExitRecord::load(run_dir.path()).is_err(), "flip at {place}");
        }
    }
}
