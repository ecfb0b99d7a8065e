//! `?jsonp=name`: JSON as a call of a function, for pages of other servers that can load nothing but scripts.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use futures::stream::{self, StreamExt};

use super::query::Query;
use super::reply;

/// The longest name of a function, in bytes.
const LONGEST: usize = 128;

/// Wraps what is asked for so.
pub(super) async fn wrap(request: Request, next: Next) -> Response {
    let name = Query::parse(request.uri().query().unwrap_or_default()).get("jsonp").map(str::to_owned);
    let Some(name) = name.filter(|_| request.method() == Method::GET) else { return next.run(request).await };
    if !is_function(&name) {
        return reply::bad_request(
            "jsonp must name a function: letters, digits, `_`, `.` and `$`, at most 128",
        );
    }
    let response = next.run(request).await;
    let json = HeaderValue::from_static("application/json");
    if response.status() != StatusCode::OK || response.headers().get(header::CONTENT_TYPE) != Some(&json) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript"));
    parts.headers.remove(header::CONTENT_LENGTH);
    let (begin, end) = (Bytes::from(format!("{name}(")), Bytes::from_static(b");"));
    let body = stream::iter([Ok(begin)]).chain(body.into_data_stream()).chain(stream::iter([Ok(end)]));
    Response::from_parts(parts, Body::from_stream(body))
}

fn is_function(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
    (1..=LONGEST).contains(&name.len()) && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_a_name_and_nothing_else() {
        for good in ["f", "a.b_c$1", "angular.callbacks._0"] {
            assert!(is_function(good), "{good}");
        }
        for bad in ["", "f()", "alert(1)//", "a b", "é", "<script>", &"x".repeat(129)] {
            assert!(!is_function(bad), "{bad}");
        }
    }
}
