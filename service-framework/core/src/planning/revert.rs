//! The change that takes a deployment back.

use std::collections::BTreeSet;

use super::tree::Tree;
use crate::command::Change;
use crate::deployment::DeploymentPlan;
use crate::path_id::PathId;

/// The change that takes a deployment back: its apps and pods as they were, and no others. Groups that it made go again if
/// nothing else is in them and nobody has changed them since; groups that it removed, or whose dependencies it set, are as
/// before. Plan it with `force`, since what is taken back was allowed once. Source: Marathon's rollback of a deployment.
pub fn revert(plan: &DeploymentPlan, tree: &dyn Tree) -> Change {
    let mut change = Change { back: true, ..Change::default() };
    for (id, original) in &plan.original {
        if original.is_some() || tree.spec(id).is_some() {
            change.specs.insert(id.clone(), original.clone());
        }
    }
    for (id, original) in &plan.original_groups {
        let (target, now) = (plan.target_groups.get(id).and_then(Option::as_ref), tree.group(id));
        match (original, target, now) {
            // What was changed by others since stays as they want it.
            (Some(original), Some(target), Some(now))
                if original.dependencies != target.dependencies
                    && now.dependencies == target.dependencies =>
            {
                let mut group = now.clone();
                group.dependencies.clone_from(&original.dependencies);
                change.groups.insert(id.clone(), Some(group));
            }
            (Some(original), None, None) => {
                change.groups.insert(id.clone(), Some(original.clone()));
            }
            (Some(_) | None, _, _) => {}
        }
    }
    for id in groups_to_remove(plan, tree, &change) {
        change.groups.insert(id, None);
    }
    change
}

/// The groups that the deployment made, are as it made them, and will be empty.
fn groups_to_remove(plan: &DeploymentPlan, tree: &dyn Tree, change: &Change) -> BTreeSet<PathId> {
    let mut going = BTreeSet::new();
    // The deepest first: a group is empty once those in it go.
    for (id, original) in plan.original_groups.iter().rev() {
        let made = plan.target_groups.get(id).and_then(Option::as_ref);
        if original.is_some() || id.is_root() || made.is_none() || tree.group(id) != made {
            continue;
        }
        let is_going = |spec: &PathId| matches!(change.specs.get(spec), Some(None));
        let comes_back = |spec: &PathId| spec.is_below(id) && matches!(change.specs.get(spec), Some(Some(_)));
        let is_empty = tree.specs_below(id).all(|(spec, _)| is_going(spec))
            && tree.groups_below(id).all(|(group, _)| going.contains(group))
            && !change.specs.keys().any(comes_back);
        if is_empty {
            going.insert(id.clone());
        }
    }
    going
}
