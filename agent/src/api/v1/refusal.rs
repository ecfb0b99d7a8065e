//! Answers that are not what was asked for: a status and a plain text, as Mesos gives them.

use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lonja_proto::media::MediaError;

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    said: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, said: impl Into<String>) -> Self {
        Self { status, said: said.into(), header: None }
    }

    /// 400: the request makes no sense.
    pub(crate) fn bad(said: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, said)
    }

    /// 401: it does not say who it comes from, in this realm.
    pub(crate) fn unauthenticated(realm: &'static str, said: impl Into<String>) -> Self {
        let challenge = HeaderValue::from_str(&format!("Bearer realm=\"{realm}\"")).ok();
        Self {
            header: challenge.map(|challenge| (header::WWW_AUTHENTICATE, challenge)),
            ..Self::new(StatusCode::UNAUTHORIZED, said)
        }
    }

    /// 405: only POST will do.
    pub(crate) fn only_post(method: &Method) -> Self {
        let said = format!("Expecting one of {{ 'POST' }}, but received '{method}'");
        Self {
            header: Some((header::ALLOW, HeaderValue::from_static("POST"))),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, said)
        }
    }

    /// 500: it went wrong here.
    pub(crate) fn internal(said: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, said)
    }

    /// 503: not now.
    pub(crate) fn unavailable(said: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, said)
    }

    /// 503: the agent still looks for its containers.
    pub(crate) fn recovering() -> Self {
        Self::unavailable("Agent has not finished recovery")
    }

    /// 503: the agent has stopped.
    pub(crate) fn stopped() -> Self {
        Self::unavailable("the agent has stopped")
    }

    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<MediaError> for Refusal {
    fn from(error: MediaError) -> Self {
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
        Self::new(status, error.message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.said).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
