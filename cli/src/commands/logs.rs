//! `lonja logs`.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use lonja_proto::lonja::agent_api_client::AgentApiClient;
use lonja_proto::lonja::logs_request::Stream;
use lonja_proto::lonja::{LogChunk, LogsRequest};
use lonja_proto::mesos;
use tonic::transport::Channel;

use crate::args::Logs;
use crate::client::{Client, connect_agent};
use crate::output;

/// How long an agent may be away before its output is given up.
const AWAY: Duration = Duration::from_secs(60);

/// Between two attempts to reach it again.
const PAUSE: Duration = Duration::from_millis(200);

/// Prints a task's output as its agent has it.
pub(crate) async fn run(logs: &Logs) -> anyhow::Result<ExitCode> {
    let url = &logs.master.master;
    let mut client = Client::connect(url).await?;
    let task = client.find_task(&logs.task, logs.framework.as_deref()).await?;
    let stream = if logs.stderr { Stream::Stderr } else { Stream::Stdout };
    let request = LogsRequest {
        framework_id: Some(task.framework_id),
        task_id: Some(task.task_id),
        stream: stream.into(),
        follow: logs.follow,
        offset: 0,
        tail_lines: logs.tail,
    };
    let way = Way { first: None, master: url.clone() };
    to_the_end(way, request, &mut std::io::stdout()).await?;
    Ok(ExitCode::SUCCESS)
}

/// Follows one stream of a task to its end, also over restarts of its agent.
pub(crate) async fn follow(
    way: Way,
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
    to_the_end(way, request, to).await
}

/// How to reach the agent of a task.
pub(crate) struct Way {
    /// Where it is known to be, for the first time.
    pub(crate) first: Option<(String, u16)>,
    /// Who knows where it is afterwards: one that comes back may have another port.
    pub(crate) master: String,
}

impl Way {
    async fn connect(&mut self, request: &LogsRequest) -> anyhow::Result<AgentApiClient<Channel>> {
        if let Some((host, port)) = self.first.take() {
            return connect_agent(&host, i32::from(port)).await;
        }
        let id = |id: Option<&str>| id.unwrap_or_default().to_owned();
        let task = id(request.task_id.as_ref().map(|task| task.value.as_str()));
        let framework = request.framework_id.as_ref().map(|framework| framework.value.as_str());
        let mut client = Client::connect(&self.master).await?;
        let task = client.find_task(&task, framework).await?;
        client.agent(&task.agent_id.value).await
    }
}

/// How far a copy came.
enum Copied {
    /// To the end, or nobody reads any more.
    All,
    /// The agent broke off, for this reason, or said nothing of one.
    BrokenOff(Option<tonic::Status>),
}

/// Copies what is asked for, and goes on where it stood when the agent comes back from a restart. Errors: it does not
/// come back in time, or refuses.
pub(crate) async fn to_the_end(
    mut way: Way,
    mut request: LogsRequest,
    to: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let mut agent = way.connect(&request).await?;
    // Only what is followed is worth waiting for; of the last lines nobody knows where they begin until some came.
    let resumes = request.follow;
    let mut away = false;
    let mut give_up = Instant::now() + AWAY;
    loop {
        let before = request.offset;
        let why = match copy(&mut agent, &mut request, to).await? {
            Copied::All => return Ok(()),
            Copied::BrokenOff(Some(status)) if !away && before == request.offset && refused(&status) => {
                return Err(anyhow!("{}", status.message()));
            }
            Copied::BrokenOff(why) => why,
        };
        let why = why.map_or_else(|| "it has stopped".to_owned(), |status| root_of(&status));
        if request.offset > before {
            give_up = Instant::now() + AWAY;
        }
        loop {
            if !resumes || Instant::now() > give_up {
                bail!("the agent broke off: {why}; the task may run on, and lonja logs shows what it wrote");
            }
            if !std::mem::replace(&mut away, true) {
                output::warn(&format!("the agent is away ({why}); the output goes on when it is back"));
            }
            tokio::time::sleep(PAUSE).await;
            if let Ok(back) = way.connect(&request).await {
                agent = back;
                break;
            }
        }
    }
}

/// Does the agent mean no by this, rather than that it goes or has not quite come back?
fn refused(status: &tonic::Status) -> bool {
    !matches!(status.code(), tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Cancelled)
}

/// What went wrong at the bottom of a broken connection.
fn root_of(status: &tonic::Status) -> String {
    let mut cause: &dyn std::error::Error = status;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    match cause.downcast_ref::<tonic::Status>() {
        Some(status) => status.message().to_owned(),
        None => cause.to_string(),
    }
}

/// Copies until the end or until the agent breaks off; `request` then asks for what follows.
async fn copy(
    agent: &mut AgentApiClient<Channel>,
    request: &mut LogsRequest,
    to: &mut (impl Write + Send),
) -> anyhow::Result<Copied> {
    let mut chunks = match agent.logs(request.clone()).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Ok(Copied::BrokenOff(Some(status))),
    };
    loop {
        let LogChunk { data, end, offset } = match chunks.message().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(Copied::BrokenOff(None)),
            Err(status) => return Ok(Copied::BrokenOff(Some(status))),
        };
        // Whoever reads may be slow: the other tasks of this process go on.
        if let Err(error) = tokio::task::block_in_place(|| to.write_all(&data).and_then(|()| to.flush())) {
            // Nobody reads any more.
            let closed = error.kind() == std::io::ErrorKind::BrokenPipe;
            return if closed { Ok(Copied::All) } else { Err(error.into()) };
        }
        (request.offset, request.tail_lines) = (offset + data.len() as u64, None);
        if end {
            return Ok(Copied::All);
        }
    }
}
