//! `/v2/tasks` and `/v2/apps/{id}/tasks`: tasks are listed and killed.

use std::collections::BTreeSet;

use axum::http::Method;
use lonja_model::TaskState;
use lonja_services_core::definition::{App, NetworkMode, RunSpec};
use lonja_services_core::instance::{Condition, Instance, InstanceId};
use lonja_services_core::{PathId, Service, Services};
use serde_json::{Value, json};

use super::kills::{self, Manner};
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::route::Route;
use super::{Api, Ask, aside, tasks_json};

/// The most tasks that can be killed by one request.
const MAX_KILLS: usize = 100_000;

/// Answers for all tasks, those of one app, and one.
pub(super) async fn answer(api: &Api, route: &Route, ask: &Ask) -> Outcome {
    match (route, ask.method.as_str()) {
        (Route::Tasks, "GET") => list(api, ask, Which::All).await,
        (Route::TasksDelete, "POST") => kill_list(api, ask).await,
        (Route::TasksDelete, _) => Err(Problem::Method("POST")),
        (Route::AppTasks(id), "GET") => list(api, ask, Which::Of(id.clone())).await,
        (Route::TasksBelow(group), "GET") => list(api, ask, Which::Below(group.clone())).await,
        (Route::Tasks | Route::TasksBelow(_), _) => Err(Problem::Method("GET")),
        (Route::AppTasks(id), "DELETE") => kill_of_app(api, ask, id).await,
        (Route::AppTasks(_), _) => Err(Problem::Method("GET, DELETE")),
        (Route::AppTask(id, task), "DELETE") => kill_one(api, ask, id, task).await,
        (Route::AppTask(..), _) => Err(Problem::Method("DELETE")),
        _ => Err(Problem::Unknown("URI not found".to_owned())),
    }
}

/// Whose tasks.
#[derive(Clone, Debug)]
enum Which {
    All,
    Of(PathId),
    Below(PathId),
}

impl Which {
    fn has(&self, service: &Service) -> bool {
        let RunSpec::App(app) = service.spec() else { return false };
        match self {
            Self::All => true,
            Self::Of(id) => app.id == *id && !service.is_removed(),
            Self::Below(group) => app.id.is_below(group),
        }
    }
}

async fn list(api: &Api, ask: &Ask, which: Which) -> Outcome {
    let json = reply::accepts(ask.accept.as_deref(), "application/json");
    let as_text = !json && reply::accepts(ask.accept.as_deref(), "text/plain");
    if !json && !as_text {
        return Err(Problem::Form("application/json or text/plain"));
    }
    let of_all = matches!(which, Which::All);
    let states: BTreeSet<&str> = ask.query.all("status").chain(ask.query.all("status[]")).collect();
    let states: Vec<TaskState> = [("running", TaskState::Running), ("staging", TaskState::Staging)]
        .into_iter()
        .filter_map(|(name, state)| states.contains(name).then_some(state))
        .collect();
    let one = if let Which::Of(id) = &which { Some(id.clone()) } else { None };
    let seen = api.door.look(move |services, _| {
        let apps = services.services().values().filter(|service| which.has(service));
        apps.map(|service| (service.spec().clone(), service.instances().values().cloned().collect()))
            .collect::<Vec<(RunSpec, Vec<Instance>)>>()
    });
    let seen = seen.await?;
    if let (Some(id), true) = (one, seen.is_empty()) {
        return Err(Problem::unknown("App", id));
    }
    aside(move || {
        if as_text {
            let lines: String = seen.iter().map(|(spec, instances)| lines(spec, instances)).collect();
            return reply::text("text/plain", lines);
        }
        let wanted = |one: &&Instance| {
            states.is_empty()
                || one.tasks.first().is_some_and(|task| states.contains(&tasks_json::state(one, task)))
        };
        let instances = seen.iter().flat_map(|(_, instances)| instances).filter(wanted);
        let tasks: Vec<Value> = instances.filter_map(|one| tasks_json::task(one, of_all)).collect();
        reply::ok(&json!({ "tasks": tasks }))
    })
    .await
}

/// The lines of one app for scripts that write balancers' configurations.
fn lines(spec: &RunSpec, instances: &[Instance]) -> String {
    let RunSpec::App(app) = spec else { return String::new() };
    if app.networks.iter().any(|network| network.mode == NetworkMode::Container) {
        // Reached by an address of its own, which is not known here.
        return String::new();
    }
    let running = |one: &&Instance| one.condition == Condition::Running && !one.hidden;
    let places: Vec<_> = instances.iter().filter(running).filter_map(|one| one.place.as_ref()).collect();
    let line = |port: &str, targets: Vec<String>| {
        let targets: String = targets.into_iter().map(|target| target + "\t").collect();
        format!("{}\t{port}\t{targets}\n", app.id.joined())
    };
    let ports = service_ports(app);
    if ports.is_empty() {
        return line(" ", places.iter().map(|place| place.hostname.clone()).collect());
    }
    let of_port = |(index, port): (usize, u16)| {
        let target = |place: &&lonja_services_core::instance::Place| {
            Some(format!("{}:{}", place.hostname, place.ports.get(index)?))
        };
        line(&port.to_string(), places.iter().filter_map(target).collect())
    };
    ports.into_iter().enumerate().map(of_port).collect()
}

fn service_ports(app: &App) -> Vec<u16> {
    app.service_ports()
}

async fn kill_of_app(api: &Api, ask: &Ask, id: &PathId) -> Outcome {
    let manner = Manner::of(ask)?;
    let host = ask.query.get("host").filter(|host| *host != "*").map(str::to_owned);
    let wanted = id.clone();
    let pick = move |services: &Services| -> Option<Vec<Instance>> {
        let service = services.service(&wanted).filter(|one| matches!(one.spec(), RunSpec::App(_)))?;
        let is_there = |one: &&Instance| match (&host, &one.place) {
            (None, _) => true,
            (Some(host), Some(place)) => place.hostname.contains(host),
            (Some(_), None) => false,
        };
        let with_task = service.instances().values().filter(|one| one.is_active());
        Some(with_task.filter(is_there).cloned().collect())
    };
    let first = pick.clone();
    let instances = api.door.look(move |services, _| first(services)).await?;
    let instances = instances.ok_or_else(|| Problem::unknown("App", id))?;
    if manner.scale {
        let ids = move |services: &Services| {
            pick(services).into_iter().flatten().map(|one| one.id).collect::<Vec<_>>()
        };
        return kills::scale_down(api, ask, ids).await;
    }
    killed(api, instances, manner.wipe).await
}

async fn kill_one(api: &Api, ask: &Ask, id: &PathId, task: &str) -> Outcome {
    let manner = Manner::of(ask)?;
    let wanted = id.clone();
    let exists = api.door.look(move |services, _| {
        services.service(&wanted).is_some_and(|one| matches!(one.spec(), RunSpec::App(_)))
    });
    if !exists.await? {
        return Err(Problem::unknown("App", id));
    }
    let instance = InstanceId::of_task(task).filter(|instance| kills::spec_of(instance).as_ref() == Some(id));
    if manner.scale {
        return kills::scale_down(api, ask, move |_| instance.clone().into_iter().collect()).await;
    }
    let unknown = || Problem::unknown("Task", task.chars().take(200).collect::<String>());
    let instance = instance.ok_or_else(unknown)?;
    let seen = api.door.look(move |services, _| kills::find(services, &instance).cloned()).await?;
    let seen = seen.filter(Instance::is_active).ok_or_else(unknown)?;
    let killed = kills::kill(api, vec![seen], manner.wipe).await?;
    let task = killed.first().and_then(|one| tasks_json::task(one, false)).ok_or_else(unknown)?;
    Ok(reply::ok(&json!({ "task": task })))
}

async fn kill_list(api: &Api, ask: &Ask) -> Outcome {
    let manner = Manner::of(ask)?;
    let body = ask.json()?;
    let ids = body.get("ids").and_then(Value::as_array).ok_or_else(|| {
        Problem::Parameters("an object with the list 'ids' is expected: the ids of tasks".to_owned())
    })?;
    if ids.len() > MAX_KILLS {
        return Err(Problem::Parameters(format!(
            "'ids' has {} elements, at most {MAX_KILLS} are taken",
            ids.len()
        )));
    }
    let mut instances = BTreeSet::new();
    for id in ids {
        let instance = id.as_str().and_then(InstanceId::of_task).filter(|one| kills::spec_of(one).is_some());
        let instance = instance.ok_or_else(|| {
            let shown: String = id.to_string().chars().take(200).collect();
            Problem::Parameters(format!("{shown} is no task id"))
        })?;
        instances.insert(instance);
    }
    let of_apps = move |services: &Services| -> Vec<Instance> {
        let found = instances.iter().filter_map(|id| kills::find(services, id));
        found.filter(|one| one.is_active() && matches!(one.spec, RunSpec::App(_))).cloned().collect()
    };
    if manner.scale {
        let ids =
            move |services: &Services| of_apps(services).into_iter().map(|one| one.id).collect::<Vec<_>>();
        return kills::scale_down(api, ask, ids).await;
    }
    let instances = api.door.look(move |services, _| of_apps(services)).await?;
    killed(api, instances, manner.wipe).await
}

async fn killed(api: &Api, instances: Vec<Instance>, wipe: bool) -> Outcome {
    let killed = kills::kill(api, instances, wipe).await?;
    let tasks: Vec<Value> = killed.iter().filter_map(|one| tasks_json::task(one, false)).collect();
    Ok(reply::ok(&json!({ "tasks": tasks })))
}

/// The methods of a path that can only be read.
pub(super) fn only_get(ask: &Ask) -> Result<(), Problem> {
    if ask.method == Method::GET || ask.method == Method::HEAD { Ok(()) } else { Err(Problem::Method("GET")) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::made_up;

    #[test]
    fn lines_for_balancers_name_those_that_take_requests() {
        let app =
            made_up::app(&json!({ "id": "/shop/web", "cmd": "x", "portDefinitions": [{ "port": 10_000 }] }));
        let shown = made_up::running(&app, 1);
        let hidden = Instance { hidden: true, ..made_up::running(&app, 2) };
        let spec = RunSpec::App(Arc::new(app));
        assert_eq!(lines(&spec, &[shown, hidden.clone()]), "shop_web\t10000\t10.0.0.1:31000\t\n");
        assert_eq!(lines(&spec, &[hidden]), "shop_web\t10000\t\n");
    }
}
