//! Orders that wait for their turn.
//!
//! The master relies on the order of what it sends: a task that follows a CREATE is to find its volume. Making a
//! folder takes time, on a disk that may not answer for long; until it is done later launches and operations wait
//! here. All else goes on: kills, acknowledgements, pings.
//!
//! Invariants
//! - Orders wait only while folders are being made.
//! - Tasks that wait count towards the most task records; so do operations towards the most outcomes.
//! - Nothing waits over a change of the link: what was never taken on is not in the next registration, and must
//!   not come to life after it.

use std::collections::{BTreeSet, VecDeque};

use lonja_model::framework::FrameworkInfo;
use lonja_model::operation::AgentOperation;
use lonja_model::role::Role;
use lonja_model::task::Reason;
use lonja_model::{FrameworkId, OperationUuid, TaskInfo, TaskState};

use crate::book::Key;
use crate::company::ExecutorKey;
use crate::effects::Note;
use crate::executors;
use crate::launches;
use crate::operations;
use crate::turn::Turn;

/// Tasks to start.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) framework: FrameworkId,
    pub(crate) info: Box<FrameworkInfo>,
    pub(crate) role: Role,
    pub(crate) tasks: Vec<TaskInfo>,
    pub(crate) manner: Manner,
}

/// How tasks are to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// By the agent, each for itself.
    Alone,
    /// In the executor that all of them name.
    InExecutor {
        /// It is not there yet, and what it needs is set aside.
        starts_executor: bool,
        /// All or none.
        as_group: bool,
    },
}

impl Run {
    /// Are its tasks started all or none?
    pub(crate) fn is_group(&self) -> bool {
        matches!(self.manner, Manner::InExecutor { as_group: true, .. })
    }

    /// The executor that starts with it, if one does.
    pub(crate) fn starts(&self) -> Option<ExecutorKey> {
        match self.manner {
            Manner::InExecutor { starts_executor: true, .. } => self.executor(),
            Manner::InExecutor { .. } | Manner::Alone => None,
        }
    }

    /// The executor of its tasks, if they have one.
    pub(crate) fn executor(&self) -> Option<ExecutorKey> {
        let executor = self.tasks.first()?.executor_id()?;
        Some((self.framework.clone(), executor.clone()))
    }
}

/// One order that waits.
#[derive(Debug)]
enum Order {
    Run(Run),
    Apply(Box<AgentOperation>),
}

/// Orders that wait for their turn, first come first served.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    waiting: VecDeque<Order>,
    /// The tasks among them.
    tasks: BTreeSet<Key>,
    /// The operations among them.
    operations: BTreeSet<OperationUuid>,
}

impl Orders {
    /// How many orders wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    fn push_run(&mut self, run: Run) {
        self.tasks.extend(run.tasks.iter().map(|task| (run.framework.clone(), task.id.clone())));
        self.waiting.push_back(Order::Run(run));
    }

    fn push_operation(&mut self, operation: Box<AgentOperation>) {
        self.operations.insert(operation.uuid);
        self.waiting.push_back(Order::Apply(operation));
    }

    fn pop(&mut self) -> Option<Order> {
        let order = self.waiting.pop_front()?;
        match &order {
            Order::Run(Run { framework, tasks, .. }) => {
                for task in tasks {
                    self.tasks.remove(&(framework.clone(), task.id.clone()));
                }
            }
            Order::Apply(operation) => {
                self.operations.remove(&operation.uuid);
            }
        }
        Some(order)
    }

    /// Takes out the tasks of `framework` that `is_meant` is true of, and with one of a group the whole group. What was
    /// taken out, and the executors that will not start for want of tasks.
    fn remove_tasks(
        &mut self,
        framework: &FrameworkId,
        is_meant: impl Fn(&TaskInfo) -> bool,
    ) -> (Vec<Key>, Vec<ExecutorKey>) {
        let (mut removed, mut executors) = (Vec::new(), Vec::new());
        for order in &mut self.waiting {
            let Order::Run(run) = order else { continue };
            if run.framework != *framework || !run.tasks.iter().any(&is_meant) {
                continue;
            }
            let (starts, whole) = (run.starts(), run.is_group());
            let (out, kept) =
                std::mem::take(&mut run.tasks).into_iter().partition(|task| whole || is_meant(task));
            run.tasks = kept;
            let out: Vec<TaskInfo> = out;
            removed.extend(out.into_iter().map(|task| (framework.clone(), task.id)));
            if run.tasks.is_empty() {
                executors.extend(starts);
            }
        }
        self.waiting.retain(|order| !matches!(order, Order::Run(run) if run.tasks.is_empty()));
        self.tasks = self.waiting.iter().flat_map(Order::keys).collect();
        (removed, executors)
    }
}

impl Order {
    fn keys(&self) -> Vec<Key> {
        match self {
            Self::Run(Run { framework, tasks, .. }) => {
                tasks.iter().map(|task| (framework.clone(), task.id.clone())).collect()
            }
            Self::Apply(_) => Vec::new(),
        }
    }
}

/// The master gives tasks to this agent.
pub(crate) fn run(turn: &mut Turn<'_>, mut run: Run) {
    if turn.operations.making().is_none() {
        launches::run(turn, run);
        return;
    }
    let starts = run.starts();
    let is_known = |turn: &Turn<'_>, key: &Key| {
        turn.book.get(key).is_some() || turn.operations.orders.tasks.contains(key)
    };
    let keys: Vec<Key> = run.tasks.iter().map(|task| (run.framework.clone(), task.id.clone())).collect();
    let most = turn.config.max_tasks;
    let room = most.saturating_sub(turn.book.len() + turn.operations.orders.tasks.len());
    let new: Vec<Key> = keys.iter().filter(|key| !is_known(turn, key)).cloned().collect();
    let is_whole = new.len() == keys.len() && new.len() <= room;
    let taken: BTreeSet<Key> =
        if run.is_group() && !is_whole { BTreeSet::new() } else { new.iter().take(room).cloned().collect() };
    for key in keys.into_iter().filter(|key| !taken.contains(key)) {
        if is_known(turn, &key) {
            turn.note(Note::DuplicateTask { framework: key.0, task: key.1 });
        } else {
            let reason = format!("this agent holds {most} task records already, the most it may");
            launches::turn_away(turn, key, TaskState::Dropped, Reason::ResourcesUnknown, reason);
        }
    }
    run.tasks.retain(|task| taken.contains(&(run.framework.clone(), task.id.clone())));
    if run.tasks.is_empty() {
        executors::not_started(turn, starts);
    } else {
        turn.operations.orders.push_run(run);
    }
}

/// The master asks for an operation.
pub(crate) fn apply(turn: &mut Turn<'_>, operation: Box<AgentOperation>) {
    let Some(making) = turn.operations.making() else {
        operations::apply(turn, *operation);
        return;
    };
    let uuid = operation.uuid;
    if making.uuid == uuid || turn.operations.orders.operations.contains(&uuid) {
        // It comes again, and will be answered when its turn has come.
        return;
    }
    let most = turn.config.max_operations;
    if turn.operations.orders.operations.len() >= most {
        let reason = format!("{most} operations wait on this agent already, the most that may");
        operations::turn_away(turn, *operation, reason);
        return;
    }
    turn.operations.orders.push_operation(operation);
}

/// Ends a task that waits here. Whether there was one.
pub(crate) fn kill(turn: &mut Turn<'_>, key: &Key) -> bool {
    if !turn.operations.orders.tasks.contains(key) {
        return false;
    }
    let (removed, executors) = turn.operations.orders.remove_tasks(&key.0, |task| task.id == key.1);
    for task in removed {
        let reason = "killed before it was started".to_owned();
        launches::turn_away(turn, task, TaskState::Killed, Reason::TaskKilledDuringLaunch, reason);
    }
    executors::not_started(turn, executors);
    true
}

/// The framework is no more: its tasks that wait here are forgotten without a word.
pub(crate) fn shutdown_framework(turn: &mut Turn<'_>, framework: &FrameworkId) {
    let _nobody_asks = turn.operations.orders.remove_tasks(framework, |_| true);
}

/// Carries out what waits, up to the next operation that has folders made.
pub(crate) fn proceed(turn: &mut Turn<'_>) {
    while turn.operations.making().is_none() {
        match turn.operations.orders.pop() {
            Some(Order::Run(run)) => launches::run(turn, run),
            Some(Order::Apply(operation)) => operations::apply(turn, *operation),
            None => return,
        }
    }
}

/// The link is gone: nothing of what waits will be done.
pub(crate) fn drop_all(turn: &mut Turn<'_>) {
    let orders = std::mem::take(&mut turn.operations.orders).len();
    if orders > 0 {
        turn.note(Note::OrdersDropped { orders });
    }
}

#[cfg(test)]
mod tests {
    use lonja_model::Resources;
    use lonja_model::link::ToAgent;
    use lonja_model::operation::OperationState;

    use super::*;
    use crate::fixture::*;
    use crate::{Config, Event};

    /// An agent that makes the folder of volume `v1`, for operation 2.
    fn making() -> Stage {
        let mut stage = agent("cpus:4;disk:100");
        let _ = stage.apply(1, reserve("disk:50", "eng"));
        let _ = stage.apply(2, create("disk:20", "eng", "v1", false));
        stage
    }

    fn needs_volume() -> Resources {
        volume("disk:20", "eng", "v1", false).checked_add(&resources("cpus:1")).unwrap()
    }

    #[test]
    fn a_task_that_follows_a_create_waits_for_its_volume() {
        let mut stage = making();
        let effects = stage.run_for("eng", "t1", needs_volume());
        assert!(effects.launch.is_empty() && effects.send.is_empty() && effects.persist.is_empty());
        let effects = stage.made(1);
        assert_eq!(effects.launch.len(), 1);
        assert_eq!(states(&effects), [TaskState::Starting]);
    }

    #[test]
    fn a_task_whose_volume_could_not_be_made_is_dropped_with_the_reason() {
        let mut stage = making();
        let _ = stage.run_for("eng", "t1", needs_volume());
        let _ = stage.run_for("eng", "t2", resources("cpus:1"));
        let result = Err("No space left on device".to_owned());
        let effects = stage.handle(Event::VolumesMade { number: 1, result });
        let [dropped, starting] = &updates(&effects)[..] else { panic!("{effects:?}") };
        assert_eq!((dropped.state, starting.state), (TaskState::Dropped, TaskState::Starting));
        let said = dropped.message.as_deref().unwrap();
        assert!(
            said.starts_with("it needs disk(DYNAMIC,eng)[v1]:20, which this agent does not have"),
            "{said}"
        );
    }

    #[test]
    fn a_task_of_another_role_does_not_get_what_is_reserved() {
        let mut stage = agent("cpus:4");
        let _ = stage.apply(1, reserve("cpus:2", "eng"));
        let status = only_update(&stage.run_for("ops", "t1", reserved("cpus:1", "eng")));
        assert_eq!(status.state, TaskState::Dropped);
        let said = "it runs for role ops, which cpus(DYNAMIC,eng):1 is not reserved for";
        assert_eq!(status.message.as_deref(), Some(said));
        let effects = stage.run_for("eng/web", "t2", reserved("cpus:1", "eng"));
        assert_eq!(states(&effects), [TaskState::Starting], "a role below may");
    }

    #[test]
    fn operations_are_done_in_the_order_they_came() {
        let mut stage = making();
        let effects = stage.apply(3, create("disk:10", "eng", "v2", false));
        assert!(effects.volumes.is_empty());
        assert!(outcomes(&stage.apply(4, reserve("cpus:1", "eng"))).is_empty());
        let effects = stage.made(1);
        assert_eq!(effects.volumes.len(), 1, "the next folder");
        assert_eq!(outcomes(&effects).len(), 1);
        let effects = stage.made(2);
        let done: Vec<_> = outcomes(&effects).iter().map(|(n, status)| (*n, status.state)).collect();
        assert_eq!(done, [(3, OperationState::Finished), (4, OperationState::Finished)]);
    }

    #[test]
    fn a_task_that_waits_for_a_folder_can_be_killed_and_leaves_nothing() {
        let mut stage = making();
        let _ = stage.run_for("eng", "t1", needs_volume());
        let _ = stage.run_for("eng", "t2", resources("cpus:1"));
        let status = only_update(&stage.kill("f1", "t1", None));
        assert_eq!((status.state, status.update), (TaskState::Killed, None));
        assert!(matches!(stage.kill("f1", "t1", None).notes[..], [Note::KillOfUnknownTask { .. }]));
        assert_eq!(stage.made(1).launch.len(), 1, "the other one");
    }

    #[test]
    fn a_framework_that_is_no_more_starts_nothing_that_waits() {
        let mut stage = making();
        let _ = stage.run_for("eng", "t1", needs_volume());
        let _ = stage.shutdown_framework("f1");
        assert!(stage.made(1).launch.is_empty());
    }

    #[test]
    fn kills_and_acknowledgements_do_not_wait_for_a_slow_disk() {
        let mut stage = agent("cpus:4;disk:100");
        let starting = only_update(&stage.run("f1", "old", "cpus:1"));
        let _ = stage.started("old");
        let _ = stage.apply(1, reserve("disk:50", "eng"));
        let _ = stage.apply(2, create("disk:20", "eng", "v1", false));
        assert_eq!(states(&stage.acknowledge("f1", &starting)), [TaskState::Running]);
        assert_eq!(stage.kill("f1", "old", None).kill.len(), 1);
    }

    #[test]
    fn orders_of_a_link_that_is_gone_are_not_carried_out() {
        let mut stage = making();
        let _ = stage.run_for("eng", "t1", needs_volume());
        let effects = stage.link_down();
        assert!(effects.notes.contains(&Note::OrdersDropped { orders: 1 }));
        let effects = stage.made(1);
        assert!(effects.launch.is_empty() && effects.persist.is_empty());
        assert_eq!(stage.agent.tasks().count(), 0);
    }

    #[test]
    fn a_task_that_comes_twice_while_it_waits_is_launched_once() {
        let mut stage = making();
        let _ = stage.run_for("eng", "t1", needs_volume());
        assert!(matches!(stage.run_for("eng", "t1", needs_volume()).notes[..], [Note::DuplicateTask { .. }]));
        assert_eq!(stage.made(1).launch.len(), 1);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut stage = newborn("cpus:4;disk:100");
        stage.config = Config { max_tasks: 1, max_operations: 2, ..stage.config };
        let _ = stage.restart(&[]);
        let _ = stage.back_online();
        let _ = stage.apply(1, reserve("disk:50", "eng"));
        let _ = stage.receive(ToAgent::AcknowledgeOperation { operation: OperationUuid([1; 16]) });
        let _ = stage.apply(2, create("disk:20", "eng", "v1", false));
        let _ = stage.run_for("eng", "t1", resources("cpus:1"));
        assert_eq!(states(&stage.run_for("eng", "t2", resources("cpus:1"))), [TaskState::Dropped]);
        for number in [3, 4] {
            assert!(outcomes(&stage.apply(number, reserve("cpus:1", "eng"))).is_empty());
        }
        let status = only_outcome(&stage.apply(5, reserve("cpus:1", "eng")));
        assert_eq!(status.state, OperationState::Dropped);
    }
}
