//! What always holds of custom executors and their tasks.

use lonja_model::TaskState;

use super::Violation;
use crate::Agent;
use crate::book::{Handed, Place, Task};
use crate::company::{Executor, ExecutorPlace};
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
        for task_key in agent.book.company.tasks_of(key) {
            let Some(task) = agent.book.get(&task_key).filter(|task| !task.has_ended()) else { continue };
            if task.record.container != record.container {
                return wrong(format!("task {} of {name} has another's container", task_key.1));
            }
            let is_sent = task.place != Place::InExecutor(Handed::NotYet);
            if place.connection().is_some() && executor.is_open() && !is_sent {
                return wrong(format!("task {} was not given to {name}", task_key.1));
            }
        }
    }
    Ok(())
}
