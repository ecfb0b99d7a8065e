//! What waits for a process to be read as its input.
//!
//! Invariants
//! - What waits is bounded in bytes, and in pieces: pieces that come faster than they are taken become one.
//! - It is written in the order in which it came, and all of it before the input closes.

use tokio::sync::{mpsc, watch};
use tonic::Status;

use super::sessions;
use crate::containerizer::NestedInput;

/// How many bytes of input may wait for the process.
const MOST_INPUT: u64 = 256 << 10;

/// Input on its way to a process.
pub(super) struct Stdin {
    /// Dropped, it closes the process's input.
    line: Option<mpsc::Sender<Vec<u8>>>,
    /// What the line has no room for yet.
    waiting: Vec<u8>,
    /// To be closed as soon as nothing waits.
    closing: bool,
    sent: u64,
}

impl Stdin {
    /// Writes what it is given to a process in a task of its own, so that a process that does not read holds
    /// nothing else up. Tells how many bytes were taken.
    pub(super) fn feed(input: Option<NestedInput>) -> (Self, watch::Receiver<u64>) {
        let (stdin, mut pieces) = Self::new();
        let (told, taken) = watch::channel(0);
        tokio::spawn(async move {
            let mut input = input;
            while let Some(piece) = pieces.recv().await {
                if let Some(open) = &mut input
                    && open.write_all(&piece).await.is_err()
                {
                    // It has closed its input: what comes is thrown away.
                    input = None;
                }
                told.send_modify(|taken| *taken += piece.len() as u64);
            }
        });
        (stdin, taken)
    }

    fn new() -> (Self, mpsc::Receiver<Vec<u8>>) {
        let (line, pieces) = mpsc::channel(1);
        (Self { line: Some(line), waiting: Vec::new(), closing: false, sent: 0 }, pieces)
    }

    /// Takes a piece of input, of which `taken` bytes have been taken so far. Errors: it is too long, or too much
    /// waits already.
    pub(super) fn take(&mut self, data: &[u8], taken: u64) -> Result<(), Status> {
        sessions::check_input(data)?;
        // Closed before: thrown away.
        if data.is_empty() || self.closing {
            return Ok(());
        }
        self.sent += data.len() as u64;
        if self.sent - taken > MOST_INPUT {
            let message = format!("stdin: more than {MOST_INPUT} bytes beyond what the process took");
            return Err(Status::resource_exhausted(message));
        }
        self.waiting.extend_from_slice(data);
        Ok(())
    }

    /// No more comes. What came before is still written.
    pub(super) fn close(&mut self) {
        self.closing = true;
        if self.waiting.is_empty() {
            self.line = None;
        }
    }

    /// Hands on what waits as soon as there is room, and resolves; never where nothing waits. Can be dropped at any
    /// time without loss.
    pub(super) async fn hand_on(&mut self) {
        let Some(line) = self.line.as_ref().filter(|_| !self.waiting.is_empty()) else {
            return std::future::pending().await;
        };
        // The other end lives as long as this one.
        let _handed = line.reserve().await.map(|place| place.send(std::mem::take(&mut self.waiting)));
        if self.closing {
            self.line = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn pieces_that_nobody_takes_become_one_and_empty_ones_none() {
        let (mut stdin, mut pieces) = Stdin::new();
        for number in 0..20_000_u32 {
            stdin.take(&[], 0).unwrap();
            stdin.take(&[number.to_le_bytes()[0]], 0).unwrap();
            let _no_room = stdin.hand_on().now_or_never();
        }
        assert_eq!(pieces.len(), 1);
        stdin.close();

        let mut all = pieces.try_recv().unwrap();
        stdin.hand_on().now_or_never().unwrap();
        all.extend(pieces.try_recv().unwrap());
        assert!(all.iter().zip(0..20_000_u32).all(|(byte, number)| *byte == number.to_le_bytes()[0]));
        assert_eq!(all.len(), 20_000);
        assert!(pieces.recv().now_or_never().unwrap().is_none(), "closed after the last byte");
    }

    #[test]
    fn no_more_waits_than_may_and_what_comes_after_the_end_is_thrown_away() {
        let (mut stdin, _pieces) = Stdin::new();
        let piece = vec![1; 64 << 10];
        for _ in 0..4 {
            stdin.take(&piece, 0).unwrap();
        }
        assert!(stdin.take(&[1], 0).is_err());
        let (mut closed, mut pieces) = Stdin::new();
        closed.close();
        for _ in 0..9 {
            closed.take(&piece, 0).unwrap();
        }
        assert!(pieces.recv().now_or_never().unwrap().is_none());
    }
}
