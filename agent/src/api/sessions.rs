//! What sessions in containers have in common: how many there may be, and whose container it is.
//!
//! Invariants
//! - The number of sessions is bounded, for each container and altogether.
//! - A session holds a few chunks of output at most: while its caller does not take them, nothing more is
//!   read. A caller who takes nothing for [`READER_PATIENCE`] is cut.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::Stream;
use lonja_proto::convert::ids::{framework_id_from_wire, task_id_from_wire};
use lonja_proto::{lonja as wire, mesos};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::grpc::stopped;
use crate::Handle;
use crate::containerizer::{Command, ContainerId, Containerizer, Nested, WindowSize};
use crate::handle::TaskFiles;

/// How many sessions one container may have.
const MOST_IN_CONTAINER: usize = 16;

/// How many sessions the agent may have.
const MOST: usize = 256;

/// How long a caller may take to say what it wants.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// How long a caller may take to read on: longer than a person looks at a page.
pub(crate) const READER_PATIENCE: Duration = Duration::from_secs(300);

/// How many answers wait for the caller.
const MOST_WAITING: usize = 4;

/// The longest piece of input, in bytes.
const LARGEST_INPUT: usize = 64 << 10;

/// How many bytes a command may have with its environment.
const LARGEST_START: usize = 256 << 10;

/// Is what is to run in a container small enough? Errors: it is not.
pub(in crate::api) fn check_size(nested: &Nested) -> Result<(), String> {
    let words = match &nested.command {
        Command::Shell(line) => line.len(),
        Command::Argv { program, args } => program.len() + args.iter().map(String::len).sum::<usize>(),
    };
    let variables = nested.environment.iter().map(|(name, value)| name.len() + value.len());
    let size = words + variables.sum::<usize>();
    if size > LARGEST_START {
        return Err(format!("command: with environment {size} bytes, at most {LARGEST_START} are taken"));
    }
    Ok(())
}

/// What a call answers with.
pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// All sessions of one agent. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sessions {
    pub(in crate::api) containerizer: Arc<dyn Containerizer>,
    counts: Arc<Mutex<BTreeMap<ContainerId, usize>>>,
}

/// One session's place among the others, until it is dropped.
pub(in crate::api) struct Place {
    container: ContainerId,
    counts: Arc<Mutex<BTreeMap<ContainerId, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.container) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.container);
            }
        }
    }
}

impl Sessions {
    pub(crate) fn new(containerizer: Arc<dyn Containerizer>) -> Self {
        Self { containerizer, counts: Arc::default() }
    }

    /// Takes a place. Errors: all are taken.
    pub(in crate::api) fn enter(&self, container: &ContainerId) -> Result<Place, Status> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |what: &str, most: usize| {
            Err(Status::resource_exhausted(format!("{what} has {most} sessions already; end one first")))
        };
        if counts.values().sum::<usize>() >= MOST {
            return full("this agent", MOST);
        }
        if counts.get(container).is_some_and(|count| *count >= MOST_IN_CONTAINER) {
            return full("this task", MOST_IN_CONTAINER);
        }
        *counts.entry(container.clone()).or_default() += 1;
        Ok(Place { container: container.clone(), counts: self.counts.clone() })
    }
}

/// The files and the container of a task that runs here.
pub(super) async fn find(
    handle: &Handle,
    framework: Option<mesos::FrameworkId>,
    task: Option<mesos::TaskId>,
) -> Result<(TaskFiles, ContainerId), Status> {
    let framework = framework_id_from_wire(framework)
        .map_err(|refusal| Status::invalid_argument(format!("framework_id: {refusal}")))?;
    let task =
        task_id_from_wire(task).map_err(|refusal| Status::invalid_argument(format!("task_id: {refusal}")))?;
    let files = handle.find(framework, task.clone()).await.map_err(stopped)?;
    let files = files.ok_or_else(|| Status::not_found(format!("this agent has no task {task}")))?;
    let container = files.container.as_ref().filter(|_| !*files.ended.borrow());
    let container = container.and_then(|container| ContainerId::new(container.as_str()).ok());
    match container {
        Some(container) => Ok((files, container)),
        None => Err(Status::failed_precondition(format!("task {task} does not run"))),
    }
}

/// The first thing a caller says. Errors: it says nothing.
pub(super) async fn first<T>(calls: &mut Streaming<T>) -> Result<T, Status> {
    match tokio::time::timeout(START_PATIENCE, calls.message()).await {
        Ok(first) => first?.ok_or_else(|| Status::invalid_argument("start: is missing")),
        Err(_) => Err(Status::deadline_exceeded("start: did not come within 10 seconds")),
    }
}

/// The window a caller tells of.
pub(super) fn window(size: wire::WindowSize) -> Result<WindowSize, Status> {
    let number = |what: &str, number: u32| {
        u16::try_from(number)
            .map_err(|_| Status::invalid_argument(format!("{what}: {number} is more than {}", u16::MAX)))
    };
    Ok(WindowSize {
        rows: number("window.rows", size.rows)?,
        columns: number("window.columns", size.columns)?,
    })
}

/// Refuses a piece of input that is too long.
pub(super) fn check_input(data: &[u8]) -> Result<(), Status> {
    if data.len() > LARGEST_INPUT {
        let message =
            format!("stdin: {} bytes in one message, at most {LARGEST_INPUT} are taken", data.len());
        return Err(Status::invalid_argument(message));
    }
    Ok(())
}

/// Where a session's answers go.
pub(super) struct Caller<T>(mpsc::Sender<Result<T, Status>>);

/// The caller is gone, or was cut.
pub(super) struct Gone;

impl<T: Send + 'static> Caller<T> {
    pub(super) fn new() -> (Self, Answers<T>) {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        (Self(sender), Box::pin(ReceiverStream::new(receiver)))
    }

    /// Hands an answer on as soon as the caller takes it.
    pub(super) async fn say(&self, answer: Result<T, Status>) -> Result<(), Gone> {
        match tokio::time::timeout(READER_PATIENCE, self.0.send(answer)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }

    /// Resolves when the caller is gone.
    pub(super) async fn gone(&self) {
        self.0.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containerizer::RecordedContainerizer;

    #[test]
    fn a_container_has_so_many_sessions_and_no_more() {
        let sessions = Sessions::new(Arc::new(RecordedContainerizer::default()));
        let (one, other) = (ContainerId::new("c1").unwrap(), ContainerId::new("c2").unwrap());
        let mut places: Vec<_> = (0..MOST_IN_CONTAINER).map(|_| sessions.enter(&one).ok().unwrap()).collect();

        assert!(sessions.enter(&one).is_err());
        assert!(sessions.enter(&other).is_ok());
        places.pop();
        assert!(sessions.enter(&one).is_ok());
    }

    #[test]
    fn an_agent_has_so_many_sessions_and_no_more() {
        let sessions = Sessions::new(Arc::new(RecordedContainerizer::default()));
        let mut places = Vec::new();
        for number in 0..MOST {
            let container = ContainerId::new(format!("c{}", number / MOST_IN_CONTAINER)).unwrap();
            places.push(sessions.enter(&container).ok().unwrap());
        }
        assert!(sessions.enter(&ContainerId::new("new").unwrap()).is_err());
    }
}
