//! The stream to the leading master: one at a time, made anew whenever it breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use lonja_agent_core::{MAX_RECORD_BYTES, MAX_RECORD_BYTES_OVER};
use lonja_model::link::FromAgent;
use lonja_proto::convert::link::{agent_message_to_wire, master_message_from_wire};
use lonja_proto::lonja::agent_link_client::AgentLinkClient;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::containers::chain;
use crate::handle::{Handle, Input};

/// Messages that may wait for the master: one for each task that an agent takes at most, and room.
const QUEUE: usize = 16_384;

/// The largest message either way, in bytes: an agent that comes back tells of all its tasks at once.
/// The master's end of the link has the same number.
const MAX_MESSAGE_BYTES: usize = 256 << 20;

/// Whatever an agent takes on it can write in one commit, and tell in one message, with room for what stands around it.
const _: () = {
    const ENVELOPE: usize = 16 << 20;
    let most = MAX_RECORD_BYTES + MAX_RECORD_BYTES_OVER + ENVELOPE;
    assert!(most <= MAX_MESSAGE_BYTES && most <= lonja_storage::MAX_BATCH_BYTES);
};

/// The first wait before another try, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long one try to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A half-open connection is noticed after this long without a word, and given as long to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Keeps a stream to the master open in a task of its own.
pub(crate) struct MasterLink {
    master: String,
    handle: Handle,
    numbers: Arc<AtomicU64>,
    task: Option<JoinHandle<()>>,
}

impl MasterLink {
    pub(crate) fn new(master: String, handle: Handle) -> Self {
        Self { master, handle, numbers: Arc::new(AtomicU64::new(1)), task: None }
    }

    /// Drops the stream, if there is one, and makes another.
    pub(crate) fn connect(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        let keep = keep_open(self.master.clone(), self.handle.clone(), self.numbers.clone());
        self.task = Some(tokio::spawn(keep));
    }
}

impl Drop for MasterLink {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

async fn keep_open(master: String, handle: Handle, numbers: Arc<AtomicU64>) {
    let mut backoff = BACKOFF.0;
    loop {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        match one_link(&master, &handle, number).await {
            Ended::Stopped => return,
            Ended::Broke => backoff = BACKOFF.0,
            Ended::NotConnected(why) => {
                tracing::debug!(master, why, "master not reached");
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
        // Up to half more, so that agents do not come back all at once.
        let jitter = backoff.mul_f64(f64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 512.0);
        tokio::time::sleep(backoff + jitter).await;
    }
}

enum Ended {
    /// The agent has stopped.
    Stopped,
    /// There was a link, and it broke.
    Broke,
    /// There was none.
    NotConnected(String),
}

async fn one_link(master: &str, handle: &Handle, number: u64) -> Ended {
    let channel = match connect(master).await {
        Ok(channel) => channel,
        Err(error) => return Ended::NotConnected(chain(&error)),
    };
    let mut client = AgentLinkClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let (sender, queue) = mpsc::channel::<FromAgent>(QUEUE);
    let outgoing = ReceiverStream::new(queue).map(|message| agent_message_to_wire(&message));
    let mut incoming = match client.connect(outgoing).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Ended::NotConnected(status.to_string()),
    };
    tracing::info!(master, "connected to the master");
    if handle.put(Input::LinkUp(number, sender)).await.is_err() {
        return Ended::Stopped;
    }
    let why = loop {
        match incoming.message().await {
            Ok(Some(message)) => match master_message_from_wire(message) {
                Ok(message) => {
                    if handle.put(Input::Received(number, message)).await.is_err() {
                        return Ended::Stopped;
                    }
                }
                // To pass over it could lose a task: the next link begins with everything told anew.
                Err(refusal) => break format!("a message of the master cannot be read: {refusal}"),
            },
            Ok(None) => break "the master closed it".to_owned(),
            Err(status) => break status.to_string(),
        }
    };
    tracing::info!(master, why, "link to the master broke");
    if handle.put(Input::LinkDown(number)).await.is_err() { Ended::Stopped } else { Ended::Broke }
}

async fn connect(master: &str) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(master.to_owned())?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .connect()
        .await
}
