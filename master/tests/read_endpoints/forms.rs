//! What is posted, refused, wrapped and compressed.

use super::cluster::{Cluster, agent_info};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_is_refused_in_plain_text_by_its_own_status() {
    let cluster = Cluster::start().await;
    for (method, path, body, status, text) in [
        ("POST", "/state", "", 405, "Expecting one of { 'GET' }, but received 'POST'"),
        ("GET", "/teardown", "", 405, "Expecting one of { 'POST' }, but received 'GET'"),
        ("PATCH", "/quota", "", 405, "Expecting one of { 'GET', 'POST', 'DELETE' }, but received 'PATCH'"),
        ("POST", "/teardown", "", 400, "Missing 'frameworkId' query parameter in the request body"),
        (
            "POST",
            "/teardown",
            "frameworkId=nobody",
            400,
            "no framework nobody is subscribed or expected back",
        ),
        ("POST", "/teardown", "frameworkId=", 400, "must not be empty"),
        ("POST", "/reserve", "slaveId=a", 400, "Missing 'resources' query parameter in the request body"),
        ("POST", "/reserve", "slaveId=a&resources={", 400, "Failed to parse 'resources'"),
        ("POST", "/reserve", "slaveId=a&resources=[]", 400, "resources: no resources are named"),
        ("POST", "/create-volumes", "volumes=[]", 400, "Missing 'slaveId'"),
        (
            "PUT",
            "/weights",
            "[{\"role\":\"a\",\"weight\":0}]",
            400,
            "weight_infos[0].weight: must be at least 0.001",
        ),
        ("PUT", "/weights", "nonsense", 400, "Failed to update weights"),
        ("POST", "/quota", "{}", 400, "role: is missing; set it"),
        ("POST", "/quota", "{\"role\":5}", 400, "Failed to set quota: role: "),
        ("DELETE", "/quota", "", 400, "DELETE /quota/<role>"),
        ("DELETE", "/quota/*", "", 400, "role"),
        ("POST", "/machine/down", "[{\"hostname\":\"h\"}]", 400, "only scheduled machines can go down"),
        ("POST", "/maintenance/schedule", "[", 400, "Failed to update the maintenance schedule"),
        ("GET", "/state?jsonp=alert(1)", "", 400, "jsonp must name a function"),
        ("GET", "/files/read", "", 400, "Expecting 'path=value' in query."),
        ("GET", "/files/read?path=/master/log", "", 404, "no files"),
        ("GET", "/files/download?path=../../etc/passwd", "", 404, "no files"),
        ("POST", "/logging/toggle?level=1&duration=5mins", "", 501, "not served"),
    ] {
        for prefix in ["", "/master"] {
            let answer = cluster.ask(method, &format!("{prefix}{path}"), "", body).await;
            assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
            assert!(answer.text().contains(text), "{method} {path}: {}", answer.text());
            assert!(answer.headers["content-type"].starts_with("text/plain"), "{method} {path}");
            assert_eq!(answer.headers.contains_key("allow"), status == 405, "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_bound_is_refused_before_it_is_read() {
    let cluster = Cluster::start().await;
    let head = "PUT /weights HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 4194305\r\n\r\n";
    assert_eq!(cluster.send(head).await.status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_weights_and_schedules_go_in_and_come_out_again() {
    let cluster = Cluster::start().await;
    let _agent = cluster.agent(agent_info("10.0.0.7", "cpus:8;mem:4096")).await;
    let guarantee = r#"{"role":"a/b","guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":2}}]}"#;
    assert_eq!(cluster.ask("POST", "/quota", "", guarantee).await.status, 200);
    assert!(cluster.get("/quota").await.text().contains(r#""guarantees":{"cpus":{"value":2.0}}"#));
    let too_much = guarantee.replace("2}", "200}");
    assert_eq!(cluster.ask("POST", "/quota", "", &too_much).await.status, 409);
    assert_eq!(cluster.ask("DELETE", "/quota/a/b", "", "").await.status, 200);
    assert_eq!(cluster.get("/quota").await.text(), "{}");

    assert_eq!(cluster.ask("PUT", "/weights", "", r#"[{"role":"a","weight":2.5}]"#).await.status, 200);
    assert_eq!(cluster.get("/weights").await.text(), r#"[{"role":"a","weight":2.5}]"#);

    let machines = r#"[{"hostname":"10.0.0.7"}]"#;
    let schedule = format!(
        r#"{{"windows":[{{"machine_ids":{machines},"unavailability":{{"start":{{"nanoseconds":1900000000000000000}}}}}}]}}"#
    );
    assert_eq!(cluster.ask("POST", "/maintenance/schedule", "", &schedule).await.status, 200);
    assert_eq!(cluster.get("/maintenance/schedule").await.text(), schedule);
    assert!(cluster.get("/maintenance/status").await.text().starts_with(r#"{"draining_machines":[{"id":"#));
    assert_eq!(cluster.ask("POST", "/machine/down", "", machines).await.status, 200);
    assert!(cluster.get("/maintenance/status").await.text().contains("down_machines"));
    assert_eq!(cluster.ask("POST", "/machine/up", "", machines).await.status, 200);
    assert_eq!(cluster.get("/maintenance/schedule").await.text(), "{}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_names_the_leader_with_a_whole_address() {
    let cluster = Cluster::start().await;
    let answer = cluster.get("/master/redirect").await;
    let leader = cluster.get("/state").await.json()["leader"].as_str().unwrap().replace("master@", "http://");
    assert_eq!((answer.status, answer.headers["location"].as_str()), (307, leader.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_server_gets_a_call_of_its_function() {
    let cluster = Cluster::start().await;
    let answer = cluster.get("/version?jsonp=angular.callbacks._0").await;
    assert_eq!(answer.headers["content-type"], "text/javascript");
    assert!(answer.text().starts_with("angular.callbacks._0({") && answer.text().ends_with("});"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_long_enough_is_compressed_and_only_if_asked() {
    let cluster = Cluster::start().await;
    let gzip = "Accept-Encoding: gzip\r\n";
    let state = cluster.ask("GET", "/state", gzip, "").await;
    assert_eq!(state.headers["content-encoding"], "gzip");
    assert_eq!(state.body[..2], [0x1f, 0x8b]);
    assert!(!cluster.ask("GET", "/version", gzip, "").await.headers.contains_key("content-encoding"));
    assert!(!cluster.get("/state").await.headers.contains_key("content-encoding"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_grpc_to_nobody_is_told_so_in_its_own_words() {
    let cluster = Cluster::start().await;
    let kind = "Content-Type: application/grpc\r\n";
    let answer = cluster.ask("POST", "/lonja.v1.Nothing/Nothing", kind, "").await;
    assert_eq!((answer.status, answer.headers["grpc-status"].as_str()), (200, "12"));
}
