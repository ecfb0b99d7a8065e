//! What a framework keeps durably: where its jobs stand and which of its tasks have not ended.
//!
//! Changes are kept one by one, so that a long life costs no more than a short one.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::{AgentId, FrameworkId, TaskId, TaskState};
use lonja_sdk_core::{Record, State};

use crate::disk::Durable;
use crate::workload::Plan;

/// What a framework remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notebook {
    pub(crate) id: Option<FrameworkId>,
    jobs: BTreeMap<usize, Standing>,
    /// Jobs that are done.
    done: usize,
    /// Tasks whose end it has not seen.
    tasks: BTreeMap<TaskId, Attempt>,
    /// It has asked to be torn down, or is about to.
    pub(crate) leaving: bool,
    /// It is torn down and does nothing more.
    pub(crate) gone: bool,
    /// What a guest keeps, in its own words; the batch scheduler keeps nothing here.
    pub(crate) state: State,
}

/// Where one job stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// Tasks that failed by themselves.
    pub(crate) failures: usize,
    /// Tasks launched so far.
    pub(crate) attempts: usize,
    pub(crate) current: Option<TaskId>,
    pub(crate) done: bool,
}

/// One task that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) job: usize,
    pub(crate) agent: AgentId,
    pub(crate) state: TaskState,
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    Id(FrameworkId),
    Job(usize, Standing),
    Task(TaskId, Attempt),
    Ended(TaskId),
    Leaving,
    Gone,
    /// Of a guest's own.
    Change(Record),
}

impl Durable for Notebook {
    type Op = Note;
    fn take(&mut self, note: Note) {
        match note {
            Note::Id(id) => self.id = Some(id),
            Note::Job(job, standing) => {
                let done = standing.done;
                let before = self.jobs.insert(job, standing).is_some_and(|before| before.done);
                self.done = self.done + usize::from(done) - usize::from(before);
            }
            Note::Task(task, attempt) => {
                self.tasks.insert(task, attempt);
            }
            Note::Ended(task) => {
                self.tasks.remove(&task);
            }
            Note::Leaving => self.leaving = true,
            Note::Gone => self.gone = true,
            Note::Change(change) => self.state.apply(change),
        }
    }
}

impl Notebook {
    /// Where a job stands.
    pub(crate) fn job(&self, job: usize) -> Standing {
        self.jobs.get(&job).cloned().unwrap_or_default()
    }

    /// Is a task to be launched for this job, now or later?
    pub(crate) fn is_open(&self, job: usize) -> bool {
        self.jobs.get(&job).is_none_or(|standing| !standing.done && standing.current.is_none())
    }

    /// Are all jobs of `plan` done?
    pub(crate) fn all_jobs_done(&self, plan: &Plan) -> bool {
        self.done == plan.jobs.len()
    }

    /// A task whose end it has not seen.
    pub(crate) fn task(&self, task: &TaskId) -> Option<&Attempt> {
        self.tasks.get(task)
    }

    /// All of them.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = (&TaskId, &Attempt)> {
        self.tasks.iter()
    }

    /// Was this task ever launched, or about to be?
    pub(crate) fn launched(&self, plan: &Plan, task: &str) -> bool {
        read_id(&plan.name, task).is_some_and(|(job, number)| {
            self.jobs.get(&job).is_some_and(|standing| number < standing.attempts)
        })
    }

    /// What is still waited for, in words; `None`: all that was wanted is there.
    pub(crate) fn waits_for(&self, plan: &Plan) -> Option<String> {
        let enough = if plan.tears_down { self.gone } else { self.tasks.is_empty() };
        if self.all_jobs_done(plan) && enough {
            return None;
        }
        let open = |job: &usize| !self.jobs.get(job).is_some_and(|standing| standing.done);
        let open: BTreeSet<_> = (0..plan.jobs.len()).filter(open).collect();
        let tasks: Vec<_> = self
            .tasks
            .iter()
            .map(|(id, attempt)| format!("{id} {} on {}", attempt.state, attempt.agent))
            .collect();
        Some(format!("{} waits for jobs {open:?} and tasks {tasks:?}", plan.name))
    }
}

/// What the name of a task's companion has behind the task's.
pub(crate) const COMPANION: &str = "-side";

/// The name of the job's task numbered `number`.
pub(crate) fn write_id(framework: &str, job: usize, number: usize) -> String {
    format!("{framework}-j{job}-{number}")
}

/// Job and number of a task of this framework, or of its companion; `None`: it is not its own.
pub(crate) fn read_id(framework: &str, task: &str) -> Option<(usize, usize)> {
    let task = task.strip_suffix(COMPANION).unwrap_or(task);
    let (job, number) = task.strip_prefix(framework)?.strip_prefix("-j")?.split_once('-')?;
    Some((job.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written() {
        assert_eq!(read_id("f1", &write_id("f1", 12, 3)), Some((12, 3)));
        assert_eq!(read_id("f1", &write_id("f12", 12, 3)), None);
        assert_eq!(read_id("f1", "f1-j2"), None);
    }
}
