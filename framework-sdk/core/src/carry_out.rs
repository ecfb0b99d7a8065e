//! Doing what a scheduler's plan says, as far as it can be done.

use lonja_model::offer::Filters;
use lonja_model::operation::{LaunchGroup, LaunchTask, Operation};
use lonja_model::scheduler::Call;
use lonja_model::{AgentId, OfferId, OperationId, TaskId, TaskInfo, TaskState, Timestamp};
use std::collections::BTreeSet;

use crate::check::{InUse, check_steps};
use crate::counts::as_count;
use crate::executor::MAX_DATA_BYTES;
use crate::framework::Known;
use crate::plan::{Action, Plan, PlanError, Step, Stop};
use crate::{Effects, Framework, Outcome, Problem, Record, Scheduler};

impl<S: Scheduler> Framework<S> {
    /// Takes the plan's steps in order. A step that cannot be taken is left out and the scheduler told.
    pub(crate) fn carry_out(&mut self, now: Timestamp, effects: &mut Effects, plan: Plan) {
        for problem in self.try_out(now, effects, plan) {
            self.tell(now, effects, Problem::Plan(problem));
        }
    }

    /// Tells the scheduler what was not done, and does what it wants then. Problems of that plan are told
    /// too, but the answer to them is not carried out: one that repeats its mistake would never end.
    pub(crate) fn tell(&mut self, now: Timestamp, effects: &mut Effects, problem: Problem) {
        let plan = self.scheduler.refused(now, &problem);
        effects.problems.push(problem);
        for problem in self.try_out(now, effects, plan) {
            let problem = Problem::Plan(problem);
            let _repeated = self.scheduler.refused(now, &problem);
            effects.problems.push(problem);
        }
    }

    fn try_out(&mut self, now: Timestamp, effects: &mut Effects, plan: Plan) -> Vec<PlanError> {
        let (filters, leftovers) = (plan.filters(), plan.leftover_filters());
        let mut problems = Vec::new();
        if self.finished {
            return problems;
        }
        for action in plan.actions {
            problems.extend(self.act(now, effects, action, filters, leftovers).err());
        }
        if let Some(stop) = plan.stop {
            self.stop(effects, stop);
        }
        problems
    }

    fn act(
        &mut self,
        now: Timestamp,
        effects: &mut Effects,
        action: Action,
        filters: Filters,
        leftovers: Filters,
    ) -> Result<(), PlanError> {
        match action {
            Action::Accept { offers, steps } => {
                check_steps(|id| self.offers.get(id), &offers, &steps, self)?;
                self.accept(effects, offers, steps, leftovers);
            }
            Action::AnswerInverse { offer, accept, filters } => {
                if self.is_subscribed() {
                    let offers = vec![offer];
                    let accepted = |offers| Call::AcceptInverseOffers { offers, filters };
                    let declined = |offers| Call::DeclineInverseOffers { offers, filters };
                    self.call(effects, if accept { accepted(offers) } else { declined(offers) });
                }
            }
            Action::Decline { offer, refuse } => {
                if !self.offers.take(&offer) {
                    return Err(PlanError::OfferGone(offer));
                }
                self.counts.offers_declined += 1;
                self.call(effects, Call::Decline { offers: vec![offer], filters: Filters { refuse } });
            }
            Action::Hold { offer, time } => {
                if !self.offers.hold(&offer, now + time.min(self.max_hold), filters) {
                    return Err(PlanError::OfferGone(offer));
                }
            }
            Action::Kill { task, grace } => {
                let known = self.tasks.get_mut(&task).ok_or_else(|| PlanError::UnknownTask(task.clone()))?;
                if known.kill.replace(grace) != Some(grace) {
                    effects.persist.push(Record::Killing { task: task.clone(), grace });
                }
                let agent = Some(known.agent.clone());
                if self.is_subscribed() {
                    self.call(effects, Call::Kill { task, agent, grace });
                }
            }
            Action::Message { agent, executor, data } => {
                if data.len() > MAX_DATA_BYTES {
                    return Err(PlanError::MessageTooLarge(data.len()));
                }
                if !self.is_subscribed() {
                    return Err(PlanError::MessageLost(executor));
                }
                self.call(effects, Call::Message { agent, executor, data });
            }
            Action::Remember { tasks } => self.remember(now, effects, tasks),
            Action::Unplaced { words } => self.waiting.note(words),
            Action::NoLongerWaits { tasks } => tasks.iter().for_each(|task| self.waiting.forget(task)),
            Action::Reconcile => {
                // Without a subscription the next one begins with just this.
                if self.is_subscribed() {
                    let tasks = self.reconciliation.begin(now, self.tasks.keys().cloned());
                    self.ask(effects, tasks);
                }
            }
            Action::Revive => {
                if self.is_subscribed() && self.scheduler.wants_offers() {
                    self.call(effects, Call::Revive { roles: BTreeSet::new() });
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self, effects: &mut Effects, offers: Vec<OfferId>, steps: Vec<Step>, filters: Filters) {
        let agent = offers.first().and_then(|offer| self.offers.get(offer)).map(|offer| offer.agent.clone());
        let agent = agent.expect("checked just now: the offers are in hand");
        for offer in &offers {
            self.offers.take(offer);
        }
        self.counts.offers_used += as_count(offers.len());
        let mut operations = Vec::with_capacity(steps.len());
        for step in steps {
            self.waiting.launched(step.tasks());
            operations.push(match step {
                Step::Launch(tasks) => {
                    self.counts.tasks_launched += as_count(tasks.len());
                    tasks.iter().for_each(|task| self.launched(effects, &task.id, &agent));
                    Operation::Launch(
                        tasks.into_iter().map(|task| LaunchTask::Valid(Box::new(task))).collect(),
                    )
                }
                Step::LaunchGroup { executor, tasks } => {
                    self.counts.tasks_launched += as_count(tasks.len());
                    tasks.iter().for_each(|task| self.launched(effects, &task.id, &agent));
                    let tasks = tasks
                        .into_iter()
                        .map(|task| LaunchTask::Valid(Box::new(TaskInfo { executor: None, ..task })));
                    Operation::LaunchGroup(LaunchGroup { executor: Ok(executor), tasks: tasks.collect() })
                }
                Step::Convert { id, conversion } => {
                    self.operations.extend(id.clone().map(|id| (id, agent.clone())));
                    Operation::Convert { id, conversion }
                }
            });
        }
        self.call(effects, Call::Accept { offers, operations, filters });
    }

    /// A task is taken for alive from now on, after a crash too.
    pub(crate) fn launched(&mut self, effects: &mut Effects, task: &TaskId, agent: &AgentId) {
        self.tasks.insert(task.clone(), Known::new(agent.clone(), TaskState::Staging));
        effects.persist.push(Record::Launched { task: task.clone(), agent: agent.clone() });
    }

    fn remember(&mut self, now: Timestamp, effects: &mut Effects, tasks: Vec<(TaskId, AgentId)>) {
        let mut new = Vec::new();
        for (task, agent) in tasks {
            if !self.tasks.contains_key(&task) {
                self.launched(effects, &task, &agent);
                new.push(task);
            }
        }
        if !new.is_empty() && self.is_subscribed() {
            self.reconciliation.begin(now, self.tasks.keys().cloned());
            self.ask(effects, new);
        }
    }

    /// Carries a stop out: now if it can be, else as soon as the subscription stands.
    fn stop(&mut self, effects: &mut Effects, stop: Stop) {
        if self.stopping == Some(Stop::TearDown) {
            // Said already; who tears down does not leave instead.
            return;
        }
        self.stopping = Some(stop);
        if stop == Stop::TearDown && self.id.is_some() {
            effects.persist.push(Record::TearingDown);
        }
        match stop {
            Stop::TearDown if self.is_subscribed() => self.call(effects, Call::Teardown),
            // A master may just be giving it an id; then there is something to tear down.
            Stop::TearDown if self.id.is_none() && !self.subscription.is_subscribing() => {
                self.finish(effects, Outcome::TornDown);
            }
            Stop::TearDown => {}
            Stop::Leave => self.finish(effects, Outcome::Left { framework: self.id.clone() }),
        }
    }
}

impl<S> InUse for Framework<S> {
    fn task(&self, id: &TaskId) -> bool {
        self.tasks.contains_key(id)
    }

    fn operation(&self, id: &OperationId) -> bool {
        self.operations.contains_key(id)
    }
}
