//! The steps of a deployment: what goes, what begins, then one layer of dependencies after the other.
//!
//! Source: Marathon's deployment plans.

use std::collections::BTreeMap;

use super::draft::Draft;
use super::refuse;
use crate::command::Refused;
use crate::definition::Strategy;
use crate::deployment::{Action, Step};
use crate::path_id::PathId;
use crate::validate::Fault;

/// What is to be done, in order. Steps without actions are left out.
pub(super) fn steps(draft: &Draft<'_>, layers: &BTreeMap<PathId, usize>) -> Vec<Step> {
    let (mut stops, mut starts) = (Step::default(), Step::default());
    let mut by_layer: BTreeMap<usize, Step> = BTreeMap::new();
    for (id, spec) in draft.specs() {
        let Some(spec) = spec else {
            stops.actions.insert(id.clone(), Action::Stop);
            continue;
        };
        let action = match draft.before(id) {
            None => {
                starts.actions.insert(id.clone(), Action::Start);
                Some(Action::Scale)
            }
            Some(before) if draft.is_replaced(before, spec) && spec.instances() > 0 => Some(Action::Restart),
            Some(before) if draft.is_replaced(before, spec) || before.instances() != spec.instances() => {
                Some(Action::Scale)
            }
            // Only what steers later changes is another.
            Some(_) => None,
        };
        if let Some(action) = action {
            let layer = layers.get(id).copied().unwrap_or_default();
            by_layer.entry(layer).or_default().actions.insert(id.clone(), action);
        }
    }
    let steps = [stops, starts].into_iter().chain(by_layer.into_values());
    steps.filter(|step| !step.actions.is_empty()).collect()
}

/// Refuses to replace instances in a way that cannot be.
pub(super) fn check_strategies(
    draft: &Draft<'_>,
    steps: &[Step],
    in_place_of_own: Option<&Strategy>,
) -> Result<(), Refused> {
    let mut faults = Vec::new();
    let replaced =
        steps.iter().flat_map(|step| &step.actions).filter(|(_, action)| **action == Action::Restart);
    for (id, _) in replaced {
        let Some(spec) = draft.after(id) else { continue };
        let strategy = in_place_of_own.unwrap_or(&spec.rollout().strategy);
        let is_beside = match strategy {
            Strategy::Rolling => false,
            Strategy::Canary { fraction, .. } if !(*fraction > 0.0 && *fraction <= 1.0) => {
                faults.push(Fault::at("/rollout/fraction", "must be above 0 and at most 1"));
                continue;
            }
            Strategy::Canary { .. } | Strategy::BlueGreen { .. } => true,
        };
        if is_beside && (spec.is_singleton() || spec.is_resident()) {
            let why = if spec.is_singleton() { "may never have two instances at once" } else { "keeps data" };
            let message =
                format!("{id} {why}, so new instances cannot run beside old ones; take the rolling strategy");
            faults.push(Fault::at("/rollout/strategy", message));
        }
    }
    refuse(faults)
}
