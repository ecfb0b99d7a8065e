//! The routes of the API.

use serde_json::{Map, Value, json};

use super::schema::{flag, list, named, text};

/// One route: method, path, what it does, what it takes, its success, and what that shows.
type Route = (&'static str, &'static str, &'static str, Takes, &'static str, Shows);

/// What a route takes beside its path.
#[derive(Clone, Copy)]
enum Takes {
    Nothing,
    /// Queries; a name that ends in `*` may be repeated.
    Query(&'static [&'static str]),
    /// A document, and queries.
    Body(&'static str, &'static [&'static str]),
    /// A list of such documents, and queries.
    Bodies(&'static str, &'static [&'static str]),
}

/// What a success shows.
#[derive(Clone, Copy)]
enum Shows {
    Nothing,
    Text,
    Events,
    Any,
    /// One of these.
    One(&'static str),
    /// A list of these.
    Many(&'static str),
}

use Shows::{Any, Events, Many, One};
use Takes::{Bodies, Body, Nothing, Query};

/// What a change began, or would do.
const RESULT: Shows = One("Change");
const CHANGE: &[&str] = &["force", "strategy", "dryRun"];
const UPDATE: &[&str] = &["force", "partialUpdate", "strategy", "dryRun"];

/// All routes. `{id}` stands for a path of any number of segments.
const ROUTES: &[Route] = &[
    ("get", "/v2/apps", "All apps, or some", Query(&["cmd", "id", "label", "embed*"]), "200", One("Apps")),
    ("post", "/v2/apps", "Create an app", Body("App", CHANGE), "201", One("AppStatus")),
    ("put", "/v2/apps", "Change or create several apps", Bodies("AppUpdate", UPDATE), "200", RESULT),
    ("patch", "/v2/apps", "Change several apps", Bodies("AppUpdate", CHANGE), "200", RESULT),
    ("get", "/v2/apps/{id}", "An app", Query(&["embed*"]), "200", One("AppReply")),
    ("put", "/v2/apps/{id}", "Change or create an app", Body("AppUpdate", UPDATE), "200", RESULT),
    ("patch", "/v2/apps/{id}", "Change an app", Body("AppUpdate", CHANGE), "200", RESULT),
    ("delete", "/v2/apps/{id}", "Remove an app", Query(&["force"]), "200", RESULT),
    ("post", "/v2/apps/{id}/restart", "Replace all instances", Query(&["force"]), "200", RESULT),
    ("get", "/v2/apps/{id}/versions", "When it was changed", Nothing, "200", One("Versions")),
    ("get", "/v2/apps/{id}/versions/{version}", "An app as it was", Nothing, "200", One("App")),
    ("get", "/v2/apps/{id}/tasks", "Its tasks", Nothing, "200", One("Tasks")),
    (
        "delete",
        "/v2/apps/{id}/tasks",
        "Kill its tasks",
        Query(&["host", "scale", "force", "wipe"]),
        "200",
        Any,
    ),
    ("delete", "/v2/apps/{id}/tasks/{taskId}", "Kill a task", Query(&["scale", "force", "wipe"]), "200", Any),
    ("get", "/v2/apps/{id}/explain", "Why its instances, or a job's runs, wait", Nothing, "200", Any),
    ("get", "/v2/tasks", "All tasks of apps", Query(&["status*", "status[]*"]), "200", One("Tasks")),
    ("post", "/v2/tasks/delete", "Kill tasks", Body("TaskIds", &["scale", "wipe", "force"]), "200", Any),
    ("get", "/v2/groups", "The group of all", Query(&["embed*"]), "200", One("Group")),
    ("post", "/v2/groups", "Create a group", Body("GroupUpdate", &["force"]), "201", RESULT),
    (
        "put",
        "/v2/groups",
        "Change the group of all",
        Body("GroupUpdate", &["force", "dryRun"]),
        "200",
        RESULT,
    ),
    (
        "patch",
        "/v2/groups",
        "Refused: the group of all has no role",
        Body("GroupUpdate", &[]),
        "200",
        Shows::Nothing,
    ),
    ("delete", "/v2/groups", "Remove everything", Query(&["force"]), "200", RESULT),
    ("get", "/v2/groups/{id}", "A group", Query(&["embed*"]), "200", One("Group")),
    ("post", "/v2/groups/{id}", "Create a group", Body("GroupUpdate", &["force"]), "201", RESULT),
    (
        "put",
        "/v2/groups/{id}",
        "Change or create a group",
        Body("GroupUpdate", &["force", "dryRun"]),
        "200",
        RESULT,
    ),
    (
        "patch",
        "/v2/groups/{id}",
        "Enforce a group's role, or not",
        Body("GroupUpdate", &[]),
        "200",
        Shows::Nothing,
    ),
    ("delete", "/v2/groups/{id}", "Remove a group with all in it", Query(&["force"]), "200", RESULT),
    ("get", "/v2/groups/apps", "All apps", Query(&["embed*"]), "200", Many("AppStatus")),
    ("get", "/v2/groups/versions", "When anything was changed", Nothing, "200", Many("Version")),
    ("get", "/v2/groups/versions/{version}", "Everything as it was", Nothing, "200", One("Group")),
    (
        "put",
        "/v2/groups/versions/{version}",
        "Take everything back",
        Query(&["force", "dryRun"]),
        "200",
        RESULT,
    ),
    (
        "put",
        "/v2/groups/{id}/versions/{version}",
        "Take a group back",
        Query(&["force", "dryRun"]),
        "200",
        RESULT,
    ),
    ("get", "/v2/groups/{id}/apps", "All apps below", Query(&["embed*"]), "200", Many("AppStatus")),
    ("get", "/v2/groups/{id}/versions", "When it was changed", Nothing, "200", Many("Version")),
    ("get", "/v2/groups/{id}/versions/{version}", "A group as it was", Nothing, "200", One("Group")),
    ("head", "/v2/pods", "Are there pods?", Nothing, "200", Shows::Nothing),
    ("get", "/v2/pods", "All pods", Nothing, "200", Many("Pod")),
    ("post", "/v2/pods", "Create a pod", Body("Pod", &["force"]), "201", One("Pod")),
    ("get", "/v2/pods/{id}", "A pod", Nothing, "200", One("Pod")),
    ("put", "/v2/pods/{id}", "Change or create a pod", Body("Pod", &["force"]), "200", One("Pod")),
    ("delete", "/v2/pods/{id}", "Remove a pod", Query(&["force"]), "202", Shows::Nothing),
    ("get", "/v2/pods/::status", "How all pods are", Nothing, "200", Many("PodStatus")),
    ("get", "/v2/pods/{id}::status", "How a pod is", Nothing, "200", One("PodStatus")),
    ("get", "/v2/pods/{id}::versions", "When it was changed", Nothing, "200", Many("Version")),
    ("get", "/v2/pods/{id}::versions/{version}", "A pod as it was", Nothing, "200", One("Pod")),
    ("delete", "/v2/pods/{id}::instances", "Kill instances", Body("InstanceIds", &["wipe"]), "200", Any),
    ("delete", "/v2/pods/{id}::instances/{instance}", "Kill an instance", Query(&["wipe"]), "200", Any),
    ("get", "/v2/deployments", "Those that run", Nothing, "200", Many("Deployment")),
    ("get", "/v2/deployments/{deployment}", "One, also when it has ended", Nothing, "200", One("Deployment")),
    (
        "delete",
        "/v2/deployments/{deployment}",
        "Take back, or with force leave",
        Query(&["force"]),
        "200",
        RESULT,
    ),
    ("post", "/v2/deployments/{deployment}/promote", "Go on with all instances", Nothing, "200", Any),
    ("get", "/v2/queue", "What waits to be launched, jobs too", Query(&["embed"]), "200", One("Queue")),
    ("delete", "/v2/queue/{id}/delay", "Launch without delay", Nothing, "204", Shows::Nothing),
    ("get", "/v2/jobs", "All jobs", Nothing, "200", Any),
    ("post", "/v2/jobs", "Create a job", Body("Job", &[]), "201", One("Job")),
    ("get", "/v2/jobs/{id}", "A job", Nothing, "200", One("Job")),
    ("put", "/v2/jobs/{id}", "Change or create a job", Body("Job", &[]), "200", One("Job")),
    ("delete", "/v2/jobs/{id}", "Remove a job", Nothing, "200", Any),
    ("get", "/v2/jobs/{id}/runs", "Its runs", Nothing, "200", Any),
    ("post", "/v2/jobs/{id}/runs", "Run it now", Nothing, "201", Any),
    ("get", "/v2/jobs/{id}/runs/{run}", "A run", Nothing, "200", Any),
    ("delete", "/v2/jobs/{id}/runs/{run}", "End a run", Nothing, "200", Any),
    ("get", "/v2/leader", "Who leads", Nothing, "200", Any),
    ("delete", "/v2/leader", "Step down", Query(&["backup", "restore"]), "200", Any),
    ("get", "/v2/info", "About this daemon", Nothing, "200", Any),
    ("get", "/v2/events", "What happens", Query(&["event_type*", "plan-format"]), "200", Events),
    ("get", "/v2/plugins", "There are none", Nothing, "200", Any),
    ("get", "/ping", "Is it there?", Nothing, "200", Shows::Text),
    ("get", "/metrics", "Figures", Nothing, "200", Any),
    ("get", "/metrics/prometheus", "Figures for Prometheus", Nothing, "200", Shows::Text),
    ("get", "/config", "The settings", Nothing, "200", Any),
    ("get", "/logging", "What is logged", Nothing, "200", Any),
    ("get", "/openapi.json", "This document", Nothing, "200", Any),
];

/// Statuses of refusals, and when.
const REFUSALS: [(&str, &str); 13] = [
    ("400", "No JSON, or a query that cannot be read"),
    ("403", "Too many deployments run"),
    ("404", "There is none"),
    ("405", "The path takes other methods"),
    ("406", "It is not given in a form that the client takes"),
    ("408", "The document came too slowly"),
    ("409", "Locked by a deployment, or there already"),
    ("413", "The document is too large"),
    ("414", "The path or its query is too long"),
    ("415", "The document is said to be something else than JSON"),
    ("422", "The document is JSON and wrong"),
    ("431", "The head is too large"),
    ("503", "Too busy, or without a leader"),
];

/// All routes as OpenAPI has them.
pub(super) fn paths() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let (method, path, ..) = route;
        let at = paths.entry((*path).to_owned()).or_insert_with(|| json!({}));
        at[*method] = operation(route);
    }
    Value::Object(paths)
}

fn operation((method, path, summary, takes, status, shows): &Route) -> Value {
    let (queries, body) = match takes {
        Nothing => (&[][..], None),
        Query(queries) => (*queries, None),
        Body(name, queries) => (*queries, Some(named(name))),
        Bodies(name, queries) => (*queries, Some(list(named(name)))),
    };
    let mut parameters: Vec<Value> = path
        .split(['{', '}'])
        .skip(1)
        .step_by(2)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": short() }))
        .collect();
    parameters.extend(queries.iter().map(|name| query(name)));
    let mut responses = Map::new();
    if queries.contains(&"dryRun") {
        responses.insert("200".to_owned(), success(RESULT));
    }
    responses.insert((*status).to_owned(), success(*shows));
    for (status, when) in REFUSALS {
        let mut refusal = json!({ "description": when });
        // These are found before anybody knows what is asked for.
        if !["414", "431"].contains(&status) {
            refusal["content"] = content(named("Error"));
        }
        responses.insert(status.to_owned(), refusal);
    }
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.fold((*method).to_owned(), |name, word| format!("{name}-{word}"));
    let mut shown = json!({
        "operationId": name, "summary": summary, "parameters": parameters, "responses": responses
    });
    if let Some(schema) = body {
        shown["requestBody"] = json!({ "required": *method != "delete", "content": content(schema) });
    }
    shown
}

fn query(name: &str) -> Value {
    let bare = name.trim_end_matches('*');
    let flags = ["force", "scale", "wipe", "partialUpdate", "dryRun"];
    let value = short();
    let schema = if flags.contains(&bare) {
        flag()
    } else if name.ends_with('*') {
        json!({ "type": "array", "items": value, "maxItems": 16 })
    } else {
        value
    };
    json!({ "name": bare, "in": "query", "schema": schema })
}

/// What stands in a request's line, which has an end.
fn short() -> Value {
    json!({ "type": "string", "maxLength": 256 })
}

fn content(schema: Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn success(shows: Shows) -> Value {
    let of = |kind: &str, schema: Value| json!({ "description": "Done", "content": { kind: { "schema": schema } } });
    match shows {
        Shows::Nothing => json!({ "description": "Done" }),
        Shows::Text => of("text/plain", text()),
        Events => of("text/event-stream", text()),
        Any => of("application/json", json!({})),
        One(name) => of("application/json", named(name)),
        Many(name) => of("application/json", list(named(name))),
    }
}
