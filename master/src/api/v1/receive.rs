//! What a POST carries: a message in one of two forms, and the headers beside it.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use lonja_proto::media::Media;
use prost::{Message, Name};

use super::problem::Problem;
use crate::api::bodies::{Bodies, Fault, Room};
use crate::config::MAX_MESSAGE_BYTES;

/// JSON takes several times the room of the binary form.
const MAX_JSON_BYTES: usize = 4 * MAX_MESSAGE_BYTES;

/// A header that is text.
pub(super) fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("bytes that are no text"))
}

/// In which form the answer is to be.
pub(super) fn answer_form(headers: &HeaderMap) -> Result<Media, Problem> {
    let mut lines = headers.get_all(header::ACCEPT).iter();
    let first = lines.next().map(|line| line.to_str().unwrap_or_default());
    // Several lines are one list.
    let all = lines.fold(first.map(str::to_owned), |list, line| {
        list.map(|list| format!("{list}, {}", line.to_str().unwrap_or_default()))
    });
    Ok(Media::of_answer(all.as_deref())?)
}

/// The message that a POST carries, read by `read`, the headers beside it, and the room that it takes until the core
/// has taken it.
pub(super) async fn message<M, T>(
    bodies: &Bodies,
    request: Request,
    read: impl FnOnce(M) -> T + Send + 'static,
) -> Result<(HeaderMap, T, Room), Problem>
where
    M: Message + Name + Default,
    T: Send + 'static,
{
    let (head, body) = request.into_parts();
    if head.method != axum::http::Method::POST {
        return Err(Problem::post_only(&head.method));
    }
    let media = Media::of_body(text(&head.headers, header::CONTENT_TYPE))?;
    if let Some(coding) = text(&head.headers, header::CONTENT_ENCODING).filter(|coding| *coding != "identity")
    {
        let message = format!("Content-Encoding {coding:?} is not supported; send the body as it is");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let codings = text(&head.headers, header::TRANSFER_ENCODING);
    if let Some(codings) = codings.filter(|codings| !codings.trim().eq_ignore_ascii_case("chunked")) {
        let message = format!(
            "Transfer-Encoding {codings:?} is not supported; send the body chunked or with its length"
        );
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, message));
    }
    let most = match media {
        Media::Json => MAX_JSON_BYTES,
        Media::Protobuf => MAX_MESSAGE_BYTES,
    };
    let announced = text(&head.headers, header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let whole = bodies.receive(body, announced, most).await?;
    let (message, room) = bodies.read(whole, move |bytes| media.decode(bytes).map(read)).await?;
    Ok((head.headers, message?, room))
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::new(fault.status(), fault.to_string())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn several_lines_of_accept_are_one_list() {
        let mut headers = HeaderMap::new();
        assert_eq!(answer_form(&headers).ok(), Some(Media::Json));
        headers.append(header::ACCEPT, HeaderValue::from_static("text/html"));
        assert!(answer_form(&headers).is_err());
        headers.append(header::ACCEPT, HeaderValue::from_static("application/x-protobuf"));
        assert_eq!(answer_form(&headers).ok(), Some(Media::Protobuf));
    }
}
