//! Archives, entry by entry, by our own walk: what a library would do with a name is not left to it.
//!
//! Invariants
//! - Only plain files, folders and links are made, each of a name that was not there before.
//! - Nobody's identity and no setuid, setgid or sticky bit comes out of an archive.
//! - What is skipped counts like what is written.
//!
//! Source: docs/invariants.md, INV-43; pax and ustar as POSIX.1 has them, zip as APPNOTE.TXT.

use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;
use tar::EntryType;

use super::super::job::Kind;
use super::budget::{Bounded, Budget};
use super::codecs;
use super::folder::{Folder, Path};

/// The longest target of a link, in bytes.
const LONGEST_TARGET: u64 = 4_095;

/// Unpacks a whole archive of `packed` bytes. Says, for the task's log, what came out.
pub(super) fn unpack(
    kind: Kind,
    archive: File,
    packed: u64,
    name: &str,
    folder: &Folder,
    budget: &mut Budget,
) -> io::Result<String> {
    let entries = match kind {
        Kind::Plain | Kind::Executable => 0,
        Kind::Tar => unpack_tar(Bounded::new(BufReader::new(archive), packed), folder, budget)?,
        Kind::TarGzip => {
            let plain = MultiGzDecoder::new(BufReader::new(archive));
            unpack_tar(Bounded::new(plain, packed), folder, budget)?
        }
        Kind::TarBzip2 => whole_tar(codecs::bzip2(BufReader::new(archive)), packed, folder, budget)?,
        Kind::TarXz => whole_tar(codecs::xz(BufReader::new(archive)), packed, folder, budget)?,
        Kind::TarZstd => whole_tar(codecs::zstd(BufReader::new(archive)), packed, folder, budget)?,
        Kind::Zip => unpack_zip(archive, packed, folder, budget)?,
        Kind::Gzip => {
            let plain = name.strip_suffix(".gz").unwrap_or(name);
            let mut file = folder.create(&Path::parse(plain.as_bytes())?, 0o644)?;
            let mut reader = Bounded::new(MultiGzDecoder::new(BufReader::new(archive)), packed);
            budget.copy(&mut reader, &mut file)?;
            1
        }
    };
    Ok(format!(", unpacked {entries} entries"))
}

/// The tar archive, and what comes after it, so that all checksums are seen.
fn whole_tar(plain: impl Read, packed: u64, folder: &Folder, budget: &mut Budget) -> io::Result<u64> {
    let mut plain = Bounded::new(plain, packed);
    let entries = unpack_tar(&mut plain, folder, budget)?;
    io::copy(&mut plain, &mut io::sink())?;
    Ok(entries)
}

/// What may be done with a file: all that an archive can say about it.
fn mode_of(mode: u32) -> u32 {
    // The owner can always read and change what belongs to the task.
    (mode & 0o755) | 0o600
}

fn unpack_tar(reader: impl Read, folder: &Folder, budget: &mut Budget) -> io::Result<u64> {
    let mut archive = tar::Archive::new(reader);
    let mut count = 0;
    for entry in archive.entries()? {
        let mut entry = entry?;
        budget.entry()?;
        count += 1;
        let kind = entry.header().entry_type();
        let name = entry.path_bytes().into_owned();
        if kind == EntryType::Directory {
            // Many archives begin with `./`, which is there.
            if name.split(|byte| *byte == b'/').all(|part| matches!(part, b"" | b"."))
                && name.first() != Some(&b'/')
            {
                continue;
            }
            folder.make_folder(&Path::parse(&name)?)?;
            continue;
        }
        if matches!(kind, EntryType::XGlobalHeader) {
            continue;
        }
        let path = Path::parse(&name)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let mut file = folder.create(&path, mode_of(entry.header().mode()?))?;
                budget.copy(&mut entry, &mut file)?;
                if let Ok(seconds) = entry.header().mtime() {
                    keep_time(&file, seconds);
                }
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                folder.symlink(&path, target.get(..4_095.min(target.len())).unwrap_or_default())?;
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                folder.hard_link(&path, &Path::parse(&target)?)?;
            }
            other => {
                let shown: String = String::from_utf8_lossy(&name).chars().take(128).collect();
                let why = format!("{shown:?} is a device, FIFO or other special file ({other:?})");
                return Err(io::Error::other(why));
            }
        }
    }
    Ok(count)
}

fn unpack_zip(archive: File, packed: u64, folder: &Folder, budget: &mut Budget) -> io::Result<u64> {
    let damaged = |error: zip::result::ZipError| {
        io::Error::other(format!("it is no zip archive that can be read: {error}"))
    };
    let mut archive = zip::ZipArchive::new(BufReader::new(archive)).map_err(damaged)?;
    let mut left = Bounded::new(io::empty(), packed).left();
    let mut count = 0;
    for index in 0..archive.len() {
        budget.entry()?;
        count += 1;
        let entry = archive.by_index(index).map_err(damaged)?;
        let name = entry.name_raw().to_vec();
        let mode = entry.unix_mode().unwrap_or(0o644);
        if name.ends_with(b"/") {
            folder.make_folder(&Path::parse(&name)?)?;
            continue;
        }
        let path = Path::parse(&name)?;
        let mut entry = Bounded::with(entry, left);
        match mode & libc::S_IFMT {
            // Made where there are no modes.
            0 | libc::S_IFREG => {
                let mut file = folder.create(&path, mode_of(mode))?;
                budget.copy(&mut entry, &mut file)?;
            }
            libc::S_IFLNK => {
                let mut target = Vec::new();
                entry.by_ref().take(LONGEST_TARGET).read_to_end(&mut target)?;
                folder.symlink(&path, &target)?;
            }
            libc::S_IFDIR => folder.make_folder(&path)?,
            _ => {
                let shown: String = String::from_utf8_lossy(&name).chars().take(128).collect();
                return Err(io::Error::other(format!("{shown:?} is a device, FIFO or other special file")));
            }
        }
        left = entry.left();
    }
    Ok(count)
}

/// Gives a file the time it had, as far as that works.
fn keep_time(file: &File, seconds: u64) {
    let Ok(seconds) = i64::try_from(seconds) else { return };
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    let _now = rustix::fs::futimens(file, &times);
}

#[cfg(test)]
mod tests;
