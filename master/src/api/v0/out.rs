//! Listings, written and sent piece by piece.
//!
//! A listing of a large cluster is never whole in memory: it is written item by item into a buffer, and the buffer
//! goes out as soon as it holds a chunk. A reader that is slow has the writer wait, which costs the picture it writes
//! from and no thread; one that is too slow is cut off.
//!
//! Invariants
//! - A listing keeps two chunks and one item in memory at most, beside the snapshot that all who asked at once share.
//! - At most [`LISTINGS`] are under way at once, none for longer than [`WITHIN`].

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream, StreamExt};
use lonja_proto::json;
use prost::Name;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Door;

/// When a buffer goes out, in bytes.
const CHUNK: usize = 64 << 10;

/// Listings under way at once.
pub(super) const LISTINGS: usize = 64;

/// How long a reader may take for all of a listing.
const WITHIN: Duration = Duration::from_secs(300);

/// Nobody reads any more.
#[derive(Debug)]
pub(super) struct Gone;

/// What goes from who writes to who sends.
enum Piece {
    Chunk(Bytes),
    /// All is written. Without it the listing was cut short, and whoever reads it must not take it for whole.
    End,
}

/// Where a listing is written.
///
/// The commas are its own business: [`Out::open`], [`Out::begin`], [`Out::item`] and [`Out::field`] put them where
/// they belong.
pub(super) struct Out {
    buffer: Vec<u8>,
    /// The last byte that was sent.
    sent: u8,
    sender: mpsc::Sender<Piece>,
    _place: Option<OwnedSemaphorePermit>,
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
        self.sender.send(Piece::End).await.map_err(|_| Gone)
    }

    async fn send(&mut self) -> Result<(), Gone> {
        self.sent = self.buffer.last().copied().unwrap_or(self.sent);
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK + CHUNK / 4));
        self.sender.send(Piece::Chunk(Bytes::from(chunk))).await.map_err(|_| Gone)
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

/// The answer that `write` writes; what fits a chunk is sent whole, with its length.
pub(super) async fn listing<W, F>(door: &Door, write: W) -> Response
where
    W: FnOnce(Out) -> F,
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    let Ok(place) = door.listings.clone().try_acquire_owned() else {
        let message = format!("{LISTINGS} listings are being sent already; ask again later\n");
        return (StatusCode::SERVICE_UNAVAILABLE, message).into_response();
    };
    // The end of a list or object stands before the first byte: no comma is needed there.
    let (sender, mut chunks) = mpsc::channel(1);
    let out = Out { buffer: Vec::new(), sent: b'[', sender, _place: Some(place) };
    let writing = write(out);
    tokio::spawn(async move {
        // A reader that left, or was too slow, finds the answer cut short.
        let _read = tokio::time::timeout(WITHIN, writing).await;
    });
    let body = match (chunks.recv().await, chunks.recv().await) {
        (Some(Piece::Chunk(all)), Some(Piece::End)) => Body::from(all),
        (first, second) => {
            let begun = stream::iter([first, second]).filter_map(std::future::ready);
            // Fused: what compresses asks once more after the end.
            Body::from_stream(bytes(begun.chain(stream::unfold(chunks, next))).fuse())
        }
    };
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn next(mut chunks: mpsc::Receiver<Piece>) -> Option<(Piece, mpsc::Receiver<Piece>)> {
    Some((chunks.recv().await?, chunks))
}

/// The bytes of the pieces, and an error if there is no end to them: then the connection is broken off.
fn bytes(pieces: impl Stream<Item = Piece> + Send + 'static) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let cut = || io::Error::new(io::ErrorKind::TimedOut, "the listing was read too slowly and is cut short");
    stream::unfold(Some(Box::pin(pieces)), move |pieces| async move {
        let mut pieces = pieces?;
        match pieces.next().await {
            Some(Piece::Chunk(bytes)) => Some((Ok(bytes), Some(pieces))),
            Some(Piece::End) => None,
            None => Some((Err(cut()), None)),
        }
    })
}
