//! Streamed answers: records one after the other, several to a chunk where several are ready.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use lonja_proto::media::Media;
use lonja_proto::recordio;
use prost::{Message, Name};

/// Appends a message as one record.
pub(super) fn put<M: Message + Name>(media: Media, message: &M, out: &mut Vec<u8>) {
    match media {
        Media::Protobuf => {
            out.extend_from_slice(format!("{}\n", message.encoded_len()).as_bytes());
            media.encode_to(message, out);
        }
        Media::Json => recordio::put(out, &media.encode(message)),
    }
}

/// An answer of which the chunks come as they do.
pub(super) fn answer(media: Media, chunks: impl Stream<Item = Vec<u8>> + Send + 'static) -> Response {
    let body = Body::from_stream(chunks.map(Ok::<_, std::convert::Infallible>));
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media.name()))], body).into_response()
}
