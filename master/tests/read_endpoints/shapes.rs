//! What each listing looks like.

use std::path::Path;

use lonja_model::container::ContainerInfo;
use lonja_model::executor::ExecutorInfo;
use lonja_model::framework::FrameworkInfo;
use lonja_model::link::FromAgent;
use lonja_model::scheduler::Call;
use lonja_model::task::{Discovery, DiscoveryPort, Source, Visibility};
use lonja_model::{ContainerId, ExecutorId, Resources, Role, TaskState, TaskStatus, Timestamp, UpdateId};
use serde_json::{Value, json};

use super::cluster::{Agent, Cluster, Framework, agent_info, task};

/// An agent with a running, a staging and an ended task of a framework that has an offer of another agent.
async fn busy() -> (Cluster, Agent, Framework) {
    let cluster = Cluster::start().await;
    let resources = "cpus:8;mem:4096;disk:100000;ports:[31000-31005,32000-32010];cpus(ops):1;gpus:2";
    let agent = cluster.agent(agent_info("10.0.0.7", resources)).await;
    let mut info = FrameworkInfo::named("web front");
    info.roles = [Role::new("eng/web").unwrap()].into();
    info.capabilities.insert(lonja_model::framework::Capability::GpuResources);
    info.webui_url = Some("http://front.example".to_owned());
    info.labels.0.push(("owner".to_owned(), Some("team \"a\"".to_owned())));
    let other = cluster.agent(agent_info("node-8.example", "cpus:4;mem:2048")).await;
    let framework = cluster.framework(info, 2).await;
    // What is left of the first agent is offered to nobody, so that the picture stands still.
    cluster.call(&framework, Call::Suppress { roles: Default::default() }).await;
    assert!(framework.offers.iter().any(|offer| offer.agent == other.id));
    let mut running = task("running", &agent.id, "cpus:1;mem:64;ports:[31000-31001]");
    running.discovery = Some(Discovery {
        visibility: Visibility::Cluster,
        name: Some("front".to_owned()),
        ports: vec![DiscoveryPort {
            number: 31000,
            name: Some("http".to_owned()),
            protocol: Some("tcp".to_owned()),
        }],
        ..Discovery::default()
    });
    running.container = ContainerInfo { hostname: Some("inside".to_owned()), ..ContainerInfo::default() };
    running.limits.insert("mem".to_owned(), lonja_model::task::Limit::Infinite);
    let staging = task("staging", &agent.id, "cpus:0.5;mem:64");
    let ended = task("ended", &agent.id, "cpus:0.5;mem:64");
    let mut custom = task("custom", &agent.id, "cpus:0.5;mem:32");
    let command = std::mem::replace(&mut custom.command, lonja_model::container::Command::none());
    let own = Resources::parse("cpus:0.1;mem:32").unwrap();
    custom.executor = Some(Box::new(ExecutorInfo::custom(ExecutorId::new("runner").unwrap(), command, own)));
    let offer = framework.offers.iter().find(|offer| offer.agent == agent.id).unwrap();
    cluster.launch(&framework, offer, vec![running, staging, ended, custom]).await;
    tell(&cluster, &agent, &framework, "running", TaskState::Running, 1).await;
    tell(&cluster, &agent, &framework, "ended", TaskState::Finished, 2).await;
    let acknowledge = Call::Acknowledge {
        agent: agent.id.clone(),
        task: lonja_model::TaskId::new("ended").unwrap(),
        update: UpdateId([2; 16]),
    };
    cluster.call(&framework, acknowledge).await;
    (cluster, agent, framework)
}

async fn tell(
    cluster: &Cluster,
    agent: &Agent,
    framework: &Framework,
    id: &str,
    state: TaskState,
    update: u8,
) {
    let task = lonja_model::TaskId::new(id).unwrap();
    let now = Timestamp::from_nanos(1_700_000_000_000_000_000 + u64::from(update) * 500_000_000);
    let mut status = TaskStatus::new(task, state, Source::Executor, now);
    status.update = Some(UpdateId([update; 16]));
    status.container = Some(ContainerId::new("c1").unwrap());
    status.healthy = (state == TaskState::Running).then_some(true);
    let status = Box::new(status);
    let (framework, latest) = (framework.id.clone(), state);
    cluster.says(agent.link, FromAgent::Update { framework, status, latest }).await;
}

/// With what differs from run to run masked: the master's name, its port and version, instants.
fn masked(value: &Value, master: &str, port: &str) -> Value {
    match value {
        Value::String(text) => {
            let text = text.replace(master, "MASTER").replace(&format!(":{port}"), ":PORT");
            if text == port { json!("PORT") } else { json!(text) }
        }
        Value::Array(items) => items.iter().map(|item| masked(item, master, port)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                let is_instant = name.ends_with("_time") && value.as_f64().is_some_and(|time| time > 1e9);
                let value = match name.as_str() {
                    _ if is_instant => json!("INSTANT"),
                    "port" if value.as_u64().is_some_and(|number| number.to_string() == port) => {
                        json!("PORT")
                    }
                    "version" => json!("VERSION"),
                    _ => masked(value, master, port),
                };
                (name.clone(), value)
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Does the endpoint answer what is kept of it?
async fn check(cluster: &Cluster, path: &str, name: &str) {
    let state = cluster.get("/state").await.json();
    let port = state["leader_info"]["port"].to_string();
    let master = state["id"].as_str().unwrap();
    let answer = cluster.get(path).await;
    assert_eq!(answer.headers["content-type"], "application/json", "{path}");
    let found = serde_json::to_string_pretty(&masked(&answer.json(), master, &port)).unwrap() + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read_endpoints/golden").join(name);
    if std::env::var_os("LONJA_WRITE_GOLDEN").is_some() {
        std::fs::write(&file, &found).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, kept, "{path} differs from {}", file.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_listing_has_the_shape_that_mesos_has() {
    let (cluster, ..) = busy().await;
    for (path, name) in [
        ("/state", "state.json"),
        ("/state-summary", "state_summary.json"),
        ("/slaves", "slaves.json"),
        ("/frameworks", "frameworks.json"),
        ("/tasks", "tasks.json"),
        ("/roles", "roles.json"),
        ("/flags", "flags.json"),
        ("/version", "version.json"),
        ("/quota", "quota.json"),
        ("/weights", "weights.json"),
        ("/maintenance/schedule", "maintenance_schedule.json"),
        ("/maintenance/status", "maintenance_status.json"),
        ("/files/debug", "files_debug.json"),
    ] {
        check(&cluster, path, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_write_a_path_leads_to_the_same() {
    let (cluster, ..) = busy().await;
    let plain = cluster.get("/frameworks").await.json();
    for path in
        ["/frameworks/", "/frameworks.json", "/master/frameworks", "/master/frameworks/", "/frameworks/x/y"]
    {
        assert_eq!(cluster.get(path).await.json(), plain, "{path}");
    }
    for path in ["/nothing", "/master/nothing", "/", "/statex", "/redirect/x"] {
        assert_eq!(cluster.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_are_narrowed_by_what_is_asked() {
    let (cluster, agent, framework) = busy().await;
    let count =
        async |path: String, list: &str| cluster.get(&path).await.json()[list].as_array().unwrap().len();
    assert_eq!(count(format!("/slaves?slave_id={}", agent.id), "slaves").await, 1);
    assert_eq!(count("/slaves?slave_id=nobody".to_owned(), "slaves").await, 0);
    assert_eq!(count(format!("/frameworks?framework_id={}", framework.id), "frameworks").await, 1);
    assert_eq!(count("/frameworks?framework_id=nobody".to_owned(), "frameworks").await, 0);
    for (query, expected) in [
        ("", 4),
        ("?limit=-1", 4),
        ("?limit=2", 2),
        ("?limit=nonsense", 4),
        ("?offset=3", 1),
        ("?offset=9", 0),
        ("?task_id=ended", 1),
        ("?task_id=ended&framework_id=nobody", 0),
    ] {
        assert_eq!(count(format!("/tasks{query}"), "tasks").await, expected, "{query}");
    }
    let ids = async |query: &str| {
        let tasks = cluster.get(&format!("/tasks{query}")).await.json();
        let ids: Vec<String> = tasks["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["id"].as_str().unwrap().to_owned())
            .collect();
        ids
    };
    let told = |ids: &[String]| -> Vec<String> {
        ids.iter().filter(|id| *id == "running" || *id == "ended").cloned().collect()
    };
    assert_eq!(told(&ids("?order=asc").await), ["running", "ended"]);
    assert_eq!(told(&ids("?order=des").await), ["ended", "running"]);
    assert_eq!(told(&ids("").await), ["ended", "running"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_have_the_names_and_values_that_mesos_has() {
    let (cluster, ..) = busy().await;
    let figures = cluster.get("/metrics/snapshot?timeout=10secs").await.json();
    for (name, value) in [
        ("master/elected", 1.0),
        ("master/cpus_total", 13.0),
        ("master/cpus_used", 2.1),
        ("master/gpus_total", 2.0),
        ("master/slaves_active", 2.0),
        ("master/slaves_connected", 2.0),
        ("master/slave_registrations", 2.0),
        ("master/outstanding_offers", 1.0),
        ("master/frameworks_active", 1.0),
        ("master/tasks_running", 1.0),
        ("master/tasks_staging", 2.0),
        ("master/tasks_finished", 1.0),
        ("master/messages_register_framework", 1.0),
        ("master/messages_launch_tasks", 1.0),
        ("master/messages_status_update", 2.0),
        ("master/valid_status_updates", 2.0),
        ("master/invalid_status_updates", 0.0),
        ("master/messages_status_update_acknowledgement", 1.0),
        ("registrar/log/recovered", 1.0),
    ] {
        assert_eq!(figures[name].as_f64(), Some(value), "{name}");
    }
    assert!(figures.as_object().unwrap().values().all(Value::is_number), "{figures}");
    assert!(figures["system/cpus_total"].as_f64().unwrap() >= 1.0);
    assert_eq!(cluster.get("/metrics/snapshot?timeout=10").await.status, 400);
    assert!(cluster.get("/metrics").await.text().contains("lonja_master_tasks_launched_total 4"));
}
