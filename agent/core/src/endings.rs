//! How a task ended, from how its container did.
//!
//! In this order, the first that holds:
//! 1. A kill was asked for, and a signal of ours reached the program before it ended, or any signal ended
//!    it, or nobody saw it end: TASK_KILLED. So a program that tidies up and exits with 0 on SIGTERM was
//!    killed, and one that had finished before the signal came has finished. If it was its health check that asked, it
//!    is told as not healthy.
//! 2. It took more of the disk than it may, and was ended for that: TASK_FAILED, REASON_CONTAINER_LIMITATION_DISK.
//! 3. It ran as long as it may, and a signal of ours reached it or any signal ended it: TASK_FAILED,
//!    REASON_MAX_COMPLETION_TIME_REACHED.
//! 4. The kernel ended a process of it for want of memory: TASK_FAILED, REASON_CONTAINER_LIMITATION_MEMORY,
//!    even if the program itself went on to exit with 0: part of its work is missing.
//! 5. Exit status 0: TASK_FINISHED. 6. Anything else: TASK_FAILED.
//!
//! Source: Mesos command executor; 2 and 4 as Mesos' disk and memory isolators, which end the container at the first
//! breach.

use lonja_model::labels::Labels;
use lonja_model::resources::{Resource, Resources, Scalar, Value};
use lonja_model::task::{Reason, Source};
use lonja_model::{ContainerId, TaskState, TaskStatus, Timestamp};

use crate::book::{Key, Place, Task};
use crate::custom;
use crate::effects::Note;
use crate::event::{ContainerExit, DiskBreach, HiddenUse, LaunchFailure, MemoryBreach, WaitStatus};
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
    if let Some(key) = custom::executor_in(turn, container) {
        custom::launch_failed(turn, &key, reason, message);
        return;
    }
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
        (false, LaunchFailure::NoRoom) => (TaskState::Dropped, Reason::ContainerLaunchFailed),
    };
    let status = TaskStatus::new(key.1.clone(), state, Source::Agent, turn.now);
    // One that is given up because its task was killed is no failure.
    turn.book.tally.failed_launches += u64::from(!killing);
    end(turn, &key, status.because(reason).saying(cut(message)));
}

/// A container's program has ended.
pub(crate) fn exited(turn: &mut Turn<'_>, container: &ContainerId, exit: &ContainerExit) {
    if let Some(key) = custom::executor_in(turn, container) {
        custom::exited(turn, &key, exit);
        return;
    }
    let Some((key, task)) = turn.book.in_container(container) else {
        turn.effects.forget.push(container.clone());
        return;
    };
    match task.place {
        Place::Launching | Place::Running { .. } => {
            let status = verdict(&key, task, exit, turn.now);
            // What Mesos has for a task without an executor is gone with it.
            turn.book.tally.executors_ended += u64::from(task.record.info.executor.is_none());
            end(turn, &key, status);
        }
        Place::Waiting(_) | Place::InExecutor(_) | Place::Ended => {
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
    let labels = exit_labels(exit);
    let status = |state, source| TaskStatus {
        labels: labels.clone(),
        ..TaskStatus::new(key.1.clone(), state, source, now)
    };
    if task.record.killing.is_some() && task.record.watched.given_up && (by_signal || unseen) {
        let mut status = status(TaskState::Killed, Source::Executor)
            .because(Reason::TaskHealthCheckStatusUpdated)
            .saying(format!("killed because its health check failed {}: {said}", times(task)));
        status.healthy = Some(false);
        return status;
    }
    if task.record.killing.is_some() && (by_signal || unseen) {
        let why = with_group(Some(task), "killed on request");
        return status(TaskState::Killed, Source::Executor).saying(format!("{why}: {said}"));
    }
    let failed = || status(TaskState::Failed, Source::Agent);
    if let Some(breach) = over_disk(exit).filter(|_| by_signal || unseen) {
        return breach.told_in(failed());
    }
    if out_of_time(task, exit) && by_signal {
        let longest = task.record.info.max_completion_time.unwrap_or_default();
        return status(TaskState::Failed, Source::Executor)
            .because(Reason::MaxCompletionTimeReached)
            .saying(format!("not complete after {longest:?}: {said}"));
    }
    if let Some(breach) = over_memory(exit) {
        return breach.told_in(failed());
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

/// Why a task was killed: for its group's sake, or else as `otherwise` says.
pub(crate) fn with_group(task: Option<&Task>, otherwise: &str) -> String {
    match task.and_then(|task| task.record.group.as_ref()?.fell_with.as_ref()) {
        Some(other) => format!("killed with its group, because task {other} had ended"),
        None => otherwise.to_owned(),
    }
}

/// How often a health check may fail.
fn times(task: &Task) -> String {
    match task.record.info.health_check.as_ref().map_or(1, |check| check.consecutive_failures.max(1)) {
        1 => "once".to_owned(),
        times => format!("{times} times in a row"),
    }
}

/// Was the task killed for its time? After a restart of the agent the kill itself is the only trace: ours,
/// and nobody asked for one.
fn out_of_time(task: &Task, exit: &ContainerExit) -> bool {
    let unasked = exit.killed_by_request && task.record.killing.is_none();
    task.out_of_time || (unasked && task.record.info.max_completion_time.is_some())
}

/// How the program ended, for programs: label `exit_status` or `signal`, with the number. The message says
/// the same for people.
fn exit_labels(exit: &ContainerExit) -> Labels {
    let (key, number) = match &exit.status {
        WaitStatus::Exited(status) => ("exit_status", status),
        WaitStatus::Signaled(signal) => ("signal", signal),
        WaitStatus::Unknown { .. } => return Labels::default(),
    };
    Labels(vec![(key.to_owned(), Some(number.to_string()))])
}

pub(crate) fn describe(exit: &ContainerExit) -> String {
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
    if !breach.host_was_short {
        return format!("memory limit {limit} MiB exceeded (peak {peak} MiB)");
    }
    let standing =
        if limit == 0 { "without a limit".to_owned() } else { format!("within its limit of {limit} MiB") };
    format!("the host was short of memory, and the kernel chose this task: {standing} (peak {peak} MiB)")
}

/// Bytes in MiB, rounded to the nearest.
fn mebibytes(bytes: u64) -> u64 {
    bytes / MIB + u64::from(bytes % MIB >= MIB / 2)
}

/// A limit that a container broke.
pub(crate) struct Breach {
    pub(crate) reason: Reason,
    /// For people.
    pub(crate) said: String,
    /// For programs.
    pub(crate) limitation: Option<Resources>,
}

impl Breach {
    /// A status that says so.
    pub(crate) fn told_in(self, status: TaskStatus) -> TaskStatus {
        TaskStatus { limitation: self.limitation, ..status.because(self.reason).saying(self.said) }
    }
}

/// The limit for which a container was ended, if it was.
pub(crate) fn breach(exit: &ContainerExit) -> Option<Breach> {
    over_disk(exit).or_else(|| over_memory(exit))
}

fn over_disk(exit: &ContainerExit) -> Option<Breach> {
    let disk = exit.disk_breach?;
    let limitation = limitation("disk", disk.limit_bytes);
    Some(Breach { reason: Reason::ContainerLimitationDisk, said: describe_disk(disk), limitation })
}

fn over_memory(exit: &ContainerExit) -> Option<Breach> {
    let memory = exit.memory_breach?;
    // Without a limit it was the host that was short.
    let limitation = limitation("mem", memory.limit_bytes).filter(|_| memory.limit_bytes > 0);
    Some(Breach { reason: Reason::ContainerLimitationMemory, said: describe_breach(memory), limitation })
}

fn describe_disk(breach: DiskBreach) -> String {
    let (limit, used) = (mebibytes(breach.limit_bytes), mebibytes(breach.used_bytes));
    let why = match breach.hidden {
        None => return format!("disk limit {limit} MiB exceeded (at least {used} MiB used)"),
        Some(HiddenUse::TooDeep) => "the sandbox has folders too deep to be measured",
        Some(HiddenUse::Forbidden) => {
            "the sandbox has folders that the agent may not look into; let their owner read and search them"
        }
    };
    format!("disk limit {limit} MiB cannot be held: {why} (at least {used} MiB used)")
}

fn limitation(name: &str, limit_bytes: u64) -> Option<Resources> {
    let thousandths = u64::try_from(u128::from(limit_bytes) * 1000 / u128::from(MIB)).ok()?;
    let amount = Scalar::from_thousandths(thousandths)?;
    Resources::of([Resource::new(name, Value::Scalar(amount)).ok()?]).ok()
}

pub(crate) fn cut(message: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::*;

    /// The last word on a task that was running, perhaps asked to end, and ended by `exit`.
    fn ending(killed: bool, exit: ContainerExit) -> TaskStatus {
        let mut stage = agent("cpus:4;mem:64");
        let _ = stage.running("f1", "t1", "cpus:1;mem:32");
        if killed {
            let _ = stage.kill("f1", "t1", None);
        }
        let _ = stage.exited("t1", exit);
        assert_eq!(stage.agent.free(), resources("cpus:4;mem:64"));
        stage.checkpoint.tasks.values().next().unwrap().updates.last().unwrap().clone()
    }

    fn breach() -> Option<MemoryBreach> {
        Some(MemoryBreach { limit_bytes: 32 * MIB, peak_bytes: 32 * MIB - 4096, host_was_short: false })
    }

    #[test]
    fn an_end_for_want_of_the_hosts_memory_is_told_as_such() {
        let of = |limit_bytes| {
            let breach = MemoryBreach { limit_bytes, peak_bytes: 8 * MIB, host_was_short: true };
            ending(false, ContainerExit { memory_breach: Some(breach), ..signaled(9) })
        };
        let status = of(32 * MIB);
        assert_eq!(status.reason, Some(Reason::ContainerLimitationMemory));
        let said = status.message.unwrap();
        assert!(said.contains("host was short") && said.contains("limit of 32 MiB (peak 8 MiB)"), "{said}");
        let status = of(0);
        assert_eq!((status.reason, status.limitation), (Some(Reason::ContainerLimitationMemory), None));
    }

    #[test]
    fn an_exit_says_what_became_of_the_task() {
        let status = ending(false, exit(0));
        assert_eq!((status.state, status.reason, status.message), (TaskState::Finished, None, None));
        let status = ending(false, exit(7));
        assert_eq!(status.state, TaskState::Failed);
        assert_eq!(status.message.as_deref(), Some("exited with status 7"));
        let status = ending(false, signaled(9));
        assert_eq!(status.state, TaskState::Failed);
        assert_eq!(status.message.as_deref(), Some("killed by signal 9 (SIGKILL)"));
        let status = ending(false, signaled(40));
        assert_eq!(status.message.as_deref(), Some("killed by signal 40"));
        assert_eq!(status.source, Source::Executor);
    }

    #[test]
    fn an_end_that_nobody_saw_is_a_failure_that_says_so() {
        let unknown = WaitStatus::Unknown { why: "the host was restarted".to_owned() };
        let status = ending(false, ContainerExit::new(unknown.clone()));
        assert_eq!((status.state, status.reason), (TaskState::Failed, Some(Reason::ExecutorTerminated)));
        assert_eq!(status.message.as_deref(), Some("ended unseen: the host was restarted"));
        assert_eq!(ending(true, ContainerExit::new(unknown)).state, TaskState::Killed);
    }

    #[test]
    fn a_task_that_our_signal_reached_was_killed_whatever_it_exited_with() {
        for exit in [exit(0), exit(143), signaled(15), signaled(9)] {
            assert_eq!(ending(true, by_request(exit)).state, TaskState::Killed);
        }
        let status = ending(true, by_request(exit(143)));
        assert_eq!(status.message.as_deref(), Some("killed on request: exited with status 143"));
    }

    #[test]
    fn a_task_that_ended_before_our_signal_came_was_not_killed() {
        assert_eq!(ending(true, exit(0)).state, TaskState::Finished);
        assert_eq!(ending(true, exit(7)).state, TaskState::Failed);
    }

    #[test]
    fn a_memory_breach_names_limit_and_peak() {
        for status in [signaled(9), exit(0), exit(137)] {
            let status = ending(false, ContainerExit { memory_breach: breach(), ..status });
            assert_eq!(status.state, TaskState::Failed);
            assert_eq!(status.reason, Some(Reason::ContainerLimitationMemory));
            assert_eq!(status.message.as_deref(), Some("memory limit 32 MiB exceeded (peak 32 MiB)"));
            assert_eq!(status.limitation, Some(resources("mem:32")));
        }
        let killed = ContainerExit { memory_breach: breach(), ..by_request(signaled(9)) };
        assert_eq!(ending(true, killed).state, TaskState::Killed, "the kill was first");
    }

    #[test]
    fn a_disk_breach_names_limit_and_use_unless_the_task_ended_by_itself_first() {
        let breach = Some(DiskBreach { limit_bytes: 10 * MIB, used_bytes: 12 * MIB, hidden: None });
        let status = ending(false, ContainerExit { disk_breach: breach, ..by_request(signaled(9)) });
        assert_eq!((status.state, status.reason), (TaskState::Failed, Some(Reason::ContainerLimitationDisk)));
        assert_eq!(status.message.as_deref(), Some("disk limit 10 MiB exceeded (at least 12 MiB used)"));
        assert_eq!(status.limitation, Some(resources("disk:10")));
        assert_eq!(
            ending(false, ContainerExit { disk_breach: breach, ..exit(0) }).state,
            TaskState::Finished,
            "it was done before our signal came"
        );
        let killed = ContainerExit { disk_breach: breach, ..by_request(signaled(9)) };
        assert_eq!(ending(true, killed).state, TaskState::Killed, "the kill was first");
    }

    #[test]
    fn a_task_that_hides_its_use_is_told_why_it_was_ended() {
        for (hidden, why) in [(HiddenUse::TooDeep, "too deep"), (HiddenUse::Forbidden, "may not look into")] {
            let breach = Some(DiskBreach { limit_bytes: 10 * MIB, used_bytes: MIB, hidden: Some(hidden) });
            let status = ending(false, ContainerExit { disk_breach: breach, ..by_request(signaled(9)) });
            assert_eq!(status.reason, Some(Reason::ContainerLimitationDisk));
            assert!(status.message.is_some_and(|message| message.contains(why)), "{hidden:?}");
        }
    }

    #[test]
    fn a_launch_for_which_there_is_no_room_is_dropped_and_says_so() {
        let mut stage = agent("cpus:4");
        let starting = only_update(&stage.run("f1", "t1", "cpus:1"));
        let _ = stage.failed("t1", LaunchFailure::NoRoom, "the disk is nearly full");
        let status = only_update(&stage.acknowledge("f1", &starting));
        assert_eq!((status.state, status.reason), (TaskState::Dropped, Some(Reason::ContainerLaunchFailed)));
        assert_eq!(stage.agent.free(), resources("cpus:4"));
    }

    #[test]
    fn a_launch_that_fails_names_the_command() {
        for (failure, reason) in [
            (LaunchFailure::Container, Reason::ContainerLaunchFailed),
            (LaunchFailure::Command, Reason::CommandExecutorFailed),
        ] {
            let mut stage = agent("cpus:4");
            let starting = only_update(&stage.run("f1", "t1", "cpus:1"));
            let _ = stage.failed("t1", failure, "cannot execute `frob`: no such file");
            assert_eq!(stage.agent.free(), resources("cpus:4"));
            let status = only_update(&stage.acknowledge("f1", &starting));
            assert_eq!((status.state, status.reason), (TaskState::Failed, Some(reason)));
            assert_eq!(status.message.as_deref(), Some("cannot execute `frob`: no such file"));
        }
    }

    #[test]
    fn what_was_killed_on_its_way_is_no_failed_launch_and_what_ran_is_an_executor_that_ended() {
        let mut stage = agent("cpus:4");
        for task in ["t1", "t2"] {
            let _ = stage.run("f1", task, "cpus:1");
        }
        let _ = stage.kill("f1", "t1", None);
        let _ = stage.failed("t1", LaunchFailure::Container, "it is not wanted any more");
        let _ = stage.failed("t2", LaunchFailure::Container, "no space left");
        assert_eq!((stage.agent.tally().failed_launches, stage.agent.tally().executors_ended), (1, 0));
        let _ = stage.running("f1", "t3", "cpus:1");
        let _ = stage.exited("t3", exit(0));
        assert_eq!((stage.agent.tally().failed_launches, stage.agent.tally().executors_ended), (1, 1));
    }

    #[test]
    fn an_end_is_told_once_and_is_final() {
        let mut stage = agent("cpus:4");
        let _ = stage.running("f1", "t1", "cpus:1");
        let _ = stage.exited("t1", exit(0));
        let again = stage.exited("t1", exit(7));
        assert!(again.persist.is_empty() && again.send.is_empty());
        let late = stage.failed("t1", LaunchFailure::Command, "late");
        assert!(late.persist.is_empty() && late.send.is_empty());
        assert_eq!(stage.state("f1", "t1"), Some(TaskState::Finished));
    }

    #[test]
    fn a_long_message_is_cut() {
        let message = Some("ä".repeat(5_000));
        let status = ending(false, ContainerExit { message, ..exit(1) });
        assert_eq!(status.message.unwrap().chars().count(), "exited with status 1: ".len() + MAX_MESSAGE);
    }
}
