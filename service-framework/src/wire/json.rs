//! Bytes to a JSON value, within bounds.

use serde_json::Value;

use super::Rejected;

/// How deep lists and objects may be within each other.
pub const MAX_DEPTH: usize = 64;

/// How many values a document may have, each element and field for itself.
pub const MAX_VALUES: usize = 500_000;

/// The value that the bytes say. Nothing at all is no value. Their number is the caller's to bound.
/// Errors: [`Rejected::NotJson`].
pub fn json(bytes: &[u8]) -> Result<Value, Rejected> {
    values(bytes)?;
    own(bytes)
}

/// How many values a document has at most. Errors: [`Rejected::NotJson`], too many.
pub(crate) fn values(bytes: &[u8]) -> Result<usize, Rejected> {
    let Shape { values, .. } = Shape::of(bytes);
    // Each takes many times the memory of its bytes.
    if values > MAX_VALUES {
        return Err(Rejected::NotJson(format!(
            "the document has {values} values, at most {MAX_VALUES} are taken"
        )));
    }
    Ok(values)
}

/// As [`json`], of what was written here, however many values it has.
pub(crate) fn own(bytes: &[u8]) -> Result<Value, Rejected> {
    // Before it is read: what is too deep must not take the stack.
    let Shape { deep, .. } = Shape::of(bytes);
    if deep > MAX_DEPTH {
        return Err(Rejected::NotJson(format!(
            "the document is {deep} levels deep, at most {MAX_DEPTH} are taken"
        )));
    }
    serde_json::from_slice(bytes).map_err(|error| Rejected::NotJson(error.to_string()))
}

/// What a document would come to, seen before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How deep brackets outside of strings stand within each other.
    pub(crate) deep: usize,
    /// Values at most: the first one of each bracket, and one after each comma.
    pub(crate) values: usize,
}

impl Shape {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let (mut deep, mut deepest, mut values) = (0_usize, 0_usize, 1_usize);
        let (mut quoted, mut escaped) = (false, false);
        for byte in bytes {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'[' | b'{' => {
                    deep += 1;
                    deepest = deepest.max(deep);
                    values += 1;
                }
                b']' | b'}' => deep = deep.saturating_sub(1),
                b',' => values += 1,
                _ => {}
            }
        }
        Self { deep: deepest, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_deep_or_no_json_is_refused_with_words() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(json(nested(MAX_DEPTH).as_bytes()).is_ok());
        for wrong in
            [nested(MAX_DEPTH + 1), "[".repeat(1 << 20), "{\"a\":1e999}".into(), "NaN".into(), String::new()]
        {
            let Err(Rejected::NotJson(words)) = json(wrong.as_bytes()) else { panic!("{wrong:.40}") };
            assert!(!words.is_empty());
        }
        assert!(json(br#"{"a":"[[[[[\"[[[[["}"#).is_ok());
    }
}
