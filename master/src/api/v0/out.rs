//! Listings, written and sent piece by piece.
//!
//! A listing of a large cluster is never whole in memory: it is written item by item into a buffer, and the buffer
//! goes out as soon as it holds a chunk. A reader that is slow has the writer wait, which costs the picture it writes
//! from and no thread; one that is too slow is cut off.
//!
//! Invariants
//! - A listing keeps two chunks and one item in memory at most, beside the snapshot that all who asked at once share.
//! - How many are under way at once, and how slowly they may be read, is the same for all large answers.

use std::future::Future;

use std::convert::Infallible;
use std::net::IpAddr;

use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use lonja_proto::json;
use lonja_serve::Ends;
use prost::Name;
use serde::Serialize;
use tokio::sync::mpsc;

use super::Door;
use crate::api::answers::{Listing, PIECE as CHUNK, Piece, WITHIN, bytes, hand, next};

/// Nobody reads any more, or too slowly.
#[derive(Debug)]
pub(super) struct Gone;

/// Where a listing is written.
///
/// The commas are its own business: [`Out::open`], [`Out::begin`], [`Out::item`] and [`Out::field`] put them where
/// they belong.
pub(super) struct Out {
    buffer: Vec<u8>,
    /// The last byte that was sent.
    sent: u8,
    sender: mpsc::Sender<Piece>,
    _place: Listing,
}

impl Out {
    /// Begins an object with the fields of `head`, which is an object itself; more fields may follow.
    pub(super) fn open(&mut self, head: &impl Serialize) {
        self.item(head);
        let end = self.buffer.pop();
        debug_assert_eq!(end, Some(b'}'), "an object is opened with an object");
    }

    /// Ends an object.
    pub(super) fn close(&mut self) {
        self.buffer.push(b'}');
    }

    /// Begins a list as the object's next field.
    pub(super) fn begin(&mut self, name: &str) {
        self.key(name);
        self.buffer.push(b'[');
    }

    /// Ends a list.
    pub(super) fn end(&mut self) {
        self.buffer.push(b']');
    }

    /// The list's next item.
    pub(super) fn item(&mut self, item: &impl Serialize) {
        self.comma();
        self.value(item);
    }

    /// The object's next field, a message of the schema.
    pub(super) fn message(&mut self, name: &str, message: &impl Name) {
        self.key(name);
        json::encode_to(message, &mut self.buffer);
    }

    /// The object's next field, a list of messages of the schema.
    pub(super) fn messages(&mut self, name: &str, messages: &[impl Name]) {
        self.begin(name);
        for message in messages {
            self.comma();
            json::encode_to(message, &mut self.buffer);
        }
        self.end();
    }

    /// Begins an object as the object's next field.
    pub(super) fn begin_object(&mut self, name: &str) {
        self.key(name);
        self.buffer.push(b'{');
    }

    /// Sends what there is if it makes a chunk. To be called after each item. Errors: nobody reads any more.
    pub(super) async fn pass(&mut self) -> Result<(), Gone> {
        if self.buffer.len() < CHUNK { Ok(()) } else { self.send().await }
    }

    /// Sends the rest.
    pub(super) async fn finish(mut self) -> Result<(), Gone> {
        self.send().await?;
        if hand(&self.sender, Piece::End).await { Ok(()) } else { Err(Gone) }
    }

    async fn send(&mut self) -> Result<(), Gone> {
        self.sent = self.buffer.last().copied().unwrap_or(self.sent);
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK + CHUNK / 4));
        if hand(&self.sender, Piece::Bytes(Bytes::from(chunk))).await { Ok(()) } else { Err(Gone) }
    }

    fn key(&mut self, name: &str) {
        self.comma();
        self.value(&name);
        self.buffer.push(b':');
    }

    fn comma(&mut self) {
        if !matches!(self.buffer.last().copied().unwrap_or(self.sent), b'{' | b'[') {
            self.buffer.push(b',');
        }
    }

    fn value(&mut self, value: &impl Serialize) {
        serde_json::to_writer(&mut self.buffer, value).expect("a buffer takes all, and names are texts");
    }
}

/// Who reads.
#[derive(Clone, Copy)]
pub(super) struct Reader(Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<Ends>().map(|ends| ends.remote.ip())))
    }
}

/// The answer that `write` writes; what fits a chunk is sent whole, with its length.
pub(super) async fn listing<W, F>(door: &Door, reader: Reader, write: W) -> Response
where
    W: FnOnce(Out) -> F,
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    let place = match door.answers.listing(reader.0) {
        Ok(place) => place,
        Err(busy) => return (StatusCode::SERVICE_UNAVAILABLE, format!("{busy}\n")).into_response(),
    };
    // The end of a list or object stands before the first byte: no comma is needed there.
    let (sender, mut chunks) = mpsc::channel(1);
    let out = Out { buffer: Vec::new(), sent: b'[', sender, _place: place };
    let writing = write(out);
    tokio::spawn(async move {
        // A reader that left, or was too slow, finds the answer cut short.
        let _read = tokio::time::timeout(WITHIN, writing).await;
    });
    let body = match (chunks.recv().await, chunks.recv().await) {
        (Some(Piece::Bytes(all)), Some(Piece::End)) => Body::from(all),
        (first, second) => {
            let begun = stream::iter([first, second]).filter_map(std::future::ready);
            Body::from_stream(bytes(begun.chain(stream::unfold(chunks, next))))
        }
    };
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
