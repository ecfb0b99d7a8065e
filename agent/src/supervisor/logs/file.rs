//! One output in files of a bounded size.
//!
//! The present file is called `stdout` (or `stderr`). When it is full it becomes `stdout.1`, the next one
//! `stdout.2` and so on, never renamed again; of these the oldest are removed, the newest always stays. Each
//! holds exactly as many bytes as all others, so that the place of a byte in the whole output is known from
//! the file's number, and the files put together in order are the output as it was written.
//!
//! The folder is in the task's hands. What it puts in the way there may spoil its own logs, and nothing else.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::change_owner;

/// How often a new file is tried for, should the task put something in its place.
const TRIES: u32 = 3;

/// An output's present file and its forerunners.
pub(in crate::supervisor) struct LogFile {
    directory: OwnedFd,
    name: &'static str,
    file: OwnedFd,
    /// Bytes in the present file.
    size: u64,
    /// Bytes of a full file.
    most: u64,
    /// How many files there may be.
    files: u64,
    /// How many files were full so far.
    full: u64,
    /// Bytes that could not be written since the last that could.
    lost: u64,
}

impl LogFile {
    /// Goes on with a file that is open for writing.
    pub(super) fn new(
        directory: &OwnedFd,
        name: &'static str,
        file: OwnedFd,
        most: u64,
        files: u32,
    ) -> io::Result<Self> {
        let size = rustix::fs::fstat(&file)?.st_size;
        Ok(Self {
            directory: directory.as_fd().try_clone_to_owned()?,
            name,
            file,
            size: u64::try_from(size).unwrap_or(0),
            most: most.max(1),
            files: u64::from(files.max(2)),
            full: 0,
            lost: 0,
        })
    }

    /// The descriptors that this rests on.
    pub(super) fn descriptors(&self) -> [&OwnedFd; 2] {
        [&self.directory, &self.file]
    }

    /// Writes all of it, or notes in the log how much the disk did not take.
    pub(super) fn append(&mut self, data: &[u8]) {
        if self.lost > 0 {
            let note = super::pump::note(self.lost);
            if self.write(note.as_bytes()) < note.len() {
                self.lost += data.len() as u64;
                return;
            }
            self.lost = 0;
        }
        let written = self.write(data);
        self.lost += (data.len() - written) as u64;
    }

    /// How much could be written.
    fn write(&mut self, data: &[u8]) -> usize {
        let mut written = 0;
        while written < data.len() {
            let room = self.most.saturating_sub(self.size);
            if room == 0 {
                if self.rotate().is_err() {
                    return written;
                }
                continue;
            }
            let rest = &data[written..];
            let piece = &rest[..rest.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
            match rustix::io::pwrite(&self.file, piece, self.size) {
                Ok(0) => return written,
                Ok(length) => {
                    written += length;
                    self.size += length as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return written,
            }
        }
        written
    }

    fn rotate(&mut self) -> io::Result<()> {
        let number = self.full + 1;
        let numbered = |number: u64| format!("{}.{number}", self.name);
        // Should the task have removed or replaced it, that is what it then finds.
        match rustix::fs::renameat(&self.directory, self.name, &self.directory, numbered(number)) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        self.file = self.create()?;
        self.size = 0;
        self.full = number;
        if let Some(oldest) = (number + 1).checked_sub(self.files).filter(|oldest| *oldest > 0) {
            let _gone = rustix::fs::unlinkat(&self.directory, numbered(oldest), AtFlags::empty());
        }
        Ok(())
    }

    fn create(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut tries = 0;
        loop {
            tries += 1;
            let file = rustix::fs::openat(&self.directory, self.name, flags, Mode::from_raw_mode(0o644));
            match file {
                Ok(file) => {
                    let before = rustix::fs::fstat(&self.file)?;
                    change_owner(&file, before.st_uid, before.st_gid)?;
                    return Ok(file);
                }
                Err(rustix::io::Errno::EXIST) if tries < TRIES => {
                    let _ = rustix::fs::unlinkat(&self.directory, self.name, AtFlags::empty());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn log(dir: &Path, most: u64, files: u32) -> LogFile {
        let directory = OwnedFd::from(fs::File::open(dir).unwrap());
        let file = OwnedFd::from(fs::File::create(dir.join("stdout")).unwrap());
        LogFile::new(&directory, "stdout", file, most, files).unwrap()
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn full_files_are_numbered_and_together_are_the_output() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 10, 100);
        for piece in ["abc", "defghijklmnopqrs", "", "tuvwxyz0123"] {
            log.append(piece.as_bytes());
        }
        assert_eq!(names(dir.path()), ["stdout", "stdout.1", "stdout.2"]);
        let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(
            [read("stdout.1"), read("stdout.2"), read("stdout")],
            ["abcdefghij", "klmnopqrst", "uvwxyz0123"]
        );
    }

    #[test]
    fn the_oldest_files_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 10, 3);
        log.append(&[b'x'; 95]);
        assert_eq!(names(dir.path()), ["stdout", "stdout.8", "stdout.9"]);
    }

    #[test]
    fn what_the_task_puts_in_the_way_is_neither_followed_nor_written() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().join("target");
        fs::write(&target, "mine").unwrap();
        let mut log = log(dir.path(), 4, 3);
        log.append(b"abcd");
        fs::remove_file(dir.path().join("stdout")).unwrap();
        std::os::unix::fs::symlink(&target, dir.path().join("stdout")).unwrap();
        std::os::unix::fs::symlink(&target, dir.path().join("stdout.1")).unwrap();

        log.append(b"efgh");
        log.append(b"ijkl");

        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        assert_eq!(fs::read_to_string(dir.path().join("stdout")).unwrap(), "ijkl");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_said() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 4, 3);
        log.append(b"abcd");
        // A folder that is not empty cannot be replaced by a file.
        fs::create_dir_all(dir.path().join("stdout.1/x")).unwrap();
        log.append(b"lost");
        assert_eq!(log.lost, 4);
        fs::remove_dir_all(dir.path().join("stdout.1")).unwrap();
        log.most = 1000;

        log.append(b"back");

        let text = fs::read_to_string(dir.path().join("stdout")).unwrap();
        assert_eq!(text, format!("abcd{}back", super::super::pump::note(4)));
    }
}
