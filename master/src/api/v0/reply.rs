//! Answers that are no listings, and what is asked wrongly.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use lonja_master_core::Snapshot;
use lonja_model::scheduler::{Refusal, RefusalCode};
use lonja_proto::convert;
use lonja_proto::json::JsonError;
use serde::Serialize;

use super::Door;
use crate::api::answers::{self, Unanswered};

/// An object without fields.
#[derive(Serialize)]
pub(super) struct Empty {}

/// The value as JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => json_text(body),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// What is JSON already.
pub(super) fn json_text(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The master has stopped.
pub(super) fn stopped() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the master has stopped\n").into_response()
}

/// What is told of a picture of the cluster, as a JSON text.
pub(super) async fn picture(
    door: &Door,
    make: impl FnOnce(&Snapshot) -> Vec<u8> + Send + 'static,
) -> Response {
    match door.answers.of_picture(&door.handle, make).await {
        Ok((text, place)) => {
            ([(header::CONTENT_TYPE, "application/json")], answers::body(text, place)).into_response()
        }
        Err(unanswered) => self::unanswered(&unanswered),
    }
}

/// The value as a JSON text; names are texts in all that is shown.
pub(super) fn text(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// There is no answer now.
pub(super) fn unanswered(unanswered: &Unanswered) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{unanswered}\n")).into_response()
}

/// What is asked is wrong in itself; to repeat it is no use.
pub(super) fn bad_request(message: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("{message}\n")).into_response()
}

/// A form leaves out what it has to name; in Mesos' words.
pub(super) fn missing(name: &str) -> Response {
    bad_request(&format!("Missing '{name}' query parameter in the request body"))
}

/// What the core says to a command. What it names and is not there is wrong too, as Mesos has it; `conflict` is said
/// where the command is ruled out by how things stand.
pub(super) fn done(result: Result<(), Refusal>, done: StatusCode, conflict: StatusCode) -> Response {
    let Err(refusal) = result else { return done.into_response() };
    let status = match refusal.code {
        RefusalCode::InvalidArgument | RefusalCode::NotFound => StatusCode::BAD_REQUEST,
        RefusalCode::Conflict | RefusalCode::NotSubscribed => conflict,
        RefusalCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        RefusalCode::NotLeader => StatusCode::SERVICE_UNAVAILABLE,
        RefusalCode::Unsupported => StatusCode::NOT_IMPLEMENTED,
    };
    let message = match &refusal.field {
        Some(field) if !refusal.message.starts_with(field.as_str()) => {
            format!("{field}: {}\n", refusal.message)
        }
        _ => format!("{}\n", refusal.message),
    };
    (status, message).into_response()
}

/// What was sent cannot be read.
pub(super) fn unreadable(what: &str, error: &JsonError) -> Response {
    bad_request(&format!("Failed to {what}: {error}"))
}

/// What was sent is well formed and cannot be; fields are named from within the message `call`.
pub(super) fn refused(mut refusal: convert::Refusal, call: &str) -> Response {
    if let Some(field) = refusal.field.strip_prefix(call) {
        refusal.field = field.trim_start_matches('.').to_owned();
    }
    done(Err(refusal.into()), StatusCode::BAD_REQUEST, StatusCode::BAD_REQUEST)
}
