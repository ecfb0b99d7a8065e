//! `/v2/groups`: groups are shown, made, changed and removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::http::StatusCode;
use lonja_services_core::definition::{RunSpec, Version};
use lonja_services_core::groups::{self, Group, History};
use lonja_services_core::planning::{PlainTree, Tree};
use lonja_services_core::{Change, Command, Config, PathId, Services};
use serde_json::{Value, json};

use super::app_json::{Embeds, SeenApp, Touched};
use super::apps::{default_role, dry_run, seen, tell_changed};
use super::pods::SeenPod;
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::route::Route;
use super::tasks::only_get;
use super::{Api, Ask, Document, aside, groups_json, in_place};
use crate::wire::{self, Defaults, GroupUpdate};

/// Answers for a group, the apps in it, and its versions.
pub(super) async fn answer(api: &Api, route: &Route, ask: &Ask) -> Outcome {
    match (route, ask.method.as_str()) {
        (Route::Group(id), "GET") => show(api, id, ask).await,
        (Route::Group(id), "POST" | "PUT") => update(api, id, ask, None).await,
        (Route::Group(id), "PATCH") => enforce(api, id, ask).await,
        (Route::Group(id), "DELETE") => remove(api, id, ask).await,
        (Route::Group(_), _) => Err(Problem::Method("GET, POST, PUT, PATCH, DELETE")),
        (Route::GroupApps(id), _) => only_get(ask).map(|()| apps(api, id, ask))?.await,
        (Route::GroupVersions(id), _) => only_get(ask).map(|()| versions(api, id))?.await,
        (Route::GroupVersion(id, version), "GET") => show_version(api, id, version, ask).await,
        // Some clients take a group back by this.
        (Route::GroupVersion(id, version), "PUT") => update(api, id, ask, Some(version)).await,
        (Route::GroupVersion(..), _) => Err(Problem::Method("GET, PUT")),
        _ => Err(Problem::Unknown("URI not found".to_owned())),
    }
}

/// What is taken of a group and all below it at a look.
pub(super) struct SeenGroup {
    pub(super) groups: BTreeMap<PathId, Group>,
    pub(super) apps: Vec<SeenApp>,
    pub(super) pods: Vec<SeenPod>,
}

impl SeenGroup {
    fn of(services: &Services, id: &PathId, embeds: Embeds) -> Option<Self> {
        let group = services.groups().get(id);
        if group.is_none() && !id.is_root() {
            return None;
        }
        let touched = Touched::of(services);
        let groups = services.groups().iter().filter(|(one, _)| *one == id || one.is_below(id));
        let pods = services.services().values().filter(|one| one.spec().id().is_below(id));
        Some(Self {
            groups: groups.map(|(id, group)| (id.clone(), group.clone())).collect(),
            apps: seen(services, &touched, embeds, |app| app.id.is_below(id)),
            pods: pods.filter_map(SeenPod::of).collect(),
        })
    }
}

async fn show(api: &Api, id: &PathId, ask: &Ask) -> Outcome {
    let (embeds, parts) = (Embeds::of_group(&ask.query), groups_json::Parts::of(&ask.query));
    let wanted = id.clone();
    let (group, now) =
        api.door.look(move |services, now| (SeenGroup::of(services, &wanted, embeds), now)).await?;
    let group = group.ok_or_else(|| Problem::unknown("Group", id))?;
    let id = id.clone();
    aside(move || {
        let apps = group.apps.iter().map(|app| (app.app.id.clone(), app.json(embeds, now))).collect();
        let pods = group.pods.iter().map(|pod| (pod.pod.id.clone(), pod.status(now))).collect();
        reply::ok(&groups_json::Tree { groups: &group.groups, apps, pods, parts }.json(&id))
    })
    .await
}

async fn apps(api: &Api, id: &PathId, ask: &Ask) -> Outcome {
    let embeds = Embeds::of_group(&ask.query);
    let wanted = id.clone();
    let (apps, now) = api
        .door
        .look(move |services, now| {
            let touched = Touched::of(services);
            (seen(services, &touched, embeds, |app| app.id.is_below(&wanted)), now)
        })
        .await?;
    aside(move || reply::ok(&apps.iter().map(|app| app.json(embeds, now)).collect())).await
}

/// What changes of a group are made of: all below it, and what is remembered of it.
struct Before {
    tree: PlainTree,
    history: BTreeMap<PathId, BTreeMap<Version, RunSpec>>,
    version: Option<Version>,
    /// Of the apps below, by their top-level groups.
    roles: BTreeMap<String, String>,
    default_role: String,
    max_versions: usize,
}

impl Before {
    fn of(services: &Services, id: &PathId, with_history: bool, config: &Config) -> Self {
        let mut tree = PlainTree::default();
        let mut history = BTreeMap::new();
        for (one, service) in services.services() {
            if service.is_removed() || !one.is_below(id) {
                continue;
            }
            tree.set(one, Some(service.spec().clone()));
            if with_history {
                history.insert(one.clone(), service.versions().clone());
            }
        }
        for (one, group) in services.groups() {
            if one == id || one.is_below(id) {
                tree.set_group(one, Some(group.clone()));
            }
        }
        let roles = services.groups().keys().filter_map(|group| {
            let inside = group.resolve("x").ok()?;
            Some((group.top_group().or(group.last())?.to_owned(), default_role(services, &inside, config)))
        });
        Self {
            tree,
            history,
            version: services.groups().get(id).map(|group| group.version),
            roles: roles.collect(),
            default_role: config.default_role.clone(),
            max_versions: config.max_versions,
        }
    }

    fn history(&self) -> History<'_> {
        self.history.iter().collect()
    }

    /// The role of an app in a group that says this of `enforceRole` for itself.
    fn role(&self, config: &Config, app: &PathId, said: &BTreeMap<String, bool>) -> String {
        let Some(top) = app.top_group() else { return self.default_role.clone() };
        match said.get(top) {
            Some(true) => top.to_owned(),
            Some(false) => self.default_role.clone(),
            None if config.new_groups_enforce_role && !self.roles.contains_key(top) => top.to_owned(),
            None => self.roles.get(top).cloned().unwrap_or_else(|| self.default_role.clone()),
        }
    }
}

async fn update(api: &Api, path: &PathId, ask: &Ask, back_to: Option<&str>) -> Outcome {
    let body = match back_to {
        Some(version) => Document::own(json!({ "version": version })),
        None => ask.json()?,
    };
    let named = body.get("id").and_then(Value::as_str);
    let id = named.map_or_else(|| Ok(path.clone()), |name| path.resolve(name));
    let id = id.map_err(|error| Problem::Illegal(error.to_string()))?;
    let create = ask.method == axum::http::Method::POST;
    let with_history = body.to_string().contains("\"version\"");
    let config = Arc::clone(&api.config);
    let wanted = id.clone();
    let look = move |services: &Services| Before::of(services, &wanted, with_history, &config);
    let said = said_of_roles(&id, &body);
    let make = |before: Before| {
        let defaults = |app: &PathId| Defaults { role: before.role(&api.config, app, &said) };
        let parent = id.parent().unwrap_or_else(PathId::root);
        let update = wire::group_update(&body, Some(&id), &parent, defaults)?;
        let mut change = Change::default();
        lay_over(&update, &before, &mut change)?;
        if create {
            change.create.insert(id.clone());
        } else {
            change.based_on.insert(id.clone(), before.version);
        }
        Ok(change)
    };
    if ask.is_dry_run() {
        let seen = api.door.look(move |services, _| look(services)).await?;
        let change = in_place(|| make(seen))?;
        return dry_run(api, ask, change).await;
    }
    let started = api.door.change(&ask.options(false)?, look, make).await?;
    api.counters.deployed();
    let warnings = tell_changed(api, ask, &started, None).await;
    let status = if create { StatusCode::CREATED } else { StatusCode::OK };
    let response = reply::with_warnings(reply::started(status, &started), &warnings);
    Ok(if create { reply::with_location(response, id.as_str()) } else { response })
}

/// Which top-level groups the update itself says of that they enforce their roles, or do not.
fn said_of_roles(id: &PathId, body: &Value) -> BTreeMap<String, bool> {
    let said = |group: &Value| group.get("enforceRole").and_then(Value::as_bool);
    let mut roles = BTreeMap::new();
    if id.is_root() {
        for group in body.get("groups").and_then(Value::as_array).into_iter().flatten() {
            let name = group.get("id").and_then(Value::as_str).map(|name| name.trim_matches('/').to_owned());
            roles.extend(name.zip(said(group)));
        }
    } else if id.top_group().is_none() {
        roles.extend(id.last().map(str::to_owned).zip(said(body)));
    }
    roles
}

/// Adds what an update of a group comes to.
fn lay_over(update: &GroupUpdate, before: &Before, change: &mut Change) -> Result<(), Problem> {
    let id = &update.id;
    if let Some(version) = update.version {
        let back = groups::as_of(id, version, &before.tree, &before.history(), before.max_versions);
        // An unknown version is a wrong value here, and no wrong path.
        let unknown = |_| {
            Problem::Illegal(format!("Group '{id}' does not exist in version {}", wire::version(version)))
        };
        change.specs.extend(back.map_err(unknown)?.specs);
        return Ok(());
    }
    if let Some(factor) = update.scale_by {
        change.specs.extend(groups::scale_by(id, factor, &before.tree)?.specs);
        return Ok(());
    }
    let present = before.tree.group(id);
    let mut group = present.cloned().unwrap_or_else(|| Group::new(id.clone(), Version::default()));
    if let Some(dependencies) = &update.dependencies {
        group.dependencies.clone_from(dependencies);
    }
    group.enforce_role = update.enforce_role.or(group.enforce_role);
    if present != Some(&group) {
        change.groups.insert(id.clone(), Some(group));
    }
    if let Some(apps) = &update.apps {
        let listed: BTreeSet<&PathId> = apps.iter().map(|app| &app.id).collect();
        let gone = before.tree.specs_below(id).filter(|(one, spec)| {
            matches!(spec, RunSpec::App(_)) && one.parent().as_ref() == Some(id) && !listed.contains(one)
        });
        change.specs.extend(gone.map(|(one, _)| (one.clone(), None)));
        let wanted = apps.iter().map(|app| (app.id.clone(), Some(RunSpec::App(Arc::new(app.clone())))));
        change.specs.extend(wanted);
    }
    if let Some(groups) = &update.groups {
        let listed: BTreeSet<&PathId> = groups.iter().map(|group| &group.id).collect();
        let gone = before.tree.groups_below(id);
        let gone = gone.filter(|(one, _)| one.parent().as_ref() == Some(id) && !listed.contains(one));
        change.groups.extend(gone.map(|(one, _)| (one.clone(), None)));
        for group in groups {
            lay_over(group, before, change)?;
        }
    }
    Ok(())
}

async fn enforce(api: &Api, id: &PathId, ask: &Ask) -> Outcome {
    let body = ask.json()?;
    let fields = body.as_object().filter(|fields| fields.keys().all(|name| name == "enforceRole"));
    let value = fields.map(|fields| fields.get("enforceRole").filter(|value| !value.is_null()));
    let enforce = match value {
        Some(None) => None,
        Some(Some(Value::Bool(enforce))) => Some(*enforce),
        Some(Some(_)) | None => {
            return Err(Problem::Illegal("only {\"enforceRole\": true or false} is taken here".to_owned()));
        }
    };
    if id.is_root() || id.top_group().is_some() {
        return Err(Problem::Illegal("enforceRole is for groups directly below the root only".to_owned()));
    }
    let group = id.clone();
    api.door.ask(|answer| Command::EnforceRole { group, enforce, answer }).await??;
    Ok(reply::empty(StatusCode::OK))
}

async fn remove(api: &Api, id: &PathId, ask: &Ask) -> Outcome {
    let wanted = id.clone();
    let look = move |services: &Services| wanted.is_root() || services.groups().contains_key(&wanted);
    let make = |exists: bool| {
        if exists { Ok(groups::removal(id.clone())) } else { Err(Problem::unknown("Group", id)) }
    };
    let started = api.door.change(&ask.options(false)?, look, make).await?;
    api.counters.deployed();
    Ok(reply::started(StatusCode::OK, &started))
}

async fn before(api: &Api, id: &PathId) -> Result<Before, Problem> {
    let (wanted, config) = (id.clone(), Arc::clone(&api.config));
    let before = api.door.look(move |services, _| Before::of(services, &wanted, true, &config)).await?;
    if before.version.is_none() && !id.is_root() {
        return Err(Problem::unknown("Group", id));
    }
    Ok(before)
}

async fn versions(api: &Api, id: &PathId) -> Outcome {
    let before = before(api, id).await?;
    let versions = groups::versions(id, &before.tree, &before.history());
    Ok(reply::ok(&versions.into_iter().rev().map(wire::version).collect()))
}

async fn show_version(api: &Api, id: &PathId, text: &str, ask: &Ask) -> Outcome {
    let before = before(api, id).await?;
    let unknown = || Problem::unknown_version("Group", id, text);
    let version = wire::parse_version(text).ok_or_else(unknown)?;
    let then = groups::as_of(id, version, &before.tree, &before.history(), before.max_versions);
    let then = then.map_err(|_| unknown())?;
    let apps = then.specs.iter().filter_map(|(id, spec)| match spec {
        Some(RunSpec::App(app)) => Some((id.clone(), wire::show_app(app))),
        Some(RunSpec::Pod(_)) | None => None,
    });
    let as_then = |group: &Group| Group { version: group.version.min(version), ..group.clone() };
    let groups = before.tree.groups().iter().map(|(id, group)| (id.clone(), as_then(group))).collect();
    let parts = groups_json::Parts::of(&ask.query);
    let tree = groups_json::Tree { groups: &groups, apps: apps.collect(), pods: BTreeMap::new(), parts };
    Ok(reply::ok(&tree.json(id)))
}
