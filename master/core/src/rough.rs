//! A picture in the rough: what has to be taken while the core stands still. What tasks, executors and offers come
//! to is summed up afterwards, by whoever wants the picture.

use std::sync::Arc;

use lonja_model::{AgentId, FrameworkId, Resources, Role};

use crate::executors::Executor;
use crate::snapshot::{AgentView, FrameworkView, RoleView, Snapshot};
use crate::tasks::Task;
use crate::volumes;

/// A picture without its sums.
#[derive(Debug)]
pub struct Rough(Snapshot);

impl Rough {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self(snapshot)
    }

    /// The picture, sums and all. O(cluster); needs the core no more.
    pub fn finished(self) -> Snapshot {
        let Self(mut snapshot) = self;
        let mut sums = Sums {
            agents: &mut snapshot.agents,
            frameworks: &mut snapshot.frameworks,
            roles: &mut snapshot.roles,
        };
        for task in snapshot.tasks.iter().filter(|task| !task.state.is_terminal()) {
            sums.task(task);
        }
        for executor in &snapshot.executors {
            sums.executor(executor);
        }
        for offer in &snapshot.offers {
            let quantities = offer.resources.quantities();
            if let Some(agent) = sums.agent(&offer.agent) {
                agent.offered = agent
                    .offered
                    .checked_add(&offer.resources)
                    .expect("two offers on one agent do not overlap");
            }
            if let Some(framework) = sums.framework(&offer.framework) {
                framework.offered.add(&quantities);
            }
            if let Some(role) = sums.role(&offer.role) {
                role.offered.add(&quantities);
            }
        }
        for agent in &mut snapshot.agents {
            agent.free = volumes::each_once(&agent.free);
        }
        snapshot
    }
}

/// What is summed up; each stands in order of its names.
struct Sums<'a> {
    agents: &'a mut [AgentView],
    frameworks: &'a mut [FrameworkView],
    roles: &'a mut [RoleView],
}

impl Sums<'_> {
    fn agent(&mut self, id: &AgentId) -> Option<&mut AgentView> {
        let index = self.agents.binary_search_by(|view| view.id.cmp(id)).ok()?;
        self.agents.get_mut(index)
    }

    fn framework(&mut self, id: &FrameworkId) -> Option<&mut FrameworkView> {
        let index = self.frameworks.binary_search_by(|view| view.id.cmp(id)).ok()?;
        self.frameworks.get_mut(index)
    }

    fn role(&mut self, name: &Role) -> Option<&mut RoleView> {
        let index = self.roles.binary_search_by(|view| view.role.cmp(name)).ok()?;
        self.roles.get_mut(index)
    }

    fn task(&mut self, task: &Arc<Task>) {
        self.hold(task.agent(), &task.framework, &task.role, &task.info.resources);
    }

    fn executor(&mut self, executor: &Arc<Executor>) {
        self.hold(&executor.agent, &executor.framework, &executor.role, &executor.info.resources);
    }

    fn hold(&mut self, agent: &AgentId, framework: &FrameworkId, role: &Role, resources: &Resources) {
        let quantities = resources.quantities();
        if let Some(agent) = self.agent(agent) {
            // An agent may come back with more tasks than resources; its debt then has no place in a sum.
            if let Ok(sum) = agent.allocated.checked_add(resources) {
                agent.allocated = sum;
            }
        }
        if let Some(framework) = self.framework(framework) {
            framework.allocated.add(&quantities);
        }
        if let Some(role) = self.role(role) {
            role.allocated.add(&quantities);
        }
    }
}
