//! The stream of events, byte by byte.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::door::Door;

const SSE: [(&str, &str); 1] = [("accept", "text/event-stream")];

/// Reads a stream until it has an event of this type, and gives all its text so far.
async fn read_until(response: &mut Response<Incoming>, kind: &str) -> String {
    let mut text = String::new();
    let wanted = format!("event: {kind}\r\n");
    while !(text.contains(&wanted) && text.ends_with("\r\n\r\n")) {
        let frame = tokio::time::timeout(Duration::from_secs(20), response.body_mut().frame()).await;
        let frame =
            frame.expect("the event comes in time").expect("the stream goes on").expect("it does not break");
        text.push_str(&String::from_utf8_lossy(frame.data_ref().expect("data")));
    }
    text
}

#[tokio::test]
async fn an_event_is_two_lines_and_an_empty_one() {
    let door = Door::open().await;
    let mut stream = door.begin("GET", "/v2/events", &[SSE[0], ("accept-encoding", "gzip")], "").await;
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert!(
        !stream.headers().contains_key("content-length")
            && !stream.headers().contains_key("content-encoding")
    );
    let text = read_until(&mut stream, "event_stream_attached").await;
    let (kind, data) = text.trim_end().split_once("\r\n").unwrap();
    assert_eq!(kind, "event: event_stream_attached");
    let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(
        (&data["eventType"], &data["remoteAddress"]),
        (&json!("event_stream_attached"), &json!("127.0.0.1"))
    );
    assert!(data["timestamp"].as_str().unwrap().ends_with('Z'));
    drop(stream);
    door.close().await;
}

#[tokio::test]
async fn a_new_app_is_told_of_with_its_definition_and_its_deployment() {
    let door = Door::open().await;
    let mut stream = door.begin("GET", "/v2/events", &SSE, "").await;
    let made = door.put("POST", "/v2/apps", json!({ "id": "/web", "cmd": "sleep 1" })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let text = read_until(&mut stream, "api_post_event").await;
    let lines = text.split("\r\n").filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| events.iter().find(|event| event["eventType"] == kind);
    assert_eq!(of("api_post_event").unwrap()["appDefinition"]["id"], "/web");
    assert_eq!(of("group_change_success").unwrap()["version"], made.json()["version"]);
    let info = of("deployment_info").unwrap();
    assert_eq!(info["plan"]["id"], made.header("marathon-deployment-id"));
    assert!(info["currentStep"]["actions"].is_array() && info["plan"]["original"] == serde_json::json!({}));
    assert!(of("endpoints_changed_event").is_none());
    drop(stream);
    door.close().await;
}

#[tokio::test]
async fn a_new_label_is_told_of_by_whichever_way_it_comes() {
    let door = Door::open().await;
    let labelled =
        |id: &str, label: &str| json!({ "id": id, "cmd": "sleep 1", "labels": { "HAPROXY_GROUP": label } });
    let group = |label: &str| json!({ "id": "/shop", "apps": [labelled("/shop/a", label), labelled("/shop/b", "same")] });
    let made = door.put("POST", "/v2/groups", group("first")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let version = made.json()["version"].clone();
    let by_list = door.put("PUT", "/v2/apps?force=true", json!([labelled("/shop/a", "x")]));
    assert_eq!(by_list.await.status, 200);

    let path = "/v2/events?event_type=api_post_event";
    let ways = [
        ("PUT", "/v2/groups/shop?force=true".to_owned(), group("second")),
        (
            "PUT",
            "/v2/apps?force=true".to_owned(),
            json!([labelled("/shop/a", "third"), labelled("/shop/b", "same")]),
        ),
        ("PUT", "/v2/groups/shop?force=true".to_owned(), json!({ "version": version })),
    ];
    for ((method, way, body), label) in ways.into_iter().zip(["second", "third", "first"]) {
        let mut stream = door.begin("GET", path, &SSE, "").await;
        let changed = door.put(method, &way, body).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        let text = read_until(&mut stream, "api_post_event").await;
        let told: Vec<Value> =
            text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
        assert_eq!(told.len(), 1, "only what was changed: {text}");
        assert_eq!(told[0]["appDefinition"]["id"], "/shop/a", "{way}");
        assert_eq!(told[0]["appDefinition"]["labels"]["HAPROXY_GROUP"], label, "{way}");
        drop(stream);
    }
    // Taken back: without a master this one does not end.
    let mut other = labelled("/shop/a", "fourth");
    other["cmd"] = json!("sleep 2");
    let changed = door.put("PUT", "/v2/apps/shop/a?force=true", other).await;
    let mut stream = door.begin("GET", path, &SSE, "").await;
    let back = format!("/v2/deployments/{}", changed.header("marathon-deployment-id"));
    let back = door.send("DELETE", &back, &[], "").await;
    assert_eq!(back.status, 200, "{}", back.text);
    let text = read_until(&mut stream, "api_post_event").await;
    assert!(text.contains("\"HAPROXY_GROUP\":\"first\""), "{text}");
    drop(stream);
    door.close().await;
}

#[tokio::test]
async fn a_filter_lets_through_what_it_names_and_nothing_else() {
    let door = Door::open().await;
    let path = "/v2/events?event_type=deployment_info&event_type=deployment_failed&plan-format=light";
    let mut stream = door.begin("GET", path, &SSE, "").await;
    let made = door.put("POST", "/v2/apps", json!({ "id": "/web", "cmd": "sleep 1" })).await;
    let deployment = format!("/v2/deployments/{}?force=true", made.header("marathon-deployment-id"));
    door.send("DELETE", &deployment, &[], "").await;
    let text = read_until(&mut stream, "deployment_failed").await;
    let kinds: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert!(kinds.iter().all(|kind| ["deployment_info", "deployment_failed"].contains(kind)), "{kinds:?}");
    drop(stream);
    door.close().await;
}

#[tokio::test]
async fn streams_end_with_the_daemon() {
    let door = Door::open().await;
    let mut stream = door.begin("GET", "/v2/events", &SSE, "").await;
    read_until(&mut stream, "event_stream_attached").await;
    door.close().await;
    while let Some(Ok(_rest)) = stream.body_mut().frame().await {}
}
