//! What always holds of an [`Agent`] between two events.
//!
//! Each promise is a function of its own; [`check`] asks all of them. The property tests and the simulator
//! call them after each event; the tests below see that each notices when its promise is broken.

mod company;
mod custom;

use std::collections::BTreeSet;

use lonja_model::check::CheckKind;
use lonja_model::checkpoint::Checkpoint;
use lonja_model::operation::OperationState;
use lonja_model::weight::Weigh;
use lonja_model::{FrameworkId, Resources, TaskState};

pub use company::company_holds_together;
pub use custom::custom_executors_are_served;

use crate::book::{Place, Task};
use crate::checks;
use crate::company::Executor;
use crate::deadlines::Deadline;
use crate::ledger::{Sum, once};
use crate::total::{doubled_volume, rebase};
use crate::{Agent, Phase};

/// A promise that was broken: a mistake in this crate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// See [`resources_add_up`].
    #[error("resources do not add up: {0}")]
    Resources(String),
    /// See [`weight_adds_up`].
    #[error("the weight of the records is not kept: {0}")]
    Weight(String),
    /// See [`states_fit_containers`].
    #[error("state and container do not fit together: {0}")]
    States(String),
    /// See [`updates_go_one_at_a_time`].
    #[error("updates are out of order: {0}")]
    Updates(String),
    /// See [`names_are_unique`].
    #[error("names are not unique: {0}")]
    Names(String),
    /// See [`deadlines_are_meant`].
    #[error("a deadline is missing or stands for nothing: {0}")]
    Deadlines(String),
    /// See [`company_holds_together`].
    #[error("tasks and executors do not hold together: {0}")]
    Company(String),
    /// See [`custom_executors_are_served`].
    #[error("a custom executor is not served as it should be: {0}")]
    Custom(String),
    /// See [`tasks_are_looked_at`].
    #[error("a task is not looked at as it should be: {0}")]
    Checks(String),
    /// See [`total_has_its_ground`].
    #[error("reservations or volumes are not what was configured and made: {0}")]
    Total(String),
    /// See [`operations_are_told`].
    #[error("operations are not told of as they should be: {0}")]
    Operations(String),
    /// See [`checkpoint_is_complete`].
    #[error("the checkpoint is not what the agent knows: {0}")]
    Checkpoint(String),
}

/// Everything but [`checkpoint_is_complete`]. O(tasks log tasks). Errors: the first [`Violation`].
pub fn check(agent: &Agent) -> Result<(), Violation> {
    if agent.phase != Phase::Working {
        return Ok(());
    }
    resources_add_up(agent)?;
    states_fit_containers(agent)?;
    updates_go_one_at_a_time(agent)?;
    names_are_unique(agent)?;
    deadlines_are_meant(agent)?;
    company_holds_together(agent)?;
    custom_executors_are_served(agent)?;
    tasks_are_looked_at(agent)?;
    total_has_its_ground(agent)?;
    operations_are_told(agent)?;
    weight_adds_up(agent)
}

/// The book's weight is that of its records, and of what was last said of each task.
pub fn weight_adds_up(agent: &Agent) -> Result<(), Violation> {
    let tasks: usize = agent
        .book
        .iter()
        .map(|(_, task)| task.record.weight() + task.latest.as_deref().map_or(0, Weigh::weight))
        .sum();
    let executors: usize = agent.book.company.iter().map(|(_, executor)| executor.record.weight()).sum();
    let frameworks: usize = agent.book.frameworks().values().map(Weigh::weight).sum();
    let (weight, counted) = (tasks + executors + frameworks, agent.book.weight());
    if weight == counted {
        return Ok(());
    }
    Err(Violation::Weight(format!("records of {weight} bytes are counted as {counted}")))
}

/// The sums are the sums over the tasks, and no more than the agent has (INV-2), unless it came back with
/// less than its tasks need.
pub fn resources_add_up(agent: &Agent) -> Result<(), Violation> {
    let ledger = agent.book.ledger();
    for sum in [Sum::Promised, Sum::Held] {
        let counts = |task: &Task| match sum {
            Sum::Promised => task.is_promised(),
            Sum::Held => task.is_holding(),
        };
        let mut total = Resources::new();
        for (key, task) in agent.book.iter().filter(|(_, task)| counts(task)) {
            total = total
                .checked_add(&task.record.info.resources)
                .map_err(|error| Violation::Resources(format!("task {} of {}: {error}", key.1, key.0)))?;
        }
        let counts = |executor: &Executor| match sum {
            Sum::Promised => executor.is_promised(),
            Sum::Held => executor.is_holding(),
        };
        for (key, executor) in agent.book.company.iter().filter(|(_, executor)| counts(executor)) {
            let more = total.checked_add(&executor.record.info.resources);
            total = more
                .map_err(|error| Violation::Resources(format!("executor {} of {}: {error}", key.1, key.0)))?;
        }
        if total != *ledger.sum(sum) {
            let counted = ledger.sum(sum);
            return Err(Violation::Resources(format!("{sum:?} is {total}, counted as {counted}")));
        }
    }
    if !ledger.is_sound() {
        let (promised, held) = (ledger.sum(Sum::Promised), ledger.sum(Sum::Held));
        let total = ledger.total();
        return Err(Violation::Resources(format!("promised {promised}, held {held}, of {total}")));
    }
    Ok(())
}

/// The total is what the settings say with conversions made; each volume stands once; and no task uses what is
/// not in it or reserved for others, unless the agent came back with less than its tasks need (INV-8).
pub fn total_has_its_ground(agent: &Agent) -> Result<(), Violation> {
    let wrong = |what: String| Err(Violation::Total(what));
    let (total, configured) = (agent.total(), &agent.config.info.resources);
    if rebase(configured, total).as_ref() != Ok(total) {
        return wrong(format!("it is {total}, configured is {configured}"));
    }
    if let Some((role, id)) = doubled_volume(total) {
        return wrong(format!("volume {id} of role {role} stands twice"));
    }
    if !total.contains(&once(agent.book.ledger().sum(Sum::Held))) {
        return Ok(());
    }
    for (key, task) in agent.book.iter().filter(|(_, task)| task.is_promised() || task.is_holding()) {
        let (role, needs) = (&task.record.role, &task.record.info.resources);
        if needs.usable_by(role) != *needs {
            return wrong(format!("task {} of {} runs for {role} on {needs}", key.1, key.0));
        }
    }
    Ok(())
}

/// Each outcome is final and has an id to be acknowledged by; one telling of it is under way whenever the agent is
/// registered, and none else. Orders wait only for folders that are being made, and only over a link.
pub fn operations_are_told(agent: &Agent) -> Result<(), Violation> {
    let wrong = |what: String| Err(Violation::Operations(what));
    for record in agent.operations.records() {
        let (uuid, status) = (record.operation.uuid, &record.status);
        if !matches!(status.state, OperationState::Finished | OperationState::Failed)
            || status.update.is_none()
        {
            return wrong(format!("{uuid} is {:?}", status.state));
        }
        if agent.deadlines.get(&Deadline::ResendOperation(uuid)).is_some() != agent.is_registered() {
            return wrong(format!("{uuid} is not told of, or is without a link"));
        }
    }
    match agent.operations.making() {
        None if agent.operations.orders.len() > 0 => wrong("orders wait for nothing".to_owned()),
        Some(making) if !agent.is_registered() => wrong(format!("{} is made for nobody", making.uuid)),
        Some(making) if agent.operations.has(making.uuid) => wrong(format!("{} is done twice", making.uuid)),
        Some(_) | None => Ok(()),
    }
}

/// A task has ended exactly when its container has; ended tasks are kept for their updates only, and
/// orphans not at all; an orphan is being killed.
pub fn states_fit_containers(agent: &Agent) -> Result<(), Violation> {
    for (key, task) in agent.book.iter() {
        let record = &task.record;
        let fits = match task.place {
            Place::Waiting(_) => record.state == TaskState::Staging,
            Place::Launching => matches!(record.state, TaskState::Starting | TaskState::Killing),
            Place::Running { .. } => matches!(record.state, TaskState::Running | TaskState::Killing),
            Place::InExecutor(_) => custom::fits(task),
            Place::Ended => record.state.is_terminal() && !record.orphaned && !record.updates.is_empty(),
        };
        let killed = !record.orphaned || (record.killing.is_some() && record.updates.is_empty());
        let killing = record.state != TaskState::Killing || record.killing.is_some() || task.is_custom();
        if !(fits && killed && killing) {
            let (state, place) = (record.state, task.place);
            return Err(Violation::States(format!("task {} of {} is {state} and {place:?}", key.1, key.0)));
        }
    }
    Ok(())
}

/// Each queue is in order, ends with the task's state, has ids, and is short; its oldest update is under
/// way whenever the agent is registered, and no other is (INV-19).
pub fn updates_go_one_at_a_time(agent: &Agent) -> Result<(), Violation> {
    let registered = agent.is_registered();
    for (key, task) in agent.book.iter() {
        let updates = &task.record.updates;
        let wrong = |what: &str| Err(Violation::Updates(format!("task {} of {}: {what}", key.1, key.0)));
        let ids: BTreeSet<_> = updates.iter().filter_map(|status| status.update).collect();
        if ids.len() != updates.len() {
            return wrong("an update has no id of its own");
        }
        let most = if task.is_custom() { crate::custom::MOST_UPDATES + 1 } else { 4 };
        if updates.windows(2).any(|pair| !pair[0].state.may_become(pair[1].state)) || updates.len() > most {
            return wrong("the queue holds what cannot follow");
        }
        if updates.last().is_some_and(|status| status.state != task.record.state) {
            return wrong("the last update is not the task's state");
        }
        let under_way = agent.deadlines.get(&Deadline::Resend(key.clone())).is_some();
        if under_way != (registered && !updates.is_empty()) {
            return wrong("the oldest update is not under way, or is without a link");
        }
    }
    Ok(())
}

/// A container's name belongs to one task or executor, and is found by it; frameworks are known as long as they have
/// tasks.
pub fn names_are_unique(agent: &Agent) -> Result<(), Violation> {
    let mut containers = BTreeSet::new();
    let mut frameworks: BTreeSet<&FrameworkId> = BTreeSet::new();
    for (key, task) in agent.book.iter() {
        frameworks.insert(&key.0);
        if task.is_custom() {
            continue;
        }
        let container = &task.record.container;
        let found = agent.book.in_container(container).map(|(found, _)| found);
        if !containers.insert(container) || found.as_ref() != Some(key) {
            return Err(Violation::Names(format!("container {container} of task {} of {}", key.1, key.0)));
        }
    }
    let tasks = containers.len();
    for (key, executor) in agent.book.company.iter() {
        let container = &executor.record.container;
        if !containers.insert(container) || agent.book.company.in_container(container) != Some(key) {
            return Err(Violation::Names(format!(
                "container {container} of executor {} of {}",
                key.1, key.0
            )));
        }
        frameworks.insert(&key.0);
    }
    if agent.book.container_count() != tasks {
        return Err(Violation::Names("a container belongs to no task".to_owned()));
    }
    match agent.book.frameworks().keys().find(|known| !frameworks.contains(known)) {
        Some(framework) => Err(Violation::Names(format!("framework {framework} has no tasks"))),
        None => Ok(()),
    }
}

/// Each deadline stands for something that waits, and all that waits has one.
pub fn deadlines_are_meant(agent: &Agent) -> Result<(), Violation> {
    let wrong = |what: String| Err(Violation::Deadlines(what));
    for (thing, _) in agent.deadlines.iter() {
        let is_meant = match thing {
            Deadline::Register => agent.registration.is_asking(),
            Deadline::Silence => agent.registration.is_registered(),
            Deadline::Resend(key) => agent.book.get(key).is_some_and(|task| !task.record.updates.is_empty()),
            Deadline::ResendOperation(uuid) => agent.operations.has(*uuid),
            Deadline::Completion(key) => agent.book.get(key).is_some_and(may_run_out_of_time),
            Deadline::Check(key, kind) => agent
                .book
                .get(key)
                .is_some_and(|task| checks::is_watched(task) && checks::wanted(task, *kind).is_some()),
            Deadline::Subscription(key) => agent.book.company.get(key).is_some_and(custom::is_awaited),
            Deadline::Shutdown(key) => {
                let executor = agent.book.company.get(key);
                executor.is_some_and(|executor| executor.record.shutting_down.is_some())
            }
        };
        if !is_meant {
            return wrong(format!("{thing:?}"));
        }
    }
    if agent.registration.is_asking() && agent.deadlines.get(&Deadline::Register).is_none() {
        return wrong("registration will not be tried again".to_owned());
    }
    for (key, _) in agent.book.iter().filter(|(_, task)| may_run_out_of_time(task)) {
        if agent.deadlines.get(&Deadline::Completion(key.clone())).is_none() {
            return wrong(format!("task {} of {} may run for ever", key.1, key.0));
        }
    }
    Ok(())
}

/// Each running task is looked at as it asks, one look at a time, and no other is.
pub fn tasks_are_looked_at(agent: &Agent) -> Result<(), Violation> {
    for (key, task) in agent.book.iter() {
        for kind in [CheckKind::Health, CheckKind::General] {
            let waits = agent.deadlines.get(&Deadline::Check(key.clone(), kind)).is_some();
            let looks = task.looks.under_way(kind).is_some();
            let wanted = checks::is_watched(task) && checks::wanted(task, kind).is_some();
            if (waits && looks) || (waits || looks) != wanted {
                let what = format!("{kind} of task {} of {}", key.1, key.0);
                return Err(Violation::Checks(what));
            }
        }
        let watched = &task.record.watched;
        if watched.given_up && (task.record.killing.is_none() || watched.healthy != Some(false)) {
            return Err(Violation::Checks(format!("task {} of {} is given up and lives on", key.1, key.0)));
        }
    }
    Ok(())
}

fn may_run_out_of_time(task: &Task) -> bool {
    let is_limited = task.record.info.max_completion_time.is_some();
    is_limited && !task.out_of_time && matches!(task.place, Place::Running { .. })
}

/// `checkpoint`, to which every change so far was applied, holds what the agent knows: so a restart loses
/// nothing (INV-20).
pub fn checkpoint_is_complete(agent: &Agent, checkpoint: &Checkpoint) -> Result<(), Violation> {
    if agent.phase != Phase::Working {
        return Ok(());
    }
    let wrong = |what: String| Err(Violation::Checkpoint(what));
    if agent.identity != checkpoint.identity {
        return wrong("identity".to_owned());
    }
    if *agent.book.frameworks() != checkpoint.frameworks {
        return wrong("frameworks".to_owned());
    }
    if agent.total() != checkpoint.total.as_ref().unwrap_or(&agent.config.info.resources) {
        return wrong("total".to_owned());
    }
    if !agent.operations.records().eq(checkpoint.operations.values()) {
        return wrong("operations".to_owned());
    }
    for (key, task) in agent.book.iter() {
        if checkpoint.tasks.get(key) != Some(&task.record) {
            return wrong(format!("task {} of {}", key.1, key.0));
        }
    }
    for (key, executor) in agent.book.company.iter() {
        if checkpoint.executors.get(key) != Some(&executor.record) {
            return wrong(format!("executor {} of {}", key.1, key.0));
        }
    }
    if checkpoint.executors.len() != agent.book.company.len() {
        return wrong("it holds an executor that has ended".to_owned());
    }
    if checkpoint.tasks.len() != agent.book.len() {
        return wrong("it holds a task that was forgotten".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lonja_model::Timestamp;
    use lonja_model::task::{Source, TaskStatus};

    use super::*;
    use crate::book::Key;
    use crate::fixture::*;

    /// A running task with two updates waiting, on a registered agent.
    fn sound() -> (Stage, Key) {
        let mut stage = agent("cpus:4");
        let mut task = task_info("t1", "cpus:2");
        task.max_completion_time = Some(secs(60));
        let _ = stage.run_task("f1", task);
        let _ = stage.started("t1");
        assert_eq!(check(&stage.agent), Ok(()));
        (stage, (framework_id("f1"), task_id("t1")))
    }

    /// What `check` says after `corruption` of the only task.
    fn corrupted(corruption: impl FnOnce(&mut Task)) -> Violation {
        let (mut stage, key) = sound();
        corruption(stage.agent.book.volatile(&key).unwrap());
        check(&stage.agent).unwrap_err()
    }

    #[test]
    fn a_sum_that_is_off_is_noticed() {
        let shrunk =
            corrupted(|task| std::sync::Arc::make_mut(&mut task.record.info).resources = resources("cpus:1"));
        assert!(matches!(shrunk, Violation::Resources(_)), "{shrunk}");
        let lost = corrupted(|task| task.place = Place::Ended);
        assert!(matches!(lost, Violation::Resources(_)), "{lost}");
        let ended = corrupted(|task| task.record.state = TaskState::Finished);
        assert!(matches!(ended, Violation::Resources(_)), "{ended}");
    }

    #[test]
    fn a_promise_above_the_total_is_noticed() {
        let (mut stage, _) = sound();
        let record = stage.checkpoint.tasks.values().next().unwrap().clone();
        let container = lonja_model::ContainerId::new("second").unwrap();
        let mut record = lonja_model::checkpoint::TaskRecord { container, ..record };
        std::sync::Arc::make_mut(&mut record.info).resources = resources("cpus:3");
        let key = (framework_id("f1"), task_id("t2"));
        stage.agent.book.insert(key, record, Place::Launching).unwrap();
        assert!(matches!(check(&stage.agent), Err(Violation::Resources(_))));
    }

    #[test]
    fn a_state_that_does_not_fit_its_container_is_noticed() {
        for state in [TaskState::Staging, TaskState::Starting, TaskState::Killing] {
            let violation = corrupted(|task| task.record.state = state);
            assert!(matches!(violation, Violation::States(_)), "{violation}");
        }
        let (mut stage, key) = sound();
        stage.agent.book.change(&key, |task| task.record.orphaned = true);
        assert!(matches!(check(&stage.agent), Err(Violation::States(_))), "an orphan nobody kills");
        let (mut stage, key) = sound();
        stage.agent.book.change(&key, |task| {
            task.place = Place::Ended;
            task.record.state = TaskState::Finished;
            task.record.updates.clear();
        });
        assert!(matches!(check(&stage.agent), Err(Violation::States(_))), "an end nobody waits for");
    }

    #[test]
    fn updates_out_of_order_are_noticed() {
        let doubled = corrupted(|task| task.record.updates[1].update = task.record.updates[0].update);
        assert!(matches!(doubled, Violation::Updates(_)), "{doubled}");
        let swapped = corrupted(|task| task.record.updates.swap(0, 1));
        assert!(matches!(swapped, Violation::Updates(_)), "{swapped}");
        let missing = corrupted(|task| task.record.updates.truncate(1));
        assert!(matches!(missing, Violation::Updates(_)), "{missing}");
        let too_many = corrupted(|task| {
            let state = task.record.state;
            let status = TaskStatus::new(task.record.info.id.clone(), state, Source::Agent, Timestamp::ZERO);
            task.record.updates = (0..5u8)
                .map(|n| TaskStatus { update: Some(lonja_model::UpdateId([n; 16])), ..status.clone() })
                .collect();
        });
        assert!(matches!(too_many, Violation::Updates(_)), "{too_many}");
    }

    #[test]
    fn an_update_that_is_not_under_way_is_noticed() {
        let (mut stage, key) = sound();
        stage.agent.deadlines.clear(&Deadline::Resend(key));
        assert!(matches!(check(&stage.agent), Err(Violation::Updates(_))));
    }

    #[test]
    fn a_container_name_used_twice_is_noticed() {
        let (mut stage, _) = sound();
        let record = stage.checkpoint.tasks.values().next().unwrap().clone();
        let key = (framework_id("f2"), task_id("t1"));
        let mut record = lonja_model::checkpoint::TaskRecord { updates: Vec::new(), ..record };
        std::sync::Arc::make_mut(&mut record.info).max_completion_time = None;
        stage.agent.book.insert(key.clone(), record, Place::Launching).unwrap();
        stage.agent.book.volatile(&key).unwrap().record.state = TaskState::Starting;
        assert!(matches!(check(&stage.agent), Err(Violation::Names(_))));
    }

    #[test]
    fn deadlines_for_nothing_and_missing_ones_are_noticed() {
        let (mut stage, key) = sound();
        stage.agent.deadlines.clear(&Deadline::Completion(key));
        assert!(matches!(check(&stage.agent), Err(Violation::Deadlines(_))));
        for stray in [Deadline::Register, Deadline::Completion((framework_id("f9"), task_id("t9")))] {
            let (mut stage, _) = sound();
            stage.agent.deadlines.set(stray, stage.now + Duration::from_secs(1));
            assert!(matches!(check(&stage.agent), Err(Violation::Deadlines(_))));
        }
        let mut stage = newborn("cpus:1");
        let _ = stage.link_up();
        stage.agent.deadlines.clear(&Deadline::Register);
        assert!(matches!(check(&stage.agent), Err(Violation::Deadlines(_))));
    }

    /// A registered agent with a volume in use and an outcome that waits for its acknowledgement.
    fn with_volume() -> Stage {
        let mut stage = agent("cpus:4;disk:100").with_volume("disk:20", false);
        let _ = stage.run_for("eng", "t1", volume("disk:20", "eng", "v1", false));
        let _ = stage.apply(7, reserve("cpus:1", "eng"));
        assert_eq!(check(&stage.agent), Ok(()));
        stage
    }

    #[test]
    fn a_total_that_was_not_made_of_what_is_configured_is_noticed() {
        let more = with_volume().agent.total().checked_add(&reserved("cpus:1", "eng")).unwrap();
        let twice = with_volume().agent.total().checked_add(&volume("disk:30", "eng", "v1", true)).unwrap();
        for forged in [more, twice] {
            let mut stage = with_volume();
            stage.agent.book.replace_total(forged);
            assert!(matches!(check(&stage.agent), Err(Violation::Total(_))));
        }
    }

    #[test]
    fn a_volume_that_stands_twice_is_noticed() {
        let mut stage = agent("disk:100");
        let total = resources("disk:70").checked_add(&volume("disk:20", "eng", "v1", false)).unwrap();
        let total = total.checked_add(&volume("disk:10", "eng", "v1", true)).unwrap();
        stage.agent.book.replace_total(total);
        let Err(Violation::Total(what)) = check(&stage.agent) else { panic!() };
        assert_eq!(what, "volume v1 of role eng stands twice");
    }

    #[test]
    fn a_volume_taken_from_under_its_task_is_noticed() {
        let mut stage = with_volume();
        let without = stage.agent.total().checked_sub(&volume("disk:20", "eng", "v1", false)).unwrap();
        stage.agent.book.replace_total(without.checked_add(&reserved("disk:20", "eng")).unwrap());
        assert!(matches!(check(&stage.agent), Err(Violation::Resources(_))));
    }

    #[test]
    fn a_task_on_another_roles_reservation_is_noticed() {
        let mut stage = with_volume();
        let key = (framework_id("f1"), task_id("t1"));
        stage.agent.book.volatile(&key).unwrap().record.role = lonja_model::role::Role::new("ops").unwrap();
        assert!(matches!(check(&stage.agent), Err(Violation::Total(_))));
    }

    #[test]
    fn an_outcome_that_nobody_hears_of_is_noticed() {
        let uuid = lonja_model::OperationUuid([7; 16]);
        let mut stage = with_volume();
        stage.agent.deadlines.clear(&Deadline::ResendOperation(uuid));
        assert!(matches!(check(&stage.agent), Err(Violation::Operations(_))));
        let mut stage = with_volume();
        stage.agent.operations.forge(uuid, |record| record.status.update = None);
        assert!(matches!(check(&stage.agent), Err(Violation::Operations(_))));
        let mut stage = with_volume();
        stage.agent.operations.forge(uuid, |record| record.status.state = OperationState::Pending);
        assert!(matches!(check(&stage.agent), Err(Violation::Operations(_))));
        let mut stage = with_volume();
        let stray = Deadline::ResendOperation(lonja_model::OperationUuid([8; 16]));
        stage.agent.deadlines.set(stray, stage.now + secs(1));
        assert!(matches!(check(&stage.agent), Err(Violation::Deadlines(_))));
    }

    #[test]
    fn orders_that_wait_for_nothing_are_noticed() {
        let mut stage = with_volume();
        let _ = stage.apply(1, reserve("disk:20", "eng"));
        let _ = stage.apply(2, create("disk:10", "eng", "v2", false));
        let _ = stage.run_for("eng", "t2", resources("cpus:1"));
        assert_eq!(check(&stage.agent), Ok(()));
        stage.agent.operations.forget_making();
        assert!(matches!(check(&stage.agent), Err(Violation::Operations(_))));
    }

    #[test]
    fn a_checkpoint_without_reservations_or_outcomes_is_noticed() {
        let stage = with_volume();
        let complete = |checkpoint: &Checkpoint| checkpoint_is_complete(&stage.agent, checkpoint);
        assert_eq!(complete(&stage.checkpoint), Ok(()));
        let totalless = Checkpoint { total: None, ..stage.checkpoint.clone() };
        assert!(complete(&totalless).is_err());
        let mut silent = stage.checkpoint.clone();
        silent.operations.clear();
        assert!(complete(&silent).is_err());
    }

    #[test]
    fn a_checkpoint_that_lacks_or_keeps_something_is_noticed() {
        let (stage, key) = sound();
        let complete = |checkpoint: &Checkpoint| checkpoint_is_complete(&stage.agent, checkpoint);
        assert_eq!(complete(&stage.checkpoint), Ok(()));
        let mut lacking = stage.checkpoint.clone();
        lacking.tasks.clear();
        assert!(complete(&lacking).is_err());
        let mut keeping = stage.checkpoint.clone();
        let record = keeping.tasks[&key].clone();
        keeping.tasks.insert((key.0.clone(), task_id("old")), record);
        assert!(complete(&keeping).is_err());
        let mut nameless = stage.checkpoint.clone();
        nameless.identity = None;
        assert!(complete(&nameless).is_err());
        let mut homeless = stage.checkpoint.clone();
        homeless.frameworks.clear();
        assert!(complete(&homeless).is_err());
    }
}
