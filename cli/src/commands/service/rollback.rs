//! `lonja service rollback|promote`: back to what was before, or on with what waits.
//!
//! While a deployment is under way it is taken back. Otherwise the version before is the newest that runs something
//! else: a change of the number of instances alone is none, and the number stays as it is now, unless a version is named.
//! Where the present version is an older one again, what came between the two was taken back already: it is left out.

use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::api::{Api, escape};
use super::change::{Change, Kind, kind, no_group};
use super::ids::rooted;
use super::waiting::{Goal, Named, deployments_of};
use super::{input, outcome, standing};
use crate::args::services::{OneService, Pushing, RollbackService, ServiceFamily};
use crate::output::note;

/// The most versions that are looked at for one that runs something else.
const MOST_VERSIONS: usize = 50;

/// Takes it back.
pub(super) async fn run(
    api: &Api,
    family: &ServiceFamily,
    rollback: &RollbackService,
) -> anyhow::Result<ExitCode> {
    let id = rooted(&rollback.id);
    let (is_pod, now) = match kind(api, &id)? {
        Kind::App(app) => (false, app),
        Kind::Pod(pod) => (true, pod),
        Kind::Group => return no_group(&id),
    };
    let change = Change { api, family, service: Named { id: id.clone(), is_pod } };
    let mut pushing = Pushing { force: rollback.force, dry_run: rollback.dry_run, strategy: None };
    if rollback.to.is_none()
        && let Some(deployment) = deployments_of(api, &id)?.first()
    {
        let deployment = deployment["id"].as_str().context("the deployment in the list has no id")?;
        if rollback.dry_run {
            note(&format!("deployment {deployment} would be taken back"));
            return Ok(ExitCode::SUCCESS);
        }
        let reply = api.ask("DELETE", &format!("/v2/deployments/{}", escape(deployment)), None)?;
        note(&format!("{id}: deployment {deployment} is taken back"));
        // Before a first deployment there was nothing.
        let services = vec![change.service];
        let goal = Goal { deployment: reply.deployment, services, may_go: true, ..Goal::default() };
        return outcome::of(api, family, &goal, &rollback.waiting).await;
    }
    let versions = Versions { api, id: &id, is_pod };
    if let (Some(version), false) = (&rollback.to, is_pod) {
        versions.definition(version)?;
        return change.put(&json!({ "version": version }), false, &pushing, &rollback.waiting).await;
    }
    let (version, before) = match &rollback.to {
        Some(version) => (version.clone(), versions.definition(version)?),
        None => versions.before(&now)?,
    };
    note(&format!("{id}: back to version {version}, which runs {}", runs(&before)));
    let body = going_back(&now, &before, rollback.to.is_some());
    // What failed may be under way still in one that was forced; that is its user's to say.
    pushing.force = rollback.force;
    change.put(&body, true, &pushing, &rollback.waiting).await
}

/// The definition to go back to, with the number of instances as it is now unless all of it is meant.
fn going_back(now: &Value, before: &Value, wholly: bool) -> Value {
    let mut body = input::definition(before);
    for field in ["instances", "scaling"] {
        if let (false, Some(number)) = (wholly, now.get(field)) {
            body.insert(field.to_owned(), number.clone());
        }
    }
    Value::Object(body)
}

struct Versions<'a> {
    api: &'a Api,
    id: &'a str,
    is_pod: bool,
}

impl Versions<'_> {
    /// All, newest first.
    fn all(&self) -> anyhow::Result<Vec<String>> {
        let mut versions: Vec<String> = all_of(self.api, self.id, self.is_pod)?;
        versions.sort_unstable_by(|one, other| other.cmp(one));
        Ok(versions)
    }

    fn definition(&self, version: &str) -> anyhow::Result<Value> {
        definition(self.api, self.id, self.is_pod, version)
    }

    /// The newest version that runs something else, and was not taken back.
    fn before(&self, now: &Value) -> anyhow::Result<(String, Value)> {
        let mut older = Vec::new();
        for version in self.all()?.into_iter().skip(1).take(MOST_VERSIONS) {
            let definition = self.definition(&version)?;
            older.push((version, definition));
        }
        match newest_before(now, older) {
            Some(before) => Ok(before),
            None => bail!(
                "{id} has no version before this one that runs anything else and was not taken back; \
                 `lonja service show {id} --versions` lists all, and --to names one",
                id = self.id
            ),
        }
    }
}

/// Of the versions before the present one, newest first, the one that is to come back.
fn newest_before(now: &Value, older: Vec<(String, Value)>) -> Option<(String, Value)> {
    // Where one of them is what runs now, those after it were tried and given up.
    let same = older.iter().rposition(|(_, definition)| !runs_differently(now, definition));
    let rest = older.into_iter().skip(same.map_or(0, |same| same + 1));
    rest.into_iter().find(|(_, definition)| runs_differently(now, definition))
}

/// What a definition runs, in a few words.
fn runs(definition: &Value) -> String {
    let args = definition["args"].as_array().into_iter().flatten().filter_map(standing::text);
    let args = args.collect::<Vec<_>>().join(" ");
    let image = standing::text(&definition["container"]["docker"]["image"]);
    let names = definition["containers"].as_array().into_iter().flatten();
    let names = names.filter_map(|container| standing::text(&container["name"])).collect::<Vec<_>>();
    let command = standing::text(&definition["cmd"]).or((!args.is_empty()).then_some(args));
    match (command, image) {
        (Some(command), Some(image)) => format!("{command:?} in {image}"),
        (Some(command), None) => format!("{command:?}"),
        (None, Some(image)) => image,
        (None, None) => names.join(", "),
    }
}

/// All versions of an app or pod.
pub(super) fn all_of(api: &Api, id: &str, is_pod: bool) -> anyhow::Result<Vec<String>> {
    let path = if is_pod {
        format!("/v2/pods{}::versions", escape(id))
    } else {
        format!("/v2/apps{}/versions", escape(id))
    };
    let versions = api.get(&path)?;
    let list = if is_pod { &versions } else { &versions["versions"] };
    Ok(list.as_array().into_iter().flatten().filter_map(standing::text).collect())
}

/// The definition as of a version.
pub(super) fn definition(api: &Api, id: &str, is_pod: bool, version: &str) -> anyhow::Result<Value> {
    let escaped = escape(version);
    let path = if is_pod {
        format!("/v2/pods{}::versions/{escaped}", escape(id))
    } else {
        format!("/v2/apps{}/versions/{escaped}", escape(id))
    };
    let found = api.find(&path)?;
    found.with_context(|| {
        format!("{id} has no version {version}; `lonja service show {id} --versions` lists them")
    })
}

fn runs_differently(now: &Value, other: &Value) -> bool {
    let essence = |definition: &Value| {
        let mut definition = input::definition(definition);
        definition.retain(|field, _| !matches!(field.as_str(), "instances" | "scaling"));
        definition
    };
    essence(now) != essence(other)
}

/// Goes on with the deployment that waits for it.
pub(super) async fn promote(api: &Api, family: &ServiceFamily, one: &OneService) -> anyhow::Result<ExitCode> {
    let id = rooted(&one.id);
    let is_pod = match kind(api, &id)? {
        Kind::App(_) => false,
        Kind::Pod(_) => true,
        Kind::Group => return no_group(&id),
    };
    let under_way = deployments_of(api, &id)?;
    let Some(deployment) = under_way.first().and_then(|deployment| deployment["id"].as_str()) else {
        bail!("{id}: no deployment is under way, so nothing waits to be promoted");
    };
    api.ask("POST", &format!("/v2/deployments/{}/promote", escape(deployment)), None)?;
    let change = Change { api, family, service: Named { id, is_pod } };
    change.wait(Some(deployment.to_owned()), &one.waiting).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_back_keeps_the_number_of_instances_unless_a_version_is_named() {
        let now = json!({ "id": "/a", "cmd": "bad", "instances": 7 });
        let before = json!({ "id": "/a", "cmd": "good", "instances": 2, "version": "t", "versionInfo": {} });
        assert_eq!(going_back(&now, &before, false), json!({ "id": "/a", "cmd": "good", "instances": 7 }));
        assert_eq!(going_back(&now, &before, true), json!({ "id": "/a", "cmd": "good", "instances": 2 }));
    }

    #[test]
    fn what_was_taken_back_does_not_come_back() {
        let version = |name: &str, cmd: &str| (name.to_owned(), json!({ "id": "/a", "cmd": cmd }));
        let before = |now: &str, older: &[(&str, &str)]| {
            let older = older.iter().map(|(name, cmd)| version(name, cmd)).collect();
            newest_before(&json!({ "id": "/a", "cmd": now }), older).map(|(version, _)| version)
        };
        assert_eq!(before("good", &[("3", "bad"), ("2", "good"), ("1", "older")]).as_deref(), Some("1"));
        assert_eq!(before("good", &[("2", "bad"), ("1", "good")]), None);
        assert_eq!(before("bad", &[("2", "bad"), ("1", "good")]).as_deref(), Some("1"));
        assert_eq!(before("new", &[("2", "bad"), ("1", "good")]).as_deref(), Some("2"));
    }

    #[test]
    fn a_scale_is_no_version_to_go_back_to() {
        let now = json!({ "id": "/a", "cmd": "x", "instances": 7, "version": "3", "tasksRunning": 7 });
        assert!(!runs_differently(&now, &json!({ "id": "/a", "cmd": "x", "instances": 2, "version": "2" })));
        assert!(runs_differently(&now, &json!({ "id": "/a", "cmd": "y", "instances": 7, "version": "1" })));
    }
}
