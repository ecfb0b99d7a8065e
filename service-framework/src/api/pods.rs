//! `/v2/pods`: pods are listed, made, changed and removed, and their instances killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::http::StatusCode;
use lonja_model::Timestamp;
use lonja_services_core::definition::{Pod, RunSpec, Version};
use lonja_services_core::instance::{Instance, InstanceId};
use lonja_services_core::{Change, PathId, Service, Services, Started};
use serde_json::{Value, json};

use super::apps::{Before, dry_run, tell_changed};
use super::kills;
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::route::Route;
use super::tasks::only_get;
use super::{Api, Ask, aside, in_place, pods_json};
use crate::wire;

/// The most instances that can be killed by one request.
const MAX_KILLS: usize = 100_000;

/// Answers for pods, their states, versions and instances.
pub(super) async fn answer(api: &Api, route: &Route, ask: &Ask) -> Outcome {
    match (route, ask.method.as_str()) {
        (Route::Pods, "GET") => list(api).await,
        (Route::Pods, "POST") => create(api, ask).await,
        (Route::Pods, _) => Err(Problem::Method("HEAD, GET, POST")),
        (Route::PodsStatus, _) => only_get(ask).map(|()| status_list(api))?.await,
        (Route::Pod(id), "GET") => Ok(reply::ok(&wire::show_pod(&seen(api, id).await?.pod))),
        (Route::Pod(id), "PUT") => update(api, id, ask).await,
        (Route::Pod(id), "DELETE") => remove(api, id, ask).await,
        (Route::Pod(_), _) => Err(Problem::Method("GET, PUT, DELETE")),
        (Route::PodStatus(id), _) => only_get(ask).map(|()| status(api, id))?.await,
        (Route::PodVersions(id), _) => only_get(ask).map(|()| versions(api, id, None))?.await,
        (Route::PodVersion(id, version), _) => {
            only_get(ask).map(|()| versions(api, id, Some(version)))?.await
        }
        (Route::PodInstances(id), "DELETE") => kill_list(api, id, ask).await,
        (Route::PodInstance(id, instance), "DELETE") => kill_one(api, id, instance, ask).await,
        (Route::PodInstances(_) | Route::PodInstance(..), _) => Err(Problem::Method("DELETE")),
        _ => Err(Problem::Unknown("URI not found".to_owned())),
    }
}

/// What is taken of one pod at a look.
#[derive(Clone, Debug)]
pub(super) struct SeenPod {
    pub(super) pod: Arc<Pod>,
    instances: Vec<Instance>,
    removed: bool,
}

impl SeenPod {
    /// A pod, also one that is to go.
    pub(super) fn of(service: &Service) -> Option<Self> {
        let RunSpec::Pod(pod) = service.spec() else { return None };
        let instances = service.instances().values().cloned().collect();
        Some(Self { pod: Arc::clone(pod), instances, removed: service.is_removed() })
    }

    /// Its state.
    pub(super) fn status(&self, now: Timestamp) -> Value {
        pods_json::status(&self.pod, &self.instances, self.removed, now)
    }
}

async fn list(api: &Api) -> Outcome {
    let pods = api.door.look(|services, _| {
        let wanted = services.services().values().filter(|service| !service.is_removed());
        wanted
            .filter_map(|service| match service.spec() {
                RunSpec::Pod(pod) => Some(Arc::clone(pod)),
                RunSpec::App(_) => None,
            })
            .collect::<Vec<_>>()
    });
    let pods = pods.await?;
    aside(move || reply::ok(&pods.iter().map(|pod| wire::show_pod(pod)).collect())).await
}

async fn status_list(api: &Api) -> Outcome {
    let (pods, now) = api
        .door
        .look(|services, now| (services.services().values().filter_map(SeenPod::of).collect::<Vec<_>>(), now))
        .await?;
    aside(move || reply::ok(&pods.iter().map(|pod| pod.status(now)).collect())).await
}

async fn seen(api: &Api, id: &PathId) -> Result<SeenPod, Problem> {
    let wanted = id.clone();
    let seen = api.door.look(move |services, _| services.service(&wanted).and_then(SeenPod::of)).await?;
    seen.ok_or_else(|| Problem::unknown("Pod", id))
}

async fn status(api: &Api, id: &PathId) -> Outcome {
    let wanted = id.clone();
    // Of one that is to go as well, for as long as anything of it runs.
    let seen =
        api.door.look(move |services, now| (services.services().get(&wanted).and_then(SeenPod::of), now));
    let (seen, now) = seen.await?;
    Ok(reply::ok(&seen.ok_or_else(|| Problem::unknown("Pod", id))?.status(now)))
}

async fn create(api: &Api, ask: &Ask) -> Outcome {
    let (body, options) = (ask.json()?, ask.options(false)?);
    let id = body.get("id").and_then(Value::as_str).and_then(|id| PathId::absolute(id).ok());
    let id = id.unwrap_or_else(PathId::root);
    let (wanted, config) = (id.clone(), Arc::clone(&api.config));
    let look = move |services: &Services| Before::of(services, &wanted, &config);
    let make = |before: Before| {
        let pod = wire::pod(&body, None, &before.defaults)?;
        let id = pod.id.clone();
        Ok(Change {
            specs: BTreeMap::from([(id.clone(), Some(RunSpec::Pod(Arc::new(pod))))]),
            create: BTreeSet::from([id]),
            ..Change::default()
        })
    };
    if ask.is_dry_run() {
        let seen = api.door.look(move |services, _| look(services)).await?;
        let change = in_place(|| make(seen))?;
        return dry_run(api, ask, change).await;
    }
    let started = api.door.change(&options, look, make).await?;
    let shown = stored(api, ask, &id, &started, "pod_created_event").await?;
    let response = reply::with_status(StatusCode::CREATED, &shown);
    let response = reply::with_warnings(response, &tell_changed(api, ask, &started, None).await);
    Ok(reply::with_location(reply::with_deployment(response, &started.deployment), id.as_str()))
}

async fn update(api: &Api, id: &PathId, ask: &Ask) -> Outcome {
    let (body, options) = (ask.json()?, ask.options(false)?);
    let (wanted, config) = (id.clone(), Arc::clone(&api.config));
    let look = move |services: &Services| Before::of(services, &wanted, &config);
    let make = |before: Before| {
        let pod = wire::pod(&body, Some(id), &before.defaults)?;
        Ok(Change {
            specs: BTreeMap::from([(id.clone(), Some(RunSpec::Pod(Arc::new(pod))))]),
            based_on: BTreeMap::from([(id.clone(), before.version)]),
            ..Change::default()
        })
    };
    if ask.is_dry_run() {
        let seen = api.door.look(move |services, _| look(services)).await?;
        let change = in_place(|| make(seen))?;
        return dry_run(api, ask, change).await;
    }
    let started = api.door.change(&options, look, make).await?;
    let shown = stored(api, ask, id, &started, "pod_updated_event").await?;
    let warnings = tell_changed(api, ask, &started, None).await;
    Ok(reply::with_deployment(reply::with_warnings(reply::ok(&shown), &warnings), &started.deployment))
}

/// Tells of an update of a pod, and shows the pod as it is stored.
async fn stored(
    api: &Api,
    ask: &Ask,
    id: &PathId,
    started: &Started,
    event: &'static str,
) -> Result<Value, Problem> {
    told(api, ask, event);
    let (wanted, version) = (id.clone(), started.version);
    let stored = api.door.look(move |services, _| {
        let service = services.services().get(&wanted)?;
        service.versions().get(&version).or(Some(service.spec())).cloned()
    });
    Ok(match stored.await? {
        Some(RunSpec::Pod(pod)) => wire::show_pod(&pod),
        Some(RunSpec::App(_)) | None => json!({ "id": id.as_str() }),
    })
}

fn told(api: &Api, ask: &Ask, event: &'static str) {
    api.counters.deployed();
    api.hub.tell(event, json!({ "clientIp": ask.from.ip().to_string(), "uri": ask.path }));
}

async fn remove(api: &Api, id: &PathId, ask: &Ask) -> Outcome {
    let wanted = id.clone();
    let look = move |services: &Services| -> Option<Version> {
        let service = services.service(&wanted)?;
        matches!(service.spec(), RunSpec::Pod(_)).then(|| service.spec().version().version)
    };
    let make = |version: Option<Version>| {
        let version = version.ok_or_else(|| Problem::unknown("Pod", id))?;
        Ok(Change {
            specs: BTreeMap::from([(id.clone(), None)]),
            based_on: BTreeMap::from([(id.clone(), Some(version))]),
            ..Change::default()
        })
    };
    let started = api.door.change(&ask.options(false)?, look, make).await?;
    told(api, ask, "pod_deleted_event");
    let response = reply::with_deployment(reply::empty(StatusCode::ACCEPTED), &started.deployment);
    Ok(reply::with_location(response, started.deployment.as_str()))
}

async fn versions(api: &Api, id: &PathId, version: Option<&str>) -> Outcome {
    let wanted = id.clone();
    let kept = api.door.look(move |services, _| {
        let service = services.service(&wanted)?;
        matches!(service.spec(), RunSpec::Pod(_)).then(|| service.versions().clone())
    });
    let kept = kept.await?.ok_or_else(|| Problem::unknown("Pod", id))?;
    let Some(text) = version else {
        return Ok(reply::ok(&kept.keys().rev().map(|version| wire::version(*version)).collect()));
    };
    match wire::parse_version(text).and_then(|version| kept.get(&version)) {
        Some(RunSpec::Pod(pod)) => Ok(reply::ok(&wire::show_pod(pod))),
        Some(RunSpec::App(_)) | None => Err(Problem::unknown_version("Pod", id, text)),
    }
}

async fn kill_list(api: &Api, id: &PathId, ask: &Ask) -> Outcome {
    let body = ask.json()?;
    let ids = body.as_array().filter(|ids| ids.len() <= MAX_KILLS).ok_or_else(|| {
        Problem::Parameters(format!("a list of at most {MAX_KILLS} ids of instances is expected"))
    })?;
    let ids: BTreeSet<InstanceId> = ids.iter().filter_map(Value::as_str).map(InstanceId::from_text).collect();
    let wanted = id.clone();
    let instances = api.door.look(move |services, _| {
        let service = services.service(&wanted).filter(|one| matches!(one.spec(), RunSpec::Pod(_)))?;
        Some(ids.iter().filter_map(|id| service.instances().get(id)).cloned().collect::<Vec<_>>())
    });
    let instances = instances.await?.ok_or_else(|| Problem::unknown("Pod", id))?;
    let killed = kills::kill(api, instances, ask.query.flag("wipe", false)).await?;
    Ok(reply::ok(&killed.iter().map(pods_json::killed).collect()))
}

async fn kill_one(api: &Api, id: &PathId, instance: &str, ask: &Ask) -> Outcome {
    let (wanted, instance_id) = (id.clone(), InstanceId::from_text(instance));
    let found = api.door.look(move |services, _| {
        let service = services.service(&wanted).filter(|one| matches!(one.spec(), RunSpec::Pod(_)))?;
        Some(service.instances().get(&instance_id).cloned())
    });
    let found = found.await?.ok_or_else(|| Problem::unknown("Pod", id))?;
    let unknown = || Problem::unknown("Task", instance.chars().take(200).collect::<String>());
    let killed = kills::kill(api, vec![found.ok_or_else(unknown)?], ask.query.flag("wipe", false)).await?;
    Ok(reply::ok(&pods_json::killed(killed.first().ok_or_else(unknown)?)))
}
