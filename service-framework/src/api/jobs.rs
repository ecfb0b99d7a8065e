//! `/v2/jobs`: work that ends, and its runs. Lonja's own.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use lonja_services_core::job::{Job, JobRun, JobRunId, RunState};
use lonja_services_core::jobs::LeftOut;
use lonja_services_core::{Command, PathId, Refused, Services};
use serde_json::{Value, json};

use super::apps::default_role;
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::route::Route;
use super::{Api, Ask, aside};
use crate::wire::{self, Defaults};

/// Answers for jobs and their runs.
pub(super) async fn answer(api: &Api, route: &Route, ask: &Ask) -> Outcome {
    match (route, ask.method.as_str()) {
        (Route::Jobs, "GET") => list(api).await,
        (Route::Jobs, "POST") => create(api, ask).await,
        (Route::Jobs, _) => Err(Problem::Method("GET, POST")),
        (Route::Job(id), "GET") => {
            let wanted = id.clone();
            let found = api.door.look(move |services, _| SeenJob::of(services, &wanted)).await?;
            found.map(|seen| reply::ok(&seen.json())).ok_or_else(|| Problem::unknown("Job", id))
        }
        (Route::Job(id), "PUT") => put(api, id, ask).await,
        (Route::Job(id), "DELETE") => remove(api, id).await,
        (Route::Job(_), _) => Err(Problem::Method("GET, PUT, DELETE")),
        (Route::JobRuns(id), "GET") => {
            let (_, runs) = seen(api, id).await?;
            Ok(reply::ok(&json!({ "runs": runs.values().map(run_json).collect::<Vec<_>>() })))
        }
        (Route::JobRuns(id), "POST") => run(api, id).await,
        (Route::JobRuns(_), _) => Err(Problem::Method("GET, POST")),
        (Route::JobRun(id, run), "GET") => {
            let (_, runs) = seen(api, id).await?;
            let found = runs.get(&JobRunId::from_text(run));
            found.map(|run| reply::ok(&run_json(run))).ok_or_else(|| unknown_run(run))
        }
        (Route::JobRun(id, run), "DELETE") => stop(api, id, run).await,
        (Route::JobRun(..), _) => Err(Problem::Method("GET, DELETE")),
        _ => Err(Problem::Unknown("URI not found".to_owned())),
    }
}

type Runs = BTreeMap<JobRunId, JobRun>;

async fn list(api: &Api) -> Outcome {
    let all =
        |services: &Services| services.jobs().keys().filter_map(|id| SeenJob::of(services, id)).collect();
    let jobs: Vec<SeenJob> = api.door.look(move |services, _| all(services)).await?;
    aside(move || {
        let shown: Vec<Value> = jobs.iter().map(SeenJob::json).collect();
        reply::ok(&json!({ "jobs": shown }))
    })
    .await
}

async fn seen(api: &Api, id: &PathId) -> Result<(Job, Runs), Problem> {
    let wanted = id.clone();
    let found = api.door.look(move |services, _| services.jobs().get(&wanted).cloned()).await?;
    found.ok_or_else(|| Problem::unknown("Job", id))
}

/// What is taken of a job at a look.
struct SeenJob {
    job: Job,
    runs: Runs,
    left_out: Option<LeftOut>,
}

impl SeenJob {
    fn of(services: &Services, id: &PathId) -> Option<Self> {
        let (job, runs) = services.jobs().get(id)?.clone();
        Some(Self { job, runs, left_out: services.left_out(id).cloned() })
    }

    /// With how its runs stand.
    fn json(&self) -> Value {
        let mut shown = wire::show_job(&self.job);
        let states = || self.runs.values().map(|run| &run.state);
        let counts = json!({
            "waiting": states().filter(|state| matches!(state, RunState::Waiting)).count(),
            "running": states().filter(|state| matches!(state, RunState::Running)).count(),
            "succeeded": states().filter(|state| matches!(state, RunState::Succeeded { .. })).count(),
            "failed": states().filter(|state| matches!(state, RunState::Failed { .. })).count(),
        });
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("runs".to_owned(), counts);
            let last = self.runs.values().max_by_key(|run| run.due).map(run_json);
            fields.extend(last.map(|last| ("lastRun".to_owned(), last)));
            let left_out = self.left_out.as_ref();
            let left_out = left_out.map(|it| json!({ "dueAt": wire::time(it.due), "reason": it.reason }));
            fields.extend(left_out.map(|left_out| ("lastLeftOut".to_owned(), left_out)));
        }
        shown
    }
}

fn run_json(run: &JobRun) -> Value {
    let mut shown = json!({ "id": run.id.as_str(), "dueAt": wire::time(run.due), "tries": run.tries });
    let (state, at, reason) = match &run.state {
        RunState::Waiting => ("waiting", None, None),
        RunState::Running => ("running", None, None),
        RunState::Succeeded { at } => ("succeeded", Some(at), None),
        RunState::Failed { at, reason } => ("failed", Some(at), Some(reason)),
    };
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("state".to_owned(), json!(state));
        fields.extend(at.map(|at| ("endedAt".to_owned(), json!(wire::time(*at)))));
        fields.extend(reason.map(|reason| ("reason".to_owned(), json!(reason))));
    }
    shown
}

fn unknown_run(run: &str) -> Problem {
    Problem::unknown("Run", run.chars().take(200).collect::<String>())
}

async fn read(api: &Api, ask: &Ask, id: Option<&PathId>) -> Result<Job, Problem> {
    let body = ask.json()?;
    let named = body.get("id").and_then(Value::as_str).and_then(|id| PathId::absolute(id).ok());
    let named = id.cloned().or(named).unwrap_or_else(PathId::root);
    let config = std::sync::Arc::clone(&api.config);
    let role = api.door.look(move |services, _| default_role(services, &named, &config)).await?;
    Ok(wire::job(&body, id, &Defaults { role })?)
}

async fn create(api: &Api, ask: &Ask) -> Outcome {
    let job = read(api, ask, None).await?;
    let (id, shown) = (job.id.clone(), wire::show_job(&job));
    api.door.ask(|answer| Command::PutJob { job: Box::new(job), create: true, answer }).await??;
    Ok(reply::with_location(reply::with_status(StatusCode::CREATED, &shown), id.as_str()))
}

async fn put(api: &Api, id: &PathId, ask: &Ask) -> Outcome {
    let job = read(api, ask, Some(id)).await?;
    let shown = wire::show_job(&job);
    api.door.ask(|answer| Command::PutJob { job: Box::new(job), create: false, answer }).await??;
    Ok(reply::ok(&shown))
}

async fn remove(api: &Api, id: &PathId) -> Outcome {
    seen(api, id).await?;
    let job = id.clone();
    known(id, api.door.ask(|answer| Command::RemoveJob { job, answer }).await?)?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

async fn run(api: &Api, id: &PathId) -> Outcome {
    seen(api, id).await?;
    let job = id.clone();
    let run = known(id, api.door.ask(|answer| Command::RunJob { job, answer }).await?)?;
    let location = format!("/v2/jobs{id}/runs/{run}");
    let shown = json!({ "id": run.as_str(), "job": id.as_str() });
    Ok(reply::with_location(reply::with_status(StatusCode::CREATED, &shown), &location))
}

async fn stop(api: &Api, id: &PathId, run: &str) -> Outcome {
    // Whether it is the job that is unknown, or the run alone.
    seen(api, id).await?;
    let (job, run_id) = (id.clone(), JobRunId::from_text(run));
    match api.door.ask(|answer| Command::StopRun { job, run: run_id, answer }).await? {
        Ok(()) => Ok(reply::empty(StatusCode::NO_CONTENT)),
        Err(Refused::Unknown { .. }) => Err(unknown_run(run)),
        Err(refused) => Err(refused.into()),
    }
}

fn known<T>(id: &PathId, answer: Result<T, Refused>) -> Result<T, Problem> {
    answer.map_err(|refused| match refused {
        Refused::Unknown { .. } => Problem::unknown("Job", id),
        other => other.into(),
    })
}
