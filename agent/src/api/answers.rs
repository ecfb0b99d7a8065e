//! Answers that are made at once and read at the reader's pace.
//!
//! Invariants
//! - Large answers are made beside the runtime's other work.
//! - What is made and not read yet comes to [`ROOM`] bytes at most, of all answers together, but for a single one that is larger: who
//!   asks for more is told to come again. Who reads nothing is cut by the server.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::v1::refusal::Refusal;

/// Bytes of answers that are not read yet.
const ROOM: usize = 256 << 20;

/// What room is counted in, in bytes.
const PIECE: usize = 16 << 10;

/// Room for answers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Answers(Arc<Semaphore>);

impl Default for Answers {
    fn default() -> Self {
        Self::new(ROOM)
    }
}

impl Answers {
    fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / PIECE)))
    }

    /// The answer that `make` makes, of that kind. Errors: 503, too many are being read.
    pub(crate) async fn of(
        &self,
        kind: &'static str,
        make: impl FnOnce() -> Vec<u8> + Send + 'static,
    ) -> Result<Response, Refusal> {
        let made = tokio::task::spawn_blocking(make).await;
        let bytes = made.map_err(|_| Refusal::internal("the answer could not be made"))?;
        let pieces = bytes.len().div_ceil(PIECE).min(ROOM / PIECE);
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        let room = self.0.clone().try_acquire_many_owned(pieces);
        let room =
            room.map_err(|_| Refusal::unavailable("too many answers are being read; try again soon"))?;
        let mut response = Response::new(Body::new(Unread { body: Body::from(bytes), _room: room }));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Ok(response)
    }
}

/// A body that takes up room until it is sent or given up.
struct Unread {
    body: Body,
    _room: OwnedSemaphorePermit,
}

impl HttpBody for Unread {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[tokio::test]
    async fn what_is_not_read_yet_takes_up_room_and_keeps_its_length() {
        let answers = Answers::new(2 * PIECE);
        let first = answers.of("application/json", || vec![b' '; PIECE + 1]).await.ok().unwrap();
        assert_eq!(first.body().size_hint().exact(), Some(PIECE as u64 + 1));
        let refused = answers.of("application/json", || vec![b' ']).await.err().unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(first);
        assert!(answers.of("application/json", || vec![b' ']).await.is_ok());
    }
}
