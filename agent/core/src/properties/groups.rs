//! Groups, and the master's account of the executors that it has set something aside for.

use std::collections::BTreeSet;
use std::ops::Range;

use lonja_model::executor::ExecutorInfo;
use lonja_model::framework::Capability;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::role::Role;
use lonja_model::{ExecutorId, FrameworkId, TaskInfo};

use super::Mishap;
use super::folders::needs;
use super::world::{World, framework_name, key};
use crate::Agent;
use crate::company::ExecutorKey;
use crate::fixture::*;

/// What the master has set something aside for.
#[derive(Debug, Default)]
pub(super) struct Charged(BTreeSet<ExecutorKey>);

impl Charged {
    /// The agent says something.
    pub(super) fn hear(&mut self, message: &FromAgent) {
        match message {
            FromAgent::Reregister { executors, .. } => {
                let told = executors.iter();
                self.0 = told.map(|known| (known.framework.clone(), known.info.id.clone())).collect();
            }
            FromAgent::ExecutorEnded { framework, executor, .. } => {
                self.0.remove(&(framework.clone(), executor.clone()));
            }
            FromAgent::Register { .. }
            | FromAgent::Pong { .. }
            | FromAgent::Update { .. }
            | FromAgent::OperationUpdate { .. }
            | FromAgent::Message { .. } => {}
        }
    }

    /// Sets something aside for an executor; whether that is new.
    pub(super) fn charge(&mut self, key: ExecutorKey) -> bool {
        self.0.insert(key)
    }

    pub(super) fn shut_down(&mut self, framework: &FrameworkId) {
        self.0.retain(|(whose, _)| whose != framework);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the agent promises to executors, the master has set aside.
    pub(super) fn check(&self, agent: &Agent) {
        if !agent.is_registered() {
            return;
        }
        for (key, executor) in agent.book.company.iter() {
            assert!(!executor.is_promised() || self.0.contains(key), "{key:?} is promised what is free");
        }
    }
}

impl World {
    pub(super) fn run_group(
        &mut self,
        framework: u8,
        executor: u8,
        tasks: Range<u8>,
        which: u8,
        mishap: Mishap,
    ) {
        let keys: Vec<_> = tasks.map(|task| key(framework, 8 + task)).collect();
        if self.is_shut_down(framework) || !self.is_registered() || keys.iter().any(|key| self.is_over(key)) {
            return;
        }
        let id = ExecutorId::new(format!("e{executor}")).unwrap();
        let info = ExecutorInfo { resources: resources("cpus:0.5"), ..ExecutorInfo::builtin(id.clone()) };
        let whose = framework_id(&framework_name(framework));
        let task = |(index, key): (usize, &crate::book::Key)| TaskInfo {
            resources: needs(which.wrapping_add(u8::try_from(index).unwrap())),
            executor: Some(Box::new(info.clone())),
            ..task_info(key.1.as_str(), "")
        };
        let capabilities: &[_] = if framework == 0 { &[Capability::TaskKillingState] } else { &[] };
        let starts_executor = self.charged.0.insert((whose.clone(), id));
        let message = ToAgent::RunInExecutor {
            framework: whose,
            info: Box::new(framework_info(capabilities)),
            role: Role::new("eng").unwrap(),
            tasks: keys.iter().enumerate().map(task).collect(),
            starts_executor,
            as_group: true,
        };
        self.receive(message, mishap);
    }
}
