//! An agent that runs nothing: it registers, says of every task that it runs, and, if wanted, that it has ended.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use lonja_proto::lonja::{self, AgentMessage, MasterMessage, agent_message, master_message};
use lonja_proto::mesos::agent_info::capability::Type as Capability;
use lonja_proto::mesos::task_status::Source;
use lonja_proto::mesos::{self, TaskState, value};

use super::http2::GrpcStream;

/// What each agent has.
const RESOURCES: [(&str, f64); 3] = [("cpus", 32.0), ("mem", 131_072.0), ("disk", 1_048_576.0)];

/// What an agent of this version can do.
const CAPABILITIES: [Capability; 7] = [
    Capability::MultiRole,
    Capability::HierarchicalRole,
    Capability::ReservationRefinement,
    Capability::ResizeVolume,
    Capability::AgentOperationFeedback,
    Capability::AgentDraining,
    Capability::TaskResourceLimits,
];

/// What all agents have seen together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Agents that are admitted.
    pub(super) registered: usize,
    /// Tasks they were given.
    pub(super) launched: u64,
    /// Tasks whose RUNNING is acknowledged.
    pub(super) running: u64,
    /// Tasks whose FINISHED is acknowledged.
    pub(super) finished: u64,
}

/// One agent, on a connection of its own.
pub(super) struct Agent {
    pub(super) link: GrpcStream,
    id: mesos::AgentId,
    updates: u64,
}

impl Agent {
    /// Connects, and asks to be admitted.
    pub(super) fn connect(master: SocketAddr, number: usize) -> anyhow::Result<Self> {
        let mut link = GrpcStream::open(master, "/lonja.v1.AgentLink/Connect")?;
        let info = mesos::AgentInfo {
            hostname: format!("agent-{number}.bench"),
            port: Some(5051),
            resources: RESOURCES.iter().map(|(name, amount)| scalar(name, *amount)).collect(),
            ..Default::default()
        };
        let register = lonja::Register {
            info: Some(info),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: CAPABILITIES
                .iter()
                .map(|kind| mesos::agent_info::Capability { r#type: Some((*kind).into()) })
                .collect(),
        };
        link.send(&AgentMessage { message: Some(agent_message::Message::Register(register)) });
        link.flush()?;
        Ok(Self { link, id: mesos::AgentId::default(), updates: 0 })
    }

    /// Does what the master says; `finish`: tasks end as soon as their RUNNING is acknowledged.
    pub(super) fn handle(
        &mut self,
        scratch: &mut [u8],
        finish: bool,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        self.link.fill(scratch).context("an agent's link")?;
        while let Some(MasterMessage { message: Some(message) }) = self.link.next()? {
            self.obey(message, finish, tally)?;
        }
        self.link.flush()
    }

    fn obey(
        &mut self,
        message: master_message::Message,
        finish: bool,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        use master_message::Message;
        match message {
            Message::Registered(registered) => {
                self.id = registered.agent_id.context("an agent was admitted without an id")?;
                tally.registered += 1;
                // The master offers an agent once it has said a word after it was admitted.
                self.pong(0);
            }
            Message::Refused(refused) => bail!("the master refuses an agent: {}", refused.reason),
            Message::Run(run) => {
                let framework = run.framework.and_then(|framework| framework.id);
                for task in run.tasks {
                    tally.launched += 1;
                    self.tell(framework.clone(), task.task_id, TaskState::TaskRunning);
                }
            }
            Message::Acknowledge(acknowledged) => {
                // The first byte of the update's id is its state.
                let ended = acknowledged.uuid.first().map(|state| i32::from(*state))
                    != Some(TaskState::TaskRunning.into());
                if ended {
                    tally.finished += 1;
                } else {
                    tally.running += 1;
                    if finish {
                        let task = acknowledged.task_id.unwrap_or_default();
                        self.tell(acknowledged.framework_id, task, TaskState::TaskFinished);
                    }
                }
            }
            Message::Ping(ping) => self.pong(ping.sequence),
            // Nothing of this is asked of it in earnest: its tasks are no processes.
            Message::Kill(_)
            | Message::ResendUpdates(_)
            | Message::ShutdownFramework(_)
            | Message::ExecutorMessage(_)
            | Message::Apply(_)
            | Message::AcknowledgeOperation(_)
            | Message::RunInExecutor(_)
            | Message::ShutdownExecutor(_) => {}
        }
        Ok(())
    }

    fn pong(&mut self, sequence: u64) {
        let pong = lonja::Pong { sequence };
        self.link.send(&AgentMessage { message: Some(agent_message::Message::Pong(pong)) });
    }

    fn tell(&mut self, framework: Option<mesos::FrameworkId>, task: mesos::TaskId, state: TaskState) {
        self.updates += 1;
        // 16 bytes that no two updates of one task share.
        let mut uuid = vec![u8::try_from(i32::from(state)).unwrap_or_default(); 8];
        uuid.extend(self.updates.to_be_bytes());
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let status = mesos::TaskStatus {
            task_id: task,
            state: state.into(),
            source: Some(Source::Executor.into()),
            agent_id: Some(self.id.clone()),
            timestamp: Some(since.as_secs_f64()),
            uuid: Some(uuid),
            ..Default::default()
        };
        let update = lonja::TaskUpdate {
            framework_id: framework,
            status: Some(status),
            latest_state: Some(state.into()),
        };
        self.link.send(&AgentMessage { message: Some(agent_message::Message::Update(update)) });
    }
}

/// So much of something.
pub(super) fn scalar(name: &str, value: f64) -> mesos::Resource {
    mesos::Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value }),
        ..Default::default()
    }
}
