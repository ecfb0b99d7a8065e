//! JSON for pages of other servers: `?jsonp=name` makes an answer the call of a function of that name.
//!
//! Source: Mesos, `process::http::OK` with `jsonp`.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, stream};

use super::query;
use super::v1::refusal::Refusal;

/// The longest name of a function.
const LONGEST: usize = 128;

/// Wraps an answer in JSON, where that is asked for.
pub(super) async fn wrap(request: Request, next: Next) -> Response {
    let asked = request.uri().query().filter(|asked| asked.contains("jsonp"));
    let function =
        asked.and_then(|asked| query::parse(asked).ok()).and_then(|mut fields| fields.remove("jsonp"));
    let Some(function) = function else { return next.run(request).await };
    if !is_name(&function) {
        let said = "jsonp: must be the name of a function: letters, digits, '_', '.' and '$'";
        return Refusal::bad(said).into_response();
    }
    let mut response = next.run(request).await;
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if !is_json {
        return response;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript"));
    headers.remove(header::CONTENT_LENGTH);
    response.map(|body| {
        let before = stream::iter([Ok(Bytes::from(format!("{function}(")))]);
        let after = stream::iter([Ok(Bytes::from_static(b");"))]);
        Body::from_stream(before.chain(body.into_data_stream().into_stream()).chain(after))
    })
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
    !name.is_empty() && name.len() <= LONGEST && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_functions_are_put_into_answers() {
        for name in ["f", "jQuery123_4", "$.done", "angular.callbacks._0"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "f(", "<script>", "f;g", "ä", &"x".repeat(129)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
