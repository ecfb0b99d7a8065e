//! `POST /api/v1`: operators.

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use lonja_proto::media::Media;
use lonja_proto::mesos::master::call::Type;
use lonja_proto::mesos::master::event::Type as EventType;
use lonja_proto::mesos::master::{Call, Event};
use tonic::{Code, Status};

use super::problem::Problem;
use super::{Door, receive, records};
use crate::api::answers::{self, Unanswered};
use crate::api::operator::{Asked, asked};
use crate::api::views;

/// One call.
pub(super) async fn call(State(door): State<Door>, request: Request) -> Response {
    match take(&door, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn take(door: &Door, request: Request) -> Result<Response, Problem> {
    let read = |call: Call| (call.r#type(), asked(call));
    let (headers, (kind, asked), room) = receive::message(&door.bodies, request, read).await?;
    let media = receive::answer_form(&headers)?;
    let refused = |status: Status| Problem::new(status_of(kind, status.code()), status.message());
    match asked.map_err(refused)? {
        Asked::Shown(Type::Subscribe) => subscribe(door, media).await.map_err(refused),
        Asked::Shown(kind) => {
            let shown = door.operators.shown(kind, move |answer| media.encode(&answer)).await;
            let (text, place) = shown.map_err(refused)?;
            let body = match place {
                Some(place) => answers::body(text, place),
                None => Body::from(text),
            };
            Ok(([(header::CONTENT_TYPE, media.name())], body).into_response())
        }
        Asked::Done(command) => {
            door.operators.done(*command, Some(room)).await.map_err(refused)?;
            let later = is_accepted_for_later(kind);
            Ok(if later { StatusCode::ACCEPTED } else { StatusCode::OK }.into_response())
        }
    }
}

/// Everything as it stands, then every change, and a sign of life now and then.
async fn subscribe(door: &Door, media: Media) -> Result<Response, Status> {
    let (snapshot, events) = door.operators.events().await?;
    let first = move || records::record(media, &views::subscribed(&snapshot));
    let (first, place) = door.operators.answers.make(first).await.map_err(Unanswered::from)?;
    let record = move |event: &Event| Ok(Bytes::from(records::record(media, event)));
    // Mesos has a first sign of life follow at once.
    let begin = answers::pieces(first, place).chain(stream::iter([record(&views::heartbeat())]));
    // One who fell behind is cut off: after a gap, what it believes would be wrong.
    let changes = events.take_while(|event| std::future::ready(event.is_ok())).filter_map(move |event| {
        std::future::ready(event.ok().filter(|event| media == Media::Protobuf || is_of_mesos(event)))
    });
    Ok(records::answer(media, begin.chain(changes.map(move |event| record(&event)))))
}

/// Whether Mesos has such an event. In the binary form a program that has no name for a type reads it as UNKNOWN; in JSON it
/// finds a name that it does not know, and most give up.
fn is_of_mesos(event: &Event) -> bool {
    event.r#type.is_some_and(|kind| kind <= EventType::Heartbeat.into())
}

/// Calls of which the answer is that they are under way.
fn is_accepted_for_later(kind: Type) -> bool {
    matches!(
        kind,
        Type::ReserveResources
            | Type::UnreserveResources
            | Type::CreateVolumes
            | Type::DestroyVolumes
            | Type::GrowVolume
            | Type::ShrinkVolume
    )
}

/// Which status Mesos has for it.
fn status_of(kind: Type, code: Code) -> StatusCode {
    let conflicts = is_accepted_for_later(kind) || matches!(kind, Type::DrainAgent | Type::SetQuota);
    match code {
        Code::NotFound if matches!(kind, Type::MarkAgentGone | Type::ListFiles | Type::ReadFile) => {
            StatusCode::NOT_FOUND
        }
        Code::InvalidArgument | Code::NotFound => StatusCode::BAD_REQUEST,
        Code::FailedPrecondition if conflicts => StatusCode::CONFLICT,
        Code::FailedPrecondition => StatusCode::BAD_REQUEST,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_our_own_are_told_from_those_of_mesos() {
        let event = |kind: EventType| Event { r#type: Some(kind.into()), ..Event::default() };
        assert!(is_of_mesos(&event(EventType::TaskUpdated)) && is_of_mesos(&views::heartbeat()));
        assert!(
            !is_of_mesos(&event(EventType::QuotaUpdated))
                && !is_of_mesos(&event(EventType::OperationUpdated))
        );
    }
}
