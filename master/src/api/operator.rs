//! What operators ask, whichever door they come by. Its refusals are those of gRPC; other doors have words of their own for them.

use futures::stream::{self, Stream, StreamExt};
use lonja_master_core::ClusterEvent;
use lonja_model::clock::Clock;
use lonja_model::scheduler::{Refusal, RefusalCode};
use lonja_proto::mesos::master::call::Type;
use lonja_proto::mesos::master::{Call, Event, Response};
use tokio::sync::{broadcast, watch};
use tonic::Status;

use super::v0::metrics_snapshot;
use super::{commands, views};
use crate::Handle;

/// Answers any call but SUBSCRIBE.
pub(super) async fn answer(handle: &Handle, clock: Clock, call: Call) -> Result<Response, Status> {
    let kind = call.r#type();
    let snapshot = || async { handle.snapshot().await.map_err(stopped) };
    Ok(match kind {
        Type::GetHealth => views::health(),
        Type::GetVersion => views::version(),
        Type::GetFlags => views::flags(&*snapshot().await?),
        Type::GetMetrics => {
            let part = call.get_metrics.is_some();
            if !part {
                return Err(Status::invalid_argument("get_metrics: is missing; set it, if to {}"));
            }
            views::metrics(metrics_snapshot::all(handle, clock).await.map_err(stopped)?)
        }
        Type::GetLoggingLevel => views::logging_level(),
        Type::ListFiles | Type::ReadFile => {
            return Err(Status::not_found("this master has no files; it logs to its standard error"));
        }
        Type::GetExecutors => views::executors(&*snapshot().await?),
        Type::GetMaster => views::master(&*snapshot().await?),
        Type::GetAgents => views::agents(&*snapshot().await?),
        Type::GetFrameworks => views::frameworks(&*snapshot().await?),
        Type::GetTasks => views::tasks(&*snapshot().await?),
        Type::GetRoles => views::roles(&*snapshot().await?),
        Type::GetState => views::state(&*snapshot().await?),
        Type::GetWeights => views::weights(&*snapshot().await?),
        Type::GetQuota => views::quotas(&*snapshot().await?),
        Type::GetOperations => views::operations(&*snapshot().await?),
        Type::GetMaintenanceSchedule => views::maintenance_schedule(&*snapshot().await?),
        Type::GetMaintenanceStatus => views::maintenance_status(&*snapshot().await?),
        Type::Unknown => {
            return Err(Status::unimplemented(
                "type is missing or not known to this master; set it, for example GET_AGENTS",
            ));
        }
        other => {
            let Some(command) = commands::command(other, call)? else {
                let message = format!("this master does not serve {} yet", other.as_str_name());
                return Err(Status::unimplemented(message));
            };
            handle.command(command).await.map_err(|refusal| status(refusal, ""))?;
            Response::default()
        }
    })
}

/// Everything as it stands, then every change, until the master stops.
pub(super) async fn events(
    handle: &Handle,
    mut stop: watch::Receiver<bool>,
) -> Result<impl Stream<Item = Result<Event, Status>> + Send + use<>, Status> {
    let (snapshot, changes) = handle.watch().await.map_err(stopped)?;
    let first = stream::iter([Ok(views::subscribed(&snapshot))]);
    let ended = async move {
        let _stopping = stop.wait_for(|stop| *stop).await;
    };
    let changes = stream::unfold(Some(changes), next_change);
    Ok(first.chain(changes).take_until(Box::pin(ended)))
}

/// The next change as an event. One who falls behind is told so and cut off: after a gap, what it believes
/// would be wrong.
async fn next_change(
    changes: Option<broadcast::Receiver<ClusterEvent>>,
) -> Option<(Result<Event, Status>, Option<broadcast::Receiver<ClusterEvent>>)> {
    let mut changes = changes?;
    match tokio::time::timeout(views::HEARTBEAT, changes.recv()).await {
        Err(_quiet) => Some((Ok(views::heartbeat()), Some(changes))),
        Ok(Ok(change)) => Some((Ok(views::event(change)), Some(changes))),
        Ok(Err(broadcast::error::RecvError::Lagged(missed))) => {
            let message =
                format!("{missed} events were missed: read faster; subscribe again for a new snapshot");
            Some((Err(Status::resource_exhausted(message)), None))
        }
        Ok(Err(broadcast::error::RecvError::Closed)) => None,
    }
}

/// A refusal about this field of the call; it may name one within.
pub(super) fn status(refusal: Refusal, field: &str) -> Status {
    let message = match &refusal.field {
        Some(path) if field.is_empty() => format!("{path}: {}", refusal.message),
        Some(path) => format!("{field}.{path}: {}", refusal.message),
        None => refusal.message.clone(),
    };
    match refusal.code {
        RefusalCode::InvalidArgument => Status::invalid_argument(message),
        RefusalCode::NotFound => Status::not_found(message),
        RefusalCode::Conflict | RefusalCode::NotSubscribed => Status::failed_precondition(message),
        RefusalCode::RateLimited => Status::resource_exhausted(message),
        RefusalCode::NotLeader => Status::unavailable(message),
        RefusalCode::Unsupported => Status::unimplemented(message),
    }
}

/// What is answered once the master has stopped.
pub(super) fn stopped(_: crate::handle::Stopped) -> Status {
    Status::unavailable("the master has stopped; try again, or another master")
}
