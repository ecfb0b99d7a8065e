//! `lonja.v1.AgentApi`.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use lonja_proto::convert::agent::agent_info_to_wire;
use lonja_proto::convert::ids::{framework_id_from_wire, task_id_from_wire};
use lonja_proto::lonja::agent_api_server;
use lonja_proto::lonja::logs_request;
use lonja_proto::lonja::{
    AttachInput, AttachOutput, DescribeRequest, DescribeResponse, ExecInput, ExecOutput, ListFilesRequest,
    ListFilesResponse, LogChunk, LogsRequest, ReadFileRequest, StatsRequest, StatsResponse,
};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::doors::Doors;
use super::logs::{self, From};
use super::sessions::{Answers, Sessions};
use super::{attach, exec, looking};
use crate::isolation::Enforcement;

/// The service.
pub(crate) struct Api {
    doors: Doors,
    enforced: Vec<Enforcement>,
    sessions: Sessions,
    stop: watch::Receiver<bool>,
}

impl Api {
    pub(crate) fn new(
        doors: Doors,
        enforced: Vec<Enforcement>,
        sessions: Sessions,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { doors, enforced, sessions, stop }
    }
}

type Chunks = Pin<Box<dyn Stream<Item = Result<LogChunk, Status>> + Send>>;

#[tonic::async_trait]
impl agent_api_server::AgentApi for Api {
    type LogsStream = Chunks;
    type ExecStream = Answers<ExecOutput>;
    type AttachStream = Answers<AttachOutput>;

    async fn exec(
        &self,
        request: Request<tonic::Streaming<ExecInput>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        let answers = exec::exec(&self.doors.handle, &self.sessions, request.into_inner(), self.stop.clone());
        Ok(Response::new(answers.await?))
    }

    async fn attach(
        &self,
        request: Request<tonic::Streaming<AttachInput>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let answers = attach::attach(
            &self.doors.handle,
            &self.sessions,
            self.doors.containers.sandboxes().clone(),
            request.into_inner(),
            self.stop.clone(),
        );
        Ok(Response::new(answers.await?))
    }
    type ReadFileStream = looking::Pieces;

    async fn logs(&self, request: Request<LogsRequest>) -> Result<Response<Chunks>, Status> {
        let request = request.into_inner();
        let file = match request.stream() {
            logs_request::Stream::Stdout => "stdout",
            logs_request::Stream::Stderr => "stderr",
            logs_request::Stream::Unspecified => {
                return Err(Status::invalid_argument("stream: is missing; set STDOUT or STDERR"));
            }
        };
        let framework = framework_id_from_wire(request.framework_id)
            .map_err(|refusal| Status::invalid_argument(format!("framework_id: {refusal}")))?;
        let task = task_id_from_wire(request.task_id)
            .map_err(|refusal| Status::invalid_argument(format!("task_id: {refusal}")))?;
        let found = self.doors.find(framework, task.clone()).await.map_err(stopped)?;
        let Some(files) = found else {
            return Err(Status::not_found(format!("this agent has no files of task {task}")));
        };
        let from = match request.tail_lines {
            Some(lines) => From::LastLines(lines),
            None => From::Offset(request.offset),
        };
        let mut stop = self.stop.clone();
        let ended = async move {
            let _stopping = stop.wait_for(|stop| *stop).await;
        };
        let chunks = logs::read(self.doors.containers.sandboxes().clone(), files, file, from, request.follow)
            .map(|chunk| chunk.map_err(|error| Status::internal(format!("cannot read the log: {error}"))));
        Ok(Response::new(Box::pin(chunks.take_until(ended))))
    }

    async fn stats(&self, request: Request<StatsRequest>) -> Result<Response<StatsResponse>, Status> {
        looking::stats(&self.doors, request.into_inner()).await.map(Response::new)
    }

    async fn list_files(
        &self,
        request: Request<ListFilesRequest>,
    ) -> Result<Response<ListFilesResponse>, Status> {
        looking::list(&self.doors, request.into_inner()).await.map(Response::new)
    }

    async fn read_file(
        &self,
        request: Request<ReadFileRequest>,
    ) -> Result<Response<looking::Pieces>, Status> {
        let pieces = looking::read(&self.doors, request.into_inner()).await?;
        let mut stop = self.stop.clone();
        let ended = async move {
            let _stopping = stop.wait_for(|stop| *stop).await;
        };
        Ok(Response::new(Box::pin(pieces.take_until(ended))))
    }

    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        let described = self.doors.handle.describe().await.map_err(stopped)?;
        let info = lonja_model::AgentInfo { id: described.id, resources: described.total, ..described.info };
        let enforcements = self.enforced.iter().map(|one| lonja_proto::lonja::Enforcement {
            limit: format!("{:?}", one.limit).to_lowercase(),
            enforced: one.not_enforced.is_none(),
            reason: one.not_enforced.clone().unwrap_or_default(),
        });
        Ok(Response::new(DescribeResponse {
            agent: Some(agent_info_to_wire(&info)),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            enforcements: enforcements.collect(),
        }))
    }
}

pub(super) fn stopped(_: crate::handle::Stopped) -> Status {
    Status::unavailable("the agent has stopped")
}
