//! Every route answers, with and without a slash at its end, with the status and the headers that clients expect.

use serde_json::{Value, json};

use crate::door::Door;

/// Method, path, status, and a part of the body.
const TABLE: &[(&str, &str, u16, &str)] = &[
    ("GET", "/", 200, "/v2/apps"),
    ("GET", "/ping", 200, "pong"),
    ("GET", "/ping/", 200, "pong"),
    ("GET", "/metrics", 200, "marathon.apps.active.gauge"),
    ("GET", "/metrics/prometheus", 200, "marathon_apps_active_gauge 0"),
    ("GET", "/config", 200, "local_port_min"),
    ("GET", "/logging", 200, "ROOT"),
    ("GET", "/openapi.json", 200, "openapi"),
    ("GET", "/v2/info", 200, "zookeeper_config"),
    ("GET", "/v2/leader", 200, "leader"),
    ("DELETE", "/v2/leader", 409, "message"),
    ("GET", "/v2/plugins", 200, "plugins"),
    ("GET", "/v2/apps", 200, "{\"apps\":[]}"),
    ("GET", "/v2/apps/", 200, "{\"apps\":[]}"),
    ("GET", "//v2//apps", 200, "{\"apps\":[]}"),
    ("HEAD", "/v2/apps", 200, ""),
    ("GET", "/v2/apps?label=a%3D%3Db", 200, "apps"),
    ("GET", "/v2/apps?label=a%3D", 422, "label selector"),
    ("GET", "/v2/apps/*", 200, "{\"*\":[]}"),
    ("GET", "/v2/apps/none", 404, "App '/none' does not exist"),
    ("GET", "/v2/apps//none", 404, "App '/none' does not exist"),
    ("GET", "/v2/apps/UPPER", 422, "message"),
    ("DELETE", "/v2/apps/none", 404, "App '/none' does not exist"),
    ("POST", "/v2/apps/none", 405, "GET, PUT"),
    ("POST", "/v2/apps/none/restart", 404, "App '/none'"),
    ("GET", "/v2/apps/none/restart", 405, "POST"),
    ("GET", "/v2/apps/none/versions", 404, "App '/none'"),
    ("GET", "/v2/apps/none/versions/x", 404, "App '/none'"),
    ("GET", "/v2/apps/none/tasks", 404, "App '/none'"),
    ("GET", "/v2/apps/*/tasks", 200, "{\"tasks\":[]}"),
    ("DELETE", "/v2/apps/none/tasks", 404, "App '/none'"),
    ("DELETE", "/v2/apps/none/tasks?scale=true&wipe=True", 400, "scale=true and wipe=true"),
    ("DELETE", "/v2/apps/none/tasks/x", 404, "App '/none'"),
    ("GET", "/v2/apps/none/explain", 404, "App '/none'"),
    ("GET", "/v2/tasks", 200, "{\"tasks\":[]}"),
    ("GET", "/v2/tasks?status=running&status[]=staging", 200, "{\"tasks\":[]}"),
    ("GET", "/v2/tasks/delete", 405, "POST"),
    ("GET", "/v2/groups", 200, "\"id\":\"/\""),
    ("GET", "/v2/groups/", 200, "\"id\":\"/\""),
    ("GET", "/v2/groups/none", 404, "Group '/none' does not exist"),
    ("GET", "/v2/groups/none/apps", 200, "[]"),
    ("GET", "/v2/groups/versions", 200, "["),
    ("GET", "/v2/groups/none/versions", 404, "Group '/none'"),
    ("DELETE", "/v2/groups/none", 404, "Group '/none'"),
    ("HEAD", "/v2/pods", 200, ""),
    ("GET", "/v2/pods", 200, "[]"),
    ("GET", "/v2/pods/::status", 200, "[]"),
    ("GET", "/v2/pods/none", 404, "Pod '/none' does not exist"),
    ("GET", "/v2/pods/none::status", 404, "Pod '/none'"),
    ("GET", "/v2/pods/none::versions", 404, "Pod '/none'"),
    ("GET", "/v2/pods/none::what", 404, "URI not found"),
    ("DELETE", "/v2/pods/none", 404, "Pod '/none'"),
    ("DELETE", "/v2/pods/none::instances/x", 404, "Pod '/none'"),
    ("GET", "/v2/deployments", 200, "[]"),
    ("POST", "/v2/deployments", 405, "GET"),
    ("GET", "/v2/deployments/none", 404, "DeploymentPlan 'none' does not exist"),
    ("DELETE", "/v2/deployments/none", 404, "DeploymentPlan 'none' does not exist"),
    ("DELETE", "/v2/deployments/none?force=true", 404, "DeploymentPlan 'none' does not exist"),
    ("POST", "/v2/deployments/none/promote", 404, "DeploymentPlan 'none'"),
    ("GET", "/v2/queue", 200, "{\"queue\":[]}"),
    ("GET", "/v2/queue/?embed=lastUnusedOffers", 200, "{\"queue\":[]}"),
    ("DELETE", "/v2/queue/none/delay", 404, "not found in tasks queue"),
    ("GET", "/v2/jobs", 200, "{\"jobs\":[]}"),
    ("GET", "/v2/jobs/none", 404, "Job '/none' does not exist"),
    ("DELETE", "/v2/jobs/none", 404, "Job '/none'"),
    ("POST", "/v2/jobs/none/runs", 404, "Job '/none'"),
    ("GET", "/v2/eventSubscriptions", 404, "URI not found"),
    ("GET", "/v2/artifacts", 404, "URI not found"),
    ("GET", "/ui/", 404, "URI not found"),
    ("GET", "/v2/events", 405, "text/event-stream"),
    ("POST", "/v2/events", 405, "GET"),
];

#[tokio::test]
async fn every_route_answers_with_the_status_that_clients_expect() {
    let door = Door::open().await;
    for (method, path, status, part) in TABLE {
        let reply = door.send(method, path, &[], "").await;
        assert_eq!(reply.status, *status, "{method} {path}: {}", reply.text);
        assert!(reply.text.contains(part), "{method} {path}: {}", reply.text);
    }
    door.close().await;
}

#[tokio::test]
async fn every_reply_says_that_it_may_not_be_kept_and_who_leads() {
    let door = Door::open().await;
    for path in ["/v2/apps", "/v2/apps/none", "/ping", "/what", "/v2/events"] {
        let reply = door.get(path).await;
        assert_eq!(reply.header("cache-control"), "no-cache, no-store, must-revalidate", "{path}");
        assert_eq!((reply.header("pragma"), reply.header("expires")), ("no-cache", "0"), "{path}");
        assert_eq!(reply.header("x-marathon-leader"), format!("http://{}", door.address()), "{path}");
        assert_eq!(reply.header("x-frame-options"), "DENY", "{path}");
    }
    let error = door.get("/v2/apps/none").await;
    assert_eq!(error.header("content-type"), "application/json");
    assert_eq!(error.json(), json!({ "message": "App '/none' does not exist" }));
    let wrong = door.send("POST", "/v2/queue", &[], "").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "GET"));
    door.close().await;
}

#[tokio::test]
async fn a_reply_has_the_form_that_the_client_takes() {
    let door = Door::open().await;
    let accept = |kind: &'static str| [("accept", kind)];
    assert_eq!(door.send("GET", "/ping", &accept("application/json"), "").await.text, "\"pong\"");
    assert_eq!(door.send("GET", "/ping", &accept("image/png"), "").await.status, 204);
    assert_eq!(door.send("GET", "/v2/apps", &accept("text/plain"), "").await.status, 406);
    assert_eq!(door.send("GET", "/v2/apps", &accept("text/html, */*;q=0.1"), "").await.status, 200);
    let text = door.send("GET", "/v2/tasks", &accept("text/plain"), "").await;
    assert_eq!((text.status, text.header("content-type")), (200, "text/plain"));
    assert_eq!(door.send("GET", "/v2/tasks", &accept("*/*"), "").await.json(), json!({ "tasks": [] }));
    let packed = door.send("GET", "/v2/info", &[("accept-encoding", "gzip")], "").await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    door.close().await;
}

#[tokio::test]
async fn the_three_settings_of_info_are_objects() {
    let door = Door::open().await;
    let info = door.get("/v2/info").await.json();
    for name in ["marathon_config", "zookeeper_config", "http_config"] {
        assert!(info[name].is_object(), "{name}: {info}");
    }
    assert_eq!(info["name"], "marathon");
    let version: Vec<&str> = info["version"].as_str().unwrap().split('.').collect();
    assert!(version.iter().all(|part| part.parse::<u32>().is_ok()), "{version:?}");
    assert_eq!(info["frameworkId"], Value::Null);
    door.close().await;
}
