//! Deployments as replies and events show them.
//!
//! Source: Marathon's `/v2/deployments`; `phase`, `waitsFor`, and what is shown of those that have ended, are Lonja's own.

use lonja_services_core::deployment::{
    Deployment, DeploymentEnd, DeploymentId, DeploymentPlan, EndedDeployment, Step,
};
use lonja_services_core::instance::Instance;
use serde_json::{Map, Value, json};

use super::app_json::readiness;
use crate::wire;

/// The actions of a step.
fn actions(plan: &DeploymentPlan, step: &Step) -> Vec<Map<String, Value>> {
    let shown = step.actions.iter().map(|(id, action)| {
        let is_pod = plan.is_pod(id);
        let kind = if is_pod { "pod" } else { "app" };
        Map::from_iter([
            ("action".to_owned(), json!(action.name(is_pod))),
            (kind.to_owned(), json!(id.as_str())),
        ])
    });
    shown.collect()
}

/// A step.
pub(crate) fn step(plan: &DeploymentPlan, step: &Step) -> Value {
    json!({ "actions": actions(plan, step) })
}

/// All steps of a plan.
pub(crate) fn steps(plan: &DeploymentPlan) -> Value {
    plan.steps.iter().map(|one| step(plan, one)).collect()
}

/// A plan as events have it, without definitions. `original` and `target` had them in older Marathons; python-marathon reads no
/// event without the two, so they are there, and empty.
pub(crate) fn plan(id: &DeploymentId, plan: &DeploymentPlan) -> Value {
    let version = wire::version(plan.version);
    json!({ "id": id.as_str(), "version": version, "original": {}, "target": {}, "steps": steps(plan) })
}

/// What is taken of one deployment at a look.
pub(crate) struct SeenDeployment {
    pub(crate) deployment: Deployment,
    /// The instances of what the present step touches that were asked whether they are ready.
    pub(crate) asked: Vec<Instance>,
}

/// One that runs, as the list shows it. Of its own, Lonja adds what `more` says: what it waits for, and how far each rollout is.
pub(crate) fn running(seen: &SeenDeployment, more: bool) -> Value {
    let deployment = &seen.deployment;
    let plan = &deployment.plan;
    let (pods, apps): (Vec<&str>, Vec<&str>) = {
        let (pods, apps): (Vec<_>, Vec<_>) = plan.affected().partition(|id| plan.is_pod(id));
        (pods.iter().map(|id| id.as_str()).collect(), apps.iter().map(|id| id.as_str()).collect())
    };
    let present = plan.steps.get(deployment.step);
    let current: Vec<Value> = present.map_or_else(Vec::new, |step| {
        let with_results = |mut action: Map<String, Value>| {
            let id = action.get("app").and_then(Value::as_str).unwrap_or_default();
            let results: Vec<Value> =
                seen.asked.iter().filter(|one| one.spec.id().as_str() == id).filter_map(readiness).collect();
            action.insert("readinessCheckResults".to_owned(), Value::Array(results));
            Value::Object(action)
        };
        actions(plan, step).into_iter().map(with_results).collect()
    });
    let mut shown = json!({
        "id": deployment.id.as_str(),
        "version": wire::version(plan.version),
        "affectedApps": apps,
        "affectedPods": pods,
        "steps": steps(plan),
        "currentActions": current,
        "currentStep": if present.is_some() { deployment.step + 1 } else { 0 },
        "totalSteps": plan.steps.len(),
    });
    if let (true, Some(fields)) = (more, shown.as_object_mut()) {
        fields.extend(own(deployment));
    }
    shown
}

/// What only Lonja says of a deployment.
fn own(deployment: &Deployment) -> Map<String, Value> {
    let rollouts = deployment.rollouts.iter().map(|(id, state)| {
        let shown = json!({
            "phase": state.phase.name(),
            "promoted": state.promoted,
            "replaced": state.replaced,
            "failures": state.failures,
        });
        (id.as_str().to_owned(), shown)
    });
    let mut fields = Map::from_iter([
        ("state".to_owned(), json!("running")),
        ("startedAt".to_owned(), json!(wire::time(deployment.began))),
        ("lastProgressAt".to_owned(), json!(wire::time(deployment.progressed))),
        ("rollouts".to_owned(), Value::Object(rollouts.collect())),
    ]);
    if let Some(reverts) = &deployment.reverts {
        fields.insert("reverts".to_owned(), json!(reverts.as_str()));
    }
    if let Some(waits_for) = &deployment.waits_for {
        fields.insert("waitsFor".to_owned(), json!(waits_for));
    }
    fields
}

/// One that has ended.
pub(crate) fn ended(deployment: &EndedDeployment) -> Value {
    let mut shown = json!({
        "id": deployment.id.as_str(),
        "version": wire::version(deployment.version),
        "affected": deployment.affected.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
        "endedAt": wire::time(deployment.at),
    });
    let end = match &deployment.end {
        DeploymentEnd::Done => json!({ "state": "done" }),
        DeploymentEnd::RolledBack { by, reason } => {
            json!({ "state": "rolledBack", "by": by.as_str(), "reason": reason })
        }
        DeploymentEnd::Failed { reason } => json!({ "state": "failed", "reason": reason }),
    };
    if let (Some(fields), Value::Object(end)) = (shown.as_object_mut(), end) {
        fields.extend(end);
    }
    shown
}
