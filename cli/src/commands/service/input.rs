//! What a file describes: apps, groups, pods and jobs, in JSON or YAML, told apart by their fields.
//!
//! Source: Marathon's definitions. Fields that only the framework sets are taken out, so that what it prints can be
//! sent back.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::Usage;
use super::ids::rooted;

/// The largest file that is read: what the framework takes at most.
const MAX_BYTES: u64 = 10 << 20;

/// Fields that only the framework sets.
const NOT_SET_BY_USERS: [&str; 13] = [
    "version",
    "versionInfo",
    "tasksStaged",
    "tasksRunning",
    "tasksHealthy",
    "tasksUnhealthy",
    "deployments",
    "tasks",
    "lastTaskFailure",
    "readinessCheckResults",
    "taskStats",
    "tasksStats",
    "runs",
];

/// Something that can be sent to the framework.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Document {
    /// Apps that are changed together.
    Apps(Vec<Value>),
    Group(Value),
    Pod(Value),
    Job(Value),
}

impl Document {
    /// What is sent, and where.
    pub(super) fn request(&self) -> (String, Value) {
        let at = |route: &str, object: &Value| {
            format!("{route}{}", rooted(object["id"].as_str().unwrap_or_default()))
        };
        match self {
            // One app has an answer of its own, which says whether it is new.
            Self::Apps(apps) if apps.len() == 1 => (at("/v2/apps", &apps[0]), apps[0].clone()),
            Self::Apps(apps) => ("/v2/apps".to_owned(), json!(apps)),
            Self::Group(group) => {
                let path = rooted(group["id"].as_str().unwrap_or_default());
                (
                    if path == "/" { "/v2/groups".to_owned() } else { format!("/v2/groups{path}") },
                    group.clone(),
                )
            }
            Self::Pod(pod) => (at("/v2/pods", pod), pod.clone()),
            Self::Job(job) => (at("/v2/jobs", job), job.clone()),
        }
    }

    /// The ids of what it describes, groups by their own.
    pub(super) fn ids(&self) -> Vec<String> {
        let id = |object: &Value| rooted(object["id"].as_str().unwrap_or_default());
        match self {
            Self::Apps(apps) => apps.iter().map(id).collect(),
            Self::Group(object) | Self::Pod(object) | Self::Job(object) => vec![id(object)],
        }
    }
}

/// All that `file` describes; `-` is standard input. Errors: it cannot be read, or what it is cannot be told.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<Document>> {
    documents(values(file)?).with_context(|| file.display().to_string())
}

/// The one object in `file`, as it is.
pub(super) fn read_object(file: &Path) -> anyhow::Result<Map<String, Value>> {
    match values(file)?.pop() {
        Some(Value::Object(object)) => Ok(object),
        _ => Err(Usage(format!("{}: one object is expected, with the fields to be changed", file.display()))
            .into()),
    }
}

fn values(file: &Path) -> anyhow::Result<Vec<Value>> {
    let name = file.display();
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(MAX_BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(MAX_BYTES + 1).read_to_string(&mut text))
    };
    read.map_err(|error| Usage(format!("{name}: {error}")))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Usage(format!("{name}: larger than {} MiB", MAX_BYTES >> 20)).into());
    }
    parse(&text).map_err(|error| Usage(format!("{name}: {error:#}")).into())
}

/// The values in a text: JSON if it begins like it, else YAML, which may be more than one.
fn parse(text: &str) -> anyhow::Result<Vec<Value>> {
    if text.trim_start().starts_with(['{', '[']) {
        // JSON's errors name its own lines; most YAML that begins so is JSON with comments or bare words.
        let error = match serde_json::from_str(text) {
            Ok(value) => return Ok(vec![value]),
            Err(error) => error,
        };
        return yaml(text).map_err(|_| anyhow::anyhow!("it is no JSON: {error}"));
    }
    yaml(text).context("it is neither JSON nor YAML")
}

fn yaml(text: &str) -> anyhow::Result<Vec<Value>> {
    use serde::Deserialize;
    let mut values = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        // Aliases and merge keys are resolved by the reader, which bounds how often they repeat.
        let mut value = serde_yaml_ng::Value::deserialize(document)?;
        value.apply_merge()?;
        match serde_json::to_value(value)? {
            Value::Null => {}
            value => values.push(value),
        }
    }
    Ok(values)
}

/// What each value is.
fn documents(values: Vec<Value>) -> Result<Vec<Document>, Usage> {
    let mut documents: Vec<Document> = Vec::new();
    for value in values {
        let document = document(value)?;
        match (documents.last_mut(), document) {
            // Apps that follow each other are one deployment, as in an array.
            (Some(Document::Apps(before)), Document::Apps(apps)) => before.extend(apps),
            (_, document) => documents.push(document),
        }
    }
    if documents.is_empty() {
        return Err(Usage(
            "there is nothing in it; it is to hold an app, apps, a group, a pod or a job".to_owned(),
        ));
    }
    Ok(documents)
}

fn document(value: Value) -> Result<Document, Usage> {
    match value {
        Value::Array(apps) => Ok(Document::Apps(apps.into_iter().map(app).collect::<Result<_, _>>()?)),
        Value::Object(mut object) => {
            let has = |field: &str| object.contains_key(field);
            // As the framework answers: {"app": {...}}, {"apps": [...]}.
            if object.len() == 1 && has("app") {
                return document(object.remove("app").unwrap_or_default());
            }
            if has("apps") && !has("id") && !has("groups") {
                return document(object.remove("apps").unwrap_or_default());
            }
            // A pod's status, which `show` prints.
            if has("spec") && has("instances") {
                return document(object.remove("spec").unwrap_or_default());
            }
            if has("containers") {
                return Ok(Document::Pod(named(strip(object), "pod")?));
            }
            if has("groups") || has("apps") {
                return Ok(Document::Group(named(tree(object), "group")?));
            }
            if has("run") || has("schedule") {
                return Ok(Document::Job(named(strip(object), "job")?));
            }
            Ok(Document::Apps(vec![app(Value::Object(object))?]))
        }
        other => Err(Usage(format!("an object or an array is expected, not {other}"))),
    }
}

fn app(value: Value) -> Result<Value, Usage> {
    match value {
        Value::Object(object) if object.contains_key("containers") => Err(Usage(
            "an array is to hold apps alone; a pod needs a file, or a YAML document, of its own".to_owned(),
        )),
        Value::Object(object) => named(strip(object), "app"),
        other => Err(Usage(format!("an app is an object, not {other}"))),
    }
}

fn named(object: Map<String, Value>, what: &str) -> Result<Value, Usage> {
    match object.get("id") {
        Some(Value::String(id)) if !id.is_empty() => Ok(Value::Object(object)),
        Some(other) => Err(Usage(format!("/id of the {what}: a name is expected, not {other}"))),
        None => Err(Usage(format!("the {what} has no \"id\""))),
    }
}

/// A definition that the framework printed, without what only the framework sets.
pub(super) fn definition(printed: &Value) -> Map<String, Value> {
    strip(printed.as_object().cloned().unwrap_or_default())
}

fn strip(mut object: Map<String, Value>) -> Map<String, Value> {
    object.retain(|field, _| !NOT_SET_BY_USERS.contains(&field.as_str()));
    object
}

/// A group without what only the framework sets. Its pods are no part of an update.
fn tree(mut group: Map<String, Value>) -> Map<String, Value> {
    group.retain(|field, _| !matches!(field.as_str(), "version" | "pods"));
    for (list, of_groups) in [("apps", false), ("groups", true)] {
        for value in group.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Value::Object(object) = value {
                let object = std::mem::take(object);
                *value = Value::Object(if of_groups { tree(object) } else { strip(object) });
            }
        }
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Document>, String> {
        documents(parse(text).map_err(|error| format!("{error:#}"))?).map_err(|error| error.to_string())
    }

    #[test]
    fn documents_are_told_apart_by_their_fields() {
        let kind = |text: &str| match &read_text(text).unwrap()[..] {
            [Document::Apps(apps)] => format!("apps {}", apps.len()),
            [Document::Group(_)] => "group".to_owned(),
            [Document::Pod(_)] => "pod".to_owned(),
            [Document::Job(_)] => "job".to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(kind(r#"{"id":"web","cmd":"x"}"#), "apps 1");
        assert_eq!(kind(r#"[{"id":"a"},{"id":"b"}]"#), "apps 2");
        assert_eq!(kind(r#"{"app":{"id":"a"}}"#), "apps 1");
        assert_eq!(kind(r#"{"apps":[{"id":"a"},{"id":"b"}]}"#), "apps 2");
        assert_eq!(kind(r#"{"id":"/g","apps":[]}"#), "group");
        assert_eq!(kind(r#"{"id":"/p","containers":[]}"#), "pod");
        assert_eq!(kind(r#"{"id":"/j","run":{"cmd":"x"}}"#), "job");
        assert_eq!(kind("id: a\ncmd: x\n---\nid: b\ncmd: y\n"), "apps 2");
    }

    #[test]
    fn yaml_may_repeat_itself_by_reference() {
        let text = "- &web {id: a, cmd: x, cpus: 0.5}\n- <<: *web\n  id: b\n";
        let [Document::Apps(apps)] = &read_text(text).unwrap()[..] else { panic!() };
        assert_eq!(apps[1], json!({ "id": "b", "cmd": "x", "cpus": 0.5 }));
    }

    #[test]
    fn yaml_that_unfolds_without_end_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(", ")));
        }
        assert!(read_text(&text).is_err());
        assert!(read_text(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn what_the_framework_prints_can_be_sent_back() {
        let text = r#"{"app":{"id":"/a","cmd":"x","version":"t","tasksRunning":1,"tasks":[]}}"#;
        assert_eq!(read_text(text).unwrap(), [Document::Apps(vec![json!({ "id": "/a", "cmd": "x" })])]);
        let text = r#"{"id":"/p","status":"STABLE","instances":[],"spec":{"id":"/p","version":"t","containers":[]}}"#;
        let pod = json!({ "id": "/p", "containers": [] });
        assert_eq!(read_text(text).unwrap(), [Document::Pod(pod)]);
        let text = r#"{"id":"/g","version":"t","pods":[],"groups":[{"id":"h","version":"t","apps":[{"id":"a","version":"t"}]}]}"#;
        let group = json!({ "id": "/g", "groups": [{ "id": "h", "apps": [{ "id": "a" }] }] });
        assert_eq!(read_text(text).unwrap(), [Document::Group(group)]);
    }

    #[test]
    fn each_goes_to_a_place_of_its_own() {
        let place = |text: &str| read_text(text).unwrap()[0].request().0;
        assert_eq!(place(r#"{"id":"web"}"#), "/v2/apps/web");
        assert_eq!(place(r#"[{"id":"a"},{"id":"b"}]"#), "/v2/apps");
        assert_eq!(place(r#"{"id":"/","groups":[]}"#), "/v2/groups");
        assert_eq!(place(r#"{"id":"/g/","groups":[]}"#), "/v2/groups/g");
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (text, expected) in [
            (r#"{"id":"a" "b"}"#, "line 1"),
            ("", "nothing in it"),
            ("just words", "an object or an array"),
            (r#"{"cmd":"x"}"#, "no \"id\""),
            (r#"{"id":7}"#, "/id of the app"),
            (r#"[7]"#, "an app is an object"),
            ("a: [", "neither JSON nor YAML"),
        ] {
            let error = read_text(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
