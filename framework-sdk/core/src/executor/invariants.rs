//! What always holds in an [`Execution`], checked by property tests.

use std::collections::BTreeMap;

use super::ledger::{MAX_TASKS, MAX_UPDATES, MAX_UPDATES_PER_TASK, size_of};
use super::{Execution, Executor};

/// All promises, in order. Errors: the first one broken, in words.
pub fn check<E: Executor>(execution: &Execution<E>) -> Result<(), String> {
    updates_are_of_known_tasks(execution)?;
    the_dead_are_forgotten_once_their_end_is_stored(execution)?;
    what_was_sent_is_sent_again(execution)?;
    nothing_grows_without_bound(execution)
}

/// Every update that waits is of a task that is known, and counted there.
fn updates_are_of_known_tasks<E: Executor>(execution: &Execution<E>) -> Result<(), String> {
    let ledger = &execution.ledger;
    let mut waiting = BTreeMap::new();
    for (number, update) in &ledger.updates {
        *waiting.entry(&update.status.task).or_insert(0_usize) += 1;
        let id = update.status.update.ok_or_else(|| format!("update {number} has no id"))?;
        if ledger.numbers.get(&id) != Some(number) {
            return Err(format!("update {id} is not found by its id"));
        }
    }
    if ledger.numbers.len() != ledger.updates.len() {
        return Err("an id is kept of an update that is gone".to_owned());
    }
    if let Some(task) = waiting.keys().find(|task| !ledger.tasks.contains_key(**task)) {
        return Err(format!("an update waits of task {task}, which is not known"));
    }
    let wrong =
        ledger.tasks.iter().find(|(task, known)| waiting.get(task).copied().unwrap_or(0) != known.waiting);
    wrong.map_or(Ok(()), |(task, _)| Err(format!("the updates of task {task} are miscounted")))
}

/// A task whose end is said stays exactly as long as something said of it waits.
fn the_dead_are_forgotten_once_their_end_is_stored<E: Executor>(
    execution: &Execution<E>,
) -> Result<(), String> {
    let dead = |known: &super::ledger::Known| known.state.is_terminal() && known.waiting == 0;
    match execution.ledger.tasks.iter().find(|(_, known)| dead(known)) {
        None => Ok(()),
        Some((task, known)) => {
            Err(format!("INV-18: task {task} is {} for good and still known", known.state))
        }
    }
}

/// While the subscription stands, every update has a time at which it goes out again.
fn what_was_sent_is_sent_again<E: Executor>(execution: &Execution<E>) -> Result<(), String> {
    let ledger = &execution.ledger;
    if execution.is_subscribed() && ledger.due.len() != ledger.updates.len() {
        let (due, all) = (ledger.due.len(), ledger.updates.len());
        return Err(format!("INV-21: of {all} updates only {due} would be sent again"));
    }
    Ok(())
}

fn nothing_grows_without_bound<E: Executor>(execution: &Execution<E>) -> Result<(), String> {
    let ledger = &execution.ledger;
    let live = ledger.live().count();
    if live > MAX_TASKS || ledger.updates.len() > MAX_UPDATES {
        return Err(format!("{live} tasks and {} updates are too many", ledger.updates.len()));
    }
    if let Some((task, _)) = ledger.tasks.iter().find(|(_, known)| known.waiting > MAX_UPDATES_PER_TASK + 1) {
        return Err(format!("too many updates wait of task {task}"));
    }
    let bytes: usize = ledger.updates.values().map(|waiting| size_of(&waiting.status)).sum();
    if bytes == ledger.bytes {
        Ok(())
    } else {
        Err(format!("{bytes} bytes wait, {} are counted", ledger.bytes))
    }
}

#[cfg(test)]
mod tests {
    use lonja_model::TaskState;

    use super::*;
    use crate::executor::Update;
    use crate::executor::tests::fixture::{World, subscribed, task_id};

    /// An executor with one task, of which one update waits.
    fn world() -> World {
        let mut world = subscribed();
        world.launches("t1");
        world.says(Update::running(task_id("t1")));
        world
    }

    fn broken(world: &World, promise: &str) {
        let found = check(&world.execution).unwrap_err();
        assert!(found.contains(promise), "{found}");
    }

    #[test]
    fn an_update_of_nobody_is_noticed() {
        let mut world = world();
        world.execution.ledger.tasks.clear();
        broken(&world, "which is not known");
    }

    #[test]
    fn an_update_that_is_not_found_by_its_id_is_noticed() {
        let mut world = world();
        world.execution.ledger.numbers.clear();
        broken(&world, "not found by its id");
    }

    #[test]
    fn a_dead_task_that_stays_is_noticed() {
        let mut world = world();
        world.launches("t2");
        let known = world.execution.ledger.tasks.get_mut(&task_id("t2")).unwrap();
        known.state = TaskState::Failed;
        broken(&world, "for good and still known");
    }

    #[test]
    fn an_update_that_would_never_go_out_again_is_noticed() {
        let mut world = world();
        world.execution.ledger.due.clear();
        broken(&world, "only 0 would be sent again");
    }

    #[test]
    fn bytes_that_are_miscounted_are_noticed() {
        let mut world = world();
        world.execution.ledger.bytes += 1;
        broken(&world, "bytes wait");
    }
}
