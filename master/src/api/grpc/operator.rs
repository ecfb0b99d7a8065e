//! `lonja.v1.Operator`: people and their tools.

use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt};
use lonja_master_core::{ClusterEvent, OperatorCommand, Snapshot};
use lonja_model::scheduler::{Refusal, RefusalCode};
use lonja_proto::convert::ids::{framework_id_from_wire, task_id_from_wire};
use lonja_proto::convert::offer::offer_to_wire;
use lonja_proto::convert::resources::Shape;
use lonja_proto::lonja::operator_server;
use lonja_proto::lonja::{KillTaskRequest, KillTaskResponse, ListOffersRequest, ListOffersResponse};
use lonja_proto::mesos::master::call::Type;
use lonja_proto::mesos::master::{Call, Event, Response as Answer};
use tokio::sync::{broadcast, watch};
use tonic::{Request, Response, Status};

use super::stopped;
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

impl Operators {
    /// Sets weights, all of which must make sense before the first is set.
    async fn update_weights(&self, weights: Vec<lonja_proto::mesos::WeightInfo>) -> Result<(), Status> {
        let mut commands = Vec::with_capacity(weights.len());
        for (index, info) in weights.into_iter().enumerate() {
            let at = |what: &str| format!("update_weights.weight_infos[{index}].{what}");
            let role = lonja_proto::convert::ids::role_from_wire(info.role())
                .map_err(|refusal| status(Refusal::from(refusal), &at("role")))?;
            let weight = lonja_model::resources::Scalar::from_f64(info.weight)
                .map_err(|error| Status::invalid_argument(format!("{}: {error}", at("weight"))))?;
            if weight == lonja_model::resources::Scalar::ZERO {
                return Err(Status::invalid_argument(format!("{}: must be at least 0.001", at("weight"))));
            }
            commands.push(OperatorCommand::SetWeight { role, weight });
        }
        for command in commands {
            self.handle.command(command).await.map_err(|refusal| status(refusal, "update_weights"))?;
        }
        Ok(())
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
            Type::Teardown => {
                let framework = call.teardown.map(|teardown| teardown.framework_id);
                let framework = framework_id_from_wire(framework)
                    .map_err(|refusal| status(Refusal::from(refusal), "teardown.framework_id"))?;
                self.handle
                    .command(OperatorCommand::Teardown { framework })
                    .await
                    .map_err(|refusal| status(refusal, "teardown.framework_id"))?;
                Answer::default()
            }
            Type::GetWeights => views::weights(&*snapshot().await?),
            Type::UpdateWeights => {
                self.update_weights(call.update_weights.unwrap_or_default().weight_infos).await?;
                Answer::default()
            }
            Type::Unknown => {
                return Err(Status::invalid_argument(
                    "type is missing or unknown; set it, for example GET_AGENTS",
                ));
            }
            other => {
                let message = format!("this master does not serve {} yet", other.as_str_name());
                return Err(Status::unimplemented(message));
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
    loop {
        match tokio::time::timeout(views::HEARTBEAT, changes.recv()).await {
            Err(_quiet) => return Some((Ok(views::heartbeat()), Some(changes))),
            Ok(Ok(change)) => {
                if let Some(event) = views::event(change) {
                    return Some((Ok(event), Some(changes)));
                }
            }
            Ok(Err(broadcast::error::RecvError::Lagged(missed))) => {
                let message =
                    format!("{missed} events were missed: read faster; subscribe again for a new snapshot");
                return Some((Err(Status::resource_exhausted(message)), None));
            }
            Ok(Err(broadcast::error::RecvError::Closed)) => return None,
        }
    }
}

fn status(refusal: Refusal, field: &str) -> Status {
    let message = match &refusal.field {
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
