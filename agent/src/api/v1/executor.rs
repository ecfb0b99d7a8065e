//! `POST /api/v1/executor`: executors of frameworks' own, by Mesos' HTTP API.
//!
//! SUBSCRIBE is answered with a stream of records, every other call with 202, in the order in which they were sent one
//! after the other. What may be said when is the core's to know ([`lonja_agent_core::Caller`]); this only decodes and
//! encodes. The same routes are served at the executors' socket.
//!
//! Who comes shows the token from its environment as `Authorization: Bearer TOKEN`. An executor that was written for a
//! Mesos whose agents ask for none knows nothing of that: unless `--authenticate-http-executors` is set it is let in by its
//! ids alone, but from this host only, and for no executor that has shown its token before.
//!
//! Source: Mesos v1 executor API; agent `Http::executor`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures::{Stream, StreamExt};
use lonja_agent_core::{CallRefusal, Caller};
use lonja_model::ContainerId;
use lonja_model::execution::Event;
use lonja_proto::convert::execution::{execution_call_from_wire, execution_event_to_wire};
use lonja_proto::limits::EXECUTOR_MESSAGE_BYTES;
use lonja_proto::mesos::executor as wire;
use lonja_proto::recordio;
use lonja_serve::Ends;
use tokio::sync::Semaphore;
use tonic::Code;

use super::bodies::{Bodies, Room};
use super::media::{self, Media};
use super::refusal::Refusal;
use crate::executors::{Door, NoStream, Outgoing, Presence};
use crate::handle::Heard;

/// How often a subscribed executor hears that its agent is there. Source: Mesos, `DEFAULT_EXECUTOR_HEARTBEAT_INTERVAL`.
const HEARTBEAT: Duration = Duration::from_secs(30 * 60);

const REALM: &str = "mesos-agent-executor";

/// Calls that the agent judges at once; others wait.
const MOST_CALLS: usize = 256;

/// Calls that are decoded beside the runtime's other work, in bytes.
const LARGE: usize = 64 << 10;

/// The longest call of somebody who shows no token, in bytes. It may be anybody on this host.
const LONGEST_OF_STRANGER: usize = 4 << 20;

/// Bytes of calls under way at once: of those who showed a token, and of those who did not. Neither takes from the other.
const ROOM: usize = 256 << 20;
const ROOM_OF_STRANGERS: usize = 32 << 20;

/// The routes. They may be served at several places: what is bounded is bounded over all of them.
pub(crate) fn router(door: Door) -> Router {
    let state = Executor {
        door,
        bodies: Bodies::new(ROOM),
        of_strangers: Bodies::new(ROOM_OF_STRANGERS),
        calls: Arc::new(Semaphore::new(MOST_CALLS)),
    };
    Router::new()
        .route("/api/v1/executor", any(call))
        .route("/slave(1)/api/v1/executor", any(call))
        .route("/slave%281%29/api/v1/executor", any(call))
        .with_state(state)
}

#[derive(Clone)]
struct Executor {
    door: Door,
    bodies: Bodies,
    of_strangers: Bodies,
    calls: Arc<Semaphore>,
}

/// Whom a request comes from, as far as it proves that.
struct Proof {
    container: Option<ContainerId>,
    /// The connection, if it came over the executors' socket.
    over: Option<Arc<Presence>>,
}

async fn call(State(executor): State<Executor>, request: Request<Body>) -> Result<Response, Refusal> {
    let proof = executor.let_in(&request)?;
    let door = &executor.door;
    if !door.handle().has_recovered() {
        return Err(Refusal::recovering());
    }
    if request.method() != Method::POST {
        return Err(Refusal::only_post(request.method()));
    }
    let media = media::of_request(request.headers())?;
    let (head, body) = request.into_parts();
    // Held until the call is answered, for what it was decoded to is.
    let (call, _room) = executor.decode(proof.container.is_some(), media, body).await?;
    let is_unknown = call.r#type == Some(wire::call::Type::Unknown.into());
    let (framework, named, call) = execution_call_from_wire(call).map_err(|refusal| match is_unknown {
        true => not_implemented(),
        false => Refusal::bad(format!("Failed to validate executor::Call: {refusal}")),
    })?;
    let wanted = media::wanted(&head.headers)?;
    let caller = Caller { framework, executor: named, container: proof.container };
    // Who comes when many speak waits: what is refused here would be said again only after a new subscription.
    let speaks = executor.calls.acquire().await.map_err(|_| Refusal::stopped())?;
    let heard = door.handle().executor_says(caller, Box::new(call)).await.map_err(|_| Refusal::stopped())?;
    drop(speaks);
    let heard = heard.map_err(refused)?;
    if let Some(over) = &proof.over {
        over.keep();
    }
    match heard {
        Heard::Taken(container) => {
            // Who speaks too fast hears late that it was heard.
            door.executors().pause(&container).await;
            Ok(StatusCode::ACCEPTED.into_response())
        }
        Heard::Subscribes(container, call) => {
            let events = door.subscribe(container, call, proof.over).await.map_err(no_stream)?;
            let body = Body::from_stream(records(events, wanted));
            Ok(([(header::CONTENT_TYPE, wanted.name())], body).into_response())
        }
    }
}

impl Executor {
    /// Whom it comes from. Errors: 401.
    fn let_in(&self, request: &Request<Body>) -> Result<Proof, Refusal> {
        let over = request.extensions().get::<Arc<Presence>>().cloned();
        let token = token(request.headers());
        if let Some(token) = token {
            let container = self.door.executors().container_of(token);
            let container = container.ok_or_else(|| unauthenticated("the token is none of this agent's"))?;
            return Ok(Proof { container: Some(container), over });
        }
        let place = request.extensions().get::<Ends>();
        let is_here = place.is_some_and(|place| is_here(place.local, place.remote));
        if self.door.executors().authenticates() || !is_here {
            return Err(unauthenticated(
                "show the token from MESOS_EXECUTOR_AUTHENTICATION_TOKEN as 'Authorization: Bearer TOKEN'",
            ));
        }
        Ok(Proof { container: None, over })
    }

    /// Reads a call, and what keeps its room.
    async fn decode(&self, is_proved: bool, media: Media, body: Body) -> Result<(wire::Call, Room), Refusal> {
        let whole = match is_proved {
            true => self.bodies.read(body, EXECUTOR_MESSAGE_BYTES).await?,
            false => self.of_strangers.read(body, LONGEST_OF_STRANGER).await?,
        };
        let is_large = whole.bytes().len() >= LARGE;
        let decode = move || Ok((media.decode(whole.bytes())?, whole.into_room()));
        if !is_large {
            return decode();
        }
        tokio::task::spawn_blocking(decode).await.map_err(|_| Refusal::stopped())?
    }
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    given.strip_prefix("Bearer ").map(str::trim)
}

/// Does somebody on this very host connect? Then both ends have the same address, or that of the loopback.
fn is_here(own: SocketAddr, other: SocketAddr) -> bool {
    let (own, other) = (own.ip().to_canonical(), other.ip().to_canonical());
    other.is_loopback() || own == other
}

fn unauthenticated(said: &str) -> Refusal {
    Refusal::unauthenticated(REALM, said)
}

fn not_implemented() -> Refusal {
    Refusal::new(StatusCode::NOT_IMPLEMENTED, "UNKNOWN: there is no such call")
}

fn refused(refusal: CallRefusal) -> Refusal {
    match &refusal {
        CallRefusal::NoFramework | CallRefusal::NoExecutor => Refusal::bad(refusal.to_string()),
        CallRefusal::Invalid(why) => Refusal::bad(format!("Failed to validate executor::Call: {why}")),
        CallRefusal::Another(_) | CallRefusal::NotSubscribed => {
            Refusal::new(StatusCode::FORBIDDEN, refusal.to_string())
        }
        CallRefusal::Unproved(_) => unauthenticated(&refusal.to_string()),
    }
}

fn no_stream(why: NoStream) -> Refusal {
    match why {
        NoStream::TooMany => {
            Refusal::unavailable("this executor has too many streams already; end one of them first")
        }
        NoStream::Stopped => Refusal::stopped(),
    }
}

/// What an executor is told, record by record, until the connection is ended.
fn records(
    events: Outgoing,
    media: Media,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    let beats = tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
    futures::stream::unfold((Some(events), beats), move |(events, mut beats)| async move {
        let mut events = events?;
        let (event, goes_on) = tokio::select! {
            biased;
            next = events.next() => match next {
                Some(Ok(event)) => (Some(event), true),
                Some(Err(status)) => (last_word(status.code(), status.message()), false),
                None => (None, false),
            },
            _ = beats.tick() => (Some(execution_event_to_wire(&Event::Heartbeat)), true),
        };
        let record = recordio::frame(&media.encode(&event?));
        Some((Ok(Bytes::from(record)), (goes_on.then_some(events), beats)))
    })
}

/// What an executor of Mesos is told before its connection is ended, if anything: one that is over is to end, one that made
/// no sense is told so; any other comes again.
fn last_word(code: Code, said: &str) -> Option<wire::Event> {
    let event = if code == Code::PermissionDenied {
        Event::Shutdown
    } else if code == Code::InvalidArgument {
        Event::Error(said.to_owned())
    } else {
        return None;
    };
    Some(execution_event_to_wire(&event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_on_this_host_is_told_from_who_is_not() {
        let at = |text: &str| text.parse().unwrap();
        assert!(is_here(at("127.0.0.1:5051"), at("127.0.0.1:4")));
        assert!(is_here(at("10.0.0.2:5051"), at("10.0.0.2:4")));
        assert!(is_here(at("[::ffff:10.0.0.2]:5051"), at("10.0.0.2:4")));
        assert!(!is_here(at("10.0.0.2:5051"), at("10.0.0.3:4")));
    }

    #[tokio::test]
    async fn who_shows_no_token_is_read_within_far_narrower_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let executors = crate::executors::Executors::open(folder.path(), Default::default(), here).unwrap();
        let (inbox, _driver) = tokio::sync::mpsc::channel(1);
        let (_asks, stop) = tokio::sync::watch::channel(false);
        let executor = Executor {
            door: Door::new(Arc::new(executors), crate::Handle::new(inbox), stop),
            bodies: Bodies::new(ROOM),
            of_strangers: Bodies::new(ROOM_OF_STRANGERS),
            calls: Arc::new(Semaphore::new(1)),
        };
        let call = r#"{"type":"HEARTBEAT","executor_id":{"value":"e"},"framework_id":{"value":"f"}}"#;
        let mut longer = call.as_bytes().to_vec();
        longer.resize(LONGEST_OF_STRANGER + 1, b' ');
        let refused = executor.decode(false, Media::Json, Body::from(longer.clone())).await.err().unwrap();
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert!(executor.decode(false, Media::Json, Body::from(longer[..99].to_vec())).await.is_ok());
        assert!(executor.decode(true, Media::Json, Body::from(longer)).await.is_ok());
    }

    #[test]
    fn the_end_of_a_stream_says_what_an_executor_of_mesos_understands() {
        let kind = |code| last_word(code, "x").map(|event| event.r#type());
        assert_eq!(kind(Code::PermissionDenied), Some(wire::event::Type::Shutdown));
        assert_eq!(kind(Code::InvalidArgument), Some(wire::event::Type::Error));
        for silent in [Code::Aborted, Code::ResourceExhausted, Code::Unavailable] {
            assert_eq!(kind(silent), None);
        }
    }
}
