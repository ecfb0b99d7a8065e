//! `lonja agents`, `lonja drain`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use lonja_proto::convert::operator::grace_to_wire;
use lonja_proto::mesos;
use lonja_proto::mesos::DrainState;
use lonja_proto::mesos::master::Call;
use lonja_proto::mesos::master::call::{self, Type};
use lonja_proto::mesos::master::response::get_agents::Agent;
use serde_json::{Map, Value, json};

use super::list::{attribute_text, object, ranges, sum};
use crate::args::{Agents, AgentsCommand, Drain};
use crate::client::{Client, agent_id};
use crate::output::{Listing, Row, amount, note};

/// How long a drain waits for the master.
const MASTER_WAIT: Duration = Duration::from_secs(10);

/// How often it is looked whether an agent is empty.
const LOOK: Duration = Duration::from_millis(200);

/// Lists agents, or changes whether one is offered.
pub(crate) async fn run(agents: &Agents) -> anyhow::Result<ExitCode> {
    let family = &agents.family;
    let (kind, name) = match &agents.command {
        None | Some(AgentsCommand::List) => {
            let listed = all(&mut Client::connect(&family.master).await?).await?;
            print(listed, family.output, family.quiet);
            return Ok(ExitCode::SUCCESS);
        }
        Some(AgentsCommand::Deactivate { agent }) => (Type::DeactivateAgent, agent),
        Some(AgentsCommand::Reactivate { agent }) => (Type::ReactivateAgent, agent),
        Some(AgentsCommand::Gone { agent }) => (Type::MarkAgentGone, agent),
    };
    let mut client = Client::connect_within(&family.master, family.wait).await?;
    let agent = client.find_agent(name).await?;
    act(&mut client, kind, agent_id(&agent)).await?;
    print(vec![one(&mut client, agent_id(&agent)).await?], family.output, family.quiet);
    Ok(ExitCode::SUCCESS)
}

/// Empties an agent, or takes that back.
pub(crate) async fn drain(drain: &Drain) -> anyhow::Result<ExitCode> {
    let list = &drain.list;
    let mut client = Client::connect_within(&list.master.master, MASTER_WAIT).await?;
    let agent = client.find_agent(&drain.agent).await?;
    let id = agent_id(&agent);
    if drain.undo {
        act(&mut client, Type::ReactivateAgent, id).await?;
    } else {
        let drain_agent = Some(call::DrainAgent {
            agent_id: mesos::AgentId { value: id.to_owned() },
            max_grace_period: drain.grace.map(grace_to_wire),
            mark_gone: Some(drain.mark_gone),
        });
        client.call(Type::DrainAgent, Call { drain_agent, ..Call::default() }).await?;
    }
    if drain.wait {
        until_drained(&mut client, id).await?;
    }
    print(vec![one(&mut client, id).await?], list.output, list.quiet);
    Ok(ExitCode::SUCCESS)
}

/// Waits until the agent is empty, or declared gone as it was asked. Errors: it is taken back meanwhile.
async fn until_drained(client: &mut Client, id: &str) -> anyhow::Result<()> {
    let mut said = false;
    loop {
        let (agent, _) = one(client, id).await?;
        match agent.drain_info.as_ref().map(mesos::DrainInfo::state) {
            _ if agent.gone() => return Ok(()),
            Some(DrainState::Drained) => return Ok(()),
            Some(_) => {}
            None => bail!("agent {id} is drained no longer: somebody has reactivated it"),
        }
        if !said {
            note(&format!("waiting for the tasks on agent {id} to end ..."));
            said = true;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn act(client: &mut Client, kind: Type, id: &str) -> anyhow::Result<()> {
    let agent_id = mesos::AgentId { value: id.to_owned() };
    let call = match kind {
        Type::DeactivateAgent => {
            Call { deactivate_agent: Some(call::DeactivateAgent { agent_id }), ..Call::default() }
        }
        Type::ReactivateAgent => {
            Call { reactivate_agent: Some(call::ReactivateAgent { agent_id }), ..Call::default() }
        }
        _ => Call { mark_agent_gone: Some(call::MarkAgentGone { agent_id }), ..Call::default() },
    };
    client.call(kind, call).await?;
    Ok(())
}

/// One agent and where it stands.
type Standing = (Agent, &'static str);

/// All agents, unreachable ones last.
async fn all(client: &mut Client) -> anyhow::Result<Vec<Standing>> {
    let agents = client.agents().await?;
    let here = agents.agents.into_iter().map(|agent| {
        let state = if agent.connected() { "connected" } else { "disconnected" };
        (agent, state)
    });
    let recovered = agents
        .recovered_agents
        .into_iter()
        .map(|agent_info| (Agent { agent_info, ..Default::default() }, "recovered"));
    let away = agents.unreachable_agents.into_iter().map(|agent| {
        let state = if agent.gone() { "gone" } else { "unreachable" };
        (agent, state)
    });
    Ok(here.chain(recovered).chain(away).collect())
}

async fn one(client: &mut Client, id: &str) -> anyhow::Result<Standing> {
    let found = all(client).await?.into_iter().find(|(agent, _)| agent_id(agent) == id);
    found.ok_or_else(|| anyhow::anyhow!("the master knows no agent {id} any more"))
}

fn print(agents: Vec<Standing>, output: crate::args::Format, quiet: bool) {
    let rows = agents.iter().map(|(agent, state)| row(agent, state)).collect();
    let columns =
        vec!["id", "host", "state", "duty", "cpus", "mem", "disk", "attributes", "ports", "version"];
    Listing { what: "agents", columns, wide_from: 8, rows }.print(output, quiet);
}

/// Whether it takes on work.
fn duty(agent: &Agent) -> &'static str {
    match agent.drain_info.as_ref().map(mesos::DrainInfo::state) {
        Some(DrainState::Draining) => "draining",
        Some(DrainState::Drained) => "drained",
        Some(DrainState::Unknown) | None if agent.deactivated() => "deactivated",
        Some(DrainState::Unknown) | None => "active",
    }
}

fn row(agent: &Agent, state: &str) -> Row {
    let info = &agent.agent_info;
    let id = agent_id(agent).to_owned();
    let host = format!("{}:{}", info.hostname, info.port.unwrap_or(5051));
    let total = if agent.total_resources.is_empty() { &info.resources } else { &agent.total_resources };
    let used = |name: &str| {
        format!("{}/{}", amount(sum(&agent.allocated_resources, name)), amount(sum(total, name)))
    };
    let attributes =
        info.attributes.iter().map(|attribute| format!("{}:{}", attribute.name, attribute_text(attribute)));
    let attributes = attributes.collect::<Vec<_>>().join(";");
    let object = json!({
        "id": id,
        "hostname": info.hostname,
        "port": info.port,
        "state": state,
        "duty": duty(agent),
        "drain": drain_object(agent),
        "resources": object(total),
        "allocated": object(&agent.allocated_resources),
        "offered": object(&agent.offered_resources),
        "attributes": info.attributes.iter().map(|a| (a.name.clone(), json!(attribute_text(a)))).collect::<Map<_, _>>(),
        "version": agent.version,
    });
    let version = if agent.version.is_empty() { "-".to_owned() } else { agent.version.clone() };
    let cells = vec![
        id.clone(),
        host,
        state.to_owned(),
        duty(agent).to_owned(),
        used("cpus"),
        used("mem"),
        used("disk"),
        attributes,
        ranges(total),
        version,
    ];
    Row { id, cells, object }
}

/// How it is drained; null if it is not.
fn drain_object(agent: &Agent) -> Value {
    let Some(drain) = &agent.drain_info else { return Value::Null };
    let grace = drain.config.max_grace_period.as_ref();
    json!({
        "max_grace_seconds": grace.map(|grace| grace.nanoseconds as f64 / 1e9),
        "mark_gone": drain.config.mark_gone(),
        "started": agent.estimated_drain_start_time.as_ref().map(|time| time.nanoseconds as f64 / 1e9),
    })
}
