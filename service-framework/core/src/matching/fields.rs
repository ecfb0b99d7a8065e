//! What constraints look at: the values of fields, as text.

use std::borrow::Cow;

use lonja_model::Offer;
use lonja_model::attributes::AttributeValue;

use crate::instance::Place;

/// Something of an agent that has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// Its name.
    Hostname,
    /// Its region.
    Region,
    /// Its zone.
    Zone,
    /// The first attribute of this name.
    Attribute(String),
}

impl Field {
    /// As definitions name it: with or without the `@` for host names, which no attribute can take.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "hostname" | "@hostname" => Self::Hostname,
            "@region" => Self::Region,
            "@zone" => Self::Zone,
            other => Self::Attribute(other.to_owned()),
        }
    }

    /// Does it say where in the world an agent is? Then the rule of the local region does not hold.
    pub(super) fn is_of_a_domain(&self) -> bool {
        matches!(self, Self::Region | Self::Zone)
    }

    /// Its value where this offer comes from. None: the agent does not say.
    pub(super) fn of_offer<'a>(&self, offer: &'a Offer) -> Option<Cow<'a, str>> {
        match self {
            Self::Hostname => Some(Cow::Borrowed(&offer.hostname)),
            Self::Region => offer.domain.as_ref().map(|domain| Cow::Borrowed(domain.region.as_str())),
            Self::Zone => offer.domain.as_ref().map(|domain| Cow::Borrowed(domain.zone.as_str())),
            Self::Attribute(name) => offer.attributes.get(name).map(text_of),
        }
    }

    /// Its value where an instance is. None: there is none, or it was not written down.
    pub(crate) fn of_place<'a>(&self, place: &'a Place) -> Option<&'a str> {
        match self {
            Self::Hostname => Some(&place.hostname),
            Self::Region => place.region.as_deref(),
            Self::Zone => place.zone.as_deref(),
            Self::Attribute(name) => {
                place.values.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
            }
        }
    }
}

/// An attribute as text: a number with up to three decimals and no zeros at its end, ranges in order.
pub(super) fn text_of(value: &AttributeValue) -> Cow<'_, str> {
    match value {
        AttributeValue::Text(text) => Cow::Borrowed(text),
        other @ (AttributeValue::Scalar(_) | AttributeValue::Ranges(_)) => Cow::Owned(other.to_string()),
    }
}

/// A number as attributes show it: three decimals at most, halves to the even digit by the binary value, no zeros at the
/// end. None: it is no number.
pub(super) fn number_as_text(text: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-');
    if !text.chars().any(|c| c.is_ascii_digit()) || !text.chars().all(is_plain) {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    let shown = format!("{number:.3}");
    let shown = shown.trim_end_matches('0').trim_end_matches('.');
    Some(if shown == "-0" { "0".to_owned() } else { shown.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_as_an_attribute_would_be() {
        let table = [
            ("2", "2"),
            ("2.0", "2"),
            ("02.50", "2.5"),
            ("1.0005", "1"),
            ("1.1005", "1.101"),
            ("0.0004", "0"),
            ("-0.0001", "0"),
            ("-1.25", "-1.25"),
            ("10", "10"),
            ("100.000", "100"),
        ];
        for (text, shown) in table {
            assert_eq!(number_as_text(text).as_deref(), Some(shown), "{text}");
        }
        for text in ["", "a", "1a", "1.2.3", "-", ".", "inf", "NaN", "1e3"] {
            assert_eq!(number_as_text(text), None, "{text}");
        }
    }
}
