//! What an agent says of itself beside its resources: `rack:r1;ssd:true;ports_open:[80-90]`.
//!
//! Source: Mesos v1 `Attribute`; scalars, ranges and text (a set is refused, as in Mesos).

use std::fmt;

use crate::resources::{Ranges, Scalar};

/// The value of one attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttributeValue {
    /// A number in thousandths.
    Scalar(Scalar),
    /// Ranges of whole numbers.
    Ranges(Ranges),
    /// Any other text.
    Text(String),
}

/// An agent's attributes in the order they were given. A name may stand more than once; the first counts
/// in constraints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub Vec<(String, AttributeValue)>);

/// Why a text is not a list of attributes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("attribute {item:?}: {reason}; write name:value pairs parted by `;`, for example rack:r1;ssd:true")]
pub struct InvalidAttributes {
    /// The pair at fault, cut to 128 characters.
    pub item: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Attributes {
    /// Attributes from their text form. Numbers become scalars, `[a-b]` ranges, anything else text.
    /// Errors: [`InvalidAttributes`].
    pub fn parse(text: &str) -> Result<Self, InvalidAttributes> {
        let mut attributes = Vec::new();
        for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
            let refuse = |reason: &str| InvalidAttributes {
                item: item.chars().take(128).collect(),
                reason: reason.to_owned(),
            };
            let (name, value) = item.split_once(':').ok_or_else(|| refuse("no `:` parts name and value"))?;
            let (name, value) = (name.trim(), value.trim());
            if name.is_empty() || value.is_empty() {
                return Err(refuse("name or value is empty"));
            }
            let value = if value.starts_with('{') {
                return Err(refuse("a set cannot be an attribute"));
            } else if value.starts_with('[') {
                AttributeValue::Ranges(Ranges::parse(value).map_err(|e| refuse(&e.to_string()))?)
            } else if let Ok(scalar) = Scalar::parse(value) {
                AttributeValue::Scalar(scalar)
            } else {
                AttributeValue::Text(value.to_owned())
            };
            attributes.push((name.to_owned(), value));
        }
        Ok(Self(attributes))
    }

    /// The first attribute called `name`.
    pub fn get(&self, name: &str) -> Option<&AttributeValue> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => scalar.fmt(f),
            Self::Ranges(ranges) => ranges.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name}:{value}", if index == 0 { "" } else { ";" })?;
        }
        Ok(())
    }
}
