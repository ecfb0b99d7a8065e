//! In which form a request comes, and in which its answer is wanted.
//!
//! Source: Mesos, `process::http::Request::acceptsMediaType`, agent `Http::executor` and `Http::api`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use lonja_proto::json;
use prost::{Message, Name};

use super::refusal::Refusal;

const RECORDS: &str = "application/recordio";
const OF_RECORDS: HeaderName = HeaderName::from_static("message-content-type");
const RECORDS_WANTED: HeaderName = HeaderName::from_static("message-accept");

/// The form of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    Protobuf,
}

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
        let said = headers.get(header::CONTENT_TYPE);
        let said = said.ok_or_else(|| Refusal::bad("Expecting 'Content-Type' to be present"))?;
        let inner = headers.get(OF_RECORDS);
        let unknown = |expected: &str| {
            let said = format!("Expecting 'Content-Type' of {expected}");
            Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, said)
        };
        match (bare(said), inner) {
            (RECORDS, None) => {
                Err(Refusal::bad("Expecting 'Message-Content-Type' to be set for streaming requests"))
            }
            (RECORDS, Some(inner)) => Media::named(bare(inner)).map(Self::Records).ok_or_else(|| {
                let said = "Expecting 'Message-Content-Type' of application/json or application/x-protobuf";
                Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, said)
            }),
            (plain, inner) => {
                let media = Media::named(plain).ok_or_else(|| {
                    unknown("application/json, application/x-protobuf or application/recordio")
                })?;
                if inner.is_some() {
                    let said = "Expecting 'Message-Content-Type' to be not set for non-streaming requests";
                    return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, said));
                }
                Ok(Self::Plain(media))
            }
        }
    }

    /// What the answer is to be, by `Accept`. Errors: 406, none of these.
    pub(crate) fn wanted(headers: &HeaderMap) -> Result<Self, Refusal> {
        let inner_is_said = headers.contains_key(RECORDS_WANTED);
        if let Some(media) = Media::of(headers, &header::ACCEPT) {
            if inner_is_said && !takes(headers, &header::ACCEPT, RECORDS) {
                return Err(not_acceptable(
                    "Expecting 'Message-Accept' to be not set for non-streaming responses",
                ));
            }
            if !inner_is_said || !names(headers, &header::ACCEPT, RECORDS) {
                return Ok(Self::Plain(media));
            }
        }
        if takes(headers, &header::ACCEPT, RECORDS) {
            return Media::of(headers, &RECORDS_WANTED).map(Self::Records).ok_or_else(|| {
                not_acceptable(
                    "Expecting 'Message-Accept' to allow application/json or application/x-protobuf",
                )
            });
        }
        Err(not_acceptable(
            "Expecting 'Accept' to allow application/json, application/x-protobuf or application/recordio",
        ))
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

fn not_acceptable(said: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_ACCEPTABLE, said)
}

impl Media {
    /// Its name, without any parameter: some clients compare it letter by letter.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Json, Self::Protobuf].into_iter().find(|media| media.name() == name)
    }

    /// The form of a single message in the request. Errors: 400 if it is not said, 415 if it is another.
    pub(crate) fn of_request(headers: &HeaderMap) -> Result<Self, Refusal> {
        let other = || {
            let said = "Expecting 'Content-Type' of application/json or application/x-protobuf";
            Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, said)
        };
        let said = headers.get(header::CONTENT_TYPE);
        let said = said.ok_or_else(|| Refusal::bad("Expecting 'Content-Type' to be present"))?;
        Self::named(bare(said)).ok_or_else(other)
    }

    /// The form of the answer; JSON where both will do. Errors: 406, neither will.
    pub(crate) fn wanted(headers: &HeaderMap) -> Result<Self, Refusal> {
        Self::of(headers, &header::ACCEPT).ok_or_else(|| {
            not_acceptable("Expecting 'Accept' to allow application/json or application/x-protobuf")
        })
    }

    fn of(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        [Self::Json, Self::Protobuf].into_iter().find(|media| takes(headers, name, media.name()))
    }

    /// A message of this form. Errors: 400, with the field.
    pub(crate) fn decode<M: Message + Name + Default>(self, body: &[u8]) -> Result<M, Refusal> {
        let name = M::NAME;
        match self {
            Self::Json => json::decode(body).map_err(|error| {
                Refusal::bad(format!("Failed to convert JSON into {name} protobuf: {error}"))
            }),
            Self::Protobuf => M::decode(body)
                .map_err(|error| Refusal::bad(format!("Failed to parse body into {name} protobuf: {error}"))),
        }
    }

    /// The message in this form.
    pub(crate) fn encode<M: Message + Name>(self, message: &M) -> Vec<u8> {
        match self {
            Self::Json => json::encode(message),
            Self::Protobuf => message.encode_to_vec(),
        }
    }
}

/// A media type without its parameters; what is no text is no type.
fn bare(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

/// The types that a header lists, but those it rules out.
fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let patterns = values.flat_map(|value| value.split(','));
    patterns.filter_map(|pattern| {
        let mut parts = pattern.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let is_ruled_out =
            parts.any(|part| part.strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0_f32)));
        (!kind.is_empty() && !is_ruled_out).then_some(kind)
    })
}

/// Does the header take this type? A header that is not there takes any.
fn takes(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    if !headers.contains_key(name) {
        return true;
    }
    listed(headers, name).any(|pattern| match pattern.strip_suffix("/*") {
        Some("*") => true,
        Some(family) => wanted.strip_prefix(family).is_some_and(|rest| rest.starts_with('/')),
        None => pattern.eq_ignore_ascii_case(wanted),
    })
}

/// Does the header name this very type?
fn names(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    listed(headers, name).any(|pattern| pattern.eq_ignore_ascii_case(wanted))
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
    fn a_request_says_what_it_is_or_is_refused_by_the_book() {
        let of = |lines: &[_]| Media::of_request(&headers(lines));
        assert_eq!(of(&[("content-type", "application/json")]).ok(), Some(Media::Json));
        assert_eq!(of(&[("content-type", "application/json; charset=utf-8")]).ok(), Some(Media::Json));
        assert_eq!(of(&[("content-type", "application/x-protobuf")]).ok(), Some(Media::Protobuf));
        assert_eq!(status(of(&[])), 400);
        assert_eq!(status(of(&[("content-type", "text/plain")])), 415);
        assert_eq!(
            status(of(&[("content-type", "Application/JSON")])),
            415,
            "it is compared letter by letter"
        );
    }

    #[test]
    fn json_wins_where_both_will_do_and_protobuf_comes_next() {
        let table = [
            (None, Some(Media::Json)),
            (Some("*/*"), Some(Media::Json)),
            (Some("application/*"), Some(Media::Json)),
            (Some("application/x-protobuf"), Some(Media::Protobuf)),
            (Some("application/x-protobuf, application/json"), Some(Media::Json)),
            (Some("application/json;q=0, application/x-protobuf;q=0.5"), Some(Media::Protobuf)),
            (Some("text/html"), None),
            (Some("applicationx/*"), None),
        ];
        for (accept, wanted) in table {
            let lines: Vec<_> = accept.map(|accept| ("accept", accept)).into_iter().collect();
            let found = Media::wanted(&headers(&lines));
            assert_eq!(found.as_ref().ok().copied(), wanted, "{accept:?}");
            assert_eq!(status(found), if wanted.is_some() { 200 } else { 406 }, "{accept:?}");
        }
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
