//! `AgentApi.Attach`: what a task writes, and its terminal.

use lonja_proto::lonja::{AttachInput, AttachOutput};
use tokio::sync::watch;
use tonic::{Status, Streaming};

use super::sessions::{Answers, Sessions};
use crate::Handle;

/// Attaches to a task.
pub(super) async fn attach(
    _handle: &Handle,
    _sessions: &Sessions,
    _calls: Streaming<AttachInput>,
    _stop: watch::Receiver<bool>,
) -> Result<Answers<AttachOutput>, Status> {
    Err(Status::unimplemented("attach"))
}
