//! What the agent takes on is bounded in bytes, so that it can always write it down and tell of it.
//!
//! One commit may hold every record, and so does the message with which the agent comes back to its master: both have
//! limits, which are set above the one kept here. The weight is that of all records with the updates that wait in them.
//!
//! - A launch that would bring it over the limit is dropped, and says what to do.
//! - An update of a custom executor that would is not taken, and said again later, as one beyond the number that may wait.
//! - A short update of a task of which few wait is taken all the same: a framework that fills the agent with its data must
//!   not silence the others.
//! - An end is always taken. Over the limit it comes without its data and labels, and its message says so.
//!
//! One record stays within the limit of a stored value by the same rules.

use lonja_model::framework::FrameworkInfo;
use lonja_model::labels::Labels;
use lonja_model::weight::Weigh;
use lonja_model::{FrameworkId, TaskInfo, TaskStatus};

use crate::book::Task;
use crate::turn::Turn;

/// The most that one record comes to, in bytes: what a store takes as one value, less a last short word.
const MOST_OF_ONE: usize = 12 << 20;

/// An update up to this weight is short, in bytes.
const SHORT: usize = 2 << 10;

/// So many updates may wait where a short one is taken whatever else there is.
const FEW: usize = 3;

/// What is left of the message of an end that is cut, in characters.
const CUT_MESSAGE: usize = 500;

/// Why these tasks of one framework cannot be taken on; `None`: there is room.
pub(crate) fn for_launch(
    turn: &Turn<'_>,
    framework: &FrameworkId,
    info: &FrameworkInfo,
    tasks: &[TaskInfo],
) -> Option<String> {
    let executor = tasks.first().and_then(|task| task.executor.as_deref());
    let executor = executor
        .filter(|executor| turn.book.company.get(&(framework.clone(), executor.id.clone())).is_none());
    let records = tasks.iter().map(|task| task.weight() + SHORT);
    let largest = records.clone().max().unwrap_or_default();
    let more = records.sum::<usize>()
        + executor.map_or(0, |executor| executor.weight() + SHORT)
        + turn.book.framework_growth(framework, info);
    let (held, most) = (turn.book.weight(), turn.config.max_record_bytes);
    if largest > MOST_OF_ONE {
        return Some(format!(
            "its description has {largest} bytes, and an agent keeps at most {MOST_OF_ONE} of one task: put what is large \
             into files that the task fetches"
        ));
    }
    (held.saturating_add(more) > most).then(|| {
        format!(
            "this agent keeps {held} bytes about its tasks already, of {most} that it may, and these are {more} more: \
             acknowledge the updates of tasks that have ended, and put what is large into files that tasks fetch"
        )
    })
}

/// May the framework be kept with this description?
pub(crate) fn for_framework(turn: &Turn<'_>, framework: &FrameworkId, info: &FrameworkInfo) -> bool {
    let more = turn.book.framework_growth(framework, info);
    more == 0 || turn.book.weight().saturating_add(more) <= turn.config.max_record_bytes
}

/// The update of a custom executor's task as it is taken on. Errors: why it is not now.
pub(crate) fn for_update(turn: &Turn<'_>, task: &Task, status: TaskStatus) -> Result<TaskStatus, String> {
    // The agent fills in names.
    let more = status.weight() + SHORT;
    let (held, most) = (turn.book.weight(), turn.config.max_record_bytes);
    let is_over = held.saturating_add(more) > most;
    let fits = !is_over && task.record_weight().saturating_add(more) <= MOST_OF_ONE;
    if fits {
        return Ok(status);
    }
    if status.state.is_terminal() {
        return Ok(cut(status));
    }
    if status.weight() <= SHORT && task.record.updates.len() < FEW {
        return Ok(status);
    }
    Err(if is_over {
        format!(
            "this agent keeps {held} bytes about its tasks, of {most} that it may; acknowledge updates that wait"
        )
    } else {
        format!("the updates of task {} that wait come to {MOST_OF_ONE} bytes; acknowledge them", status.task)
    })
}

/// What is left of an end for which there is no room.
fn cut(status: TaskStatus) -> TaskStatus {
    let said: String = status.message.unwrap_or_default().chars().take(CUT_MESSAGE).collect();
    let lost = status.data.len();
    let note = format!("[its data of {lost} bytes, and its labels, are lost: this agent keeps no more]");
    let message = if said.is_empty() { note } else { format!("{said} {note}") };
    TaskStatus {
        data: Vec::new(),
        labels: Labels::default(),
        limitation: None,
        message: Some(message),
        ..status
    }
}

#[cfg(test)]
mod tests;
