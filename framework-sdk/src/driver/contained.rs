//! A scheduler whose panics stay inside, and of which is known what it is doing.
//!
//! Invariants
//! - A scheduler that has panicked is not called again: what it holds may be half done.
//! - While a method runs, [`Watch`] says which and since when.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lonja_model::offer::InverseOffer;
use lonja_model::operation::OperationStatus;
use lonja_model::resources::Quantities;
use lonja_model::scheduler::MasterInfo;
use lonja_model::{AgentId, ExecutorId, FrameworkId, Offer, OfferId, TaskStatus, Timestamp};
use lonja_sdk_core::{Change, Plan, Problem, Scheduler};

/// What runs at this moment, and how long all calls took. Written by the scheduler's thread, read by others.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<Watched>);

#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    running: Option<(&'static str, Instant)>,
    /// Has it been said of the running one that it takes long?
    told: bool,
    calls: u64,
    time: Duration,
    blocked: u64,
}

impl Watched {
    fn end(&mut self) {
        self.running = None;
        self.told = false;
    }
}

/// What all calls came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls {
    pub(crate) number: u64,
    pub(crate) time: Duration,
    pub(crate) blocked: u64,
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work`, which is called `name`, and may be seen doing it.
    pub(crate) fn over<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> T {
        self.lock().running = Some((name, Instant::now()));
        let result = work();
        self.lock().end();
        result
    }

    /// The same, counted as a call of the scheduler.
    fn call<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        self.lock().running = Some((name, began));
        let result = work();
        let time = began.elapsed();
        let mut watched = self.lock();
        watched.end();
        watched.calls += 1;
        watched.time += time;
        result
    }

    /// What has been running for at least `limit`, told once for each call.
    pub(crate) fn blocked(&self, limit: Duration) -> Option<(&'static str, Duration)> {
        let mut watched = self.lock();
        let (name, since) = watched.running?;
        let time = since.elapsed();
        if watched.told || time < limit {
            return None;
        }
        watched.told = true;
        watched.blocked += 1;
        Some((name, time))
    }

    pub(crate) fn calls(&self) -> Calls {
        let watched = self.lock();
        Calls { number: watched.calls, time: watched.time, blocked: watched.blocked }
    }
}

/// How a scheduler panicked.
#[derive(Clone, Debug)]
pub(crate) struct Panicked {
    pub(crate) method: &'static str,
    pub(crate) message: String,
}

/// Runs somebody else's code, which is called `method`; what its panic leaves half done is for the caller never to look at
/// again.
pub(crate) fn caught<T>(method: &'static str, work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        let message = text.unwrap_or_else(|| "no message".to_owned());
        // What was thrown may itself panic when it is dropped. What that throws is not dropped at all.
        if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(another);
        }
        Panicked { method, message }
    })
}

/// See the module. The scheduler's drop is contained too; of a panic in it the log tells.
pub(crate) struct Contained<S> {
    /// There until it is taken out.
    scheduler: Option<S>,
    watch: Arc<Watch>,
    panicked: RefCell<Option<Panicked>>,
}

impl<S> Contained<S> {
    pub(crate) fn new(scheduler: S, watch: Arc<Watch>) -> Self {
        Self { scheduler: Some(scheduler), watch, panicked: RefCell::new(None) }
    }

    pub(crate) fn into_inner(mut self) -> S {
        self.scheduler.take().expect("a scheduler is taken out once, by value")
    }

    /// Drops the scheduler. How it panicked, if it did.
    pub(crate) fn drop_scheduler(&mut self) -> Option<Panicked> {
        let scheduler = self.scheduler.take()?;
        self.watch.over("drop", || caught("drop", || drop(scheduler))).err()
    }

    /// How it has panicked, if it has.
    pub(crate) fn panicked(&self) -> Option<Panicked> {
        self.panicked.borrow().clone()
    }

    /// Lets the scheduler do something; a default if it panics, or has.
    pub(crate) fn call<T: Default>(&mut self, name: &'static str, work: impl FnOnce(&mut S) -> T) -> T {
        let (Some(scheduler), watch, panicked) = (&mut self.scheduler, &self.watch, &self.panicked) else {
            return T::default();
        };
        guarded(watch, panicked, name, || work(scheduler)).unwrap_or_default()
    }

    fn ask<T: Default>(&self, name: &'static str, work: impl FnOnce(&S) -> T) -> T {
        let Some(scheduler) = &self.scheduler else { return T::default() };
        guarded(&self.watch, &self.panicked, name, || work(scheduler)).unwrap_or_default()
    }
}

impl<S> Drop for Contained<S> {
    fn drop(&mut self) {
        if let Some(Panicked { method, message }) = self.drop_scheduler() {
            let scheduler = std::any::type_name::<S>();
            tracing::error!(scheduler, method, message, "the scheduler panicked as it was dropped");
        }
    }
}

fn guarded<T>(
    watch: &Watch,
    panicked: &RefCell<Option<Panicked>>,
    name: &'static str,
    work: impl FnOnce() -> T,
) -> Option<T> {
    if panicked.borrow().is_some() {
        return None;
    }
    let done = watch.call(name, || caught(name, work));
    done.map_err(|how| panicked.replace(Some(how))).ok()
}

impl<S: Scheduler> Scheduler for Contained<S> {
    fn offers(&mut self, now: Timestamp, offers: &[Offer]) -> Plan {
        self.call("offers", |scheduler| scheduler.offers(now, offers))
    }

    fn update(&mut self, now: Timestamp, status: &TaskStatus) -> Plan {
        self.call("update", |scheduler| scheduler.update(now, status))
    }

    fn wants_offers(&self) -> bool {
        self.ask("wants_offers", S::wants_offers)
    }

    fn needs(&self) -> Vec<Quantities> {
        self.ask("needs", S::needs)
    }

    fn operation(&mut self, now: Timestamp, status: &OperationStatus) -> Plan {
        self.call("operation", |scheduler| scheduler.operation(now, status))
    }

    fn asked_to_leave(&mut self, now: Timestamp, offer: &InverseOffer) -> Plan {
        self.call("asked_to_leave", |scheduler| scheduler.asked_to_leave(now, offer))
    }

    fn may_stay(&mut self, now: Timestamp, offer: &OfferId) {
        self.call("may_stay", |scheduler| scheduler.may_stay(now, offer));
    }

    fn subscribed(&mut self, now: Timestamp, framework: &FrameworkId, master: &MasterInfo) -> Plan {
        self.call("subscribed", |scheduler| scheduler.subscribed(now, framework, master))
    }

    fn disconnected(&mut self, now: Timestamp) {
        self.call("disconnected", |scheduler| scheduler.disconnected(now));
    }

    fn rescinded(&mut self, now: Timestamp, offer: &OfferId) {
        self.call("rescinded", |scheduler| scheduler.rescinded(now, offer));
    }

    fn agent_lost(&mut self, now: Timestamp, agent: &AgentId) -> Plan {
        self.call("agent_lost", |scheduler| scheduler.agent_lost(now, agent))
    }

    fn executor_lost(
        &mut self,
        now: Timestamp,
        agent: &AgentId,
        executor: &ExecutorId,
        status: Option<i32>,
    ) -> Plan {
        self.call("executor_lost", |scheduler| scheduler.executor_lost(now, agent, executor, status))
    }

    fn message(&mut self, now: Timestamp, agent: &AgentId, executor: &ExecutorId, data: &[u8]) -> Plan {
        self.call("message", |scheduler| scheduler.message(now, agent, executor, data))
    }

    fn refused(&mut self, now: Timestamp, problem: &Problem) -> Plan {
        self.call("refused", |scheduler| scheduler.refused(now, problem))
    }

    fn changes(&mut self) -> Vec<Change> {
        self.call("changes", S::changes)
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.ask("next_deadline", S::next_deadline)
    }

    fn tick(&mut self, now: Timestamp) -> Plan {
        self.call("tick", |scheduler| scheduler.tick(now))
    }
}
