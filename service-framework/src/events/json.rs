//! Events as the stream has them: a type and one JSON object.
//!
//! Source: Marathon's `/v2/events`. `endpoints_changed_event` is Lonja's own, and is sent to those alone who ask for it by name.

use lonja_model::AgentId;
use lonja_model::Timestamp;
use lonja_services_core::event::{Endpoint, Event, What};
use lonja_services_core::{PathId, deployment::DeploymentPlan};
use serde_json::{Map, Value, json};

use crate::api::deployments_json;
use crate::wire;

/// What clients that know Marathon's events only must not be sent.
pub(crate) const OWN: &str = "endpoints_changed_event";

/// An event: its type, and its fields without `eventType` and `timestamp`.
pub(crate) type Told = (&'static str, Value);

/// One line of JSON with all fields.
pub(crate) fn line(kind: &str, at: Timestamp, fields: Value) -> String {
    let mut all = Map::new();
    all.insert("eventType".to_owned(), json!(kind));
    all.insert("timestamp".to_owned(), json!(wire::time(at)));
    if let Value::Object(fields) = fields {
        all.extend(fields);
    }
    Value::Object(all).to_string()
}

/// An event of the services. None: it is for the daemon itself.
pub(crate) fn of(event: &Event) -> Option<Told> {
    match &event.what {
        What::SchedulerRegistered { .. }
        | What::SchedulerReregistered { .. }
        | What::SchedulerDisconnected => subscription(&event.what),
        What::AddHealthCheck { .. }
        | What::RemoveHealthCheck { .. }
        | What::FailedHealthCheck { .. }
        | What::HealthStatusChanged { .. }
        | What::UnhealthyInstanceKill { .. }
        | What::InstanceHealthChanged { .. } => health(&event.what),
        What::DeploymentInfo { .. }
        | What::DeploymentStepSuccess { .. }
        | What::DeploymentStepFailure { .. }
        | What::DeploymentSuccess { .. }
        | What::DeploymentFailed { .. }
        | What::GroupChangeSuccess { .. }
        | What::GroupChangeFailed { .. } => change(&event.what),
        What::AppTerminated { .. }
        | What::StatusUpdate { .. }
        | What::InstanceChanged { .. }
        | What::UnknownInstanceTerminated { .. } => instance(&event.what),
        What::Endpoints { spec, endpoints } => Some((OWN, endpoints_json(spec, endpoints))),
        What::Watches { .. } => None,
    }
}

fn subscription(what: &What) -> Option<Told> {
    Some(match what {
        What::SchedulerRegistered { framework, master } => {
            ("scheduler_registered_event", json!({ "frameworkId": framework.as_str(), "master": master }))
        }
        What::SchedulerReregistered { master } => {
            ("scheduler_reregistered_event", json!({ "master": master }))
        }
        What::SchedulerDisconnected => ("scheduler_disconnected_event", json!({})),
        _ => return None,
    })
}

fn health(what: &What) -> Option<Told> {
    Some(match what {
        What::AddHealthCheck { app, version, check } => (
            "add_health_check_event",
            json!({
                "appId": app.as_str(),
                "version": wire::version(*version),
                "healthCheck": wire::show_health_check(check),
            }),
        ),
        What::RemoveHealthCheck { app } => ("remove_health_check_event", json!({ "appId": app.as_str() })),
        What::FailedHealthCheck { app, instance, check } => (
            "failed_health_check_event",
            json!({
                "appId": app.as_str(),
                "taskId": instance.as_str(),
                "healthCheck": wire::show_health_check(check),
            }),
        ),
        What::HealthStatusChanged { app, instance, version, alive } => (
            "health_status_changed_event",
            json!({
                "appId": app.as_str(),
                "instanceId": instance.as_str(),
                "version": wire::version(*version),
                "alive": alive,
            }),
        ),
        What::UnhealthyInstanceKill { app, task, instance, version, reason, host, agent } => (
            "unhealthy_instance_kill_event",
            json!({
                "appId": app.as_str(),
                "taskId": task.as_str(),
                "instanceId": instance.as_str(),
                "version": wire::version(*version),
                "reason": reason,
                "host": host,
                "slaveId": agent.as_ref().map(AgentId::as_str),
            }),
        ),
        What::InstanceHealthChanged { instance, spec, version, healthy } => (
            "instance_health_changed_event",
            json!({
                "instanceId": instance.as_str(),
                "runSpecId": spec.as_str(),
                "runSpecVersion": wire::version(*version),
                "healthy": healthy,
            }),
        ),
        _ => return None,
    })
}

fn change(what: &What) -> Option<Told> {
    let step = |plan: &DeploymentPlan, index: usize| {
        plan.steps
            .get(index)
            .map_or_else(|| json!({ "actions": [] }), |step| deployments_json::step(plan, step))
    };
    Some(match what {
        What::DeploymentInfo { id, plan, step: index } => (
            "deployment_info",
            json!({ "plan": deployments_json::plan(id, plan), "currentStep": step(plan, *index) }),
        ),
        What::DeploymentStepSuccess { id, plan, step: index } => (
            "deployment_step_success",
            json!({ "plan": deployments_json::plan(id, plan), "currentStep": step(plan, *index) }),
        ),
        What::DeploymentStepFailure { id, plan, step: index } => (
            "deployment_step_failure",
            json!({ "plan": deployments_json::plan(id, plan), "currentStep": step(plan, *index) }),
        ),
        What::DeploymentSuccess { id, plan } => {
            ("deployment_success", json!({ "id": id.as_str(), "plan": deployments_json::plan(id, plan) }))
        }
        What::DeploymentFailed { id, plan, reason } => (
            "deployment_failed",
            json!({ "id": id.as_str(), "plan": deployments_json::plan(id, plan), "reason": reason }),
        ),
        What::GroupChangeSuccess { group, version } => {
            ("group_change_success", json!({ "groupId": group.as_str(), "version": wire::version(*version) }))
        }
        What::GroupChangeFailed { group, version, reason } => (
            "group_change_failed",
            json!({ "groupId": group.as_str(), "version": wire::version(*version), "reason": reason }),
        ),
        _ => return None,
    })
}

fn instance(what: &What) -> Option<Told> {
    Some(match what {
        What::AppTerminated { app } => ("app_terminated_event", json!({ "appId": app.as_str() })),
        What::StatusUpdate { agent, task, state, message, spec, host, ports, version } => (
            "status_update_event",
            json!({
                "slaveId": agent.as_ref().map_or("", AgentId::as_str),
                "taskId": task.as_str(),
                "taskStatus": state.name(),
                "message": message,
                "appId": spec.as_str(),
                "host": host,
                "ipAddresses": crate::api::tasks_json::addresses(host),
                "ports": ports,
                "version": wire::version(*version),
            }),
        ),
        What::InstanceChanged { instance, condition, spec, agent, host, version } => (
            "instance_changed_event",
            json!({
                "instanceId": instance.as_str(),
                "condition": condition.name(),
                "runSpecId": spec.as_str(),
                "agentId": agent.as_ref().map(AgentId::as_str),
                "host": host,
                "runSpecVersion": wire::version(*version),
            }),
        ),
        What::UnknownInstanceTerminated { instance, condition } => (
            "unknown_instance_terminated_event",
            json!({
                "instanceId": instance.as_str(),
                "runSpecId": run_spec_of(instance.as_str()),
                "condition": condition.name(),
            }),
        ),
        _ => return None,
    })
}

/// The app that an instance is named for: `prod_web.instance-UUID` is of `/prod/web`.
fn run_spec_of(instance: &str) -> String {
    let name = instance.split(".instance-").next().unwrap_or_default();
    format!("/{}", name.replace('_', "/"))
}

fn endpoints_json(spec: &PathId, endpoints: &[Endpoint]) -> Value {
    let shown = endpoints.iter().map(|endpoint| {
        let ports = endpoint.ports.iter().map(|port| {
            json!({
                "name": port.name,
                "port": port.port,
                "servicePort": port.service_port,
                "protocol": if port.udp { "udp" } else { "tcp" },
            })
        });
        json!({
            "instanceId": endpoint.instance.as_str(),
            "host": endpoint.host,
            "accepts": endpoint.accepts,
            "ports": ports.collect::<Vec<_>>(),
        })
    });
    json!({ "runSpecId": spec.as_str(), "endpoints": shown.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lonja_services_core::instance::{Condition, InstanceId};

    #[test]
    fn an_event_is_one_line_with_its_type_and_time() {
        let id = PathId::absolute("/prod/web").unwrap_or_else(|_| PathId::root());
        let instance = InstanceId::new(&id, 7);
        let what =
            What::UnknownInstanceTerminated { instance: instance.clone(), condition: Condition::Failed };
        let (kind, fields) = of(&Event { at: Timestamp::ZERO, what }).unwrap_or_default();
        let line = line(kind, Timestamp::ZERO, fields);
        assert!(!line.contains('\n'));
        let value: Value = serde_json::from_str(&line).unwrap_or_default();
        assert_eq!(
            value,
            json!({
                "eventType": "unknown_instance_terminated_event", "timestamp": "1970-01-01T00:00:00.000Z",
                "instanceId": instance.as_str(), "runSpecId": "/prod/web", "condition": "Failed",
            })
        );
    }
}
