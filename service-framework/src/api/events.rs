//! `/v2/events`: the stream of events over HTTP.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use futures::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::problem::Problem;
use super::query::Query;
use super::reply::{self, Outcome};
use super::{Api, serve};
use crate::events::{Listener, json};

/// How long a listener hears nothing at most.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The most types of events that one may ask for.
const MAX_TYPES: usize = 100;

struct Listening {
    listener: Listener,
    wanted: BTreeSet<String>,
    heartbeat: Interval,
    _one: OwnedSemaphorePermit,
}

/// Begins a stream of the events that are asked for.
pub(super) fn stream(api: &Api, request: &Request) -> Outcome {
    if request.method() != Method::GET {
        return Err(Problem::Method("GET"));
    }
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_none() || !reply::accepts(accept, "text/event-stream") {
        return Err(Problem::NotAStream);
    }
    let one = Arc::clone(&api.streams).try_acquire_owned().map_err(|_| Problem::Busy)?;
    let query = Query::of(request.uri().query());
    let wanted = query.all("event_type").filter(|kind| !kind.is_empty()).take(MAX_TYPES).map(str::to_owned);
    let from = serve::from(request.extensions());
    let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let wanted = wanted.collect();
    let listening = Listening { listener: api.hub.listen(from.ip()), wanted, heartbeat, _one: one };
    let body = stream::unfold(listening, |mut listening| async move {
        let bytes = listening.next().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(bytes), listening))
    });
    let response = Response::builder()
        .status(StatusCode::OK)
        .header(header::CONTENT_TYPE, "text/event-stream")
        .body(Body::from_stream(body));
    response.map_err(|error| Problem::NoAnswer(error.to_string()))
}

impl Listening {
    /// What is sent next. None: the stream ends.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let (kind, frame) = tokio::select! {
                event = self.listener.next() => event?,
                _ = self.heartbeat.tick() => return Some(Bytes::from_static(b"\r\n")),
            };
            if self.wants(kind) {
                return Some(frame);
            }
        }
    }

    fn wants(&self, kind: &str) -> bool {
        if self.wanted.is_empty() { kind != json::OWN } else { self.wanted.contains(kind) }
    }
}
