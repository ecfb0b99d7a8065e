//! Writing JSON objects with Marathon's rules on what is left out.
//!
//! Source: Marathon's API: an optional field without value is left out, never `null`; so are some empty collections.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::resources::Scalar;
use serde_json::{Map, Value};

/// An object in the making.
#[derive(Debug, Default)]
pub(crate) struct Object(Map<String, Value>);

impl Object {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// With a field.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// With a field, if there is a value.
    #[must_use]
    pub(crate) fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// With a list, unless it is empty.
    #[must_use]
    pub(crate) fn some<T>(self, name: &str, elements: &[T], show: impl Fn(&T) -> Value) -> Self {
        if elements.is_empty() { self } else { self.with(name, list(elements, show)) }
    }

    /// With a map, unless it is empty.
    #[must_use]
    pub(crate) fn some_map<T>(
        self,
        name: &str,
        entries: &BTreeMap<String, T>,
        show: impl Fn(&T) -> Value,
    ) -> Self {
        if entries.is_empty() { self } else { self.with(name, map(entries, show)) }
    }

    /// Complete.
    pub(crate) fn done(self) -> Value {
        Value::Object(self.0)
    }
}

/// A list.
pub(crate) fn list<T>(elements: &[T], show: impl Fn(&T) -> Value) -> Value {
    elements.iter().map(show).collect()
}

/// A map.
pub(crate) fn map<T>(entries: &BTreeMap<String, T>, show: impl Fn(&T) -> Value) -> Value {
    Value::Object(entries.iter().map(|(name, value)| (name.clone(), show(value))).collect())
}

/// A text as it is.
pub(crate) fn text(text: &impl AsRef<str>) -> Value {
    Value::from(text.as_ref())
}

/// A number, without a fraction if it has none.
pub(crate) fn number(number: f64) -> Value {
    // Below 2^53 whole doubles are exact.
    if number.fract() == 0.0 && (0.0..9e15).contains(&number) {
        Value::from(number as u64)
    } else {
        Value::from(number)
    }
}

/// An amount, in its unit.
pub(crate) fn amount(amount: Scalar) -> Value {
    number(amount.to_f64())
}

/// Whole seconds.
pub(crate) fn seconds(duration: Duration) -> Value {
    Value::from(duration.as_secs())
}
