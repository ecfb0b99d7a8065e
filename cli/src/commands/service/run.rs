//! `lonja service run`: what a file or flags describe is made so.

use std::process::ExitCode;

use serde_json::Value;

use super::api::{Api, escape};
use super::ids::{is_within, rooted};
use super::input::{self, Document};
use super::waiting::{Goal, Named};
use super::{description, outcome};
use crate::args::Format;
use crate::args::services::{Pushing, RunService, ServiceFamily};
use crate::output::{note, print_lines};

/// Creates or replaces all that is described, one deployment after another.
pub(super) async fn run(api: &Api, family: &ServiceFamily, run: RunService) -> anyhow::Result<ExitCode> {
    let documents = match (&run.file, &run.name) {
        (Some(file), _) => input::read(file)?,
        (None, Some(name)) => {
            vec![Document::Apps(vec![description::new_app(name, &run.description, &run.command)?])]
        }
        (None, None) => {
            return Err(
                super::Usage("name the app with --name, or a FILE that describes it".to_owned()).into()
            );
        }
    };
    if run.file.is_some() && is_described(&run) {
        return Err(
            super::Usage("flags that describe an app go with --name; a file says it all".to_owned()).into()
        );
    }
    api.wait_until_there().await?;
    for document in &documents {
        super::unknown::warn_of(document);
        let (path, body) = document.request();
        let Some(goal) = push(api, family, &run.pushing, document, &path, &body)? else { continue };
        let code = outcome::of(api, family, &goal, &run.waiting).await?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn is_described(run: &RunService) -> bool {
    let nothing = crate::args::services::Description::default();
    run.description != nothing
}

/// Sends one document; what is then to be waited for, if anything.
fn push(
    api: &Api,
    family: &ServiceFamily,
    pushing: &Pushing,
    document: &Document,
    path: &str,
    body: &Value,
) -> anyhow::Result<Option<Goal>> {
    if pushing.dry_run && matches!(document, Document::Job(_)) {
        return Err(super::Usage("--dry-run: a job has no plan; it runs when it is time".to_owned()).into());
    }
    // A file is all there is to say: what it leaves out gets its default.
    let whole = matches!(document, Document::Apps(_)).then_some("partialUpdate=false");
    let target = format!("{}{}", escape(path), query(pushing, whole));
    let reply = api.ask("PUT", &target, Some(body))?;
    if pushing.dry_run {
        print_plan(family, &reply.body);
        return Ok(None);
    }
    let services = match document {
        Document::Apps(_) => apps(document.ids()),
        Document::Pod(_) => document.ids().into_iter().map(|id| Named { id, is_pod: true }).collect(),
        Document::Group(group) => members(api, &rooted(group["id"].as_str().unwrap_or_default()))?,
        Document::Job(_) => {
            print_lines(&document.ids());
            return Ok(None);
        }
    };
    Ok(Some(Goal { deployment: reply.deployment, services, ..Goal::default() }))
}

/// These apps, to be waited for.
pub(super) fn apps(ids: Vec<String>) -> Vec<Named> {
    ids.into_iter().map(|id| Named { id, is_pod: false }).collect()
}

/// All apps and pods in a group.
pub(super) fn members(api: &Api, group: &str) -> anyhow::Result<Vec<Named>> {
    let listed = api.get("/v2/apps?embed=apps.counts")?;
    let pods = api.find("/v2/pods")?.unwrap_or_default();
    let ids = |list: &Value| -> Vec<String> {
        let ids = list.as_array().into_iter().flatten().filter_map(|object| object["id"].as_str());
        ids.filter(|id| is_within(id, group)).map(ToOwned::to_owned).collect()
    };
    let mut members = apps(ids(&listed["apps"]));
    members.extend(ids(&pods).into_iter().map(|id| Named { id, is_pod: true }));
    Ok(members)
}

/// How a change is made, as a query.
pub(super) fn query(pushing: &Pushing, more: Option<&str>) -> String {
    let mut parts: Vec<String> = more.into_iter().map(ToOwned::to_owned).collect();
    if pushing.force {
        parts.push("force=true".to_owned());
    }
    if pushing.dry_run {
        parts.push("dryRun=true".to_owned());
    }
    parts.extend(pushing.strategy.map(|strategy| format!("strategy={}", strategy.name())));
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

/// What a change would do.
pub(super) fn print_plan(family: &ServiceFamily, plan: &Value) {
    if family.output == Format::Json {
        return print_lines(&[format!("{plan:#}")]);
    }
    let lines = plan_lines(plan);
    if lines.is_empty() {
        return note("nothing would be done: all is as it is wanted");
    }
    print_lines(&lines);
}

fn plan_lines(plan: &Value) -> Vec<String> {
    let steps = plan["steps"].as_array().into_iter().flatten().enumerate();
    steps
        .map(|(index, step)| {
            let actions = step["actions"].as_array().into_iter().flatten().map(super::standing::action);
            format!("step {}: {}", index + 1, actions.collect::<Vec<_>>().join(", "))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::services::Strategy;
    use serde_json::json;

    #[test]
    fn a_change_says_how_it_is_made() {
        let plain = Pushing { force: false, dry_run: false, strategy: None };
        assert_eq!(query(&plain, None), "");
        let all = Pushing { force: true, dry_run: true, strategy: Some(Strategy::BlueGreen) };
        assert_eq!(
            query(&all, Some("partialUpdate=false")),
            "?partialUpdate=false&force=true&dryRun=true&strategy=blueGreen"
        );
    }

    #[test]
    fn a_strategy_may_be_written_as_the_api_writes_it() {
        use clap::ValueEnum;
        for name in ["blue-green", "blueGreen"] {
            assert_eq!(Strategy::from_str(name, false), Ok(Strategy::BlueGreen));
        }
    }

    #[test]
    fn a_plan_is_its_steps_in_order() {
        let plan = json!({ "steps": [{ "actions": [{ "action": "StartApplication", "app": "/a" }, { "action": "StopPod", "pod": "/p" }] },
                                     { "actions": [{ "action": "ScaleApplication", "app": "/a" }] }] });
        assert_eq!(plan_lines(&plan), ["step 1: start /a, stop /p", "step 2: scale /a"]);
    }
}
