//! Answers about the whole cluster: made beside the threads that serve all others, so many at once, and sent piece by
//! piece to those who read them.
//!
//! Invariants
//! - At most [`WHOLE`] answers that are made whole are in memory, beside small ones. Each has its place until the last
//!   piece of it is read, or its reader was too slow and is cut off.
//! - At most [`LISTINGS`] that are written piece by piece are under way, which have no more in memory than some pieces.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::stream::{self, Stream, StreamExt};
use lonja_master_core::Snapshot;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::Handle;
use crate::handle::Stopped;

/// Answers made whole, at once.
const WHOLE: usize = 8;

/// Listings under way at once.
pub(super) const LISTINGS: usize = 64;

/// Of these, to one address.
const LISTINGS_TO_ONE: usize = 32;

/// How long one may wait for its turn to be made.
const TURN_WITHIN: Duration = Duration::from_secs(30);

/// What is no longer needs no place. In bytes.
const SMALL: usize = 1 << 20;

/// One piece. In bytes.
pub(super) const PIECE: usize = 64 << 10;

/// How long a reader may take for one piece.
pub(super) const PIECE_WITHIN: Duration = Duration::from_secs(10);

/// How long a reader may take for all of an answer.
pub(super) const WITHIN: Duration = Duration::from_secs(300);

/// The places.
#[derive(Clone)]
pub(super) struct Answers {
    whole: Arc<Semaphore>,
    listings: Arc<Semaphore>,
    /// How many of these are being sent to whom.
    readers: Readers,
}

/// One place, until it is dropped.
pub(super) type Place = OwnedSemaphorePermit;

type Readers = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// The place of a listing, until it is dropped.
pub(super) struct Listing {
    reader: Option<IpAddr>,
    readers: Readers,
    _place: Place,
}

impl Drop for Listing {
    fn drop(&mut self) {
        let Some(reader) = self.reader else { return };
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = readers.entry(reader) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// There is no place. Or what makes answers has failed, which comes to the same for who asks.
#[derive(Debug, thiserror::Error)]
#[error("too many large answers are being sent already; ask again later")]
pub(super) struct Busy;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error("{0}; try again, or another master")]
    Stopped(#[from] Stopped),
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            whole: Arc::new(Semaphore::new(WHOLE)),
            listings: Arc::new(Semaphore::new(LISTINGS)),
            readers: Readers::default(),
        }
    }
}

impl Answers {
    /// Makes what takes time and memory as the cluster is large, once it is its turn.
    pub(super) async fn make<T: Send + 'static>(
        &self,
        make: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Place), Busy> {
        let turn = tokio::time::timeout(TURN_WITHIN, Arc::clone(&self.whole).acquire_owned()).await;
        let place = turn.map_err(|_| Busy)?.map_err(|_| Busy)?;
        // It stays with who makes it, though who asked may leave.
        let made = tokio::task::spawn_blocking(move || (make(), place)).await;
        made.map_err(|_| Busy)
    }

    /// Makes an answer of a picture of the cluster.
    pub(super) async fn of_picture<T: Send + 'static>(
        &self,
        handle: &Handle,
        make: impl FnOnce(&Snapshot) -> T + Send + 'static,
    ) -> Result<(T, Place), Unanswered> {
        let snapshot = handle.snapshot().await?;
        // The picture ends there, too: that takes time as well.
        Ok(self.make(move || make(&snapshot)).await?)
    }

    /// A place for one that is written piece by piece, to this reader.
    pub(super) fn listing(&self, reader: Option<IpAddr>) -> Result<Listing, Busy> {
        let place = Arc::clone(&self.listings).try_acquire_owned().map_err(|_| Busy)?;
        if let Some(reader) = reader {
            let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            let count = readers.entry(reader).or_default();
            if *count == LISTINGS_TO_ONE {
                return Err(Busy);
            }
            *count += 1;
        }
        Ok(Listing { reader, readers: self.readers.clone(), _place: place })
    }
}

/// What goes from who writes to who sends.
pub(super) enum Piece {
    Bytes(Bytes),
    /// All is written. Without it the answer was cut short, and whoever reads it must not take it for whole.
    End,
}

/// An answer that is made whole as a body: with its length if it is small, or else piece by piece.
pub(super) fn body(answer: Vec<u8>, place: Place) -> Body {
    if answer.len() <= SMALL { Body::from(answer) } else { Body::from_stream(pieces(answer, place)) }
}

/// An answer piece by piece; one who reads too slowly finds it cut short.
pub(super) fn pieces(
    answer: Vec<u8>,
    place: Place,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let mut rest = Bytes::from(answer);
    if rest.len() <= SMALL {
        drop(place);
        return stream::iter([Ok(rest)]).left_stream();
    }
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let _place = place;
        let sending = async {
            while !rest.is_empty() {
                let piece = rest.split_to(rest.len().min(PIECE));
                // Its own bytes: a part would keep the whole.
                if !hand(&sender, Piece::Bytes(Bytes::copy_from_slice(&piece))).await {
                    return;
                }
            }
            let _read = hand(&sender, Piece::End).await;
        };
        let _read = tokio::time::timeout(WITHIN, sending).await;
    });
    bytes(stream::unfold(receiver, next)).right_stream()
}

/// Hands on a piece; false if nobody reads any more, or too slowly.
pub(super) async fn hand(sender: &mpsc::Sender<Piece>, piece: Piece) -> bool {
    matches!(tokio::time::timeout(PIECE_WITHIN, sender.send(piece)).await, Ok(Ok(())))
}

pub(super) async fn next(mut pieces: mpsc::Receiver<Piece>) -> Option<(Piece, mpsc::Receiver<Piece>)> {
    Some((pieces.recv().await?, pieces))
}

/// The bytes of the pieces, and an error if there is no end to them: then the connection is broken off.
pub(super) fn bytes(
    pieces: impl Stream<Item = Piece> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let cut = || io::Error::new(io::ErrorKind::TimedOut, "the answer was read too slowly and is cut short");
    let bytes = stream::unfold(Some(Box::pin(pieces)), move |pieces| async move {
        let mut pieces = pieces?;
        match pieces.next().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(pieces))),
            Some(Piece::End) => None,
            None => Some((Err(cut()), None)),
        }
    });
    // What compresses asks once more after the end.
    bytes.fuse()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn large(answers: &Answers) -> impl Stream<Item = io::Result<Bytes>> + Unpin {
        let (answer, place) = answers.make(|| vec![7; SMALL + 1]).await.unwrap();
        Box::pin(pieces(answer, place))
    }

    #[tokio::test]
    async fn an_answer_comes_whole_and_gives_its_place_back() {
        let answers = Answers::default();
        for _ in 0..2 * WHOLE {
            let mut length = 0;
            let mut answer = large(&answers).await;
            while let Some(piece) = answer.next().await {
                length += piece.unwrap().len();
            }
            assert_eq!(length, SMALL + 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_reads_too_slowly_is_cut_off_and_keeps_no_place() {
        let answers = Answers::default();
        let mut slow = Vec::new();
        for _ in 0..WHOLE {
            slow.push(large(&answers).await);
        }
        // It waits for its turn until the slow ones are cut off.
        drop(large(&answers).await);
        let mut all: Vec<_> = slow.remove(0).collect().await;
        let last = all.pop().unwrap();
        assert_eq!(last.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn one_reader_does_not_take_all_places() {
        let answers = Answers::default();
        let (one, other) = (Some([10, 0, 0, 1].into()), Some([10, 0, 0, 2].into()));
        let mut held: Vec<_> = (0..LISTINGS_TO_ONE).map(|_| answers.listing(one).unwrap()).collect();
        assert!(answers.listing(one).is_err());
        held.extend((LISTINGS_TO_ONE..LISTINGS).map(|_| answers.listing(other).unwrap()));
        assert!(answers.listing(None).is_err());
        drop(held);
        assert!(answers.listing(one).is_ok());
        assert!(answers.readers.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_for_a_turn() {
        let answers = Answers::default();
        let mut held = Vec::new();
        for _ in 0..WHOLE {
            held.push(answers.make(|| ()).await.unwrap());
        }
        assert!(answers.make(|| ()).await.is_err());
    }
}
