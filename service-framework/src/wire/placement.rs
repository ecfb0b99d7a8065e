//! Where instances may run, and where they are liked to.

use lonja_model::pattern::Pattern;
use lonja_services_core::PathId;
use lonja_services_core::definition::{Affinity, Constraint, Operator, Preference};
use serde_json::Value;

use super::common::path_id;
use super::reader::{At, Fields, shortened};
use super::writer::{Object, list, text};

const OPERATORS: &str = "UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER, IS";

/// A constraint of an app: `[field, operator]` or `[field, operator, value]`, all strings.
pub(crate) fn constraint(at: &At<'_>) -> Option<Constraint> {
    let words = at.texts()?;
    match words.as_slice() {
        [field, operator] => Some(assembled(at, field, operator, None)),
        [field, operator, value] => Some(assembled(at, field, operator, Some(value))),
        _ => at.form(format!(
            "must be [field, operator] or [field, operator, value], and has {} elements",
            words.len()
        )),
    }
}

/// A constraint of a pod: `{"fieldName", "operator", "value"}`.
pub(crate) fn pod_constraint(at: &At<'_>) -> Option<Constraint> {
    let fields = at.object()?;
    let field = fields.need("fieldName").and_then(|at| at.text());
    let operator = fields.need("operator").and_then(|at| at.text());
    let value = fields.maybe("value", At::text);
    let value = value?;
    Some(assembled(at, &field?, &operator?, value.as_ref()))
}

fn assembled(at: &At<'_>, field: &str, operator: &str, value: Option<&String>) -> Constraint {
    if field.is_empty() {
        at.meaning("must name a field: hostname, @region, @zone or an attribute");
    }
    let operator = parsed(operator, value).unwrap_or_else(|message| {
        at.meaning(message);
        Operator::Unique
    });
    Constraint { field: field.to_owned(), operator }
}

fn parsed(operator: &str, value: Option<&String>) -> Result<Operator, String> {
    let needed = || value.cloned().ok_or_else(|| format!("{operator} needs a value"));
    let whole = |text: &str| {
        text.parse::<u32>().ok().filter(|whole| *whole > 0).ok_or_else(|| {
            format!("the value of {operator} must be a whole number above 0, and is {:?}", shortened(text))
        })
    };
    let pattern = || {
        let text = needed()?;
        Pattern::compile(&text)
            .map_err(|error| format!("the value of {operator} must be a regular expression: {error}"))?;
        Ok(text)
    };
    match operator {
        "UNIQUE" if value.is_some() => Err("UNIQUE takes no value".to_owned()),
        "UNIQUE" => Ok(Operator::Unique),
        "CLUSTER" => Ok(Operator::Cluster(value.cloned())),
        "GROUP_BY" => value.map(|text| whole(text)).transpose().map(Operator::GroupBy),
        "LIKE" => pattern().map(Operator::Like),
        "UNLIKE" => pattern().map(Operator::Unlike),
        "MAX_PER" => whole(&needed()?).map(Operator::MaxPer),
        "IS" => {
            let text = needed()?;
            let plain = |letter: char| letter.is_ascii_alphanumeric() || "_/.-".contains(letter);
            if text.chars().all(plain) {
                Ok(Operator::Is(text))
            } else {
                Err("the value of IS must be a number, or a text of letters, digits, _, /, . and -"
                    .to_owned())
            }
        }
        _ => Err(format!("the operator must be one of {OPERATORS}, and is {:?}", shortened(operator))),
    }
}

pub(crate) fn show_constraint(constraint: &Constraint) -> Value {
    let mut words = vec![constraint.field.clone(), constraint.operator.name().to_owned()];
    words.extend(constraint.operator.value());
    list(&words, text)
}

pub(crate) fn show_pod_constraint(constraint: &Constraint) -> Value {
    Object::new()
        .with("fieldName", constraint.field.as_str())
        .with("operator", constraint.operator.name())
        .maybe("value", constraint.operator.value())
        .done()
}

const PREFERENCES: [(&str, Preference); 3] =
    [("spread", Preference::Spread), ("binpack", Preference::Binpack), ("random", Preference::Random)];

/// Lonja's own: `{"strategy", "affinity"}`.
pub(crate) fn placement(at: &At<'_>, parent: &PathId) -> Option<(Preference, Vec<Affinity>)> {
    let fields = at.object()?;
    let preference = preference(&fields);
    let affinity = fields.or("affinity", |at| at.list(|one| affinity(one, parent)), Vec::new());
    Some((preference?, affinity?))
}

/// Lonja's own: `strategy` of a placement.
pub(crate) fn preference(fields: &Fields<'_>) -> Option<Preference> {
    fields.or("strategy", |at| at.choice(&PREFERENCES), Preference::Spread)
}

fn affinity(at: &At<'_>, parent: &PathId) -> Option<Affinity> {
    let fields = at.object()?;
    let app = fields.need("app").and_then(|at| path_id(&at, parent));
    let field = fields.or("field", At::words, "hostname".to_owned());
    let near = fields.or("near", At::flag, true);
    let required = fields.or("required", At::flag, false);
    Some(Affinity { app: app?, field: field?, near: near?, required: required? })
}

/// None: it is as it is where nothing is said.
pub(crate) fn show_preference(preference: Preference) -> Option<&'static str> {
    let named = PREFERENCES.iter().find(|(_, known)| *known == preference).map(|(name, _)| *name);
    named.filter(|_| preference != Preference::default())
}

/// None: it is as it is where nothing is said.
pub(crate) fn show_placement(preference: Preference, affinity: &[Affinity]) -> Option<Value> {
    if preference == Preference::default() && affinity.is_empty() {
        return None;
    }
    let shown =
        Object::new().maybe("strategy", show_preference(preference)).some("affinity", affinity, |one| {
            Object::new()
                .with("app", one.app.as_str())
                .with("field", one.field.as_str())
                .with("near", one.near)
                .with("required", one.required)
                .done()
        });
    Some(shown.done())
}
