//! The files of one output: the present one, and full ones numbered from 1 on.
//!
//! All full files are equally long, so a byte's file is known from its place in the whole output. The
//! folder is the task's: what it puts there may spoil what is shown of it, and nothing else.
//!
//! Source: `supervisor/logs/file.rs`.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::{Dir, FileType, Mode, OFlags};

/// How many files are looked at, at most; a task that makes more spoils its own listing.
const MOST_ENTRIES: usize = 100_000;

/// How often the present file is looked for while it is renamed.
const TRIES: usize = 10;

/// One of an output's files.
pub(super) struct Part {
    file: File,
    /// How many full files came before it.
    index: u64,
    /// The place of its first byte in the whole output.
    pub(super) start: u64,
}

/// An output in a sandbox.
pub(super) struct Files {
    /// Opens the sandbox, wherever its disk is.
    sandbox: Box<dyn Fn() -> io::Result<OwnedFd> + Send>,
    name: &'static str,
}

impl Files {
    /// The output of this name, in the sandbox that `sandbox` opens.
    pub(super) fn new(
        sandbox: impl Fn() -> io::Result<OwnedFd> + Send + 'static,
        name: &'static str,
    ) -> Self {
        Self { sandbox: Box::new(sandbox), name }
    }

    /// The part that holds the byte at `offset`: the oldest one there is when that is gone already, the present
    /// one when it is not written yet. `None`: nothing is there yet.
    pub(super) fn at(&self, offset: u64) -> io::Result<Option<Part>> {
        let Some(folder) = self.folder()? else { return Ok(None) };
        for _ in 0..TRIES {
            let numbers = self.full(&folder)?;
            let mut length = 0;
            if let Some(newest) = numbers.last() {
                length = self.open(&folder, Some(*newest))?.map_or(0, |file| size(&file));
            }
            let wanted = offset.checked_div(length).map_or(0, |index| index + 1);
            let number = numbers.iter().copied().find(|number| *number >= wanted);
            let index = number.map_or(numbers.last().copied().unwrap_or(0), |number| number - 1);
            let Some(file) = self.open(&folder, number)? else { continue };
            // Renamed meanwhile? Then this may be a later one than was meant.
            if number.is_some() || self.full(&folder)?.last() == numbers.last() {
                let start = index.saturating_mul(length);
                return Ok(Some(Part { file, index, start }));
            }
        }
        Ok(None)
    }

    /// The part after this one, if there is one. Should some be gone already, the oldest that is left.
    pub(super) fn after(&self, part: &Part) -> io::Result<Option<Part>> {
        let Some(folder) = self.folder()? else { return Ok(None) };
        let numbers = self.full(&folder)?;
        // Still the present one.
        if numbers.last().is_none_or(|newest| *newest <= part.index) {
            return Ok(None);
        }
        let length = size(&part.file);
        // By its index: files of other lengths, should the task have made some, still follow each other.
        let index = numbers.iter().find(|number| **number > part.index + 1).map(|number| number - 1);
        let number = index.map(|index| index + 1);
        let index = index.unwrap_or(part.index + 1);
        let Some(file) = self.open(&folder, number)? else { return Ok(None) };
        if number.is_none() && self.full(&folder)?.last() != numbers.last() {
            // Renamed meanwhile: the next look tells.
            return Ok(None);
        }
        let skipped = (index - part.index).saturating_mul(length);
        let start = part.start.saturating_add(skipped);
        Ok(Some(Part { file, index, start }))
    }

    fn folder(&self) -> io::Result<Option<OwnedFd>> {
        match (self.sandbox)() {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The numbers of the full files, in order.
    fn full(&self, folder: &OwnedFd) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in Dir::read_from(folder)?.take(MOST_ENTRIES) {
            let entry = entry?;
            let number = entry.file_name().to_str().ok();
            let number = number.and_then(|name| name.strip_prefix(self.name)?.strip_prefix('.'));
            // No other spelling of it, such as with zeros before.
            let number =
                number.and_then(|text| text.parse().ok().filter(|number: &u64| number.to_string() == text));
            numbers.extend(number.filter(|number| *number > 0));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Opens a full file, or the present one; `None` if it is not there.
    fn open(&self, folder: &OwnedFd, number: Option<u64>) -> io::Result<Option<File>> {
        let name = number.map_or_else(|| self.name.to_owned(), |number| format!("{}.{number}", self.name));
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::RDONLY;
        let file = match rustix::fs::openat(folder, name.as_str(), flags, Mode::empty()) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(rustix::io::Errno::LOOP) => {
                return Err(io::Error::other("the task has put a link in its place"));
            }
            Err(error) => return Err(error.into()),
        };
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("the task has put something else than a file in its place"));
        }
        Ok(Some(File::from(file)))
    }

    /// The place in the whole output of the first of the last so many lines, as far as `most` bytes back.
    pub(super) fn start_of_last_lines(&self, lines: u64, most: u64) -> io::Result<u64> {
        let Some(mut part) = self.at(u64::MAX)? else { return Ok(0) };
        let end = part.start + size(&part.file);
        if lines == 0 {
            return Ok(end);
        }
        let mut left = lines;
        // A newline at the very end ends the last line, it does not begin another.
        let mut place = end;
        loop {
            let from = part.start.max(end.saturating_sub(most));
            let mut data = vec![0; usize::try_from(place.saturating_sub(from)).unwrap_or(0)];
            let read = part.file.read_at(&mut data, from - part.start)?;
            data.truncate(read);
            for (index, byte) in data.iter().enumerate().rev() {
                let at = from + index as u64;
                if *byte == b'\n' && at + 1 < end {
                    left = left.saturating_sub(1);
                    if left == 0 {
                        return Ok(at + 1);
                    }
                }
            }
            place = part.start;
            if from > part.start || part.start == 0 {
                return Ok(from);
            }
            match self.at(part.start - 1)? {
                Some(before) if before.index < part.index => part = before,
                _ => return Ok(from),
            }
        }
    }
}

impl Part {
    /// What it holds from this place in the whole output on; empty at its end.
    pub(super) fn read(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut data = vec![0; most];
        let read = self.file.read_at(&mut data, offset.saturating_sub(self.start))?;
        data.truncate(read);
        Ok(data)
    }
}

fn size(file: &File) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.size())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Files of ten bytes: full ones from `first` to `last`, and the present one.
    fn sandbox(first: u64, last: u64, present: &str) -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        for number in first..=last {
            fs::write(dir.path().join(format!("stdout.{number}")), format!("line {number:04}\n")).unwrap();
        }
        fs::write(dir.path().join("stdout"), present).unwrap();
        let path = dir.path().to_owned();
        let open = move || Ok(rustix::fs::open(&path, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty())?);
        let files = Files::new(open, "stdout");
        (dir, files)
    }

    fn all_from(files: &Files, mut offset: u64) -> (u64, String) {
        let mut part = files.at(offset).unwrap().unwrap();
        offset = offset.max(part.start);
        let first = offset;
        let mut text = String::new();
        loop {
            let data = part.read(offset, 3).unwrap();
            offset += data.len() as u64;
            text.push_str(std::str::from_utf8(&data).unwrap());
            if data.is_empty() {
                match files.after(&part).unwrap() {
                    Some(next) => part = next,
                    None => return (first, text),
                }
                offset = offset.max(part.start);
            }
        }
    }

    #[test]
    fn the_parts_follow_each_other_from_any_place() {
        let (_dir, files) = sandbox(1, 3, "now\n");
        let whole = "line 0001\nline 0002\nline 0003\nnow\n";
        for offset in 0..=whole.len() {
            assert_eq!(all_from(&files, offset as u64), (offset as u64, whole[offset..].to_owned()));
        }
    }

    #[test]
    fn what_is_gone_is_skipped_and_the_places_stay_true() {
        let (_dir, files) = sandbox(5, 6, "now\n");
        assert_eq!(all_from(&files, 0), (40, "line 0005\nline 0006\nnow\n".to_owned()));
        assert_eq!(all_from(&files, 52), (52, "ne 0006\nnow\n".to_owned()));
        assert_eq!(all_from(&files, 61), (61, "ow\n".to_owned()));
    }

    #[test]
    fn a_reader_that_is_overtaken_goes_on_where_the_files_do() {
        let (dir, files) = sandbox(1, 1, "line 0002\n");
        let part = files.at(12).unwrap().unwrap();
        assert!(files.after(&part).unwrap().is_none());
        // Rotated three times, two files are kept.
        fs::remove_file(dir.path().join("stdout.1")).unwrap();
        for number in [3, 4] {
            fs::write(dir.path().join(format!("stdout.{number}")), format!("line {number:04}\n")).unwrap();
        }

        assert_eq!(part.read(20, 10).unwrap(), b"");
        let next = files.after(&part).unwrap().unwrap();

        assert_eq!((next.start, next.read(20, 10).unwrap().as_slice()), (20, b"line 0003\n".as_slice()));
    }

    #[test]
    fn the_last_lines_are_found_across_files() {
        let (_dir, files) = sandbox(2, 4, "a\nb\n");
        for (lines, at) in [(0, 44), (1, 42), (2, 40), (3, 30), (4, 20), (5, 10), (6, 10)] {
            assert_eq!(files.start_of_last_lines(lines, 1 << 20).unwrap(), at, "{lines}");
        }
        assert_eq!(files.start_of_last_lines(9, 15).unwrap(), 29);
    }
}
