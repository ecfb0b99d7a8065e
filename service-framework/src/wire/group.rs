//! Groups: what is asked of them, and their own part as it is shown.

use lonja_services_core::PathId;
use lonja_services_core::definition::{App, Version};
use lonja_services_core::groups::Group;
use lonja_services_core::validate::Fault;
use serde_json::Value;

use super::app::{app_at, below, check_app};
use super::common::path_id;
use super::reader::{At, Faults, Fields};
use super::writer::Object;
use super::{Defaults, Rejected, parse_version, version};

/// The deepest that groups may be within groups in one document.
const MAX_LEVELS: usize = 16;

/// What is asked of a group. What is none is to stay as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupUpdate {
    /// Which.
    pub id: PathId,
    /// All apps that are to be in it directly.
    pub apps: Option<Vec<App>>,
    /// All groups that are to be in it directly.
    pub groups: Option<Vec<GroupUpdate>>,
    /// What is to run before all of it.
    pub dependencies: Option<Vec<PathId>>,
    /// Services in it must have its name for a role.
    pub enforce_role: Option<bool>,
    /// All apps below get so many times their instances, rounded up. Nothing else is asked for then.
    pub scale_by: Option<f64>,
    /// It is to be as it was then. Wins over all else.
    pub version: Option<Version>,
}

/// What is asked of the group `id`, or of the one that the document names below `parent`. Ids within are relative to the
/// group that they stand in. Roles are as `defaults` says for each app. Errors: what is wrong, all of it at once.
pub fn group_update(
    body: &Value,
    id: Option<&PathId>,
    parent: &PathId,
    defaults: impl Fn(&PathId) -> Defaults,
) -> Result<GroupUpdate, Rejected> {
    if !body.is_object() {
        return Err(Rejected::NotAnObject("an object is expected: an update of a group".to_owned()));
    }
    let faults = Faults::default();
    let read = update(&At::root(body, &faults), id, parent, &defaults, 0);
    faults.settle(read, |update| {
        let mut found = Vec::new();
        check(update, "", &mut found);
        found
    })
}

fn update(
    at: &At<'_>,
    id: Option<&PathId>,
    parent: &PathId,
    defaults: &dyn Fn(&PathId) -> Defaults,
    level: usize,
) -> Option<GroupUpdate> {
    if level > MAX_LEVELS {
        return at.form(format!("groups stand more than {MAX_LEVELS} deep in each other"));
    }
    let fields = at.object()?;
    let id = match id {
        Some(id) => id.clone(),
        None => path_id(&fields.need("id")?, parent)?,
    };
    let apps = fields.maybe("apps", |at| at.list(|one| app(one, &id, defaults)));
    let groups = fields.maybe("groups", |at| at.list(|one| update(one, None, &id, defaults, level + 1)));
    // As a group's own id is: relative to the group that it is in.
    let outer = id.parent().unwrap_or_else(PathId::root);
    let dependencies = fields.maybe("dependencies", |at| at.list(|one| path_id(one, &outer)));
    let enforce_role = fields.maybe("enforceRole", At::flag);
    let scale_by = fields.maybe("scaleBy", |at| at.number(0.0..=1_000_000.0));
    let version = fields.maybe("version", |at| {
        let text = at.text()?;
        parse_version(&text).or_else(|| at.form("must be a time such as 2015-09-30T09:09:17.614Z"))
    });
    no_pods(&fields);
    Some(GroupUpdate {
        id,
        apps: apps?,
        groups: groups?,
        dependencies: dependencies?,
        enforce_role: enforce_role?,
        scale_by: scale_by?,
        version: version?,
    })
}

/// Pods cannot be changed here; the empty list of old clients is none.
fn no_pods(fields: &Fields<'_>) {
    let named = fields.get("pods").and_then(|at| at.value.as_array().map(|pods| !pods.is_empty()));
    if named == Some(true) {
        fields.meaning("pods", "pods cannot be created or changed by a group; use /v2/pods");
    }
}

fn app(at: &At<'_>, group: &PathId, defaults: &dyn Fn(&PathId) -> Defaults) -> Option<App> {
    let id = path_id(&at.object()?.need("id")?, group)?;
    app_at(at, Some(&id), None, group, &defaults(&id))
}

fn check(update: &GroupUpdate, path: &str, found: &mut Vec<Fault>) {
    if update.version.is_some() {
        return;
    }
    let at = |field: &str| format!("{path}/{field}");
    let others = update.apps.is_some() || update.groups.is_some() || update.dependencies.is_some();
    if update.scale_by.is_some() && (others || update.enforce_role.is_some()) {
        found.push(Fault::at(at("scaleBy"), "may not be given together with other changes; send them apart"));
    }
    let is_top = update.id.parent().is_some_and(|parent| parent.is_root());
    if update.enforce_role.is_some() && !is_top {
        found.push(Fault::at(at("enforceRole"), "may be given for groups directly below the root only"));
    }
    let mut seen = std::collections::BTreeSet::new();
    for (index, app) in update.apps.iter().flatten().enumerate() {
        let path = at(&format!("apps({index})"));
        if app.id.parent().as_ref() != Some(&update.id) {
            let words = format!("must stand directly in the group {}, and is {}", update.id, app.id);
            found.push(Fault::at(format!("{path}/id"), words));
        }
        if !seen.insert(&app.id) {
            found.push(Fault::at(format!("{path}/id"), format!("{} is there twice", app.id)));
        }
        found.extend(below(path, check_app(app)));
    }
    for (index, group) in update.groups.iter().flatten().enumerate() {
        let path = at(&format!("groups({index})"));
        if group.id.parent().as_ref() != Some(&update.id) {
            let words = format!("must stand directly in the group {}, and is {}", update.id, group.id);
            found.push(Fault::at(format!("{path}/id"), words));
        }
        if !seen.insert(&group.id) {
            found.push(Fault::at(format!("{path}/id"), format!("{} is there twice", group.id)));
        }
        check(group, &path, found);
    }
    for (index, on) in update.dependencies.iter().flatten().enumerate() {
        if *on == update.id || update.id.is_below(on) || on.is_below(&update.id) {
            let words = "a group cannot depend on itself, on a group that it is in, or on what is in it";
            found.push(Fault::at(at(&format!("dependencies({index})")), words));
        }
    }
}

/// A group's own part: `id`, `version`, `dependencies`, `enforceRole`. Apps, pods and groups in it are the caller's to add.
pub fn show_group(group: &Group) -> Value {
    let dependencies: Vec<&str> = group.dependencies.iter().map(PathId::as_str).collect();
    Object::new()
        .with("id", group.id.as_str())
        .with("version", version(group.version))
        .with("dependencies", dependencies)
        .maybe("enforceRole", group.enforce_role)
        .done()
}
