//! The loop that owns the core: take all that is ready, handle it, commit once, then send.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use lonja_master_core::{ClusterEvent, Effects, Event, Master, Outbound, RequestId, Snapshot, StreamId};
use lonja_model::FrameworkInfo;
use lonja_model::scheduler::{Call, CallResult};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::MasterError;
use crate::connections::{Connections, ToFramework};
use crate::handle::{Filed, Handle, INBOX, Input};
use crate::registrar::Registrar;
use lonja_model::clock::Clock;

/// Inputs handled with one commit, at most.
const BATCH: usize = 1_024;

/// Changes that one who watches may fall behind.
const WATCH_QUEUE: usize = 16_384;

/// The driver takes pictures for one part of its time in so many at most: who asks without pause waits, and the
/// cluster does not.
const PICTURE_SHARE: u32 = 5;

/// Owns the core, the live streams and the registrar.
pub(crate) struct Driver {
    clock: Clock,
    master: Master,
    registrar: Registrar,
    inbox: mpsc::Receiver<Filed>,
    connections: Connections,
    commands: BTreeMap<RequestId, oneshot::Sender<CallResult>>,
    /// Answers that do not go by their stream, and wait for the commit.
    aside: Vec<(oneshot::Sender<CallResult>, CallResult)>,
    /// Frameworks that say something else of themselves, once that is committed.
    described: Vec<(StreamId, Box<FrameworkInfo>)>,
    watchers: broadcast::Sender<ClusterEvent>,
    /// Who waits for a picture, and when the next may be taken.
    waiting: Waiting,
    next_picture: Instant,
    /// What the start of the master wants done.
    effects: Effects,
}

/// Those who wait for a picture.
#[derive(Default)]
struct Waiting {
    snapshots: Vec<oneshot::Sender<Arc<Snapshot>>>,
    watches: Vec<oneshot::Sender<(Arc<Snapshot>, broadcast::Receiver<ClusterEvent>)>>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.snapshots.is_empty() && self.watches.is_empty()
    }
}

impl Driver {
    pub(crate) fn new(
        clock: Clock,
        master: Master,
        effects: Effects,
        registrar: Registrar,
    ) -> (Handle, Self) {
        let (sender, inbox) = mpsc::channel(INBOX);
        let (watchers, _) = broadcast::channel(WATCH_QUEUE);
        let handle = Handle::new(sender, watchers.downgrade(), registrar.times());
        let driver = Self {
            clock,
            master,
            registrar,
            inbox,
            connections: Connections::default(),
            commands: BTreeMap::new(),
            aside: Vec::new(),
            described: Vec::new(),
            watchers,
            waiting: Waiting::default(),
            next_picture: Instant::now(),
            effects,
        };
        (handle, driver)
    }

    pub(crate) fn master_id(&self) -> &str {
        &self.master.info().id
    }

    /// Runs until asked to stop or until a commit fails. After a failed commit nothing is sent: what this
    /// master believes may not be so (`docs/design.md`, D3).
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), MasterError> {
        let mut inputs = Vec::with_capacity(BATCH);
        let first = std::mem::take(&mut self.effects);
        self.perform(first).await?;
        loop {
            let deadline = self.wake_up();
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                taken = self.inbox.recv_many(&mut inputs, BATCH) => {
                    if taken == 0 {
                        return Ok(());
                    }
                }
                () = sleep_until(deadline) => {}
            }
            let mut effects = Effects::default();
            for filed in inputs.drain(..) {
                effects.append(self.take(filed.input));
            }
            if self.master.next_deadline().is_some_and(|deadline| deadline <= self.clock.now()) {
                effects.append(self.master.handle(self.clock.now(), Event::Tick));
            }
            self.perform(effects).await?;
            // To tell of one that was cut off may cut off another.
            loop {
                let cut = self.connections.take_cut();
                if cut.is_empty() {
                    break;
                }
                let mut effects = Effects::default();
                for event in cut {
                    effects.append(self.master.handle(self.clock.now(), event));
                }
                self.perform(effects).await?;
            }
            self.show();
            if self.master.next_deadline().is_some_and(|deadline| deadline <= self.clock.now()) {
                // Offers are written out while more are made.
                tokio::task::yield_now().await;
            }
        }
    }

    /// When to go on, should nothing come in.
    fn wake_up(&self) -> Option<tokio::time::Instant> {
        let deadline = self.master.next_deadline().map(|deadline| self.clock.instant(deadline));
        let picture = (!self.waiting.is_empty()).then_some(self.next_picture);
        deadline.into_iter().chain(picture).min().map(Into::into)
    }

    fn take(&mut self, input: Input) -> Effects {
        match input {
            Input::Core(event) => {
                match &event {
                    Event::StreamClosed { stream } => self.connections.close_stream(*stream),
                    Event::LinkClosed { link } => self.connections.close_link(*link),
                    _ => {}
                }
                return self.handle(event);
            }
            Input::StreamOpened(stream, sender) => self.connections.open_stream(stream, sender),
            Input::LinkOpened(link, sender) => self.connections.open_link(link, sender),
            Input::CallAside(stream, framework, call, answer) => {
                let event = Event::Call { stream, id: 1, framework, call: *call };
                let mut effects = self.handle(event);
                let place = effects.send.iter().position(|sent| matches!(sent, Outbound::Answer(..)));
                if let Some(Outbound::Answer(_, _, result)) = place.map(|place| effects.send.remove(place)) {
                    self.aside.push((answer, result));
                }
                return effects;
            }
            Input::Command(request, command, answer) => {
                self.commands.insert(request, answer);
                return self.master.handle(self.clock.now(), Event::Operator { request, command });
            }
            Input::MayCall(stream, framework, answer) => {
                let _left = answer.send(self.master.may_call(stream, Some(&framework)));
            }
            Input::Alive(answer) => {
                // Whoever asked may have left.
                let _left = answer.send(());
            }
            Input::Explain(subject, answer) => {
                let _left = answer.send(self.master.explain(self.clock.now(), &subject));
            }
            Input::Snapshot(sender) => self.waiting.snapshots.push(sender),
            Input::Watch(sender) => self.waiting.watches.push(sender),
        }
        Effects::default()
    }

    /// Has the core take in what may be a call.
    fn handle(&mut self, event: Event) -> Effects {
        let described = match &event {
            Event::Call { stream, call: Call::UpdateFramework { info, .. }, .. } => {
                Some((*stream, info.clone()))
            }
            _ => None,
        };
        let effects = self.master.handle(self.clock.now(), event);
        let done = |sent: &Outbound| matches!(sent, Outbound::Answer(_, _, Ok(())));
        self.described.extend(described.filter(|_| effects.send.iter().any(done)));
        effects
    }

    async fn perform(&mut self, effects: Effects) -> Result<(), MasterError> {
        self.registrar.commit(effects.persist).await?;
        for (answer, result) in self.aside.drain(..) {
            // Whoever asked may have left.
            let _left = answer.send(result);
        }
        for (stream, info) in self.described.drain(..) {
            self.connections.send_framework(stream, ToFramework::Described(info));
        }
        for message in effects.send {
            if let Outbound::Operator(request, result) = message {
                if let Some(answer) = self.commands.remove(&request) {
                    let _left = answer.send(result);
                }
            } else {
                self.connections.send(message);
            }
        }
        for event in effects.publish {
            if let ClusterEvent::Alert(alert) = &event {
                tracing::error!(alert, "operator needed");
            }
            // Nobody watches: fine.
            let _watchers = self.watchers.send(event);
        }
        Ok(())
    }

    /// One picture serves all who wait for one. It is finished beside the loop.
    fn show(&mut self) {
        let begun = Instant::now();
        if self.waiting.is_empty() || begun < self.next_picture {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let rough = self.master.rough_snapshot();
        let watches: Vec<_> =
            waiting.watches.into_iter().map(|sender| (sender, self.watchers.subscribe())).collect();
        tokio::task::spawn_blocking(move || {
            let snapshot = Arc::new(rough.finished());
            for sender in waiting.snapshots {
                let _left = sender.send(snapshot.clone());
            }
            for (sender, changes) in watches {
                let _left = sender.send((snapshot.clone(), changes));
            }
        });
        self.next_picture = Instant::now() + begun.elapsed() * (PICTURE_SHARE - 1);
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use lonja_model::framework::Capability;

    use super::*;
    use crate::{Config, StoreKind};

    fn told(info: &FrameworkInfo) -> Call {
        Call::UpdateFramework {
            info: Box::new(info.clone()),
            suppressed: Default::default(),
            constraints: Default::default(),
        }
    }

    #[tokio::test]
    async fn what_a_framework_says_of_itself_later_reaches_its_door_before_what_follows() {
        let listen = ([127, 0, 0, 1], 0).into();
        let config = Config { listen, hostname: None, store: StoreKind::Memory, core: Default::default() };
        let running = crate::start(config).await.unwrap();
        let handle = running.handle();
        let mut stream = handle.open_stream().await.unwrap();
        let mut info = FrameworkInfo::named("f");
        let (suppressed, constraints) = Default::default();
        let call = Call::Subscribe { framework: None, info: Box::new(info.clone()), suppressed, constraints };
        handle.call(stream.id, 1, None, call).await.unwrap();
        info.capabilities.insert(Capability::ReservationRefinement);
        handle.call(stream.id, 2, None, told(&info)).await.unwrap();
        info.user.push('x');
        handle.call(stream.id, 3, None, told(&info)).await.unwrap();

        let mut described = 0;
        loop {
            match stream.queue.recv().await.unwrap().message {
                ToFramework::Described(now) => {
                    assert!(now.can(Capability::ReservationRefinement));
                    described += 1;
                }
                ToFramework::Answer(2, result) => assert!(result.is_ok() && described == 1),
                ToFramework::Answer(3, result) => {
                    assert!(result.is_err() && described == 1, "what is refused changes nothing");
                    break;
                }
                ToFramework::Answer(..) | ToFramework::Event(_) => {}
            }
        }
    }
}
