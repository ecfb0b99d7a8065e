//! Whose resources a service may use.
//!
//! A service keeps the role it has. Another is the default role or the name of its top-level group; in the root, only the
//! first; where the group enforces its role, only the second. Source: Marathon's rules of `role` and `enforceRole`.

use std::sync::Arc;

use super::draft::Draft;
use super::refuse;
use crate::command::{ChangeOptions, Refused};
use crate::config::Config;
use crate::definition::{App, Pod, RunSpec};
use crate::path_id::PathId;
use crate::validate::Fault;

/// Fills in roles that are empty, and refuses those that may not be.
pub(super) fn settle(draft: &mut Draft<'_>, config: &Config, options: &ChangeOptions) -> Result<(), Refused> {
    let allowed: Vec<(PathId, Vec<String>)> = draft
        .specs()
        .filter(|(_, spec)| spec.is_some())
        .map(|(id, _)| (id.clone(), allowed(draft, id, config)))
        .collect();
    let tree = draft.tree();
    let mut faults = Vec::new();
    for ((id, spec), (_, allowed)) in draft.specs_mut().zip(allowed) {
        let before = tree.spec(id);
        if spec.role().is_empty() {
            set(spec, before.map(RunSpec::role).or(allowed.first().map(String::as_str)).unwrap_or_default());
        }
        let role = spec.role();
        if before.is_some_and(|before| before.role() == role) {
            continue;
        }
        if !allowed.iter().any(|one| one == role) {
            let expected = allowed.join(", ");
            let why = rule(id, allowed.len() == 1);
            faults
                .push(Fault::at("/role", format!("got {role}, expected one of: [{expected}] ({id}): {why}")));
        } else if before.is_some_and(RunSpec::is_resident) && !options.force {
            let message = format!(
                "the data of {id} are reserved for its role; change it with force=true if they may be left"
            );
            faults.push(Fault::at("/role", message));
        }
    }
    refuse(faults)
}

/// Refuses what does not go with the role: reservations of others, and data that nothing can be reserved for.
pub(super) fn check_use(draft: &Draft<'_>) -> Result<(), Refused> {
    let mut faults = Vec::new();
    for (id, spec) in draft.specs().filter_map(|(id, spec)| Some((id, spec?))) {
        let role = spec.role();
        let foreign = spec.accepted_roles().into_iter().flatten().find(|one| *one != "*" && *one != role);
        if let Some(foreign) = foreign {
            let message = format!("got {foreign}, expected one of: [*, {role}] ({id})");
            faults.push(Fault::at("/acceptedResourceRoles", message));
        }
        if spec.is_resident() && role == "*" {
            let message = format!("{id} keeps data, which are reserved for a role: give it another than *");
            faults.push(Fault::at("/role", message));
        }
    }
    refuse(faults)
}

/// The roles that a service may take, that of services which name none first.
fn allowed(draft: &Draft<'_>, id: &PathId, config: &Config) -> Vec<String> {
    match id.top_group() {
        None => vec![config.default_role.clone()],
        Some(group) if draft.is_role_enforced(group) => vec![group.to_owned()],
        Some(group) => vec![config.default_role.clone(), group.to_owned()],
    }
}

/// Why it may have no other.
fn rule(id: &PathId, one_only: bool) -> &'static str {
    match id.top_group() {
        None => {
            "in the root there is the role of --role only; that of an --also-role is for what is in the top-level group of its \
             name, such as /db/main for db"
        }
        Some(_) if one_only => "its top-level group enforces its own role",
        Some(_) => "there are the role of --role and that of its top-level group, which needs an --also-role",
    }
}

fn set(spec: &mut RunSpec, role: &str) {
    let role = role.to_owned();
    match spec {
        RunSpec::App(app) => *app = Arc::new(App { role, ..App::clone(app) }),
        RunSpec::Pod(pod) => *pod = Arc::new(Pod { role, ..Pod::clone(pod) }),
    }
}
