//! What a task's program does, as a test has it.

use std::time::Duration;

use lonja_model::TaskInfo;

use crate::workload::Script;

/// Who says what each task's program does. It is asked once for each launch, when the agent begins it.
pub type Rule = Box<dyn FnMut(&TaskInfo) -> TaskOutcome>;

/// What a task's program does when it is left alone. What its agent, its machine or a kill do to it comes on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskOutcome {
    after: Duration,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Exits(i32),
    Killed(i32),
    OverMemory,
    Hangs,
    Sickens,
    NoSuchCommand,
}

impl TaskOutcome {
    fn new(what: What) -> Self {
        Self { after: Duration::ZERO, what }
    }

    /// It exits with this status: 0 is TASK_FINISHED, anything else TASK_FAILED. At once, unless [`Self::after`] says
    /// when.
    pub fn exits(status: i32) -> Self {
        Self::new(What::Exits(status))
    }

    /// Somebody on its machine ends it by this signal, without the agent's doing.
    pub fn killed_by(signal: i32) -> Self {
        Self::new(What::Killed(signal))
    }

    /// It uses more memory than it may and is ended for it: TASK_FAILED.
    pub fn over_memory() -> Self {
        Self::new(What::OverMemory)
    }

    /// It runs until it is killed.
    pub fn runs_on() -> Self {
        Self::new(What::Hangs)
    }

    /// It runs until it is killed, and fails every health check after [`Self::after`]. Without a health check nobody
    /// notices.
    pub fn sickens() -> Self {
        Self::new(What::Sickens)
    }

    /// It cannot be started, for there is no such command: TASK_FAILED, and it never ran.
    pub fn cannot_start() -> Self {
        Self::new(What::NoSuchCommand)
    }

    /// That happens so long after its start. It means nothing for what runs on or cannot start.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }

    pub(crate) fn script(self) -> Script {
        let after = self.after;
        match self.what {
            What::Exits(status) => Script::Exit { after, status },
            What::Killed(signal) => Script::Struck { after, signal },
            What::OverMemory => Script::Breach { after, program_survives: false },
            What::Hangs => Script::Hang,
            What::Sickens => Script::Sicken { after },
            What::NoSuchCommand => Script::NoSuchCommand,
        }
    }
}
