//! RecordIO: how messages follow each other on a streamed HTTP body.
//!
//! Each record is its length in bytes as decimal digits, a line feed, and that many bytes; nothing comes after it. Where
//! chunks of the body begin says nothing about where records do.
//!
//! Source: Mesos, "RecordIO" (`stout/recordio.hpp`).

/// Digits of a length, at most: as many as 2^64 - 1 has.
const DIGITS: usize = 20;

/// Appends a record.
pub fn put(out: &mut Vec<u8>, record: &[u8]) {
    out.extend_from_slice(record.len().to_string().as_bytes());
    out.push(b'\n');
    out.extend_from_slice(record);
}

/// A record by itself.
pub fn frame(record: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(record.len() + DIGITS + 1);
    put(&mut out, record);
    out
}

/// Why a stream of records cannot be read on. Nothing after it can be told apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The length is no decimal number.
    #[error(
        "record {number}: its length has the byte {byte:#04x}; only decimal digits and then a line feed belong there"
    )]
    NotADigit {
        /// Which record, counted from 0.
        number: u64,
        /// What was found.
        byte: u8,
    },
    /// There is no length before the line feed.
    #[error("record {number}: its length is missing before the line feed")]
    NoLength {
        /// Which record, counted from 0.
        number: u64,
    },
    /// The length has more digits than any number of bytes.
    #[error("record {number}: its length has more than {DIGITS} digits")]
    LongLength {
        /// Which record, counted from 0.
        number: u64,
    },
    /// The record is longer than the reader takes.
    #[error("record {number}: {length} bytes are more than the {most} that are taken")]
    TooLong {
        /// Which record, counted from 0.
        number: u64,
        /// What was announced. In bytes.
        length: u64,
        /// What is taken. In bytes.
        most: usize,
    },
}

/// Takes a body apart into records, however it was cut into chunks.
#[derive(Debug)]
pub struct Decoder {
    most: usize,
    /// What has come of the record under way, and maybe of those after it.
    buffer: Vec<u8>,
    /// Where the record under way begins in it.
    begin: usize,
    /// How long that record is, once it is known.
    length: Option<usize>,
    /// Records that are done.
    number: u64,
}

impl Decoder {
    /// Takes records of up to `most` bytes.
    pub fn new(most: usize) -> Self {
        Self { most, buffer: Vec::new(), begin: 0, length: None, number: 0 }
    }

    /// Takes the next chunk. Ask [`Decoder::next_record`] until there is none before the next, or it all is kept.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.begin > 0 {
            self.buffer.drain(..self.begin);
            self.begin = 0;
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// The next record that is whole.
    ///
    /// Errors: as [`RecordError`] says; the same again for every later call.
    pub fn next_record(&mut self) -> Result<Option<&[u8]>, RecordError> {
        let length = match self.length {
            Some(length) => length,
            None => match self.read_length()? {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        let end = self.begin + length;
        if self.buffer.len() < end {
            return Ok(None);
        }
        let begin = std::mem::replace(&mut self.begin, end);
        self.length = None;
        self.number += 1;
        Ok(Some(&self.buffer[begin..end]))
    }

    /// Whether the stream may end here: between two records.
    pub fn is_between(&self) -> bool {
        self.length.is_none() && self.begin == self.buffer.len()
    }

    fn read_length(&mut self) -> Result<Option<usize>, RecordError> {
        let number = self.number;
        let mut length: u64 = 0;
        for (at, &byte) in self.buffer[self.begin..].iter().enumerate() {
            match byte {
                b'\n' if at == 0 => return Err(RecordError::NoLength { number }),
                b'\n' => {
                    let fits = usize::try_from(length).ok().filter(|length| *length <= self.most);
                    let length = fits.ok_or(RecordError::TooLong { number, length, most: self.most })?;
                    self.begin += at + 1;
                    self.length = Some(length);
                    return Ok(Some(length));
                }
                b'0'..=b'9' if at == DIGITS => return Err(RecordError::LongLength { number }),
                b'0'..=b'9' => length = length.saturating_mul(10).saturating_add(u64::from(byte - b'0')),
                _ => return Err(RecordError::NotADigit { number, byte }),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(decoder: &mut Decoder) -> Result<Vec<Vec<u8>>, RecordError> {
        let mut records = Vec::new();
        while let Some(record) = decoder.next_record()? {
            records.push(record.to_vec());
        }
        Ok(records)
    }

    proptest! {
        #[test]
        fn what_was_framed_comes_out_however_it_is_cut(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..10),
            cut in 1_usize..9,
        ) {
            let mut body = Vec::new();
            for record in &records {
                put(&mut body, record);
            }
            let mut decoder = Decoder::new(64);
            let mut read = Vec::new();
            for chunk in body.chunks(cut) {
                decoder.push(chunk);
                read.extend(all(&mut decoder).unwrap());
            }
            prop_assert!(decoder.is_between());
            prop_assert_eq!(read, records);
        }

        #[test]
        fn any_bytes_are_records_or_an_error(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::new(64);
            decoder.push(&body);
            let first = all(&mut decoder);
            if first.is_err() {
                prop_assert_eq!(all(&mut decoder), first);
            }
        }
    }

    #[test]
    fn a_heartbeat_is_framed_as_mesos_does() {
        assert_eq!(frame(br#"{"type":"HEARTBEAT"}"#), b"20\n{\"type\":\"HEARTBEAT\"}");
    }

    #[test]
    fn broken_lengths_are_named() {
        let error = |body: &[u8]| {
            let mut decoder = Decoder::new(10);
            decoder.push(body);
            all(&mut decoder).unwrap_err()
        };
        assert_eq!(error(b"+5\nhello"), RecordError::NotADigit { number: 0, byte: b'+' });
        assert_eq!(error(b"-1\n"), RecordError::NotADigit { number: 0, byte: b'-' });
        assert_eq!(error(b" 5\nhello"), RecordError::NotADigit { number: 0, byte: b' ' });
        assert_eq!(error(b"5\r\nhello"), RecordError::NotADigit { number: 0, byte: b'\r' });
        assert_eq!(error(b"\n"), RecordError::NoLength { number: 0 });
        assert_eq!(error(b"2\nok11\n"), RecordError::TooLong { number: 1, length: 11, most: 10 });
        assert_eq!(
            error(b"18446744073709551615\n"),
            RecordError::TooLong { number: 0, length: u64::MAX, most: 10 }
        );
        assert_eq!(error(b"000000000000000000000"), RecordError::LongLength { number: 0 });
    }
}
