//! `lonja explain`.

mod tasks;

use std::collections::BTreeMap;
use std::process::ExitCode;

use lonja_proto::lonja::explain_request::About;
use lonja_proto::lonja::{ExplainResponse, ExplainedFramework, ExplainedRole, Obstacle};
use serde_json::{Value, json};

use crate::args::{Explain, Format};
use crate::client::Client;
use crate::output::{amount, print_lines};

/// Says how a framework, role or task stands, to people in sentences and to programs as one object.
pub(crate) async fn explain(explain: &Explain) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect(&explain.master.master).await?;
    let name = explain.name.clone();
    let about = match (explain.role, explain.task) {
        (true, _) => About::Role(name),
        (false, true) => About::Task(name),
        (false, false) => About::Name(name),
    };
    let answer = client.explain(about).await?;
    if explain.output == Format::Json {
        print_lines(&[serde_json::to_string_pretty(&object(&answer))?]);
    } else {
        print_lines(&sentences(&answer));
    }
    Ok(ExitCode::SUCCESS)
}

fn sentences(answer: &ExplainResponse) -> Vec<String> {
    let mut lines: Vec<String> = answer.tasks.iter().flat_map(tasks::sentences).collect();
    if let Some(role) = &answer.role {
        lines.extend(about_role(role));
    }
    for framework in &answer.frameworks {
        lines.extend(about_framework(framework));
    }
    if answer.frameworks.is_empty() && answer.tasks.is_empty() {
        lines.push("No framework is subscribed with it, so nothing is offered.".to_owned());
    }
    lines
}

fn about_role(role: &ExplainedRole) -> Vec<String> {
    let share = role.dominant_share * 100.0;
    let mut lines = vec![
        format!("Role {}, weight {}", role.role, amount(role.weight)),
        format!("  holds       {} (dominant share {share:.2} %)", words(&role.allocated)),
    ];
    if !role.guarantees.is_empty() || !role.limits.is_empty() {
        let limits = if role.limits.is_empty() { "none".to_owned() } else { words(&role.limits) };
        lines.push(format!("  quota       guaranteed {}, limit {limits}", words(&role.guarantees)));
        lines.push(format!("  consumes    {}, still owed {}", words(&role.consumed), words(&role.owed)));
    }
    lines
}

fn about_framework(framework: &ExplainedFramework) -> Vec<String> {
    let id = framework.framework_id.as_ref().map(|id| id.value.as_str()).unwrap_or_default();
    let mut lines = vec![
        format!("Framework {} ({id}) in role {}", framework.name, framework.role),
        format!("  holds       {}", words(&framework.allocated)),
    ];
    lines.push(match (framework.agents, framework.ahead) {
        (0, _) => "  could get   nothing now".to_owned(),
        (agents, 0) => {
            format!("  could get   {} of {}, and is next", words(&framework.could_get), count(agents))
        }
        (agents, ahead) => {
            format!(
                "  could get   {} of {}, after {ahead} others",
                words(&framework.could_get),
                count(agents)
            )
        }
    });
    for obstacle in &framework.obstacles {
        lines.push(format!("  in the way  {}", obstacle.message));
    }
    lines.extend(tasks::waiting(framework));
    lines
}

fn count(agents: u32) -> String {
    format!("{agents} agent{}", if agents == 1 { "" } else { "s" })
}

fn sorted(amounts: &BTreeMap<String, f64>) -> BTreeMap<&str, f64> {
    amounts.iter().map(|(name, amount)| (name.as_str(), *amount)).collect()
}

fn words(amounts: &BTreeMap<String, f64>) -> String {
    if amounts.is_empty() {
        return "nothing".to_owned();
    }
    let each = sorted(amounts).into_iter().map(|(name, held)| format!("{name}:{}", amount(held)));
    each.collect::<Vec<_>>().join(";")
}

fn object(answer: &ExplainResponse) -> Value {
    let role = answer.role.as_ref().map(|role| {
        json!({
            "role": role.role,
            "weight": role.weight,
            "guarantees": sorted(&role.guarantees),
            "limits": sorted(&role.limits),
            "consumed": sorted(&role.consumed),
            "owed": sorted(&role.owed),
            "allocated": sorted(&role.allocated),
            "dominant_share": role.dominant_share,
        })
    });
    let framework = |framework: &ExplainedFramework| {
        json!({
            "id": framework.framework_id.as_ref().map(|id| &id.value),
            "name": framework.name,
            "role": framework.role,
            "allocated": sorted(&framework.allocated),
            "agents": framework.agents,
            "could_get": sorted(&framework.could_get),
            "ahead": framework.ahead,
            "obstacles": framework.obstacles.iter().map(obstacle).collect::<Vec<_>>(),
            "waiting_tasks": framework.waiting_tasks,
            "told_seconds_ago": framework.told_seconds_ago,
        })
    };
    let frameworks: Vec<Value> = answer.frameworks.iter().map(framework).collect();
    let tasks: Vec<Value> = answer.tasks.iter().map(tasks::object).collect();
    json!({ "schema": 1, "role": role, "frameworks": frameworks, "tasks": tasks })
}

fn obstacle(obstacle: &Obstacle) -> Value {
    json!({
        "kind": obstacle.kind,
        "message": obstacle.message,
        "agents": obstacle.agents,
        "nearest_agent": obstacle.nearest_agent_id.as_ref().map(|id| &id.value),
        "has": sorted(&obstacle.has),
        "lacks": sorted(&obstacle.lacks),
        "role": obstacle.role,
        "soonest_seconds": obstacle.soonest_seconds,
        "latest_seconds": obstacle.latest_seconds,
    })
}
