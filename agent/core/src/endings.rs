//! How a task ended, from how its container did.
//!
//! In this order, the first that holds:
//! 1. A kill was asked for, and a signal of ours reached the program before it ended, or any signal ended
//!    it, or nobody saw it end: TASK_KILLED. So a program that tidies up and exits with 0 on SIGTERM was
//!    killed, and one that had finished before the signal came has finished.
//! 2. It ran as long as it may, and a signal of ours reached it or any signal ended it: TASK_FAILED,
//!    REASON_MAX_COMPLETION_TIME_REACHED.
//! 3. The kernel ended a process of it for want of memory: TASK_FAILED, REASON_CONTAINER_LIMITATION_MEMORY,
//!    even if the program itself went on to exit with 0: part of its work is missing.
//! 4. Exit status 0: TASK_FINISHED. 5. Anything else: TASK_FAILED.
//!
//! Source: Mesos command executor; 3 as Mesos' memory isolator, which ends the container at the first breach.

use lonja_model::resources::{Resource, Resources, Scalar, Value};
use lonja_model::task::{Reason, Source};
use lonja_model::{ContainerId, TaskState, TaskStatus, Timestamp};

use crate::book::{Key, Place, Task};
use crate::effects::Note;
use crate::event::{ContainerExit, LaunchFailure, MemoryBreach, WaitStatus};
use crate::launches;
use crate::status_updates::say;
use crate::turn::Turn;

/// The longest text taken from the shell into a status, in characters.
const MAX_MESSAGE: usize = 1_000;

const MIB: u64 = 1024 * 1024;

/// A container could not be made.
pub(crate) fn launch_failed(
    turn: &mut Turn<'_>,
    container: &ContainerId,
    reason: LaunchFailure,
    message: &str,
) {
    let Some((key, task)) = turn.book.in_container(container) else {
        turn.effects.forget.push(container.clone());
        return;
    };
    if task.place != Place::Launching {
        turn.note(Note::UnexpectedNews { container: container.clone(), news: "could not be launched" });
        return;
    }
    let killing = task.record.killing.is_some();
    let (state, reason) = match (killing, reason) {
        (true, _) => (TaskState::Killed, Reason::TaskKilledDuringLaunch),
        (false, LaunchFailure::Container) => (TaskState::Failed, Reason::ContainerLaunchFailed),
        (false, LaunchFailure::Command) => (TaskState::Failed, Reason::CommandExecutorFailed),
    };
    let status = TaskStatus::new(key.1.clone(), state, Source::Agent, turn.now);
    end(turn, &key, status.because(reason).saying(cut(message)));
}

/// A container's program has ended.
pub(crate) fn exited(turn: &mut Turn<'_>, container: &ContainerId, exit: &ContainerExit) {
    let Some((key, task)) = turn.book.in_container(container) else {
        turn.effects.forget.push(container.clone());
        return;
    };
    match task.place {
        Place::Launching | Place::Running { .. } => {
            let status = verdict(&key, task, exit, turn.now);
            end(turn, &key, status);
        }
        Place::Waiting(_) | Place::Ended => {
            turn.note(Note::UnexpectedNews { container: container.clone(), news: "exited" });
        }
    }
}

/// Says how the task ended; what it held is free for those who wait.
pub(crate) fn end(turn: &mut Turn<'_>, key: &Key, status: TaskStatus) {
    say(turn, key, status);
    launches::launch_waiting(turn);
}

/// How `task` ended, given how its container did. See the module for the rule.
pub(crate) fn verdict(key: &Key, task: &Task, exit: &ContainerExit, now: Timestamp) -> TaskStatus {
    let by_signal = exit.killed_by_request || matches!(exit.status, WaitStatus::Signaled(_));
    let unseen = matches!(exit.status, WaitStatus::Unknown { .. });
    let said = describe(exit);
    let status = |state, source| TaskStatus::new(key.1.clone(), state, source, now);
    if task.record.killing.is_some() && (by_signal || unseen) {
        return status(TaskState::Killed, Source::Executor).saying(format!("killed on request: {said}"));
    }
    if out_of_time(task, exit) && by_signal {
        let longest = task.record.info.max_completion_time.unwrap_or_default();
        return status(TaskState::Failed, Source::Executor)
            .because(Reason::MaxCompletionTimeReached)
            .saying(format!("not complete after {longest:?}: {said}"));
    }
    if let Some(breach) = exit.memory_breach {
        let mut status = status(TaskState::Failed, Source::Agent)
            .because(Reason::ContainerLimitationMemory)
            .saying(describe_breach(breach));
        status.limitation = limitation(breach);
        return status;
    }
    match exit.status {
        WaitStatus::Exited(0) => {
            let finished = status(TaskState::Finished, Source::Executor);
            if exit.message.is_some() { finished.saying(said) } else { finished }
        }
        WaitStatus::Exited(_) | WaitStatus::Signaled(_) => {
            status(TaskState::Failed, Source::Executor).saying(said)
        }
        WaitStatus::Unknown { .. } => {
            status(TaskState::Failed, Source::Agent).because(Reason::ExecutorTerminated).saying(said)
        }
    }
}

/// Was the task killed for its time? After a restart of the agent the kill itself is the only trace: ours,
/// and nobody asked for one.
fn out_of_time(task: &Task, exit: &ContainerExit) -> bool {
    let unasked = exit.killed_by_request && task.record.killing.is_none();
    task.out_of_time || (unasked && task.record.info.max_completion_time.is_some())
}

fn describe(exit: &ContainerExit) -> String {
    let what = match &exit.status {
        WaitStatus::Exited(status) => format!("exited with status {status}"),
        WaitStatus::Signaled(signal) => match signal_name(*signal) {
            Some(name) => format!("killed by signal {signal} ({name})"),
            None => format!("killed by signal {signal}"),
        },
        WaitStatus::Unknown { why } => format!("ended unseen: {}", cut(why)),
    };
    match &exit.message {
        Some(message) => format!("{what}: {}", cut(message)),
        None => what,
    }
}

fn describe_breach(breach: MemoryBreach) -> String {
    let (limit, peak) = (mebibytes(breach.limit_bytes), mebibytes(breach.peak_bytes));
    format!("memory limit {limit} MiB exceeded (peak {peak} MiB)")
}

/// Bytes in MiB, rounded to the nearest.
fn mebibytes(bytes: u64) -> u64 {
    bytes / MIB + u64::from(bytes % MIB >= MIB / 2)
}

fn limitation(breach: MemoryBreach) -> Option<Resources> {
    let thousandths = u64::try_from(u128::from(breach.limit_bytes) * 1000 / u128::from(MIB)).ok()?;
    let amount = Scalar::from_thousandths(thousandths)?;
    Resources::of([Resource::new("mem", Value::Scalar(amount)).ok()?]).ok()
}

fn cut(message: &str) -> String {
    message.chars().take(MAX_MESSAGE).collect()
}

/// The name of a signal, by its number on Linux (the common numbering; x86, ARM, RISC-V).
fn signal_name(signal: i32) -> Option<&'static str> {
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    NAMES.get(usize::try_from(signal).ok()?.checked_sub(1)?).copied()
}
