//! Pods and jobs are made, shown, changed and removed.

use serde_json::{Value, json};

use crate::door::Door;

fn pod(id: &str) -> Value {
    json!({ "id": id, "containers": [{
        "name": "one", "exec": { "command": { "shell": "sleep 1000" } }, "resources": { "cpus": 0.1, "mem": 32 } }] })
}

#[tokio::test]
async fn a_pod_is_made_shown_and_removed() {
    let door = Door::open().await;
    let made = door.put("POST", "/v2/pods", pod("/group/pod")).await;
    assert_eq!((made.status, made.header("location")), (201, "/group/pod"), "{}", made.text);
    assert!(!made.header("marathon-deployment-id").is_empty());
    assert_eq!(door.put("POST", "/v2/pods", pod("/group/pod")).await.status, 409);
    assert_eq!(door.get("/v2/pods/group/pod").await.json()["id"], "/group/pod");
    let status = door.get("/v2/pods//group/pod::status").await.json();
    assert_eq!((&status["status"], &status["instances"]), (&json!("DEGRADED"), &json!([])));
    let versions = door.get("/v2/pods/group/pod::versions").await.json();
    assert_eq!(versions.as_array().map(Vec::len), Some(1));
    let version = door.get(&format!("/v2/pods/group/pod::versions/{}", versions[0].as_str().unwrap())).await;
    assert_eq!(version.status, 200, "{}", version.text);

    assert_eq!(door.put("PUT", "/v2/pods/group/pod?force=true", pod("/other")).await.status, 400);
    let put = door.put("PUT", "/v2/pods/group/pod?force=true", pod("/group/pod")).await;
    assert_eq!(put.status, 200, "{}", put.text);
    assert_eq!(door.get("/v2/apps/group/pod").await.status, 404);
    let unknown = door.send("DELETE", "/v2/pods/group/pod::instances/x", &[], "").await;
    assert_eq!((unknown.status, unknown.json()), (404, json!({ "message": "Task 'x' does not exist" })));

    let removed = door.send("DELETE", "/v2/pods/group/pod?force=true", &[], "").await;
    assert_eq!((removed.status, removed.text.as_str()), (202, ""));
    assert_eq!(removed.header("location"), removed.header("marathon-deployment-id"));
    assert_eq!(door.get("/v2/pods/group/pod").await.status, 404);
    door.close().await;
}

#[tokio::test]
async fn a_job_is_made_run_and_removed() {
    let door = Door::open().await;
    let job = json!({ "id": "/night/backup", "run": { "cmd": "echo done", "cpus": 0.1, "mem": 32 },
        "schedule": { "cron": "0 3 * * *" } });
    let made = door.put("POST", "/v2/jobs", job.clone()).await;
    assert_eq!((made.status, made.header("location")), (201, "/night/backup"), "{}", made.text);
    assert_eq!(door.put("POST", "/v2/jobs", job.clone()).await.status, 409);
    assert_eq!(door.put("PUT", "/v2/jobs/night/backup", job).await.status, 200);
    let mut wrong = made.json();
    wrong["schedule"]["cron"] = json!("61 3 * * *");
    let wrong = door.put("PUT", "/v2/jobs/night/backup", wrong).await;
    assert_eq!(
        (wrong.status, &wrong.json()["details"][0]["path"]),
        (422, &json!("/schedule/cron")),
        "{}",
        wrong.text
    );

    let run = door.send("POST", "/v2/jobs/night/backup/runs", &[], "").await;
    assert_eq!(run.status, 201, "{}", run.text);
    let path = run.header("location").to_owned();
    assert_eq!(door.get(&path).await.json()["state"], "waiting");
    assert_eq!(door.get("/v2/jobs/night/backup").await.json()["runs"]["waiting"], 1);
    let queue = door.get("/v2/queue?embed=lastUnusedOffers").await.json();
    let entry = &queue["queue"][0];
    assert_eq!((&entry["app"]["id"], &entry["count"]), (&json!("/night/backup"), &json!(1)), "{queue}");
    let why = door.get("/v2/apps/night/backup/explain").await;
    assert_eq!((why.status, &why.json()["kind"]), (200, &json!("job")), "{}", why.text);
    assert!(
        why.json()["summary"][0].as_str().is_some_and(|words| words.starts_with("1 run waits")),
        "{}",
        why.text
    );
    assert_eq!(door.send("DELETE", "/v2/queue/night/backup/delay", &[], "").await.status, 204);
    assert_eq!(door.send("DELETE", &path, &[], "").await.status, 204);
    assert_eq!(door.get("/v2/queue").await.json(), json!({ "queue": [] }));
    assert_eq!(door.get("/v2/apps/night/backup/explain").await.json()["waiting"], Value::Null);
    assert_eq!(door.get("/v2/jobs/night/backup/runs/none").await.status, 404);
    assert_eq!(door.send("DELETE", "/v2/jobs/night/backup", &[], "").await.status, 204);
    assert_eq!(door.get("/v2/jobs/night/backup").await.status, 404);
    door.close().await;
}
