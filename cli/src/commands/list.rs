//! `lonja frameworks|roles|tasks|offers`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context;
use lonja_model::resources::Quantities;
use lonja_proto::convert::framework::quantities_from_wire;
use lonja_proto::mesos;
use lonja_proto::mesos::master::call::Type;
use lonja_proto::mesos::master::response::get_frameworks;
use serde_json::{Map, Value, json};

use crate::args::{List, ListTasks};
use crate::client::Client;
use crate::output::{Listing, Row, amount};

/// Lists frameworks.
pub(crate) async fn frameworks(list: &List) -> anyhow::Result<ExitCode> {
    let answer = Client::connect(&list.master.master).await?.ask(Type::GetFrameworks).await?;
    let frameworks = answer.get_frameworks.context("the master's answer holds no frameworks")?;
    let rows = frameworks.frameworks.iter().map(framework_row).collect();
    let columns = vec!["id", "name", "state", "roles", "cpus", "mem", "offers", "user", "failover timeout"];
    Listing { what: "frameworks", columns, wide_from: 7, rows }.print(list.output, list.quiet);
    Ok(ExitCode::SUCCESS)
}

fn framework_row(framework: &get_frameworks::Framework) -> Row {
    let info = &framework.framework_info;
    let id = info.id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
    let state = match (framework.connected, framework.recovered) {
        (true, _) => "connected",
        (false, true) => "recovered",
        (false, false) => "disconnected",
    };
    let roles = if info.roles.is_empty() { vec!["*".to_owned()] } else { info.roles.clone() };
    let failover_timeout = info.failover_timeout();
    let object = json!({
        "id": id,
        "name": info.name,
        "state": state,
        "user": info.user,
        "roles": roles,
        "failover_timeout_seconds": failover_timeout,
        "allocated": object(&framework.allocated_resources),
        "offered": object(&framework.offered_resources),
        "offers": framework.offers.len(),
        "inverse_offers": framework.inverse_offers.len(),
    });
    let cells = vec![
        id.clone(),
        info.name.clone(),
        state.to_owned(),
        roles.join(","),
        amount(sum(&framework.allocated_resources, "cpus")),
        amount(sum(&framework.allocated_resources, "mem")),
        framework.offers.len().to_string(),
        info.user.clone(),
        format!("{failover_timeout}s"),
    ];
    Row { id, cells, object }
}

/// Lists roles.
pub(crate) async fn roles(list: &List) -> anyhow::Result<ExitCode> {
    let answer = Client::connect(&list.master.master).await?.ask(Type::GetRoles).await?;
    let roles = answer.get_roles.context("the master's answer holds no roles")?.roles;
    let rows = roles.iter().map(|role| {
        let (guarantees, limits) = (amounts(&role.guarantees), amounts(&role.limits));
        Row {
            id: role.name.clone(),
            cells: vec![
                role.name.clone(),
                amount(role.weight),
                role.frameworks.len().to_string(),
                amount(sum(&role.resources, "cpus")),
                amount(sum(&role.resources, "mem")),
                or_dash(&guarantees),
                or_dash(&limits),
                or_dash(&amounts(&role.consumed)),
                or_dash(&amounts(&role.allocated)),
                or_dash(&amounts(&role.offered)),
            ],
            object: json!({
                "name": role.name,
                "weight": role.weight,
                "frameworks": role.frameworks.iter().map(|id| id.value.as_str()).collect::<Vec<_>>(),
                "resources": object(&role.resources),
                "guarantees": numbers(&guarantees),
                "limits": numbers(&limits),
                "consumed": numbers(&amounts(&role.consumed)),
                "allocated": numbers(&amounts(&role.allocated)),
                "offered": numbers(&amounts(&role.offered)),
            }),
        }
    });
    let columns = vec![
        "role",
        "weight",
        "frameworks",
        "cpus",
        "mem",
        "guarantee",
        "limit",
        "consumed",
        "allocated",
        "offered",
    ];
    Listing { what: "roles", columns, wide_from: 7, rows: rows.collect() }.print(list.output, list.quiet);
    Ok(ExitCode::SUCCESS)
}

/// Lists tasks.
pub(crate) async fn tasks(list: &ListTasks) -> anyhow::Result<ExitCode> {
    let tasks = Client::connect(&list.list.master.master).await?.tasks().await?;
    let mut shown: Vec<mesos::Task> = tasks.tasks.into_iter().chain(tasks.unreachable_tasks).collect();
    // A programs' reader wants the end of a task as well; a person asks for it.
    if list.all || list.list.output == crate::args::Format::Json {
        shown.extend(tasks.completed_tasks);
    }
    let of_framework =
        |task: &&mesos::Task| list.framework.as_ref().is_none_or(|wanted| *wanted == task.framework_id.value);
    let rows = shown.iter().filter(of_framework).map(task_row).collect();
    let columns = vec![
        "id",
        "name",
        "state",
        "health",
        "cpus",
        "mem",
        "agent",
        "message",
        "framework",
        "executor",
        "container",
        "ports",
    ];
    Listing { what: "tasks", columns, wide_from: 8, rows }.print(list.list.output, list.list.quiet);
    Ok(ExitCode::SUCCESS)
}

fn task_row(task: &mesos::Task) -> Row {
    let id = task.task_id.value.clone();
    let last = task.statuses.last();
    let message = last.and_then(|status| status.message.clone()).unwrap_or_default();
    let container = last.and_then(|status| status.container_status.as_ref());
    let pid = container.and_then(|container| container.executor_pid);
    let container =
        container.and_then(|container| container.container_id.as_ref()).map(|id| id.value.clone());
    let state = task.state().as_str_name();
    let executor = task.executor_id.as_ref().map(|executor| executor.value.clone());
    let object = json!({
        "id": id,
        "name": task.name,
        "state": state,
        "framework_id": task.framework_id.value,
        "agent_id": task.agent_id.value,
        "executor_id": executor,
        "resources": object(&task.resources),
        "container_id": container,
        "pid": pid,
        "message": message,
        "healthy": last.and_then(|status| status.healthy),
        "check_status": last.and_then(|status| status.check_status.as_ref()).map_or(Value::Null, check_status),
        "statuses": task.statuses.iter().map(|status| json!({
            "state": status.state().as_str_name(),
            "timestamp": status.timestamp,
            "message": status.message,
            "reason": status.reason.is_some().then(|| status.reason().as_str_name()),
            "healthy": status.healthy,
        })).collect::<Vec<_>>(),
    });
    let cells = vec![
        id.clone(),
        task.name.clone(),
        state.to_owned(),
        health(last),
        amount(sum(&task.resources, "cpus")),
        amount(sum(&task.resources, "mem")),
        task.agent_id.value.clone(),
        message,
        task.framework_id.value.clone(),
        executor.unwrap_or_default(),
        container.unwrap_or_default(),
        ranges(&task.resources),
    ];
    Row { id, cells, object }
}

/// What was said last of a task's health, and what its check saw, for people.
fn health(last: Option<&mesos::TaskStatus>) -> String {
    let health = match last.and_then(|status| status.healthy) {
        Some(true) => Some("healthy".to_owned()),
        Some(false) => Some("unhealthy".to_owned()),
        None => None,
    };
    let status = last.and_then(|status| status.check_status.as_ref());
    let seen = status.and_then(|status| {
        let exited = status.command.as_ref().and_then(|command| command.exit_code);
        let answered = status.http.as_ref().and_then(|http| http.status_code);
        let opened = status.tcp.as_ref().and_then(|tcp| tcp.succeeded);
        exited
            .map(|code| format!("exit {code}"))
            .or_else(|| answered.map(|code| format!("http {code}")))
            .or_else(|| opened.map(|opened| if opened { "open" } else { "refused" }.to_owned()))
    });
    let words: Vec<String> = health.into_iter().chain(seen).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

/// The last result of a check, for programs.
fn check_status(status: &mesos::CheckStatusInfo) -> Value {
    let command = status.command.as_ref().map(|command| json!({ "exit_code": command.exit_code }));
    let http = status.http.as_ref().map(|http| json!({ "status_code": http.status_code }));
    let tcp = status.tcp.as_ref().map(|tcp| json!({ "succeeded": tcp.succeeded }));
    json!({ "type": status.r#type().as_str_name(), "command": command, "http": http, "tcp": tcp })
}

/// Lists outstanding offers.
pub(crate) async fn offers(list: &List) -> anyhow::Result<ExitCode> {
    let offers = Client::connect(&list.master.master).await?.offers().await?;
    let rows = offers.iter().map(|offer| {
        let role = offer.allocation_info.as_ref().and_then(|info| info.role.clone()).unwrap_or_default();
        Row {
            id: offer.id.value.clone(),
            cells: vec![
                offer.id.value.clone(),
                offer.framework_id.value.clone(),
                role.clone(),
                offer.agent_id.value.clone(),
                amount(sum(&offer.resources, "cpus")),
                amount(sum(&offer.resources, "mem")),
                ranges(&offer.resources),
            ],
            object: json!({
                "id": offer.id.value,
                "framework_id": offer.framework_id.value,
                "agent_id": offer.agent_id.value,
                "role": role,
                "resources": object(&offer.resources),
            }),
        }
    });
    let columns = vec!["id", "framework", "role", "agent", "cpus", "mem", "ports"];
    Listing { what: "offers", columns, wide_from: 6, rows: rows.collect() }.print(list.output, list.quiet);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn sum(resources: &[mesos::Resource], name: &str) -> f64 {
    let scalars = resources.iter().filter(|resource| resource.name == name);
    // Begins at plus zero: an empty sum of floats is minus zero.
    scalars.filter_map(|resource| resource.scalar.as_ref()).fold(0.0, |sum, scalar| sum + scalar.value)
}

pub(super) fn ranges(resources: &[mesos::Resource]) -> String {
    let ports = resources.iter().filter(|resource| resource.name == "ports");
    let ranges = ports.filter_map(|resource| resource.ranges.as_ref()).flat_map(|ranges| &ranges.range);
    ranges.map(|range| format!("{}-{}", range.begin, range.end)).collect::<Vec<_>>().join(",")
}

/// Resources as one object: numbers for scalars, text for the rest.
pub(super) fn object(resources: &[mesos::Resource]) -> Value {
    let mut object = Map::new();
    for resource in resources {
        let value = if let Some(scalar) = &resource.scalar {
            let before = object.get(&resource.name).and_then(Value::as_f64).unwrap_or(0.0);
            json!(before + scalar.value)
        } else if let Some(ranges) = &resource.ranges {
            let text =
                ranges.range.iter().map(|range| format!("{}-{}", range.begin, range.end)).collect::<Vec<_>>();
            json!(format!("[{}]", text.join(",")))
        } else {
            json!(resource.set.as_ref().map(|set| set.item.clone()).unwrap_or_default())
        };
        object.insert(resource.name.clone(), value);
    }
    Value::Object(object)
}

pub(super) fn attribute_text(attribute: &mesos::Attribute) -> String {
    if let Some(text) = &attribute.text {
        return text.value.clone();
    }
    if let Some(scalar) = &attribute.scalar {
        return amount(scalar.value);
    }
    let ranges = attribute.ranges.iter().flat_map(|ranges| &ranges.range);
    format!(
        "[{}]",
        ranges.map(|range| format!("{}-{}", range.begin, range.end)).collect::<Vec<_>>().join(",")
    )
}

/// Amounts as one object of numbers.
pub(super) fn numbers(quantities: &Quantities) -> Value {
    Value::Object(quantities.iter().map(|(name, amount)| (name.to_owned(), json!(amount.to_f64()))).collect())
}

/// Amounts for people; a dash for none.
pub(super) fn or_dash(quantities: &Quantities) -> String {
    if quantities.is_empty() { "-".to_owned() } else { quantities.to_string() }
}

/// Amounts of an answer; what is none is left out.
pub(super) fn amounts(wire: &BTreeMap<String, mesos::value::Scalar>) -> Quantities {
    quantities_from_wire(wire.clone()).unwrap_or_default()
}
