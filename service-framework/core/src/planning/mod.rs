//! From a change to the plan of its deployment: what is to be done, in which order, or why it is refused.
//!
//! Invariants
//! - Nothing is changed here; a plan holds all that is to be, with its versions, ports and roles filled in.
//! - What a plan touches is what the change names and what follows from it. Its cost grows with that, and with what is
//!   reached from there over dependencies, not with the number of apps.
//! - A thing is started, scaled or replaced in a later step than all that it depends on.
//!
//! Source: Marathon's deployment plans, groups and dependencies.

mod draft;
mod graph;
mod ports;
mod resident;
mod revert;
mod roles;
mod steps;
mod tree;

#[cfg(test)]
pub(crate) mod tests;

pub use graph::{Cycle, layers};
pub use revert::revert;
pub use tree::{Groups, PlainTree, Specs, Tree};

use crate::command::{Change, ChangeOptions, Refused};
use crate::config::Config;
use crate::definition::{RunSpec, Version};
use crate::deployment::DeploymentPlan;
use crate::path_id::PathId;
use crate::validate::Fault;
use draft::Draft;

/// The plan of a change, or why it is refused. Nothing is changed.
///
/// Empty roles and service ports 0 are filled in; the versions of what is changed, and of all groups on the way to it, become
/// `version`. What is as it was stays out of the plan. Dependencies on what is not there have no effect, as in Marathon.
pub fn plan(
    change: Change,
    tree: &dyn Tree,
    version: Version,
    config: &Config,
    options: &ChangeOptions,
) -> Result<DeploymentPlan, Refused> {
    draft::check_base(&change, tree)?;
    let mut draft = Draft::of(change, tree, version, config)?;
    roles::settle(&mut draft, config, options)?;
    ports::assign(&mut draft, config)?;
    draft.leave_out_what_is_the_same();
    draft.check_enforcing()?;
    roles::check_use(&draft)?;
    resident::check(&draft)?;
    draft.set_versions();
    check_number(&draft, config)?;
    check_instances(&draft, config)?;

    let layers = draft.layers().map_err(|cycle| invalid("/dependencies", cycle.to_string()))?;
    let steps = steps::steps(&draft, &layers);
    steps::check_strategies(&draft, &steps, options.strategy.as_ref())?;
    Ok(draft.into_plan(steps))
}

/// May a job have this name? Errors: it is that of an app, pod or group, or one that no job can have.
pub fn check_job_name(id: &PathId, tree: &dyn Tree) -> Result<(), Refused> {
    let taken = match tree.spec(id) {
        Some(RunSpec::App(_)) => Some("an app"),
        Some(RunSpec::Pod(_)) => Some("a pod"),
        None => tree.group(id).map(|_| "a group"),
    };
    match taken {
        _ if id.is_root() => Err(invalid("/id", "the id names no job, only the group of all")),
        _ if id.is_reserved() => Err(invalid(
            "/id",
            format!("{id} ends in a word of the API; end it in another than restart, tasks or versions"),
        )),
        Some(kind) => Err(invalid("/id", format!("{id} is {kind}; take another id"))),
        None => Ok(()),
    }
}

/// More apps and pods than an operator allows.
fn check_number(draft: &Draft<'_>, config: &Config) -> Result<(), Refused> {
    let before = draft.tree().count();
    let began = draft.specs().filter(|(id, spec)| spec.is_some() && draft.before(id).is_none()).count();
    let gone = draft.specs().filter(|(id, spec)| spec.is_none() && draft.before(id).is_some()).count();
    let after = (before + began).saturating_sub(gone);
    match config.max_apps {
        // What is above a limit that was lowered may still shrink.
        Some(most) if after > most && after > before => Err(invalid(
            "/",
            format!("there would be {after} apps and pods, at most {most} are allowed (max_apps)"),
        )),
        Some(_) | None => Ok(()),
    }
}

/// More instances than an operator allows, and more than there were to be.
fn check_instances(draft: &Draft<'_>, config: &Config) -> Result<(), Refused> {
    let count = |spec: Option<&RunSpec>| spec.map_or(0, |spec| u64::from(spec.instances()));
    let before: u64 = draft.specs().map(|(id, _)| count(draft.before(id))).sum();
    let after: u64 = draft.specs().map(|(_, spec)| count(spec)).sum();
    if after <= before {
        return Ok(());
    }
    let all: u64 = draft.tree().specs_below(&PathId::root()).map(|(_, spec)| count(Some(spec))).sum();
    let (all, most) = ((all + after).saturating_sub(before), config.max_instances);
    if all <= most {
        return Ok(());
    }
    let message = format!(
        "there would be {all} instances of all apps and pods together, at most {most} are allowed (max_instances)"
    );
    Err(invalid("/instances", message))
}

/// One fault is why.
fn invalid(path: &str, message: impl Into<String>) -> Refused {
    Refused::Invalid(vec![Fault::at(path, message)])
}

/// Refused if there are any.
fn refuse(faults: Vec<Fault>) -> Result<(), Refused> {
    if faults.is_empty() { Ok(()) } else { Err(Refused::Invalid(faults)) }
}
