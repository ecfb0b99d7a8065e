//! What stands after the `?`, and forms, which are written alike.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// Values by name; of one that stands twice, the last.
#[derive(Debug, Default)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    /// What `text` says. What is badly escaped stands as it is: Mesos' clients escape little.
    pub(super) fn parse(text: &str) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        };
        Self(text.split('&').filter(|pair| !pair.is_empty()).map(pair).collect())
    }

    /// The value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

/// Text without its escapes: `+` is a space, `%41` an `A`.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let (byte, length) = match (first, escaped(after)) {
            (b'+', _) => (b' ', 1),
            (b'%', Some(byte)) => (byte, 3),
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn escaped(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits.get(..2)?).ok()?;
    if digits.starts_with('+') { None } else { u8::from_str_radix(digits, 16).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_name_and_without_their_escapes() {
        let query = Query::parse("a=1&b=x+y%2Fz&a=2&flag&&c=%zz%2&d=%+1&e=p=q");
        assert_eq!(query.get("a"), Some("2"));
        assert_eq!(query.get("b"), Some("x y/z"));
        assert_eq!(query.get("flag"), Some(""));
        assert_eq!(query.get("c"), Some("%zz%2"));
        assert_eq!(query.get("d"), Some("% 1"));
        assert_eq!(query.get("e"), Some("p=q"));
        assert_eq!(query.get("f"), None);
    }
}
