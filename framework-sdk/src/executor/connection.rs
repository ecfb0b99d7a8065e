//! One connection to an agent, from the first packet to the last.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use lonja_model::execution::Call;
use lonja_model::{ExecutorId, FrameworkId};
use lonja_proto::convert::execution::{execution_call_to_wire, execution_event_from_wire};
use lonja_proto::limits::EXECUTOR_MESSAGE_BYTES;
use lonja_proto::lonja::executors_client::ExecutorsClient;
use lonja_proto::mesos::executor;
use lonja_sdk_core::executor::Event;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};

use super::environment::{Address, Token};
use crate::connection::{chain, endpoint};

/// Calls that may wait for the agent.
const QUEUE: usize = 256;

/// How long a call may wait for room among them. An agent that takes none for so long is left.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one try to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the last calls may take on their way out.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

/// Where an agent is, and what it wants to see.
#[derive(Clone)]
pub(super) struct Door {
    endpoint: Endpoint,
    authorization: MetadataValue<Ascii>,
}

impl Door {
    /// Errors: the address is none, in words.
    pub(super) fn new(address: &Address, token: &Token) -> Result<Self, String> {
        let text = match address {
            Address::Socket(path) => {
                let path = path.to_str().ok_or("the path of the socket is not UTF-8")?;
                format!("unix:{path}")
            }
            Address::Host(address) => format!("http://{address}"),
        };
        let endpoint = if text.starts_with("unix:") {
            Endpoint::from_shared(text).map_err(|error| chain(&error))?
        } else {
            endpoint(&text)?
        };
        let mut authorization: MetadataValue<Ascii> =
            token.as_header().parse().map_err(|_| "the token fits into no header")?;
        authorization.set_sensitive(true);
        Ok(Self { endpoint, authorization })
    }
}

/// What a connection has to say.
pub(super) enum News {
    /// For the executor.
    Event(Event),
    /// Whoever answers there is no agent: to try again is no use.
    NoAgent(String),
}

type Opening = BoxFuture<'static, Result<Response<Streaming<executor::Event>>, Status>>;

/// The connection, such as it is.
pub(super) enum Connection {
    /// There is none.
    None,
    /// It is being made.
    Making(Making, MetadataValue<Ascii>),
    /// It stands; the agent may want to hear the first call before it says anything.
    Opening { opening: Opening, outgoing: mpsc::Sender<executor::Call> },
    /// Both sides speak.
    Open { incoming: Box<Streaming<executor::Event>>, outgoing: mpsc::Sender<executor::Call> },
    /// It was given up on this side.
    Broken(String),
}

/// A try to connect; given up when dropped.
pub(super) struct Making(JoinHandle<Result<Channel, String>>);

impl Drop for Making {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Begins to connect.
    pub(super) fn make(door: &Door) -> Self {
        let endpoint = door.endpoint.clone();
        let made = tokio::spawn(async move {
            match tokio::time::timeout(CONNECT_TIMEOUT, endpoint.connect()).await {
                Ok(channel) => channel.map_err(|error| chain(&error)),
                Err(_late) => Err(format!("no answer within {CONNECT_TIMEOUT:?}")),
            }
        });
        Self::Making(Making(made), door.authorization.clone())
    }

    /// What happens next; nothing while there is no connection. Can be dropped and called again.
    pub(super) async fn next(&mut self) -> News {
        loop {
            let news = match self {
                Self::None => std::future::pending().await,
                Self::Broken(why) => disconnected(std::mem::take(why)),
                Self::Making(making, authorization) => {
                    let made = (&mut making.0).await.unwrap_or_else(|error| Err(error.to_string()));
                    match made {
                        Ok(channel) => {
                            *self = Self::opening(channel, authorization.clone());
                            return News::Event(Event::Connected);
                        }
                        Err(why) => disconnected(why),
                    }
                }
                Self::Opening { opening, outgoing } => match opening.await {
                    Ok(response) => {
                        let (incoming, outgoing) = (Box::new(response.into_inner()), outgoing.clone());
                        *self = Self::Open { incoming, outgoing };
                        continue;
                    }
                    Err(status) => ended(&status),
                },
                Self::Open { incoming, .. } => match incoming.message().await {
                    Ok(Some(event)) => match execution_event_from_wire(event) {
                        Ok(event) => return News::Event(Event::Received(event)),
                        Err(refusal) => {
                            disconnected(format!("an event of the agent cannot be read: {refusal}"))
                        }
                    },
                    Ok(None) => disconnected("the agent closed it".to_owned()),
                    Err(status) => ended(&status),
                },
            };
            *self = Self::None;
            return news;
        }
    }

    fn opening(channel: Channel, authorization: MetadataValue<Ascii>) -> Self {
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let opening = async move {
            let mut client = ExecutorsClient::new(channel).max_decoding_message_size(EXECUTOR_MESSAGE_BYTES);
            let mut request = Request::new(ReceiverStream::new(queue));
            request.metadata_mut().insert("authorization", authorization);
            client.connect(request).await
        };
        Self::Opening { opening: opening.boxed(), outgoing }
    }

    /// Puts a call on its way. Waits while too many are; forgets it if there is no connection.
    pub(super) async fn send(&mut self, framework: &FrameworkId, executor: &ExecutorId, call: &Call) {
        let broken = {
            let (Self::Opening { outgoing, .. } | Self::Open { outgoing, .. }) = &*self else { return };
            let sending = outgoing.send(execution_call_to_wire(framework, executor, call));
            // If it is broken, the incoming half says so. While it is opening, nobody reads what waits: see `QUEUE`.
            tokio::time::timeout(SEND_TIMEOUT, sending).await.is_err()
        };
        if broken {
            *self = Self::Broken(format!("the agent took no call for {SEND_TIMEOUT:?}"));
        }
    }

    /// Drops the connection at once.
    pub(super) fn close(&mut self) {
        *self = Self::None;
    }

    /// Lets what was sent last reach the agent, then drops the connection.
    pub(super) async fn flush_and_close(&mut self) {
        let drained = async {
            let incoming = match std::mem::replace(self, Self::None) {
                Self::Open { incoming, outgoing } => {
                    drop(outgoing);
                    incoming
                }
                Self::Opening { opening, outgoing } => {
                    drop(outgoing);
                    let Ok(response) = opening.await else { return };
                    Box::new(response.into_inner())
                }
                Self::None | Self::Making(..) | Self::Broken(_) => return,
            };
            // The agent closes its half once it has read all of ours.
            incoming.for_each(|_| std::future::ready(())).await;
        };
        let _in_time = tokio::time::timeout(FLUSH_TIMEOUT, drained).await;
    }
}

fn disconnected(why: String) -> News {
    News::Event(Event::Disconnected { why })
}

/// What the end of a stream means.
fn ended(status: &Status) -> News {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => {
            News::Event(Event::Refused { why: status.message().to_owned() })
        }
        Code::Unimplemented => News::NoAgent(chain(status)),
        _ => disconnected(chain(status)),
    }
}
