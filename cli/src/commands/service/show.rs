//! `lonja service show`: one app, pod or group.

use std::io::IsTerminal;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::WATCH_INTERVAL;
use super::api::{Api, escape};
use super::change::{Kind, kind};
use super::ids::{rooted, short};
use super::list::is_for_people;
use super::rollback::{all_of, definition};
use super::standing::{Counts, promotable, text};
use crate::args::services::{ListServices, ServiceFamily, ShowService};
use crate::output::{Listing, Row, amount, print_lines};

/// Shows one, once or again and again.
pub(super) async fn run(api: &Api, family: &ServiceFamily, show: &ShowService) -> anyhow::Result<ExitCode> {
    loop {
        let kind = kind(api, &rooted(&show.id))?;
        if show.watch {
            clear_screen(family);
        }
        once(api, family, show, kind).await?;
        if !show.watch {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

async fn once(api: &Api, family: &ServiceFamily, show: &ShowService, kind: Kind) -> anyhow::Result<()> {
    let id = rooted(&show.id);
    let is_pod = matches!(kind, Kind::Pod(_));
    if matches!(kind, Kind::Group) && (show.versions || show.at.is_some()) {
        return super::change::no_group(&id);
    }
    if show.versions {
        print_versions(family, &all_of(api, &id, is_pod)?);
        return Ok(());
    }
    if let Some(version) = &show.at {
        print_lines(&[format!("{:#}", definition(api, &id, is_pod, version)?)]);
        return Ok(());
    }
    match kind {
        Kind::App(app) if is_for_people(family) => {
            let mut counts = Counts::of_app(&app);
            if !counts.deployments.is_empty() {
                counts.promotable = promotable(api)?.contains(&id);
            }
            print_app(family, &app, counts);
        }
        Kind::App(app) => print_object(family, &id, &app),
        Kind::Pod(_) => {
            let status = api.get(&format!("/v2/pods{}::status", escape(&id)))?;
            if is_for_people(family) {
                let mut counts = Counts::of_pod(&status);
                counts.promotable = promotable(api)?.contains(&id);
                print_pod(family, &status, &counts);
            } else {
                print_object(family, &id, &status);
            }
        }
        Kind::Group => {
            let list = ListServices { group: Some(id), label: None, watch: false };
            Box::pin(super::list::run(api, family, &list)).await?;
        }
    }
    Ok(())
}

/// Where what is watched is shown afresh: at the top of a terminal.
pub(super) fn clear_screen(family: &ServiceFamily) {
    if is_for_people(family) && std::io::stdout().is_terminal() {
        print_lines(&["\u{1b}[H\u{1b}[2J".to_owned()]);
    }
}

fn print_object(family: &ServiceFamily, id: &str, object: &Value) {
    if family.quiet { print_lines(&[id.to_owned()]) } else { print_lines(&[format!("{object:#}")]) }
}

fn print_versions(family: &ServiceFamily, versions: &[String]) {
    let row = |version: &String| Row {
        id: version.clone(),
        cells: vec![version.clone()],
        object: json!({ "version": version }),
    };
    let rows = versions.iter().map(row).collect();
    Listing { what: "versions", columns: vec!["version"], wide_from: 1, rows }
        .print(family.output, family.quiet);
}

fn print_app(family: &ServiceFamily, app: &Value, counts: Counts) {
    let mut lines = vec![format!("{}: {} ({})", counts.id, counts.words(), counts.state())];
    let mut say = |name: &str, value: Option<String>| {
        lines.extend(value.filter(|value| !value.is_empty()).map(|value| format!("  {name:12} {value}")));
    };
    let number = |field: &str| app[field].as_f64().filter(|number| *number > 0.0).map(amount);
    let named = |field: &str| {
        let entries = app[field].as_object().into_iter().flatten();
        let entries = entries
            .map(|(name, value)| format!("{name}={}", text(value).unwrap_or_else(|| value.to_string())));
        Some(entries.collect::<Vec<_>>().join(" "))
    };
    let list = |field: &str| {
        let entries = app[field].as_array().into_iter().flatten();
        Some(
            entries
                .map(|entry| text(entry).unwrap_or_else(|| entry.to_string()))
                .collect::<Vec<_>>()
                .join(" "),
        )
    };
    say("image", text(&app["container"]["docker"]["image"]));
    say("cmd", text(&app["cmd"]));
    say("args", list("args"));
    for field in ["cpus", "mem", "disk", "gpus"] {
        say(field, number(field));
    }
    say("ports", Some(ports(app)));
    say("env", named("env"));
    say("labels", named("labels"));
    say("constraints", list("constraints"));
    say("dependencies", list("dependencies"));
    say("role", text(&app["role"]));
    say("version", text(&app["version"]));
    say("deployments", Some(counts.deployments.join(" ")));
    say("last failure", counts.last_failure);
    lines.extend(failed_checks(app).map(|failed| format!("  failed check {failed}")));
    print_lines(&lines);
    let rows = app["tasks"].as_array().into_iter().flatten().map(task_row).collect::<Vec<_>>();
    print_tasks(family, rows);
}

/// What health checks say of the instances that they do not find well.
pub(super) fn failed_checks(app: &Value) -> impl Iterator<Item = String> {
    let failed = |task: &Value| -> Vec<String> {
        let id = text(&task["id"]).unwrap_or_default();
        let results = task["healthCheckResults"].as_array().into_iter().flatten();
        let failed = results.filter(|result| result["alive"] != true).filter_map(|result| {
            let times = result["consecutiveFailures"].as_u64().filter(|times| *times > 1);
            let times = times.map(|times| format!(" ({times} times in a row)")).unwrap_or_default();
            Some(format!("{}: {}{times}", short(&id), text(&result["lastFailureCause"])?))
        });
        failed.collect()
    };
    app["tasks"].as_array().into_iter().flatten().flat_map(failed)
}

fn ports(app: &Value) -> String {
    let definitions = app["portDefinitions"].as_array().into_iter().flatten();
    let mappings = app["container"]["portMappings"].as_array().into_iter().flatten();
    let port = |port: &Value| {
        let number = port["port"].as_u64().or(port["servicePort"].as_u64()).unwrap_or(0);
        format!("{}:{number}", text(&port["name"]).unwrap_or_else(|| "-".to_owned()))
    };
    definitions.chain(mappings).map(port).collect::<Vec<_>>().join(" ")
}

fn task_row(task: &Value) -> Row {
    let id = text(&task["id"]).unwrap_or_default();
    let ports = task["ports"].as_array().into_iter().flatten().map(ToString::to_string).collect::<Vec<_>>();
    let results = task["healthCheckResults"].as_array().filter(|results| !results.is_empty());
    let alive = results.map(|results| results.iter().all(|result| result["alive"] == true));
    let health = match alive {
        Some(true) => "healthy",
        Some(false) => "unhealthy",
        None => "-",
    };
    let cells = vec![
        short(&id).to_owned(),
        text(&task["state"]).unwrap_or_default(),
        health.to_owned(),
        text(&task["host"]).unwrap_or_default(),
        ports.join(","),
        text(&task["startedAt"]).unwrap_or_default(),
        text(&task["version"]).unwrap_or_default(),
        id.clone(),
    ];
    Row { id, cells, object: task.clone() }
}

fn print_pod(family: &ServiceFamily, status: &Value, counts: &Counts) {
    print_lines(&[format!("{}: {} ({})", counts.id, counts.words(), counts.state())]);
    let instances = status["instances"].as_array().into_iter().flatten();
    let rows = instances.flat_map(|instance| {
        let containers = instance["containers"].as_array().into_iter().flatten();
        containers.map(move |container| container_row(instance, container))
    });
    print_tasks(family, rows.collect());
}

fn container_row(instance: &Value, container: &Value) -> Row {
    let id = text(&container["containerId"]).unwrap_or_default();
    let endpoints = || container["endpoints"].as_array().into_iter().flatten();
    let ports = endpoints().filter_map(|endpoint| endpoint["allocatedHostPort"].as_u64());
    let health: Vec<bool> = endpoints().filter_map(|endpoint| endpoint["healthy"].as_bool()).collect();
    let health = match health.as_slice() {
        [] => "-",
        all if all.iter().all(|healthy| *healthy) => "healthy",
        _ => "unhealthy",
    };
    let name = text(&container["name"]).unwrap_or_default();
    let cells = vec![
        format!("{} {name}", short(&id)),
        text(&container["status"]).unwrap_or_default(),
        health.to_owned(),
        text(&instance["agentHostname"]).unwrap_or_default(),
        ports.map(|port| port.to_string()).collect::<Vec<_>>().join(","),
        text(&container["statusSince"]).unwrap_or_default(),
        instance["specReference"].as_str().and_then(|path| path.rsplit('/').next()).unwrap_or("").to_owned(),
        id.clone(),
    ];
    Row { id, cells, object: container.clone() }
}

fn print_tasks(family: &ServiceFamily, rows: Vec<Row>) {
    let columns = vec!["instance", "state", "health", "host", "ports", "since", "version", "task"];
    Listing { what: "instances", columns, wide_from: 7, rows }.print(family.output, false);
}
