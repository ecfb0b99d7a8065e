//! `lonja.v1.Schedulers`: frameworks.

use std::sync::{Arc, OnceLock};

use lonja_model::scheduler::{Call, Event};
use lonja_proto::convert::call::request_from_wire;
use lonja_proto::convert::event::{event_response, result_response};
use lonja_proto::convert::resources::Shape;
use lonja_proto::lonja::schedulers_server;
use lonja_proto::lonja::{SchedulerRequest, SchedulerResponse};
use lonja_proto::mesos::scheduler::call::Type;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::{Outgoing, stopped};
use crate::Handle;
use crate::connections::{Aside, ToFramework, Waiting};
use crate::handle::FrameworkStream;

/// The service.
pub(crate) struct Schedulers {
    handle: Handle,
    stop: watch::Receiver<bool>,
}

impl Schedulers {
    pub(crate) fn new(handle: Handle, stop: watch::Receiver<bool>) -> Self {
        Self { handle, stop }
    }
}

#[tonic::async_trait]
impl schedulers_server::Schedulers for Schedulers {
    type ConnectStream = Outgoing<Waiting<ToFramework>, SchedulerResponse>;

    async fn connect(
        &self,
        request: Request<Streaming<SchedulerRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let FrameworkStream { id, queue, answers, closed } =
            self.handle.open_stream().await.map_err(stopped)?;
        // Set by the first SUBSCRIBE: a refused second one changes nothing. After that, the core says it.
        let shape = Arc::new(OnceLock::new());
        let subscribed = shape.clone();
        let mut described = None;
        let (outgoing, gone) =
            Outgoing::new(queue, move |waiting: Waiting<ToFramework>| match waiting.message {
                ToFramework::Event(event) => {
                    let shape = described.or_else(|| subscribed.get().copied()).unwrap_or(Shape::FULL);
                    Some(event_response(&event, shape))
                }
                ToFramework::Answer(id, result) => Some(result_response(id, &result)),
                ToFramework::Described(info) => {
                    described = Some(Shape::of(&info));
                    None
                }
            });
        let (handle, mut stop) = (self.handle.clone(), self.stop.clone());
        tokio::spawn(async move {
            let incoming = request.into_inner();
            tokio::select! {
                () = read(&handle, id, incoming, &answers, &shape) => {}
                _ = gone => {}
                _ = closed => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            // The master has stopped, or is told now.
            let _told = handle.close_stream(id).await;
        });
        Ok(Response::new(outgoing))
    }
}

/// Hands every call on until the framework ends the stream or breaks its framing.
async fn read(
    handle: &Handle,
    stream: lonja_master_core::StreamId,
    mut incoming: Streaming<SchedulerRequest>,
    answers: &Aside<ToFramework>,
    shape: &OnceLock<Shape>,
) {
    loop {
        let request = match incoming.message().await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(status) => {
                tracing::info!(stream = stream.0, error = %status, "framework's stream broke");
                return;
            }
        };
        let subscribes = request.call.as_ref().is_some_and(|call| call.r#type() == Type::Subscribe);
        match request_from_wire(request) {
            (id, Ok((framework, call))) => {
                if let Call::Subscribe { info, .. } = &call {
                    let _first = shape.get_or_init(|| Shape::of(info));
                }
                if handle.call(stream, id, framework, call).await.is_err() {
                    return;
                }
            }
            (id, Err(refusal)) => {
                tracing::debug!(stream = stream.0, %refusal, "call refused at the door");
                if subscribes {
                    // A refused description ends the stream, whoever refuses it: an ERROR event, then nothing.
                    let error = Event::Error(refusal.to_string());
                    let _cut_off = answers.send(ToFramework::Answer(id, Err(refusal.into())));
                    let _cut_off = answers.send(ToFramework::Event(error));
                    return;
                }
                // A framework that sends nonsense and does not read the answers is cut off.
                if answers.send(ToFramework::Answer(id, Err(refusal.into()))).is_err() {
                    return;
                }
            }
        }
    }
}
