//! In which form a message travels over HTTP.
//!
//! Source: Mesos v1 HTTP API, `Content-Type` and `Accept`.

use std::fmt;

use prost::{Message, Name};

use crate::{binary, json};

/// A form of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/json`.
    Json,
    /// `application/x-protobuf`.
    Protobuf,
}

/// Why a request cannot be read, or answered in the form it wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MediaError {
    /// The HTTP status for it: 400, 406 or 415.
    pub status: u16,
    /// What is wrong and what to do.
    pub message: String,
}

impl Media {
    /// As it is called in headers; clients compare it byte by byte.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }

    /// The form of a body, by its `Content-Type`. Parameters are passed over.
    ///
    /// Errors: 400 without one, 415 for another.
    pub fn of_body(content_type: Option<&str>) -> Result<Self, MediaError> {
        let Some(named) = content_type else {
            let message =
                "Expecting 'Content-Type' to be present: application/json or application/x-protobuf";
            return Err(MediaError { status: 400, message: message.to_owned() });
        };
        let essence = named.split(';').next().unwrap_or_default().trim();
        [Self::Json, Self::Protobuf].into_iter().find(|media| media.name() == essence).ok_or_else(|| {
            MediaError {
                status: 415,
                message: format!(
                    "Expecting 'Content-Type' of application/json or application/x-protobuf, not {named:?}"
                ),
            }
        })
    }

    /// The form of the answer, by `Accept`: JSON where both would do.
    ///
    /// Errors: 406 if neither would.
    pub fn of_answer(accept: Option<&str>) -> Result<Self, MediaError> {
        let Some(accept) = accept else { return Ok(Self::Json) };
        let media = [Self::Json, Self::Protobuf].into_iter().find(|media| accepts(accept, media.name()));
        media.ok_or_else(|| MediaError {
            status: 406,
            message: format!(
                "Expecting 'Accept' to allow application/json or application/x-protobuf, not {accept:?}"
            ),
        })
    }

    /// Reads a message.
    ///
    /// Errors: 400, with the field.
    pub fn decode<M: Message + Name + Default>(self, body: &[u8]) -> Result<M, MediaError> {
        let refused = |what: &str, error: &dyn fmt::Display| MediaError {
            status: 400,
            message: format!("Failed to parse body into {what}: {error}"),
        };
        match self {
            Self::Json => json::decode(body).map_err(|error| refused("JSON", &error)),
            Self::Protobuf => binary::decode(body).map_err(|error| refused("protobuf", &error)),
        }
    }

    /// Writes a message after what is there.
    pub fn encode_to<M: Message + Name>(self, message: &M, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::encode_to(message, out),
            Self::Protobuf => {
                out.reserve(message.encoded_len());
                // A vector always has room.
                let _fits = message.encode(out);
            }
        }
    }

    /// A message by itself.
    pub fn encode<M: Message + Name>(self, message: &M) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_to(message, &mut out);
        out
    }
}

/// Whether a list such as `text/html, application/*;q=0.5` allows `wanted`. What names it most closely decides.
pub fn accepts(accept: &str, wanted: &str) -> bool {
    let family = wanted.split('/').next().unwrap_or_default();
    let said = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let closeness = match essence.split_once('/')? {
            _ if essence == wanted => 2,
            (named, "*") if named == family => 1,
            ("*", "*") => 0,
            _ => return None,
        };
        Some((closeness, !parts.any(is_zero)))
    });
    said.max().is_some_and(|(_, allowed)| allowed)
}

/// `q=0`, `Q = 0.000`: not at all.
fn is_zero(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("q") && value.trim().parse() == Ok(0.0_f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_wins_where_both_would_do() {
        assert_eq!(Media::of_answer(None), Ok(Media::Json));
        for (accept, media) in [
            ("*/*", Media::Json),
            ("application/*", Media::Json),
            ("application/x-protobuf, application/json", Media::Json),
            ("application/x-protobuf", Media::Protobuf),
            ("application/json;q=0, application/x-protobuf;q=0.1", Media::Protobuf),
            ("text/html, application/json;charset=utf-8", Media::Json),
            ("application/json;q=0, */*", Media::Protobuf),
            ("*/*;q=0, application/*", Media::Json),
            ("application/*; Q = 0.0, application/x-protobuf", Media::Protobuf),
        ] {
            assert_eq!(Media::of_answer(Some(accept)), Ok(media), "{accept}");
        }
        for accept in ["", "text/html", "application/jsonp", "application/json;q=0", "text/*", "*/*;q=0", "*"]
        {
            assert_eq!(Media::of_answer(Some(accept)).unwrap_err().status, 406, "{accept}");
        }
    }

    #[test]
    fn a_body_is_of_a_known_form() {
        assert_eq!(Media::of_body(Some("application/json; charset=utf-8")), Ok(Media::Json));
        assert_eq!(Media::of_body(Some("application/x-protobuf")), Ok(Media::Protobuf));
        assert_eq!(Media::of_body(None).unwrap_err().status, 400);
        for named in ["", "text/plain", "APPLICATION/JSON", "application/json+x", "application/recordio"] {
            assert_eq!(Media::of_body(Some(named)).unwrap_err().status, 415, "{named}");
        }
    }
}
