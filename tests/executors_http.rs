//! Executors that speak Mesos' HTTP API and know nothing of Lonja: byte for byte what such a program sends.
//!
//! The executor is this very test program, told to [`act`].

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lonja_proto::mesos::executor::{Call, Event, call, event};
use lonja_proto::mesos::{self, TaskState as State, task_status};
use lonja_proto::{json, recordio};
use lonja_sdk::prelude::*;
use lonja_tests::http::{Answer, send, try_send};
use lonja_tests::{Cluster, needs_root, start_time};
use serde_json::Value;

use crate::executors::{Framework, Heard, RESOURCES, acting_as, is_clean, token_of};

/// How the executor is told to speak.
const FORM: &str = "TEST_FORM";

/// Whether it shows its token.
const PROVES: &str = "TEST_PROVES";

/// How long it comes again to an agent that does not let it in: its cluster is gone.
const LONGEST_AWAY: Duration = lonja_tests::PATIENCE;

/// What an executor keeps between two subscriptions.
struct Act {
    endpoint: SocketAddr,
    form: String,
    token: Option<String>,
    framework: String,
    executor: String,
    tasks: BTreeMap<String, mesos::TaskInfo>,
    updates: Vec<mesos::TaskStatus>,
    /// When it was last served, or began.
    served: Instant,
}

/// Not a test: the executor of the others, when an agent has started it.
#[test]
fn act() {
    let Ok(form) = std::env::var(FORM) else { return };
    let variable = |name: &str| std::env::var(name).unwrap();
    assert_eq!(variable("MESOS_SLAVE_PID"), format!("slave(1)@{}", variable("MESOS_AGENT_ENDPOINT")));
    assert_eq!(variable("LIBPROCESS_PORT"), "0");
    assert_eq!(variable("MESOS_CHECKPOINT"), "1");
    for name in ["MESOS_DIRECTORY", "MESOS_SANDBOX", "MESOS_RECOVERY_TIMEOUT", "MESOS_SLAVE_ID"] {
        assert!(!variable(name).is_empty());
    }
    let mut act = Act {
        endpoint: variable("MESOS_AGENT_ENDPOINT").parse().unwrap(),
        form,
        token: std::env::var(PROVES).ok().map(|_| variable("MESOS_EXECUTOR_AUTHENTICATION_TOKEN")),
        framework: variable("MESOS_FRAMEWORK_ID"),
        executor: variable("MESOS_EXECUTOR_ID"),
        tasks: BTreeMap::new(),
        updates: Vec::new(),
        served: Instant::now(),
    };
    while act.serve() {}
}

impl Act {
    /// One subscription. `false`: it is to end.
    fn serve(&mut self) -> bool {
        let subscribe = call::Subscribe {
            unacknowledged_tasks: self.tasks.values().cloned().collect(),
            unacknowledged_updates: self
                .updates
                .iter()
                .cloned()
                .map(|status| call::Update { status })
                .collect(),
        };
        let answer = self.call(Call { subscribe: Some(subscribe), ..self.of(call::Type::Subscribe) });
        let Some(mut answer) = answer.filter(|answer| answer.status == 200) else {
            // As Mesos' own executors do, only sooner.
            std::thread::sleep(Duration::from_millis(20));
            return self.served.elapsed() < LONGEST_AWAY;
        };
        assert_eq!(answer.header("content-type"), self.form);
        assert_eq!(answer.header("transfer-encoding"), "chunked");
        let mut records = recordio::Decoder::new(1 << 20);
        self.served = Instant::now();
        // Cut off, it comes again.
        while let Ok(Some(chunk)) = answer.chunk() {
            records.push(&chunk);
            let mut events = Vec::new();
            while let Some(record) = records.next_record().unwrap() {
                events.push(self.read(record));
            }
            for event in events {
                if !self.take(event) {
                    return false;
                }
            }
            self.served = Instant::now();
        }
        true
    }

    fn take(&mut self, event: Event) -> bool {
        match event.r#type() {
            event::Type::Launch => {
                let task = event.launch.unwrap().task;
                let (id, what) = (task.task_id.value.clone(), task.data.clone().unwrap_or_default());
                self.tasks.insert(id.clone(), task);
                self.say(&id, State::TaskRunning);
                if what == b"finish" {
                    self.say(&id, State::TaskFinished);
                }
            }
            event::Type::Kill => self.say(&event.kill.unwrap().task_id.value, State::TaskKilled),
            event::Type::Acknowledged => {
                let confirmed = event.acknowledged.unwrap();
                self.tasks.remove(&confirmed.task_id.value);
                self.updates.retain(|status| status.uuid.as_deref() != Some(&confirmed.uuid[..]));
            }
            event::Type::Message => {
                let data = [&b"echo "[..], &event.message.unwrap().data].concat();
                let message = Some(call::Message { data });
                self.tell(Call { message, ..self.of(call::Type::Message) });
            }
            event::Type::Shutdown => return false,
            _ => {}
        }
        true
    }

    fn say(&mut self, task: &str, state: State) {
        let mut uuid = vec![0; 16];
        std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut uuid).unwrap();
        let status = mesos::TaskStatus {
            task_id: mesos::TaskId { value: task.to_owned() },
            state: state.into(),
            source: Some(task_status::Source::Executor.into()),
            uuid: Some(uuid),
            ..Default::default()
        };
        self.updates.push(status.clone());
        let update = Some(call::Update { status });
        self.tell(Call { update, ..self.of(call::Type::Update) });
    }

    /// Says what is said again with the next subscription, should the agent be away.
    fn tell(&self, call: Call) {
        if let Some(answer) = self.call(call) {
            assert!([202, 403, 503].contains(&answer.status), "{}", answer.status);
        }
    }

    fn of(&self, kind: call::Type) -> Call {
        Call {
            framework_id: mesos::FrameworkId { value: self.framework.clone() },
            executor_id: mesos::ExecutorId { value: self.executor.clone() },
            r#type: Some(kind.into()),
            ..Default::default()
        }
    }

    fn call(&self, call: Call) -> Option<Answer> {
        let body = if self.form == "application/json" { json::encode(&call) } else { binary(&call) };
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = vec![("Content-Type", self.form.as_str()), ("Accept", &self.form)];
        headers.extend(bearer.as_ref().map(|bearer| ("Authorization", bearer.as_str())));
        try_send(self.endpoint, "POST", "/slave(1)/api/v1/executor", &headers, &body).ok()
    }

    fn read(&self, record: &[u8]) -> Event {
        if self.form == "application/json" {
            json::decode(record).unwrap()
        } else {
            lonja_proto::binary::decode(record).unwrap()
        }
    }
}

fn binary(call: &Call) -> Vec<u8> {
    use prost::Message;
    call.encode_to_vec()
}

fn executor(
    cluster: &Cluster,
    id: &str,
    form: &str,
    proves: bool,
) -> lonja_sdk::model::executor::ExecutorInfo {
    let mut variables = vec![(FORM, form)];
    if proves {
        variables.push((PROVES, "1"));
    }
    acting_as(cluster, id, "executors_http::act", &variables)
}

#[test]
fn an_executor_of_mesos_runs_tasks_in_both_forms_with_and_without_its_token() {
    if needs_root() {
        return;
    }
    for (form, proves) in
        [("application/json", false), ("application/x-protobuf", false), ("application/json", true)]
    {
        let cluster = Cluster::start(&[]);
        let own = executor(&cluster, "own", form, proves);
        let mut framework = Framework::launch(
            &cluster,
            &[(&own, "a", "run"), (&own, "quick", "finish"), (&own, "talk", "run")],
        );
        let running = framework.told("a", TaskState::Running);
        assert_eq!(running.executor.as_ref().map(ExecutorId::as_str), Some("own"));
        framework.told("quick", TaskState::Finished);
        let echo = framework.hear("an echo", |heard| match heard {
            Heard::Message(data) => Some(data.clone()),
            _ => None,
        });
        assert_eq!(echo, b"echo hello");
        framework.kill("a");
        framework.told("a", TaskState::Killed);
        drop(framework);
        is_clean(&cluster);
    }
}

#[test]
fn an_executor_of_mesos_comes_back_to_a_restarted_agent_with_what_was_not_confirmed() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    let own = executor(&cluster, "own", "application/json", false);
    let mut framework = Framework::launch(&cluster, &[(&own, "a", "run"), (&own, "b", "run")]);
    framework.told("b", TaskState::Running);
    let pid = framework.told("a", TaskState::Running).pid.unwrap();
    let started = start_time(u64::from(pid)).unwrap();
    let listen = cluster.agent.as_ref().unwrap().address().to_string();

    for _ in 0..2 {
        cluster.agent.take().unwrap().kill9();
        cluster.start_agent_at(&listen, RESOURCES, &[]);
        assert_eq!(start_time(u64::from(pid)).as_ref(), Some(&started));
    }
    framework.kill("a");
    framework.told("a", TaskState::Killed);
    framework.kill("b");
    framework.told("b", TaskState::Killed);
    assert_eq!(start_time(u64::from(pid)), Some(started), "the executor stays");
    drop(framework);
    is_clean(&cluster);
}

/// A call by the ids of the running executor, with this about it changed.
fn knock(cluster: &Cluster, call: &Value, headers: &[(&str, &str)]) -> (u16, String) {
    let address = cluster.agent.as_ref().unwrap().address();
    let mut all = vec![("Content-Type", "application/json")];
    all.extend_from_slice(headers);
    let answer = send(address, "POST", "/api/v1/executor", &all, call.to_string().as_bytes());
    (answer.status, answer.text())
}

#[test]
fn calls_are_refused_in_the_order_and_words_of_mesos() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let (open, proving) = (
        executor(&cluster, "open", "application/json", false),
        executor(&cluster, "proving", "application/json", true),
    );
    let mut framework = Framework::launch(&cluster, &[(&open, "a", "run"), (&proving, "b", "run")]);
    framework.told("a", TaskState::Running);
    let pid = framework.told("b", TaskState::Running).pid.unwrap();
    let id = cluster.list("frameworks")[0]["id"].clone();
    let call = |executor: &str, rest: Value| {
        let mut call = serde_json::json!({
            "framework_id": { "value": id }, "executor_id": { "value": executor },
        });
        for (name, value) in rest.as_object().unwrap() {
            call[name] = value.clone();
        }
        call
    };
    let beat = serde_json::json!({ "type": "HEARTBEAT" });
    let update = |status: Value| {
        let mut all = serde_json::json!({
            "task_id": { "value": "a" }, "state": "TASK_RUNNING", "source": "SOURCE_EXECUTOR",
            "uuid": "AAAAAAAAAAAAAAAAAAAAAA==",
        });
        for (name, value) in status.as_object().unwrap() {
            all[name] = value.clone();
        }
        call("open", serde_json::json!({ "type": "UPDATE", "update": { "status": all } }))
    };
    let table = [
        (call("open", beat.clone()), 202, ""),
        (call("nobody", beat.clone()), 400, "Executor cannot be found"),
        (
            serde_json::json!({ "type": "HEARTBEAT", "framework_id": { "value": "f" }, "executor_id": { "value": "e" } }),
            400,
            "Framework cannot be found",
        ),
        (call("open", serde_json::json!({})), 400, "type"),
        (call("open", serde_json::json!({ "type": "UNKNOWN" })), 501, "UNKNOWN"),
        (call("open", serde_json::json!({ "type": "UPDATE" })), 400, "update"),
        (update(serde_json::json!({ "uuid": null })), 400, "uuid"),
        (update(serde_json::json!({ "source": "SOURCE_AGENT" })), 400, "source"),
        (update(serde_json::json!({ "state": "TASK_STAGING" })), 400, "state"),
        (update(serde_json::json!({ "executor_id": { "value": "proving" } })), 400, "executor_id"),
        (call("proving", beat.clone()), 401, "shown its token"),
    ];
    for (call, status, said) in table {
        let (answered, text) = knock(&cluster, &call, &[]);
        assert_eq!(answered, status, "{call}: {text}");
        assert!(text.contains(said), "{call}: {text}");
    }
    let token = format!("Bearer {}", token_of(pid));
    let with = |call: &Value, token: &str| knock(&cluster, call, &[("Authorization", token)]).0;
    assert_eq!(with(&call("proving", beat.clone()), &token), 202);
    assert_eq!(with(&call("open", beat.clone()), &token), 403, "another's token");
    assert_eq!(with(&call("open", beat.clone()), "Bearer x.00"), 401);

    let address = cluster.agent.as_ref().unwrap().address();
    let status = |method: &str, headers: &[(&str, &str)], body: &str| {
        send(address, method, "/slave%281%29/api/v1/executor/", headers, body.as_bytes()).status
    };
    let json = ("Content-Type", "application/json");
    assert_eq!(status("GET", &[], ""), 405);
    assert_eq!(status("POST", &[], "{}"), 400);
    assert_eq!(status("POST", &[("Content-Type", "text/plain")], "{}"), 415);
    assert_eq!(status("POST", &[json], "{"), 400);
    assert_eq!(status("POST", &[json, ("Accept", "text/html")], &call("open", beat).to_string()), 406);
}

#[test]
fn where_executors_are_authenticated_none_comes_in_without_its_token() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::without_agent(&[]);
    cluster.start_agent_in(
        RESOURCES,
        &[
            ("LONJA_AGENT_AUTHENTICATE_HTTP_EXECUTORS", "true"),
            ("LONJA_AGENT_EXECUTOR_REGISTRATION_TIMEOUT", "2s"),
        ],
    );
    let (own, other) = (
        executor(&cluster, "own", "application/x-protobuf", true),
        executor(&cluster, "other", "application/json", false),
    );
    let mut framework = Framework::launch(&cluster, &[(&own, "a", "run"), (&other, "b", "run")]);
    framework.told("a", TaskState::Running);
    framework.told("b", TaskState::Failed);
}
