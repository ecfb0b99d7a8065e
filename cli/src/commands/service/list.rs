//! `lonja service list`.

use std::collections::BTreeSet;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::api::{Api, ApiError, escape};
use super::ids::{is_within, rooted};
use super::standing::Counts;
use super::{WATCH_INTERVAL, standing};
use crate::args::Format;
use crate::args::services::{ListServices, ServiceFamily};
use crate::output::{Listing, Row, amount};

/// Lists apps and pods, once or again and again.
pub(super) async fn run(api: &Api, family: &ServiceFamily, list: &ListServices) -> anyhow::Result<ExitCode> {
    loop {
        let listing = listing(api, list)?;
        if list.watch {
            super::show::clear_screen(family);
        }
        listing.print(family.output, family.quiet);
        if !list.watch {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

fn listing(api: &Api, list: &ListServices) -> Result<Listing, ApiError> {
    let label = list.label.as_ref().map(|label| format!("&label={}", escape(&selector(label))));
    let label = label.unwrap_or_default();
    let apps = api.get(&format!(
        "/v2/apps?embed=apps.counts&embed=apps.deployments&embed=apps.lastTaskFailure{label}"
    ))?;
    let group = rooted(list.group.as_deref().unwrap_or("/"));
    let is_meant = |id: &Value| id.as_str().is_some_and(|id| is_within(id, &group));
    let apps = apps["apps"].as_array().into_iter().flatten().filter(|app| is_meant(&app["id"]));
    let apps: Vec<&Value> = apps.collect();
    // Labels select apps alone.
    let pods =
        if list.label.is_none() { api.find("/v2/pods/::status")?.unwrap_or_default() } else { Value::Null };
    let pods: Vec<&Value> =
        pods.as_array().into_iter().flatten().filter(|pod| is_meant(&pod["id"])).collect();
    let changes = |app: &&Value| app["deployments"].as_array().is_some_and(|ids| !ids.is_empty());
    let promotable = if !pods.is_empty() || apps.iter().any(changes) {
        standing::promotable(api)?
    } else {
        BTreeSet::new()
    };
    let counts = |mut counts: Counts| {
        counts.promotable = promotable.contains(&counts.id);
        counts
    };
    let mut rows: Vec<Row> = apps.into_iter().map(|app| app_row(app, counts(Counts::of_app(app)))).collect();
    rows.extend(pods.into_iter().map(|pod| pod_row(pod, counts(Counts::of_pod(pod)))));
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    let columns = vec![
        "id",
        "running",
        "healthy",
        "state",
        "cpus",
        "mem",
        "version",
        "kind",
        "ports",
        "role",
        "runs",
        "last failure",
    ];
    Ok(Listing { what: "services", columns, wide_from: 7, rows })
}

/// As the API writes it: `tier=front` is `tier==front` there.
fn selector(text: &str) -> String {
    let mut selector = String::with_capacity(text.len() + 1);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        selector.push_str(before);
        selector.push_str(if before.ends_with('!') { "=" } else { "==" });
        rest = after.strip_prefix('=').unwrap_or(after);
    }
    selector.push_str(rest);
    selector
}

fn app_row(app: &Value, counts: Counts) -> Row {
    let mut ports: Vec<String> = numbers(&app["portDefinitions"], "port");
    ports.extend(numbers(&app["container"]["portMappings"], "servicePort"));
    let args =
        app["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
    let runs =
        standing::text(&app["container"]["docker"]["image"]).or(standing::text(&app["cmd"])).unwrap_or(args);
    let cells = vec![
        amount(app["cpus"].as_f64().unwrap_or(0.0)),
        amount(app["mem"].as_f64().unwrap_or(0.0)),
        standing::text(&app["version"]).unwrap_or_default(),
        "app".to_owned(),
        ports.join(","),
        standing::text(&app["role"]).unwrap_or_default(),
        shortened(&runs),
    ];
    row(counts, cells)
}

fn pod_row(status: &Value, counts: Counts) -> Row {
    let spec = &status["spec"];
    let containers = || spec["containers"].as_array().into_iter().flatten();
    let sum = |name: &str| {
        containers().map(|container| container["resources"][name].as_f64().unwrap_or(0.0)).sum::<f64>()
    };
    let names: Vec<&str> = containers().filter_map(|container| container["name"].as_str()).collect();
    let cells = vec![
        amount(sum("cpus")),
        amount(sum("mem")),
        standing::text(&spec["version"]).unwrap_or_default(),
        "pod".to_owned(),
        String::new(),
        standing::text(&spec["role"]).unwrap_or_default(),
        names.join(","),
    ];
    row(counts, cells)
}

fn row(counts: Counts, more: Vec<String>) -> Row {
    let state = counts.state();
    let object = json!({
        "id": counts.id,
        "kind": if counts.is_pod { "pod" } else { "app" },
        "instances": counts.wanted,
        "running": counts.running,
        "healthy": counts.healthy,
        "unhealthy": counts.unhealthy,
        "state": state,
        "cpus": more[0].parse::<f64>().ok(),
        "mem": more[1].parse::<f64>().ok(),
        "version": more[2],
        "role": more[5],
        "deployments": counts.deployments,
        "last_failure": counts.last_failure,
    });
    let mut cells = vec![
        counts.id.clone(),
        format!("{}/{}", counts.running, counts.wanted),
        counts.healthy.map_or_else(|| "-".to_owned(), |healthy| healthy.to_string()),
        state.to_owned(),
    ];
    cells.extend(more);
    cells.push(shortened(&counts.last_failure.unwrap_or_default()));
    Row { id: counts.id, cells, object }
}

fn numbers(list: &Value, field: &str) -> Vec<String> {
    let numbers = list.as_array().into_iter().flatten().filter_map(|entry| entry[field].as_u64());
    numbers.map(|number| number.to_string()).collect()
}

/// The first line, and not too much of it.
fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= MOST && line.len() == text.trim_end().len() {
        return line.to_owned();
    }
    format!("{} ...", line.chars().take(MOST).collect::<String>().trim_end())
}

/// What of `format` is for people.
pub(super) fn is_for_people(family: &ServiceFamily) -> bool {
    family.output != Format::Json && !family.quiet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_has_as_many_cells_as_the_listing_has_columns() {
        let app = json!({ "id": "/web", "instances": 2, "tasksRunning": 1, "cpus": 0.5, "mem": 64, "cmd": "a\nb",
                          "portDefinitions": [{ "port": 10000 }], "healthChecks": [{}], "tasksHealthy": 1 });
        let row = app_row(&app, Counts::of_app(&app));
        let cells: Vec<&str> = row.cells.iter().map(String::as_str).collect();
        assert_eq!(cells, ["/web", "1/2", "1", "waiting", "0.5", "64", "", "app", "10000", "", "a ...", ""]);
        let pod =
            json!({ "id": "/p", "spec": { "containers": [{ "name": "c", "resources": { "cpus": 1 } }] } });
        assert_eq!(pod_row(&pod, Counts::of_pod(&pod)).cells.len(), 12);
    }

    #[test]
    fn one_sign_of_equality_is_enough() {
        for (written, sent) in [
            ("tier=front", "tier==front"),
            ("tier==front,env!=prod", "tier==front,env!=prod"),
            ("a=b,c!=d,e in (f)", "a==b,c!=d,e in (f)"),
            ("tier", "tier"),
        ] {
            assert_eq!(selector(written), sent);
        }
    }
}
