//! `lonja service scale|update|restart|rm|wait`.

use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::api::{Api, escape};
use super::ids::rooted;
use super::run::{members, print_plan, query};
use super::waiting::{Goal, Named, deployments_of};
use super::{Usage, description, input, outcome};
use crate::args::services::{
    OneService, Pushing, RemoveService, ScaleService, ServiceFamily, UpdateService, WaitService, Waiting,
};

/// What an id stands for.
pub(super) enum Kind {
    /// With its counters.
    App(Value),
    /// Its definition.
    Pod(Value),
    Group,
}

/// What `id` stands for. Errors: nothing.
pub(super) fn kind(api: &Api, id: &str) -> anyhow::Result<Kind> {
    if id != "/" {
        if let Some(found) = api.find(&format!("/v2/apps{}", escape(id)))? {
            return Ok(Kind::App(found["app"].clone()));
        }
        if let Some(pod) = api.find(&format!("/v2/pods{}", escape(id)))? {
            return Ok(Kind::Pod(pod));
        }
    }
    // The root is always there.
    let path = if id == "/" { "/v2/groups".to_owned() } else { format!("/v2/groups{}", escape(id)) };
    match api.find(&format!("{path}?embed=none"))? {
        Some(_) => Ok(Kind::Group),
        None if api.find(&format!("/v2/jobs{}", escape(id)))?.is_some() => {
            bail!(
                "{id} is a job: `lonja service job show {id}` shows its runs, `lonja service job --help` what else there is"
            )
        }
        None => bail!("there is no app, pod or group {id}; `lonja service list` shows what there is"),
    }
}

/// An app or pod alone is meant. Errors: it is a group.
pub(super) fn no_group<T>(id: &str) -> anyhow::Result<T> {
    bail!("{id} is a group: name one of its apps or pods; `lonja service list {id}` shows them")
}

/// A change of one app or pod, sent and waited for.
pub(super) struct Change<'a> {
    pub(super) api: &'a Api,
    pub(super) family: &'a ServiceFamily,
    pub(super) service: Named,
}

impl Change<'_> {
    /// Sends it and waits.
    pub(super) async fn put(
        &self,
        body: &Value,
        whole: bool,
        pushing: &Pushing,
        waiting: &Waiting,
    ) -> anyhow::Result<ExitCode> {
        let route = if self.service.is_pod { "/v2/pods" } else { "/v2/apps" };
        let more = (whole && !self.service.is_pod).then_some("partialUpdate=false");
        let path = format!("{route}{}{}", escape(&self.service.id), query(pushing, more));
        let reply = self.api.ask("PUT", &path, Some(body))?;
        if pushing.dry_run {
            print_plan(self.family, &reply.body);
            return Ok(ExitCode::SUCCESS);
        }
        self.wait(reply.deployment, waiting).await
    }

    /// Waits for a deployment that changes it.
    pub(super) async fn wait(
        &self,
        deployment: Option<String>,
        waiting: &Waiting,
    ) -> anyhow::Result<ExitCode> {
        let goal = Goal { deployment, services: vec![self.service.clone()], ..Goal::default() };
        outcome::of(self.api, self.family, &goal, waiting).await
    }
}

/// Changes the number of instances.
pub(super) async fn scale(
    api: &Api,
    family: &ServiceFamily,
    scale: &ScaleService,
) -> anyhow::Result<ExitCode> {
    let id = rooted(&scale.id);
    let (is_pod, body) = match kind(api, &id)? {
        Kind::App(_) => (false, json!({ "instances": scale.instances })),
        Kind::Pod(mut pod) => {
            pod["scaling"] = json!({ "kind": "fixed", "instances": scale.instances });
            pod.as_object_mut().map(|pod| pod.remove("version"));
            (true, pod)
        }
        Kind::Group => return no_group(&id),
    };
    let change = Change { api, family, service: Named { id, is_pod } };
    change.put(&body, false, &scale.pushing, &scale.waiting).await
}

/// Changes what flags and a file name.
pub(super) async fn update(
    api: &Api,
    family: &ServiceFamily,
    update: &UpdateService,
) -> anyhow::Result<ExitCode> {
    let id = rooted(&update.id);
    let from_file = match &update.file {
        Some(file) => input::read_object(file)?,
        None => Map::new(),
    };
    api.wait_until_there().await?;
    super::unknown::warn_of_fields(&from_file);
    let before = match kind(api, &id)? {
        Kind::App(app) => app,
        Kind::Pod(_) => {
            return Err(Usage(format!(
                "{id} is a pod, which is replaced as a whole: `lonja service run FILE`"
            ))
            .into());
        }
        Kind::Group => return no_group(&id),
    };
    let changes = description::changes(update, from_file, &before)?;
    let change = Change { api, family, service: Named { id, is_pod: false } };
    let (body, whole) = match replaces_command(&changes, &before) {
        // A change by fields could not take the one away that goes.
        Some(goes) => (whole_without(&before, goes, changes), true),
        None => (Value::Object(changes), false),
    };
    change.put(&body, whole, &update.pushing, &update.waiting).await
}

/// The field that goes when a line for the shell takes the place of arguments, or the other way round.
fn replaces_command(changes: &Map<String, Value>, before: &Value) -> Option<&'static str> {
    let had = |field: &str| !before[field].is_null() && before[field] != json!([]);
    let pairs = [("cmd", "args"), ("args", "cmd")];
    pairs.into_iter().find(|(comes, goes)| changes.contains_key(*comes) && had(goes)).map(|(_, goes)| goes)
}

fn whole_without(before: &Value, goes: &str, changes: Map<String, Value>) -> Value {
    let mut whole = input::definition(before);
    whole.remove(goes);
    whole.extend(changes);
    Value::Object(whole)
}

/// Replaces all instances.
pub(super) async fn restart(api: &Api, family: &ServiceFamily, one: &OneService) -> anyhow::Result<ExitCode> {
    let id = rooted(&one.id);
    match kind(api, &id)? {
        Kind::App(_) => {}
        Kind::Pod(_) => {
            bail!("{id} is a pod: the API has no restart for pods; change it, or delete its instances")
        }
        Kind::Group => return no_group(&id),
    }
    let force = if one.force { "?force=true" } else { "" };
    let reply = api.ask("POST", &format!("/v2/apps{}/restart{force}", escape(&id)), None)?;
    let change = Change { api, family, service: Named { id, is_pod: false } };
    change.wait(reply.deployment, &one.waiting).await
}

/// Removes apps, pods and groups, one deployment each.
pub(super) async fn remove(
    api: &Api,
    family: &ServiceFamily,
    remove: &RemoveService,
) -> anyhow::Result<ExitCode> {
    // The root is what no name at all would be, such as that of a variable which is not set.
    if remove.ids.iter().any(|id| rooted(id) == "/" && !(id.starts_with('/') && remove.all)) {
        return Err(Usage(
            "this names nothing, or all there is; `rm / --recursive --all` removes all".to_owned(),
        )
        .into());
    }
    let mut goals = Vec::new();
    for id in remove.ids.iter().map(|id| rooted(id)) {
        let (route, force, services) = match kind(api, &id)? {
            // What cannot come up must at least be able to go: for apps this is the API's default too.
            Kind::App(_) => ("/v2/apps", true, vec![Named { id: id.clone(), is_pod: false }]),
            Kind::Pod(_) => ("/v2/pods", true, vec![Named { id: id.clone(), is_pod: true }]),
            Kind::Group if remove.recursive => ("/v2/groups", remove.force, members(api, &id)?),
            Kind::Group => {
                return Err(
                    Usage(format!("{id} is a group: --recursive removes it with all that is in it")).into()
                );
            }
        };
        let reply = api.ask("DELETE", &format!("{route}{}?force={force}", escape(&id)), None)?;
        goals.push(Goal { deployment: reply.deployment, services, gone: true, ..Goal::default() });
    }
    for goal in goals {
        let code = outcome::of(api, family, &goal, &remove.waiting).await?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until one, or all in a group, are as they are wanted.
pub(super) async fn wait(api: &Api, family: &ServiceFamily, wait: &WaitService) -> anyhow::Result<ExitCode> {
    let id = rooted(&wait.id);
    let services = match kind(api, &id)? {
        Kind::App(_) => vec![Named { id: id.clone(), is_pod: false }],
        Kind::Pod(_) => vec![Named { id: id.clone(), is_pod: true }],
        Kind::Group => members(api, &id)?,
    };
    let under_way = deployments_of(api, &id)?;
    // Of several the others show as deployments of what they touch, which is waited for as well.
    let deployment =
        under_way.first().and_then(|deployment| deployment["id"].as_str().map(ToOwned::to_owned));
    let waiting = Waiting { detach: false, wait: true, timeout: wait.timeout };
    outcome::of(api, family, &Goal { deployment, services, ..Goal::default() }, &waiting).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_line_for_the_shell_takes_the_place_of_arguments() {
        let before = json!({ "id": "/a", "args": ["x"], "cpus": 1, "version": "t", "tasksRunning": 1 });
        let changes = map(json!({ "cmd": "y" }));
        assert_eq!(replaces_command(&changes, &before), Some("args"));
        assert_eq!(whole_without(&before, "args", changes), json!({ "id": "/a", "cmd": "y", "cpus": 1 }));
        assert_eq!(replaces_command(&map(json!({ "cmd": "y" })), &json!({ "cmd": "x" })), None);
    }
}
