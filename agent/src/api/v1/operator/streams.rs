//! What goes to and fro between an operator and a container: records of `ProcessIO`.
//!
//! Source: Mesos agent, I/O switchboard; `Http::attachContainerInput`, `Http::attachContainerOutput`.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use futures::{Stream, StreamExt, stream};
use lonja_proto::convert::ids::duration_to_wire;
use lonja_proto::mesos::agent::{ProcessIo, process_io};
use lonja_proto::recordio;
use tokio::time::{Instant, interval_at};

use super::programs::Piece;
use crate::api::v1::media::{Form, Media};
use crate::api::v1::refusal::Refusal;
use crate::containerizer::OutputStream;

/// How often a stream says that it is still there. Source: Mesos, `--http_heartbeat_interval`.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// The longest record of input, in bytes.
const LONGEST_RECORD: usize = 1 << 20;

/// How long an operator may take to say which container it means.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// An answer of pieces of output as they come, with word from time to time that the agent is there.
pub(super) fn output(pieces: impl Stream<Item = Piece> + Send + 'static, form: Form) -> Response {
    let media = form.media();
    let beats = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    let state = (Box::pin(pieces), beats);
    let records = stream::unfold(state, move |(mut pieces, mut beats)| async move {
        let said = tokio::select! {
            biased;
            piece = pieces.next() => data(piece?),
            _ = beats.tick() => heartbeat(),
        };
        let record = Bytes::from(recordio::frame(&media.encode(&said)));
        Some((Ok::<_, Infallible>(record), (pieces, beats)))
    });
    let mut response = Response::new(Body::from_stream(records));
    form.write(response.headers_mut());
    response
}

fn data((stream, data): Piece) -> ProcessIo {
    let kind = match stream {
        OutputStream::Stdout => process_io::data::Type::Stdout,
        OutputStream::Stderr => process_io::data::Type::Stderr,
    };
    ProcessIo {
        r#type: Some(process_io::Type::Data.into()),
        data: Some(process_io::Data { r#type: Some(kind.into()), data: Some(data) }),
        ..Default::default()
    }
}

fn heartbeat() -> ProcessIo {
    let heartbeat = process_io::control::Heartbeat { interval: Some(duration_to_wire(HEARTBEAT)) };
    ProcessIo {
        r#type: Some(process_io::Type::Control.into()),
        control: Some(process_io::Control {
            r#type: Some(process_io::control::Type::Heartbeat.into()),
            heartbeat: Some(heartbeat),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The records of a request that goes on.
pub(super) struct Records {
    body: BodyDataStream,
    records: recordio::Decoder,
    media: Media,
}

impl Records {
    pub(super) fn new(body: Body, media: Media) -> Self {
        let records = recordio::Decoder::new(LONGEST_RECORD);
        Self { body: body.into_data_stream(), records, media }
    }

    /// The form of each record.
    pub(super) fn media(&self) -> Media {
        self.media
    }

    /// The first record, which has to come soon. Errors: 408, and as [`Self::next`].
    pub(super) async fn first(&mut self) -> Result<Vec<u8>, Refusal> {
        let late = || Refusal::new(StatusCode::REQUEST_TIMEOUT, "the first record did not come in time");
        let first = tokio::time::timeout(START_PATIENCE, self.next()).await.map_err(|_| late())??;
        first.ok_or_else(|| Refusal::bad("Expecting a record that names the container first"))
    }

    /// The next record; `None`: the request has ended. Errors: 400, it is no record, or is longer than any may be.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Refusal> {
        loop {
            match self.records.next_record() {
                Ok(Some(record)) => return Ok(Some(record.to_vec())),
                Ok(None) => {}
                Err(error) => return Err(Refusal::bad(format!("Failed to decode a record: {error}"))),
            }
            match self.body.next().await {
                Some(Ok(chunk)) => self.records.push(&chunk),
                Some(Err(_)) => return Err(Refusal::bad("the request breaks off")),
                None if self.records.is_between() => return Ok(None),
                None => return Err(Refusal::bad("the request ends within a record")),
            }
        }
    }
}
