//! `/v2/deployments`: what is being changed; taken back, given up, or promoted.

use axum::http::StatusCode;
use lonja_services_core::deployment::{Deployment, DeploymentId};
use lonja_services_core::{Command, Refused, Services};
use serde_json::{Value, json};

use super::apps::tell_changed;
use super::deployments_json::{self, SeenDeployment};
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::route::Route;
use super::{Api, Ask, aside};

/// Answers for all deployments, and for one.
pub(super) async fn answer(api: &Api, route: &Route, ask: &Ask) -> Outcome {
    match (route, ask.method.as_str()) {
        (Route::Deployments, "GET") => list(api).await,
        (Route::Deployments, _) => Err(Problem::Method("GET")),
        (Route::Deployment(id), "GET") => show(api, id).await,
        (Route::Deployment(id), "DELETE") => cancel(api, id, ask).await,
        (Route::Deployment(_), _) => Err(Problem::Method("GET, DELETE")),
        (Route::Promote(id), "POST") => promote(api, id).await,
        (Route::Promote(_), _) => Err(Problem::Method("POST")),
        _ => Err(Problem::Unknown("URI not found".to_owned())),
    }
}

fn seen(services: &Services, deployment: &Deployment) -> SeenDeployment {
    let present = deployment.plan.steps.get(deployment.step).into_iter().flat_map(|step| step.actions.keys());
    let asked = present.filter_map(|id| services.services().get(id));
    let asked = asked.filter(|service| service.spec().readiness().is_some());
    let asked = asked.flat_map(|service| service.instances().values()).cloned().collect();
    SeenDeployment { deployment: deployment.clone(), asked }
}

async fn list(api: &Api) -> Outcome {
    let all = api.door.look(|services, _| {
        services.deployments().values().map(|one| seen(services, one)).collect::<Vec<_>>()
    });
    let all = all.await?;
    aside(move || reply::ok(&all.iter().map(|one| deployments_json::running(one, false)).collect())).await
}

/// One, also if it has ended and is still remembered. Lonja's own.
async fn show(api: &Api, id: &str) -> Outcome {
    let wanted = DeploymentId::from_text(id);
    let found: Option<Value> = api
        .door
        .look(move |services, _| {
            if let Some(running) = services.deployments().get(&wanted) {
                return Some(deployments_json::running(&seen(services, running), true));
            }
            let ended = services.ended_deployments().iter().rev().find(|ended| ended.id == wanted);
            ended.map(deployments_json::ended)
        })
        .await?;
    found.map(|shown| reply::ok(&shown)).ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Problem {
    Problem::unknown("DeploymentPlan", id.chars().take(200).collect::<String>())
}

async fn cancel(api: &Api, id: &str, ask: &Ask) -> Outcome {
    let (deployment, force) = (DeploymentId::from_text(id), ask.query.flag("force", false));
    let back = api.door.ask(|answer| Command::Cancel { deployment, force, answer }).await?;
    match back {
        Ok(Some(started)) => {
            api.counters.deployed();
            let warnings = tell_changed(api, ask, &started, None).await;
            Ok(reply::with_warnings(reply::started(StatusCode::OK, &started), &warnings))
        }
        Ok(None) => Ok(reply::empty(StatusCode::ACCEPTED)),
        Err(Refused::Unknown { .. }) => Err(unknown(id)),
        Err(refused) => Err(refused.into()),
    }
}

/// Goes on with one that waits for it. Lonja's own.
async fn promote(api: &Api, id: &str) -> Outcome {
    let deployment = DeploymentId::from_text(id);
    match api.door.ask(|answer| Command::Promote { deployment, answer }).await? {
        Ok(()) => Ok(reply::ok(&json!({ "deploymentId": id }))),
        Err(Refused::Unknown { .. }) => Err(unknown(id)),
        Err(refused) => Err(refused.into()),
    }
}
