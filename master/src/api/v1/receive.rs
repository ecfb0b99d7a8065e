//! The bodies of requests: how large each may be, how large all together, and how long they may take to come.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use lonja_proto::media::Media;
use prost::{Message, Name};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use crate::config::MAX_MESSAGE_BYTES;

/// JSON takes several times the room of the binary form.
const MAX_JSON_BYTES: usize = 4 * MAX_MESSAGE_BYTES;

/// All bodies that are on their way or being read, together. In KiB.
const MAX_ALL_KIB: usize = 256 << 10;

/// How long one may take to come.
const WITHIN: Duration = Duration::from_secs(30);

/// The room for bodies.
#[derive(Clone)]
pub(super) struct Bodies(Arc<Semaphore>);

impl Default for Bodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_ALL_KIB)))
    }
}

/// A header that is text.
pub(super) fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("bytes that are no text"))
}

impl Bodies {
    /// The message that a POST carries, and the headers beside it.
    pub(super) async fn message<M: Message + Name + Default>(
        &self,
        request: Request,
    ) -> Result<(HeaderMap, M), Problem> {
        let (head, body) = request.into_parts();
        if head.method != axum::http::Method::POST {
            return Err(Problem::post_only(&head.method));
        }
        let media = Media::of_body(text(&head.headers, header::CONTENT_TYPE))?;
        if let Some(coding) =
            text(&head.headers, header::CONTENT_ENCODING).filter(|coding| *coding != "identity")
        {
            let message = format!("Content-Encoding {coding:?} is not supported; send the body as it is");
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let codings = text(&head.headers, header::TRANSFER_ENCODING);
        if let Some(codings) = codings.filter(|codings| !codings.trim().eq_ignore_ascii_case("chunked")) {
            let message = format!(
                "Transfer-Encoding {codings:?} is not supported; send the body chunked or with its length"
            );
            return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, message));
        }
        let most = match media {
            Media::Json => MAX_JSON_BYTES,
            Media::Protobuf => MAX_MESSAGE_BYTES,
        };
        let announced = text(&head.headers, header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let received = tokio::time::timeout(WITHIN, self.receive(body, announced, most)).await;
        let late =
            |_| Problem::new(StatusCode::REQUEST_TIMEOUT, format!("the body took longer than {WITHIN:?}"));
        let (body, room) = received.map_err(late)??;
        let message = media.decode(&body)?;
        drop(room);
        Ok((head.headers, message))
    }

    async fn receive(
        &self,
        body: Body,
        announced: Option<usize>,
        most: usize,
    ) -> Result<(Bytes, OwnedSemaphorePermit), Problem> {
        let too_large = || {
            let message = format!("the body is larger than {most} bytes; split the call");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message)
        };
        if announced.is_some_and(|length| length > most) {
            return Err(too_large());
        }
        let mut room = self.room(announced.unwrap_or(0) + 1).await?;
        let mut chunks = body.into_data_stream();
        let mut whole: Vec<u8> = Vec::new();
        let mut first: Option<Bytes> = None;
        let mut length = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk =
                chunk.map_err(|error| Problem::bad_request(format!("the body broke off: {error}")))?;
            length += chunk.len();
            if length > most {
                return Err(too_large());
            }
            while length > room.num_permits() << 10 {
                room.merge(self.room(length.max(64 << 10)).await?);
            }
            match (first.take(), whole.is_empty()) {
                // Most bodies come in one piece.
                (None, true) => first = Some(chunk),
                (before, _) => {
                    whole.extend_from_slice(&before.unwrap_or_default());
                    whole.extend_from_slice(&chunk);
                }
            }
        }
        Ok((first.unwrap_or_else(|| Bytes::from(whole)), room))
    }

    /// Waits for room; those who wait are told apart from those who stall by [`WITHIN`].
    async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        Arc::clone(&self.0).acquire_many_owned(kib).await.map_err(|_| Problem::stopped())
    }
}
