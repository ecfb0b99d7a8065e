//! The part of an address behind its `?`.
//!
//! Source: WHATWG URL Standard, application/x-www-form-urlencoded.

use std::collections::BTreeMap;

/// The longest query that is read, in bytes; a path of 4,095 bytes is at most three times as long when encoded.
const LONGEST: usize = 16 << 10;

/// Names and values, decoded once. Errors: what is wrong with it.
pub(super) fn parse(query: &str) -> Result<BTreeMap<String, String>, String> {
    if query.len() > LONGEST {
        return Err(format!("the query is longer than {LONGEST} bytes"));
    }
    let mut fields = BTreeMap::new();
    for field in query.split('&').filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        if fields.contains_key(&name) {
            return Err(format!("{name}: is given twice"));
        }
        fields.insert(name, value);
    }
    Ok(fields)
}

fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next().unwrap_or_default()).to_digit(16);
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err("a % is not followed by two hexadecimal digits".to_owned());
                };
                u8::try_from(high * 16 + low).unwrap_or_default()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded_once_and_nonsense_is_refused() {
        let path = |query: &str| parse(query).map(|mut fields| fields.remove("path").unwrap_or_default());

        assert_eq!(path("path=%2fa+b%20c&offset=1"), Ok("/a b c".to_owned()));
        assert_eq!(path("path=%252e"), Ok("%2e".to_owned()));
        assert_eq!(path("&&path"), Ok(String::new()));
        assert_eq!(path("path=%C3%A4"), Ok("ä".to_owned()));
        for bad in ["path=%", "path=%2", "path=%zz", "path=%ff", "path=a&path=b", "path=%é"] {
            assert!(path(bad).is_err(), "{bad}");
        }
        assert!(parse(&"x".repeat(LONGEST + 1)).is_err());
    }
}
