//! Apps are made, changed, locked by their deployments, taken back and removed.

use serde_json::{Value, json};

use crate::door::Door;

fn app(id: &str) -> Value {
    json!({ "id": id, "cmd": "sleep 1000", "cpus": 0.1, "mem": 32, "instances": 2, "labels": { "env": "prod" } })
}

#[tokio::test]
async fn an_app_that_is_made_is_there_with_its_deployment_and_cannot_be_made_again() {
    let door = Door::open().await;
    let made = door.put("POST", "/v2/apps", app("/prod/web")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let shown = made.json();
    assert_eq!(made.header("location"), "/prod/web");
    assert_eq!(shown["deployments"][0]["id"], made.header("marathon-deployment-id"));
    assert_eq!((&shown["tasksRunning"], &shown["backoffFactor"]), (&json!(0), &json!(1.15)));
    assert!(
        shown["portDefinitions"][0]["port"].as_u64().is_some_and(|port| (10_000..=20_000).contains(&port))
    );

    for path in ["/v2/apps/prod/web", "/v2/apps//prod/web", "/v2/apps/prod/web/", "/v2/apps/%2Fprod%2Fweb"] {
        let app = door.get(path).await;
        assert_eq!(app.status, 200, "{path}: {}", app.text);
        assert_eq!(app.json()["app"]["version"], shown["version"], "{path}");
        assert_eq!(app.json()["app"]["tasks"], json!([]), "{path}");
    }
    let again = door.put("POST", "/v2/apps", app("/prod/web")).await;
    assert_eq!((again.status, again.text.contains("already exists")), (409, true), "{}", again.text);
    let over_group = door.put("POST", "/v2/apps", app("/prod")).await;
    assert!(matches!(over_group.status, 409 | 422), "{}", over_group.text);
    door.close().await;
}

#[tokio::test]
async fn an_app_under_deployment_is_locked_until_it_is_forced() {
    let door = Door::open().await;
    let made = door.put("POST", "/v2/apps", app("/web")).await;
    let locked = door.put("PUT", "/v2/apps/web", json!({ "cmd": "sleep 2000" })).await;
    assert_eq!(locked.status, 409, "{}", locked.text);
    assert_eq!(locked.json()["deployments"], json!([{ "id": made.header("marathon-deployment-id") }]));

    let forced = door.put("PUT", "/v2/apps/web?force=True", json!({ "cmd": "sleep 2000" })).await;
    assert_eq!(forced.status, 200, "{}", forced.text);
    assert_eq!(forced.json()["deploymentId"], forced.header("marathon-deployment-id"));
    let now = door.get("/v2/apps/web").await.json();
    assert_eq!((&now["app"]["cmd"], &now["app"]["instances"]), (&json!("sleep 2000"), &json!(2)));
    assert_eq!(now["app"]["version"], forced.json()["version"]);
    door.close().await;
}

#[tokio::test]
async fn an_update_keeps_what_it_leaves_out_and_a_full_one_does_not() {
    let door = Door::open().await;
    let created = door.put("PUT", "/v2/apps/web", app("/other")).await;
    assert_eq!((created.status, created.header("location")), (201, "/web"), "{}", created.text);
    assert_eq!(door.put("PATCH", "/v2/apps/none", json!({ "cmd": "x y" })).await.status, 404);

    door.put("PUT", "/v2/apps/web?force=true", json!({ "labels": { "a": "b" } })).await;
    let partly = door.get("/v2/apps/web").await.json();
    assert_eq!((&partly["app"]["labels"], &partly["app"]["instances"]), (&json!({ "a": "b" }), &json!(2)));

    let whole = json!({ "cmd": "sleep 7" });
    let whole = door.put("PUT", "/v2/apps/web?force=true&partialUpdate=false", whole).await;
    assert_eq!(whole.status, 200, "{}", whole.text);
    let now = door.get("/v2/apps/web").await.json();
    assert_eq!((&now["app"]["labels"], &now["app"]["instances"]), (&json!({}), &json!(1)));
    door.close().await;
}

#[tokio::test]
async fn versions_are_listed_newest_first_and_can_be_gone_back_to() {
    let door = Door::open().await;
    let first = door.put("POST", "/v2/apps", app("/web")).await.json()["version"].clone();
    let second = door.put("PUT", "/v2/apps/web?force=true", json!({ "cmd": "sleep 2" })).await.json();
    let versions = door.get("/v2/apps/web/versions").await.json();
    assert_eq!(versions, json!({ "versions": [second["version"], first] }));
    let old = door.get(&format!("/v2/apps/web/versions/{}", first.as_str().unwrap())).await.json();
    assert_eq!((&old["cmd"], &old["id"]), (&json!("sleep 1000"), &json!("/web")));

    let back = door.put("PUT", "/v2/apps/web?force=true", json!({ "version": first })).await;
    assert_eq!(back.status, 200, "{}", back.text);
    assert_eq!(door.get("/v2/apps/web").await.json()["app"]["cmd"], "sleep 1000");
    let beside = json!({ "version": first, "cmd": "sleep 3" });
    assert_eq!(door.put("PUT", "/v2/apps/web?force=true", beside).await.status, 422);
    let unknown = json!({ "version": "2001-01-01T00:00:00.000Z" });
    assert_eq!(door.put("PUT", "/v2/apps/web?force=true", unknown).await.status, 404);
    door.close().await;
}

#[tokio::test]
async fn apps_are_filtered_and_shown_with_what_is_asked_for() {
    let door = Door::open().await;
    for id in ["/prod/web", "/dev/web", "/prod/db"] {
        door.put("POST", "/v2/apps", app(id)).await;
    }
    let ids = |reply: Value| -> Vec<String> {
        let apps = reply["apps"].as_array().unwrap().clone();
        let mut ids: Vec<String> = apps.iter().map(|app| app["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(door.get("/v2/apps?id=WEB").await.json()), ["/dev/web", "/prod/web"]);
    assert_eq!(ids(door.get("/v2/apps?cmd=sleep&id=prod&label=env").await.json()), ["/prod/db", "/prod/web"]);
    assert_eq!(ids(door.get("/v2/apps?label=env!%3Dprod").await.json()), Vec::<String>::new());
    let embedded = door.get("/v2/apps/?embed=apps.tasks&embed=apps.counts").await.json();
    assert!(embedded["apps"][0]["tasks"].is_array() && embedded["apps"][0]["tasksStaged"].is_number());
    let below = door.get("/v2/apps/prod/*").await.json();
    assert_eq!(below["*"].as_array().map(Vec::len), Some(2));
    door.close().await;
}

#[tokio::test]
async fn what_a_change_would_do_is_told_and_not_done() {
    let door = Door::open().await;
    let plan = door.put("POST", "/v2/apps?dryRun=true", app("/web")).await;
    assert_eq!(plan.status, 200, "{}", plan.text);
    assert_eq!(plan.json()["steps"][0]["actions"][0], json!({ "action": "StartApplication", "app": "/web" }));
    assert_eq!(door.get("/v2/apps/web").await.status, 404);
    let none = door.put("POST", "/v2/apps?strategy=hope", app("/web")).await;
    assert_eq!((none.status, none.text.contains("blueGreen")), (400, true), "{}", none.text);
    door.close().await;
}

#[tokio::test]
async fn a_list_of_apps_is_one_deployment_or_none() {
    let door = Door::open().await;
    let both = door.put("PUT", "/v2/apps/", json!([app("/a"), app("/b")])).await;
    assert_eq!(both.status, 200, "{}", both.text);
    let deployments = door.get("/v2/deployments").await.json();
    assert_eq!(deployments.as_array().map(Vec::len), Some(1));
    assert_eq!(deployments[0]["affectedApps"], json!(["/a", "/b"]));
    let missing =
        door.put("PATCH", "/v2/apps?force=true", json!([{ "id": "/a", "mem": 64 }, { "id": "/c" }])).await;
    assert_eq!(missing.status, 404, "{}", missing.text);
    assert_eq!(door.get("/v2/apps/a").await.json()["app"]["mem"], 32);
    assert_eq!(door.put("PUT", "/v2/apps", json!({ "id": "/a" })).await.status, 400);
    door.close().await;
}

#[tokio::test]
async fn a_deployment_is_shown_while_it_runs_and_after_its_end() {
    let door = Door::open().await;
    let made = door.put("POST", "/v2/apps", app("/web")).await;
    let id = made.header("marathon-deployment-id");
    let all = door.get("/v2/deployments").await.json();
    assert_eq!(all[0]["id"], id);
    assert!(all[0]["currentStep"].as_u64() <= all[0]["totalSteps"].as_u64() && all[0].get("state").is_none());
    assert_eq!(door.get(&format!("/v2/deployments/{id}")).await.json()["state"], "running");

    let ended = door.send("DELETE", &format!("/v2/deployments/{id}?force=true"), &[], "").await;
    assert_eq!((ended.status, ended.text.as_str()), (202, ""));
    assert_eq!(door.get("/v2/deployments").await.json(), json!([]));
    assert_eq!(door.get(&format!("/v2/deployments/{id}")).await.json()["state"], "failed");
    assert_eq!(door.get("/v2/apps/web").await.status, 200);
    door.close().await;
}

#[tokio::test]
async fn a_deployment_is_taken_back_by_another() {
    let door = Door::open().await;
    let made = door.put("POST", "/v2/apps", app("/web")).await;
    let id = made.header("marathon-deployment-id");
    let back = door.send("DELETE", &format!("/v2/deployments/{id}"), &[], "").await;
    assert_eq!(back.status, 200, "{}", back.text);
    assert_ne!(back.json()["deploymentId"], id);
    assert_eq!(door.get("/v2/apps/web").await.status, 404);
    door.close().await;
}

#[tokio::test]
async fn what_waits_is_in_the_queue_with_its_reasons() {
    let door = Door::open().await;
    door.put("POST", "/v2/apps", app("/web")).await;
    let queue = door.get("/v2/queue?embed=lastUnusedOffers").await.json();
    let entry = &queue["queue"][0];
    assert_eq!((&entry["app"]["id"], &entry["count"]), (&json!("/web"), &json!(2)), "{queue}");
    assert_eq!((&entry["delay"]["overdue"], &entry["lastUnusedOffers"]), (&json!(true), &json!([])));
    let funnel = entry["processedOffersSummary"]["rejectSummaryLaunchAttempt"].as_array().unwrap();
    assert_eq!(funnel.len(), 10);
    assert_eq!(door.send("DELETE", "/v2/queue/web/delay", &[], "").await.status, 204);
    let why = door.get("/v2/apps/web/explain").await.json();
    assert!(why["summary"][0].as_str().unwrap().contains("no agent has 0.1 CPUs, 32 MiB"), "{why}");
    door.close().await;
}

#[tokio::test]
async fn what_is_taken_without_effect_is_explained() {
    let door = Door::open().await;
    let container = json!({ "type": "DOCKER", "docker": { "image": "nginx" },
                            "portMappings": [{ "containerPort": 80, "hostPort": 0 }] });
    let odd = json!({ "id": "/web", "cmd": "serve", "container": container, "networks": [{ "mode": "container/bridge" }],
                      "dependencies": ["/none"] });
    let made = door.put("POST", "/v2/apps", odd).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let told: Vec<&str> =
        made.headers.get_all("lonja-warning").iter().map(|words| words.to_str().unwrap()).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[0].starts_with("/web: /container/docker/image: images are kept and not run yet"),
        "{told:?}"
    );
    let why = door.get("/v2/apps/web/explain").await.json();
    let paths: Vec<&Value> = why["warnings"].as_array().unwrap().iter().map(|one| &one["path"]).collect();
    let mapping = "/container/portMappings(0)/containerPort";
    assert_eq!(paths, ["/container/docker/image", mapping, "/dependencies(0)"], "{why}");

    let plain = door.put("POST", "/v2/apps", app("/plain")).await;
    assert!(plain.headers.get("lonja-warning").is_none());
    assert_eq!(door.get("/v2/apps/plain/explain").await.json()["warnings"], json!([]));
    door.close().await;
}

#[tokio::test]
async fn an_app_is_removed_though_it_is_being_deployed() {
    let door = Door::open().await;
    door.put("POST", "/v2/apps", app("/web")).await;
    let refused = door.send("DELETE", "/v2/apps/web?force=false", &[], "").await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    let removed = door.send("DELETE", "/v2/apps/web", &[], "").await;
    assert_eq!(removed.status, 200, "{}", removed.text);
    assert_eq!(door.get("/v2/apps/web").await.status, 404);
    door.close().await;
}

#[tokio::test]
async fn wrong_definitions_are_refused_with_the_paths_of_their_faults() {
    let door = Door::open().await;
    let wrong_type =
        door.put("POST", "/v2/apps", json!({ "id": "/web", "cmd": "x y", "cpus": "much" })).await;
    assert_eq!((wrong_type.status, &wrong_type.json()["message"]), (422, &json!("Invalid JSON")));
    assert_eq!(wrong_type.json()["details"][0]["path"], "/cpus");
    let wrong_value = json!({ "id": "/web", "cmd": "x y", "healthChecks": [{ "portIndex": 7 }] });
    let wrong_value = door.put("POST", "/v2/apps", wrong_value).await;
    assert_eq!((wrong_value.status, &wrong_value.json()["message"]), (422, &json!("Object is not valid")));
    assert_eq!(wrong_value.json()["details"][0]["path"], "/healthChecks(0)/portIndex");
    assert!(wrong_value.json()["details"][0]["errors"].is_array());
    door.close().await;
}
