//! What all doors of the agent need, and what they may take of it at once.

use std::sync::Arc;

use lonja_model::{FrameworkId, TaskId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answers::Answers;
use super::v1::refusal::Refusal;
use crate::Handle;
use crate::containers::Containers;
use crate::counts::Counts;
use crate::handle::{Description, Stopped, TaskFiles, TaskLine};
use crate::picture::Picture;
use crate::statistics::{self, ContainerStatistics};

/// Listings, reads and downloads under way at once, of all callers together.
const MOST_FILES: usize = 64;

/// Collections of statistics under way at once.
const MOST_COLLECTIONS: usize = 2;

/// Pictures of all that runs in use at once.
const MOST_PICTURES: usize = 4;

/// The agent, seen from its doors. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) handle: Handle,
    pub(crate) containers: Arc<Containers>,
    files: Arc<Semaphore>,
    collections: Arc<Semaphore>,
    pictures: Arc<Semaphore>,
    pub(crate) answers: Answers,
}

impl Doors {
    pub(crate) fn new(handle: Handle, containers: Arc<Containers>) -> Self {
        Self {
            handle,
            containers,
            files: Arc::new(Semaphore::new(MOST_FILES)),
            collections: Arc::new(Semaphore::new(MOST_COLLECTIONS)),
            pictures: Arc::new(Semaphore::new(MOST_PICTURES)),
            answers: Answers::default(),
        }
    }

    /// Leave to look into a sandbox, for as long as it is held; `None`: too many do.
    pub(crate) fn may_look(&self) -> Option<OwnedSemaphorePermit> {
        self.files.clone().try_acquire_owned().ok()
    }

    /// All that runs, and leave to use it. Errors: the agent has stopped, or looks for its containers still.
    pub(crate) async fn picture(&self) -> Result<(Picture, OwnedSemaphorePermit), Refusal> {
        if !self.handle.has_recovered() {
            return Err(Refusal::recovering());
        }
        let leave = self.pictures.clone().acquire_owned().await.map_err(|_| Refusal::stopped())?;
        let picture = self.handle.picture().await.map_err(|_| Refusal::stopped())?;
        Ok((picture, leave))
    }

    /// How much runs. Errors: as [`Self::picture`].
    pub(crate) async fn counts(&self) -> Result<Counts, Refusal> {
        if !self.handle.has_recovered() {
            return Err(Refusal::recovering());
        }
        self.handle.counts().await.map_err(|_| Refusal::stopped())
    }

    /// The files of a task.
    pub(crate) async fn find(
        &self,
        framework: FrameworkId,
        task: TaskId,
    ) -> Result<Option<TaskFiles>, Stopped> {
        self.handle.find(framework, task).await
    }

    /// What running containers use: of all tasks, or of those that `wanted` picks.
    pub(crate) async fn statistics(
        &self,
        wanted: impl Fn(&FrameworkId, &TaskId) -> bool,
    ) -> Result<Vec<ContainerStatistics>, Stopped> {
        self.collect(|described| described.tasks, wanted).await
    }

    /// What running containers use, also those of executors of frameworks' own.
    pub(crate) async fn all_statistics(
        &self,
        wanted: impl Fn(&FrameworkId, &TaskId) -> bool,
    ) -> Result<Vec<ContainerStatistics>, Stopped> {
        let both = |mut described: Description| {
            described.tasks.append(&mut described.executors);
            described.tasks
        };
        self.collect(both, wanted).await
    }

    /// Who waits for leave holds nothing yet.
    async fn collect(
        &self,
        chosen: impl Fn(Description) -> Vec<TaskLine>,
        wanted: impl Fn(&FrameworkId, &TaskId) -> bool,
    ) -> Result<Vec<ContainerStatistics>, Stopped> {
        let _leave = self.collections.acquire().await.map_err(|_| Stopped)?;
        let mut tasks = chosen(self.handle.describe().await?);
        tasks.retain(|task| wanted(&task.framework, &task.task));
        let containers = self.containers.clone();
        let collected = tokio::task::spawn_blocking(move || statistics::collect(&containers, tasks));
        collected.await.map_err(|_| Stopped)
    }
}
