//! JSON for pages of other servers: `?jsonp=name` makes an answer the call of a function of that name.
//!
//! Source: Mesos, `process::http::OK` with `jsonp`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};

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
        let before = Some(Bytes::from(format!("{function}(")));
        Body::new(Wrapped { before, body, after: Some(Bytes::from_static(b");")) })
    })
}

/// A body between two others. Its length is known where that of the body is, so that it is compressed as any other.
struct Wrapped {
    before: Option<Bytes>,
    body: Body,
    after: Option<Bytes>,
}

impl HttpBody for Wrapped {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(before) = self.before.take() {
            return Poll::Ready(Some(Ok(Frame::data(before))));
        }
        match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Poll::Ready(self.after.take().map(|after| Ok(Frame::data(after)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.after.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let around = [&self.before, &self.after].into_iter().flatten().map(|part| part.len() as u64);
        let (around, within): (u64, _) = (around.sum(), self.body.size_hint());
        let mut whole = SizeHint::new();
        whole.set_lower(within.lower() + around);
        if let Some(upper) = within.upper() {
            whole.set_upper(upper + around);
        }
        whole
    }
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
    !name.is_empty() && name.len() <= LONGEST && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_wrapped_has_a_length() {
        let before = Some(Bytes::from_static(b"f("));
        let after = Some(Bytes::from_static(b");"));
        let body = Body::new(Wrapped { before, body: Body::from("{}"), after });
        assert_eq!(body.size_hint().exact(), Some(6));
        assert_eq!(axum::body::to_bytes(body, 99).await.unwrap(), "f({});");
    }

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
