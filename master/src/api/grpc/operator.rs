//! `lonja.v1.Operator`: people and their tools.

use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt};
use lonja_master_core::{ClusterEvent, OperatorCommand, Snapshot};
use lonja_model::scheduler::{Refusal, RefusalCode};
use lonja_proto::convert::ids::{framework_id_from_wire, task_id_from_wire};
use lonja_proto::convert::offer::offer_to_wire;
use lonja_proto::convert::resources::Shape;
use lonja_proto::lonja::operator_server;
use lonja_proto::lonja::{ExplainRequest, ExplainResponse};
use lonja_proto::lonja::{KillTaskRequest, KillTaskResponse, ListOffersRequest, ListOffersResponse};
use lonja_proto::mesos::master::call::Type;
use lonja_proto::mesos::master::{Call, Event, Response as Answer};
use tokio::sync::{broadcast, watch};
use tonic::{Request, Response, Status};

use super::{operator_commands, stopped};
use crate::Handle;
use crate::api::views;

/// The service.
pub(crate) struct Operators {
    handle: Handle,
    stop: watch::Receiver<bool>,
}

impl Operators {
    pub(crate) fn new(handle: Handle, stop: watch::Receiver<bool>) -> Self {
        Self { handle, stop }
    }
}

type Events = std::pin::Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;

#[tonic::async_trait]
impl operator_server::Operator for Operators {
    type SubscribeStream = Events;

    async fn call(&self, request: Request<Call>) -> Result<Response<Answer>, Status> {
        let call = request.into_inner();
        let kind = call.r#type();
        let snapshot = || async { self.handle.snapshot().await.map_err(stopped) };
        let answer = match kind {
            Type::GetHealth => views::health(),
            Type::GetVersion => views::version(),
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
                return Err(Status::invalid_argument(
                    "type is missing or unknown; set it, for example GET_AGENTS",
                ));
            }
            other => {
                let Some(command) = operator_commands::command(other, call)? else {
                    let message = format!("this master does not serve {} yet", other.as_str_name());
                    return Err(Status::unimplemented(message));
                };
                self.handle.command(command).await.map_err(|refusal| status(refusal, ""))?;
                Answer::default()
            }
        };
        Ok(Response::new(answer))
    }

    async fn subscribe(&self, request: Request<Call>) -> Result<Response<Events>, Status> {
        if request.into_inner().r#type() != Type::Subscribe {
            return Err(Status::invalid_argument("type must be SUBSCRIBE"));
        }
        let (snapshot, changes) = self.handle.watch().await.map_err(stopped)?;
        let first = stream::iter([Ok(views::subscribed(&snapshot))]);
        let mut stop = self.stop.clone();
        let ended = async move {
            let _stopping = stop.wait_for(|stop| *stop).await;
        };
        let changes = stream::unfold(Some(changes), next_change);
        Ok(Response::new(Box::pin(first.chain(changes).take_until(ended))))
    }

    async fn list_offers(
        &self,
        _: Request<ListOffersRequest>,
    ) -> Result<Response<ListOffersResponse>, Status> {
        let snapshot: Arc<Snapshot> = self.handle.snapshot().await.map_err(stopped)?;
        let offers = snapshot.offers.iter().map(|offer| offer_to_wire(offer, Shape::FULL)).collect();
        Ok(Response::new(ListOffersResponse { offers }))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        let subject = views::explain::subject(request.into_inner())?;
        let found = self.handle.explain(subject.clone()).await.map_err(stopped)?;
        let found = found.ok_or_else(|| views::explain::unknown(&subject))?;
        Ok(Response::new(views::explain::explanation(found)))
    }

    async fn kill_task(
        &self,
        request: Request<KillTaskRequest>,
    ) -> Result<Response<KillTaskResponse>, Status> {
        let request = request.into_inner();
        let refused = |refusal: lonja_proto::convert::Refusal| status(Refusal::from(refusal), "task_id");
        let task = task_id_from_wire(request.task_id).map_err(refused)?;
        let framework = match request.framework_id {
            Some(id) => Some(framework_id_from_wire(Some(id)).map_err(refused)?),
            None => None,
        };
        let command = OperatorCommand::KillTask { framework, task, grace: None };
        self.handle.command(command).await.map_err(|refusal| status(refusal, "task_id"))?;
        Ok(Response::new(KillTaskResponse::default()))
    }
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
