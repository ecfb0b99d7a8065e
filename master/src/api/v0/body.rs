//! What comes with a POST or a PUT: bounded in bytes, in time, and over all who send at once.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;

use super::query::Query;
use super::{Door, reply};
use crate::config::MAX_MESSAGE_BYTES;

/// What all bodies that are being read come to, in bytes.
pub(super) const MAX_BODIES_BYTES: usize = 16 * MAX_MESSAGE_BYTES;

/// How long a body may take to come.
const WITHIN: Duration = Duration::from_secs(30);

/// The body, with its place among those that are being read.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    _place: OwnedSemaphorePermit,
}

impl FromRequest<Door> for Whole {
    type Rejection = Response;

    async fn from_request(request: Request, door: &Door) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let said =
            parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let length: usize = said.unwrap_or(MAX_MESSAGE_BYTES);
        if length > MAX_MESSAGE_BYTES {
            return Err(too_large());
        }
        let permits = u32::try_from(length).unwrap_or(u32::MAX);
        let Ok(place) = door.bodies.clone().try_acquire_many_owned(permits) else {
            let message = "too much is being sent to this master at once; ask again later\n";
            return Err((StatusCode::SERVICE_UNAVAILABLE, message).into_response());
        };
        let bytes = tokio::time::timeout(WITHIN, read(body)).await;
        let bytes = bytes.map_err(|_| {
            let message = format!("the body took over {} seconds to come\n", WITHIN.as_secs());
            (StatusCode::REQUEST_TIMEOUT, message).into_response()
        })??;
        Ok(Self { bytes, _place: place })
    }
}

async fn read(body: Body) -> Result<Bytes, Response> {
    // What fails here is too long, or its sender has left and reads no answer.
    axum::body::to_bytes(body, MAX_MESSAGE_BYTES).await.map_err(|_| too_large())
}

fn too_large() -> Response {
    let message = format!("the body has over {MAX_MESSAGE_BYTES} bytes; send less at once\n");
    (StatusCode::PAYLOAD_TOO_LARGE, message).into_response()
}

/// A form: names and values, written as after a `?`.
pub(super) struct Form(Query);

impl FromRequest<Door> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, door: &Door) -> Result<Self, Response> {
        let body = Whole::from_request(request, door).await?;
        let Ok(text) = std::str::from_utf8(&body.bytes) else {
            return Err(reply::bad_request("the form is no UTF-8 text"));
        };
        Ok(Self(Query::parse(text)))
    }
}

impl Form {
    /// The value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }
}
