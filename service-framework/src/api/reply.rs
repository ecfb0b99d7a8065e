//! Replies: JSON with the headers that all of them have.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lonja_services_core::Started;
use lonja_services_core::deployment::DeploymentId;
use serde_json::{Value, json};

use super::problem::Problem;
use crate::wire;

/// The header of each warning.
const WARNING: HeaderName = HeaderName::from_static("lonja-warning");

/// Clients have little room for headers.
const MAX_WARNINGS: usize = 20;

/// What a request comes to.
pub(crate) type Outcome = Result<Response, Problem>;

/// 200 with this JSON.
pub(crate) fn ok(value: &Value) -> Response {
    with_status(StatusCode::OK, value)
}

/// This JSON, with a status.
pub(crate) fn with_status(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// Nothing but a status.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Text.
pub(crate) fn text(kind: &'static str, text: String) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// A change that was begun: its version and its deployment.
pub(crate) fn started(status: StatusCode, started: &Started) -> Response {
    let body = json!({
        "version": wire::version(started.version),
        "deploymentId": started.deployment.as_str(),
    });
    with_deployment(with_status(status, &body), &started.deployment)
}

/// With the deployment that the request began.
pub(crate) fn with_deployment(mut response: Response, deployment: &DeploymentId) -> Response {
    put(response.headers_mut(), "marathon-deployment-id", deployment.as_str());
    response
}

/// With where the new thing is.
pub(crate) fn with_location(mut response: Response, location: &str) -> Response {
    put(response.headers_mut(), "location", location);
    response
}

/// With what was taken without effect, a header each. Lonja's own.
pub(crate) fn with_warnings(mut response: Response, warnings: &[String]) -> Response {
    let headers = response.headers_mut();
    let words = warnings.iter().take(MAX_WARNINGS).filter_map(|words| HeaderValue::from_str(words).ok());
    for words in words {
        headers.append(WARNING, words);
    }
    if warnings.len() > MAX_WARNINGS {
        headers.append(WARNING, HeaderValue::from_static("there are more: /v2/apps/{id}/explain has them"));
    }
    response
}

/// Sets a header; a value that no header can have is left out.
pub(crate) fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// The headers of every reply.
pub(crate) fn common(headers: &mut HeaderMap, leader: &str) {
    let fixed = [
        ("cache-control", "no-cache, no-store, must-revalidate"),
        ("pragma", "no-cache"),
        ("expires", "0"),
        ("x-frame-options", "DENY"),
        ("x-xss-protection", "1; mode=block"),
        ("x-content-type-options", "nosniff"),
    ];
    for (name, value) in fixed {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    put(headers, "x-marathon-leader", leader);
}

/// Does an `Accept` header allow this kind? None: all are taken. What is given quality 0 is not.
pub(crate) fn accepts(accept: Option<&str>, kind: &str) -> bool {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else { return true };
    let family = kind.split_once('/').map_or(kind, |(family, _)| family);
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().unwrap_or_default();
        let refused = parts.any(|part| {
            let quality = part.strip_prefix("q=").and_then(|quality| quality.parse::<f32>().ok());
            quality.is_some_and(|quality| quality <= 0.0)
        });
        let matches = named.eq_ignore_ascii_case(kind)
            || named == "*/*"
            || named == "*"
            || named.strip_suffix("/*").is_some_and(|named| named.eq_ignore_ascii_case(family));
        matches && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accept_header_allows_what_it_names_and_its_families() {
        let json = "application/json";
        for accept in ["*/*", "application/*", "text/html, application/json;q=0.5", "APPLICATION/JSON", ""] {
            assert!(accepts(Some(accept), json), "{accept}");
        }
        assert!(accepts(None, json));
        for accept in ["text/plain", "application/json;q=0", "text/*"] {
            assert!(!accepts(Some(accept), json), "{accept}");
        }
        assert!(!accepts(Some("application/json"), "text/event-stream"));
    }
}
