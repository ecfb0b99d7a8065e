//! What archives are packed with, as readers of what is in them.
//!
//! Invariants
//! - Memory is bounded whatever an archive asks for: bzip2 has blocks of at most 900 kB, and what xz and Zstandard want to
//!   look back at is refused above a bound, before any of it is taken.
//! - Damage is an error: every checksum that is there is compared, once the whole of it was read.
//! - Streams one after the other are one, as the programs of these formats have it.
//!
//! Source: the .xz file format; RFC 8878; bzip2(1).

use std::io::{self, BufRead, Read};

use bzip2::bufread::MultiBzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder, StreamingDecoder};

/// What unpacking may hold in memory: the most that `xz -9` and `zstd --ultra -22` ask for, with room; in bytes.
const MOST_MEMORY: u64 = 160 << 20;

/// What `bzip2` made.
pub(super) fn bzip2(packed: impl BufRead) -> impl Read {
    MultiBzDecoder::new(packed)
}

/// What `xz` made.
pub(super) fn xz(packed: impl Read) -> impl Read {
    let kibibytes = u32::try_from(MOST_MEMORY >> 10).unwrap_or(u32::MAX);
    XzReader::new_mem_limit(packed, true, kibibytes)
}

/// What `zstd` made.
pub(super) fn zstd<R: BufRead>(packed: R) -> impl Read {
    Frames(State::Between(packed))
}

/// Frames of Zstandard, one after the other.
struct Frames<R: BufRead>(State<R>);

enum State<R: BufRead> {
    Between(R),
    Within(Box<Frame<R>>),
    /// Over, or broken.
    Over,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // What fails is not read on.
            match std::mem::replace(&mut self.0, State::Over) {
                State::Over => return Ok(0),
                State::Between(mut packed) => {
                    if !packed.fill_buf()?.is_empty() {
                        self.0 = next(packed)?;
                    }
                }
                State::Within(mut frame) => match frame.read(buffer)? {
                    0 => self.0 = State::Between(frame.ended()?),
                    count => {
                        self.0 = State::Within(frame);
                        return Ok(count);
                    }
                },
            }
        }
    }
}

fn next<R: BufRead>(mut packed: R) -> io::Result<State<R>> {
    // By reference first: who fails to begin a frame keeps what it was to be read from.
    match StreamingDecoder::new_with_max_window_size(&mut packed, MOST_MEMORY) {
        Ok(frame) => {
            let decoder = frame.into_frame_decoder();
            Ok(State::Within(Box::new(Frame { decoder, packed })))
        }
        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
            let length = u64::from(length);
            let skipped = io::copy(&mut packed.by_ref().take(length), &mut io::sink())?;
            if skipped < length {
                Err(io::ErrorKind::UnexpectedEof.into())
            } else {
                Ok(State::Between(packed))
            }
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// One frame, and where it comes from.
struct Frame<R> {
    decoder: FrameDecoder,
    packed: R,
}

impl<R: Read> Frame<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
            let one = BlockDecodingStrategy::UptoBlocks(1);
            self.decoder.decode_blocks(&mut self.packed, one).map_err(io::Error::other)?;
        }
        self.decoder.read(buffer)
    }

    /// All of it was read. Errors: it is not what was packed.
    fn ended(self) -> io::Result<R> {
        let (said, found) = (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum());
        match said {
            Some(said) if Some(said) != found => {
                Err(io::Error::other("it is damaged: its checksum does not match"))
            }
            _ => Ok(self.packed),
        }
    }
}
