//! `lonja service` against a framework that answers by a script: what is sent, what is said, the exit status.

#[path = "service_cli/fake.rs"]
mod fake;

use std::process::Output;

use fake::Fake;
use lonja_tests::{run, stderr, stdout};
use serde_json::{Value, json};

/// A command about services, and its exit status.
fn service(fake: &Fake, arguments: &[&str]) -> (Option<i32>, Output) {
    let output = run(&[&["service", "--services", &fake.url()], arguments].concat());
    (output.status.code(), output)
}

/// An app of 2 instances as the API shows it.
fn app(running: u64) -> Value {
    json!({ "app": { "id": "/web", "cmd": "x", "instances": 2, "tasksRunning": running, "tasksHealthy": running,
                     "healthChecks": [{}], "deployments": [] } })
}

fn accepted() -> Value {
    json!({ "version": "2026-01-02T03:04:05.678Z", "deploymentId": "d-1" })
}

fn under_way() -> Value {
    let actions = json!([{ "action": "ScaleApplication", "app": "/web" }]);
    json!({ "id": "d-1", "state": "running", "currentStep": 1, "totalSteps": 1, "currentActions": actions,
            "affectedApps": ["/web"] })
}

/// One that takes a change of `/web`.
fn taking(request: &str) -> Fake {
    Fake::start().answer(request, 200, accepted()).answer("GET /v2/queue", 200, json!({ "queue": [] }))
}

/// An entry of the launch queue of one that waits for offers.
fn waiting_for_offers() -> Value {
    let summary = json!({ "processedOffersCount": 4,
                          "rejectSummaryLastOffers": [{ "reason": "InsufficientCpus", "declined": 2, "processed": 2 }] });
    json!({ "queue": [{ "app": { "id": "/web" }, "count": 2, "delay": { "timeLeftSeconds": 0, "overdue": true },
                        "processedOffersSummary": summary }] })
}

fn nearest_miss() -> Value {
    json!({ "nearestMiss": { "hostname": "host-1", "why": "64 CPUs are asked for, 2 are there" }, "summary": ["first"] })
}

#[test]
fn run_waits_until_all_instances_are_healthy() {
    let fake = taking("PUT /v2/apps/web")
        .answer("GET /v2/deployments/d-1", 200, under_way())
        .answer("GET /v2/deployments/d-1", 200, json!({ "id": "d-1", "state": "done" }))
        // The deployment is done and one instance is not well: that is not what was wanted.
        .answer("GET /v2/apps/web", 200, app(1))
        .answer("GET /v2/apps/web", 200, app(1))
        .answer("GET /v2/apps/web", 200, app(2));
    let flags = ["run", "--name", "web", "--instances", "2", "--cmd", "x", "--health-tcp"];
    let (code, output) = service(&fake, &flags);
    assert_eq!(code, Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("/web: 2 of 2 running, 2 healthy"), "{}", stdout(&output));
    assert!(stderr(&output).contains("step 1 of 1: scale /web"), "{}", stderr(&output));
    let changes = fake.changes();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].0, "PUT /v2/apps/web?partialUpdate=false");
    assert_eq!(changes[0].1["healthChecks"][0]["protocol"], "MESOS_TCP");
}

#[test]
fn a_deployment_that_fails_or_is_taken_back_ends_with_1_and_its_reason() {
    for (state, words) in
        [("failed", "the deployment failed"), ("rolledBack", "taken back by deployment d-2")]
    {
        let end = json!({ "id": "d-1", "state": state, "by": "d-2", "reason": "3 new instances failed" });
        let fake = taking("PUT /v2/apps/web").answer("GET /v2/deployments/d-1", 200, end).answer(
            "GET /v2/apps/web",
            200,
            app(2),
        );
        let (code, output) = service(&fake, &["scale", "web", "2"]);
        let said = stderr(&output);
        assert!(
            code == Some(1) && said.contains(words) && said.contains("3 new instances failed"),
            "{code:?} {said}"
        );
    }
}

#[test]
fn what_cannot_be_placed_in_time_ends_with_3_and_the_nearest_miss() {
    let fake = Fake::start()
        .answer("PUT /v2/apps/web", 200, accepted())
        .answer("GET /v2/deployments/d-1", 200, under_way())
        .answer("GET /v2/apps/web", 200, app(0))
        .answer("GET /v2/queue", 200, waiting_for_offers())
        .answer("GET /v2/apps/web/explain", 200, nearest_miss());
    let (code, output) = service(&fake, &["scale", "web", "2", "--timeout", "300ms"]);
    let said = stderr(&output);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("nearest miss: host-1: 64 CPUs are asked for, 2 are there"), "{said}");
    assert!(said.contains("lonja service wait /web"), "{said}");
    let (code, output) = service(&fake, &["explain", "web"]);
    assert!(code == Some(0) && stdout(&output).contains("nearest miss: host-1"), "{}", stdout(&output));
    let (_, output) = service(&fake, &["scale", "web", "2", "--timeout", "0s", "-o", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&document["outcome"], &document["waiting"][0]["id"]),
        (&json!("unplaceable"), &json!("/web"))
    );
}

#[test]
fn a_refusal_shows_the_fields_at_fault() {
    let details = json!([{ "path": "/cpus", "errors": ["must be 0.001 or more"] }]);
    let refused = json!({ "message": "Object is not valid", "details": details });
    let fake = Fake::start().answer("PUT /v2/apps/web", 422, refused).answer("GET /v2/apps/web", 200, app(2));
    let (code, output) = service(&fake, &["update", "web", "--cpus", "-1"]);
    assert_eq!(code, Some(2), "a number below zero needs a form of its own: {}", stderr(&output));
    let (code, output) = service(&fake, &["update", "web", "--cpus=-1"]);
    let said = stderr(&output);
    assert!(
        code == Some(1) && said.contains("Object is not valid") && said.contains("/cpus: must be"),
        "{said}"
    );
}

#[test]
fn a_lock_names_the_deployment_in_the_way() {
    let locked = json!({ "message": "App is locked", "deployments": [{ "id": "d-9" }] });
    let fake = Fake::start().answer("PUT /v2/apps/web", 409, locked).answer("GET /v2/apps/web", 200, app(2));
    let (code, output) = service(&fake, &["scale", "web", "2"]);
    assert!(code == Some(1) && stderr(&output).contains("d-9"), "{}", stderr(&output));
}

#[test]
fn a_canary_is_waited_for_until_it_is_well_and_then_promoted() {
    let rollouts = |promoted: bool| json!({ "/web": { "phase": "waiting", "promoted": promoted } });
    let waits = |promoted: bool| {
        let mut deployment = under_way();
        deployment["rollouts"] = rollouts(promoted);
        deployment
    };
    let fake = taking("PUT /v2/apps/web")
        .answer("GET /v2/deployments", 200, json!([under_way()]))
        .answer("GET /v2/deployments/d-1", 200, under_way())
        .answer("GET /v2/deployments/d-1", 200, waits(false))
        .answer("GET /v2/deployments/d-1", 200, waits(true))
        .answer("GET /v2/deployments/d-1", 200, json!({ "id": "d-1", "state": "done" }))
        .answer("POST /v2/deployments/d-1/promote", 200, json!({ "deploymentId": "d-1" }))
        .answer("GET /v2/apps/web", 200, app(2));
    let (code, output) = service(&fake, &["update", "web", "--cmd", "y", "--strategy", "canary", "--wait"]);
    assert!(code == Some(0) && stdout(&output).contains("lonja service promote /web"), "{}", stderr(&output));
    let (code, output) = service(&fake, &["promote", "web"]);
    assert!(code == Some(0) && stdout(&output).contains("2 of 2 running"), "{}", stderr(&output));
    let changes = fake.changes();
    assert_eq!(changes[0], ("PUT /v2/apps/web?strategy=canary".to_owned(), json!({ "cmd": "y" })));
    assert_eq!(changes[1].0, "POST /v2/deployments/d-1/promote");
}

#[test]
fn a_rollback_goes_back_to_the_newest_version_that_ran_something_else() {
    let version = |cmd: &str, instances: u64| json!({ "id": "/web", "cmd": cmd, "instances": instances, "version": "v" });
    let now = json!({ "app": { "id": "/web", "cmd": "bad", "instances": 2, "tasksRunning": 2, "deployments": [] } });
    let fake = taking("PUT /v2/apps/web")
        .answer("GET /v2/deployments", 200, json!([]))
        .answer("GET /v2/deployments/d-1", 200, json!({ "id": "d-1", "state": "done" }))
        .answer("GET /v2/apps/web", 200, now)
        .answer("GET /v2/apps/web/versions", 200, json!({ "versions": ["3", "2", "1"] }))
        .answer("GET /v2/apps/web/versions/2", 200, version("bad", 1))
        .answer("GET /v2/apps/web/versions/1", 200, version("good", 1));
    let (code, output) = service(&fake, &["rollback", "web"]);
    assert_eq!(code, Some(0), "{}", stderr(&output));
    let sent = (
        "PUT /v2/apps/web?partialUpdate=false".to_owned(),
        json!({ "id": "/web", "cmd": "good", "instances": 2 }),
    );
    assert_eq!(fake.changes(), [sent]);
}

#[test]
fn a_dry_run_shows_the_steps_and_waits_for_nothing() {
    let steps = json!({ "steps": [{ "actions": [{ "action": "RestartApplication", "app": "/web" }] }] });
    let fake = Fake::start().answer("PUT /v2/apps/web", 200, steps).answer("GET /v2/apps/web", 200, app(2));
    let (code, output) = service(&fake, &["update", "web", "--cmd", "y", "--dry-run"]);
    assert_eq!((code, stdout(&output).as_str()), (Some(0), "step 1: restart /web\n"), "{}", stderr(&output));
    assert_eq!(fake.changes()[0].0, "PUT /v2/apps/web?dryRun=true");
}

#[test]
fn what_makes_no_sense_ends_with_2() {
    let fake =
        Fake::start().answer("GET /v2/apps/web", 200, app(2)).answer("GET /v2/groups/g", 200, json!({}));
    for (arguments, expected) in [
        (&["run", "/nonexistent.json"][..], "No such file"),
        (&["run", "--cmd", "x"], "--name"),
        (&["events", "--type", "status_update"], "status_update_event"),
        (&["rm", ""], "--all"),
        (&["rm", "", "--recursive", "--all"], "--all"),
        (&["rm", "/", "--recursive"], "--all"),
        (&["run", "--name", "web"], "nothing to run"),
        (&["update", "web"], "nothing is to be changed"),
        (&["scale", "web"], "required"),
        (&["rm", "g"], "--recursive"),
    ] {
        let (code, output) = service(&fake, arguments);
        let said = stderr(&output);
        assert!(code == Some(2) && said.contains(expected), "{arguments:?}: {code:?} {said}");
    }
    assert!(fake.changes().is_empty());
}

#[test]
fn a_listing_is_for_people_programs_and_pipes() {
    let fake = Fake::start().answer("GET /v2/apps", 200, json!({ "apps": [app(1)["app"]] })).answer(
        "GET /v2/pods/::status",
        200,
        json!([]),
    );
    let (_, output) = service(&fake, &["list"]);
    let table = stdout(&output);
    assert!(table.contains("ID") && table.contains("/web") && table.contains("1/2"), "{table}");
    let (_, output) = service(&fake, &["list", "-q"]);
    assert_eq!(stdout(&output), "/web\n");
    let (_, output) = service(&fake, &["-o", "json", "list"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["schema"], &document["services"][0]["running"]), (&json!(1), &json!(1)));
}

#[test]
fn events_are_printed_as_they_come() {
    let stream = "\r\nevent: deployment_info\r\ndata: {\"eventType\":\"deployment_info\",\"timestamp\":\"T\",\"appId\":\"/web\"}\r\n\r\n\
                  event: status_update_event\r\ndata: {\"eventType\":\"status_update_event\",\"timestamp\":\"U\",\"appId\":\"/other\"}\r\n\r\n";
    let fake = Fake::start().answer(
        "GET /v2/events?event_type=deployment_info&event_type=status_update_event",
        200,
        json!(stream),
    );
    let (code, output) =
        service(&fake, &["events", "--type", "deployment_info,status_update_event", "--count", "1", "other"]);
    assert_eq!(code, Some(0), "{}", stderr(&output));
    assert!(
        stdout(&output).starts_with("U status_update_event") && stdout(&output).contains("/other"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn without_services_a_look_gives_up_at_once() {
    let output = run(&["service", "--services", "http://127.0.0.1:1", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--services"), "{}", stderr(&output));
}

/// An app of one instance that nobody checks, with these tasks running.
fn unchecked(tasks: &[&str]) -> Value {
    let tasks: Vec<Value> = tasks.iter().map(|id| json!({ "id": id, "state": "TASK_RUNNING" })).collect();
    let failure = json!({ "state": "TASK_FAILED", "message": "exited with status 5", "taskId": "web.instance-12-3._app.1" });
    json!({ "app": { "id": "/web", "cmd": "x", "instances": 1, "tasksRunning": tasks.len(), "tasks": tasks,
                     "deployments": [], "lastTaskFailure": failure } })
}

fn done() -> Value {
    json!({ "id": "d-1", "state": "done" })
}

#[test]
fn what_fails_as_soon_as_it_is_started_is_not_up() {
    let fake = taking("PUT /v2/apps/web")
        .answer("GET /v2/deployments/d-1", 200, done())
        .answer("GET /v2/apps/web", 200, unchecked(&["a"]))
        .answer("GET /v2/apps/web", 200, unchecked(&["b"]))
        .answer("GET /v2/apps/web", 200, unchecked(&[]));
    let (code, output) = service(&fake, &["run", "--name", "web", "--cmd", "x", "--timeout", "600ms"]);
    let said = stderr(&output);
    assert!(code == Some(1) && said.contains("exited with status 5"), "{code:?} {said}");
    assert!(said.contains("lonja service logs /web --previous"), "{said}");
}

#[test]
fn instances_of_an_older_version_are_not_what_is_wanted() {
    let task = |id: &str| json!({ "id": id, "state": "TASK_RUNNING", "version": "2026-01-01T00:00:00.000Z" });
    let mut old = app(2);
    old["app"]["tasks"] = json!([task("web.instance-1-2._app.1"), task("web.instance-3-4._app.1")]);
    old["app"]["versionInfo"] = json!({ "lastConfigChangeAt": "2026-01-02T00:00:00.000Z" });
    let fake = taking("PUT /v2/apps/web")
        .answer("GET /v2/deployments", 200, json!([]))
        .answer("GET /v2/deployments/d-1", 200, done())
        .answer("GET /v2/apps/web", 200, old);
    for arguments in [&["wait", "web"][..], &["update", "web", "--cmd", "exit 4"]] {
        let (code, output) = service(&fake, &[arguments, &["--timeout", "300ms"]].concat());
        let said = stderr(&output);
        assert!(code == Some(1) && said.contains("2 of an older version"), "{code:?} {said}");
    }
    let (_, output) = service(&fake, &["show", "web"]);
    let shown = stdout(&output);
    assert!(
        shown.contains("VERSION") && shown.contains("2026-01-01T00") && shown.contains("outdated"),
        "{shown}"
    );
}

#[test]
fn a_rollback_does_not_bring_back_what_was_taken_back() {
    let version = |cmd: &str| json!({ "id": "/web", "cmd": cmd, "instances": 2 });
    let now = json!({ "app": { "id": "/web", "cmd": "good", "instances": 2, "tasksRunning": 2, "deployments": [] } });
    let fake = taking("PUT /v2/apps/web")
        .answer("GET /v2/deployments", 200, json!([]))
        .answer("GET /v2/deployments/d-1", 200, done())
        .answer("GET /v2/apps/web", 200, now)
        .answer("GET /v2/apps/web/versions", 200, json!({ "versions": ["4", "3", "2", "1"] }))
        .answer("GET /v2/apps/web/versions/3", 200, version("bad"))
        .answer("GET /v2/apps/web/versions/2", 200, version("good"))
        .answer("GET /v2/apps/web/versions/1", 200, version("older"));
    let (code, output) = service(&fake, &["rollback", "web"]);
    assert_eq!(code, Some(0), "{}", stderr(&output));
    assert_eq!(fake.changes()[0].1["cmd"], "older");
    assert!(stderr(&output).contains("version 1, which runs \"older\""), "{}", stderr(&output));
}

#[test]
fn a_first_deployment_that_is_taken_back_leaves_nothing() {
    let reverting = json!({ "id": "d-2", "state": "done" });
    let fake = Fake::start()
        .answer("GET /v2/deployments", 200, json!([under_way()]))
        .answer("GET /v2/deployments/d-2", 200, reverting)
        .answer("DELETE /v2/deployments/d-1", 200, json!({ "deploymentId": "d-2" }))
        .answer("GET /v2/apps/web", 200, app(0))
        .answer("GET /v2/apps/web", 404, json!({ "message": "App '/web' does not exist" }));
    let (code, output) = service(&fake, &["rollback", "web", "--timeout", "2s"]);
    assert_eq!((code, stdout(&output).as_str()), (Some(0), "/web: removed\n"), "{}", stderr(&output));
}

#[test]
fn what_is_not_there_in_time_says_what_is_waited_for_and_what_went_wrong() {
    let mut waits = under_way();
    waits["waitsFor"] = json!("1 of 2 new instances of /web to be healthy");
    let mut failing = app(2);
    failing["app"]["lastTaskFailure"] = unchecked(&[])["app"]["lastTaskFailure"].clone();
    let fake = taking("PUT /v2/apps/web").answer("GET /v2/deployments/d-1", 200, waits).answer(
        "GET /v2/apps/web",
        200,
        failing,
    );
    let (code, output) = service(&fake, &["scale", "web", "2", "--timeout", "100ms"]);
    let said = stderr(&output);
    let (_, reason) = said.split_once("not within 100ms: ").unwrap();
    assert!(code == Some(1) && reason.contains("new instances of /web to be healthy"), "{said}");
    assert!(reason.contains("last failure: TASK_FAILED: exited with status 5"), "{said}");
}

#[test]
fn a_master_is_not_taken_for_services() {
    let master = Fake::stranger().answer("", 200, json!(""));
    for arguments in
        [&["list"][..], &["run", "--name", "web", "--cmd", "x"], &["scale", "web", "2"], &["wait", "web"]]
    {
        let (code, output) = service(&master, arguments);
        let said = stderr(&output);
        assert!(
            code == Some(1) && said.contains("not a service framework"),
            "{arguments:?}: {code:?} {said}"
        );
    }
    assert!(master.changes().is_empty());
}

#[test]
fn output_of_what_failed_last_is_read_and_what_cannot_be_read_is_an_error() {
    let task = json!({ "id": "web.instance-77-3._app.1" });
    let fake = Fake::start()
        .answer("GET /v2/apps/web", 200, unchecked(&[]))
        .answer("GET /v2/apps/web/tasks", 200, json!({ "tasks": [] }))
        .answer("GET /v2/apps/web/tasks", 200, json!({ "tasks": [task] }));
    let nobody = ["logs", "web", "--master", "http://127.0.0.1:1"];
    for more in [&[][..], &["--previous"]] {
        let (code, output) = service(&fake, &[&nobody[..], more].concat());
        let said = stderr(&output);
        assert!(code == Some(1) && said.contains("warning: 12: "), "{more:?}: {code:?} {said}");
    }
    let (code, output) = service(&fake, &[&nobody[..], &["--instance", "nosuch"]].concat());
    assert!(code == Some(1) && stderr(&output).contains("nosuch"), "{}", stderr(&output));
    let (code, output) = service(&fake, &nobody);
    assert!(code == Some(1) && stderr(&output).contains("warning: 77: "), "{}", stderr(&output));
}

#[test]
fn fields_that_nobody_reads_are_named() {
    let fake = taking("PUT /v2/apps/web").answer("GET /v2/deployments/d-1", 200, done()).answer(
        "GET /v2/apps/web",
        200,
        app(2),
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.json");
    std::fs::write(&file, r#"{ "id": "web", "cmd": "x", "instance": 2 }"#).unwrap();
    let (code, output) = service(&fake, &["run", file.to_str().unwrap()]);
    let said = stderr(&output);
    assert!(code == Some(0) && said.contains("/instance,") && said.contains("`instances` meant"), "{said}");
}

#[test]
fn what_health_checks_say_is_shown() {
    let mut sick = app(2);
    let result = json!({ "alive": false, "consecutiveFailures": 3, "lastFailureCause": "HTTP status 500" });
    sick["app"]["tasks"] = json!([{ "id": "web.instance-12-3._app.1", "healthCheckResults": [result] }]);
    let fake = Fake::start()
        .answer("GET /v2/queue", 200, json!({ "queue": [] }))
        .answer("GET /v2/apps/web/explain", 200, json!({ "summary": [] }))
        .answer("GET /v2/apps/web", 200, sick);
    for verb in ["show", "explain"] {
        let (_, output) = service(&fake, &[verb, "web"]);
        let said = stdout(&output);
        assert!(said.contains("failed check 12: HTTP status 500 (3 times in a row)"), "{verb}: {said}");
    }
}

#[test]
fn a_canary_that_waits_is_seen_in_listings() {
    let mut changed = app(2);
    changed["app"]["deployments"] = json!([{ "id": "d-1" }]);
    let mut waits = under_way();
    waits["rollouts"] = json!({ "/web": { "phase": "waiting", "promoted": false } });
    let fake = Fake::start()
        .answer("GET /v2/deployments", 200, json!([under_way()]))
        .answer(&format!("GET /v2/deployments/{}", waits["id"].as_str().unwrap()), 200, waits.clone())
        .answer("GET /v2/pods/::status", 200, json!([]))
        .answer("GET /v2/apps", 200, json!({ "apps": [changed["app"]] }))
        .answer("GET /v2/apps/web", 200, changed);
    for arguments in [&["list"][..], &["show", "web"]] {
        let (_, output) = service(&fake, arguments);
        assert!(stdout(&output).contains("waits for promote"), "{arguments:?}: {}", stdout(&output));
    }
}

#[test]
fn a_job_is_found_where_jobs_are() {
    let fake = Fake::start().answer("GET /v2/jobs/once", 200, json!({ "id": "/once" }));
    let (code, output) = service(&fake, &["show", "once"]);
    assert!(
        code == Some(1) && stderr(&output).contains("lonja service job show /once"),
        "{}",
        stderr(&output)
    );
}
