//! `lonja.v1.Executors`: one stream each way for each custom executor.

use std::sync::Arc;
use std::time::Duration;

use lonja_model::execution::Call;
use lonja_model::{ContainerId, ExecutorId, FrameworkId};
use lonja_proto::convert::execution::execution_call_from_wire;
use lonja_proto::limits::EXECUTOR_MESSAGE_BYTES;
use lonja_proto::lonja::executors_server::{self, ExecutorsServer};
use lonja_proto::mesos::executor as wire;
use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::outbox::{Outbox, Outgoing, Rest};
use super::stay::{Presence, Stay};
use super::{Executors, Line};
use crate::Handle;
use crate::handle::Input;

/// How long an executor may take to say that it subscribes.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// The service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Door {
    executors: Arc<Executors>,
    handle: Handle,
    stop: watch::Receiver<bool>,
}

/// The service with its bounds.
pub(crate) fn server(door: Door) -> ExecutorsServer<Door> {
    ExecutorsServer::new(door)
        .max_decoding_message_size(EXECUTOR_MESSAGE_BYTES)
        .max_encoding_message_size(EXECUTOR_MESSAGE_BYTES)
}

/// Why an executor gets no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoStream {
    /// It has as many as it may.
    TooMany,
    /// The agent has stopped.
    Stopped,
}

/// Who speaks.
struct Speaker {
    framework: FrameworkId,
    executor: ExecutorId,
    container: ContainerId,
}

impl Speaker {
    /// What it says. Errors: it makes no sense, or is said in another's name.
    fn hear(&self, call: wire::Call) -> Result<Call, Status> {
        let (framework, executor, call) = understand(call)?;
        if framework != self.framework || executor != self.executor {
            return Err(not_yours(&framework, &executor));
        }
        Ok(call)
    }
}

fn understand(call: wire::Call) -> Result<(FrameworkId, ExecutorId, Call), Status> {
    execution_call_from_wire(call).map_err(|refusal| Status::invalid_argument(refusal.to_string()))
}

fn not_yours(framework: &FrameworkId, executor: &ExecutorId) -> Status {
    Status::permission_denied(format!(
        "the token is not that of executor {executor} of framework {framework}, or that executor has ended"
    ))
}

impl Door {
    pub(crate) fn new(executors: Arc<Executors>, handle: Handle, stop: watch::Receiver<bool>) -> Self {
        Self { executors, handle, stop }
    }

    /// The container that the token was made for.
    fn admit(&self, metadata: &MetadataMap) -> Result<ContainerId, Status> {
        let refuse = || {
            Status::unauthenticated(
                "metadata authorization: must be 'Bearer TOKEN', with the token from the executor's environment",
            )
        };
        let given = metadata.get("authorization").ok_or_else(refuse)?.to_str().map_err(|_| refuse())?;
        let token = given.strip_prefix("Bearer ").ok_or_else(refuse)?;
        self.executors.container_of(token).ok_or_else(refuse)
    }

    /// All executors, as the doors see them.
    pub(crate) fn executors(&self) -> &Executors {
        &self.executors
    }

    /// The way into the agent.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Opens a connection whose executor says what it has to say elsewhere, beginning with this call, which is SUBSCRIBE.
    pub(crate) async fn subscribe(
        &self,
        container: ContainerId,
        call: Box<Call>,
        over: Option<Arc<Presence>>,
    ) -> Result<Outgoing, NoStream> {
        let stay = self.executors.streams.enter(container.clone(), over).ok_or(NoStream::TooMany)?;
        let Line { number, outbox, events, open } = self.executors.connect(container.clone(), Arc::new(stay));
        tracing::info!(%container, connection = number, "executor subscribes over HTTP");
        // Before there is any waiting: who leaves meanwhile has left.
        tokio::spawn(self.clone().watch(container.clone(), number, outbox, open));
        let input = Input::ExecutorCalled { container, connection: number, call };
        if self.handle.put(input).await.is_err() {
            self.executors.end(number, None, Rest::Dropped);
            return Err(NoStream::Stopped);
        }
        Ok(events)
    }

    /// Waits for the end of such a connection, whoever brings it about.
    async fn watch(
        self,
        container: ContainerId,
        number: u64,
        outbox: Arc<Outbox>,
        mut open: watch::Receiver<()>,
    ) {
        let mut stop = self.stop.clone();
        let status = tokio::select! {
            // Ended from here, and said why.
            _ = open.changed() => None,
            () = outbox.has_no_reader() => None,
            _ = stop.wait_for(|stop| *stop) => Some(stopped()),
        };
        tracing::info!(%container, connection = number, "executor left");
        self.executors.end(number, status, Rest::Sent);
        // The agent has stopped: it forgets its connections.
        let _stopped = self.handle.put(Input::ExecutorLeft { container, connection: number }).await;
    }

    async fn first(&self, calls: &mut Streaming<wire::Call>) -> Result<wire::Call, Status> {
        match tokio::time::timeout(START_PATIENCE, calls.message()).await {
            Ok(Ok(Some(call))) => Ok(call),
            Ok(Ok(None)) => Err(Status::invalid_argument("SUBSCRIBE: must come first")),
            Ok(Err(status)) => Err(status),
            Err(_) => Err(Status::deadline_exceeded("SUBSCRIBE did not come")),
        }
    }
}

#[tonic::async_trait]
impl executors_server::Executors for Door {
    type ConnectStream = Outgoing;

    async fn connect(&self, request: Request<Streaming<wire::Call>>) -> Result<Response<Outgoing>, Status> {
        let container = self.admit(request.metadata())?;
        let connection = request.extensions().get::<Arc<Presence>>().cloned();
        let stay = self.executors.streams.enter(container.clone(), connection).ok_or_else(too_many)?;
        let stay = Arc::new(stay);
        // Before anything is taken in that it says.
        let owner = self.handle.executor(container.clone()).await.map_err(|_| stopped())?;
        let owner = owner.ok_or_else(|| Status::permission_denied("the executor of this token has ended"))?;
        let mut calls = request.into_inner();
        let (framework, executor, call) = understand(self.first(&mut calls).await?)?;
        if owner != (framework.clone(), executor.clone()) {
            return Err(not_yours(&framework, &executor));
        }
        if !matches!(call, Call::Subscribe { .. }) {
            return Err(Status::invalid_argument("type: the first call must be SUBSCRIBE"));
        }
        let Line { number, outbox, events, open } = self.executors.connect(container.clone(), stay.clone());
        tracing::info!(%framework, %executor, connection = number, "executor subscribes");
        let reader = Reader {
            speaker: Speaker { framework, executor, container },
            number,
            door: self.clone(),
            outbox,
            open,
            _stay: stay,
        };
        tokio::spawn(reader.run(call, calls));
        Ok(Response::new(events))
    }
}

fn too_many() -> Status {
    Status::resource_exhausted("this executor has too many streams already; end one of them first")
}

fn stopped() -> Status {
    Status::unavailable("the agent has stopped")
}

/// Takes in what one executor says.
struct Reader {
    speaker: Speaker,
    number: u64,
    door: Door,
    outbox: Arc<Outbox>,
    open: watch::Receiver<()>,
    _stay: Arc<Stay>,
}

impl Reader {
    async fn run(mut self, first: Call, calls: Streaming<wire::Call>) {
        let mut stop = self.door.stop.clone();
        let mut open = self.open.clone();
        let outbox = self.outbox.clone();
        let status = tokio::select! {
            status = self.read(first, calls) => status,
            // Ended from here, and said why.
            _ = open.changed() => None,
            () = outbox.has_no_reader() => None,
            _ = stop.wait_for(|stop| *stop) => Some(stopped()),
        };
        let Self { speaker, number, door, .. } = self;
        tracing::info!(framework = %speaker.framework, executor = %speaker.executor, connection = number, "executor left");
        door.executors.end(number, status, Rest::Sent);
        let container = speaker.container;
        // The agent has stopped: it forgets its connections.
        let _stopped = door.handle.put(Input::ExecutorLeft { container, connection: number }).await;
    }

    /// Reads until the executor says nothing more: `None`, or what makes no sense.
    async fn read(&mut self, first: Call, mut calls: Streaming<wire::Call>) -> Option<Status> {
        let mut call = first;
        loop {
            let (container, connection) = (self.speaker.container.clone(), self.number);
            let input = Input::ExecutorCalled { container, connection, call: Box::new(call) };
            if self.door.handle.put(input).await.is_err() {
                return Some(stopped());
            }
            self.door.executors.pause(&self.speaker.container).await;
            call = match calls.message().await {
                Ok(Some(next)) => match self.speaker.hear(next) {
                    Ok(Call::Subscribe { .. }) => {
                        return Some(Status::invalid_argument(
                            "SUBSCRIBE: must come once; connect again for another",
                        ));
                    }
                    Ok(call) => call,
                    Err(status) => return Some(status),
                },
                Ok(None) => return None,
                // It is gone.
                Err(_) => return None,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn who_leaves_before_it_is_heard_leaves_no_connection() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let executors = Arc::new(Executors::open(folder.path(), Default::default(), nowhere).unwrap());
        // The driver is busy.
        let (inbox, mut driver) = mpsc::channel(1);
        let container = ContainerId::new("c1").unwrap();
        let busy = Input::ExecutorLeft { container: container.clone(), connection: 77 };
        inbox.send(busy).await.ok().unwrap();
        let (_asks, stop) = watch::channel(false);
        let door = Door::new(executors.clone(), Handle::new(inbox), stop);

        let call = Call::Subscribe { unacknowledged_tasks: Vec::new(), unacknowledged_updates: Vec::new() };
        let subscribing = tokio::spawn(async move { door.subscribe(container, Box::new(call), None).await });
        while executors.connections().is_empty() {
            tokio::task::yield_now().await;
        }
        subscribing.abort();
        let _aborted = subscribing.await;
        let _busy = driver.recv().await;

        assert!(matches!(driver.recv().await, Some(Input::ExecutorLeft { connection: 1, .. })));
        assert!(executors.connections().is_empty());
    }
}
