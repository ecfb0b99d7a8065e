//! A way to a running driver.

use std::sync::Arc;
use std::time::Duration;

use lonja_model::TaskId;
use lonja_sdk_core::Command;
use tokio::sync::mpsc;

use super::events::Events;
use super::metrics::Metrics;
use super::notice::Notice;
use super::shared::Shared;

/// Commands that may wait for the driver.
const COMMANDS: usize = 256;

/// A way to a running driver. Cheap to clone; what it asks for is forgotten if the run has ended.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> (Self, mpsc::Receiver<Command>) {
        let (commands, queue) = mpsc::channel(COMMANDS);
        (Self { commands, shared }, queue)
    }

    /// Ends a task; `grace` overrides the task's own.
    pub async fn kill(&self, task: TaskId, grace: Option<Duration>) {
        self.put(Command::Kill { task, grace }).await;
    }

    /// Ends the framework and its tasks.
    pub async fn tear_down(&self) {
        self.put(Command::TearDown).await;
    }

    /// Ends the run and leaves the tasks.
    pub async fn leave(&self) {
        self.put(Command::Leave).await;
    }

    /// What the run has come to so far, also once it has ended.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }

    /// What happens to the run from now on.
    pub fn notices(&self) -> Events<Notice> {
        self.shared.notices()
    }

    async fn put(&self, command: Command) {
        // The run has ended: nothing is left to be done.
        let _ended = self.commands.send(command).await;
    }
}
