//! Tasks that a custom executor runs, and executors described as tasks are.

use std::time::Duration;

use lonja_model::container::Command;
use lonja_model::executor::ExecutorInfo;
use lonja_model::resources::{Resource, Value};
use lonja_model::{AgentId, ExecutorId, Offer, Resources, TaskId, TaskInfo};

use super::{InvalidTask, Need, Task};
use crate::executor::MAX_DATA_BYTES;
use crate::placement::{Gpus, fit};

/// A task to be placed that a custom executor runs: what it needs, and bytes that tell the executor what to do. It has
/// no program, environment or volumes of its own, so there is no way to name any.
///
/// ```
/// use lonja_model::ExecutorId;
/// use lonja_sdk_core::{ExecutorTask, Task};
/// let executor = Task::argv(["./worker", "--quiet"])?.cpus(0.1)?.mem_mib(64.0)?;
/// let executor = executor.as_executor(ExecutorId::new("worker").expect("a plain name"))?;
/// let task = ExecutorTask::new(executor)?.cpus(0.5)?.mem_mib(16.0)?.data("what to do")?;
/// # Ok::<(), lonja_sdk_core::InvalidTask>(())
/// ```
#[derive(Clone, Debug)]
pub struct ExecutorTask {
    task: Task,
    executor: Box<ExecutorInfo>,
    data: Vec<u8>,
}

impl ExecutorTask {
    /// A task for `executor`, with 0.1 CPUs and 32 MiB unless told otherwise. All tasks of one executor on one agent
    /// have to describe it in the same way. Errors: the executor has no program, and so is the agent's own.
    pub fn new(executor: ExecutorInfo) -> Result<Self, InvalidTask> {
        if executor.command().is_none_or(Command::is_none) {
            return Err(InvalidTask::NoProgram(executor.id));
        }
        let task = Task::with(Command::none().program);
        Ok(Self { task, executor: Box::new(executor), data: Vec::new() })
    }

    /// Bytes for the executor, at most 1 MiB. Errors: there are more.
    pub fn data(mut self, data: impl Into<Vec<u8>>) -> Result<Self, InvalidTask> {
        self.data = data.into();
        let bytes = self.data.len();
        if bytes > MAX_DATA_BYTES { Err(InvalidTask::TooMuchData(bytes)) } else { Ok(self) }
    }

    /// For people; without this, the task's id.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.task = self.task.name(name);
        self
    }

    /// So many CPUs, added to those of the executor while it runs. Errors: negative, not a number, too large.
    pub fn cpus(mut self, cpus: f64) -> Result<Self, InvalidTask> {
        self.task = self.task.cpus(cpus)?;
        Ok(self)
    }

    /// So much memory, in MiB, added to that of the executor. Errors: negative, not a number, too large.
    pub fn mem_mib(mut self, mib: f64) -> Result<Self, InvalidTask> {
        self.task = self.task.mem_mib(mib)?;
        Ok(self)
    }

    /// So much disk, in MiB, added to that of the executor. Errors: negative, not a number, too large.
    pub fn disk_mib(mut self, mib: f64) -> Result<Self, InvalidTask> {
        self.task = self.task.disk_mib(mib)?;
        Ok(self)
    }

    /// So many ports, whichever the offer has; the executor finds them among the task's resources.
    #[must_use]
    pub fn ports(mut self, count: usize) -> Self {
        self.task = self.task.ports(count);
        self
    }

    /// How long a kill waits before what is left is ended by force; told to the executor.
    #[must_use]
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.task = self.task.kill_grace(grace);
        self
    }

    /// A label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.task = self.task.label(key, value);
        self
    }

    /// What it needs, its executor aside.
    pub fn need(&self) -> &Need {
        self.task.need()
    }

    /// Who runs it.
    pub fn executor(&self) -> &ExecutorInfo {
        &self.executor
    }

    /// What of `offer` is left for tasks: an executor that does not run on its agent yet takes its own part with the
    /// first of them. `None` if that does not fit.
    pub fn room(&self, offer: &Offer) -> Option<Resources> {
        if offer.executors.contains(&self.executor.id) {
            Some(offer.resources.clone())
        } else {
            offer.resources.checked_sub(&self.executor.resources)
        }
    }

    /// The task as `id` on `offer`, with what it needs taken from the offer; `None` if it does not fit, or its executor
    /// does not.
    pub fn on(&self, offer: &Offer, id: TaskId) -> Option<TaskInfo> {
        let resources = fit(&self.room(offer)?, self.need())?;
        Some(self.with_resources(&offer.agent, id, resources))
    }

    /// The task as `id` on `agent`, with resources that were chosen already.
    pub fn with_resources(&self, agent: &AgentId, id: TaskId, resources: Resources) -> TaskInfo {
        let task = self.task.with_resources(agent, id, resources);
        TaskInfo { executor: Some(self.executor.clone()), data: self.data.clone(), ..task }
    }
}

impl Task {
    /// An executor that runs this program in these surroundings, as `id`: what it needs is taken from what anyone may
    /// have, its kill grace is how long it may take to end, and files and volumes are there before it starts.
    ///
    /// Errors: it has something that an executor cannot have: ports, GPUs, limits, checks or a terminal.
    pub fn as_executor(&self, id: ExecutorId) -> Result<ExecutorInfo, InvalidTask> {
        let need = self.need;
        let refuse =
            |is_set: bool, what| if is_set { Err(InvalidTask::NotForExecutors(what)) } else { Ok(()) };
        refuse(need.ports > 0, "ports")?;
        refuse(need.gpus != Gpus::None, "GPUs")?;
        let amounts = [("cpus", need.cpus), ("mem", need.mem), ("disk", need.disk)];
        let resource = |(name, amount)| Resource::new(name, Value::Scalar(amount)).ok();
        // Scalars of three names can always be held together.
        let resources = Resources::of(amounts.into_iter().filter_map(resource)).unwrap_or_default();
        self.as_executor_with(id, resources)
    }

    /// The same, with resources that were chosen already, for who takes them from a reservation.
    pub fn as_executor_with(
        &self,
        id: ExecutorId,
        resources: Resources,
    ) -> Result<ExecutorInfo, InvalidTask> {
        let refuse =
            |is_set: bool, what| if is_set { Err(InvalidTask::NotForExecutors(what)) } else { Ok(()) };
        refuse(!self.limits.is_empty(), "limits")?;
        refuse(self.watch.health.is_some() || self.watch.check.is_some(), "checks")?;
        refuse(self.watch.longest.is_some(), "a longest run time")?;
        refuse(self.container.tty.is_some(), "a terminal")?;
        Ok(ExecutorInfo {
            name: self.name.clone(),
            container: self.container.clone(),
            shutdown_grace: self.kill_grace,
            labels: self.labels.clone(),
            ..ExecutorInfo::custom(id, self.command.clone(), resources)
        })
    }
}

#[cfg(test)]
mod tests {
    use lonja_model::container::Program;

    use super::*;
    use crate::tests::fixture::{offer, task_id};

    fn id() -> ExecutorId {
        ExecutorId::new("worker").unwrap()
    }

    fn worker() -> Task {
        Task::argv(["./worker"]).unwrap().cpus(0.5).unwrap().mem_mib(64.0).unwrap()
    }

    fn task() -> ExecutorTask {
        let task = ExecutorTask::new(worker().as_executor(id()).unwrap()).unwrap();
        task.cpus(1.0).unwrap().mem_mib(16.0).unwrap()
    }

    #[test]
    fn a_task_of_an_executor_has_no_command_and_carries_its_data() {
        let task = task().data("n=7").unwrap();
        let info = task.on(&offer("o1", "cpus:4;mem:512"), task_id("t1")).unwrap();
        assert!(info.command.is_none() && info.is_in_custom_executor());
        assert_eq!(
            (info.data.as_slice(), info.resources.to_string()),
            (&b"n=7"[..], "cpus:1;mem:16".to_owned())
        );
        let executor = info.executor.unwrap();
        assert_eq!(
            (executor.id.as_str(), executor.resources.to_string()),
            ("worker", "cpus:0.5;mem:64".to_owned())
        );
    }

    #[test]
    fn an_executor_that_is_not_there_yet_takes_its_part_of_the_offer() {
        let small = offer("o1", "cpus:1;mem:64");
        assert!(task().on(&small, task_id("t1")).is_none());
        let running = Offer { executors: vec![id()], ..small };
        assert!(task().on(&running, task_id("t1")).is_some());
        assert_eq!(task().room(&offer("o2", "cpus:2;mem:128")).unwrap().to_string(), "cpus:1.5;mem:64");
    }

    #[test]
    fn a_task_without_command_and_without_executor_cannot_be() {
        let builtin = ExecutorTask::new(ExecutorInfo::builtin(id())).unwrap_err();
        assert_eq!(builtin, InvalidTask::NoProgram(id()));
        let empty =
            ExecutorInfo::custom(id(), Command::new(Program::Shell(" ".to_owned())), Resources::new());
        assert_eq!(ExecutorTask::new(empty).unwrap_err(), InvalidTask::NoProgram(id()));
        let bytes = MAX_DATA_BYTES + 1;
        assert_eq!(task().data(vec![0; bytes]).unwrap_err(), InvalidTask::TooMuchData(bytes));
    }

    #[test]
    fn what_an_executor_cannot_have_is_refused() {
        let refused = |task: Task| {
            let Err(InvalidTask::NotForExecutors(what)) = task.as_executor(id()) else { panic!("taken") };
            what
        };
        assert_eq!(refused(worker().ports(1)), "ports");
        assert_eq!(refused(worker().gpus(Gpus::Whole(1))), "GPUs");
        assert_eq!(refused(worker().cpu_limit(2.0).unwrap()), "limits");
        assert_eq!(refused(worker().max_run_time(Duration::from_secs(1))), "a longest run time");
        let executor = worker().kill_grace(Duration::from_secs(9)).as_executor(id()).unwrap();
        assert_eq!(executor.shutdown_grace, Some(Duration::from_secs(9)));
    }
}
