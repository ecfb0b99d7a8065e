//! `lonja service job`: work that ends, once or by a calendar.
//!
//! Source: Lonja's own part of the API (`docs/services.md`).

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use super::api::{Api, ApiError, escape};
use super::ids::rooted;
use super::standing::text;
use super::{Usage, input, logs, outcome};
use crate::args::services::{JobCommand, ServiceFamily, Waiting};
use crate::output::{Listing, Row, note, print_lines};

/// Between two looks at a run.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Carries out a command about jobs.
pub(super) async fn run(api: &Api, family: &ServiceFamily, command: &JobCommand) -> anyhow::Result<ExitCode> {
    match command {
        JobCommand::Apply { file } => {
            let documents = input::read(file)?;
            api.wait_until_there().await?;
            for document in documents {
                super::unknown::warn_of(&document);
                let input::Document::Job(_) = &document else {
                    return Err(Usage(format!("{}: a job has \"run\"; this has none", file.display())).into());
                };
                let (path, body) = document.request();
                api.ask("PUT", &escape(&path), Some(&body))?;
                print_lines(&document.ids());
            }
        }
        JobCommand::Run { id, waiting } => return start(api, family, &rooted(id), waiting).await,
        JobCommand::List => list(api, family)?,
        JobCommand::Show { id } => show(api, family, &rooted(id))?,
        JobCommand::Logs { id, master, stderr, tail } => {
            let id = rooted(id);
            api.get(&format!("/v2/jobs{}", escape(&id)))?;
            return logs::of_job(api, &id, master.as_deref(), *stderr, *tail).await;
        }
        JobCommand::Rm { ids } => {
            for id in ids.iter().map(|id| rooted(id)) {
                api.ask("DELETE", &format!("/v2/jobs{}", escape(&id)), None)?;
                print_lines(&[id]);
            }
        }
        JobCommand::Stop { id, run } => {
            api.ask("DELETE", &run_path(&rooted(id), run), None)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run_path(id: &str, run: &str) -> String {
    format!("/v2/jobs{}/runs/{}", escape(id), escape(run))
}

/// Runs a job now, and waits for the end of the run.
async fn start(api: &Api, family: &ServiceFamily, id: &str, waiting: &Waiting) -> anyhow::Result<ExitCode> {
    let reply = api.ask("POST", &format!("/v2/jobs{}/runs", escape(id)), None)?;
    let run = text(&reply.body["id"]).context("the answer does not name the run")?;
    if waiting.detach {
        print_lines(&[run]);
        return Ok(ExitCode::SUCCESS);
    }
    let (started, mut said) = (Instant::now(), String::new());
    loop {
        let known = match api.get(&run_path(id, &run)) {
            Ok(known) => known,
            Err(error @ (ApiError::Refused(_) | ApiError::Stranger { .. })) => return Err(error.into()),
            Err(ApiError::Unreachable { .. }) => Value::Null,
        };
        match state(&known).as_str() {
            "succeeded" => {
                print_lines(&[if family.quiet { run } else { format!("{id}: run {run} succeeded") }]);
                return Ok(ExitCode::SUCCESS);
            }
            "failed" => bail!(
                "{id}: run {run} failed: {}; `lonja service job logs {id} --stderr` shows what it wrote",
                reason(&known)
            ),
            now if !now.is_empty() && now != said => {
                note(&format!("{id}: run {run} is {now}"));
                said = now.to_owned();
            }
            _ => {}
        }
        if started.elapsed() > waiting.timeout {
            return too_late(api, id, &run, &said);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn too_late(api: &Api, id: &str, run: &str, said: &str) -> anyhow::Result<ExitCode> {
    if said == "waiting" {
        let waiting = super::explain::all(api)?;
        let waiting: Vec<_> = waiting.iter().filter(|why| why.id == id).collect();
        if !waiting.is_empty() {
            note("error: accepted, but it cannot be placed:");
            for line in waiting.iter().flat_map(|why| why.lines()) {
                note(&line);
            }
            return Ok(ExitCode::from(outcome::EXIT_UNPLACEABLE));
        }
    }
    bail!("{id}: run {run} has not ended in time; it goes on, and `lonja service job show {id}` tells of it")
}

fn state(run: &Value) -> String {
    text(&run["state"]).unwrap_or_default()
}

fn reason(run: &Value) -> String {
    text(&run["reason"]).unwrap_or_else(|| "no reason is given".to_owned())
}

fn list(api: &Api, family: &ServiceFamily) -> anyhow::Result<()> {
    let answer = api.get("/v2/jobs")?;
    let jobs = answer["jobs"].as_array().or(answer.as_array()).cloned().unwrap_or_default();
    let rows = jobs.iter().map(|job| {
        let id = text(&job["id"]).unwrap_or_default();
        let schedule = &job["schedule"];
        let suspended = if schedule["suspended"] == true { " (suspended)" } else { "" };
        let cron =
            text(&schedule["cron"]).map_or_else(|| "-".to_owned(), |cron| format!("{cron}{suspended}"));
        let last = text(&job["lastRun"]["state"]).map(|state| {
            format!(
                "{state} {}",
                text(&job["lastRun"]["endedAt"]).or(text(&job["lastRun"]["dueAt"])).unwrap_or_default()
            )
        });
        let cells = vec![
            id.clone(),
            cron,
            last.unwrap_or_else(|| "-".to_owned()),
            text(&job["concurrency"]).unwrap_or_default(),
            job["retries"].to_string(),
            text(&job["run"]["cmd"]).unwrap_or_default(),
        ];
        Row { id, cells, object: job.clone() }
    });
    let columns = vec!["id", "schedule", "last run", "concurrency", "retries", "cmd"];
    Listing { what: "jobs", columns, wide_from: 5, rows: rows.collect() }.print(family.output, family.quiet);
    Ok(())
}

fn show(api: &Api, family: &ServiceFamily, id: &str) -> anyhow::Result<()> {
    let answer = api.get(&format!("/v2/jobs{}/runs", escape(id)))?;
    let runs = answer["runs"].as_array().or(answer.as_array()).cloned().unwrap_or_default();
    let rows = runs.iter().map(|run| {
        let name = text(&run["id"]).unwrap_or_default();
        let ended = text(&run["endedAt"]).unwrap_or_else(|| "-".to_owned());
        let due = text(&run["dueAt"]).unwrap_or_default();
        let why = text(&run["reason"]).unwrap_or_default();
        let cells = vec![name.clone(), state(run), due, run["tries"].to_string(), ended, why];
        Row { id: name, cells, object: run.clone() }
    });
    let columns = vec!["run", "state", "due", "tries", "ended", "reason"];
    Listing { what: "runs", columns, wide_from: 6, rows: rows.collect() }.print(family.output, family.quiet);
    Ok(())
}
