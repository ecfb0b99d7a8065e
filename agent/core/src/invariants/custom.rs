//! What always holds of custom executors and their tasks.

use lonja_model::TaskState;

use super::Violation;
use crate::Agent;
use crate::book::{Handed, Place, Task};
use crate::company::{Executor, ExecutorPlace, Share};
use crate::deadlines::Deadline;

/// Does a task that its custom executor has, or is to have, stand as it may? It is remembered as handed over, and one
/// that was never sent has no news.
pub(super) fn fits(task: &Task) -> bool {
    let record = &task.record;
    let is_new = record.state == TaskState::Staging && record.updates.is_empty();
    let is_untouched = task.place == Place::InExecutor(Handed::NotYet);
    record.delivery.handed_over && !record.state.is_terminal() && (!is_untouched || is_new)
}

/// Is it to subscribe within a certain time?
pub(super) fn is_awaited(executor: &Executor) -> bool {
    matches!(executor.place, ExecutorPlace::Running { .. }) && !executor.has_subscribed && executor.is_open()
}

/// Who waits for a subscription does so for a certain time only. Whoever has one has been sent every task that is its own,
/// unless it is to end. Its tasks have its container, which is made for whoever has tasks, and nobody's container is
/// made twice.
pub fn custom_executors_are_served(agent: &Agent) -> Result<(), Violation> {
    let wrong = |what: String| Err(Violation::Custom(what));
    for (key, executor) in agent.book.company.iter() {
        let (name, place) = (format!("executor {} of {}", key.1, key.0), executor.place);
        let record = &executor.record;
        if (place == ExecutorPlace::Open) == record.info.is_custom() && place != ExecutorPlace::Waiting {
            return wrong(format!("{name} is {place:?}"));
        }
        if place == ExecutorPlace::Ended {
            return wrong(format!("{name} has ended, and is still here"));
        }
        if record.info.is_custom() && record.launched != (place != ExecutorPlace::Waiting) {
            return wrong(format!("{name} is {place:?}, remembered as launched: {}", record.launched));
        }
        let waits = agent.deadlines.get(&Deadline::Subscription(key.clone())).is_some();
        if is_awaited(executor) != waits {
            return wrong(format!("{name} is {place:?}, and waited for: {waits}"));
        }
        if !record.info.is_custom() {
            continue;
        }
        let mut share = Share::default();
        for task_key in agent.book.company.tasks_of(key) {
            let Some(task) = agent.book.get(&task_key).filter(|task| !task.has_ended()) else { continue };
            if task.is_holding() {
                share.add(&task.record.info);
            }
            if task.record.container != record.container {
                return wrong(format!("task {} of {name} has another's container", task_key.1));
            }
            let is_sent = task.place != Place::InExecutor(Handed::NotYet);
            if place.connection().is_some() && place.pid().is_some() && executor.is_open() && !is_sent {
                return wrong(format!("task {} was not given to {name}", task_key.1));
            }
        }
        if share != executor.share {
            return wrong(format!(
                "the tasks of {name} hold {}, counted as {}",
                share.resources, executor.share.resources
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lonja_model::ExecutorId;
    use lonja_model::executor::ExecutorInfo;

    use super::*;
    use crate::Event;
    use crate::company::ExecutorKey;
    use crate::fixture::*;

    /// What is said after `corruption` of an executor that has task `a` and is waited for.
    fn corrupted(corruption: impl FnOnce(&mut Stage, &ExecutorKey)) -> String {
        let mut stage = agent("cpus:4");
        let command = task_info("x", "").command;
        let own = ExecutorInfo::custom(ExecutorId::new("own").unwrap(), command, resources("cpus:1"));
        let _ = stage.run_in("f1", own.clone(), &[("a", "cpus:1")], (true, false));
        let container = stage.container("a");
        let _ = stage.handle(Event::ContainerStarted { container, pid: 77 });
        custom_executors_are_served(&stage.agent).unwrap();
        corruption(&mut stage, &(framework_id("f1"), own.id));
        custom_executors_are_served(&stage.agent).unwrap_err().to_string()
    }

    #[test]
    fn an_executor_that_nobody_waits_for_is_noticed() {
        let said = corrupted(|stage, key| stage.agent.deadlines.clear(&Deadline::Subscription(key.clone())));
        assert!(said.contains("waited for: false"), "{said}");
    }

    #[test]
    fn a_task_that_was_not_given_is_noticed() {
        let said = corrupted(|stage, key| {
            stage.agent.deadlines.clear(&Deadline::Subscription(key.clone()));
            let executor = stage.agent.book.company.volatile(key).unwrap();
            executor.has_subscribed = true;
            executor.place = executor.place.over(Some(1));
        });
        assert!(said.contains("was not given"), "{said}");
    }

    #[test]
    fn a_wrong_account_is_noticed() {
        let said = corrupted(|stage, key| {
            stage.agent.book.company.volatile(key).unwrap().share = Share::default();
        });
        assert!(said.contains("counted as"), "{said}");
    }

    #[test]
    fn an_executor_whose_launch_is_not_remembered_is_noticed() {
        let said = corrupted(|stage, key| {
            stage.agent.book.company.volatile(key).unwrap().record.launched = false;
        });
        assert!(said.contains("remembered as launched: false"), "{said}");
    }
}
