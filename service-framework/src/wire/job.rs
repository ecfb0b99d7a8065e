//! Jobs: read and shown. Lonja's own.
//!
//! ```json
//! {"id": "/nightly/backup", "run": {"cmd": "./backup", "cpus": 0.5}, "schedule": {"cron": "30 2 * * *"},
//!  "concurrency": "forbid", "retries": 3, "retryDelaySeconds": 60, "maxRunTimeSeconds": 3600, "history": 10}
//! ```

use std::sync::Arc;
use std::time::Duration;

use lonja_services_core::PathId;
use lonja_services_core::definition::App;
use lonja_services_core::job::{Concurrency, Job, Schedule};
use lonja_services_core::validate;
use serde_json::Value;

use super::app::{app_at, kept_app, show_definition};
use super::common::path_id;
use super::reader::{At, Faults, Fields};
use super::writer::{Object, seconds};
use super::{Defaults, Rejected, oversize};

const CONCURRENCY: [(&str, Concurrency); 3] =
    [("allow", Concurrency::Allow), ("forbid", Concurrency::Forbid), ("replace", Concurrency::Replace)];

/// How many runs that have ended are remembered where nothing is said.
const HISTORY: u32 = 10;

/// A job, complete. The `id` of the path wins over that of the document. Errors: what is wrong with it, all of it at once.
pub fn job(body: &Value, id: Option<&PathId>, defaults: &Defaults) -> Result<Job, Rejected> {
    if !body.is_object() {
        return Err(Rejected::NotAnObject("an object is expected: the definition of a job".to_owned()));
    }
    let faults = Faults::default();
    let at = At::root(body, &faults);
    let read = at.object().and_then(|fields| {
        let id = match id {
            Some(id) => Some(id.clone()),
            None => fields.need("id").and_then(|at| path_id(&at, &PathId::root())),
        };
        let id = id.unwrap_or_else(PathId::root);
        let run = fields.need("run").and_then(|at| run(&at, &id, defaults));
        read(&fields, id, run)
    });
    faults.settle(read, |job| {
        let mut found = validate::job(job);
        found.extend(oversize(&show_job(job)));
        found
    })
}

/// What each run is: no ports unless it says so, for nobody calls it.
fn run(at: &At<'_>, id: &PathId, defaults: &Defaults) -> Option<App> {
    let mut app = app_at(at, Some(id), None, &PathId::root(), defaults)?;
    if !at.object()?.has("portDefinitions") && app.port_definitions.is_some() {
        app.port_definitions = Some(Vec::new());
    }
    // Each run is one.
    app.instances = 1;
    Some(app)
}

fn read(fields: &Fields<'_>, id: PathId, run: Option<App>) -> Option<Job> {
    let schedule = fields.maybe("schedule", schedule);
    let concurrency = fields.or("concurrency", |at| at.choice(&CONCURRENCY), Concurrency::default());
    let retries = fields.or("retries", At::count, 0);
    let retry_delay = fields.or("retryDelaySeconds", At::seconds, Duration::from_secs(10));
    let max_run_time = fields.maybe("maxRunTimeSeconds", At::some_seconds);
    let history = fields.or("history", At::count, HISTORY);
    Some(Job {
        id,
        run: Arc::new(run?),
        schedule: schedule?,
        concurrency: concurrency?,
        retries: retries?,
        retry_delay: retry_delay?,
        max_run_time: max_run_time?,
        history: history?,
    })
}

fn schedule(at: &At<'_>) -> Option<Schedule> {
    let fields = at.object()?;
    let cron = fields.need("cron").and_then(|at| at.text_within(1024));
    let suspended = fields.or("suspended", At::flag, false);
    let deadline = fields.maybe("startingDeadlineSeconds", At::seconds);
    Some(Schedule { cron: cron?, suspended: suspended?, starting_deadline: deadline? })
}

/// A job as it was shown, with nothing filled in: what is kept is read so.
pub(crate) fn kept_job(at: &At<'_>, id: PathId) -> Option<Job> {
    let fields = at.object()?;
    let run = kept_app(&fields.need("run")?, id.clone());
    read(&fields, id, run)
}

/// A job as the API shows it.
pub fn show_job(job: &Job) -> Value {
    let name = CONCURRENCY.iter().find(|(_, concurrency)| *concurrency == job.concurrency);
    let schedule = job.schedule.as_ref().map(|schedule| {
        Object::new()
            .with("cron", schedule.cron.as_str())
            .with("suspended", schedule.suspended)
            .maybe("startingDeadlineSeconds", schedule.starting_deadline.map(seconds))
            .done()
    });
    Object::new()
        .with("id", job.id.as_str())
        .with("run", show_definition(&job.run).done())
        .maybe("schedule", schedule)
        .with("concurrency", name.map_or("allow", |(name, _)| *name))
        .with("retries", job.retries)
        .with("retryDelaySeconds", seconds(job.retry_delay))
        .maybe("maxRunTimeSeconds", job.max_run_time.map(seconds))
        .with("history", job.history)
        .done()
}
