//! What the master says, and how it answers.

use std::time::Duration;

use lonja_model::operation::OperationStatus;
use lonja_model::scheduler::{Call, CallResult, Event as MasterEvent, MasterInfo, Refusal, RefusalCode};
use lonja_model::{FrameworkId, Offer, TaskState, TaskStatus, Timestamp};

use crate::calls::Sent;
use crate::counts::as_count;
use crate::plan::Stop;
use crate::{Effects, Framework, Outcome, Problem, Record, Scheduler};

/// How a master begins to say that the framework is no more.
/// Source: Mesos, `Master::subscribe` and `Master::removeFramework`.
const REMOVED: &str = "Framework has been removed";

impl<S: Scheduler> Framework<S> {
    pub(crate) fn received(&mut self, now: Timestamp, effects: &mut Effects, event: MasterEvent) {
        match event {
            MasterEvent::Subscribed { framework, heartbeat, master } => {
                self.subscribed(now, effects, framework, heartbeat, &master);
            }
            MasterEvent::Error(why) => self.ended(effects, why),
            // The connection was given up meanwhile: what still comes by it no longer counts.
            _ if !self.is_subscribed() => {}
            MasterEvent::Heartbeat => {}
            MasterEvent::Offers(offers) => self.offered(now, effects, &offers),
            MasterEvent::Rescind(offer) => {
                if self.offers.take(&offer) {
                    self.counts.offers_rescinded += 1;
                    self.scheduler.rescinded(now, &offer);
                }
            }
            MasterEvent::InverseOffers(offers) => {
                for offer in &offers {
                    let plan = self.scheduler.asked_to_leave(now, offer);
                    self.carry_out(now, effects, plan);
                }
            }
            MasterEvent::RescindInverse(offer) => self.scheduler.may_stay(now, &offer),
            MasterEvent::OperationUpdate(status) => self.operation_updated(now, effects, &status),
            MasterEvent::Update(status) => self.updated(now, effects, &status),
            MasterEvent::Message { agent, executor, data } => {
                let plan = self.scheduler.message(now, &agent, &executor, &data);
                self.carry_out(now, effects, plan);
            }
            MasterEvent::Failure { agent, executor, status } => {
                let plan = match executor {
                    Some(executor) => self.scheduler.executor_lost(now, &agent, &executor, status),
                    None => self.scheduler.agent_lost(now, &agent),
                };
                self.carry_out(now, effects, plan);
            }
        }
    }

    fn subscribed(
        &mut self,
        now: Timestamp,
        effects: &mut Effects,
        framework: FrameworkId,
        heartbeat: Duration,
        master: &MasterInfo,
    ) {
        if self.id.as_ref() != Some(&framework) {
            effects.persist.push(Record::Framework(Some(framework.clone())));
        }
        self.id = Some(framework.clone());
        self.subscription.subscribed(now, heartbeat);
        self.counts.subscriptions += 1;
        self.drop_offers();
        if self.stopping == Some(Stop::TearDown) {
            effects.persist.push(Record::TearingDown);
            return self.call(effects, Call::Teardown);
        }
        if std::mem::take(&mut self.earlier_run) {
            self.call(effects, Call::Reconcile { tasks: Vec::new() });
        }
        // A new master has heard of no needs, and of no task that waits.
        self.requested.clear();
        self.waiting.subscribed();
        if !self.operations.is_empty() {
            let named = self.operations.iter().map(|(id, agent)| (id.clone(), Some(agent.clone())));
            self.call(effects, Call::ReconcileOperations { operations: named.collect() });
        }
        let tasks = self.reconciliation.begin(now, self.tasks.keys().cloned());
        self.ask(effects, tasks);
        let kills = self.tasks.iter().filter_map(|(task, known)| {
            Some(Call::Kill { task: task.clone(), agent: Some(known.agent.clone()), grace: known.kill? })
        });
        for kill in kills.collect::<Vec<_>>() {
            self.call(effects, kill);
        }
        let plan = self.scheduler.subscribed(now, &framework, master);
        self.carry_out(now, effects, plan);
    }

    fn offered(&mut self, now: Timestamp, effects: &mut Effects, offers: &[Offer]) {
        if self.is_stopping() {
            // They go back with the framework.
            return;
        }
        self.counts.offers_received += as_count(offers.len());
        self.counts.offers_void += as_count(self.offers.put(offers));
        let plan = self.scheduler.offers(now, offers);
        let filters = plan.filters();
        self.carry_out(now, effects, plan);
        if self.finished {
            return;
        }
        let offers = self.offers.take_rest();
        self.counts.offers_declined += as_count(offers.len());
        if !offers.is_empty() {
            self.call(effects, Call::Decline { offers, filters });
        }
    }

    fn updated(&mut self, now: Timestamp, effects: &mut Effects, status: &TaskStatus) {
        // UNREACHABLE settles nothing: a master that never saw the task says so of any task on a silent agent,
        // and has nothing to tell when that agent returns without it.
        if status.state != TaskState::Unreachable {
            self.reconciliation.answered(&status.task);
        }
        let mut plan = None;
        self.counts.updates += 1;
        // Asked before the end was seen, answered after: the master has forgotten the task by then, and calls it gone.
        let is_over = status.update.is_none()
            && !self.tasks.contains_key(&status.task)
            && self.seen.has_ended(&status.task);
        if !is_over && status.update.is_none_or(|update| self.seen.note(update)) {
            self.note_state(effects, status);
            plan = Some(self.scheduler.update(now, status));
        } else {
            self.counts.duplicates += 1;
        }
        // Before the plan: an id may be launched anew only after its end is acknowledged, and a plan may end
        // the framework.
        if let (Some(update), Some(agent)) = (status.update, status.agent.clone()) {
            self.call(effects, Call::Acknowledge { agent, task: status.task.clone(), update });
        }
        if let Some(plan) = plan {
            self.carry_out(now, effects, plan);
        }
    }

    fn operation_updated(&mut self, now: Timestamp, effects: &mut Effects, status: &OperationStatus) {
        let mut plan = None;
        self.counts.operation_updates += 1;
        if status.update.is_none_or(|update| self.seen.note(update)) {
            if let Some(id) = status.operation.as_ref().filter(|_| status.state.is_terminal()) {
                self.operations.remove(id);
            }
            plan = Some(self.scheduler.operation(now, status));
        } else {
            self.counts.duplicates += 1;
        }
        if let (Some(update), Some(operation)) = (status.update, status.operation.clone()) {
            let agent = status.agent.clone();
            self.call(effects, Call::AcknowledgeOperation { agent, operation, update });
        }
        if let Some(plan) = plan {
            self.carry_out(now, effects, plan);
        }
    }

    fn note_state(&mut self, effects: &mut Effects, status: &TaskStatus) {
        if status.state.is_terminal() {
            if self.tasks.remove(&status.task).is_some() {
                effects.persist.push(Record::Ended { task: status.task.clone() });
                self.seen.note_end(&status.task);
            }
        } else if let Some(known) = self.tasks.get_mut(&status.task) {
            known.state = status.state;
        } else if let Some(agent) = status.agent.clone() {
            // Launched by an earlier run of this framework that kept no notes.
            self.launched(effects, &status.task, &agent);
            if let Some(known) = self.tasks.get_mut(&status.task) {
                known.state = status.state;
            }
        }
    }

    pub(crate) fn answered(&mut self, now: Timestamp, effects: &mut Effects, id: u64, result: CallResult) {
        let Some(sent) = self.calls.take(id) else { return };
        match (sent, result) {
            (Sent::Other(Call::Teardown), Ok(())) => self.finish(effects, Outcome::TornDown),
            (_, Ok(())) => {}
            (Sent::Subscribe, Err(refusal)) => self.not_subscribed(now, effects, refusal),
            (sent, Err(refusal)) => self.refused(now, effects, sent, refusal),
        }
    }

    fn not_subscribed(&mut self, now: Timestamp, effects: &mut Effects, refusal: Refusal) {
        match refusal.code {
            RefusalCode::NotLeader | RefusalCode::RateLimited => self.reconnect(now, effects),
            RefusalCode::InvalidArgument
            | RefusalCode::NotSubscribed
            | RefusalCode::NotFound
            | RefusalCode::Conflict
            | RefusalCode::Unsupported => {
                self.ended(effects, refusal.message);
            }
        }
    }

    /// A call was refused. One that came too fast is sent again; a lost ACCEPT is cleared away.
    fn refused(&mut self, now: Timestamp, effects: &mut Effects, sent: Sent, refusal: Refusal) {
        let call = sent.name();
        let too_fast = refusal.code == RefusalCode::RateLimited;
        match sent {
            Sent::Accept { offers, tasks } => {
                if !self.calls.give_back(now, offers) {
                    return self.reconnect(now, effects);
                }
                // Told already of most; of the others nobody tells unless asked.
                let open = tasks.into_iter().filter(|task| self.tasks.contains_key(task));
                self.reconciliation.also(now, open);
            }
            Sent::Unplaced if too_fast => return self.waiting.came_too_fast(now),
            Sent::Unplaced => {
                self.waiting.refused();
                // A master from before there was this call misses one that it knows. Nothing is lost by that.
                let unknown = refusal.field.as_deref() == Some("call");
                if unknown || refusal.code == RefusalCode::Unsupported {
                    return;
                }
            }
            Sent::Other(call) if too_fast => {
                if !self.calls.hold_back(now, call) {
                    self.reconnect(now, effects);
                }
                return;
            }
            // The update was acknowledged before, or its agent is away and will send it again.
            Sent::Other(Call::Acknowledge { .. }) => return,
            Sent::Other(Call::Teardown) => return self.reconnect(now, effects),
            Sent::Other(_) | Sent::Subscribe => {}
        }
        self.tell(now, effects, Problem::Refused { call, refusal });
    }

    fn ended(&mut self, effects: &mut Effects, why: String) {
        // Nothing but this word proves it. By any other, such as that another instance has taken over or that the
        // subscription is refused, the framework lives on, and so do its id and the intent to tear it down.
        let removed = why.starts_with(REMOVED);
        if self.stopping == Some(Stop::TearDown) && removed {
            return self.finish(effects, Outcome::TornDown);
        }
        self.removed = removed && self.id.is_some();
        let why = match why.as_str() {
            "Framework failed over" => {
                format!("{why}: another instance has subscribed with this framework's id; run one at a time")
            }
            _ => why,
        };
        self.finish(effects, Outcome::EndedByMaster { why });
    }
}
