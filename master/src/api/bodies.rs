//! The bodies of requests, whichever door they come by: how large each may be, how large all together, how long they
//! may take to come, and where they are read.
//!
//! Invariants
//! - Room is taken for what has come, never for what is announced, and nobody waits for it: where there is none, the
//!   request is refused. So nobody takes more of it than was sent.
//! - It is held until the core has taken what the body says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All bodies that are on their way or being read, together. In KiB.
const MAX_ALL_KIB: usize = 256 << 10;

/// How long one may take to come.
const WITHIN: Duration = Duration::from_secs(30);

/// From this size on a body is read beside the threads that serve all others. In bytes.
const LARGE: usize = 64 << 10;

/// Large bodies that are read at once. Each may take `lonja_proto::limits::DECODED_BYTES`.
const READ_AT_ONCE: usize = 4;

/// The room for bodies.
#[derive(Clone)]
pub(super) struct Bodies {
    room: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

/// What a body takes of the room, until it is dropped.
pub(crate) type Room = OwnedSemaphorePermit;

/// A body that has come.
pub(super) struct Whole {
    bytes: Bytes,
    room: Room,
}

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    TooLarge { most: usize },
    Full,
    Late,
    Broken(String),
    Stopped,
}

impl Default for Bodies {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(MAX_ALL_KIB)), readers: Arc::new(Semaphore::new(READ_AT_ONCE)) }
    }
}

impl Bodies {
    /// Takes in a body of so many bytes at most; `announced`: by its sender.
    pub(super) async fn receive(
        &self,
        body: Body,
        announced: Option<usize>,
        most: usize,
    ) -> Result<Whole, Fault> {
        if announced.is_some_and(|length| length > most) {
            return Err(Fault::TooLarge { most });
        }
        tokio::time::timeout(WITHIN, self.collect(body, most)).await.map_err(|_| Fault::Late)?
    }

    async fn collect(&self, body: Body, most: usize) -> Result<Whole, Fault> {
        let mut room = self.room(0)?;
        let mut chunks = body.into_data_stream();
        let mut whole: Vec<u8> = Vec::new();
        let mut first: Option<Bytes> = None;
        let mut length = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| Fault::Broken(error.to_string()))?;
            length += chunk.len();
            if length > most {
                return Err(Fault::TooLarge { most });
            }
            room.merge(self.room(length.div_ceil(1 << 10).saturating_sub(room.num_permits()))?);
            match (first.take(), whole.is_empty()) {
                // Most bodies come in one piece.
                (None, true) => first = Some(chunk),
                (before, _) => {
                    whole.extend_from_slice(&before.unwrap_or_default());
                    whole.extend_from_slice(&chunk);
                }
            }
        }
        Ok(Whole { bytes: first.unwrap_or_else(|| Bytes::from(whole)), room })
    }

    fn room(&self, kib: usize) -> Result<Room, Fault> {
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(kib).map_err(|_| Fault::Full)
    }

    /// Reads what has come: a large body beside the threads that serve all others, and few of these at once.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        whole: Whole,
        read: impl FnOnce(&[u8]) -> T + Send + 'static,
    ) -> Result<(T, Room), Fault> {
        let Whole { bytes, room } = whole;
        if bytes.len() < LARGE {
            return Ok((read(&bytes), room));
        }
        let place = Arc::clone(&self.readers).acquire_owned().await.map_err(|_| Fault::Stopped)?;
        let reading = tokio::task::spawn_blocking(move || {
            let read = read(&bytes);
            drop(place);
            read
        });
        Ok((reading.await.map_err(|_| Fault::Stopped)?, room))
    }
}

impl Fault {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full | Self::Stopped => StatusCode::SERVICE_UNAVAILABLE,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { most } => write!(f, "the body is larger than {most} bytes; split the call"),
            Self::Full => f.write_str("too much is being sent to this master at once; try again later"),
            Self::Late => write!(f, "the body took longer than {WITHIN:?}"),
            Self::Broken(error) => write!(f, "the body broke off: {error}"),
            Self::Stopped => f.write_str("the master has stopped; try again, or another master"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;

    use super::*;

    const MOST: usize = 16 << 20;

    fn chunked(chunks: usize) -> Body {
        Body::from_stream(stream::iter((0..chunks).map(|_| Ok::<_, Infallible>(vec![b'x'; 64 << 10]))))
    }

    /// Comes never to its end.
    fn stalled(begin: Vec<u8>) -> Body {
        let begin = stream::iter([Ok::<_, Infallible>(begin)]);
        Body::from_stream(begin.chain(stream::pending()))
    }

    #[tokio::test]
    async fn what_is_announced_takes_no_room_before_it_comes() {
        let bodies = Bodies::default();
        let waiting: Vec<_> = (0..64)
            .map(|_| {
                let bodies = bodies.clone();
                tokio::spawn(async move { bodies.receive(stalled(vec![1]), Some(MOST), MOST).await })
            })
            .collect();
        while bodies.room.available_permits() > MAX_ALL_KIB - waiting.len() {
            tokio::task::yield_now().await;
        }
        let whole = bodies.receive(chunked(256), None, MOST).await.unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(whole.bytes.len(), MOST);
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn where_there_is_no_room_a_body_is_refused_at_once_and_room_comes_back() {
        let bodies = Bodies::default();
        let mut held = Vec::new();
        for _ in 0..16 {
            let whole = bodies.receive(chunked(256), None, MOST).await;
            let (length, room) = bodies.read(whole.ok().unwrap(), <[u8]>::len).await.unwrap();
            assert_eq!(length, MOST);
            held.push(room);
        }
        assert_eq!(bodies.receive(Body::from("x"), Some(1), MOST).await.err(), Some(Fault::Full));
        assert_eq!(Fault::Full.status(), 503);
        drop(held.pop());
        assert!(bodies.receive(Body::from("x"), Some(1), MOST).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_bounded_in_bytes_and_in_time() {
        let bodies = Bodies::default();
        let too_large = Some(Fault::TooLarge { most: MOST });
        assert_eq!(bodies.receive(Body::from("x"), Some(MOST + 1), MOST).await.err(), too_large);
        assert_eq!(bodies.receive(chunked(257), None, MOST).await.err(), too_large);
        assert_eq!(bodies.receive(stalled(vec![1]), None, MOST).await.err(), Some(Fault::Late));
        assert_eq!(bodies.room.available_permits(), MAX_ALL_KIB);
    }
}
