//! `POST /api/v1/scheduler`: frameworks.
//!
//! SUBSCRIBE is answered by a stream of events; all other calls come by other connections, carry the id of that stream,
//! and are answered by a status. The statuses of Mesos say little: most calls that are understood are answered 202,
//! whatever comes of them. What the core says of one that it did not carry out goes along in the header
//! `Lonja-Refusal`.

use std::io;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::stream;
use lonja_model::FrameworkId;
use lonja_model::scheduler::{Call, Event, Refusal, RefusalCode};
use lonja_proto::convert;
use lonja_proto::convert::call::call_from_wire;
use lonja_proto::convert::event::event_to_wire;
use lonja_proto::convert::ids::framework_id_from_wire;
use lonja_proto::convert::resources::Shape;
use lonja_proto::media::Media;
use lonja_proto::mesos;
use lonja_proto::mesos::scheduler as wire;
use lonja_proto::mesos::scheduler::call::Type;
use tokio::sync::oneshot;

use super::problem::Problem;
use super::streams::Listed;
use super::{Door, receive, records};
use crate::api::bodies::Room;
use crate::connections::{ToFramework, Waiting};
use crate::handle::FrameworkStream;

const STREAM_ID: HeaderName = HeaderName::from_static("mesos-stream-id");

/// Why a call that was answered 202 was not carried out.
const REFUSAL: HeaderName = HeaderName::from_static("lonja-refusal");

/// The longest text of that header. In bytes.
const LONGEST_REFUSAL: usize = 1_024;

/// One call.
pub(super) async fn call(State(door): State<Door>, request: Request) -> Response {
    match take(&door, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn take(door: &Door, request: Request) -> Result<Response, Problem> {
    let read = |wire: wire::Call| {
        let kind = wire.r#type();
        let of_unknown = wire.framework_id.clone().filter(|_| kind == Type::Unknown);
        (kind, of_unknown, call_from_wire(wire))
    };
    let (headers, (kind, of_unknown, read), room) = receive::message(&door.bodies, request, read).await?;
    if let Some(framework) = of_unknown {
        return unknown(door, &headers, framework).await;
    }
    if kind == Type::Subscribe {
        return subscribe(door, &headers, read, room).await;
    }
    let (framework, call) = read.map_err(|refusal| Problem::bad_request(refusal.to_string()))?;
    if kind == Type::ReconcileOperations {
        receive::answer_form(&headers)?;
    }
    let stream = receive::text(&headers, STREAM_ID).and_then(|id| door.streams.find(id));
    let result = door.handle.call_aside(stream, framework, call, room).await;
    answer(kind, result)
}

/// A call of no known type. Mesos looks first whether the framework may call at all.
async fn unknown(
    door: &Door,
    headers: &HeaderMap,
    framework: mesos::FrameworkId,
) -> Result<Response, Problem> {
    let framework = framework_id_from_wire(framework)
        .map_err(|refusal| Problem::bad_request(format!("framework_id: {refusal}")))?;
    let stream = receive::text(headers, STREAM_ID).and_then(|id| door.streams.find(id));
    let may_call = door.handle.may_call(stream, framework).await;
    if may_call.is_err() {
        return answer(Type::Unknown, may_call);
    }
    let message = "type is missing or not known to this master; set it, for example ACCEPT";
    Err(Problem::new(StatusCode::NOT_IMPLEMENTED, message))
}

/// What is answered to a call that is understood.
fn answer(kind: Type, result: Result<(), Refusal>) -> Result<Response, Problem> {
    let Err(refusal) = result else {
        let done = if kind == Type::UpdateFramework { StatusCode::OK } else { StatusCode::ACCEPTED };
        return Ok(done.into_response());
    };
    let of_caller = matches!(refusal.field.as_deref(), Some("framework_id" | "stream"));
    match refusal.code {
        RefusalCode::NotSubscribed => Err(Problem::new(StatusCode::FORBIDDEN, refusal.message)),
        RefusalCode::RateLimited => Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, refusal.message)),
        RefusalCode::NotLeader => Err(Problem::stopped()),
        // Of an ACCEPT the other operations are carried out: who reads 501 would launch its tasks again.
        RefusalCode::Unsupported if kind != Type::Accept => {
            Err(Problem::new(StatusCode::NOT_IMPLEMENTED, refusal.message))
        }
        _ if of_caller || kind == Type::UpdateFramework => Err(Problem::bad_request(worded(&refusal))),
        // Accepted for processing, which ended already.
        _ => Ok((StatusCode::ACCEPTED, [(REFUSAL, header_text(&worded(&refusal)))]).into_response()),
    }
}

fn worded(refusal: &Refusal) -> String {
    match refusal.field.as_deref() {
        Some("stream" | "framework_id") | None => refusal.message.clone(),
        Some(field) => format!("{field}: {}", refusal.message),
    }
}

/// As much of a text as a header may hold.
fn header_text(text: &str) -> HeaderValue {
    let printable = text.chars().map(|each| if (' '..='~').contains(&each) { each } else { '?' });
    let text: String = printable.take(LONGEST_REFUSAL).collect();
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("refused"))
}

type Read = Result<(Option<FrameworkId>, Call), convert::Refusal>;

async fn subscribe(door: &Door, headers: &HeaderMap, read: Read, room: Room) -> Result<Response, Problem> {
    // Of what a framework says of itself Mesos complains on the stream.
    let read = match read {
        Err(refusal) if !is_about_the_framework(&refusal) => {
            return Err(Problem::bad_request(refusal.to_string()));
        }
        read => read,
    };
    let media = receive::answer_form(headers)?;
    if headers.contains_key(STREAM_ID) {
        let message = "Subscribe calls should not include the 'Mesos-Stream-Id' header";
        return Err(Problem::bad_request(message));
    }
    let (framework, call) = match read {
        Ok(read) => read,
        Err(refusal) => {
            let error = event_to_wire(&Event::Error(refusal.to_string()), Shape::FULL);
            let record = Ok(records::record(media, &error).into());
            return Ok(records::answer(media, stream::iter([record])));
        }
    };
    let Call::Subscribe { info, .. } = &call else {
        return Err(Problem::bad_request("type must be SUBSCRIBE"));
    };
    let shape = Shape::of(info);
    let FrameworkStream { id, queue, closed, .. } =
        door.handle.open_stream().await.map_err(|_| Problem::stopped())?;
    let (ended, gone) = oneshot::channel();
    let (handle, mut stop) = (door.handle.clone(), door.stop.clone());
    // From here on, whenever who subscribes leaves, the stream is closed.
    tokio::spawn(async move {
        tokio::select! {
            _ = gone => {}
            _ = closed => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        // The master has stopped, or is told now.
        let _told = handle.close_stream(id).await;
    });
    let listed = door.streams.list(id);
    let stream_id = HeaderValue::from_str(&listed.id.to_string());
    let events = Events { queue, media, shape, _ended: ended, _listed: listed };
    door.handle.call_with(id, framework, call, room).await.map_err(|_| Problem::stopped())?;

    let mut response = records::answer(media, stream::unfold(events, Events::record));
    if let Ok(stream_id) = stream_id {
        response.headers_mut().insert(STREAM_ID, stream_id);
    }
    Ok(response)
}

/// Whether a refused SUBSCRIBE was well formed, and only what it says of the framework is not possible.
fn is_about_the_framework(refusal: &convert::Refusal) -> bool {
    let missing = matches!(refusal.fault, convert::Fault::Missing);
    let parts = ["subscribe.framework_info.", "subscribe.suppressed_roles", "subscribe.offer_constraints"];
    !missing
        && !refusal.field.starts_with("subscribe.framework_info.id")
        && parts.iter().any(|part| refusal.field.starts_with(part))
}

/// What goes out on one stream.
struct Events {
    queue: tokio::sync::mpsc::Receiver<Waiting<ToFramework>>,
    media: Media,
    shape: Shape,
    /// Both are dropped with the body: the stream has ended, and its id names nothing any more.
    _ended: oneshot::Sender<()>,
    _listed: Listed,
}

impl Events {
    /// The next record, once there is one.
    async fn record(mut self) -> Option<(io::Result<Bytes>, Self)> {
        loop {
            match self.queue.recv().await?.message {
                ToFramework::Event(event) => {
                    let record = records::record(self.media, &event_to_wire(&event, self.shape));
                    return Some((Ok(Bytes::from(record)), self));
                }
                ToFramework::Described(info) => self.shape = Shape::of(&info),
                // A call by HTTP is answered by its status.
                ToFramework::Answer(..) => {}
            }
        }
    }
}
