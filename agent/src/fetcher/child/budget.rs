//! How much one task may bring: bytes, and entries of archives.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

use super::super::job::Job;

/// Files, folders and links that one task's archives may hold.
const MOST_ENTRIES: u64 = 200_000;

/// An archive may always hold so many bytes, in bytes ...
const ALWAYS: u64 = if cfg!(test) { 1 << 20 } else { 64 << 20 };

/// ... and beyond that so many for each of its own.
const MOST_RATIO: u64 = 200;

/// What is left of what may be written.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: u64,
    entries: u64,
    most: u64,
    /// It is the task's own limit.
    most_is_disk: bool,
}

/// What was copied.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) bytes: u64,
    /// As hexadecimal digits.
    pub(super) sha256: String,
}

impl Budget {
    pub(super) fn new(most: u64) -> Self {
        Self { bytes: most, entries: MOST_ENTRIES, most, most_is_disk: false }
    }

    /// What a job allows.
    pub(super) fn of(job: &Job) -> Self {
        Self { most_is_disk: job.most_is_disk, ..Self::new(job.most_bytes) }
    }

    /// Refuses what is known to be too large before it comes.
    pub(super) fn foresee(&self, bytes: u64) -> io::Result<()> {
        if bytes > self.bytes { Err(self.spent()) } else { Ok(()) }
    }

    fn spent(&self) -> io::Error {
        let most = self.most;
        if self.most_is_disk {
            return io::Error::other(format!(
                "the files of this task have more than {most} bytes, which is its disk limit; launch it with more disk"
            ));
        }
        io::Error::other(format!(
            "the files of this task have more than {most} bytes, the most that is fetched for one"
        ))
    }

    fn spend(&mut self, bytes: usize) -> io::Result<()> {
        self.bytes = self.bytes.checked_sub(bytes as u64).ok_or_else(|| self.spent())?;
        Ok(())
    }

    /// One more entry of an archive.
    pub(super) fn entry(&mut self) -> io::Result<()> {
        let what =
            || format!("its archives hold more than {MOST_ENTRIES} entries, the most that are unpacked");
        self.entries = self.entries.checked_sub(1).ok_or_else(|| io::Error::other(what()))?;
        Ok(())
    }

    /// Copies all of `from` to `to`, as far as may be.
    pub(super) fn copy(&mut self, from: &mut impl Read, to: &mut impl Write) -> io::Result<Copied> {
        let mut buffer = vec![0; 64 << 10];
        let mut hash = Sha256::new();
        let mut bytes = 0;
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                count => count?,
            };
            self.spend(count)?;
            let part = buffer.get(..count).unwrap_or_default();
            hash.update(part);
            to.write_all(part)?;
            bytes += count as u64;
        }
        Ok(Copied { bytes, sha256: digits(hash) })
    }
}

fn digits(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The size and checksum of a whole file, which is then at its beginning again.
pub(super) fn checksum(file: &mut std::fs::File) -> io::Result<Copied> {
    use std::io::Seek;
    file.rewind()?;
    let copied = Budget::new(u64::MAX).copy(file, &mut io::sink())?;
    file.rewind()?;
    Ok(copied)
}

/// What comes out of an archive of `packed` bytes, up to where it cannot be meant well.
pub(super) struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R> Bounded<R> {
    pub(super) fn new(inner: R, packed: u64) -> Self {
        Self { inner, left: packed.saturating_mul(MOST_RATIO).max(ALWAYS) }
    }

    /// With so many bytes left, of several parts of one archive.
    pub(super) fn with(inner: R, left: u64) -> Self {
        Self { inner, left }
    }

    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::other(format!(
                "the archive unpacks to more than {MOST_RATIO} times its size; it is not unpacked"
            ))
        })?;
        Ok(count)
    }
}
