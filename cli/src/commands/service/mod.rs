//! `lonja service`: everything about services, over the framework's REST API and nothing else, so that whatever can be
//! done here any script can do.

mod api;
mod change;
mod description;
mod events;
mod explain;
mod ids;
mod input;
mod jobs;
mod list;
mod logs;
mod outcome;
mod progress;
mod rollback;
mod run;
mod show;
mod standing;
mod unknown;
mod waiting;

use std::process::ExitCode;
use std::time::Duration;

use crate::args::services::{Service, ServiceCommand};
use crate::output;
use api::Api;

/// How often a listing that is watched is made again.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The command makes no sense, for this reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(String);

/// What the process exits with when the command makes no sense, as when its flags do not.
const EXIT_USAGE: u8 = 2;

/// Carries out a command about services.
pub(crate) async fn run(service: Service) -> anyhow::Result<ExitCode> {
    match carry_out(service).await {
        Err(error) if error.is::<Usage>() => {
            output::complain(&error);
            Ok(ExitCode::from(EXIT_USAGE))
        }
        result => result,
    }
}

async fn carry_out(service: Service) -> anyhow::Result<ExitCode> {
    let Service { family, command } = service;
    let api = Api::at(&family.services)?;
    if changes_something(&command) {
        api.wait_until_there().await?;
    }
    match command {
        ServiceCommand::Run(run) => run::run(&api, &family, *run).await,
        ServiceCommand::List(list) => list::run(&api, &family, &list).await,
        ServiceCommand::Show(show) => show::run(&api, &family, &show).await,
        ServiceCommand::Scale(scale) => change::scale(&api, &family, &scale).await,
        ServiceCommand::Update(update) => change::update(&api, &family, &update).await,
        ServiceCommand::Restart(one) => change::restart(&api, &family, &one).await,
        ServiceCommand::Rollback(rollback) => rollback::run(&api, &family, &rollback).await,
        ServiceCommand::Promote(one) => rollback::promote(&api, &family, &one).await,
        ServiceCommand::Rm(remove) => change::remove(&api, &family, &remove).await,
        ServiceCommand::Logs(logs) => logs::run(&api, &logs).await,
        ServiceCommand::Events(events) => events::run(&api, &family, &events).await,
        ServiceCommand::Explain(explain) => explain::run(&api, &family, &explain),
        ServiceCommand::Wait(wait) => change::wait(&api, &family, &wait).await,
        ServiceCommand::Job(jobs) => jobs::run(&api, &family, &jobs.command).await,
    }
}

/// Commands that act wait for the framework to come up; those that only look do not. What begins with a file waits by
/// itself, once it has read it.
fn changes_something(command: &ServiceCommand) -> bool {
    use crate::args::services::JobCommand;
    match command {
        ServiceCommand::Job(jobs) => !matches!(
            jobs.command,
            JobCommand::Apply { .. } | JobCommand::List | JobCommand::Show { .. } | JobCommand::Logs { .. }
        ),
        ServiceCommand::Run(_)
        | ServiceCommand::Update(_)
        | ServiceCommand::List(_)
        | ServiceCommand::Show(_)
        | ServiceCommand::Logs(_)
        | ServiceCommand::Events(_)
        | ServiceCommand::Explain(_) => false,
        _ => true,
    }
}
