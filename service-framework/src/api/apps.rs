//! `/v2/apps`: apps are listed, made, changed, restarted and removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::http::{Method, StatusCode};
use lonja_services_core::definition::{App, RunSpec, Version};
use lonja_services_core::{Change, Config, Counts, PathId, Services, Started};
use serde_json::{Value, json};

use super::app_json::{AppFilter, Embeds, SeenApp, Touched, counts_json};
use super::door::version_of;
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::route::Route;
use super::{Api, Ask, aside, deployments_json, explain, in_place};
use crate::wire::{self, Defaults};

/// Answers for the list, one app, those below a group, and a restart.
pub(super) async fn answer(api: &Api, route: &Route, ask: &Ask) -> Outcome {
    match (route, ask.method.as_str()) {
        (Route::Apps, "GET") => list(api, ask).await,
        (Route::Apps, "POST") => create(api, ask).await,
        (Route::Apps, "PUT" | "PATCH") => update_list(api, ask).await,
        (Route::Apps, _) => Err(Problem::Method("GET, POST, PUT, PATCH")),
        (Route::AppsBelow(group), "GET") => below(api, group, ask).await,
        (Route::AppsBelow(_), _) => Err(Problem::Method("GET")),
        (Route::App(id), "GET") => show(api, id, ask).await,
        (Route::App(id), "PUT" | "PATCH") => update(api, id, ask).await,
        (Route::App(id), "DELETE") => remove(api, id, ask).await,
        (Route::App(_), _) => Err(Problem::Method("GET, PUT, PATCH, DELETE")),
        (Route::AppRestart(id), "POST") => restart(api, id, ask).await,
        (Route::AppRestart(_), _) => Err(Problem::Method("POST")),
        _ => Err(Problem::Unknown("URI not found".to_owned())),
    }
}

/// What stood at an app's id when it was looked at.
#[derive(Clone, Debug)]
pub(super) struct Before {
    pub(super) spec: Option<RunSpec>,
    pub(super) version: Option<Version>,
    /// The versions that are kept.
    kept: BTreeMap<Version, RunSpec>,
    pub(super) defaults: Defaults,
}

impl Before {
    pub(super) fn of(services: &Services, id: &PathId, config: &Config) -> Self {
        let service = services.service(id);
        Self {
            spec: service.map(|service| service.spec().clone()),
            version: version_of(services, id),
            kept: service.map(|service| service.versions().clone()).unwrap_or_default(),
            defaults: Defaults { role: default_role(services, id, config) },
        }
    }

    pub(super) fn app(&self) -> Option<&Arc<App>> {
        match &self.spec {
            Some(RunSpec::App(app)) => Some(app),
            Some(RunSpec::Pod(_)) | None => None,
        }
    }
}

/// The role of a service that names none: its top-level group's if that is enforced, else the daemon's.
pub(super) fn default_role(services: &Services, id: &PathId, config: &Config) -> String {
    let Some(top) = id.top_group() else { return config.default_role.clone() };
    let group = PathId::absolute(top).ok().and_then(|top| services.groups().get(&top));
    let is_enforced =
        group.map_or(config.new_groups_enforce_role, |group| group.enforce_role.unwrap_or(false));
    if is_enforced { top.to_owned() } else { config.default_role.clone() }
}

async fn list(api: &Api, ask: &Ask) -> Outcome {
    let filter = AppFilter::of(&ask.query)?;
    let embeds = Embeds::of_list(&ask.query);
    let (apps, now) = api
        .door
        .look(move |services, now| {
            let touched = Touched::of(services);
            let wanted = |app: &App| filter.matches(app);
            (seen(services, &touched, embeds, wanted), now)
        })
        .await?;
    aside(move || {
        let apps: Vec<Value> = apps.iter().map(|app| app.json(embeds, now)).collect();
        reply::ok(&json!({ "apps": apps }))
    })
    .await
}

async fn below(api: &Api, group: &PathId, ask: &Ask) -> Outcome {
    let (embeds, group) = (Embeds::of_one(&ask.query), group.clone());
    let (apps, now) = api
        .door
        .look(move |services, now| {
            let touched = Touched::of(services);
            (seen(services, &touched, embeds, |app| app.id.is_below(&group)), now)
        })
        .await?;
    aside(move || {
        let apps: Vec<Value> = apps.iter().map(|app| app.json(embeds, now)).collect();
        reply::ok(&json!({ "*": apps }))
    })
    .await
}

/// The apps that are wanted.
pub(super) fn seen(
    services: &Services,
    touched: &Touched,
    embeds: Embeds,
    wanted: impl Fn(&App) -> bool,
) -> Vec<SeenApp> {
    let services = services.services().values().filter(|service| match service.spec() {
        RunSpec::App(app) => wanted(app),
        RunSpec::Pod(_) => false,
    });
    services.filter_map(|service| SeenApp::of(service, touched, embeds)).collect()
}

async fn show(api: &Api, id: &PathId, ask: &Ask) -> Outcome {
    let embeds = Embeds::of_one(&ask.query);
    let wanted = id.clone();
    let (app, now) = api
        .door
        .look(move |services, now| {
            let service = services.service(&wanted);
            (service.and_then(|service| SeenApp::of(service, &Touched::of(services), embeds)), now)
        })
        .await?;
    let app = app.ok_or_else(|| Problem::unknown("App", id))?;
    Ok(reply::ok(&json!({ "app": app.json(embeds, now) })))
}

async fn create(api: &Api, ask: &Ask) -> Outcome {
    let (body, options) = (ask.json()?, ask.options(false)?);
    // Where the id is wrong, the definition's reading says so.
    let id = body.get("id").and_then(Value::as_str).and_then(|id| PathId::absolute(id).ok());
    let id = id.unwrap_or_else(PathId::root);
    let config = Arc::clone(&api.config);
    let wanted = id.clone();
    let look = move |services: &Services| Before::of(services, &wanted, &config);
    let make = |before: Before| {
        let app = wire::app(&body, None, None, &PathId::root(), &before.defaults)?;
        let id = app.id.clone();
        Ok(Change {
            specs: BTreeMap::from([(id.clone(), Some(RunSpec::App(Arc::new(app))))]),
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
    let (mut shown, warnings) = after_update(api, ask, &id, &started).await?;
    if let Some(fields) = shown.as_object_mut() {
        counts_json(fields, Counts::default());
        fields.insert("deployments".to_owned(), json!([{ "id": started.deployment.as_str() }]));
    }
    let response =
        reply::with_deployment(reply::with_status(StatusCode::CREATED, &shown), &started.deployment);
    Ok(reply::with_location(reply::with_warnings(response, &warnings), id.as_str()))
}

async fn update(api: &Api, id: &PathId, ask: &Ask) -> Outcome {
    let (body, options) = (ask.json()?, ask.options(false)?);
    if id.is_root() {
        return Err(Problem::Illegal("an app cannot have the id '/'".to_owned()));
    }
    let must_exist = ask.method == Method::PATCH;
    let partial = must_exist || ask.query.flag("partialUpdate", true);
    let back_to = back_to(&body)?;
    let config = Arc::clone(&api.config);
    let wanted = id.clone();
    let look = move |services: &Services| Before::of(services, &wanted, &config);
    let created = std::sync::atomic::AtomicBool::new(false);
    let make = |before: Before| {
        let exists = before.app().is_some();
        if !exists && (must_exist || back_to.is_some()) {
            return Err(Problem::unknown("App", id));
        }
        created.store(!exists, std::sync::atomic::Ordering::Relaxed);
        let spec = match &back_to {
            Some((version, text)) => {
                let kept = before.kept.get(version).filter(|spec| matches!(spec, RunSpec::App(_)));
                kept.cloned().ok_or_else(|| Problem::unknown_version("App", id, text))?
            }
            None => {
                let base = before.app().filter(|_| partial).map(|app| &**app);
                let parent = id.parent().unwrap_or_else(PathId::root);
                RunSpec::App(Arc::new(wire::app(&body, Some(id), base, &parent, &before.defaults)?))
            }
        };
        Ok(Change {
            specs: BTreeMap::from([(id.clone(), Some(spec))]),
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
    let (_, warnings) = after_update(api, ask, id, &started).await?;
    let created = created.load(std::sync::atomic::Ordering::Relaxed);
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let response = reply::with_warnings(reply::started(status, &started), &warnings);
    Ok(if created { reply::with_location(response, id.as_str()) } else { response })
}

/// `{"version": …}`, with nothing beside it but an id: go back to that one. Errors: there is more beside it, or it is no time.
pub(super) fn back_to(body: &Value) -> Result<Option<(Version, String)>, Problem> {
    let Some(fields) = body.as_object() else { return Ok(None) };
    let Some(version) = fields.get("version").filter(|version| !version.is_null()) else { return Ok(None) };
    if fields.keys().any(|name| name != "version" && name != "id") {
        return Err(Problem::Illegal(
            "with 'version' a stored version is taken as it is: no other field may be given beside it"
                .to_owned(),
        ));
    }
    let text = version.as_str().unwrap_or_default().to_owned();
    match wire::parse_version(&text) {
        Some(version) => Ok(Some((version, text))),
        None => Err(Problem::Illegal(format!(
            "{version} is no version: versions are times such as 2015-09-30T09:09:17.614Z"
        ))),
    }
}

async fn update_list(api: &Api, ask: &Ask) -> Outcome {
    let (body, options) = (ask.json()?, ask.options(false)?);
    let must_exist = ask.method == Method::PATCH;
    let partial = must_exist || ask.query.flag("partialUpdate", true);
    let ids: BTreeSet<PathId> = body
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|app| PathId::absolute(app.get("id")?.as_str()?).ok())
        .collect();
    let config = Arc::clone(&api.config);
    let look = move |services: &Services| -> BTreeMap<PathId, Before> {
        ids.iter().map(|id| (id.clone(), Before::of(services, id, &config))).collect()
    };
    let default_role = api.config.default_role.clone();
    let make = |before: BTreeMap<PathId, Before>| {
        let missing = before.iter().find(|(_, before)| before.app().is_none());
        if let (true, Some((missing, _))) = (must_exist, missing) {
            return Err(Problem::unknown("App", missing));
        }
        let defaults = |id: &PathId| {
            let role =
                before.get(id).map_or_else(|| default_role.clone(), |before| before.defaults.role.clone());
            Defaults { role }
        };
        let base = |id: &PathId| before.get(id).filter(|_| partial).and_then(Before::app).map(|app| &**app);
        let apps = wire::apps(&body, base, defaults)?;
        let based_on =
            apps.iter().map(|app| (app.id.clone(), before.get(&app.id).and_then(|before| before.version)));
        Ok(Change {
            based_on: based_on.collect(),
            specs: apps
                .iter()
                .map(|app| (app.id.clone(), Some(RunSpec::App(Arc::new(app.clone())))))
                .collect(),
            ..Change::default()
        })
    };
    if ask.is_dry_run() {
        let seen = api.door.look(move |services, _| look(services)).await?;
        let change = in_place(|| make(seen))?;
        return dry_run(api, ask, change).await;
    }
    let started = api.door.change(&options, look, make).await?;
    api.counters.deployed();
    let warnings = tell_changed(api, ask, &started, None).await;
    Ok(reply::with_warnings(reply::started(StatusCode::OK, &started), &warnings))
}

/// Tells of each app whose definition a change made anew, but `but`: balancers read their labels then. Gives, in words, what of it
/// was taken without effect, which is in the log too.
pub(super) async fn tell_changed(
    api: &Api,
    ask: &Ask,
    started: &Started,
    but: Option<&PathId>,
) -> Vec<String> {
    let version = started.version;
    let changed = api.door.look(move |services, _| {
        let changed = services.services().values();
        let changed = changed.filter(|one| !one.is_removed() && one.spec().version().version == version);
        changed.map(|one| (one.spec().clone(), explain::warnings(services, one.spec()))).collect::<Vec<_>>()
    });
    // What was changed is changed, whether or not it can be told.
    let Ok(changed) = changed.await else { return Vec::new() };
    let mut warnings = Vec::new();
    for (spec, found) in &changed {
        for warning in found {
            tracing::info!(id = %spec.id(), field = warning.path, warning.message, "taken without effect");
            warnings.push(format!("{}: {}: {}", spec.id(), warning.path, warning.message));
        }
    }
    let (_, listeners) = api.hub.counts();
    let apps = changed.into_iter().filter_map(|(spec, _)| match spec {
        RunSpec::App(app) => Some(app).filter(|app| listeners > 0 && but != Some(&app.id)),
        RunSpec::Pod(_) => None,
    });
    for app in apps {
        tell_posted(api, ask, &wire::show_app(&app));
        tokio::task::yield_now().await;
    }
    warnings
}

fn tell_posted(api: &Api, ask: &Ask, shown: &Value) {
    let told = json!({ "clientIp": ask.from.ip().to_string(), "uri": ask.path, "appDefinition": shown });
    api.hub.tell("api_post_event", told);
}

/// Tells of an update of an app, and shows the app as it is stored, with what of it was taken without effect.
async fn after_update(
    api: &Api,
    ask: &Ask,
    id: &PathId,
    started: &Started,
) -> Result<(Value, Vec<String>), Problem> {
    api.counters.deployed();
    let (wanted, version) = (id.clone(), started.version);
    let stored = api.door.look(move |services, _| {
        let service = services.services().get(&wanted)?;
        service.versions().get(&version).or(Some(service.spec())).cloned()
    });
    let shown = match stored.await? {
        Some(RunSpec::App(app)) => wire::show_app(&app),
        Some(RunSpec::Pod(_)) | None => json!({ "id": id.as_str() }),
    };
    tell_posted(api, ask, &shown);
    let warnings = tell_changed(api, ask, started, Some(id)).await;
    Ok((shown, warnings))
}

/// What a change would do.
pub(super) async fn dry_run(api: &Api, ask: &Ask, change: Change) -> Outcome {
    let plan = api.door.plan(ask.options(false)?, change).await?;
    Ok(reply::ok(&json!({ "steps": deployments_json::steps(&plan) })))
}

async fn remove(api: &Api, id: &PathId, ask: &Ask) -> Outcome {
    let wanted = id.clone();
    let look = move |services: &Services| {
        let is_app =
            services.service(&wanted).is_some_and(|service| matches!(service.spec(), RunSpec::App(_)));
        is_app.then(|| version_of(services, &wanted)).flatten()
    };
    let make = |version: Option<Version>| {
        let version = version.ok_or_else(|| Problem::unknown("App", id))?;
        Ok(Change {
            specs: BTreeMap::from([(id.clone(), None)]),
            based_on: BTreeMap::from([(id.clone(), Some(version))]),
            ..Change::default()
        })
    };
    let started = api.door.change(&ask.options(true)?, look, make).await?;
    api.counters.deployed();
    Ok(reply::started(StatusCode::OK, &started))
}

async fn restart(api: &Api, id: &PathId, ask: &Ask) -> Outcome {
    let wanted = id.clone();
    let look = move |services: &Services| {
        services.service(&wanted).is_some_and(|service| matches!(service.spec(), RunSpec::App(_)))
    };
    let make = |exists: bool| {
        let change = Change { restart: BTreeSet::from([id.clone()]), ..Change::default() };
        if exists { Ok(change) } else { Err(Problem::unknown("App", id)) }
    };
    let started = api.door.change(&ask.options(false)?, look, make).await?;
    // It may have had none.
    let spec = id.clone();
    let _forgotten = api.door.ask(|answer| lonja_services_core::Command::ResetDelay { spec, answer }).await;
    api.counters.deployed();
    Ok(reply::started(StatusCode::OK, &started))
}

/// The versions of an app that are kept.
pub(super) async fn versions(api: &Api, route: &Route, ask: &Ask) -> Outcome {
    let (Route::AppVersions(id) | Route::AppVersion(id, _)) = route else {
        return Err(Problem::Unknown("URI not found".to_owned()));
    };
    if ask.method != Method::GET {
        return Err(Problem::Method("GET"));
    }
    let wanted = id.clone();
    let kept = api.door.look(move |services, _| {
        let service = services.service(&wanted)?;
        matches!(service.spec(), RunSpec::App(_)).then(|| service.versions().clone())
    });
    let kept = kept.await?.ok_or_else(|| Problem::unknown("App", id))?;
    match route {
        Route::AppVersion(_, text) => {
            let version = wire::parse_version(text).and_then(|version| kept.get(&version));
            match version {
                Some(RunSpec::App(app)) => Ok(reply::ok(&wire::show_app(app))),
                Some(RunSpec::Pod(_)) | None => Err(Problem::unknown_version("App", id, text)),
            }
        }
        _ => {
            let newest_first: Vec<String> =
                kept.keys().rev().map(|version| wire::version(*version)).collect();
            Ok(reply::ok(&json!({ "versions": newest_first })))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_back_takes_a_version_alone() {
        let at = "2015-09-30T09:09:17.614Z";
        let version = wire::parse_version(at);
        assert!(
            matches!(back_to(&json!({ "version": at, "id": "/a" })), Ok(Some((found, _))) if Some(found) == version)
        );
        assert!(matches!(back_to(&json!({ "cmd": "x" })), Ok(None)));
        for wrong in
            [json!({ "version": at, "cmd": "x" }), json!({ "version": "soon" }), json!({ "version": 7 })]
        {
            assert!(matches!(back_to(&wrong), Err(Problem::Illegal(_))), "{wrong}");
        }
    }
}
