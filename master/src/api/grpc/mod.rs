//! The gRPC door: `lonja.v1`.

mod agent_link;
mod operator;
mod scheduler;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

pub(crate) use agent_link::{AgentLinks, MAX_AGENT_MESSAGE_BYTES};
pub(crate) use operator::Operators;
pub(crate) use scheduler::Schedulers;

use super::operator::stopped;

/// A queue as the body of a reply. When either side ends it, the guard drops and the reader of the other
/// direction is told.
pub(crate) struct Outgoing<In, Out> {
    queue: mpsc::Receiver<In>,
    encode: Box<dyn FnMut(In) -> Option<Out> + Send>,
    _ended: oneshot::Sender<()>,
}

impl<In, Out> Outgoing<In, Out> {
    /// The body, of what `encode` makes of the messages, if anything; and what resolves when it is gone.
    fn new(
        queue: mpsc::Receiver<In>,
        encode: impl FnMut(In) -> Option<Out> + Send + 'static,
    ) -> (Self, oneshot::Receiver<()>) {
        let (ended, gone) = oneshot::channel();
        (Self { queue, encode: Box::new(encode), _ended: ended }, gone)
    }
}

impl<In, Out> Stream for Outgoing<In, Out> {
    type Item = Result<Out, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(message) = ready!(self.queue.poll_recv(context)) else { return Poll::Ready(None) };
            if let Some(out) = (self.encode)(message) {
                return Poll::Ready(Some(Ok(out)));
            }
        }
    }
}
