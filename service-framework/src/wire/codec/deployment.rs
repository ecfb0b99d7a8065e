//! Deployments as they are kept: definitions by their versions, which are kept for themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_services_core::PathId;
use lonja_services_core::definition::Strategy;
use lonja_services_core::deployment::{Action, DeploymentId, Phase, Step};
use lonja_services_core::groups::Group;
use lonja_services_core::kept::{KeptDeployment, KeptPlan, KeptRollout};
use serde_json::Value;

use super::{
    At, Fields, Object, group, number_in, show_group, show_time, time_in, version, version_at, version_in,
};
use crate::wire::change::{STRATEGIES, StrategyName, show_strategy};
use crate::wire::reader::MAX_SECONDS;
use crate::wire::writer::list;

const ACTIONS: [(&str, Action); 4] = [
    ("start", Action::Start),
    ("stop", Action::Stop),
    ("scale", Action::Scale),
    ("restart", Action::Restart),
];

const PHASES: [(&str, Phase); 3] =
    [("trial", Phase::Trial), ("waiting", Phase::Waiting), ("replacing", Phase::Replacing)];

pub(super) fn show(one: &KeptDeployment) -> Value {
    Object::new()
        .with("id", one.id.as_str())
        .with("plan", show_plan(&one.plan))
        .with("began", show_time(one.began))
        .with("step", one.step)
        .maybe("reverts", one.reverts.as_ref().map(DeploymentId::as_str))
        .with("rollouts", by_id(&one.rollouts, show_rollout))
        .done()
}

pub(super) fn read(at: &At<'_>) -> Option<KeptDeployment> {
    let fields = at.object()?;
    Some(KeptDeployment {
        id: deployment_id(&fields.need("id")?)?,
        plan: plan(&fields.need("plan")?)?,
        began: time_in(&fields, "began")?,
        step: number_in(&fields, "step")?,
        reverts: fields.maybe("reverts", deployment_id)?,
        rollouts: fields.or("rollouts", |at| by_path(at, rollout), BTreeMap::new())?,
    })
}

fn deployment_id(at: &At<'_>) -> Option<DeploymentId> {
    at.words().map(|text| DeploymentId::from_text(&text))
}

fn show_plan(plan: &KeptPlan) -> Value {
    let steps = list(&plan.steps, |step| {
        by_id(&step.actions, |action| {
            Value::from(ACTIONS.iter().find(|(_, one)| one == action).map_or("stop", |(name, _)| *name))
        })
    });
    let specs = |specs: &BTreeMap<PathId, Option<lonja_services_core::definition::Version>>| {
        by_id(specs, |spec| spec.map_or(Value::Bool(false), |spec| Value::from(version(spec))))
    };
    let groups = |groups: &BTreeMap<PathId, Option<Group>>| {
        by_id(groups, |group| group.as_ref().map_or(Value::Bool(false), show_group))
    };
    Object::new()
        .with("version", version(plan.version))
        .with("steps", steps)
        .with("original", specs(&plan.original))
        .with("target", specs(&plan.target))
        .with("originalGroups", groups(&plan.original_groups))
        .with("targetGroups", groups(&plan.target_groups))
        .done()
}

fn plan(at: &At<'_>) -> Option<KeptPlan> {
    let fields = at.object()?;
    // As many as the value has room for.
    let steps = fields
        .need("steps")?
        .list_within(usize::MAX, |at| Some(Step { actions: by_path(at, |one| one.choice(&ACTIONS))? }));
    let specs = |name: &str| by_path(&fields.need(name)?, |at| or_none(at, version_at));
    let groups = |name: &str| by_path(&fields.need(name)?, |at| or_none(at, group));
    Some(KeptPlan {
        version: version_in(&fields, "version")?,
        steps: steps?,
        original: specs("original")?,
        target: specs("target")?,
        original_groups: groups("originalGroups")?,
        target_groups: groups("targetGroups")?,
    })
}

/// `false` stands for what was, or is, not there.
fn or_none<'a, T>(at: &At<'a>, read: impl Fn(&At<'a>) -> Option<T>) -> Option<Option<T>> {
    if at.value == &Value::Bool(false) { Some(None) } else { read(at).map(Some) }
}

fn by_id<T>(map: &BTreeMap<PathId, T>, show: impl Fn(&T) -> Value) -> Value {
    Value::Object(map.iter().map(|(id, value)| (id.to_string(), show(value))).collect())
}

fn by_path<'a, T>(at: &At<'a>, read: impl Fn(&At<'a>) -> Option<T>) -> Option<BTreeMap<PathId, T>> {
    let map = at.map_within(usize::MAX, read)?;
    let each = map.into_iter().map(|(id, value)| match PathId::absolute(&id) {
        Ok(id) => Some((id, value)),
        Err(error) => at.form(error.to_string()),
    });
    each.collect()
}

fn show_rollout(rollout: &KeptRollout) -> Value {
    show_strategy(&rollout.strategy)
        .with("phase", rollout.phase.name())
        .with("promoted", rollout.promoted)
        .done()
}

fn rollout(at: &At<'_>) -> Option<KeptRollout> {
    let fields = at.object()?;
    Some(KeptRollout {
        strategy: strategy(&fields)?,
        phase: fields.need("phase")?.choice(&PHASES)?,
        promoted: fields.need("promoted")?.flag()?,
    })
}

fn strategy(fields: &Fields<'_>) -> Option<Strategy> {
    let promote_after =
        fields.maybe("promoteAfterSeconds", |at| at.integer(0..=MAX_SECONDS).map(Duration::from_secs))?;
    Some(match fields.need("strategy")?.choice(&STRATEGIES)? {
        StrategyName::Rolling => Strategy::Rolling,
        StrategyName::Canary => {
            Strategy::Canary { fraction: fields.need("canaryFraction")?.number(0.0..=1.0)?, promote_after }
        }
        StrategyName::BlueGreen => Strategy::BlueGreen { promote_after },
    })
}
