//! All that runs on the agent, at one moment, for whoever wants to see it whole.
//!
//! Taken by the loop that owns the core, in one go, so that its parts agree. What is large it shares with the core. What a
//! task says to its framework is left out.

use std::path::PathBuf;
use std::sync::Arc;

use lonja_agent_core::{Agent, CompletedExecutor, CompletedTask, Stage};
use lonja_model::executor::ExecutorInfo;
use lonja_model::framework::FrameworkInfo;
use lonja_model::operation::OperationRecord;
use lonja_model::role::Role;
use lonja_model::{
    AgentId, AgentInfo, ContainerId, FrameworkId, Resources, TaskId, TaskInfo, TaskState, TaskStatus,
    Timestamp,
};

use crate::containers::Containers;
use crate::groups;

/// The agent with everything on it.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) id: Option<AgentId>,
    pub(crate) info: AgentInfo,
    /// When this life of the agent began.
    pub(crate) started: Timestamp,
    /// All it has, with the reservations and volumes made since.
    pub(crate) total: Resources,
    /// What of it is promised to tasks and executors.
    pub(crate) promised: Resources,
    pub(crate) registered: bool,
    pub(crate) instance: String,
    pub(crate) operations: Vec<OperationRecord>,
    /// By id.
    pub(crate) frameworks: Vec<(FrameworkId, FrameworkInfo)>,
    /// By framework, then executor. Of tasks that have none there is none.
    pub(crate) executors: Vec<ExecutorPicture>,
    /// By framework, then task.
    pub(crate) tasks: Vec<TaskPicture>,
    /// Those of which there is nothing else here, by id.
    pub(crate) completed_frameworks: Vec<(FrameworkId, FrameworkInfo)>,
    /// As far as they are remembered, oldest first.
    pub(crate) completed_executors: Vec<ExecutorPicture>,
    /// As far as they are remembered, oldest first.
    pub(crate) completed_tasks: Vec<TaskPicture>,
}

/// One executor.
#[derive(Clone, Debug)]
pub(crate) struct ExecutorPicture {
    pub(crate) framework: FrameworkId,
    pub(crate) info: Arc<ExecutorInfo>,
    pub(crate) role: Role,
    pub(crate) container: ContainerId,
    /// Its files.
    pub(crate) sandbox: PathBuf,
}

/// One task.
#[derive(Clone, Debug)]
pub(crate) struct TaskPicture {
    pub(crate) framework: FrameworkId,
    pub(crate) info: Arc<TaskInfo>,
    pub(crate) role: Role,
    pub(crate) state: TaskState,
    pub(crate) stage: Stage,
    /// Its own, or that of its executor.
    pub(crate) container: ContainerId,
    /// That of its executor, built in or not; its own if it has none.
    pub(crate) home: ContainerId,
    pub(crate) pid: Option<u32>,
    /// What was last said of it.
    pub(crate) latest: Option<Arc<TaskStatus>>,
    /// Its files.
    pub(crate) sandbox: PathBuf,
}

impl Picture {
    /// O(tasks), whatever they hold.
    pub(crate) fn of(agent: &Agent, containers: &Containers, started: Timestamp) -> Self {
        let executors = agent.executors().map(|executor| ExecutorPicture {
            framework: executor.framework().clone(),
            info: executor.info().clone(),
            role: executor.role().clone(),
            container: executor.container().clone(),
            sandbox: containers.path(
                executor.framework(),
                &groups::as_task(&executor.info().id),
                executor.container(),
            ),
        });
        let tasks = agent.tasks().map(|task| TaskPicture {
            framework: task.framework().clone(),
            info: task.info().clone(),
            role: task.role().clone(),
            state: task.state(),
            stage: task.stage(),
            container: task.container().clone(),
            home: task.home().clone(),
            pid: task.pid(),
            latest: task.latest().cloned(),
            sandbox: containers.path(task.framework(), &place_of(task.info()), task.container()),
        });
        Self {
            id: agent.id().cloned(),
            info: agent.info().clone(),
            started,
            total: agent.total().clone(),
            promised: agent.promised(),
            registered: agent.is_registered(),
            instance: containers.instance().to_owned(),
            operations: agent.operations().cloned().collect(),
            frameworks: agent.frameworks().map(|(id, info)| (id.clone(), info.clone())).collect(),
            executors: executors.collect(),
            tasks: tasks.collect(),
            completed_frameworks: agent
                .completed_frameworks()
                .map(|(id, info)| (id.clone(), info.clone()))
                .collect(),
            completed_executors: completed_executors(agent, containers),
            completed_tasks: completed_tasks(agent, containers),
        }
    }

    /// Its id, or nothing while it has none.
    pub(crate) fn id_text(&self) -> &str {
        self.id.as_ref().map_or("", AgentId::as_str)
    }
}

fn completed_executors(agent: &Agent, containers: &Containers) -> Vec<ExecutorPicture> {
    let one = |executor: &CompletedExecutor| ExecutorPicture {
        framework: executor.framework.clone(),
        info: executor.info.clone(),
        role: executor.role.clone(),
        container: executor.container.clone(),
        sandbox: containers.path(
            &executor.framework,
            &groups::as_task(&executor.info.id),
            &executor.container,
        ),
    };
    agent.completed_executors().map(one).collect()
}

fn completed_tasks(agent: &Agent, containers: &Containers) -> Vec<TaskPicture> {
    let one = |task: &CompletedTask| TaskPicture {
        framework: task.framework.clone(),
        info: task.info.clone(),
        role: task.role.clone(),
        state: task.state,
        stage: Stage::Ended,
        container: task.container.clone(),
        home: task.home.clone(),
        pid: None,
        latest: task.latest.clone(),
        sandbox: containers.path(&task.framework, &place_of(&task.info), &task.container),
    };
    agent.completed_tasks().map(one).collect()
}

/// Under whose name a task's files lie.
pub(crate) fn place_of(task: &TaskInfo) -> TaskId {
    match task.executor_id().filter(|_| task.is_in_custom_executor()) {
        Some(executor) => groups::as_task(executor),
        None => task.id.clone(),
    }
}
