//! Groups: apps, pods and groups by their path.
//!
//! Source: Marathon's groups.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{Change, Refused};
use crate::definition::{RunSpec, Version};
use crate::path_id::PathId;
use crate::planning::Tree;
use crate::validate::Fault;

/// A group's own part; what is in it is found by its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub id: PathId,
    /// What is to run before all of it: apps or groups.
    pub dependencies: Vec<PathId>,
    /// Services in it must have its name for a role; of top-level groups alone.
    pub enforce_role: Option<bool>,
    /// When something in it was changed.
    pub version: Version,
}

impl Group {
    /// One with nothing said of it.
    pub fn new(id: PathId, version: Version) -> Self {
        Self { id, dependencies: Vec::new(), enforce_role: None, version }
    }
}

/// A top-level group that enforces its role, or not; no deployment follows, and services keep the roles they have. Errors: it is
/// unknown, or no top-level group.
pub fn enforcing(
    group: &PathId,
    enforce_role: Option<bool>,
    version: Version,
    tree: &dyn Tree,
) -> Result<Group, Refused> {
    let now = tree.group(group).ok_or_else(|| unknown(group, None))?;
    if !group.parent().is_some_and(|parent| parent.is_root()) {
        let message = format!("{group} is no top-level group; only those enforce a role");
        return Err(Refused::Invalid(vec![Fault::at("/enforceRole", message)]));
    }
    Ok(Group { enforce_role, version, ..now.clone() })
}

/// The change that removes a group and all that is in it. Of the root: all there is.
pub fn removal(group: PathId) -> Change {
    Change { groups: BTreeMap::from([(group, None)]), ..Change::default() }
}

/// The change that brings each app below a group to `factor` times its instances, rounded up. Pods stay as they are, as in
/// Marathon. Errors: the group is unknown, or the factor is no number from 0 up.
pub fn scale_by(group: &PathId, factor: f64, tree: &dyn Tree) -> Result<Change, Refused> {
    if !group.is_root() && tree.group(group).is_none() {
        return Err(unknown(group, None));
    }
    if !(factor.is_finite() && factor >= 0.0) {
        let fault = Fault::at("/scaleBy", format!("must be a number from 0 up, not {factor}"));
        return Err(Refused::Invalid(vec![fault]));
    }
    let apps = tree.specs_below(group).filter(|(_, spec)| matches!(spec, RunSpec::App(_)));
    let specs =
        apps.map(|(id, spec)| (id.clone(), Some(spec.with_instances(times(spec.instances(), factor)))));
    Ok(Change { specs: specs.collect(), ..Change::default() })
}

/// So many times so much, rounded up; at most what fits.
fn times(instances: u32, factor: f64) -> u32 {
    // 10 times 1.1 is a little above 11 in binary, and is to be 11.
    let exact = f64::from(instances) * factor;
    let rounded = if (exact - exact.round()).abs() < 1e-9 * exact { exact.round() } else { exact.ceil() };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 up; what is above the range becomes its end"
    )]
    let instances = rounded as u32;
    instances
}

/// What is remembered of an app's or pod's versions, by its name.
pub type History<'a> = BTreeMap<&'a PathId, &'a BTreeMap<Version, RunSpec>>;

/// The versions that a group can be taken back to: those of all apps and pods below it that are remembered, and its own.
pub fn versions(group: &PathId, tree: &dyn Tree, history: &History<'_>) -> BTreeSet<Version> {
    let below = history.iter().filter(|(id, _)| id.is_below(group));
    let of_specs = below.flat_map(|(_, versions)| versions.keys().copied());
    of_specs.chain(tree.group(group).map(|group| group.version)).collect()
}

/// The change that takes all below a group back to what it was at `version`: each app and pod to what was wanted of it then;
/// those that were not there go. What was removed since is not remembered, and does not come back; dependencies of groups
/// stay as they are. Errors: the group or the version is unknown, or `max_versions` are remembered of something, and none
/// of them is so old.
pub fn as_of(
    group: &PathId,
    version: Version,
    tree: &dyn Tree,
    history: &History<'_>,
    max_versions: usize,
) -> Result<Change, Refused> {
    if !group.is_root() && tree.group(group).is_none() {
        return Err(unknown(group, None));
    }
    if !versions(group, tree, history).contains(&version) {
        return Err(unknown(group, Some(version)));
    }
    let mut change = Change::default();
    for (id, _) in tree.specs_below(group) {
        let remembered = history.get(id);
        let then = remembered.and_then(|versions| versions.range(..=version).next_back());
        if then.is_none() && remembered.is_some_and(|versions| versions.len() >= max_versions) {
            return Err(unknown(group, Some(version)));
        }
        change.specs.insert(id.clone(), then.map(|(_, spec)| spec.clone()));
    }
    Ok(change)
}

fn unknown(group: &PathId, version: Option<Version>) -> Refused {
    Refused::Unknown { kind: "Group", id: group.to_string(), version }
}
