//! Malformed requests to the v1 HTTP API of the master: each has its status and names what is wrong, and nobody else notices.
//!
//! The rows are made from short tables: what may be wrong with any request, with any JSON, with each call, with each field, and
//! with the binary form.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use lonja_proto::mesos::scheduler::{Call, call};
use lonja_proto::mesos::{self, offer};
use lonja_tests::Cluster;
use prost::Message;

const SCHEDULER: &str = "/api/v1/scheduler";
const OPERATOR: &str = "/api/v1";

/// One request, and what is to be answered.
struct Row {
    what: String,
    request: Vec<u8>,
    status: u16,
    /// Part of the answer's text.
    says: String,
}

/// Answers as `status` and all that came after the head within the patience; a stream is read until its first record is there.
fn ask(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // It may be answered and closed before all of it was sent.
    let _sent = stream.write_all(request);
    let mut answer = Vec::new();
    let mut buffer = [0; 4_096];
    while !is_whole(&answer) {
        match stream.read(&mut buffer) {
            Ok(length) if length > 0 => answer.extend_from_slice(&buffer[..length]),
            _ => break,
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text)
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    match length {
        Some(length) => body.len() >= length,
        None => body.contains("}") || body.ends_with("0\r\n\r\n"),
    }
}

fn post(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    request
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");

fn json(path: &str, body: &str, status: u16, says: &str) -> Row {
    let request = post(path, &[JSON], body.as_bytes());
    let what = format!("{path} {}", body.chars().take(200).collect::<String>());
    Row { what, request, status, says: says.to_owned() }
}

fn raw(what: &str, request: impl Into<Vec<u8>>, status: u16, says: &str) -> Row {
    Row { what: what.to_owned(), request: request.into(), status, says: says.to_owned() }
}

/// Of any request: method, path, headers, framing.
fn of_http(rows: &mut Vec<Row>) {
    for path in [SCHEDULER, OPERATOR, "/master/api/v1", "/api/v1/scheduler/"] {
        for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            rows.push(raw(&request, request.clone(), 405, "allow: POST"));
        }
        let nameless = post(path, &[], b"{}");
        rows.push(raw("no Content-Type", nameless, 400, "Expecting 'Content-Type' to be present"));
        for named in
            ["", "text/plain", "application/octet-stream", "APPLICATION/JSON", "json", "application/recordio"]
        {
            let request = post(path, &[("Content-Type", named)], b"{}");
            rows.push(raw(&format!("Content-Type {named:?}"), request, 415, "Expecting 'Content-Type' of"));
        }
        let packed = post(path, &[JSON, ("Content-Encoding", "gzip")], b"{}");
        rows.push(raw("a packed body", packed, 415, "send the body as it is"));
        let long = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
        );
        rows.push(raw("a body without end", long, 413, "larger than"));
    }
    for accept in ["text/html", "application/xml", "", "application/json;q=0"] {
        let health = post(OPERATOR, &[JSON, ("Accept", accept)], br#"{"type":"GET_HEALTH"}"#);
        rows.push(raw(&format!("Accept {accept:?}"), health, 406, "Expecting 'Accept' to allow"));
        let subscribe = post(SCHEDULER, &[JSON, ("Accept", accept)], subscribe("").as_bytes());
        rows.push(raw(
            &format!("SUBSCRIBE, Accept {accept:?}"),
            subscribe,
            406,
            "Expecting 'Accept' to allow",
        ));
    }
    let named = post(SCHEDULER, &[JSON, ("Mesos-Stream-Id", "x")], subscribe("").as_bytes());
    rows.push(raw(
        "SUBSCRIBE with a stream id",
        named,
        400,
        "should not include the 'Mesos-Stream-Id' header",
    ));
    for path in [
        "/api",
        "/api/v2",
        "/api/v1scheduler",
        "/apiv1",
        "//api/v1",
        "/api/../api/v1",
        "/%2e%2e/api/v1",
        "/..",
        "/api/%00",
    ] {
        rows.push(raw(path, post(path, &[JSON], b"{}"), 404, ""));
    }
    for (what, head) in [
        ("two lengths", "Content-Length: 2\r\nContent-Length: 3\r\n"),
        ("a signed length", "Content-Length: +2\r\n"),
        ("a negative length", "Content-Length: -2\r\n"),
        ("a length in hexadecimal", "Content-Length: 0x2\r\n"),
        ("a space before the colon", "Content-Length : 2\r\n"),
        ("a folded header", "X-A: b\r\n c\r\nContent-Length: 2\r\n"),
        ("a header without a colon", "Nothing\r\n"),
        ("a NUL in a header", "X-A: a\0b\r\nContent-Length: 2\r\n"),
        ("an unknown transfer coding", "Transfer-Encoding: gzip\r\n"),
        ("chunked and then not", "Transfer-Encoding: chunked, gzip\r\n"),
    ] {
        let request = format!(
            "POST {OPERATOR} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{head}\r\n{{}}"
        );
        rows.push(raw(what, request, 400, ""));
    }
    for (what, line) in [
        ("no version", "POST /api/v1\r\n"),
        ("another protocol", "POST /api/v1 SPDY/9\r\n"),
        ("no path", "POST  HTTP/1.1\r\n"),
        ("only rubbish", "\u{1}\u{2}\u{3}\r\n"),
    ] {
        rows.push(raw(what, format!("{line}Host: x\r\n\r\n"), 400, ""));
    }
    let large = format!("POST {OPERATOR} HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "x".repeat(100_000));
    rows.push(raw("a large head", large, 431, ""));
    let many = format!("POST {OPERATOR} HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(500));
    rows.push(raw("many headers", many, 431, ""));
    for size in ["z", "-1", "+2", "0x2", "ffffffffffffffffff"] {
        let request = format!(
            "POST {OPERATOR} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n{{}}\r\n0\r\n\r\n"
        );
        rows.push(raw(&format!("a chunk of size {size}"), request, 400, ""));
    }
}

/// Of any JSON.
fn of_json(rows: &mut Vec<Row>) {
    let deep_lists = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let texts = [
        "",
        " ",
        "null",
        "true",
        "5",
        "\"{}\"",
        "[]",
        "[{}]",
        "{",
        "}",
        "{}}",
        "{}{}",
        "{},",
        "{\"type\"}",
        "{\"type\":}",
        "{type:1}",
        "{'type':'KILL'}",
        "{\"type\":\"KILL\",}",
        "{\"type\":\"KILL\" \"a\":1}",
        "{\"type\":KILL}",
        "{\"a\":01}",
        "{\"a\":.5}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"type\":1e999999}",
        "{\"a\":\"\\x\"}",
        "{\"type\":\"\\ud800\"}",
        "{\"a\":\"\u{1}\"}",
        "{\"a\":tru}",
        "// {}",
        "\u{feff}{}",
        &deep_lists,
        "{\"framework_id\":{\"value\":\"a\",\"value\":\"a\"},\"teardown\":{\"framework_id\":{\"value\":\"a\",\"value\":\"a\"}}}",
        "{\"type\":5}",
        "{\"type\":{}}",
        "{\"type\":true}",
        "{\"type\":[\"KILL\"]}",
    ];
    for path in [SCHEDULER, OPERATOR] {
        for text in texts {
            rows.push(json(path, text, 400, "Failed to parse body into JSON"));
        }
        rows.push(raw(
            "no UTF-8",
            post(path, &[JSON], b"{\"type\":\"\xff\xfe\"}"),
            400,
            "Failed to parse body into JSON",
        ));
    }
}

/// A SUBSCRIBE of a framework with these fields besides.
fn subscribe(fields: &str) -> String {
    format!(r#"{{"type":"SUBSCRIBE","subscribe":{{"framework_info":{{"user":"root","name":"n"{fields}}}}}}}"#)
}

/// A call of a framework that nobody knows.
fn call_of(kind: &str, rest: &str) -> String {
    format!(r#"{{"framework_id":{{"value":"nobody"}},"type":"{kind}"{rest}}}"#)
}

const CALLS: [(&str, &str); 17] = [
    ("ACCEPT", "accept"),
    ("DECLINE", "decline"),
    ("ACCEPT_INVERSE_OFFERS", "accept_inverse_offers"),
    ("DECLINE_INVERSE_OFFERS", "decline_inverse_offers"),
    ("KILL", "kill"),
    ("SHUTDOWN", "shutdown"),
    ("ACKNOWLEDGE", "acknowledge"),
    ("ACKNOWLEDGE_OPERATION_STATUS", "acknowledge_operation_status"),
    ("RECONCILE", "reconcile"),
    ("RECONCILE_OPERATIONS", "reconcile_operations"),
    ("MESSAGE", "message"),
    ("REQUEST", "request"),
    ("UPDATE_FRAMEWORK", "update_framework"),
    ("SUBSCRIBE", "subscribe"),
    ("REVIVE", "revive"),
    ("SUPPRESS", "suppress"),
    ("TEARDOWN", "teardown"),
];

/// Of each call of a framework.
fn of_calls(rows: &mut Vec<Row>) {
    // Empty operations of three bytes each, fifty times that once they are read.
    let many = format!(r#","accept":{{"offer_ids":[],"operations":[{}{{}}]}}"#, "{},".repeat(4_000_000));
    rows.push(json(SCHEDULER, &call_of("ACCEPT", &many), 400, "256 MiB"));
    let headers = [("Content-Type", "application/json"), ("Mesos-Stream-Id", "x")];
    let nameless =
        r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"","name":"","roles":["a//"]}}}"#;
    let request = post(SCHEDULER, &headers, nameless.as_bytes());
    rows.push(raw("a stream's id beside a bad description", request, 400, "Mesos-Stream-Id"));
    for (kind, part) in CALLS {
        let has_part = !matches!(kind, "REVIVE" | "SUPPRESS" | "TEARDOWN");
        if kind != "SUBSCRIBE" {
            rows.push(json(SCHEDULER, &format!(r#"{{"type":"{kind}"}}"#), 400, "framework_id: is missing"));
        }
        if has_part {
            rows.push(json(SCHEDULER, &call_of(kind, ""), 400, &format!("{part}: is missing")));
            rows.push(json(
                SCHEDULER,
                &call_of(kind, &format!(r#","{part}":null"#)),
                400,
                &format!("{part}: is missing"),
            ));
        } else {
            rows.push(json(SCHEDULER, &call_of(kind, ""), 400, "Framework cannot be found"));
        }
        if kind == "TEARDOWN" {
            continue;
        }
        for (value, found) in
            [("5", "a number"), ("\"x\"", "a text"), ("true", "true or false"), ("[{}]", "a list")]
        {
            let text = call_of(kind, &format!(r#","{part}":{value}"#));
            rows.push(json(SCHEDULER, &text, 400, &format!("{part}: an object is wanted, not {found}")));
        }
    }
    rows.push(json(SCHEDULER, &call_of("DANCE", ""), 400, "Framework cannot be found"));
    rows.push(json(SCHEDULER, &call_of("UNKNOWN", ""), 400, "Framework cannot be found"));
    rows.push(json(SCHEDULER, r#"{"framework_id":{"value":"f"}}"#, 400, "Framework cannot be found"));
    rows.push(json(SCHEDULER, "{}", 400, "type: is missing"));
}

const KNOWN_IDS: [(&str, &str, &str); 12] = [
    ("KILL", r#""kill":{"task_id":ID}"#, "kill.task_id"),
    ("KILL", r#""kill":{"task_id":{"value":"t"},"agent_id":ID}"#, "kill.agent_id"),
    ("SHUTDOWN", r#""shutdown":{"executor_id":ID,"agent_id":{"value":"a"}}"#, "shutdown.executor_id"),
    ("SHUTDOWN", r#""shutdown":{"executor_id":{"value":"e"},"agent_id":ID}"#, "shutdown.agent_id"),
    ("DECLINE", r#""decline":{"offer_ids":[{"value":"o"},ID]}"#, "decline.offer_ids[1]"),
    ("ACCEPT", r#""accept":{"offer_ids":[ID]}"#, "accept.offer_ids[0]"),
    ("RECONCILE", r#""reconcile":{"tasks":[{"task_id":ID}]}"#, "reconcile.tasks[0].task_id"),
    (
        "RECONCILE",
        r#""reconcile":{"tasks":[{"task_id":{"value":"t"},"agent_id":ID}]}"#,
        "reconcile.tasks[0].agent_id",
    ),
    ("MESSAGE", r#""message":{"agent_id":ID,"executor_id":{"value":"e"},"data":""}"#, "message.agent_id"),
    ("MESSAGE", r#""message":{"agent_id":{"value":"a"},"executor_id":ID,"data":""}"#, "message.executor_id"),
    (
        "ACKNOWLEDGE",
        r#""acknowledge":{"agent_id":ID,"task_id":{"value":"t"},"uuid":"AAAAAAAAAAAAAAAAAAAAAA=="}"#,
        "acknowledge.agent_id",
    ),
    (
        "ACKNOWLEDGE",
        r#""acknowledge":{"agent_id":{"value":"a"},"task_id":ID,"uuid":"AAAAAAAAAAAAAAAAAAAAAA=="}"#,
        "acknowledge.task_id",
    ),
];

/// Of single fields.
fn of_fields(rows: &mut Vec<Row>) {
    let long = format!(r#"{{"value":"{}"}}"#, "x".repeat(300));
    for (kind, part, path) in KNOWN_IDS {
        for id in [
            "{}",
            "5",
            "\"t\"",
            r#"{"value":7}"#,
            r#"{"value":""}"#,
            r#"{"value":"a/b"}"#,
            r#"{"value":".."}"#,
            r#"{"value":"\u0000"}"#,
            &long,
        ] {
            rows.push(json(SCHEDULER, &call_of(kind, &format!(",{}", part.replace("ID", id))), 400, path));
        }
    }
    for uuid in ["\"\"", "\"AAAA\"", "\"no base64!\"", "5", "\"AAAAAAAAAAAAAAAAAAAAAAA=\""] {
        let part = format!(
            r#","acknowledge":{{"agent_id":{{"value":"a"}},"task_id":{{"value":"t"}},"uuid":{uuid}}}"#
        );
        rows.push(json(SCHEDULER, &call_of("ACKNOWLEDGE", &part), 400, "acknowledge.uuid"));
    }
    for seconds in ["\"soon\"", "\"NaN\"", "[5]", "{}", "true"] {
        let part = format!(
            r#","decline":{{"offer_ids":[{{"value":"o"}}],"filters":{{"refuse_seconds":{seconds}}}}}"#
        );
        rows.push(json(SCHEDULER, &call_of("DECLINE", &part), 400, "decline.filters.refuse_seconds"));
    }
    // What a framework says of itself is complained of on the stream.
    for (fields, says) in [
        (r#","roles":["a//b"],"capabilities":[{"type":"MULTI_ROLE"}]"#, "role"),
        (r#","roles":["-a"],"capabilities":[{"type":"MULTI_ROLE"}]"#, "role"),
        (r#","roles":["a b"],"capabilities":[{"type":"MULTI_ROLE"}]"#, "role"),
        (r#","roles":["."],"capabilities":[{"type":"MULTI_ROLE"}]"#, "role"),
        (r#","roles":["a","a"],"capabilities":[{"type":"MULTI_ROLE"}]"#, "role"),
        (r#","roles":["a"]"#, "role"),
        (r#","role":"a","capabilities":[{"type":"MULTI_ROLE"}]"#, "role"),
        (r#","failover_timeout":-1"#, "failover_timeout"),
        (r#","failover_timeout":"Infinity""#, "failover_timeout"),
    ] {
        rows.push(json(SCHEDULER, &subscribe(fields), 200, "\"type\":\"ERROR\""));
        rows.push(json(SCHEDULER, &subscribe(fields), 200, says));
    }
    rows.push(json(SCHEDULER, &subscribe(r#","id":{"value":"other"}"#), 400, "framework_id"));
    for info in ["{}", r#"{"user":"u"}"#, r#"{"name":"n"}"#, "5", "[]"] {
        let text = format!(r#"{{"type":"SUBSCRIBE","subscribe":{{"framework_info":{info}}}}}"#);
        rows.push(json(SCHEDULER, &text, 400, "subscribe.framework_info"));
    }
}

/// Of operators' calls.
fn of_operators(rows: &mut Vec<Row>) {
    for (kind, part) in [
        ("UPDATE_WEIGHTS", "update_weights"),
        ("RESERVE_RESOURCES", "reserve_resources"),
        ("UNRESERVE_RESOURCES", "unreserve_resources"),
        ("CREATE_VOLUMES", "create_volumes"),
        ("DESTROY_VOLUMES", "destroy_volumes"),
        ("GROW_VOLUME", "grow_volume"),
        ("SHRINK_VOLUME", "shrink_volume"),
        ("UPDATE_MAINTENANCE_SCHEDULE", "update_maintenance_schedule"),
        ("START_MAINTENANCE", "start_maintenance"),
        ("STOP_MAINTENANCE", "stop_maintenance"),
        ("DRAIN_AGENT", "drain_agent"),
        ("DEACTIVATE_AGENT", "deactivate_agent"),
        ("REACTIVATE_AGENT", "reactivate_agent"),
        ("UPDATE_QUOTA", "update_quota"),
        ("SET_QUOTA", "set_quota"),
        ("REMOVE_QUOTA", "remove_quota"),
        ("TEARDOWN", "teardown"),
        ("MARK_AGENT_GONE", "mark_agent_gone"),
    ] {
        let of = |rest: &str| format!(r#"{{"type":"{kind}"{rest}}}"#);
        rows.push(json(OPERATOR, &of(""), 400, part));
        for value in ["5", "\"x\"", "[[]]"] {
            rows.push(json(OPERATOR, &of(&format!(r#","{part}":{value}"#)), 400, &format!("{part}: ")));
        }
    }
    for (kind, part, whole) in [
        ("LIST_FILES", "list_files", "{\"path\":\"/\"}"),
        ("READ_FILE", "read_file", "{\"path\":\"/\",\"offset\":0}"),
    ] {
        rows.push(json(OPERATOR, &format!(r#"{{"type":"{kind}"}}"#), 400, part));
        rows.push(json(OPERATOR, &format!(r#"{{"type":"{kind}","{part}":{whole}}}"#), 404, "no files"));
    }
    for kind in ["", "GET_EVERYTHING", "get_state", "UNKNOWN"] {
        rows.push(json(OPERATOR, &format!(r#"{{"type":"{kind}"}}"#), 501, "type is missing or not known"));
    }
    for (call, says) in [
        (r#""type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[{"role":"a","weight":0}]}"#, "weight"),
        (r#""type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[{"role":"a","weight":-1}]}"#, "weight"),
        (r#""type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[{"role":"a//","weight":1}]}"#, "role"),
        (
            r#""type":"UPDATE_QUOTA","update_quota":{"quota_configs":[{"role":"a","limits":{"cpus":{"value":-1}}}]}"#,
            "limits",
        ),
        (
            r#""type":"UPDATE_QUOTA","update_quota":{"quota_configs":[{"role":"a","limits":{"cpus":{}}}]}"#,
            "limits[\"cpus\"].value",
        ),
        (r#""type":"TEARDOWN","teardown":{"framework_id":{"value":"nobody"}}"#, "nobody"),
        (r#""type":"DRAIN_AGENT","drain_agent":{"agent_id":{"value":"nobody"}}"#, "nobody"),
        (
            r#""type":"RESERVE_RESOURCES","reserve_resources":{"agent_id":{"value":"nobody"},"resources":[]}"#,
            "",
        ),
    ] {
        rows.push(json(OPERATOR, &format!("{{{call}}}"), 400, says));
    }
    let gone = r#"{"type":"MARK_AGENT_GONE","mark_agent_gone":{"agent_id":{"value":"nobody"}}}"#;
    rows.push(json(OPERATOR, gone, 404, "nobody"));
}

/// Of the binary form.
fn of_protobuf(rows: &mut Vec<Row>) {
    let binary = |what: String, body: Vec<u8>, status, says: &str| {
        raw(&what, post(SCHEDULER, &[PROTOBUF], &body), status, says)
    };
    // Each number with kinds of wire that it has not, and kinds that there are none of.
    for number in 1_u8..=15 {
        for kind in [1_u8, 3, 4, 6, 7] {
            let body = vec![number << 3 | kind, 1];
            rows.push(binary(
                format!("field {number} as wire type {kind}"),
                body,
                400,
                "Failed to parse body into protobuf",
            ));
        }
    }
    let task = mesos::TaskInfo {
        name: "t".into(),
        task_id: mesos::TaskId { value: "t".into() },
        agent_id: mesos::AgentId { value: "a".into() },
        ..Default::default()
    };
    let launch = mesos::offer::Operation {
        r#type: Some(offer::operation::Type::Launch.into()),
        launch: Some(offer::operation::Launch { task_infos: vec![task] }),
        ..Default::default()
    };
    let accept = Call {
        framework_id: Some(mesos::FrameworkId { value: "nobody".into() }),
        r#type: Some(call::Type::Accept.into()),
        accept: Some(call::Accept {
            offer_ids: vec![mesos::OfferId { value: "o".into() }],
            operations: vec![launch],
            ..Default::default()
        }),
        ..Default::default()
    };
    let whole = accept.encode_to_vec();
    let framework = 2 + accept.framework_id.as_ref().map_or(0, Message::encoded_len);
    // Between two fields it is a message still, and then lacks its type, or what goes with it.
    rows.push(binary(
        "a framework's id alone".to_owned(),
        whole[..framework].to_vec(),
        400,
        "Framework cannot be found",
    ));
    for end in (1..whole.len()).filter(|end| *end != framework) {
        rows.push(binary(format!("cut off after {end} bytes"), whole[..end].to_vec(), 400, ""));
    }
    for (what, body) in [
        ("an endless number", vec![0xff; 11]),
        ("a length beyond the end", vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("a length of 2^64 - 1", vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ("field 0", vec![0x02, 0x00]),
        ("JSON", b"{\"type\":\"KILL\"}".to_vec()),
        ("a text that is none", vec![0x0a, 0x03, 0x0a, 0x01, 0xff]),
    ] {
        rows.push(binary(what.to_owned(), body, 400, "Failed to parse body into protobuf"));
    }
    rows.push(binary("an empty body".to_owned(), Vec::new(), 400, "type: is missing"));
}

#[test]
fn v1_compat_malformed_requests_have_their_status_and_name_the_fault() {
    let cluster = Cluster::without_agent(&[]);
    let address: SocketAddr = cluster.url().trim_start_matches("http://").parse().unwrap();
    let mut rows = Vec::new();
    of_http(&mut rows);
    of_json(&mut rows);
    of_calls(&mut rows);
    of_fields(&mut rows);
    of_operators(&mut rows);
    of_protobuf(&mut rows);
    assert!(rows.len() >= 400, "{} rows", rows.len());

    let mut wrong = Vec::new();
    for row in &rows {
        let (status, text) = ask(address, &row.request);
        if status != row.status || !text.to_lowercase().contains(&row.says.to_lowercase()) {
            wrong
                .push(format!("{}\n  wanted {} {:?}, got {status} {text:?}", row.what, row.status, row.says));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));

    // And nobody noticed.
    let health = post(OPERATOR, &[JSON], br#"{"type":"GET_HEALTH"}"#);
    assert!(ask(address, &health).1.contains("\"healthy\":true"));
    let (status, subscribed) = ask(address, &post(SCHEDULER, &[JSON], subscribe("").as_bytes()));
    assert_eq!(status, 200);
    assert!(subscribed.contains("\"type\":\"SUBSCRIBED\""), "{subscribed}");
    println!("{} rows", rows.len());
}
