//! Why somebody gets what it gets: the allocator's words and those of frameworks, with names that people know.
//!
//! Asking changes nothing. What is asked about is a framework, by its id or its name, a role, or a task: one that
//! runs or has ended, by its id, or one that waits, by what its framework calls it.

use std::sync::Arc;
use std::time::Duration;

pub use lonja_allocator::{ClientExplanation, Obstacle, RoleExplanation};
use lonja_model::unplaced::Unplaced;
use lonja_model::{FrameworkId, Role, TaskId, Timestamp};

use crate::tasks::Task;
use crate::unplaced::Report;
use crate::{Master, State};

/// Tasks of one name that are explained, at most; of those that wait, those whose frameworks are explained as well.
const MAX_TASKS: usize = 16;
const MAX_FRAMEWORKS: usize = 4;

/// What can be asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A framework.
    Framework(FrameworkId),
    /// A role.
    Role(Role),
    /// A task, by its id or by what its framework calls it.
    Task(String),
    /// A framework by its id, else a framework by its name if only one has it, else a role, else a task.
    Named(String),
}

/// How the subject stands.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The role, if that was asked about. Its frameworks are in `clients`.
    pub role: Option<RoleExplanation>,
    /// Each framework in a role. Of a task that waits, its framework.
    pub clients: Vec<Client>,
    /// Each task of that name, if one was asked about.
    pub tasks: Vec<TaskExplanation>,
}

/// A framework in one of its roles.
#[derive(Clone, Debug)]
pub struct Client {
    /// What the framework is called.
    pub name: String,
    /// How long ago it told of tasks that wait, and what; `None`: of none.
    pub waiting: Option<(Duration, Vec<Unplaced>)>,
    /// How it stands.
    pub standing: ClientExplanation,
}

/// One task.
#[derive(Clone, Debug)]
pub struct TaskExplanation {
    /// As it was asked for.
    pub task: String,
    /// Whose.
    pub framework: FrameworkId,
    /// What the framework is called.
    pub framework_name: String,
    /// How long ago its framework first told in just these words that it waits, and which.
    pub waiting: Option<(Duration, Unplaced)>,
    /// The task, if it was launched; it may have ended.
    pub record: Option<Arc<Task>>,
    /// The name of the host that it runs on, or ran on, if that is known still.
    pub hostname: Option<String>,
}

impl Master {
    /// How the subject stands at this moment; `None`: nobody has heard of it. O(agents × what is asked about); of a
    /// task, O(frameworks + ended tasks) as well.
    pub fn explain(&self, now: Timestamp, subject: &Subject) -> Option<Explanation> {
        let state = &self.state;
        match subject {
            Subject::Framework(framework) => of_framework(state, now, framework),
            Subject::Role(role) => of_role(state, now, role),
            Subject::Task(task) => of_task(state, now, task),
            Subject::Named(name) => {
                let framework = named_framework(state, name);
                let found = framework.and_then(|framework| of_framework(state, now, &framework));
                let found = found.or_else(|| of_role(state, now, &Role::new(name).ok()?));
                found.or_else(|| of_task(state, now, name))
            }
        }
    }
}

fn named_framework(state: &State, name: &str) -> Option<FrameworkId> {
    if let Some((id, _)) = state.frameworks.iter().find(|(id, _)| id.as_str() == name) {
        return Some(id.clone());
    }
    let mut called = state.frameworks.iter().filter(|(_, known)| known.info.name == name);
    let first = called.next()?.0.clone();
    called.next().is_none().then_some(first)
}

fn of_framework(state: &State, now: Timestamp, framework: &FrameworkId) -> Option<Explanation> {
    let explained = state.allocator.explain_framework(now, framework)?;
    Some(Explanation { role: None, clients: described(state, now, explained.roles), tasks: Vec::new() })
}

fn of_role(state: &State, now: Timestamp, role: &Role) -> Option<Explanation> {
    let mut explained = state.allocator.explain_role(now, role)?;
    let clients = described(state, now, std::mem::take(&mut explained.frameworks));
    Some(Explanation { role: Some(explained), clients, tasks: Vec::new() })
}

fn described(state: &State, now: Timestamp, clients: Vec<ClientExplanation>) -> Vec<Client> {
    let describe = |standing: ClientExplanation| {
        let known = state.frameworks.get(&standing.framework);
        let report = known.and_then(|known| known.waiting.as_ref());
        Client {
            name: known.map(|known| known.info.name.clone()).unwrap_or_default(),
            waiting: report.map(|report| still_waiting(state, now, &standing.framework, report)),
            standing,
        }
    };
    clients.into_iter().map(describe).collect()
}

/// A report is a few seconds behind: what has been launched since does not wait.
fn still_waiting(
    state: &State,
    now: Timestamp,
    framework: &FrameworkId,
    report: &Report,
) -> (Duration, Vec<Unplaced>) {
    let waits = |word: &&Unplaced| !is_alive(state, framework, &word.task);
    (now.since(report.at), report.tasks.iter().map(|word| &word.said).filter(waits).cloned().collect())
}

fn is_alive(state: &State, framework: &FrameworkId, task: &str) -> bool {
    let record = TaskId::new(task).ok().and_then(|id| state.tasks.get(framework, &id));
    record.is_some_and(|task| !task.state.is_terminal())
}

fn of_task(state: &State, now: Timestamp, name: &str) -> Option<Explanation> {
    let id = TaskId::new(name).ok();
    let mut tasks = Vec::new();
    for (framework, known) in state.frameworks.iter() {
        let word = known.waiting.as_ref().and_then(|report| {
            let word = report.tasks.iter().find(|word| word.said.task == name)?;
            if is_alive(state, framework, name) {
                return None;
            }
            Some((now.since(word.at), word.said.clone()))
        });
        let record = id.as_ref().and_then(|id| state.tasks.get(framework, id));
        if word.is_some() || record.is_some() {
            tasks.push(explained(state, (framework, name), word, record.cloned()));
        }
    }
    let ended = state.history.tasks().filter(|task| Some(task.id()) == id.as_ref());
    for task in ended {
        match tasks.iter_mut().find(|explained| explained.framework == task.framework) {
            // It runs again under the same id.
            Some(TaskExplanation { record: Some(record), .. }) if !record.state.is_terminal() => {}
            Some(known) => {
                *known = explained(state, (&task.framework, name), known.waiting.take(), Some(task.clone()))
            }
            None => tasks.push(explained(state, (&task.framework, name), None, Some(task.clone()))),
        }
    }
    tasks.sort_by_key(|task| task.waiting.is_none());
    tasks.truncate(MAX_TASKS);
    if tasks.is_empty() {
        return None;
    }
    let waiting = tasks.iter().filter(|task| task.waiting.is_some()).take(MAX_FRAMEWORKS);
    let standing = waiting.filter_map(|task| state.allocator.explain_framework(now, &task.framework));
    let clients = described(state, now, standing.flat_map(|explained| explained.roles).collect());
    Some(Explanation { role: None, clients, tasks })
}

fn explained(
    state: &State,
    (framework, task): (&FrameworkId, &str),
    waiting: Option<(Duration, Unplaced)>,
    record: Option<Arc<Task>>,
) -> TaskExplanation {
    let known = state.frameworks.get(framework).map(|known| known.info.name.clone());
    let removed = || state.history.frameworks().find(|view| view.id == *framework);
    let agent = record.as_ref().and_then(|task| state.agents.get(task.agent()));
    TaskExplanation {
        task: task.to_owned(),
        framework: framework.clone(),
        framework_name: known.or_else(|| Some(removed()?.info.name.clone())).unwrap_or_default(),
        waiting,
        hostname: agent.map(|agent| agent.info.hostname.clone()),
        record,
    }
}
