//! What comes with a POST or a PUT.

use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use lonja_master_core::OperatorCommand;

use super::query::Query;
use super::{Door, reply};
use crate::api::bodies::{self, Fault};
use crate::config::MAX_MESSAGE_BYTES;

/// The body of a request.
pub(super) struct Whole(bodies::Whole);

impl FromRequest<Door> for Whole {
    type Rejection = Response;

    async fn from_request(request: Request, door: &Door) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let announced =
            parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let whole = door.bodies.receive(body, announced, MAX_MESSAGE_BYTES).await;
        whole.map(Self).map_err(Fault::into_response)
    }
}

impl Whole {
    /// Carries out the command that `read` finds in it; `conflict` is answered where it is ruled out by how things
    /// stand.
    pub(super) async fn command(
        self,
        door: &Door,
        conflict: StatusCode,
        read: impl FnOnce(&[u8]) -> Result<OperatorCommand, Box<Response>> + Send + 'static,
    ) -> Response {
        match door.bodies.read(self.0, read).await {
            Ok((Ok(command), room)) => {
                // Those that change resources are under way once they are taken.
                let done = match command {
                    OperatorCommand::Convert { .. } => StatusCode::ACCEPTED,
                    _ => StatusCode::OK,
                };
                reply::done(door.handle.command(command, Some(room)).await, done, conflict)
            }
            Ok((Err(refused), _)) => *refused,
            Err(fault) => fault.into_response(),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        (self.status(), format!("{self}\n")).into_response()
    }
}

/// A form: names and values, written as after a `?`.
pub(super) fn form(bytes: &[u8]) -> Result<Query, Box<Response>> {
    let text = std::str::from_utf8(bytes).map_err(|_| reply::bad_request("the form is no UTF-8 text"))?;
    Ok(Query::parse(text))
}
