//! What the agent says, and how it is answered.

use std::time::Duration;

use lonja_model::execution::{Event as AgentEvent, Subscribed};
use lonja_model::{TaskId, TaskInfo, Timestamp};

use super::execution::{Effects, Execution, Outcome, Stage};
use super::ledger::{Launch, MAX_TASKS, MAX_UPDATES};
use super::{Executor, Problem, Update};

impl<E: Executor> Execution<E> {
    pub(super) fn received(&mut self, now: Timestamp, effects: &mut Effects, event: AgentEvent) {
        if !self.link.is_open() {
            // The connection was given up meanwhile: what still comes by it no longer counts.
            return;
        }
        match event {
            AgentEvent::Subscribed(subscribed) => self.subscribed(now, effects, &subscribed),
            AgentEvent::Error(_) => self.reconnect(now, effects),
            // An executor that nobody needs any more is not always let in before it is told.
            AgentEvent::Shutdown => self.ends(now, effects, Outcome::ShutDown),
            _ if !self.is_subscribed() => {}
            AgentEvent::Launch(task) => self.launched(now, effects, std::slice::from_ref(&task)),
            AgentEvent::LaunchGroup(tasks) => self.launched(now, effects, &tasks),
            AgentEvent::Kill { task, grace } => self.killed(now, effects, &task, grace),
            AgentEvent::Acknowledged { task, update } => {
                self.ledger.acknowledged(&task, update);
            }
            AgentEvent::Message(data) => {
                let plan = self.executor.message(now, &data);
                self.carry_out(now, effects, plan);
            }
            AgentEvent::Heartbeat => {}
        }
    }

    fn subscribed(&mut self, now: Timestamp, effects: &mut Effects, subscribed: &Subscribed) {
        self.link.subscribed(now);
        self.learn(subscribed);
        self.send_unsent(now, effects);
        let plan = self.executor.subscribed(now, subscribed);
        self.carry_out(now, effects, plan);
    }

    /// Shows tasks that are new. Those that are not are repeats of an agent that did not hear the answer.
    fn launched(&mut self, now: Timestamp, effects: &mut Effects, tasks: &[TaskInfo]) {
        if self.ledger.updates.len() + tasks.len() > MAX_UPDATES {
            // To answer any more of them would take memory without end; the next subscription tells them anew.
            return self.reconnect(now, effects);
        }
        let mut new = Vec::with_capacity(tasks.len());
        let mut why = (self.stage != Stage::Running).then_some("its executor is about to end".to_owned());
        for task in tasks {
            match self.ledger.launch(task) {
                Launch::New => new.push(task.clone()),
                Launch::Repeated => {}
                Launch::Full => {
                    self.ledger.insert(task);
                    new.push(task.clone());
                    why.get_or_insert_with(|| format!("its executor has {MAX_TASKS} tasks already"));
                }
            }
        }
        if let Some(why) = why {
            // All or none: what was asked for together is refused together.
            for task in new {
                self.say(now, effects, Update::failed(task.id, why.clone()));
            }
            return;
        }
        let plan = match new.as_slice() {
            [] => return,
            [task] if tasks.len() == 1 => self.executor.launched(now, task),
            new => self.executor.launched_together(now, new),
        };
        self.carry_out(now, effects, plan);
    }

    fn killed(&mut self, now: Timestamp, effects: &mut Effects, task: &TaskId, grace: Option<Duration>) {
        let Some(known) = self.ledger.tasks.get(task) else {
            // Its end is stored already, or its launch never came: then it comes no more.
            effects.problems.push(Problem::UnknownTask(task.clone()));
            return;
        };
        if known.state.is_terminal() {
            return;
        }
        let plan = self.executor.kill(now, task, grace.or(known.kill_grace));
        self.carry_out(now, effects, plan);
    }
}
