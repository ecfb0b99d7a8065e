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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{any_ranges, any_scalar};

    fn text(value: &str) -> AttributeValue {
        AttributeValue::Text(value.to_owned())
    }

    #[test]
    fn the_form_of_a_value_tells_its_type() {
        let attributes =
            Attributes::parse("rack:r1; ssd:true;level:2.5;;open:[80-90]; url:http://x:1 ;low:-1").unwrap();
        assert_eq!(attributes.get("rack"), Some(&text("r1")));
        assert_eq!(attributes.get("level"), Some(&AttributeValue::Scalar(Scalar::parse("2.5").unwrap())));
        assert_eq!(attributes.get("open"), Some(&AttributeValue::Ranges(Ranges::parse("[80-90]").unwrap())));
        assert_eq!(attributes.get("url"), Some(&text("http://x:1")));
        assert_eq!(attributes.get("low"), Some(&text("-1")));
        assert_eq!(attributes.get("none"), None);
    }

    #[test]
    fn the_first_of_a_name_counts() {
        let attributes = Attributes::parse("rack:r1;rack:r2").unwrap();
        assert_eq!((attributes.0.len(), attributes.get("rack")), (2, Some(&text("r1"))));
    }

    #[test]
    fn a_bad_text_says_what_where_and_what_to_do() {
        let how = "write name:value pairs parted by `;`, for example rack:r1;ssd:true";
        let table = [
            ("rack:r1;ssd", r#"attribute "ssd": no `:` parts name and value"#),
            (":r1", r#"attribute ":r1": name or value is empty"#),
            ("rack:", r#"attribute "rack:": name or value is empty"#),
            ("rack:{a,b}", r#"attribute "rack:{a,b}": a set cannot be an attribute"#),
            ("open:[9-8]", r#"attribute "open:[9-8]": the range 9-8 begins after its end; write 8-9"#),
        ];
        for (text, expected) in table {
            assert_eq!(Attributes::parse(text).unwrap_err().to_string(), format!("{expected}; {how}"));
        }
        let long = Attributes::parse(&"x".repeat(10_000)).unwrap_err();
        assert_eq!(long.item.len(), 128);
    }

    proptest! {
        /// What the text form can express is read back as it was.
        #[test]
        fn written_attributes_read_back(
            attributes in vec(
                (
                    r"[^:;\s]([^:;]{0,6}[^:;\s])?",
                    prop_oneof![
                        any_scalar().prop_map(AttributeValue::Scalar),
                        any_ranges().prop_map(AttributeValue::Ranges),
                        r"[^;\s\[\{0-9.]([^;]{0,6}[^;\s])?".prop_map(AttributeValue::Text),
                    ],
                ),
                0..6,
            ),
        ) {
            let attributes = Attributes(attributes);
            prop_assert_eq!(Attributes::parse(&attributes.to_string()), Ok(attributes));
        }

        #[test]
        fn no_text_harms_the_parser(text in r#"([a-z0-9.\-\[\]{}:; ]|\PC){0,30}"#) {
            if let Ok(attributes) = Attributes::parse(&text) {
                prop_assert_eq!(Attributes::parse(&attributes.to_string()), Ok(attributes));
            }
        }
    }
}
