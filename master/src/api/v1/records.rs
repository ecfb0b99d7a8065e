//! Streamed answers: records one after the other, each in a chunk of its own.
//!
//! RecordIO does not ask for that, but Mesos writes so, and clients of Node take what comes in one chunk for one record.
//! Chunks that are ready together still leave in one write.

use std::io;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use lonja_proto::media::Media;
use lonja_proto::recordio;
use prost::{Message, Name};

/// A message as one record.
pub(super) fn record<M: Message + Name>(media: Media, message: &M) -> Vec<u8> {
    match media {
        Media::Protobuf => {
            let mut record = format!("{}\n", message.encoded_len()).into_bytes();
            media.encode_to(message, &mut record);
            record
        }
        Media::Json => recordio::frame(&media.encode(message)),
    }
}

/// Marks an answer that goes on for as long as somebody listens: it is not compressed, or what is said would wait for more.
#[derive(Clone, Copy)]
pub(super) struct Streamed;

/// An answer of these records.
pub(super) fn answer(
    media: Media,
    records: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Response {
    let body = Body::from_stream(records);
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(media.name()))];
    (Extension(Streamed), kind, body).into_response()
}
