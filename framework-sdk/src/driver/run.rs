//! The driver's own loop: between the connection and the scheduler's thread.
//!
//! While the thread is at work, what comes in is gathered; what has come in by the time it is done is its next batch.
//! So one commit serves as many events as came during the last, and a scheduler that falls behind slows the master
//! down rather than filling memory.
//!
//! Invariants
//! - The thread has one batch at a time, and each is answered by one report.
//! - What waits is bounded: inputs by [`INPUTS`], calls by [`CALLS`] and what one batch leads to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use lonja_model::Timestamp;
use lonja_model::clock::Clock;
use lonja_model::scheduler::Event as MasterEvent;
use lonja_model::time::earliest;
use lonja_proto::lonja::SchedulerRequest;
use lonja_sdk_core::{Command, Event, Outcome, Scheduler};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::error::DriverError;
use super::masters::Masters;
use super::notice::Notice;
use super::shared::Shared;
use super::worker::{Decision, Input, Report, Standing, Step};
use crate::connection::{Connection, News};

/// Inputs that may wait for the thread.
const INPUTS: usize = 1_024;

/// Calls that may wait for the connection before another batch is begun.
const CALLS: usize = 4_096;

/// A call of the scheduler that takes longer is told of.
const BLOCKED: Duration = Duration::from_secs(1);

/// How long the last calls may take on their way out, and the thread to end after an error.
const ENDING: Duration = Duration::from_millis(500);

/// How long a run waits for what.
pub(crate) struct Patience {
    /// Until when the first subscription is waited for, and how long that is.
    pub(crate) wait: Option<(Timestamp, Duration)>,
    /// How long the confirmation of a tear-down is waited for.
    pub(crate) stop_within: Duration,
    pub(crate) failover_timeout: Duration,
}

/// One run. See the module.
pub(crate) struct Run<S> {
    pub(crate) clock: Clock,
    pub(crate) masters: Masters,
    /// As they were given, for errors.
    pub(crate) addresses: String,
    pub(crate) patience: Patience,
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) decisions: mpsc::Receiver<Decision<S>>,
    pub(crate) batches: mpsc::Sender<Vec<Input<S>>>,
    pub(crate) reports: mpsc::Receiver<Report<S>>,
    pub(crate) state: State<S>,
}

/// What changes while it runs.
pub(crate) struct State<S> {
    connection: Connection,
    /// The number of the connection: see [`Input::Connection`].
    number: u64,
    outgoing: Option<mpsc::Sender<SchedulerRequest>>,
    calls: VecDeque<SchedulerRequest>,
    inputs: Vec<Input<S>>,
    standing: Standing,
    /// Does the thread have a batch?
    busy: bool,
    /// When to look whether the thread is blocked.
    look: Instant,
    /// Until when the confirmation of a tear-down is waited for.
    stop: Option<Timestamp>,
    /// Has a master spoken in this run?
    spoken: bool,
}

impl<S> State<S> {
    pub(crate) fn new() -> Self {
        Self {
            connection: Connection::None,
            number: 0,
            outgoing: None,
            calls: VecDeque::new(),
            inputs: Vec::new(),
            standing: Standing::default(),
            // Its first report comes by itself.
            busy: true,
            look: Instant::now() + BLOCKED,
            stop: None,
            spoken: false,
        }
    }

    /// May the thread be given nothing now? A master that takes no calls is noticed by its silence, so what is `due`
    /// is handed over for longer than the rest.
    fn is_barred(&self, due: bool) -> bool {
        self.busy || self.calls.len() > if due { 4 * CALLS } else { CALLS }
    }

    /// The deadline to wake for: none that could not be served, or the loop would spin.
    fn armed(&self) -> Option<Timestamp> {
        self.standing.deadline.filter(|_| !self.is_barred(true))
    }
}

/// What woke the loop.
enum Woken<S> {
    News(News),
    Input(Input<S>),
    Report(Option<Report<S>>),
    Sent(bool),
    Time,
}

impl<S: Scheduler + 'static> Run<S> {
    pub(crate) async fn drive(mut self) -> Result<(S, Outcome), DriverError> {
        let end = loop {
            match self.next().await {
                Woken::News(news) => {
                    if let Err(error) = self.take_news(news) {
                        break Err(error);
                    }
                }
                Woken::Input(input) => self.state.inputs.push(input),
                Woken::Report(None) => break Err(DriverError::Thread { why: "it is gone".to_owned() }),
                Woken::Report(Some(report)) => {
                    self.state.busy = false;
                    self.take_standing(report.standing);
                    for step in report.steps {
                        self.take_step(step).await;
                    }
                    if let Some(end) = report.end {
                        return end;
                    }
                }
                Woken::Sent(sent) => {
                    if !sent {
                        // Broken: the incoming half says so. What waits would bar the thread from what comes in, and with
                        // it from that word.
                        self.state.outgoing = None;
                        self.state.calls.clear();
                    }
                }
                Woken::Time => self.look_after(),
            }
            if let Err(error) = self.give_up() {
                break Err(error);
            }
            self.hand_over();
        };
        // The thread ends when nobody has anything to tell it, and lets go of the store.
        drop(self.batches);
        self.state.connection.close();
        let gone = async { while self.reports.recv().await.is_some() {} };
        let _in_time = tokio::time::timeout(ENDING, gone).await;
        end
    }

    async fn next(&mut self) -> Woken<S> {
        let own = earliest(self.state.stop, self.patience.wait.map(|(at, _)| at));
        let deadline = earliest(self.state.armed(), own);
        let State { connection, outgoing, calls, inputs, busy, look, .. } = &mut self.state;
        let room = inputs.len() < INPUTS;
        let mut wake = deadline.map(|deadline| Instant::from(self.clock.instant(deadline)));
        if *busy {
            wake = Some(wake.map_or(*look, |wake| wake.min(*look)));
        }
        let sending = async {
            let (Some(outgoing), false) = (outgoing.as_ref(), calls.is_empty()) else {
                return std::future::pending().await;
            };
            let Ok(permits) = outgoing.reserve_many(calls.len().min(outgoing.max_capacity() / 4)).await
            else {
                return false;
            };
            for (permit, call) in permits.zip(std::iter::from_fn(|| calls.pop_front())) {
                permit.send(call);
            }
            true
        };
        tokio::select! {
            report = self.reports.recv() => Woken::Report(report),
            sent = sending => Woken::Sent(sent),
            news = connection.next(), if room => Woken::News(news),
            Some(command) = self.commands.recv(), if room => Woken::Input(Input::Command(command)),
            Some(decision) = self.decisions.recv(), if room => Woken::Input(Input::Decide(decision)),
            () = super::sleep_until(wake) => Woken::Time,
        }
    }

    /// Takes in what the connection says, and whatever else it has to say at once.
    fn take_news(&mut self, news: News) -> Result<(), DriverError> {
        let mut news = Some(news);
        while let Some(one) = news {
            self.take_one(one)?;
            let room = self.state.inputs.len() < INPUTS;
            news = if room { self.state.connection.next().now_or_never() } else { None };
        }
        Ok(())
    }

    fn take_one(&mut self, news: News) -> Result<(), DriverError> {
        let event = match news {
            News::Event(event) => event,
            News::NoMaster(why) => {
                // Later on it is something passing: a port that another took while the master is away, or its proxy.
                if self.masters.is_no_master(&why) && !self.state.spoken {
                    let why = if self.masters.len() == 1 { why } else { self.masters.why() };
                    return Err(DriverError::NoMaster { master: self.addresses.clone(), why });
                }
                self.event(Event::Disconnected { why });
                return Ok(());
            }
        };
        match &event {
            Event::Received(said) => {
                self.state.spoken = true;
                // Noted here, since the same batch may end with the connection's loss.
                if matches!(said, MasterEvent::Subscribed { .. }) {
                    self.masters.answered();
                }
            }
            Event::Answered { .. } => self.state.spoken = true,
            Event::Disconnected { why } => self.masters.failed(why.clone()),
            Event::Connected | Event::Command(_) | Event::Tick => {}
        }
        self.event(event);
        Ok(())
    }

    /// Tells of it, and puts it where the thread will find it.
    fn event(&mut self, event: Event) {
        let master = self.masters.current();
        match &event {
            Event::Connected => {
                self.state.outgoing = self.state.connection.outgoing();
                self.shared.change(|metrics| {
                    metrics.connections += 1;
                    metrics.master = Some(master.to_owned());
                });
                self.shared.tell(Notice::Connected { master: master.to_owned() });
            }
            Event::Disconnected { why } => {
                tracing::info!(master, why, "no connection to the master");
                let stood = self.state.outgoing.take().is_some();
                self.state.calls.clear();
                self.shared.change(|metrics| match stood {
                    true => metrics.lost_connections += 1,
                    false => metrics.failed_connections += 1,
                });
                self.shared.tell(Notice::Disconnected { master: master.to_owned(), why: why.clone() });
            }
            Event::Received(_) | Event::Answered { .. } | Event::Command(_) | Event::Tick => {}
        }
        self.state.inputs.push(Input::Connection(self.state.number, event));
    }

    fn take_standing(&mut self, standing: Standing) {
        let before = std::mem::replace(&mut self.state.standing, standing).subscribed;
        if let (false, true, Some(framework)) =
            (before, self.state.standing.subscribed, &self.state.standing.framework)
        {
            let (framework, master) = (framework.clone(), self.masters.current().to_owned());
            self.shared.tell(Notice::Subscribed { framework, master });
        }
    }

    async fn take_step(&mut self, step: Step) {
        let state = &mut self.state;
        match step {
            Step::Connect => {
                state.number += 1;
                state.outgoing = None;
                state.calls.clear();
                state.connection = Connection::make(self.masters.next());
            }
            Step::Send(calls) => {
                if state.outgoing.is_some() {
                    state.calls.extend(calls);
                }
            }
            Step::Close { last } => {
                if let (true, Some(outgoing)) = (last, state.outgoing.take()) {
                    let sent = async {
                        for call in state.calls.drain(..) {
                            let _broken = outgoing.send(call).await;
                        }
                    };
                    let _in_time = tokio::time::timeout(ENDING, sent).await;
                    drop(outgoing);
                    state.connection.flush_and_close().await;
                }
                state.outgoing = None;
                state.calls.clear();
                state.connection.close();
            }
        }
    }

    /// Gives the thread what has come in, if it has nothing to do.
    fn hand_over(&mut self) {
        let state = &mut self.state;
        if state.standing.subscribed {
            self.masters.answered();
        }
        let due = state.standing.deadline.is_some_and(|deadline| deadline <= self.clock.now());
        if state.is_barred(due) {
            return;
        }
        if due {
            state.inputs.push(Input::Tick);
        }
        if state.inputs.is_empty() {
            return;
        }
        state.busy = true;
        state.look = Instant::now() + BLOCKED;
        // There is room: it has answered for the last. If it is gone, the reports say so.
        let _gone = self.batches.try_send(std::mem::take(&mut state.inputs));
    }

    /// Tells of a scheduler that blocks.
    fn look_after(&mut self) {
        if !self.state.busy || self.state.look > Instant::now() {
            return;
        }
        self.state.look = Instant::now() + BLOCKED / 4;
        if let Some((method, time)) = self.shared.watch.blocked(BLOCKED) {
            let scheduler = std::any::type_name::<S>();
            tracing::warn!(
                scheduler,
                method,
                ?time,
                "the scheduler blocks: nothing is decided or acknowledged until it returns"
            );
            self.shared.tell(Notice::Blocked { method, time });
        }
    }

    /// Ends the run if what it waits for has not come in time.
    fn give_up(&mut self) -> Result<(), DriverError> {
        let now = self.clock.now();
        let (standing, patience) = (&self.state.standing, &mut self.patience);
        if standing.subscribed {
            patience.wait = None;
        }
        if let Some((_, waited)) = patience.wait.filter(|(at, _)| *at <= now) {
            let (master, why) = (self.addresses.clone(), self.masters.why());
            return Err(DriverError::Unreachable { master, waited, why });
        }
        if !standing.stopping {
            return Ok(());
        }
        let until = *self.state.stop.get_or_insert(now + patience.stop_within);
        if until > now {
            return Ok(());
        }
        let (master, waited) = (self.addresses.clone(), patience.stop_within);
        let failover_timeout = patience.failover_timeout;
        Err(match standing.framework.clone() {
            Some(framework) => DriverError::NotTornDown { framework, master, waited, failover_timeout },
            None => DriverError::Unreachable { master, waited, why: self.masters.why() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_deadline_is_armed_that_could_not_be_served() {
        let mut state = State::<()>::new();
        state.standing.deadline = Some(Timestamp::ZERO);
        assert_eq!(state.armed(), None, "the thread is at work");
        state.busy = false;
        state.calls = std::iter::repeat_with(SchedulerRequest::default).take(4 * CALLS).collect();
        assert!(state.is_barred(false) && state.armed().is_some(), "silence is still noticed");
        state.calls.push_back(SchedulerRequest::default());
        assert_eq!(state.armed(), None, "too many calls wait");
    }
}
