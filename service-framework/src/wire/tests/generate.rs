//! Documents that a schema allows, and documents that it does not.

use lonja_services_core::PathId;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::Union;
use serde_json::{Map, Value, json};

use crate::wire::{Defaults, openapi};

/// The role of what names none.
pub(super) fn defaults() -> Defaults {
    Defaults { role: "web".to_owned() }
}

pub(super) fn root() -> PathId {
    PathId::root()
}

/// Any document that the schema of this name allows.
pub(super) fn document(name: &str) -> BoxedStrategy<Value> {
    let all = openapi();
    let schema = all["components"]["schemas"][name].clone();
    any_of(&schema, &all["components"]["schemas"], 3)
}

/// Such an app as has a chance to make sense: with one program.
pub(super) fn app() -> BoxedStrategy<Value> {
    document("App")
        .prop_map(|mut app| {
            if let Some(fields) = app.as_object_mut() {
                if fields.contains_key("args") == fields.contains_key("cmd") {
                    fields.remove("args");
                    fields.insert("cmd".to_owned(), json!("run"));
                }
                fields.remove("role");
            }
            app
        })
        .boxed()
}

fn any_of(schema: &Value, all: &Value, levels: u32) -> BoxedStrategy<Value> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return any_of(&all[name], all, levels);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        return Union::new(choices.iter().map(|one| any_of(one, all, levels)).collect::<Vec<_>>()).boxed();
    }
    if let Some(words) = schema["enum"].as_array() {
        return select(words.clone()).boxed();
    }
    match schema["type"].as_str() {
        Some("object") => object(schema, all, levels),
        Some("array") => {
            let least = bound(&schema["minItems"], 0);
            let most = bound(&schema["maxItems"], least + 2).min(least + 2);
            vec(any_of(&schema["items"], all, levels.saturating_sub(1)), least..=most)
                .prop_map(Value::from)
                .boxed()
        }
        Some("string") => text(schema),
        Some("integer") => {
            let (least, most) = (schema["minimum"].as_u64().unwrap(), schema["maximum"].as_u64().unwrap());
            prop_oneof![least..=most.min(least + 20), least..=most, Just(most)].prop_map(Value::from).boxed()
        }
        Some("number") => {
            let least = schema["minimum"].as_f64().unwrap();
            let most = schema["maximum"].as_f64().unwrap_or(least + 1e6).min(1e9);
            prop_oneof![
                Just(json!(least)),
                (least..=most).prop_map(Value::from),
                (0_u32..2000).prop_map(move |more| json!((least + f64::from(more) / 1000.0).min(most)))
            ]
            .boxed()
        }
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        _ => Just(Value::Null).boxed(),
    }
}

fn bound(value: &Value, absent: usize) -> usize {
    value.as_u64().map_or(absent, |bound| usize::try_from(bound).unwrap())
}

fn text(schema: &Value) -> BoxedStrategy<Value> {
    if schema["format"] == "date-time" {
        return Just(json!("2015-09-30T09:09:17.614Z")).boxed();
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        return proptest::string::string_regex(pattern).unwrap().prop_map(Value::from).boxed();
    }
    let least = bound(&schema["minLength"], 0);
    let plain = proptest::string::string_regex(&format!("[a-zA-Z0-9/._*-]{{{least},8}}")).unwrap();
    let any = proptest::string::string_regex(&format!("[^\u{0}]{{{least},8}}")).unwrap();
    prop_oneof![4 => plain, 1 => any].prop_map(Value::from).boxed()
}

fn object(schema: &Value, all: &Value, levels: u32) -> BoxedStrategy<Value> {
    if let Some(of) = schema.get("additionalProperties") {
        let entries = btree_map("[a-zA-Z_]{1,6}", any_of(of, all, levels.saturating_sub(1)), 0..3);
        return entries.prop_map(|map| Value::Object(map.into_iter().collect())).boxed();
    }
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(properties) = schema["properties"].as_object() else { return Just(json!({})).boxed() };
    let fields: Vec<BoxedStrategy<Option<(String, Value)>>> = properties
        .iter()
        .map(|(name, of)| {
            let named = name.clone();
            if required.contains(&name.as_str()) {
                return any_of(of, all, levels).prop_map(move |value| Some((named.clone(), value))).boxed();
            }
            if levels == 0 {
                return Just(None).boxed();
            }
            let there = any_of(of, all, levels - 1).prop_map(move |value| Some((named.clone(), value)));
            prop_oneof![7 => Just(None), 1 => there].boxed()
        })
        .collect();
    fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

/// A value that is in few places right.
pub(super) fn strange() -> BoxedStrategy<Value> {
    prop_oneof![
        select(vec![
            Value::Null,
            json!(true),
            json!(-1),
            json!(0),
            json!(0.5),
            json!(1e300),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(""),
            json!("\u{0}"),
            json!("\u{1f6a2} ../.. %00 ${x}"),
            json!("a".repeat(100_000)),
            json!([]),
            json!([[[[]]]]),
            json!({}),
            json!({ "": {} }),
            json!({ "secret": 1 }),
            json!(vec![0; 10_001]),
        ]),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,12}".prop_map(Value::from),
    ]
    .boxed()
}

/// The same document with one of its values replaced.
pub(super) fn mutated(mut document: Value, place: &Index, value: Value) -> Value {
    let count = nodes(&mut document).len();
    let at = place.index(count);
    if let Some(node) = document_node(&mut document, at) {
        *node = value;
    }
    document
}

/// Pointers to all values in a document.
fn nodes(document: &mut Value) -> Vec<String> {
    fn walk(value: &Value, path: &str, into: &mut Vec<String>) {
        into.push(path.to_owned());
        match value {
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(index, one)| walk(one, &format!("{path}/{index}"), into));
            }
            Value::Object(map) => map.iter().for_each(|(name, one)| {
                walk(one, &format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), into);
            }),
            _ => {}
        }
    }
    let mut all = Vec::new();
    walk(document, "", &mut all);
    all
}

fn document_node(document: &mut Value, at: usize) -> Option<&mut Value> {
    let pointer = nodes(document).into_iter().nth(at)?;
    document.pointer_mut(&pointer)
}
