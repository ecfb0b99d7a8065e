//! `lonja.v1.Operator`: people and their tools.

use std::sync::Arc;

use futures::Stream;
use lonja_master_core::{OperatorCommand, Snapshot};
use lonja_model::clock::Clock;
use lonja_model::scheduler::Refusal;
use lonja_proto::convert::ids::{framework_id_from_wire, task_id_from_wire};
use lonja_proto::convert::offer::offer_to_wire;
use lonja_proto::convert::resources::Shape;
use lonja_proto::lonja::operator_server;
use lonja_proto::lonja::{ExplainRequest, ExplainResponse};
use lonja_proto::lonja::{KillTaskRequest, KillTaskResponse, ListOffersRequest, ListOffersResponse};
use lonja_proto::mesos::master::call::Type;
use lonja_proto::mesos::master::{Call, Event, Response as Answer};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::stopped;
use crate::Handle;
use crate::api::operator::{self, status};
use crate::api::views;

/// The service.
pub(crate) struct Operators {
    handle: Handle,
    clock: Clock,
    stop: watch::Receiver<bool>,
}

impl Operators {
    pub(crate) fn new(handle: Handle, clock: Clock, stop: watch::Receiver<bool>) -> Self {
        Self { handle, clock, stop }
    }
}

type Events = std::pin::Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;

#[tonic::async_trait]
impl operator_server::Operator for Operators {
    type SubscribeStream = Events;

    async fn call(&self, request: Request<Call>) -> Result<Response<Answer>, Status> {
        operator::answer(&self.handle, self.clock, request.into_inner()).await.map(Response::new)
    }

    async fn subscribe(&self, request: Request<Call>) -> Result<Response<Events>, Status> {
        if request.into_inner().r#type() != Type::Subscribe {
            return Err(Status::invalid_argument("type must be SUBSCRIBE"));
        }
        let events = operator::events(&self.handle, self.stop.clone()).await?;
        Ok(Response::new(Box::pin(events)))
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
