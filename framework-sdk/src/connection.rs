//! One connection to a master, from the first packet to the last.

use std::time::Duration;

use futures::StreamExt;
use lonja_proto::convert::event::{Response, response_from_wire};
use lonja_proto::lonja::schedulers_client::SchedulersClient;
use lonja_proto::lonja::{SchedulerRequest, SchedulerResponse};
use lonja_sdk_core::Event;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};

/// Calls that may wait for the master.
const QUEUE: usize = 1_024;

/// The largest message of the master, in bytes: all offers of a large cluster at once.
const MAX_MESSAGE_BYTES: usize = 256 << 20;

/// How long one try to connect may take, to the answer of the master and not just of its host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A half-open connection is noticed after this long without a word, and given as long to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// How long the last calls may take on their way out.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

/// Where a master is. Errors: `address` is none, in words.
pub(crate) fn endpoint(address: &str) -> Result<Endpoint, String> {
    let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    Ok(Endpoint::from_shared(url)
        .map_err(|error| chain(&error))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(KEEPALIVE))
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true))
}

/// What a connection has to say.
pub(crate) enum News {
    /// For the framework.
    Event(Event),
    /// Whoever answers there is no master: to try again is no use.
    NoMaster(String),
}

/// The connection, such as it is.
pub(crate) enum Connection {
    /// There is none.
    None,
    /// It is being made.
    Making(Making),
    /// It stands.
    Open {
        incoming: Box<Streaming<SchedulerResponse>>,
        outgoing: mpsc::Sender<SchedulerRequest>,
        /// Has it said anything that can be read?
        understood: bool,
    },
}

/// A try to connect; given up when dropped.
pub(crate) struct Making(JoinHandle<Made>);

type Made = Result<(Streaming<SchedulerResponse>, mpsc::Sender<SchedulerRequest>), Failure>;

enum Failure {
    Passing(String),
    NoMaster(String),
}

impl Drop for Making {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Begins to connect.
    pub(crate) fn make(endpoint: Endpoint) -> Self {
        Self::Making(Making(tokio::spawn(async move {
            let late = || Failure::Passing(format!("no answer within {CONNECT_TIMEOUT:?}"));
            tokio::time::timeout(CONNECT_TIMEOUT, made(endpoint)).await.unwrap_or_else(|_| Err(late()))
        })))
    }

    /// What happens next; nothing while there is no connection. Can be dropped and called again.
    pub(crate) async fn next(&mut self) -> News {
        match self {
            Self::None => std::future::pending().await,
            Self::Making(making) => {
                let failure = match (&mut making.0).await {
                    Ok(Ok((incoming, outgoing))) => {
                        *self = Self::Open { incoming: Box::new(incoming), outgoing, understood: false };
                        return News::Event(Event::Connected);
                    }
                    Ok(Err(failure)) => failure,
                    Err(error) => Failure::Passing(error.to_string()),
                };
                *self = Self::None;
                match failure {
                    Failure::Passing(why) => News::Event(Event::Disconnected { why }),
                    Failure::NoMaster(why) => News::NoMaster(why),
                }
            }
            Self::Open { incoming, understood, .. } => {
                let why = match incoming.message().await {
                    Ok(Some(response)) => match response_from_wire(response) {
                        Ok(response) => {
                            *understood = true;
                            return News::Event(match response {
                                Response::Event(event) => Event::Received(event),
                                Response::Result { id, result } => Event::Answered { id, result },
                            });
                        }
                        Err(refusal) => {
                            let why = format!("a message of the master cannot be read: {refusal}");
                            if !*understood {
                                *self = Self::None;
                                return News::NoMaster(why);
                            }
                            why
                        }
                    },
                    Ok(None) => "the master closed it".to_owned(),
                    Err(status) => format!("the connection broke: {}", in_words(&status)),
                };
                *self = Self::None;
                News::Event(Event::Disconnected { why })
            }
        }
    }

    /// Where calls are put, if it stands.
    pub(crate) fn outgoing(&self) -> Option<mpsc::Sender<SchedulerRequest>> {
        match self {
            Self::Open { outgoing, .. } => Some(outgoing.clone()),
            Self::None | Self::Making(_) => None,
        }
    }

    /// Drops the connection at once.
    pub(crate) fn close(&mut self) {
        *self = Self::None;
    }

    /// Lets what was sent last reach the master, then drops the connection.
    pub(crate) async fn flush_and_close(&mut self) {
        let Self::Open { incoming, outgoing, .. } = std::mem::replace(self, Self::None) else { return };
        drop(outgoing);
        // The master closes its half once it has read all of ours.
        let drained = incoming.for_each(|_| std::future::ready(()));
        let _in_time = tokio::time::timeout(FLUSH_TIMEOUT, drained).await;
    }
}

async fn made(endpoint: Endpoint) -> Made {
    let channel = endpoint.connect().await.map_err(|error| Failure::Passing(chain(&error)))?;
    let mut client = SchedulersClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let (outgoing, queue) = mpsc::channel(QUEUE);
    match client.connect(ReceiverStream::new(queue)).await {
        Ok(response) => Ok((response.into_inner(), outgoing)),
        Err(status) if status.code() == Code::Unimplemented || speaks_otherwise(&status) => {
            Err(Failure::NoMaster(chain(&status)))
        }
        Err(status) => Err(Failure::Passing(in_words(&status))),
    }
}

/// Is the other end's first word none of HTTP/2? A line of HTTP/1 read as a frame promises more than any frame holds.
fn speaks_otherwise(status: &Status) -> bool {
    let text = chain(status);
    text.contains("frame with invalid size") || text.contains("FRAME_SIZE_ERROR")
}

/// What a status says, without its code where it says more.
fn in_words(status: &Status) -> String {
    let message = status.message();
    if message.is_empty() { status.code().to_string() } else { message.to_owned() }
}

/// An error and its causes in one line; what repeats the one before is left out.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}
