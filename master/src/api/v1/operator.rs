//! `POST /api/v1`: operators.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use lonja_proto::media::Media;
use lonja_proto::mesos::master::call::Type;
use lonja_proto::mesos::master::{Call, Event};
use tonic::Code;

use super::problem::Problem;
use super::{Door, receive, records};
use crate::api::{operator, views};

/// One call.
pub(super) async fn call(State(door): State<Door>, request: Request) -> Response {
    match take(&door, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn take(door: &Door, request: Request) -> Result<Response, Problem> {
    let (headers, call): (HeaderMap, Call) = door.bodies.message(request).await?;
    let media = Media::of_answer(receive::text(&headers, header::ACCEPT))?;
    let kind = call.r#type();
    if kind == Type::Subscribe {
        return subscribe(door, media).await;
    }
    let answer = operator::answer(&door.handle, door.clock, call).await;
    let answer = answer.map_err(|status| Problem::new(status_of(kind, status.code()), status.message()))?;
    if is_accepted_for_later(kind) {
        return Ok(StatusCode::ACCEPTED.into_response());
    }
    if answer.r#type.is_none() {
        return Ok(StatusCode::OK.into_response());
    }
    let text = tokio::task::block_in_place(|| media.encode(&answer));
    Ok(([(header::CONTENT_TYPE, media.name())], text).into_response())
}

/// Everything as it stands, then every change, and a sign of life where there is none.
async fn subscribe(door: &Door, media: Media) -> Result<Response, Problem> {
    let events = operator::events(&door.handle, door.stop.clone()).await;
    let events = events.map_err(|status| Problem::new(StatusCode::SERVICE_UNAVAILABLE, status.message()))?;
    let lost = door.subscribers.add();
    // Mesos has a first sign of life follow at once.
    let mut heartbeat = Some(records::record(media, &views::heartbeat()));
    let records = events
        // One who fell behind is cut off: after a gap, what it believes would be wrong.
        .take_while(|event| std::future::ready(event.is_ok()))
        .filter_map(|event| std::future::ready(event.ok()))
        .flat_map(move |event: Event| {
            stream::iter([Some(records::record(media, &event)), heartbeat.take()].into_iter().flatten())
        });
    let records = stream::StreamExt::take_until(records, lost);
    Ok(records::answer(media, records))
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
