//! What always holds of executors, their tasks, and groups.

use lonja_model::TaskState;

use super::Violation;
use crate::Agent;
use crate::book::{Place, Task};

/// A task that has not ended has its executor, and the built-in one has a task. A group is begun as a whole, and once one
/// of a built-in one's has ended otherwise than finished, no other is left running in peace.
pub fn company_holds_together(agent: &Agent) -> Result<(), Violation> {
    let wrong = |what: String| Err(Violation::Company(what));
    let company = &agent.book.company;
    for (key, task) in agent.book.iter().filter(|(_, task)| !task.has_ended()) {
        let Some(id) = task.record.info.executor_id() else { continue };
        let Some(executor) = company.get(&(key.0.clone(), id.clone())) else {
            return wrong(format!("task {} of {} has no executor", key.1, key.0));
        };
        if task.is_holding() && !executor.is_holding() {
            return wrong(format!("task {} of {} began before executor {id}", key.1, key.0));
        }
    }
    for (key, executor) in company.iter().filter(|(_, executor)| !executor.record.info.is_custom()) {
        let tasks = company.tasks_of(key);
        if !tasks.iter().any(|task| agent.book.get(task).is_some_and(|task| !task.has_ended())) {
            let place = executor.place;
            return wrong(format!("executor {} of {} is {place:?} without a task", key.1, key.0));
        }
    }
    for (name, keys) in company.groups() {
        let tasks: Vec<&Task> = keys.iter().filter_map(|key| agent.book.get(key)).collect();
        let is_custom = tasks.iter().any(|task| task.is_custom());
        let waits = |task: &&Task| matches!(task.place, Place::Waiting(_));
        if tasks.iter().any(waits) && tasks.iter().any(|task| task.is_holding()) {
            return wrong(format!("group {name} has begun, and part of it waits"));
        }
        let has_fallen =
            |task: &Task| task.has_ended() && task.state() != TaskState::Finished && !task.record.orphaned;
        let in_peace = |task: &Task| !task.has_ended() && task.record.killing.is_none();
        if !is_custom && tasks.iter().any(|task| has_fallen(task)) && tasks.iter().any(|task| in_peace(task))
        {
            return wrong(format!("group {name} has lost one, and another runs in peace"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::*;

    /// What is said after `corruption` of task `a` of a running group of two.
    fn corrupted(corruption: impl FnOnce(&mut Task)) -> Violation {
        let mut stage = agent("cpus:4");
        let _ = stage.running_group("f1", "pod", &["a", "b"]);
        company_holds_together(&stage.agent).unwrap();
        let key = (framework_id("f1"), task_id("a"));
        corruption(stage.agent.book.volatile(&key).unwrap());
        company_holds_together(&stage.agent).unwrap_err()
    }

    #[test]
    fn a_group_that_is_torn_is_noticed() {
        let waits = corrupted(|task| task.place = Place::Waiting(1));
        assert!(waits.to_string().contains("part of it waits"), "{waits}");
        let fell = corrupted(|task| task.record.state = TaskState::Failed);
        assert!(fell.to_string().contains("runs in peace"), "{fell}");
        let homeless = corrupted(|task| {
            let other = crate::fixture::builtin("other", "");
            std::sync::Arc::make_mut(&mut task.record.info).executor = Some(Box::new(other));
        });
        assert!(homeless.to_string().contains("has no executor"), "{homeless}");
    }

    #[test]
    fn an_executor_without_tasks_is_noticed() {
        let mut stage = agent("cpus:4");
        let _ = stage.running_group("f1", "pod", &["a"]);
        let key = (framework_id("f1"), task_id("a"));
        stage.agent.book.volatile(&key).unwrap().record.state = TaskState::Finished;
        let violation = company_holds_together(&stage.agent).unwrap_err();
        assert!(violation.to_string().contains("without a task"), "{violation}");
    }
}
