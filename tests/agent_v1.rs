//! The agent's side of Mesos' v1 API and its older endpoints, as clients of Mesos ask for them.

use std::net::SocketAddr;

use lonja_proto::mesos::agent::{ProcessIo, Response, process_io};
use lonja_proto::{json, recordio};
use lonja_tests::http::{Answer, send};
use lonja_tests::{Cluster, Running, eventually, needs_root};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A cluster with a task that runs.
struct Place {
    cluster: Cluster,
    run: Running,
    task: String,
    framework: String,
    container: String,
}

impl Place {
    fn new(flags: &[&str], command: &[&str]) -> Self {
        let cluster = Cluster::start(&[]);
        let run = cluster.spawn_run(&[flags, &["--"], command].concat());
        let task = cluster.task_in("TASK_RUNNING");
        let agent = cluster.agent.as_ref().unwrap().address();
        let (_, containers) = get(agent, "/containers");
        Self {
            task: task["id"].as_str().unwrap().to_owned(),
            framework: task["framework_id"].as_str().unwrap().to_owned(),
            container: containers[0]["container_id"].as_str().unwrap().to_owned(),
            cluster,
            run,
        }
    }

    fn address(&self) -> SocketAddr {
        self.cluster.agent.as_ref().unwrap().address()
    }

    fn post(&self, call: &Value) -> Answer {
        self.post_with(call, &[JSON])
    }

    fn post_with(&self, call: &Value, headers: &[(&str, &str)]) -> Answer {
        send(self.address(), "POST", "/api/v1", headers, call.to_string().as_bytes())
    }

    /// The answer to a call that has one.
    fn ask(&self, call: &Value) -> Value {
        let answer = self.post(call);
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{call}");
        serde_json::from_str(&answer.text()).unwrap()
    }

    /// The name of a program in the task's container.
    fn within(&self, name: &str) -> Value {
        json!({ "value": name, "parent": { "value": self.container } })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = self.run.kill();
        let _status = self.run.wait();
    }
}

/// Status and JSON of a read endpoint.
fn get(agent: SocketAddr, path: &str) -> (u16, Value) {
    let answer = send(agent, "GET", path, &[], b"");
    let status = answer.status;
    (status, serde_json::from_str(&answer.text()).unwrap_or_default())
}

/// What a stream of records says on stdout, up to its end or until it is `enough`.
fn written(mut answer: Answer, enough: impl Fn(&str) -> bool) -> String {
    let mut records = recordio::Decoder::new(1 << 20);
    let mut text = String::new();
    while !enough(&text)
        && let Some(chunk) = answer.chunk().expect("what is written comes, to its end")
    {
        records.push(&chunk);
        while let Some(record) = records.next_record().unwrap() {
            let said: ProcessIo = json::decode(record).unwrap();
            let Some(data) = said.data else { continue };
            if data.r#type() == process_io::data::Type::Stdout {
                text.push_str(&String::from_utf8(data.data.unwrap()).unwrap());
            }
        }
    }
    text
}

#[test]
fn what_runs_is_told_by_every_call_and_endpoint_alike() {
    if needs_root() {
        return;
    }
    let place = Place::new(&["--name", "web"], &["sleep", "1000"]);
    let (agent, task) = (place.address(), place.task.as_str());
    for path in ["/state", "/state.json", "/slave(1)/state", "/slave%281%29/state/"] {
        let (status, state) = get(agent, path);
        assert_eq!(status, 200, "{path}");
        assert_eq!(state["pid"], format!("slave(1)@{agent}"));
        let executor = &state["frameworks"][0]["executors"][0];
        assert_eq!((&executor["id"], &executor["tasks"][0]["state"]), (&json!(task), &json!("TASK_RUNNING")));
        assert_eq!(executor["container"], place.container);
        let directory = executor["directory"].as_str().unwrap();
        assert_eq!(get(agent, &format!("/files/browse?path={directory}")).0, 200);
    }
    let named = format!("/frameworks/{}/executors/{task}/runs/latest", place.framework);
    let listed = get(agent, &format!("/files/browse.json?path={named}")).1;
    assert!(listed.as_array().unwrap().iter().any(|file| file["path"] == format!("{named}/stdout")));
    assert_eq!(get(agent, &format!("/files/read?path={named}/../../x&offset=0")).0, 400);
    assert_eq!(get(agent, "/monitor/statistics.json").1[0]["executor_id"], task);
    assert_eq!(get(agent, "/containers?executor_id=none").1, json!([]));
    let figures = get(agent, "/metrics/snapshot").1;
    assert_eq!(
        (figures["slave/tasks_running"].as_f64(), figures["slave/registered"].as_f64()),
        (Some(1.0), Some(1.0))
    );
    let version = get(agent, "/version").1["version"].as_str().unwrap().to_owned();
    assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
    assert!(get(agent, "/flags").1["flags"]["work_dir"].is_string());
    let wrapped = send(agent, "GET", "/version?jsonp=f", &[], b"").text();
    assert!(wrapped.starts_with("f({") && wrapped.ends_with("});"), "{wrapped}");
    assert_eq!(get(agent, "/version?jsonp=<script>").0, 400);
    assert_eq!(get(agent, "/nothing").0, 404);

    let ask = |kind: &str| place.ask(&json!({ "type": kind }));
    assert_eq!(ask("GET_HEALTH"), json!({ "type": "GET_HEALTH", "get_health": { "healthy": true } }));
    assert_eq!(ask("GET_VERSION")["get_version"]["version_info"]["version"], version);
    assert_eq!(ask("GET_TASKS")["get_tasks"]["launched_tasks"][0]["task_id"]["value"], task);
    assert_eq!(ask("GET_STATE")["get_state"]["get_tasks"]["launched_tasks"][0]["name"], "web");
    assert_eq!(
        ask("GET_EXECUTORS")["get_executors"]["executors"][0]["executor_info"]["executor_id"]["value"],
        task
    );
    assert_eq!(
        ask("GET_FRAMEWORKS")["get_frameworks"]["frameworks"][0]["framework_info"]["id"]["value"],
        place.framework
    );
    assert_eq!(ask("GET_AGENT")["get_agent"]["agent_info"]["port"], agent.port());
    assert_eq!(
        ask("GET_CONTAINERS")["get_containers"]["containers"][0]["container_id"]["value"],
        place.container
    );
    assert!(ask("GET_FLAGS")["get_flags"]["flags"][0]["name"].is_string());
    assert_eq!(ask("GET_OPERATIONS")["type"], "GET_OPERATIONS");
    assert_eq!(ask("GET_LOGGING_LEVEL")["get_logging_level"]["level"], 0);
    let metrics = place.ask(&json!({ "type": "GET_METRICS", "get_metrics": {} }));
    assert!(metrics["get_metrics"]["metrics"].as_array().unwrap().len() > 20);
    let files = place.ask(&json!({ "type": "LIST_FILES", "list_files": { "path": named } }));
    assert_eq!(files["list_files"]["file_infos"].as_array().unwrap().len(), 2);
    let read = json!({ "path": format!("{named}/stdout"), "offset": 0 });
    assert_eq!(place.ask(&json!({ "type": "READ_FILE", "read_file": read }))["read_file"]["size"], 0);

    let accept = ("Accept", "application/x-protobuf");
    let answer = place.post_with(&json!({ "type": "GET_HEALTH" }), &[JSON, accept]);
    assert_eq!(answer.header("content-type"), "application/x-protobuf");
    let answer: Response = lonja_proto::binary::decode(&answer.body()).unwrap();
    assert!(answer.get_health.unwrap().healthy);
    let gzip = place.post_with(&json!({ "type": "GET_STATE" }), &[JSON, ("Accept-Encoding", "gzip")]);
    assert_eq!(gzip.header("content-encoding"), "gzip");
}

#[test]
fn what_has_ended_is_shown_where_its_files_are() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    assert!(cluster.spawn_run(&["--name", "short", "--", "sh", "-c", "echo left"]).wait().unwrap().success());
    let agent = cluster.agent.as_ref().unwrap().address();
    let executor = eventually("its end is acknowledged", || {
        let state = get(agent, "/state").1;
        let executor = state["completed_frameworks"][0]["completed_executors"][0].clone();
        executor.is_object().then_some(executor)
    });
    assert_eq!(executor["completed_tasks"][0]["state"], "TASK_FINISHED");
    let directory = executor["directory"].as_str().unwrap();
    let read = get(agent, &format!("/files/read?path={directory}/stdout&offset=0")).1;
    assert_eq!(read["data"], "left\n");
}

#[test]
fn calls_that_make_no_sense_are_refused_by_the_book() {
    if needs_root() {
        return;
    }
    let place = Place::new(&[], &["sleep", "1000"]);
    let agent = place.address();
    let nobody = json!({ "value": "x", "parent": { "value": "nobody" } });
    let command = json!({ "value": "true" });
    let table = [
        (json!({}), 400, "type"),
        (json!({ "type": "NONSENSE" }), 400, "type"),
        (json!({ "type": "UNKNOWN" }), 501, "UNKNOWN"),
        (json!({ "type": "PRUNE_IMAGES" }), 501, "PRUNE_IMAGES"),
        (json!({ "type": "SET_LOGGING_LEVEL" }), 501, "SET_LOGGING_LEVEL"),
        (json!({ "type": "GET_METRICS" }), 400, "get_metrics"),
        (json!({ "type": "READ_FILE", "read_file": { "path": "/etc/passwd", "offset": 0 } }), 404, ""),
        (json!({ "type": "READ_FILE", "read_file": { "offset": 0 } }), 400, "path"),
        (json!({ "type": "WAIT_CONTAINER", "wait_container": { "container_id": nobody } }), 404, "nobody.x"),
        (json!({ "type": "KILL_CONTAINER", "kill_container": { "container_id": nobody } }), 404, ""),
        (json!({ "type": "REMOVE_CONTAINER", "remove_container": { "container_id": nobody } }), 200, ""),
        (
            json!({ "type": "KILL_CONTAINER", "kill_container": { "container_id": { "value": place.container } } }),
            501,
            "task",
        ),
        (
            json!({ "type": "LAUNCH_CONTAINER", "launch_container": { "container_id": nobody, "command": command } }),
            400,
            "nobody",
        ),
        (
            json!({ "type": "LAUNCH_CONTAINER", "launch_container": { "container_id": { "value": "x" }, "command": command } }),
            501,
            "standalone",
        ),
        (
            json!({ "type": "LAUNCH_CONTAINER", "launch_container": { "container_id": place.within("a/b"), "command": command } }),
            400,
            "container_id",
        ),
        (
            json!({ "type": "LAUNCH_CONTAINER", "launch_container": { "container_id": place.within("a") } }),
            400,
            "command",
        ),
        (json!({ "type": "ATTACH_CONTAINER_INPUT" }), 415, "recordio"),
        (
            json!({ "type": "ATTACH_CONTAINER_OUTPUT", "attach_container_output": { "container_id": nobody } }),
            404,
            "",
        ),
    ];
    for (call, status, said) in table {
        let answer = place.post(&call);
        let answered = answer.status;
        let text = answer.text();
        assert_eq!(answered, status, "{call}: {text}");
        assert!(text.contains(said), "{call}: {text}");
    }
    let status = |method: &str, headers: &[(&str, &str)], body: &str| {
        send(agent, method, "/slave(1)/api/v1", headers, body.as_bytes()).status
    };
    let health = r#"{"type":"GET_HEALTH"}"#;
    assert_eq!(status("POST", &[JSON], health), 200);
    assert_eq!(status("GET", &[], ""), 405);
    assert_eq!(status("POST", &[], health), 400);
    assert_eq!(status("POST", &[("Content-Type", "text/plain")], health), 415);
    assert_eq!(status("POST", &[JSON], "{"), 400);
    assert_eq!(status("POST", &[JSON], &"[".repeat(5_000)), 400);
    assert_eq!(status("POST", &[JSON], &" ".repeat((1 << 20) + 1)), 413);
    assert_eq!(status("POST", &[("Content-Type", "application/x-protobuf")], "\u{1}"), 400);
    assert_eq!(status("POST", &[JSON, ("Accept", "text/html")], health), 406);
    let records = [("Accept", "application/recordio"), ("Message-Accept", "application/json"), JSON];
    assert_eq!(status("POST", &records, health), 406);
}

#[test]
fn a_program_runs_in_a_task_s_container_for_as_long_as_its_output_is_read() {
    if needs_root() {
        return;
    }
    let place = Place::new(&[], &["sleep", "1000"]);
    let session = |name: &str, line: &str| {
        json!({
            "type": "LAUNCH_NESTED_CONTAINER_SESSION",
            "launch_nested_container_session": {
                "container_id": place.within(name), "command": { "value": line },
            },
        })
    };
    let wait = |name: &str| {
        let wait = json!({ "container_id": place.within(name) });
        place.ask(&json!({ "type": "WAIT_NESTED_CONTAINER", "wait_nested_container": wait }))
    };
    let answer = place.post_with(
        &session("one", "echo hi; echo err >&2; exit 7"),
        &[JSON, ("Accept", "application/recordio"), ("Message-Accept", "application/json")],
    );
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/recordio"));
    assert_eq!(answer.header("message-content-type"), "application/json");
    assert_eq!(written(answer, |_| false), "hi\n");
    assert_eq!(wait("one")["wait_nested_container"]["exit_status"], 7 << 8);
    assert_eq!(place.post(&session("one", "true")).status, 202, "the name is taken until it is removed");
    let remove = json!({ "type": "REMOVE_NESTED_CONTAINER", "remove_nested_container": { "container_id": place.within("one") } });
    assert_eq!(place.post(&remove).status, 200);
    assert_eq!(written(place.post(&session("one", "echo again")), |_| false), "again\n");

    // Who stops reading takes it along.
    let answer = place.post(&session("two", "echo up; exec sleep 1000"));
    assert_eq!(written(answer, |text| text == "up\n"), "up\n");
    assert_eq!(wait("two")["wait_nested_container"]["exit_status"], 9);
}

#[test]
fn a_program_is_typed_into_watched_and_killed() {
    if needs_root() {
        return;
    }
    let place = Place::new(&[], &["sleep", "1000"]);
    let launch = |name: &str, line: &str| {
        let launch = json!({ "container_id": place.within(name), "command": { "value": line } });
        place.post(&json!({ "type": "LAUNCH_CONTAINER", "launch_container": launch })).status
    };
    assert_eq!(launch("echo", "cat; exit 3"), 200);
    assert_eq!(launch("echo", "cat; exit 3"), 202);
    let shown = place.ask(&json!({ "type": "GET_CONTAINERS", "get_containers": { "show_nested": true } }));
    assert_eq!(shown["get_containers"]["containers"][1]["container_id"], place.within("echo"));
    let attach = json!({ "container_id": place.within("echo") });
    let output = place.post(&json!({ "type": "ATTACH_CONTAINER_OUTPUT", "attach_container_output": attach }));
    assert_eq!(output.status, 200);

    let input = |target: &Value, data: &[&str]| {
        let record = |rest: Value| {
            let record = json!({ "type": "ATTACH_CONTAINER_INPUT", "attach_container_input": rest });
            recordio::frame(record.to_string().as_bytes())
        };
        let mut body = record(json!({ "type": "CONTAINER_ID", "container_id": target }));
        for data in data {
            let data = json!({ "type": "STDIN", "data": data });
            let io = json!({ "type": "DATA", "data": data });
            body.extend(record(json!({ "type": "PROCESS_IO", "process_io": io })));
        }
        let records =
            [("Content-Type", "application/recordio"), ("Message-Content-Type", "application/json")];
        let answer = send(place.address(), "POST", "/api/v1", &records, &body);
        (answer.status, answer.text())
    };
    // "typed\n", and the end.
    assert_eq!(input(&place.within("echo"), &["dHlwZWQK", ""]).0, 200);
    assert_eq!(written(output, |_| false), "typed\n");
    let wait = |name: &str| {
        let wait = json!({ "container_id": place.within(name) });
        place.ask(&json!({ "type": "WAIT_CONTAINER", "wait_container": wait }))
    };
    assert_eq!(wait("echo")["wait_container"]["exit_status"], 3 << 8);

    assert_eq!(launch("long", "exec sleep 1000"), 200);
    let named = json!({ "container_id": place.within("long") });
    let remove = json!({ "type": "REMOVE_CONTAINER", "remove_container": named });
    assert_eq!(place.post(&remove).status, 500, "it runs");
    let kill = json!({ "container_id": place.within("long"), "signal": 15 });
    assert_eq!(place.post(&json!({ "type": "KILL_CONTAINER", "kill_container": kill })).status, 200);
    assert_eq!(wait("long")["wait_container"]["exit_status"], 15);
    assert_eq!(place.post(&remove).status, 200);

    let disabled = "I/O switchboard server was disabled for this container";
    assert_eq!(input(&json!({ "value": place.container }), &["eA=="]), (500, disabled.to_owned()));
    let attach = json!({ "container_id": { "value": place.container } });
    let output = place.post(&json!({ "type": "ATTACH_CONTAINER_OUTPUT", "attach_container_output": attach }));
    assert_eq!((output.status, output.text()), (500, disabled.to_owned()));
    let (status, _) = input(&place.within("nobody"), &[]);
    assert_eq!(status, 404);
}

#[test]
fn a_task_with_a_terminal_is_typed_into_and_watched() {
    if needs_root() {
        return;
    }
    let place = Place::new(&["-t"], &["sh", "-c", "read line; echo got $line; exec sleep 1000"]);
    let attach = json!({ "container_id": { "value": place.container } });
    let output = place.post(&json!({ "type": "ATTACH_CONTAINER_OUTPUT", "attach_container_output": attach }));
    assert_eq!(output.status, 200);
    let record = |rest: Value| {
        let record = json!({ "type": "ATTACH_CONTAINER_INPUT", "attach_container_input": rest });
        recordio::frame(record.to_string().as_bytes())
    };
    let mut body = record(json!({ "type": "CONTAINER_ID", "container_id": { "value": place.container } }));
    let size = json!({ "type": "TTY_INFO", "tty_info": { "window_size": { "rows": 40, "columns": 100 } } });
    for io in [
        json!({ "type": "CONTROL", "control": size }),
        json!({ "type": "DATA", "data": { "type": "STDIN", "data": "eAo=" } }),
    ] {
        body.extend(record(json!({ "type": "PROCESS_IO", "process_io": io })));
    }
    let records = [("Content-Type", "application/recordio"), ("Message-Content-Type", "application/json")];
    assert_eq!(send(place.address(), "POST", "/api/v1", &records, &body).status, 200);
    assert!(written(output, |text| text.contains("got x")).contains("got x"));
}
