//! One adapter per core: what a daemon's driver does with sockets, disk and clock, a host does with queues.
//!
//! Each process takes all events that are ready, commits once, and only then sends. While a commit is
//! under way events wait, and a kill that comes then finds the batch durable or not, but nothing sent.

pub(crate) mod account;
pub(crate) mod agent;
pub(crate) mod framework;
pub(crate) mod kernel;
pub(crate) mod master;
pub(crate) mod resident;

use std::collections::VecDeque;

use lonja_model::Timestamp;

/// What all cores have in common.
pub(crate) trait Core {
    /// What happens to it.
    type Event;
    /// What it wants done.
    type Effects: Default;
    /// Does its daemon take all events that are ready before it commits, or one?
    const BATCHES: bool = true;

    fn handle(&mut self, now: Timestamp, event: Self::Event) -> Self::Effects;
    fn next_deadline(&self) -> Option<Timestamp>;
    /// The event that says that time has passed.
    fn tick() -> Self::Event;
    fn append(all: &mut Self::Effects, later: Self::Effects);
    /// Is there something to be made durable?
    fn must_commit(effects: &Self::Effects) -> bool;
    /// Does this say only that somebody is there, or that time has passed?
    fn is_keep_alive(event: &Self::Event) -> bool;
    /// Is nothing to be done, or nothing but saying that one is there?
    fn only_keeps_alive(effects: &Self::Effects) -> bool;
}

/// One life of a daemon: from its start to its kill.
pub(crate) struct Process<C: Core> {
    /// Which life of its node this is.
    pub(crate) life: u64,
    pub(crate) core: C,
    inbox: VecDeque<C::Event>,
    /// What waits for the commit that is under way.
    pub(crate) committing: Option<C::Effects>,
}

/// What a process does next.
pub(crate) enum Turn<E> {
    /// It waits.
    Idle,
    /// A commit begins.
    Commits,
    /// Nothing had to be committed: do this. True: nothing but keep-alive happened.
    Acts(E, bool),
}

impl<C: Core> Process<C> {
    /// A process whose first `effects` wait for their commit.
    pub(crate) fn starting(life: u64, core: C, effects: C::Effects) -> Self {
        Self { life, core, inbox: VecDeque::new(), committing: Some(effects) }
    }

    /// Something happened to it.
    pub(crate) fn take(&mut self, event: C::Event) {
        self.inbox.push_back(event);
    }

    /// Handles all that is ready, unless a commit is under way.
    pub(crate) fn turn(&mut self, now: Timestamp) -> Turn<C::Effects> {
        if self.committing.is_some() || self.inbox.is_empty() {
            return Turn::Idle;
        }
        let mut effects = C::Effects::default();
        let mut quiet = true;
        while let Some(event) = self.inbox.pop_front() {
            quiet = quiet && C::is_keep_alive(&event);
            C::append(&mut effects, self.core.handle(now, event));
            if !C::BATCHES {
                break;
            }
        }
        if C::must_commit(&effects) {
            self.committing = Some(effects);
            Turn::Commits
        } else {
            let quiet = quiet && C::only_keeps_alive(&effects);
            Turn::Acts(effects, quiet)
        }
    }

    /// When it wants to be woken; while it commits it sleeps.
    pub(crate) fn alarm(&self) -> Option<Timestamp> {
        if self.committing.is_some() { None } else { self.core.next_deadline() }
    }

    /// It is woken.
    pub(crate) fn wake(&mut self) {
        self.inbox.push_back(C::tick());
    }
}
