//! In which form a request comes, and in which its answer is wanted: one message, or records one after the other.
//!
//! Source: Mesos, `process::http::Request::acceptsMediaType`, agent `Http::api`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use lonja_proto::media::accepts;

use super::refusal::Refusal;

pub(crate) use lonja_proto::media::Media;

const RECORDS: &str = "application/recordio";
const OF_RECORDS: HeaderName = HeaderName::from_static("message-content-type");
const RECORDS_WANTED: HeaderName = HeaderName::from_static("message-accept");

/// The form of a body: one message, or messages one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain(Media),
    Records(Media),
}

impl Form {
    /// The form of each message.
    pub(crate) fn media(self) -> Media {
        match self {
            Self::Plain(media) | Self::Records(media) => media,
        }
    }

    /// What the request's body is, by `Content-Type`. Errors: 400 if it is not said, 415 if it is none of these.
    pub(crate) fn of_request(headers: &HeaderMap) -> Result<Self, Refusal> {
        let said = text(headers, &header::CONTENT_TYPE);
        let inner = text(headers, &OF_RECORDS);
        let is_records = said.as_deref().is_some_and(|said| essence(said) == RECORDS);
        match (is_records, inner) {
            (true, None) => {
                Err(Refusal::bad("Expecting 'Message-Content-Type' to be set for streaming requests"))
            }
            (true, Some(inner)) => Media::of_body(Some(&inner)).map(Self::Records).map_err(|_| {
                unsupported("Expecting 'Message-Content-Type' of application/json or application/x-protobuf")
            }),
            (false, inner) => {
                let media = Media::of_body(said.as_deref())?;
                if inner.is_some() {
                    return Err(unsupported(
                        "Expecting 'Message-Content-Type' to be not set for non-streaming requests",
                    ));
                }
                Ok(Self::Plain(media))
            }
        }
    }

    /// What the answer is to be, by `Accept`. Errors: 406, none of these.
    pub(crate) fn wanted(headers: &HeaderMap) -> Result<Self, Refusal> {
        let accept = text(headers, &header::ACCEPT);
        let inner = text(headers, &RECORDS_WANTED);
        let takes_records = accept.as_deref().is_none_or(|accept| accepts(accept, RECORDS));
        match (Media::of_answer(accept.as_deref()), inner) {
            (Ok(media), None) => Ok(Self::Plain(media)),
            (Ok(_), Some(_)) if !takes_records => {
                Err(not_acceptable("Expecting 'Message-Accept' to be not set for non-streaming responses"))
            }
            (Err(error), _) if !takes_records => Err(error.into()),
            (_, inner) => Media::of_answer(inner.as_deref()).map(Self::Records).map_err(|_| {
                not_acceptable(
                    "Expecting 'Message-Accept' to allow application/json or application/x-protobuf",
                )
            }),
        }
    }

    /// The headers that say so.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        match self {
            Self::Plain(media) => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media.name()));
            }
            Self::Records(media) => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(RECORDS));
                headers.insert(OF_RECORDS, HeaderValue::from_static(media.name()));
            }
        }
    }
}

/// The form of a single message in the request. Errors: 400 if it is not said, 415 if it is another.
pub(crate) fn of_request(headers: &HeaderMap) -> Result<Media, Refusal> {
    Ok(Media::of_body(text(headers, &header::CONTENT_TYPE).as_deref())?)
}

/// The form of the answer; JSON where both will do. Errors: 406, neither will.
pub(crate) fn wanted(headers: &HeaderMap) -> Result<Media, Refusal> {
    Ok(Media::of_answer(text(headers, &header::ACCEPT).as_deref())?)
}

fn unsupported(said: &str) -> Refusal {
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, said)
}

fn not_acceptable(said: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_ACCEPTABLE, said)
}

/// A media type without its parameters.
fn essence(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

/// A header, of which several lines are one list; `None`: it is not there.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<&str> =
        headers.get_all(name).into_iter().map(|value| value.to_str().unwrap_or_default()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn status<T>(answer: Result<T, Refusal>) -> u16 {
        answer.err().map_or(200, |refusal| refusal.status().as_u16())
    }

    #[test]
    fn headers_in_several_lines_are_one_list() {
        let lines = [("accept", "text/html"), ("accept", "application/x-protobuf")];
        assert_eq!(wanted(&headers(&lines)).ok(), Some(Media::Protobuf));
        assert_eq!(status(of_request(&headers(&[]))), 400);
        assert_eq!(status(of_request(&headers(&[("content-type", "application/recordio")]))), 415);
    }

    #[test]
    fn records_are_announced_with_what_is_in_them() {
        let of = |lines: &[_]| Form::of_request(&headers(lines));
        let records = ("content-type", "application/recordio");
        let json = ("message-content-type", "application/json");
        assert_eq!(of(&[records, json]).ok(), Some(Form::Records(Media::Json)));
        assert_eq!(status(of(&[records])), 400);
        assert_eq!(status(of(&[records, ("message-content-type", "text/plain")])), 415);
        assert_eq!(status(of(&[("content-type", "application/json"), json])), 415);

        let wanted = |lines: &[_]| Form::wanted(&headers(lines));
        let records = ("accept", "application/recordio");
        assert_eq!(wanted(&[]).ok(), Some(Form::Plain(Media::Json)));
        assert_eq!(
            wanted(&[records, ("message-accept", "application/x-protobuf")]).ok(),
            Some(Form::Records(Media::Protobuf))
        );
        assert_eq!(wanted(&[records]).ok(), Some(Form::Records(Media::Json)), "any will do");
        assert_eq!(status(wanted(&[records, ("message-accept", "text/html")])), 406);
        assert_eq!(
            status(wanted(&[("accept", "application/json"), ("message-accept", "application/json")])),
            406
        );
        assert_eq!(status(wanted(&[("accept", "text/html")])), 406);
    }
}
