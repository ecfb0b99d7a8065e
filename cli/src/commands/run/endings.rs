//! How a run ended, for people and as an exit status.

use std::process::ExitCode;

use lonja_sdk::model::task::Reason;
use lonja_sdk::prelude::{TaskState, TaskStatus};

use crate::args::Run;
use crate::{EXIT_OURS, output};

/// How one task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    code: u8,
    message: Option<String>,
}

impl Ending {
    /// From its last status. `interrupted`: we were asked to end it.
    pub(crate) fn of(status: &TaskStatus, interrupted: bool) -> Self {
        let number = |key: &str| {
            let label = status.labels.0.iter().find(|(label, _)| label == key)?;
            label.1.as_ref()?.parse::<u8>().ok()
        };
        let message = status.message.clone();
        if interrupted && status.state == TaskState::Killed {
            return Self::interrupted();
        }
        if status.reason == Some(Reason::ContainerLimitationMemory) {
            return Self { code: 137, message };
        }
        let for_time_or_health =
            [Reason::MaxCompletionTimeReached, Reason::TaskHealthCheckStatusUpdated].map(Some);
        if for_time_or_health.contains(&status.reason) {
            // It was ended by us, so it has failed, also where it left as if nothing were.
            let signal = number("signal").map(|signal| 128_u8.saturating_add(signal));
            let code = number("exit_status").or(signal).filter(|code| *code > 0).unwrap_or(EXIT_OURS);
            return Self { code, message };
        }
        match (number("exit_status"), number("signal")) {
            (Some(code), _) => {
                Self { code, message: (status.state == TaskState::Killed).then_some(message).flatten() }
            }
            (None, Some(signal)) => Self { code: 128_u8.saturating_add(signal), message },
            (None, None) if status.state == TaskState::Finished => Self { code: 0, message: None },
            // It did not run, or nobody saw how it ended.
            (None, None) => {
                let message = message.unwrap_or_else(|| "no reason was given".to_owned());
                Self { code: EXIT_OURS, message: Some(format!("{}: {message}", status.state)) }
            }
        }
    }

    /// Ended by Ctrl-C.
    pub(crate) fn interrupted() -> Self {
        Self { code: 130, message: None }
    }

    /// The same, of a command beside the first, which its message then names.
    pub(crate) fn of_one_called(mut self, beside: Option<&str>) -> Self {
        if let Some(name) = beside.filter(|_| self.code != 0) {
            let code = self.code;
            let why = self.message.take().unwrap_or_else(|| format!("exited with {code}"));
            self.message = Some(format!("{name}: {why}"));
        }
        self
    }

    /// The first failure of two.
    pub(crate) fn or_worse(self, other: Self) -> Self {
        if self.code == 0 { other } else { self }
    }

    /// Says what has to be said and gives the exit status.
    pub(crate) fn report(self, run: &Run) -> ExitCode {
        if let Some(message) = &self.message {
            output::note(&format!("lonja run: {}: {message}", run.command[0]));
        }
        ExitCode::from(self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lonja_sdk::model::labels::Labels;
    use lonja_sdk::model::task::Source;
    use lonja_sdk::prelude::{TaskId, Timestamp};

    fn status(state: TaskState, label: Option<(&str, &str)>) -> TaskStatus {
        let labels = label.map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
        let task = TaskId::new("t").unwrap();
        TaskStatus {
            labels: Labels(labels.into_iter().collect()),
            ..TaskStatus::new(task, state, Source::Executor, Timestamp::ZERO)
        }
    }

    #[test]
    fn the_exit_status_is_the_tasks_own() {
        assert_eq!(Ending::of(&status(TaskState::Finished, Some(("exit_status", "0"))), false).code, 0);
        assert_eq!(Ending::of(&status(TaskState::Failed, Some(("exit_status", "7"))), false).code, 7);
    }

    #[test]
    fn a_signal_counts_from_128() {
        assert_eq!(Ending::of(&status(TaskState::Failed, Some(("signal", "9"))), false).code, 137);
        assert_eq!(Ending::of(&status(TaskState::Killed, Some(("signal", "15"))), true).code, 130);
        assert_eq!(Ending::of(&status(TaskState::Killed, Some(("signal", "15"))), false).code, 143);
    }

    #[test]
    fn a_task_ended_for_its_time_or_health_has_failed_whatever_it_exited_with() {
        let of = |state, reason, label| {
            Ending::of(&status(state, Some(label)).because(reason).saying("why"), false)
        };
        for (label, code) in [(("exit_status", "0"), 125), (("exit_status", "3"), 3), (("signal", "15"), 143)]
        {
            let late = of(TaskState::Failed, Reason::MaxCompletionTimeReached, label);
            let sick = of(TaskState::Killed, Reason::TaskHealthCheckStatusUpdated, label);
            for ending in [late, sick] {
                assert_eq!((ending.code, ending.message.as_deref()), (code, Some("why")));
            }
        }
    }

    #[test]
    fn what_never_ran_is_ours() {
        let ending = Ending::of(&status(TaskState::Error, None).saying("needs more"), false);
        assert_eq!((ending.code, ending.message.as_deref()), (125, Some("TASK_ERROR: needs more")));
    }
}
