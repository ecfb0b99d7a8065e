//! The three ways in for frameworks: what they say is the same.

use std::net::SocketAddr;

use anyhow::{Context, anyhow, bail};
use lonja_proto::json;
use lonja_proto::lonja::refusal::Code;
use lonja_proto::lonja::{SchedulerRequest, SchedulerResponse, scheduler_response};
use lonja_proto::mesos::scheduler::{Call, Event};
use lonja_proto::recordio;
use prost::Message;

use super::http1::{Http1, Piece};
use super::http2::GrpcStream;
use super::socket::Socket;

/// The largest record, in bytes: all offers of a large cluster at once, in JSON.
const RECORD: usize = 256 << 20;

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DoorKind {
    /// One gRPC stream.
    Grpc,
    /// The v1 API over HTTP, in protobuf.
    HttpProtobuf,
    /// The v1 API over HTTP, in JSON.
    HttpJson,
}

impl DoorKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http-protobuf",
            Self::HttpJson => "http-json",
        }
    }

    fn content_type(self) -> &'static str {
        if self == Self::HttpJson { "application/json" } else { "application/x-protobuf" }
    }

    fn encode(self, call: &Call) -> Vec<u8> {
        if self == Self::HttpJson { json::encode(call) } else { call.encode_to_vec() }
    }

    fn decode(self, record: &[u8]) -> anyhow::Result<Event> {
        if self == Self::HttpJson {
            return json::decode(record).map_err(|error| anyhow!("the master's JSON: {error}"));
        }
        Event::decode(record).context("the master's protobuf")
    }
}

/// What became of calls.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answers {
    pub(super) taken: u64,
    /// Over the rate that the master allows.
    pub(super) limited: u64,
    /// Refused for another reason.
    pub(super) refused: u64,
}

impl Answers {
    pub(super) fn all(self) -> u64 {
        self.taken + self.limited + self.refused
    }
}

/// A framework's way to the master and back.
pub(super) enum Door {
    Grpc { stream: GrpcStream, calls: u64, count: bool },
    Http(Box<Http>),
}

/// Two connections, as libraries for Mesos have them: one for events, one for calls.
pub(super) struct Http {
    kind: DoorKind,
    events: Http1,
    status: u16,
    records: recordio::Decoder,
    calls: Http1,
    stream_id: String,
}

impl Door {
    /// `most`: calls over HTTP that may be unanswered at once. `count`: every call is to be answered, also over gRPC, where
    /// frameworks need not ask for that.
    pub(super) fn open(kind: DoorKind, master: SocketAddr, most: usize, count: bool) -> anyhow::Result<Self> {
        if kind == DoorKind::Grpc {
            let stream = GrpcStream::open(master, "/lonja.v1.Schedulers/Connect")?;
            return Ok(Self::Grpc { stream, calls: 0, count });
        }
        Ok(Self::Http(Box::new(Http {
            kind,
            events: Http1::connect(master, 1)?,
            status: 0,
            records: recordio::Decoder::new(RECORD),
            calls: Http1::connect(master, most)?,
            stream_id: String::new(),
        })))
    }

    pub(super) fn sockets(&self) -> Vec<&Socket> {
        match self {
            Self::Grpc { stream, .. } => vec![&stream.socket],
            Self::Http(http) => vec![&http.events.socket, &http.calls.socket],
        }
    }

    /// Puts a call in line.
    pub(super) fn call(&mut self, call: Call) {
        match self {
            Self::Grpc { stream, calls, count } => {
                *calls += 1;
                let id = if *count { *calls } else { 0 };
                stream.send(&SchedulerRequest { id, call: Some(call), unplaced: None });
            }
            Self::Http(http) => http.call(&call),
        }
    }

    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Grpc { stream, .. } => stream.flush(),
            Self::Http(http) => {
                http.events.flush()?;
                http.calls.flush()
            }
        }
    }

    /// Takes in what is there on one of its sockets.
    pub(super) fn receive(
        &mut self,
        socket: usize,
        scratch: &mut [u8],
        answers: &mut Answers,
        events: &mut Vec<Event>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Grpc { stream, .. } => {
                use scheduler_response::Message;
                stream.fill(scratch).context("a framework's stream")?;
                while let Some(SchedulerResponse { message: Some(message) }) = stream.next()? {
                    match message {
                        Message::Event(event) => events.push(event),
                        Message::Result(result) => match result.refusal {
                            None => answers.taken += 1,
                            Some(refusal) if refusal.code() == Code::RateLimited => answers.limited += 1,
                            Some(_) => answers.refused += 1,
                        },
                    }
                }
                Ok(())
            }
            Self::Http(http) if socket == 0 => http.events(scratch, events).context("a framework's stream"),
            Self::Http(http) => http.calls.receive(scratch, |piece| {
                if let Piece::Head { status, .. } = piece {
                    match status {
                        200..300 => answers.taken += 1,
                        429 => answers.limited += 1,
                        _ => answers.refused += 1,
                    }
                }
                Ok(())
            }),
        }
    }
}

impl Http {
    fn call(&mut self, call: &Call) {
        let (kind, body) = (self.kind.content_type(), self.kind.encode(call));
        let mut headers = format!("Content-Type: {kind}\r\nAccept: {kind}\r\n");
        let connection = if call.subscribe.is_some() {
            &mut self.events
        } else {
            headers.push_str(&format!("Mesos-Stream-Id: {}\r\n", self.stream_id));
            &mut self.calls
        };
        connection.request("POST /api/v1/scheduler", &headers, &body);
    }

    fn events(&mut self, scratch: &mut [u8], events: &mut Vec<Event>) -> anyhow::Result<()> {
        let (kind, status, records, id) =
            (self.kind, &mut self.status, &mut self.records, &mut self.stream_id);
        self.events.receive(scratch, |piece| {
            match piece {
                Piece::Head { status: code, stream_id } => {
                    *status = code;
                    *id = stream_id.unwrap_or_default().to_owned();
                }
                Piece::Body(bytes) if *status == 200 => records.push(bytes),
                Piece::Body(bytes) => bail!("status {status}: {}", String::from_utf8_lossy(bytes)),
                Piece::End => bail!("the master has ended the answer to SUBSCRIBE, status {status}"),
            }
            while let Some(record) = records.next_record()? {
                events.push(kind.decode(record)?);
            }
            Ok(())
        })
    }
}
