//! Tasks that run together in one executor: all of them or none.

use std::collections::BTreeSet;

use lonja_model::executor::ExecutorInfo;
use lonja_model::ids::InvalidId;
use lonja_model::resources::Quantities;
use lonja_model::{ExecutorId, Offer, Resources, TaskId};

use super::{InvalidTask, Need, Request, Task, TaskBuilder};
use crate::MAX_TASKS;
use crate::placement::fit;
use crate::plan::Step;

/// The longest name of a task within its group, in bytes: it is a part of its id.
const MAX_NAME_BYTES: usize = 64;

/// Tasks to be placed together on one agent, each with a name of its own. One that fails or is killed takes the others
/// along; they share a network and the folders of [`TaskBuilder::group_volume`].
///
/// ```
/// use lonja_sdk_core::Plan;
/// use lonja_sdk_core::task::{TaskBuilder, TaskGroup, Units, cpus, mem};
/// # fn offers(offer: &lonja_model::Offer) -> Result<Plan, Box<dyn std::error::Error>> {
/// let group = TaskGroup::builder()
///     .task("web", TaskBuilder::shell("serve").needs(cpus(0.5) + mem(128.mib())).group_volume("logs", "logs"))
///     .task("ship", TaskBuilder::shell("ship logs").needs(cpus(0.1)).group_volume("logs", "logs"))
///     .build()?;
/// let ids = group.ids("shop-1")?;
/// let plan = match group.on(offer, &ids) {
///     Some(step) => Plan::new().accept([offer], [step]),
///     None => Plan::new(),
/// };
/// # Ok(plan)
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TaskGroup {
    tasks: Vec<(String, Task)>,
    executor: Need,
}

/// Describes a [`TaskGroup`].
#[derive(Clone, Debug, Default)]
pub struct TaskGroupBuilder {
    tasks: Vec<(String, TaskBuilder)>,
    executor: Request,
}

/// What a group and its tasks are called where they run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupIds {
    executor: ExecutorId,
    /// In the group's order.
    tasks: Vec<TaskId>,
}

impl TaskGroupBuilder {
    /// Adds a task, called `name` within the group; a whole [`Task`] will do too.
    #[must_use]
    pub fn task(mut self, name: impl Into<String>, task: impl Into<TaskBuilder>) -> Self {
        self.tasks.push((name.into(), task.into()));
        self
    }

    /// What the executor needs beside its tasks; Lonja's own needs nothing, which it has without this.
    #[must_use]
    pub fn executor_needs(mut self, request: impl Into<Request>) -> Self {
        self.executor = request.into();
        self
    }

    /// The group. Errors: it has no task, or too many; a name that cannot be a part of an id, or stands twice; the first
    /// task that cannot be.
    pub fn build(self) -> Result<TaskGroup, InvalidTask> {
        let executor = self.executor.build()?;
        if executor.ports > 0 {
            return Err(InvalidTask::NotForExecutors("ports"));
        }
        match self.tasks.len() {
            0 => return Err(InvalidTask::EmptyGroup),
            many if many > MAX_TASKS => return Err(InvalidTask::LargeGroup(many)),
            _ => {}
        }
        let mut names = BTreeSet::new();
        let mut tasks = Vec::with_capacity(self.tasks.len());
        for (name, task) in self.tasks {
            if TaskId::new(&name).is_err() || name.len() > MAX_NAME_BYTES {
                let why = format!(
                    "is a part of the task's id; give it 1 to {MAX_NAME_BYTES} bytes without slashes and control characters"
                );
                return Err(InvalidTask::part("name", &name, why));
            }
            if !names.insert(name.clone()) {
                return Err(InvalidTask::part("name", &name, "stands twice in the group; choose another"));
            }
            let task = task.build_member();
            tasks.push(match task {
                Ok(task) => (name, task),
                Err(why) => return Err(InvalidTask::Member { name, why: Box::new(why) }),
            });
        }
        Ok(TaskGroup { tasks, executor })
    }
}

impl TaskGroup {
    /// A group without tasks as yet.
    pub fn builder() -> TaskGroupBuilder {
        TaskGroupBuilder::default()
    }

    /// Its tasks with their names, in the order they were added in.
    pub fn tasks(&self) -> impl Iterator<Item = (&str, &Task)> {
        self.tasks.iter().map(|(name, task)| (name.as_str(), task))
    }

    /// What all of it needs on one agent, as [`Scheduler::needs`](crate::Scheduler::needs) tells it; ports are no amount.
    pub fn quantities(&self) -> Quantities {
        let needs = self.tasks.iter().map(|(_, task)| task.need());
        let all = needs.chain([&self.executor]).map(Need::quantities);
        all.fold(Quantities::default(), |mut sum, need| {
            sum.add(&need);
            sum
        })
    }

    /// What it is called as `id`: each of its tasks `ID.NAME`, its executor `ID`. Errors: `id` is none, or with the longest
    /// name too long.
    pub fn ids(&self, id: &str) -> Result<GroupIds, InvalidId> {
        let tasks = self.tasks.iter().map(|(name, _)| TaskId::new(format!("{id}.{name}")));
        Ok(GroupIds { executor: ExecutorId::new(id)?, tasks: tasks.collect::<Result<_, _>>()? })
    }

    /// All of it on `offer`, with what it needs taken from the offer; `None` if it does not fit, or `ids` are those of
    /// a group with more or fewer tasks.
    pub fn on(&self, offer: &Offer, ids: &GroupIds) -> Option<Step> {
        if ids.tasks.len() != self.tasks.len() {
            return None;
        }
        let mut left = offer.resources.clone();
        let running = offer.executors.contains(&ids.executor);
        // One that runs has its part, which the offer need not hold once more. It must be described as it was: by amounts
        // that anyone may have, since which they were is known to the master alone.
        let amounts = || Resources::parse(&self.executor.quantities().to_string()).ok().filter(|_| running);
        let resources =
            fit(&left, &self.executor).or_else(|| amounts().and_then(|all| fit(&all, &self.executor)))?;
        if !running {
            left = left.checked_sub(&resources)?;
        }
        let mut tasks = Vec::with_capacity(self.tasks.len());
        for ((name, task), id) in self.tasks.iter().zip(&ids.tasks) {
            let taken = fit(&left, task.need())?;
            left = left.checked_sub(&taken)?;
            let mut info = task.with_resources(&offer.agent, id.clone(), taken);
            if task.name.is_none() {
                info.name.clone_from(name);
            }
            tasks.push(info);
        }
        let executor = ExecutorInfo { resources, ..ExecutorInfo::builtin(ids.executor.clone()) };
        Some(Step::LaunchGroup { executor: Box::new(executor), tasks })
    }
}

impl GroupIds {
    /// The executor's.
    pub fn executor(&self) -> &ExecutorId {
        &self.executor
    }

    /// The tasks', in the group's order.
    pub fn tasks(&self) -> &[TaskId] {
        &self.tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;
    use crate::task::{Units, cpus, mem, ports};
    use crate::tests::fixture::{offer, subscribed};
    use lonja_model::scheduler::Call;

    fn member(share: f64) -> TaskBuilder {
        TaskBuilder::shell("true").needs(cpus(share) + mem(64.mib())).group_volume("shared", "shared")
    }

    fn pair() -> TaskGroup {
        TaskGroup::builder().task("web", member(1.0)).task("ship", member(0.5)).build().unwrap()
    }

    #[test]
    fn a_group_fits_whole_or_not_at_all_and_is_launched_as_one() {
        let ids = pair().ids("shop-1").unwrap();
        assert!(pair().on(&offer("o1", "cpus:1.4;mem:128"), &ids).is_none());

        let place = offer("o2", "cpus:1.5;mem:128");
        let step = pair().on(&place, &ids).unwrap();
        let Step::LaunchGroup { executor, tasks } = &step else { panic!("{step:?}") };
        assert_eq!(executor.id.as_str(), "shop-1");
        assert_eq!((tasks[0].id.as_str(), tasks[1].id.as_str()), ("shop-1.web", "shop-1.ship"));
        assert_eq!(tasks[0].name, "web");
        assert_eq!(pair().quantities().to_string(), "cpus:1.5;mem:128");

        let mut world = subscribed();
        world.will(Plan::new().accept([&place], [step]));
        assert!(matches!(world.is_offered(&[&place])[..], [Call::Accept { .. }]));
    }

    #[test]
    fn an_executor_takes_its_part_once() {
        let group = TaskGroup::builder().task("web", member(1.0)).executor_needs(cpus(0.5)).build().unwrap();
        let ids = group.ids("shop-1").unwrap();
        let small = offer("o1", "cpus:1;mem:64");
        assert!(group.on(&small, &ids).is_none());
        let running = Offer { executors: vec![ids.executor().clone()], ..small };
        assert!(group.on(&running, &ids).is_some());
        let large = TaskGroup::builder().task("web", member(1.0)).executor_needs(cpus(2)).build().unwrap();
        let Some(Step::LaunchGroup { executor, .. }) = large.on(&running, &ids) else {
            panic!("it must fit again")
        };
        assert_eq!(executor.resources.to_string(), "cpus:2", "the master wants it described as it was");
    }

    #[test]
    fn what_cannot_be_a_group_is_refused_by_its_name() {
        let group = TaskGroup::builder;
        let cases = [
            (group(), "a group needs at least one task"),
            (group().task("a/b", member(1.0)), "name \"a/b\" is a part of the task's id"),
            (group().task("", member(1.0)), "name \"\" is a part of the task's id"),
            (group().task("a", member(1.0)).task("a", member(1.0)), "name \"a\" stands twice"),
            (group().task("a", member(-1.0)), "task \"a\" of the group: cpus: -1 is negative"),
            (group().task("a", member(1.0)).executor_needs(ports(1)), "an executor cannot have ports"),
        ];
        for (builder, said) in cases {
            let refused = builder.build().expect_err(said).to_string();
            assert!(refused.starts_with(said), "{refused:?} is not {said:?}");
        }
        assert!(pair().ids("a/b").is_err() && pair().ids(&"x".repeat(254)).is_err());
    }
}
