//! Apps as replies show them: the definition, and beside it what runs.
//!
//! Source: Marathon's `/v2/apps` and its `embed` values.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lonja_model::{TaskState, Timestamp};
use lonja_services_core::definition::{App, RunSpec};
use lonja_services_core::deployment::DeploymentId;
use lonja_services_core::instance::{Condition, Instance};
use lonja_services_core::kept::Failure;
use lonja_services_core::{Counts, PathId, Service, Services};
use serde_json::{Map, Value, json};

use super::query::Query;
use super::tasks_json;
use crate::wire;

/// What is shown of apps beside their definitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Embeds {
    pub(crate) tasks: bool,
    pub(crate) counts: bool,
    pub(crate) deployments: bool,
    pub(crate) readiness: bool,
    pub(crate) last_failure: bool,
    pub(crate) stats: bool,
}

impl Embeds {
    /// Of the list of all apps: those asked for, with what is always there.
    pub(crate) fn of_list(query: &Query) -> Self {
        let prefixes = ["apps.", "app.", "group.apps."];
        let bare = |value: &str| -> String {
            prefixes.iter().find_map(|prefix| value.strip_prefix(prefix)).unwrap_or(value).to_owned()
        };
        let asked: Vec<String> = query.all("embed").map(bare).collect();
        Self { counts: true, deployments: true, ..Self::named(&asked) }
    }

    /// Of one app.
    pub(crate) fn of_one(query: &Query) -> Self {
        Self { tasks: true, last_failure: true, ..Self::of_list(query) }
    }

    /// Of apps in a group: nothing that is not asked for by its long name.
    pub(crate) fn of_group(query: &Query) -> Self {
        let asked: Vec<String> = query
            .all("embed")
            .filter_map(|value| value.strip_prefix("group.apps."))
            .map(str::to_owned)
            .collect();
        Self::named(&asked)
    }

    fn named(asked: &[String]) -> Self {
        let has = |name: &str| asked.iter().any(|value| value == name);
        let failures = has("failures");
        Self {
            tasks: has("tasks") || failures,
            counts: has("counts"),
            deployments: has("deployments") || has("tasks") || failures,
            readiness: has("readiness"),
            last_failure: has("lastTaskFailure") || failures,
            stats: has("taskStats"),
        }
    }

    fn needs_instances(self) -> bool {
        self.tasks || self.readiness || self.stats
    }
}

/// What is taken of one app at a look.
#[derive(Clone, Debug)]
pub(crate) struct SeenApp {
    pub(crate) app: Arc<App>,
    counts: Counts,
    instances: Vec<Instance>,
    failure: Option<Failure>,
    deployments: Vec<DeploymentId>,
}

/// Which deployments touch what.
pub(crate) struct Touched(BTreeMap<PathId, Vec<DeploymentId>>);

impl Touched {
    /// At this moment.
    pub(crate) fn of(services: &Services) -> Self {
        let mut touched: BTreeMap<PathId, Vec<DeploymentId>> = BTreeMap::new();
        for deployment in services.deployments().values() {
            for id in deployment.plan.affected() {
                touched.entry(id.clone()).or_default().push(deployment.id.clone());
            }
        }
        Self(touched)
    }
}

impl SeenApp {
    /// An app, if this is one that is wanted.
    pub(crate) fn of(service: &Service, touched: &Touched, embeds: Embeds) -> Option<Self> {
        let (RunSpec::App(app), false) = (service.spec(), service.is_removed()) else { return None };
        let instances = if embeds.needs_instances() {
            service.instances().values().cloned().collect()
        } else {
            Vec::new()
        };
        Some(Self {
            app: Arc::clone(app),
            counts: if embeds.counts { service.counts() } else { Counts::default() },
            instances,
            failure: service.last_failure().filter(|_| embeds.last_failure).cloned(),
            deployments: touched.0.get(&app.id).filter(|_| embeds.deployments).cloned().unwrap_or_default(),
        })
    }

    /// As a reply shows it.
    pub(crate) fn json(&self, embeds: Embeds, now: Timestamp) -> Value {
        let mut shown = wire::show_app(&self.app);
        let Some(fields) = shown.as_object_mut() else { return shown };
        if embeds.counts {
            counts_json(fields, self.counts);
        }
        if embeds.deployments {
            let ids = self.deployments.iter().map(|id| json!({ "id": id.as_str() })).collect();
            fields.insert("deployments".to_owned(), Value::Array(ids));
        }
        if embeds.tasks {
            let tasks = self.instances.iter().filter_map(|one| tasks_json::task(one, false)).collect();
            fields.insert("tasks".to_owned(), Value::Array(tasks));
        }
        if embeds.readiness {
            let results = self.instances.iter().filter_map(readiness).collect();
            fields.insert("readinessCheckResults".to_owned(), Value::Array(results));
        }
        if let Some(failure) = &self.failure {
            fields.insert("lastTaskFailure".to_owned(), failure_json(failure));
        }
        if embeds.stats {
            // Readers of before and after its renaming are both about.
            let stats = stats(&self.app, &self.instances, now);
            fields.insert("taskStats".to_owned(), stats.clone());
            fields.insert("tasksStats".to_owned(), stats);
        }
        shown
    }
}

/// The four counters.
pub(crate) fn counts_json(fields: &mut Map<String, Value>, counts: Counts) {
    let values = [
        ("tasksStaged", counts.staged),
        ("tasksRunning", counts.running),
        ("tasksHealthy", counts.healthy),
        ("tasksUnhealthy", counts.unhealthy),
    ];
    fields.extend(values.map(|(name, value)| (name.to_owned(), json!(value))));
}

/// The answer of a readiness check at one instance, if it was asked.
pub(crate) fn readiness(instance: &Instance) -> Option<Value> {
    let check = instance.spec.readiness()?;
    let asked =
        instance.last_response.is_some() || (instance.ready && instance.condition == Condition::Running);
    let mut result = json!({ "name": check.name, "taskId": instance.id.as_str(), "ready": instance.ready });
    if let (Some(response), Some(fields)) = (&instance.last_response, result.as_object_mut())
        && check.preserve_last_response
    {
        let last =
            json!({ "status": response.status, "contentType": response.content_type, "body": response.body });
        fields.insert("lastResponse".to_owned(), last);
    }
    asked.then_some(result)
}

fn failure_json(failure: &Failure) -> Value {
    let mut shown = json!({
        "appId": failure.app.as_str(),
        "host": failure.host,
        "message": failure.message,
        "state": failure.state,
        "taskId": failure.task,
        "timestamp": wire::time(failure.at),
        "version": wire::version(failure.version),
    });
    if let (Some(agent), Some(fields)) = (&failure.agent, shown.as_object_mut()) {
        fields.insert("slaveId".to_owned(), json!(agent));
    }
    shown
}

/// How many tasks of which version stand where, and for how long they have lived.
fn stats(app: &App, instances: &[Instance], now: Timestamp) -> Value {
    let versions = &app.version;
    let with_tasks: Vec<&Instance> = instances.iter().filter(|one| tasks_json::is_listed(one)).collect();
    let of = |which: &dyn Fn(&Instance) -> bool| -> Vec<&Instance> {
        with_tasks.iter().copied().filter(|one| which(one)).collect()
    };
    let sections = [
        ("startedAfterLastScaling", of(&|one| one.spec.version().version >= versions.last_scaling)),
        ("withLatestConfig", of(&|one| one.spec.version().version >= versions.last_config)),
        ("withOutdatedConfig", of(&|one| one.spec.version().version < versions.last_config)),
        ("totalSummary", with_tasks.clone()),
    ];
    let sections = sections.into_iter().filter(|(_, instances)| !instances.is_empty());
    Value::Object(sections.map(|(name, instances)| (name.to_owned(), section(&instances, now))).collect())
}

fn section(instances: &[&Instance], now: Timestamp) -> Value {
    let count = |which: &dyn Fn(&Instance) -> bool| instances.iter().filter(|one| which(one)).count();
    let state = |one: &Instance| one.tasks.first().map(|task| tasks_json::state(one, task));
    let mut stats = json!({ "counts": {
        "staged": count(&|one| state(one) == Some(TaskState::Staging)),
        "running": count(&|one| state(one) == Some(TaskState::Running)),
        "healthy": count(&|one| one.healthy() == Some(true)),
        "unhealthy": count(&|one| one.healthy() == Some(false)),
    } });
    let mut lives: Vec<Duration> =
        instances.iter().filter_map(|one| one.started_at()).map(|at| now.since(at)).collect();
    lives.sort_unstable();
    if let (Some(median), Some(fields)) = (lives.get(lives.len() / 2), stats.as_object_mut()) {
        let average = lives.iter().sum::<Duration>().as_secs_f64() / lives.len() as f64;
        let life = json!({ "averageSeconds": average, "medianSeconds": median.as_secs_f64() });
        fields.insert("lifeTime".to_owned(), life);
    }
    json!({ "stats": stats })
}

/// Which apps of a list are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppFilter {
    cmd: Option<String>,
    id: Option<String>,
    label: Option<super::selector::Selector>,
}

impl AppFilter {
    /// As a query says. Errors: the label selector does not parse.
    pub(crate) fn of(query: &Query) -> Result<Self, super::problem::Problem> {
        let label = query.get("label").map(super::selector::Selector::parse).transpose();
        Ok(Self {
            cmd: query.get("cmd").map(str::to_lowercase),
            id: query.get("id").map(str::to_lowercase),
            label: label.map_err(super::problem::Problem::Illegal)?,
        })
    }

    /// Is this app wanted?
    pub(crate) fn matches(&self, app: &App) -> bool {
        let contains = |text: &str, part: &Option<String>| {
            part.as_ref().is_none_or(|part| text.to_lowercase().contains(part))
        };
        contains(app.cmd.as_deref().unwrap_or_default(), &self.cmd)
            && contains(app.id.as_str(), &self.id)
            && self.label.as_ref().is_none_or(|label| label.matches(&app.labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embed_may_be_written_with_any_of_its_prefixes() {
        for value in ["tasks", "apps.tasks", "app.tasks", "group.apps.tasks"] {
            let embeds = Embeds::of_list(&Query::of(Some(&format!("embed={value}"))));
            assert!(embeds.tasks && embeds.counts && embeds.deployments && !embeds.stats, "{value}");
        }
        let none = Embeds::of_group(&Query::of(Some("embed=tasks&embed=apps.counts")));
        assert_eq!(none, Embeds::default());
        let legacy = Embeds::of_list(&Query::of(Some("embed=apps.failures&embed=what.is.this")));
        assert!(legacy.tasks && legacy.last_failure && !legacy.readiness);
    }
}

#[cfg(test)]
#[path = "app_json_tests.rs"]
mod balancer_tests;
