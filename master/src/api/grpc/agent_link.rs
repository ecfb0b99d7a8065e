//! `lonja.v1.AgentLink`: agents.

use lonja_model::link::ToAgent;
use lonja_proto::convert::link::{agent_message_from_wire, master_message_to_wire};
use lonja_proto::lonja::agent_link_server;
use lonja_proto::lonja::{AgentMessage, MasterMessage};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::{Outgoing, stopped};
use crate::Handle;
use crate::connections::Waiting;
use crate::handle::AgentLink;

/// The largest message of an agent, in bytes: one that comes back tells of all its tasks at once.
/// The same number as at the agent's end, which takes on no more than it can tell in such a message.
pub(crate) const MAX_AGENT_MESSAGE_BYTES: usize = 256 << 20;

/// The service.
pub(crate) struct AgentLinks {
    handle: Handle,
    stop: watch::Receiver<bool>,
}

impl AgentLinks {
    pub(crate) fn new(handle: Handle, stop: watch::Receiver<bool>) -> Self {
        Self { handle, stop }
    }
}

#[tonic::async_trait]
impl agent_link_server::AgentLink for AgentLinks {
    type ConnectStream = Outgoing<Waiting<ToAgent>, MasterMessage>;

    async fn connect(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let AgentLink { id: link, queue, closed } = self.handle.open_link().await.map_err(stopped)?;
        let (outgoing, gone) =
            Outgoing::new(queue, |waiting: Waiting<ToAgent>| Some(master_message_to_wire(&waiting.message)));
        let (handle, mut stop) = (self.handle.clone(), self.stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = read(&handle, link, request.into_inner()) => {}
                _ = gone => {}
                _ = closed => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            // The master has stopped, or is told now.
            let _told = handle.close_link(link).await;
        });
        Ok(Response::new(outgoing))
    }
}

/// Hands every message on. An agent that sends what cannot be read loses its link and comes back: it would
/// lose an update otherwise without anybody knowing.
async fn read(handle: &Handle, link: lonja_master_core::LinkId, mut incoming: Streaming<AgentMessage>) {
    loop {
        match incoming.message().await {
            Ok(Some(message)) => match agent_message_from_wire(message) {
                Ok(message) => {
                    if handle.agent_says(link, message).await.is_err() {
                        return;
                    }
                }
                Err(refusal) => {
                    tracing::warn!(link = link.0, %refusal, "agent's message cannot be read, its link is cut");
                    return;
                }
            },
            Ok(None) => return,
            Err(status) => {
                tracing::info!(link = link.0, error = %status, "agent's link broke");
                return;
            }
        }
    }
}
