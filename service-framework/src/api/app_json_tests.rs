use lonja_services_core::instance::{Goal, HealthState};

use super::*;
use crate::made_up;

/// An app of two ports that is balanced, checked at its first port.
fn web() -> App {
    made_up::app(&json!({
        "id": "/shop/web", "cmd": "serve", "labels": { "HAPROXY_GROUP": "external" },
        "portDefinitions": [{ "port": 10_000 }, { "port": 10_001 }],
        "healthChecks": [{ "protocol": "HTTP", "path": "/" }]
    }))
}

/// What `GET /v2/apps?embed=apps.tasks` shows of these instances of an app.
fn shown(app: &App, instances: Vec<Instance>) -> Value {
    let embeds = Embeds::of_list(&Query::of(Some("embed=apps.tasks&embed=apps.taskStats")));
    let app = Arc::new(app.clone());
    let counts = Counts::default();
    let seen = SeenApp { app, counts, instances, failure: None, deployments: Vec::new() };
    seen.json(embeds, Timestamp::ZERO)
}

fn checked(alive: bool, mut instance: Instance) -> Instance {
    let at = Some(Timestamp::from_nanos(5));
    let state = HealthState {
        last_success: at.filter(|_| alive),
        last_failure: at.filter(|_| !alive),
        ..Default::default()
    };
    instance.health = vec![state];
    instance
}

/// The fields that marathon-lb makes a configuration of, by its source.
#[test]
fn a_balancer_finds_all_that_it_reads_of_an_app() {
    let web = web();
    let good = checked(true, made_up::running(&web, 1));
    let task = good.tasks[0].id.to_string();
    let shown = shown(&web, vec![good, checked(false, made_up::running(&web, 2))]);
    assert_eq!((&shown["id"], &shown["labels"]["HAPROXY_GROUP"]), (&json!("/shop/web"), &json!("external")));
    let ports: Vec<&Value> =
        shown["portDefinitions"].as_array().unwrap().iter().map(|one| &one["port"]).collect();
    assert_eq!(ports, [10_000, 10_001]);
    let check = &shown["healthChecks"][0];
    assert_eq!(
        (&check["protocol"], &check["path"], &check["portIndex"]),
        (&json!("HTTP"), &json!("/"), &json!(0))
    );
    for field in ["intervalSeconds", "timeoutSeconds", "gracePeriodSeconds", "maxConsecutiveFailures"] {
        assert!(check[field].is_u64(), "{field}: {check}");
    }
    let first = &shown["tasks"][0];
    assert_eq!((&first["id"], &first["state"]), (&json!(task), &json!("TASK_RUNNING")));
    assert_eq!((&first["host"], &first["ports"]), (&json!("10.0.0.1"), &json!([31_000, 31_001])));
    assert_eq!(first["ipAddresses"], json!([{ "ipAddress": "10.0.0.1", "protocol": "IPv4" }]));
    assert_eq!(first["healthCheckResults"][0]["alive"], true);
    assert_eq!(shown["tasks"][1]["healthCheckResults"][0]["alive"], false);
}

/// It goes by what it saw last, and drops those of which it is told that there is no good word.
#[test]
fn a_task_that_nobody_has_looked_at_as_yet_has_no_results_in_place_of_none() {
    let web = web();
    let task = &shown(&web, vec![made_up::running(&web, 1)])["tasks"][0];
    assert!(task.get("healthCheckResults").is_none(), "{task}");
    let unchecked = App { health_checks: Vec::new(), ..web };
    let task = &shown(&unchecked, vec![made_up::running(&unchecked, 1)])["tasks"][0];
    assert_eq!(task["healthCheckResults"], json!([]));
}

#[test]
fn one_that_takes_no_requests_does_not_run_for_balancers() {
    let web = web();
    let hidden = |goal| Instance { hidden: true, goal, ..made_up::running(&web, 1) };
    let shown =
        shown(&web, vec![hidden(Goal::Running), hidden(Goal::Decommissioned), made_up::running(&web, 2)]);
    let states: Vec<&Value> = shown["tasks"].as_array().unwrap().iter().map(|task| &task["state"]).collect();
    assert_eq!(states, ["TASK_STARTING", "TASK_KILLING", "TASK_RUNNING"]);
    assert_eq!(shown["taskStats"]["totalSummary"]["stats"]["counts"]["running"], 1);
}
