//! Definitions that are refused: each with the kind of refusal, the path of the fault, and words that say what is wrong.
//!
//! Fragments are put over a definition that is good, so that each row has one thing wrong with it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "bad_definitions/app_forms.rs"]
mod app_forms;
#[path = "bad_definitions/app_meanings.rs"]
mod app_meanings;
#[path = "bad_definitions/pods.rs"]
mod pods;

use lonja_services::wire::{self, Defaults, Rejected};
use lonja_services_core::PathId;
use serde_json::Value;

/// A fragment over the good definition, the path of the fault, and a part of its words.
type Row = (&'static str, &'static str, &'static str);

/// The form of a field is wrong: 422, `Invalid JSON`.
const FORM: &str = "form";
/// The value makes no sense: 422, `Object is not valid`.
const MEANING: &str = "meaning";

fn defaults() -> Defaults {
    Defaults { role: "web".to_owned() }
}

/// Lays the fields of `over` over those of `base`.
fn over(base: &str, over: &str) -> Value {
    let mut base: Value = serde_json::from_str(base).unwrap();
    let over: Value = serde_json::from_str(over).unwrap_or_else(|error| panic!("{over}: {error}"));
    for (name, value) in over.as_object().unwrap() {
        base[name] = value.clone();
    }
    base
}

/// The kind of the refusal and its faults.
fn told(rejected: Rejected) -> (&'static str, Vec<(String, String)>) {
    let (kind, faults) = match rejected {
        Rejected::Types(faults) => (FORM, faults),
        Rejected::Values(faults) => (MEANING, faults),
        Rejected::NotJson(words) | Rejected::NotAnObject(words) => {
            return ("document", vec![("/".into(), words)]);
        }
        Rejected::Illegal(words) | Rejected::BadQuery(words) => {
            return ("request", vec![("/".into(), words)]);
        }
    };
    (kind, faults.into_iter().map(|fault| (fault.path, fault.message)).collect())
}

/// Checks each row against what `read` says.
fn check(kind: &str, base: &str, rows: &[Row], read: impl Fn(&Value) -> Result<(), Rejected>) {
    read(&over(base, "{}")).unwrap_or_else(|rejected| panic!("the good one is refused: {rejected:?}"));
    let mut wrong = Vec::new();
    for (fragment, path, words) in rows {
        let Err(rejected) = read(&over(base, fragment)) else {
            wrong.push(format!("{fragment}\n    is taken"));
            continue;
        };
        let (found, faults) = told(rejected);
        let met = faults.iter().any(|(at, message)| at == path && message.contains(words));
        if found != kind || !met {
            wrong.push(format!(
                "{fragment}\n    wanted {kind} {path} {words:?}\n    found  {found} {faults:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn app(value: &Value) -> Result<(), Rejected> {
    wire::app(value, None, None, &PathId::root(), &defaults()).map(drop)
}

fn pod(value: &Value) -> Result<(), Rejected> {
    wire::pod(value, None, &defaults()).map(drop)
}

fn job(value: &Value) -> Result<(), Rejected> {
    wire::job(value, None, &defaults()).map(drop)
}

const GOOD_APP: &str = r#"{"id": "/shop/web", "cmd": "./serve"}"#;
const GOOD_POD: &str =
    r#"{"id": "/shop/web", "containers": [{"name": "web", "exec": {"command": {"shell": "./serve"}}}]}"#;
const GOOD_JOB: &str =
    r#"{"id": "/shop/report", "run": {"cmd": "./report"}, "schedule": {"cron": "0 4 * * *"}}"#;

#[test]
fn an_app_of_the_wrong_form_is_refused_with_the_place() {
    check(FORM, GOOD_APP, app_forms::ROWS, app);
}

#[test]
fn an_app_that_makes_no_sense_is_refused_with_the_place() {
    check(MEANING, GOOD_APP, app_meanings::ROWS, app);
}

#[test]
fn a_pod_of_the_wrong_form_is_refused_with_the_place() {
    check(FORM, GOOD_POD, pods::FORMS, pod);
}

#[test]
fn a_pod_that_makes_no_sense_is_refused_with_the_place() {
    check(MEANING, GOOD_POD, pods::MEANINGS, pod);
}

#[test]
fn a_job_of_the_wrong_form_is_refused_with_the_place() {
    let rows: &[Row] = &[
        (r#"{"run": null}"#, "/run", "is missing"),
        (r#"{"run": "x"}"#, "/run", "an object"),
        (r#"{"run": {"cmd": "x", "cpus": -1}}"#, "/run/cpus", "must be from 0"),
        (r#"{"schedule": {}}"#, "/schedule/cron", "is missing"),
        (r#"{"schedule": {"cron": ""}}"#, "/schedule/cron", "1 to 1024"),
        (r#"{"schedule": "daily"}"#, "/schedule", "an object"),
        (r#"{"concurrency": "maybe"}"#, "/concurrency", "allow, forbid, replace"),
        (r#"{"retries": -1}"#, "/retries", "must be from 0"),
        (r#"{"maxRunTimeSeconds": 0}"#, "/maxRunTimeSeconds", "must be from 1"),
        (r#"{"id": "/A"}"#, "/id", "lower case"),
    ];
    check(FORM, GOOD_JOB, rows, job);
}

#[test]
fn a_job_that_makes_no_sense_is_refused_with_the_place() {
    let rows: &[Row] = &[
        (r#"{"id": "/"}"#, "/id", "must not be the root"),
        (r#"{"schedule": {"cron": "99 * * * *"}}"#, "/schedule/cron", "minute"),
        (r#"{"schedule": {"cron": "* * *"}}"#, "/schedule/cron", "five"),
        (r#"{"retries": 1001}"#, "/retries", "1000 at most"),
        (r#"{"history": 1001}"#, "/history", "1000 at most"),
        (r#"{"run": {}}"#, "/run", "one of cmd and args"),
        (r#"{"run": {"cmd": "x", "env": {"A": {"secret": "s"}}}}"#, "/run/env(A)", "not in secrets"),
        (
            r#"{"run": {"cmd": "x", "container": {"type": "MESOS",
                "volumes": [{"containerPath": "data", "persistent": {"size": 1}}]}}}"#,
            "/run/container/volumes",
            "cannot have persistent volumes",
        ),
    ];
    check(MEANING, GOOD_JOB, rows, job);
}

#[test]
fn an_update_of_a_group_that_is_wrong_is_refused_with_the_place() {
    let read = |value: &Value| wire::group_update(value, None, &PathId::root(), |_| defaults()).map(drop);
    let base = r#"{"id": "/shop", "apps": [{"id": "web", "cmd": "./serve"}]}"#;
    let forms: &[Row] = &[
        (r#"{"apps": {}}"#, "/apps", "a list"),
        (r#"{"apps": ["web"]}"#, "/apps(0)", "an object"),
        (r#"{"apps": [{"cmd": "x"}]}"#, "/apps(0)/id", "is missing"),
        (
            r#"{"apps": [{"id": "a", "cmd": "x"}, {"id": "b", "cmd": "x", "mem": "1"}]}"#,
            "/apps(1)/mem",
            "a number",
        ),
        (r#"{"groups": [{"id": "b", "apps": [{"id": "Q"}]}]}"#, "/groups(0)/apps(0)/id", "lower case"),
        (r#"{"groups": [{}]}"#, "/groups(0)/id", "is missing"),
        (r#"{"dependencies": ["../../.."]}"#, "/dependencies(0)", "above the root"),
        (r#"{"enforceRole": 1}"#, "/enforceRole", "true or false"),
        (r#"{"scaleBy": -2}"#, "/scaleBy", "must be from 0"),
        (r#"{"version": "yesterday"}"#, "/version", "must be a time"),
        (r#"{"id": "../up"}"#, "/id", "above the root"),
    ];
    check(FORM, base, forms, read);
    let meanings: &[Row] = &[
        (r#"{"scaleBy": 2}"#, "/scaleBy", "send them apart"),
        (r#"{"apps": [{"id": "/other/web", "cmd": "x"}]}"#, "/apps(0)/id", "directly in the group /shop"),
        (r#"{"apps": [{"id": "sub/web", "cmd": "x"}]}"#, "/apps(0)/id", "directly in the group /shop"),
        (r#"{"apps": [{"id": "a", "cmd": "x"}, {"id": "a", "cmd": "y"}]}"#, "/apps(1)/id", "is there twice"),
        (
            r#"{"apps": [{"id": "a", "cmd": "x"}], "groups": [{"id": "a"}]}"#,
            "/groups(0)/id",
            "is there twice",
        ),
        (r#"{"apps": [{"id": "a"}]}"#, "/apps(0)", "one of cmd and args"),
        (r#"{"groups": [{"id": "b", "apps": [{"id": "c"}]}]}"#, "/groups(0)/apps(0)", "one of cmd and args"),
        (r#"{"groups": [{"id": "/other"}]}"#, "/groups(0)/id", "directly in the group /shop"),
        (
            r#"{"groups": [{"id": "b", "enforceRole": true}]}"#,
            "/groups(0)/enforceRole",
            "directly below the root",
        ),
        (r#"{"dependencies": ["shop"]}"#, "/dependencies(0)", "cannot depend on itself"),
        (r#"{"pods": [{"id": "p"}]}"#, "/pods", "use /v2/pods"),
    ];
    check(MEANING, base, meanings, read);
}

#[test]
fn what_is_no_json_or_no_object_is_refused_before_anything_is_read() {
    let deep = format!("{{\"env\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65));
    for text in [
        "",
        "{",
        "{'id': 1}",
        "{\"id\": 01}",
        "{\"cpus\": 1e400}",
        "{\"cpus\": NaN}",
        "\u{feff}{}",
        &deep,
        &nested,
    ] {
        let Err(Rejected::NotJson(words)) = wire::json(text.as_bytes()) else {
            panic!("{text:.40} is taken")
        };
        assert!(!words.is_empty());
    }
    assert!(matches!(wire::json(b"{\"id\": \"\xff\"}"), Err(Rejected::NotJson(_))));
    for text in ["null", "1", "\"x\"", "[]", "true"] {
        let value = wire::json(text.as_bytes()).unwrap();
        for read in [app, pod, job] {
            assert!(matches!(read(&value), Err(Rejected::NotAnObject(_))), "{text}");
        }
    }
    let object = wire::json(b"{}").unwrap();
    assert!(matches!(wire::apps(&object, |_| None, |_| defaults()), Err(Rejected::NotAnObject(_))));
}

#[test]
fn faults_of_a_list_of_apps_have_the_number_of_the_app() {
    let list = serde_json::json!([{ "id": "/a", "cmd": "x" }, { "cmd": "x" }, { "id": "/b", "cpus": "1" }]);
    let (kind, faults) = told(wire::apps(&list, |_| None, |_| defaults()).unwrap_err());
    let paths: Vec<&str> = faults.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!((kind, paths), (FORM, vec!["/(1)/id", "/(2)/cpus"]));
    let list = serde_json::json!([{ "id": "/a", "cmd": "x" }, { "id": "/b" }]);
    let (kind, faults) = told(wire::apps(&list, |_| None, |_| defaults()).unwrap_err());
    assert_eq!((kind, faults[0].0.as_str()), (MEANING, "/(1)"));
}

#[test]
fn an_app_that_is_in_a_list_twice_is_refused() {
    let list = serde_json::json!([{ "id": "/a", "cmd": "x" }, { "id": "a", "cmd": "y" }]);
    let (kind, faults) = told(wire::apps(&list, |_| None, |_| defaults()).unwrap_err());
    assert_eq!((kind, faults[0].0.as_str()), (MEANING, "/(1)/id"));
}

#[test]
fn constraints_are_a_hundred_at_most() {
    let app_with = |count: usize| {
        let constraints = vec![serde_json::json!(["rack", "LIKE", "r[0-9]"]); count];
        over(GOOD_APP, &serde_json::json!({ "constraints": constraints }).to_string())
    };
    app(&app_with(100)).unwrap();
    let (kind, faults) = told(app(&app_with(101)).unwrap_err());
    assert_eq!((kind, faults[0].0.as_str()), (MEANING, "/constraints"));
    let pod_with = |count: usize| {
        let one = serde_json::json!({ "fieldName": "rack", "operator": "LIKE", "value": "r[0-9]" });
        let constraints = serde_json::json!({ "constraints": vec![one; count] });
        over(GOOD_POD, &serde_json::json!({ "scheduling": { "placement": constraints } }).to_string())
    };
    pod(&pod_with(100)).unwrap();
    let (kind, faults) = told(pod(&pod_with(101)).unwrap_err());
    assert_eq!((kind, faults[0].0.as_str()), (MEANING, "/scheduling/placement/constraints"));
}

#[test]
fn a_document_of_too_many_values_is_refused_before_they_are_made() {
    let list = |count: usize| format!("[{}]", vec!["0"; count].join(","));
    assert!(wire::json(list(400_000).as_bytes()).is_ok());
    let Err(Rejected::NotJson(words)) = wire::json(list(600_000).as_bytes()) else { panic!("it is taken") };
    assert!(words.contains("500000"), "{words}");
    let objects = format!("[{}]", vec![r#"{"":0}"#; 300_000].join(","));
    assert!(matches!(wire::json(objects.as_bytes()), Err(Rejected::NotJson(_))));
    let quoted = format!("[\"{}\"]", ",[{".repeat(400_000));
    assert!(wire::json(quoted.as_bytes()).is_ok(), "what is quoted is one value");
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let app =
        over(GOOD_APP, r#"{"cpus": -1, "mem": "much", "ports": [70000, "x"], "env": {"A": 1, "B": []}}"#);
    let (_, faults) = told(wire::app(&app, None, None, &PathId::root(), &defaults()).unwrap_err());
    let paths: Vec<&str> = faults.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/cpus", "/mem", "/env(A)", "/env(B)", "/ports(0)", "/ports(1)"]);
}

#[test]
fn a_pod_under_another_id_is_refused() {
    let value: Value = serde_json::from_str(GOOD_POD).unwrap();
    let other = PathId::absolute("/other").unwrap();
    assert!(matches!(wire::pod(&value, Some(&other), &defaults()), Err(Rejected::BadQuery(_))));
}

#[test]
fn the_tables_are_long_enough_to_mean_something() {
    let rows = app_forms::ROWS.len() + app_meanings::ROWS.len() + pods::FORMS.len() + pods::MEANINGS.len();
    assert!(rows >= 200, "{rows}");
}
