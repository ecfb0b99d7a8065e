//! The newest revision this data dir ever acknowledged.
//!
//! One line of fixed length, overwritten in place after each commit and not synced: it survives the
//! death of the process; after a power loss it may be older, never newer than what redb synced. So it
//! is a floor: a database below it has lost acknowledged batches.
//!
//! A line that does not verify says nothing, and is passed over with a warning: power loss may leave
//! one, and the database is verified by itself.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::checksum;
use crate::entry::Revision;

const MAGIC: &str = "lonja-acknowledged";

/// An open file of this kind.
#[derive(Debug)]
pub(super) struct Acknowledged(File);

impl Acknowledged {
    pub(super) fn new(file: File) -> Acknowledged {
        Acknowledged(file)
    }

    /// What the file says, `None` when it says nothing that verifies.
    pub(super) fn read(&self) -> io::Result<Option<Revision>> {
        let mut line = vec![0; line(Revision::ZERO).len()];
        match self.0.read_exact_at(&mut line, 0) {
            Ok(()) => Ok(parse(&line)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, revision: Revision) -> io::Result<()> {
        self.0.write_all_at(line(revision).as_bytes(), 0)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

fn line(revision: Revision) -> String {
    let digits = format!("{:020}", revision.0);
    let sum = checksum::of_parts(&[MAGIC.as_bytes(), digits.as_bytes()]);
    format!("{MAGIC} {digits} {sum:016x}\n")
}

fn parse(found: &[u8]) -> Option<Revision> {
    let digits = std::str::from_utf8(found).ok()?.split(' ').nth(1)?;
    let revision = Revision(digits.parse().ok()?);
    // Whatever else differs from the line for this revision is damage.
    (found == line(revision).as_bytes()).then_some(revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_every_flipped_bit_is_found() {
        let sound = line(Revision(70_368));
        assert_eq!(parse(sound.as_bytes()), Some(Revision(70_368)));
        for bit in 0..sound.len() * 8 {
            let mut damaged = sound.clone().into_bytes();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&damaged), None, "bit {bit}");
        }
    }
}
