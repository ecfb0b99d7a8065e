//! Sandboxes and statistics over gRPC.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;

use futures::Stream;
use futures::stream;
use lonja_model::{FrameworkId, TaskId};
use lonja_proto::convert::ids::{framework_id_from_wire, task_id_from_wire};
use lonja_proto::lonja::{
    FileChunk, ListFilesRequest, ListFilesResponse, ReadFileRequest, StatsRequest, StatsResponse,
};
use lonja_proto::mesos;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use super::doors::Doors;
use crate::sandbox::files::{self, Entry, FilesError, LARGEST_PIECE};
use crate::statistics::MOST_CONTAINERS;

/// The pieces of a file.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<FileChunk, Status>> + Send>>;

/// What containers use.
pub(super) async fn stats(doors: &Doors, request: StatsRequest) -> Result<StatsResponse, Status> {
    let framework = request.framework_id.map(|id| id.value);
    let task = request.task_id.map(|id| id.value);
    let wanted = |of: &FrameworkId, id: &TaskId| {
        framework.as_deref().is_none_or(|wanted| wanted == of.as_str())
            && task.as_deref().is_none_or(|wanted| wanted == id.as_str())
    };
    let statistics = doors.statistics(wanted).await.map_err(super::grpc::stopped)?;
    let truncated = statistics.len() == MOST_CONTAINERS;
    Ok(StatsResponse { containers: statistics.iter().map(|one| one.to_wire()).collect(), truncated })
}

/// What is in a folder.
pub(super) async fn list(doors: &Doors, request: ListFilesRequest) -> Result<ListFilesResponse, Status> {
    let (framework, task) = ids(request.framework_id, request.task_id)?;
    let path = request.path;
    let listed = in_sandbox(doors, framework, task, move |root| files::list(&root, &path)).await?;
    let truncated = listed.0.truncated;
    Ok(ListFilesResponse { files: listed.0.entries.into_iter().map(info).collect(), truncated })
}

/// A file, piece by piece.
pub(super) async fn read(doors: &Doors, request: ReadFileRequest) -> Result<Pieces, Status> {
    let (framework, task) = ids(request.framework_id, request.task_id)?;
    let path = request.path;
    let ((file, size), leave) =
        in_sandbox(doors, framework, task, move |root| files::open(&root, &path)).await?;
    let end = request.length.map_or(size, |length| request.offset.saturating_add(length)).min(size);
    let reading = Reading { file, offset: request.offset, end, size, done: false, _leave: leave };
    Ok(Box::pin(stream::unfold(reading, |mut reading| async move {
        if reading.done {
            return None;
        }
        let piece = tokio::task::block_in_place(|| reading.next());
        reading.done = piece.as_ref().map_or(true, |piece| piece.end);
        let piece = piece.map_err(|error| Status::internal(format!("cannot read the file: {error}")));
        Some((piece, reading))
    })))
}

/// A file between two pieces.
struct Reading {
    file: File,
    offset: u64,
    end: u64,
    size: u64,
    done: bool,
    _leave: OwnedSemaphorePermit,
}

impl Reading {
    fn next(&mut self) -> io::Result<FileChunk> {
        self.skip_hole()?;
        let left = self.end.saturating_sub(self.offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(LARGEST_PIECE);
        let data = files::read_at(&self.file, self.offset, length)?;
        let offset = self.offset;
        self.offset += data.len() as u64;
        // Shorter than it was: the task has cut it.
        let end = data.len() < length || self.offset >= self.end;
        Ok(FileChunk { data, offset, size: self.size, end })
    }

    /// What was never written is not sent: a file of a terabyte may hold a few bytes.
    fn skip_hole(&mut self) -> io::Result<()> {
        if self.offset >= self.end {
            return Ok(());
        }
        match rustix::fs::seek(&self.file, SeekFrom::Data(self.offset)) {
            Ok(data) => self.offset = data.clamp(self.offset, self.end),
            Err(Errno::NXIO) => self.offset = self.end,
            // This file system does not tell.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn ids(
    framework: Option<mesos::FrameworkId>,
    task: Option<mesos::TaskId>,
) -> Result<(FrameworkId, TaskId), Status> {
    let framework = framework_id_from_wire(framework)
        .map_err(|refusal| Status::invalid_argument(format!("framework_id: {refusal}")))?;
    let task =
        task_id_from_wire(task).map_err(|refusal| Status::invalid_argument(format!("task_id: {refusal}")))?;
    Ok((framework, task))
}

/// Looks into the sandbox of a task, in a thread that may wait for its disk.
async fn in_sandbox<T: Send + 'static>(
    doors: &Doors,
    framework: FrameworkId,
    task: TaskId,
    look: impl FnOnce(OwnedFd) -> Result<T, FilesError> + Send + 'static,
) -> Result<(T, OwnedSemaphorePermit), Status> {
    let leave = doors.may_look();
    let leave = leave.ok_or_else(|| Status::resource_exhausted("too many look at files; try again soon"))?;
    let found = doors.find(framework, task.clone()).await.map_err(super::grpc::stopped)?;
    let missing = || Status::not_found(format!("this agent has no files of task {task}"));
    let sandbox = found.ok_or_else(missing)?.sandbox;
    let containers = doors.containers.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let root = containers.sandboxes().open_root(&sandbox);
        root.map(look)
    });
    match looked.await {
        Ok(Ok(Ok(seen))) => Ok((seen, leave)),
        Ok(Ok(Err(error))) => Err(refusal(&error)),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
        Ok(Err(error)) => Err(Status::internal(format!("cannot open the sandbox: {error}"))),
        Err(error) => Err(Status::internal(format!("looking into the sandbox failed: {error}"))),
    }
}

fn refusal(error: &FilesError) -> Status {
    let said = crate::containers::chain(error);
    match error {
        FilesError::Invalid { .. } => Status::invalid_argument(said),
        FilesError::NotFound(_) => Status::not_found(said),
        FilesError::Kind { .. } => Status::failed_precondition(said),
        FilesError::Io { .. } => Status::internal(said),
    }
}

fn info(entry: Entry) -> mesos::FileInfo {
    mesos::FileInfo {
        path: entry.name,
        nlink: i32::try_from(entry.links).ok(),
        size: Some(entry.size),
        mtime: Some(mesos::TimeInfo { nanoseconds: entry.modified.saturating_mul(1_000_000_000) }),
        mode: Some(entry.mode),
        uid: Some(entry.user.to_string()),
        gid: Some(entry.group.to_string()),
    }
}
