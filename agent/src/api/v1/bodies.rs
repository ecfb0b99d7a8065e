//! Bodies of requests, within what the agent has room for.
//!
//! Invariants
//! - A body is no longer than its door allows, and all that are read or handled at one time no longer together than there is
//!   room for: who comes too much is sent away, and nobody waits for room.
//! - A body that stands still for [`PATIENCE`] is given up.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::Refusal;

/// What room is counted in, in bytes.
const PIECE: usize = 16 << 10;

/// How long a body may stand still.
const PATIENCE: Duration = Duration::from_secs(30);

/// Room for bodies. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Bodies {
    room: Arc<Semaphore>,
    patience: Duration,
}

/// A body, for as long as it takes up room.
pub(crate) struct Whole {
    bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

/// Room that is taken up.
pub(crate) struct Room {
    _room: Option<OwnedSemaphorePermit>,
}

impl Whole {
    /// What it holds.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its room without its bytes, for as long as what was made of them is in use.
    pub(crate) fn into_room(self) -> Room {
        Room { _room: self.room }
    }
}

impl Bodies {
    /// Room for so many bytes of all bodies under way at once.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(bytes / PIECE)), patience: PATIENCE }
    }

    /// Reads a body of `most` bytes at most. Errors: 413 if it is longer, 503 if there is no room, 408 if it stands still,
    /// 400 if it breaks off.
    pub(crate) async fn read(&self, body: Body, most: usize) -> Result<Whole, Refusal> {
        use axum::body::HttpBody;
        let too_long = || {
            let said = format!("the body is longer than {most} bytes");
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, said)
        };
        if body.size_hint().lower() > most as u64 {
            return Err(too_long());
        }
        let mut whole = Whole { bytes: Vec::new(), room: None };
        let mut pieces = body.into_data_stream();
        loop {
            let piece = match tokio::time::timeout(self.patience, pieces.next()).await {
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(_))) => return Err(Refusal::bad("the body breaks off")),
                Ok(None) => return Ok(whole),
                Err(_) => {
                    return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"));
                }
            };
            if whole.bytes.len() + piece.len() > most {
                return Err(too_long());
            }
            self.grow(&mut whole, piece.len())?;
            whole.bytes.extend_from_slice(&piece);
        }
    }

    /// Takes room for so many bytes more.
    fn grow(&self, whole: &mut Whole, more: usize) -> Result<(), Refusal> {
        let wanted = (whole.bytes.len() + more).div_ceil(PIECE);
        let has = whole.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(missing) = wanted.checked_sub(has).filter(|missing| *missing > 0) else { return Ok(()) };
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let taken = self.room.clone().try_acquire_many_owned(missing);
        let taken =
            taken.map_err(|_| Refusal::unavailable("too much is being sent at once; try again soon"))?;
        match &mut whole.room {
            Some(room) => room.merge(taken),
            room => *room = Some(taken),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;

    use super::*;

    const ROOM: usize = 16 * PIECE;

    #[tokio::test]
    async fn a_body_is_read_whole_or_refused() {
        let bodies = Bodies::new(ROOM);
        let whole = bodies.read(Body::from("four"), 4).await.ok().unwrap();
        assert_eq!(whole.bytes(), b"four");
        assert_eq!(bodies.room.available_permits(), ROOM / PIECE - 1);
        let room = whole.into_room();
        assert_eq!(bodies.room.available_permits(), ROOM / PIECE - 1, "what was made of it is in use");
        drop(room);
        assert_eq!(bodies.room.available_permits(), ROOM / PIECE);

        let refused = bodies.read(Body::from("fives"), 4).await.err().unwrap();
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let pieces = ["abc", "def"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
        let unannounced = Body::from_stream(futures::stream::iter(pieces));
        let refused = bodies.read(unannounced, 4).await.err().unwrap();
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn where_there_is_no_room_nobody_waits() {
        let bodies = Bodies { room: Arc::new(Semaphore::new(1)), ..Bodies::new(ROOM) };
        let first = bodies.read(Body::from(vec![0; PIECE]), ROOM).await.ok().unwrap();
        let refused = bodies.read(Body::from("x"), ROOM).await.err().unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(first);
        assert!(bodies.read(Body::from("x"), ROOM).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_that_stands_still_is_given_up() {
        let bodies = Bodies { patience: Duration::from_millis(1), ..Bodies::new(ROOM) };
        let body = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let refused = bodies.read(body, 4).await.err().unwrap();
        assert_eq!(refused.status(), StatusCode::REQUEST_TIMEOUT);
    }
}
