//! Schemas of what is shown.

use serde_json::{Value, json};

use super::schema::{any_of, count, flag, list, map, named, number, object, port, text, time};

/// All of them by name.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("Version", time()),
        ("Versions", object(&[("versions", list(time()))], &["versions"])),
        ("Error", error()),
        (
            "DeploymentResult",
            object(&[("version", time()), ("deploymentId", text())], &["version", "deploymentId"]),
        ),
        ("Change", any_of(&[named("DeploymentResult"), object(&[("steps", list(json!({})))], &["steps"])])),
        ("Apps", object(&[("apps", list(named("AppStatus")))], &["apps"])),
        ("AppReply", object(&[("app", named("AppStatus"))], &[])),
        ("AppStatus", app_status()),
        ("Task", task()),
        ("Tasks", object(&[("tasks", list(named("Task")))], &["tasks"])),
        ("TaskIds", object(&[("ids", list(text()))], &["ids"])),
        ("InstanceIds", list(text())),
        ("Group", group()),
    ];
    all.extend(others());
    all
}

fn error() -> Value {
    let fault = object(&[("path", text()), ("errors", list(text()))], &["path", "errors"]);
    let deployment = object(&[("id", text())], &["id"]);
    object(
        &[
            ("message", text()),
            ("details", any_of(&[text(), list(fault)])),
            ("deployments", list(deployment)),
        ],
        &["message"],
    )
}

fn app_status() -> Value {
    let own = object(
        &[
            ("tasksStaged", count()),
            ("tasksRunning", count()),
            ("tasksHealthy", count()),
            ("tasksUnhealthy", count()),
            ("deployments", list(object(&[("id", text())], &["id"]))),
            ("tasks", list(named("Task"))),
            ("readinessCheckResults", list(json!({}))),
            ("lastTaskFailure", json!({ "type": "object" })),
            ("tasksStats", json!({ "type": "object" })),
            ("taskStats", json!({ "type": "object" })),
        ],
        &[],
    );
    json!({ "allOf": [named("App"), own] })
}

fn task() -> Value {
    let address = object(&[("ipAddress", text()), ("protocol", text())], &["ipAddress", "protocol"]);
    object(
        &[
            ("appId", text()),
            ("id", text()),
            ("host", text()),
            ("state", text()),
            ("role", text()),
            ("slaveId", text()),
            ("ports", list(port())),
            ("servicePorts", list(port())),
            ("ipAddresses", list(address)),
            ("stagedAt", time()),
            ("startedAt", time()),
            ("version", time()),
            ("healthCheckResults", list(json!({ "type": "object" }))),
            ("checkResult", json!({ "type": "object" })),
            ("localVolumes", list(json!({ "type": "object" }))),
            ("region", text()),
            ("zone", text()),
        ],
        &["appId", "id", "host", "state", "ports"],
    )
}

fn group() -> Value {
    object(
        &[
            ("id", text()),
            ("version", time()),
            ("dependencies", list(text())),
            ("enforceRole", flag()),
            ("apps", list(named("AppStatus"))),
            ("pods", list(named("PodStatus"))),
            ("groups", list(named("Group"))),
        ],
        &["id", "version"],
    )
}

fn others() -> Vec<(&'static str, Value)> {
    let action = object(&[("action", text()), ("app", text()), ("pod", text())], &["action"]);
    let actions = list(action);
    let deployment = object(
        &[
            ("id", text()),
            ("version", time()),
            ("affectedApps", list(text())),
            ("affectedPods", list(text())),
            ("steps", list(object(&[("actions", actions.clone())], &["actions"]))),
            ("currentActions", actions),
            ("currentStep", count()),
            ("totalSteps", count()),
        ],
        &["id", "version"],
    );
    let pod_status = object(
        &[
            ("id", text()),
            ("spec", named("Pod")),
            ("status", text()),
            ("statusSince", time()),
            ("message", text()),
            ("instances", list(json!({ "type": "object" }))),
            ("terminationHistory", list(json!({ "type": "object" }))),
            ("lastUpdated", time()),
            ("lastChanged", time()),
        ],
        &["id", "spec", "status"],
    );
    let delay =
        object(&[("timeLeftSeconds", number(0.0)), ("overdue", flag())], &["timeLeftSeconds", "overdue"]);
    let entry = object(
        &[
            ("app", named("App")),
            ("pod", named("Pod")),
            ("count", count()),
            ("role", text()),
            ("since", time()),
            ("delay", delay),
            ("processedOffersSummary", map(json!({}))),
            ("lastUnusedOffers", list(map(json!({})))),
        ],
        &["count", "since", "delay"],
    );
    vec![
        ("Deployment", deployment),
        ("PodStatus", pod_status),
        ("Queue", object(&[("queue", list(entry))], &["queue"])),
    ]
}
