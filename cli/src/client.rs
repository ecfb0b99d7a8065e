//! Asking masters and agents.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use lonja_proto::lonja::agent_api_client::AgentApiClient;
use lonja_proto::lonja::operator_client::OperatorClient;
use lonja_proto::mesos;
use lonja_proto::mesos::master::call::Type;
use lonja_proto::mesos::master::response::get_agents::Agent;
use lonja_proto::mesos::master::{Call, Response};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::output;

/// How long one try to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the master may take to answer: some answers wait for an agent's disk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How often the master is tried again while it is waited for.
const RETRY: Duration = Duration::from_millis(100);

/// A connection to a master.
pub(crate) struct Client {
    operator: OperatorClient<Channel>,
    url: String,
}

impl Client {
    /// Connects to the master at `url`, or gives up at once.
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        let url = &*lonja_sdk::master_url(url)?;
        let endpoint = Endpoint::from_shared(url.to_owned())?;
        let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true).connect().await;
        let channel = channel.map_err(|error| unreachable(url, &error))?;
        let operator =
            OperatorClient::new(channel).max_decoding_message_size(lonja_master::config::MAX_REPLY_BYTES);
        Ok(Self { operator, url: url.to_owned() })
    }

    /// Connects to the master at `url`, trying for `wait`; says so if it takes longer than a moment.
    pub(crate) async fn connect_within(url: &str, wait: Duration) -> anyhow::Result<Self> {
        let url = &*lonja_sdk::master_url(url)?;
        let started = Instant::now();
        let mut said = false;
        loop {
            let error = match Self::connect(url).await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            if started.elapsed() + RETRY > wait {
                return Err(error.context(format!("waited {}", humantime::format_duration(wait))));
            }
            if !said {
                output::note(&format!("waiting for a master at {url} ..."));
                said = true;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Makes a call of the operator API that has no arguments.
    pub(crate) async fn ask(&mut self, kind: Type) -> anyhow::Result<Response> {
        self.call(kind, Call::default()).await
    }

    /// Makes a call of the operator API. Errors say what the master had against it.
    pub(crate) async fn call(&mut self, kind: Type, call: Call) -> anyhow::Result<Response> {
        let call = Call { r#type: Some(kind.into()), ..call };
        let Ok(response) = tokio::time::timeout(ANSWER_TIMEOUT, self.operator.call(call)).await else {
            bail!(
                "the master at {} has not answered within {}; what was asked may still be done: look before you \
                 ask again",
                self.url,
                humantime::format_duration(ANSWER_TIMEOUT)
            );
        };
        Ok(response.map_err(|status| refused(&self.url, &status))?.into_inner())
    }

    /// The agent that `name` means: its id, the end of its id after a dash, or its host, with or without the port.
    pub(crate) async fn find_agent(&mut self, name: &str) -> anyhow::Result<Agent> {
        let agents = self.agents().await?;
        let recovered = agents.recovered_agents.into_iter();
        let recovered = recovered.map(|agent_info| Agent { agent_info, ..Default::default() });
        let known: Vec<Agent> =
            agents.agents.into_iter().chain(recovered).chain(agents.unreachable_agents).collect();
        let mut meant: Vec<&Agent> = known.iter().filter(|agent| agent_id(agent) == name).collect();
        if meant.is_empty() {
            meant = known.iter().filter(|agent| is_called(agent, name)).collect();
        }
        match meant[..] {
            [] => bail!("the master knows no agent {name}; `lonja agents` lists them"),
            [agent] => Ok(agent.clone()),
            _ => {
                let ids: Vec<_> = meant.into_iter().map(agent_id).collect();
                bail!("{name} may be any of the agents {}; name one by its id", ids.join(", "))
            }
        }
    }

    /// All agents, unreachable ones last.
    pub(crate) async fn agents(&mut self) -> anyhow::Result<mesos::master::response::GetAgents> {
        self.ask(Type::GetAgents).await?.get_agents.context("the master's answer holds no agents")
    }

    /// The frameworks that have not ended: each one's id and name.
    pub(crate) async fn frameworks(&mut self) -> anyhow::Result<Vec<(String, String)>> {
        let known = self.ask(Type::GetFrameworks).await?.get_frameworks;
        let known = known.context("the master's answer holds no frameworks")?.frameworks.into_iter();
        let name = |info: mesos::FrameworkInfo| (info.id.unwrap_or_default().value, info.name);
        Ok(known.map(|framework| name(framework.framework_info)).collect())
    }

    /// All tasks.
    pub(crate) async fn tasks(&mut self) -> anyhow::Result<mesos::master::response::GetTasks> {
        self.ask(Type::GetTasks).await?.get_tasks.context("the master's answer holds no tasks")
    }

    /// Outstanding offers.
    pub(crate) async fn offers(&mut self) -> anyhow::Result<Vec<mesos::Offer>> {
        let request = lonja_proto::lonja::ListOffersRequest {};
        let response = self.operator.list_offers(request).await;
        Ok(response.map_err(|status| refused(&self.url, &status))?.into_inner().offers)
    }

    /// Why a framework or role gets what it gets.
    pub(crate) async fn explain(
        &mut self,
        about: lonja_proto::lonja::explain_request::About,
    ) -> anyhow::Result<lonja_proto::lonja::ExplainResponse> {
        let request = lonja_proto::lonja::ExplainRequest { about: Some(about) };
        let response = self.operator.explain(request).await;
        Ok(response.map_err(|status| refused(&self.url, &status))?.into_inner())
    }

    /// Kills a task.
    pub(crate) async fn kill(&mut self, framework: Option<&str>, task: &str) -> anyhow::Result<()> {
        let framework_id = framework.map(|value| mesos::FrameworkId { value: value.to_owned() });
        let task_id = Some(mesos::TaskId { value: task.to_owned() });
        let request = lonja_proto::lonja::KillTaskRequest { framework_id, task_id };
        self.operator.kill_task(request).await.map_err(|status| refused(&self.url, &status))?;
        Ok(())
    }

    /// The task of this id: of `framework`, or the only one alive, or the only one that has ended.
    pub(crate) async fn find_task(
        &mut self,
        task: &str,
        framework: Option<&str>,
    ) -> anyhow::Result<mesos::Task> {
        let tasks = self.tasks().await?;
        let wanted = |known: &mesos::Task| {
            known.task_id.value == task
                && framework.is_none_or(|framework| known.framework_id.value == framework)
        };
        let mut live: Vec<_> =
            tasks.tasks.into_iter().chain(tasks.unreachable_tasks).filter(|t| wanted(t)).collect();
        if live.is_empty() {
            live = tasks.completed_tasks.into_iter().filter(|t| wanted(t)).collect();
        }
        match live.len() {
            0 => bail!("the master knows no task {task}; `lonja tasks --all` lists them"),
            1 => Ok(live.remove(0)),
            _ => {
                let owners: Vec<_> = live.iter().map(|task| task.framework_id.value.as_str()).collect();
                bail!("frameworks {} have a task {task}; name one with --framework", owners.join(", "))
            }
        }
    }

    /// A connection to the agent of this id.
    pub(crate) async fn agent(&mut self, id: &str) -> anyhow::Result<AgentApiClient<Channel>> {
        let agents = self.agents().await?;
        let agents = agents.agents.into_iter().chain(agents.unreachable_agents);
        let found = agents
            .map(|agent| agent.agent_info)
            .find(|info| info.id.as_ref().is_some_and(|known| known.value == id));
        let info = found.ok_or_else(|| anyhow!("the master knows no agent {id}"))?;
        connect_agent(&info.hostname, info.port.unwrap_or(5051)).await
    }
}

/// An agent's id; empty if it has none.
pub(crate) fn agent_id(agent: &Agent) -> &str {
    agent.agent_info.id.as_ref().map_or("", |id| &id.value)
}

fn is_called(agent: &Agent, name: &str) -> bool {
    let info = &agent.agent_info;
    let ends_so = agent_id(agent).strip_suffix(name).is_some_and(|before| before.ends_with('-'));
    let address = format!("{}:{}", info.hostname, info.port.unwrap_or(5051));
    ends_so || info.hostname == name || address == name
}

/// A connection to the agent at this address.
pub(crate) async fn connect_agent(hostname: &str, port: i32) -> anyhow::Result<AgentApiClient<Channel>> {
    let host = if hostname.contains(':') { format!("[{hostname}]") } else { hostname.to_owned() };
    let address = format!("http://{host}:{port}");
    let endpoint = Endpoint::from_shared(address.clone())?.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
    let channel = endpoint.connect().await.with_context(|| format!("cannot reach the agent at {address}"))?;
    Ok(AgentApiClient::new(channel))
}

fn unreachable(url: &str, error: &tonic::transport::Error) -> anyhow::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    anyhow!("no master answers at {url} ({cause}); is it running? name another with --master or LONJA_MASTER")
}

fn refused(url: &str, status: &Status) -> anyhow::Error {
    match status.code() {
        tonic::Code::Unavailable => anyhow!("the master at {url} is gone: {}", status.message()),
        tonic::Code::Unimplemented => {
            anyhow!("the master at {url} does not serve this: {}", status.message())
        }
        _ => anyhow!("{}", status.message()),
    }
}
