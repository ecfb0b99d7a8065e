//! The OpenAPI document says what is read, no more and no less.

use std::collections::{BTreeMap, BTreeSet};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::generate::{defaults, document, root};
use crate::wire::app::app_at;
use crate::wire::openapi;
use crate::wire::reader::{At, Faults};

/// The fields of a schema by their paths, as the reader notes them.
fn fields(schema: &Value, all: &Value, path: &str, levels: u32, into: &mut BTreeSet<String>) {
    if levels == 0 {
        return;
    }
    if let Some(name) = schema["$ref"].as_str() {
        return fields(&all[name.rsplit('/').next().unwrap()], all, path, levels, into);
    }
    for one in schema["oneOf"].as_array().into_iter().flatten() {
        fields(one, all, path, levels, into);
    }
    for (name, of) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        into.insert(path.clone());
        fields(of, all, &path, levels - 1, into);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(of) = schema.get(inner) {
            fields(of, all, &format!("{path}()"), levels, into);
        }
    }
}

/// All fields that the reader asks for in documents that the schema makes.
fn asked(name: &str, read: impl Fn(&Value, &Faults)) -> BTreeSet<String> {
    let (strategy, mut runner) = (document(name), TestRunner::deterministic());
    let mut asked = BTreeSet::new();
    for _ in 0..3_000 {
        let faults = Faults::recording();
        read(&strategy.new_tree(&mut runner).unwrap().current(), &faults);
        asked.extend(faults.asked());
    }
    asked
}

#[test]
fn the_schema_of_apps_has_the_fields_that_are_read() {
    let all = openapi();
    let mut known = BTreeSet::new();
    fields(&all["components"]["schemas"]["App"], &all["components"]["schemas"], "", 8, &mut known);
    let asked = asked("App", |value, faults| {
        let _ = app_at(&At::root(value, faults), None, None, &root(), &defaults());
    });
    // Set by the server, and not read; the provider's own, passed on as it is.
    let server = |field: &&String| field.starts_with("/version");
    let missing: Vec<_> = asked.difference(&known).collect();
    let unread: Vec<_> = known.difference(&asked).filter(|field| !server(field)).collect();
    assert!(missing.is_empty(), "read, and not in the schema: {missing:?}");
    assert!(unread.is_empty(), "in the schema, and not read: {unread:?}");
}

#[test]
fn every_schema_that_is_named_is_there() {
    fn names(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                if let Some(name) = map.get("$ref").and_then(Value::as_str) {
                    into.insert(name.trim_start_matches("#/components/schemas/").to_owned());
                }
                map.values().for_each(|one| names(one, into));
            }
            Value::Array(list) => list.iter().for_each(|one| names(one, into)),
            _ => {}
        }
    }
    let all = openapi();
    let mut named = BTreeSet::new();
    names(&all, &mut named);
    for name in named {
        assert!(all["components"]["schemas"].get(&name).is_some(), "{name}");
    }
}

/// Marathon's routes, and Lonja's own.
#[test]
fn the_document_has_all_routes_each_under_its_own_name() {
    let expected = "
        /v2/apps get post put patch
        /v2/apps/{id} get put patch delete
        /v2/apps/{id}/restart post
        /v2/apps/{id}/versions get
        /v2/apps/{id}/versions/{version} get
        /v2/apps/{id}/tasks get delete
        /v2/apps/{id}/tasks/{taskId} delete
        /v2/apps/{id}/explain get
        /v2/tasks get
        /v2/tasks/delete post
        /v2/groups get post put patch delete
        /v2/groups/{id} get post put patch delete
        /v2/groups/apps get
        /v2/groups/versions get
        /v2/groups/versions/{version} get put
        /v2/groups/{id}/apps get
        /v2/groups/{id}/versions get
        /v2/groups/{id}/versions/{version} get put
        /v2/pods head get post
        /v2/pods/{id} get put delete
        /v2/pods/::status get
        /v2/pods/{id}::status get
        /v2/pods/{id}::versions get
        /v2/pods/{id}::versions/{version} get
        /v2/pods/{id}::instances delete
        /v2/pods/{id}::instances/{instance} delete
        /v2/deployments get
        /v2/deployments/{deployment} get delete
        /v2/deployments/{deployment}/promote post
        /v2/queue get
        /v2/queue/{id}/delay delete
        /v2/jobs get post
        /v2/jobs/{id} get put delete
        /v2/jobs/{id}/runs get post
        /v2/jobs/{id}/runs/{run} get delete
        /v2/leader get delete
        /v2/info get
        /v2/events get
        /v2/plugins get
        /ping get
        /metrics get
        /metrics/prometheus get
        /config get
        /logging get
        /openapi.json get";
    let expected: BTreeMap<&str, BTreeSet<&str>> = expected
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.collect()))
        })
        .collect();
    let all = openapi();
    let mut ids = BTreeSet::new();
    let found: BTreeMap<&str, BTreeSet<&str>> = all["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            for operation in methods.values() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} is there twice");
            }
            (path.as_str(), methods.keys().map(String::as_str).collect())
        })
        .collect();
    assert_eq!(found, expected);
}
