//! `lonja explain`.

mod tasks;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::bail;
use lonja_proto::lonja::explain_request::About;
use lonja_proto::lonja::{ExplainResponse, ExplainedFramework, ExplainedRole, ExplainedTask, Obstacle};
use lonja_proto::mesos;
use serde_json::{Value, json};

use crate::args::{Explain, Format};
use crate::client::Client;
use crate::output::{amount, print_lines};

/// Says how a framework, role or task stands, to people in sentences and to programs as one object.
pub(crate) async fn explain(explain: &Explain) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect(&explain.master.master).await?;
    let name = explain.name.clone();
    let about = match (explain.role, explain.task || explain.framework.is_some()) {
        (true, _) => About::Role(name),
        (false, true) => About::Task(name),
        (false, false) => {
            one_of_its_name(&client.frameworks().await?, &name)?;
            About::Name(name)
        }
    };
    let mut answer = client.explain(about).await?;
    if let Some(framework) = &explain.framework {
        only_of(&mut answer, framework, &explain.name)?;
    }
    if explain.output == Format::Json {
        print_lines(&[serde_json::to_string_pretty(&object(&answer))?]);
    } else {
        print_lines(&sentences(&answer));
    }
    Ok(ExitCode::SUCCESS)
}

/// Frameworks that share a name are told apart by their ids alone. Errors: the name is that of several.
fn one_of_its_name(frameworks: &[(String, String)], name: &str) -> anyhow::Result<()> {
    if frameworks.iter().any(|(id, _)| id == name) {
        return Ok(());
    }
    let ids: Vec<&str> =
        frameworks.iter().filter(|(_, called)| called == name).map(|(id, _)| id.as_str()).collect();
    if ids.len() > 1 {
        bail!("{} frameworks are called {name}; name one by its id: {}", ids.len(), ids.join(", "));
    }
    Ok(())
}

/// Leaves what is of this framework. Errors: it has no such task; then those that have one are named.
fn only_of(answer: &mut ExplainResponse, framework: &str, task: &str) -> anyhow::Result<()> {
    let is_its = |id: &Option<mesos::FrameworkId>| id.as_ref().is_some_and(|id| id.value == framework);
    let owners = owners(&answer.tasks).join(", ");
    answer.tasks.retain(|task| is_its(&task.framework_id));
    answer.frameworks.retain(|one| is_its(&one.framework_id));
    if answer.tasks.is_empty() {
        bail!("framework {framework} has no task {task}, but these have: {owners}");
    }
    Ok(())
}

fn owners(tasks: &[ExplainedTask]) -> Vec<&str> {
    tasks.iter().filter_map(|task| Some(task.framework_id.as_ref()?.value.as_str())).collect()
}

fn sentences(answer: &ExplainResponse) -> Vec<String> {
    let mut lines: Vec<String> = answer.tasks.iter().flat_map(tasks::sentences).collect();
    if let several @ 2.. = answer.tasks.len() {
        let ids = owners(&answer.tasks).join(", ");
        lines.insert(0, format!("{several} tasks are called so; --framework ID explains one, of: {ids}"));
    }
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
        format!("Role {}, weight {}", named_role(&role.role), amount(role.weight)),
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
        format!("Framework {} ({id}) in role {}", framework.name, named_role(&framework.role)),
        format!("  holds       {}", words(&framework.allocated)),
    ];
    lines.push(match (framework.agents, framework.ahead) {
        (0, _) => "  could get   nothing now".to_owned(),
        (agents, 0) => {
            format!("  could get   {} of {}, and is next", words(&framework.could_get), count(agents))
        }
        (agents, ahead) => {
            let others = if ahead == 1 { "1 other".to_owned() } else { format!("{ahead} others") };
            format!("  could get   {} of {}, after {others}", words(&framework.could_get), count(agents))
        }
    });
    for obstacle in &framework.obstacles {
        lines.push(format!("  in the way  {}", obstacle.message));
    }
    lines.extend(tasks::waiting(framework));
    lines
}

/// The role of those who name none is called so.
fn named_role(role: &str) -> String {
    if role == "*" { "* (the default one)".to_owned() } else { role.to_owned() }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn task(framework: &str) -> ExplainedTask {
        let framework_id = Some(mesos::FrameworkId { value: framework.to_owned() });
        ExplainedTask { task: "web-1".to_owned(), framework_id, ..ExplainedTask::default() }
    }

    #[test]
    fn of_frameworks_with_one_name_the_ids_are_listed() {
        let known = [("F1", "web"), ("F2", "web"), ("F3", "db")];
        let known = known.map(|(id, name)| (id.to_owned(), name.to_owned()));

        let said = one_of_its_name(&known, "web").unwrap_err().to_string();

        assert_eq!(said, "2 frameworks are called web; name one by its id: F1, F2");
        assert!(["db", "F1", "nobody"].iter().all(|name| one_of_its_name(&known, name).is_ok()));
    }

    #[test]
    fn of_tasks_with_one_name_the_frameworks_are_listed_and_one_can_be_chosen() {
        let mut answer = ExplainResponse { tasks: vec![task("F1"), task("F2")], ..Default::default() };
        let first = sentences(&answer).remove(0);
        assert_eq!(first, "2 tasks are called so; --framework ID explains one, of: F1, F2");

        let said = only_of(&mut answer.clone(), "F3", "web-1").unwrap_err().to_string();
        assert_eq!(said, "framework F3 has no task web-1, but these have: F1, F2");
        only_of(&mut answer, "F2", "web-1").unwrap();
        assert_eq!(owners(&answer.tasks), ["F2"]);
    }
}
