//! `lonja.v1.Operator`: people and their tools.

use futures::stream::{self, Stream, StreamExt};
use lonja_master_core::{OperatorCommand, Snapshot};
use lonja_model::scheduler::Refusal;
use lonja_proto::convert::ids::{framework_id_from_wire, task_id_from_wire};
use lonja_proto::convert::offer::offer_to_wire;
use lonja_proto::convert::resources::Shape;
use lonja_proto::lonja::operator_server;
use lonja_proto::lonja::{ExplainRequest, ExplainResponse};
use lonja_proto::lonja::{KillTaskRequest, KillTaskResponse, ListOffersRequest, ListOffersResponse};
use lonja_proto::mesos::master::call::Type;
use lonja_proto::mesos::master::{Call, Event, Response as Answer};
use tonic::{Request, Response, Status};

use super::stopped;
use crate::api::answers::Unanswered;
use crate::api::operator::{Asked, Operators as Shared, asked, status};
use crate::api::views;

/// The service.
pub(crate) struct Operators(Shared);

impl Operators {
    pub(in crate::api) fn new(operators: Shared) -> Self {
        Self(operators)
    }
}

type Events = std::pin::Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;

#[tonic::async_trait]
impl operator_server::Operator for Operators {
    type SubscribeStream = Events;

    async fn call(&self, request: Request<Call>) -> Result<Response<Answer>, Status> {
        match asked(request.into_inner())? {
            Asked::Shown(kind) => {
                let (answer, _place) = self.0.shown(kind, |answer| answer).await?;
                Ok(Response::new(answer))
            }
            Asked::Done(command) => {
                self.0.done(*command, None).await?;
                Ok(Response::new(Answer::default()))
            }
        }
    }

    async fn subscribe(&self, request: Request<Call>) -> Result<Response<Events>, Status> {
        if request.into_inner().r#type() != Type::Subscribe {
            return Err(Status::invalid_argument("type must be SUBSCRIBE"));
        }
        let (snapshot, events) = self.0.events().await?;
        let (first, _place) =
            self.0.answers.make(move || views::subscribed(&snapshot)).await.map_err(Unanswered::from)?;
        Ok(Response::new(Box::pin(stream::iter([Ok(first)]).chain(events))))
    }

    async fn list_offers(
        &self,
        _: Request<ListOffersRequest>,
    ) -> Result<Response<ListOffersResponse>, Status> {
        let offers = |snapshot: &Snapshot| {
            snapshot.offers.iter().map(|offer| offer_to_wire(offer, Shape::FULL)).collect()
        };
        let (offers, _place) = self.0.answers.of_picture(&self.0.handle, offers).await?;
        Ok(Response::new(ListOffersResponse { offers }))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        let subject = views::explain::subject(request.into_inner())?;
        let found = self.0.handle.explain(subject.clone()).await.map_err(stopped)?;
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
        self.0.handle.command(command, None).await.map_err(|refusal| status(refusal, "task_id"))?;
        Ok(Response::new(KillTaskResponse::default()))
    }
}
