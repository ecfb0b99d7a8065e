//! `lonja logs`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use lonja_proto::lonja::agent_api_client::AgentApiClient;
use lonja_proto::lonja::logs_request::Stream;
use lonja_proto::lonja::{LogChunk, LogsRequest};
use lonja_proto::mesos;
use tonic::transport::Channel;

use crate::args::Logs;
use crate::client::Client;

/// Prints a task's output as its agent has it.
pub(crate) async fn run(logs: &Logs) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect(&logs.master.master).await?;
    let task = client.find_task(&logs.task, logs.framework.as_deref()).await?;
    let mut agent = client.agent(&task.agent_id.value).await?;
    let stream = if logs.stderr { Stream::Stderr } else { Stream::Stdout };
    let request = LogsRequest {
        framework_id: Some(task.framework_id),
        task_id: Some(task.task_id),
        stream: stream.into(),
        follow: logs.follow,
        offset: 0,
        tail_lines: logs.tail,
    };
    let mut stdout = std::io::stdout();
    copy(&mut agent, request, &mut stdout).await?;
    Ok(ExitCode::SUCCESS)
}

/// Follows one stream of a task to its end.
pub(crate) async fn follow(
    mut agent: AgentApiClient<Channel>,
    framework: &str,
    task: &str,
    stream: Stream,
    to: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let request = LogsRequest {
        framework_id: Some(mesos::FrameworkId { value: framework.to_owned() }),
        task_id: Some(mesos::TaskId { value: task.to_owned() }),
        stream: stream.into(),
        follow: true,
        offset: 0,
        tail_lines: None,
    };
    copy(&mut agent, request, to).await
}

async fn copy(
    agent: &mut AgentApiClient<Channel>,
    request: LogsRequest,
    to: &mut impl Write,
) -> anyhow::Result<()> {
    let response = agent.logs(request).await.map_err(|status| anyhow::anyhow!("{}", status.message()))?;
    let mut chunks = response.into_inner();
    while let Some(LogChunk { data, end, .. }) = chunks.message().await.context("the log broke off")? {
        // Whoever reads may be slow: the other tasks of this process go on.
        if let Err(error) = tokio::task::block_in_place(|| to.write_all(&data).and_then(|()| to.flush())) {
            // Nobody reads any more.
            return if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error.into()) };
        }
        if end {
            break;
        }
    }
    Ok(())
}
