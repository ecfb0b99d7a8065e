//! Executors: what runs tasks on an agent in the name of a framework.
//!
//! A task without one is run by the agent itself. A group of tasks shares the built-in executor that it names: a
//! place to stand together rather than a process. A custom executor is a program of the framework's own, started once
//! for each id on an agent, which is handed tasks and says what becomes of them.
//!
//! Source: Mesos v1 `ExecutorInfo`, `TaskGroupInfo`.

use std::time::Duration;

use crate::container::{Command, ContainerInfo};
use crate::ids::{ExecutorId, FrameworkId};
use crate::labels::Labels;
use crate::resources::Resources;

/// An executor as its framework describes it. Each launch that names one already running on the agent must describe
/// it in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorInfo {
    /// Unique within the framework on one agent.
    pub id: ExecutorId,
    /// Whose, if it is said: then the framework that launches.
    pub framework: Option<FrameworkId>,
    /// What it is.
    pub program: ExecutorProgram,
    /// For people.
    pub name: Option<String>,
    /// What it needs beside its tasks, for as long as it is there. May be nothing.
    pub resources: Resources,
    /// Its surroundings; those of a built-in one are shared by the tasks of its groups.
    pub container: ContainerInfo,
    /// How long it may take to end when it is asked to; `None`: the agent's default.
    pub shutdown_grace: Option<Duration>,
    /// Carried, never read.
    pub labels: Labels,
    /// For the executor; Lonja does not look inside.
    pub data: Vec<u8>,
}

/// What an executor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutorProgram {
    /// The agent itself; it takes groups of tasks.
    Builtin,
    /// A program of the framework's own.
    Custom(Command),
}

impl ExecutorInfo {
    /// The built-in executor under the name `id`, which needs nothing for itself.
    pub fn builtin(id: ExecutorId) -> Self {
        Self::new(id, ExecutorProgram::Builtin)
    }

    /// An executor of the framework's own under the name `id`, which runs `command` and needs `resources`.
    pub fn custom(id: ExecutorId, command: Command, resources: Resources) -> Self {
        Self { resources, ..Self::new(id, ExecutorProgram::Custom(command)) }
    }

    fn new(id: ExecutorId, program: ExecutorProgram) -> Self {
        Self {
            id,
            framework: None,
            program,
            name: None,
            resources: Resources::new(),
            container: ContainerInfo::default(),
            shutdown_grace: None,
            labels: Labels::default(),
            data: Vec::new(),
        }
    }

    /// Is it a program of the framework's own?
    pub fn is_custom(&self) -> bool {
        matches!(self.program, ExecutorProgram::Custom(_))
    }

    /// From now on its secrets have no bytes.
    pub fn forget_secrets(&mut self) {
        if let ExecutorProgram::Custom(command) = &mut self.program {
            command.forget_secrets();
        }
        self.container.forget_secrets();
    }

    /// The program, if it is the framework's own.
    pub fn command(&self) -> Option<&Command> {
        match &self.program {
            ExecutorProgram::Builtin => None,
            ExecutorProgram::Custom(command) => Some(command),
        }
    }
}
