//! Fields of a definition that nobody reads. The framework leaves them out in silence, as Marathon does; here they are
//! named, with the field that may have been meant.
//!
//! Source: the OpenAPI document, of which a test says that it has exactly the fields that are read.

use serde_json::{Map, Value};

use super::input::Document;
use crate::output;

/// So many are named.
const MOST_NAMED: usize = 20;

/// A field is taken for another if it is at most so many letters away from it.
const MOST_MISTYPED: usize = 2;

/// Warns of what nobody will read of a document.
pub(super) fn warn_of(document: &Document) {
    let (objects, schema): (&[Value], _) = match document {
        Document::Apps(apps) => (apps, "App"),
        Document::Group(group) => (std::slice::from_ref(group), "GroupUpdate"),
        Document::Pod(pod) => (std::slice::from_ref(pod), "Pod"),
        Document::Job(job) => (std::slice::from_ref(job), "Job"),
    };
    let reader = Reader::new();
    let several = objects.len() > 1;
    let unknown = objects.iter().flat_map(|object| {
        let id = object["id"].as_str().filter(|_| several).map(|id| format!("{id}: ")).unwrap_or_default();
        reader.unknown(object, schema).into_iter().map(move |unknown| format!("{id}{unknown}"))
    });
    warn(&unknown.collect::<Vec<_>>());
}

/// Warns of what nobody will read of some fields of an app.
pub(super) fn warn_of_fields(fields: &Map<String, Value>) {
    warn(&Reader::new().unknown(&Value::Object(fields.clone()), "App"));
}

fn warn(unknown: &[String]) {
    for one in unknown.iter().take(MOST_NAMED) {
        output::warn(one);
    }
    if unknown.len() > MOST_NAMED {
        output::warn(&format!("{} more fields are unknown", unknown.len() - MOST_NAMED));
    }
}

/// Knows which fields are read.
struct Reader(Value);

impl Reader {
    fn new() -> Self {
        Self(lonja_services::wire::openapi())
    }

    /// The fields of `object` that nobody reads, each in a sentence.
    fn unknown(&self, object: &Value, schema: &str) -> Vec<String> {
        self.walk(object, &self.0["components"]["schemas"][schema], "")
    }

    fn walk(&self, value: &Value, schema: &Value, path: &str) -> Vec<String> {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.trim_start_matches("#/components/schemas/");
            return self.walk(value, &self.0["components"]["schemas"][name], path);
        }
        if let Some(forms) = schema["oneOf"].as_array() {
            // Whichever form it has more in common with.
            let fits = forms.iter().filter(|form| self.may_be(value, form));
            return fits.map(|form| self.walk(value, form, path)).min_by_key(Vec::len).unwrap_or_default();
        }
        match value {
            Value::Array(values) => {
                let walk = |(index, value)| self.walk(value, &schema["items"], &format!("{path}({index})"));
                values.iter().enumerate().flat_map(walk).collect()
            }
            Value::Object(fields) => self.walk_fields(fields, schema, path),
            _ => Vec::new(),
        }
    }

    fn walk_fields(&self, fields: &Map<String, Value>, schema: &Value, path: &str) -> Vec<String> {
        let Some(known) = schema["properties"].as_object() else {
            let each = &schema["additionalProperties"];
            let walk = |(name, value): (&String, &Value)| self.walk(value, each, &format!("{path}({name})"));
            return fields.iter().flat_map(walk).collect();
        };
        let walk = |(name, value): (&String, &Value)| match known.get(name) {
            Some(schema) => self.walk(value, schema, &format!("{path}/{name}")),
            None => vec![sentence(name, path, known)],
        };
        fields.iter().flat_map(walk).collect()
    }

    fn may_be(&self, value: &Value, schema: &Value) -> bool {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.trim_start_matches("#/components/schemas/");
            return self.may_be(value, &self.0["components"]["schemas"][name]);
        }
        match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some(_) => !value.is_object() && !value.is_array(),
            None => true,
        }
    }
}

fn sentence(name: &str, path: &str, known: &Map<String, Value>) -> String {
    let near = known.keys().map(|other| (distance(name, other), other));
    let near = near.filter(|(distance, other)| *distance <= MOST_MISTYPED && *distance < other.len());
    let meant = near.min().map(|(_, other)| format!("; is `{other}` meant?")).unwrap_or_default();
    format!("unknown field {path}/{name}, which is left out{meant}")
}

/// How many letters are to be changed, added or taken away; large and small letters are the same.
fn distance(one: &str, other: &str) -> usize {
    let letters = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    let (one, other) = (letters(one), letters(other));
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.iter().enumerate() {
        let mut next = vec![at + 1];
        for (index, theirs) in other.iter().enumerate() {
            let changed = row[index] + usize::from(letter != theirs);
            next.push(changed.min(row[index + 1] + 1).min(next[index] + 1));
        }
        row = next;
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn unknown(object: Value, schema: &str) -> Vec<String> {
        Reader::new().unknown(&object, schema)
    }

    #[test]
    fn what_nobody_reads_is_named_with_what_may_be_meant() {
        let app = json!({ "id": "/a", "cmd": "x", "instance": 3, "env": { "ANY": "name" }, "labels": { "any": "name" },
                          "healthChecks": [{ "protocol": "COMMAND", "intervalSecond": 3 }] });
        let expected = [
            "unknown field /healthChecks(0)/intervalSecond, which is left out; is `intervalSeconds` meant?",
            "unknown field /instance, which is left out; is `instances` meant?",
        ];
        assert_eq!(unknown(app, "App"), expected);
        let group = json!({ "id": "/g", "groups": [{ "id": "h", "apps": [{ "id": "a", "Cmd": "x" }] }] });
        let said = unknown(group, "GroupUpdate").join("\n");
        assert!(said.contains("/groups(0)/apps(0)/Cmd") && said.contains("`cmd`"), "{said}");
        let said = unknown(json!({ "id": "/j", "run": { "cmd": "x" }, "zzzzzz": 1 }), "Job").join("\n");
        assert_eq!(said, "unknown field /zzzzzz, which is left out");
    }

    #[test]
    fn what_is_read_is_not_named() {
        let app = json!({ "id": "/a", "env": { "A": "1", "S": { "secret": "s" } }, "secrets": { "s": { "source": "x" } },
                          "constraints": [["hostname", "UNIQUE"]], "container": { "type": "MESOS", "docker": { "image": "x" } },
                          "unreachableStrategy": "disabled", "portDefinitions": [{ "port": 0, "labels": { "a": "b" } }] });
        assert_eq!(unknown(app, "App"), Vec::<String>::new());
        let pod = json!({ "id": "/p", "containers": [{ "name": "c", "exec": { "command": { "shell": "x" } },
                          "resources": { "cpus": 1, "mem": 32 } }], "scaling": { "kind": "fixed", "instances": 1 } });
        assert_eq!(unknown(pod, "Pod"), Vec::<String>::new());
    }
}
