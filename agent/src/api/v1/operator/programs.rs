//! Programs that operators started within containers: nested containers, as Mesos calls them.
//!
//! Each runs beside the task of a container, as with `lonja exec`, under a name that whoever started it chose. Its end is
//! remembered for who waits for it, until it is removed or too many have ended after it.
//!
//! Invariants
//! - What runs has a session's place ([`Sessions`]); what has ended is bounded by [`MOST_REMEMBERED`].
//! - Output goes to whoever looks on, and nothing of it is kept: a program whose output nobody takes waits, one that nobody
//!   looks at goes on.
//! - One that has ended keeps nothing but its end: no descriptor.
//! - A program that was started as a session ends when who started it leaves, and every one when the agent does.
//!
//! Source: Mesos agent, `Http::launchContainer`, `Http::launchNestedContainerSession`; I/O switchboard.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::{mpsc, watch};

use crate::api::sessions::{READER_PATIENCE, Sessions};
use crate::api::v1::refusal::Refusal;
use crate::containerizer::{
    ContainerId, FailureReason, Nested, NestedControl, NestedEvent, NestedInput, NestedProcess, OutputStream,
    TaskEnd, WindowSize,
};

/// Ends that are remembered.
const MOST_REMEMBERED: usize = 1_024;

/// Who looks on at one program.
const MOST_VIEWERS: usize = 8;

/// How long one who only looks on may take to read on. Whoever started it may take longer ([`READER_PATIENCE`]).
const VIEWER_PATIENCE: Duration = Duration::from_secs(10);

/// Pieces of output that wait for each.
const MOST_WAITING: usize = 4;

/// The longest name, in bytes.
const LONGEST_NAME: usize = 242;

/// The name of a program: that of the container it is in, and its own.
pub(super) type Name = (ContainerId, String);

/// A piece of output.
pub(super) type Piece = (OutputStream, Vec<u8>);

/// What somebody types into.
pub(super) type Input = Arc<tokio::sync::Mutex<Option<NestedInput>>>;

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As wait(2) has it.
    Status(i32),
    /// Nobody knows, for this reason.
    Unknown(String),
}

/// One program.
pub(super) struct Program {
    /// `None`: it has ended.
    control: Mutex<Option<NestedControl>>,
    /// Taken by one at a time; gone once it was closed, or the program has ended.
    pub(super) input: Input,
    pub(super) end: watch::Receiver<Option<End>>,
    /// `None`: it has ended.
    viewers: Mutex<Option<Vec<mpsc::Sender<Piece>>>>,
    number: u64,
}

enum Slot {
    /// It is being started.
    Starting,
    There(Arc<Program>),
}

/// What became of a wish to start one.
pub(super) enum Started {
    Now,
    /// One of that name is there.
    Before,
}

/// All of them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Programs {
    sessions: Sessions,
    all: Arc<Mutex<BTreeMap<Name, Slot>>>,
    numbers: Arc<AtomicU64>,
    stop: watch::Receiver<bool>,
}

impl Programs {
    pub(super) fn new(sessions: Sessions, stop: watch::Receiver<bool>) -> Self {
        Self { sessions, all: Arc::default(), numbers: Arc::default(), stop }
    }

    /// Who else is in containers, and how many may be.
    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The program of that name, if it was started.
    pub(super) fn get(&self, name: &Name) -> Option<Arc<Program>> {
        match self.all().get(name) {
            Some(Slot::There(program)) => Some(program.clone()),
            Some(Slot::Starting) | None => None,
        }
    }

    /// Those that run, by name.
    pub(super) fn running(&self) -> Vec<Name> {
        let all = self.all();
        let running = all.iter().filter(|(_, slot)| !matches!(slot, Slot::There(one) if one.has_ended()));
        running.map(|(name, _)| name.clone()).collect()
    }

    /// Forgets a program that has ended. Errors: it runs.
    pub(super) fn remove(&self, name: &Name) -> Result<(), Refusal> {
        let mut all = self.all();
        match all.get(name) {
            None => Ok(()),
            Some(Slot::There(program)) if program.has_ended() => {
                all.remove(name);
                Ok(())
            }
            Some(_) => Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("container {} runs; kill it, and wait for its end", name.1),
            )),
        }
    }

    /// Starts one; with an owner it ends when that one's end of the channel is dropped. Errors: the container does not run,
    /// or the command cannot be run there.
    pub(super) async fn start(
        &self,
        name: &Name,
        nested: Nested,
        owner: Option<mpsc::Sender<Piece>>,
    ) -> Result<Started, Refusal> {
        check_name(&name.1)?;
        if !self.reserve(name) {
            return Ok(Started::Before);
        }
        // Should this be dropped on the way, the name is free again.
        let mut held = Held { programs: self, name, is_kept: false };
        let place = self.sessions.enter(&name.0).map_err(|status| Refusal::unavailable(status.message()))?;
        let started = self.sessions.containerizer.run_inside(&name.0, nested).await;
        let mut process = started.map_err(|failure| match failure.reason {
            FailureReason::Internal | FailureReason::LauncherGone => {
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, failure.message)
            }
            _ => Refusal::bad(failure.message),
        })?;
        let (ended, end) = watch::channel(None);
        let program = Arc::new(Program {
            control: Mutex::new(Some(process.control())),
            input: Arc::new(tokio::sync::Mutex::new(process.take_input())),
            end,
            viewers: Mutex::new(Some(owner.iter().cloned().collect())),
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
        });
        self.all().insert(name.clone(), Slot::There(program.clone()));
        held.is_kept = true;
        tokio::spawn(run(program.clone(), process, ended, owner, self.stop.clone(), place));
        Ok(Started::Now)
    }

    /// Takes a name; `false`: it is taken. Ends that are too many are forgotten.
    fn reserve(&self, name: &Name) -> bool {
        let mut all = self.all();
        if all.contains_key(name) {
            return false;
        }
        let ended = all.iter().filter_map(|(name, slot)| match slot {
            Slot::There(program) if program.has_ended() => Some((program.number, name.clone())),
            Slot::There(_) | Slot::Starting => None,
        });
        let mut ended: Vec<(u64, Name)> = ended.collect();
        if ended.len() >= MOST_REMEMBERED {
            ended.sort();
            for (_, oldest) in ended.drain(..=ended.len() - MOST_REMEMBERED) {
                all.remove(&oldest);
            }
        }
        all.insert(name.clone(), Slot::Starting);
        true
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Name, Slot>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that is taken until it is known whether the program starts.
struct Held<'a> {
    programs: &'a Programs,
    name: &'a Name,
    is_kept: bool,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.programs.all().remove(self.name);
        }
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let is_plain = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '/' | '.');
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
        let said = format!(
            "container_id.value: must be 1 to {LONGEST_NAME} bytes, without '/', '.', spaces and control characters"
        );
        return Err(Refusal::bad(said));
    }
    Ok(())
}

impl Program {
    pub(super) fn has_ended(&self) -> bool {
        self.end.borrow().is_some()
    }

    /// What it writes from now on; it ends with the program. Errors: too many look on.
    pub(super) fn view(&self) -> Result<mpsc::Receiver<Piece>, Refusal> {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        if let Some(viewers) = &mut *self.viewers() {
            viewers.retain(|viewer| !viewer.is_closed());
            if viewers.len() >= MOST_VIEWERS {
                return Err(Refusal::unavailable("too many look on at this container already"));
            }
            viewers.push(sender);
        }
        Ok(receiver)
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) -> End {
        let mut end = self.end.clone();
        let ended = end.wait_for(Option::is_some).await;
        let known = ended.ok().and_then(|end| end.clone());
        known.unwrap_or_else(|| End::Unknown("the agent has stopped".to_owned()))
    }

    /// Sends it a signal, unless it has ended.
    pub(super) fn signal(&self, signal: i32) {
        if let Some(control) = &*self.control() {
            control.signal(signal);
        }
    }

    /// Changes the size of its terminal, if it has one and has not ended.
    pub(super) fn resize(&self, size: WindowSize) {
        if let Some(control) = &*self.control() {
            control.resize(size);
        }
    }

    fn control(&self) -> MutexGuard<'_, Option<NestedControl>> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a piece to all who look on at once; who does not take it for long is left out from then on.
    async fn show(&self, piece: Piece, owner: Option<&mpsc::Sender<Piece>>) {
        let viewers = self.viewers().clone().unwrap_or_default();
        let sent = viewers.iter().map(|viewer| {
            let is_owner = owner.is_some_and(|owner| owner.same_channel(viewer));
            let patience = if is_owner { READER_PATIENCE } else { VIEWER_PATIENCE };
            tokio::time::timeout(patience, viewer.send(piece.clone()))
        });
        let sent = futures::future::join_all(sent).await;
        for (viewer, _) in viewers.iter().zip(sent).filter(|(_, sent)| !matches!(sent, Ok(Ok(())))) {
            if let Some(viewers) = &mut *self.viewers() {
                viewers.retain(|other| !other.same_channel(viewer));
            }
        }
    }

    /// Lets go of what only a program that runs has.
    async fn let_go(&self) {
        *self.viewers() = None;
        *self.control() = None;
        // Whoever types knows that it has ended, and lets go.
        *self.input.lock().await = None;
    }

    fn shows_to(&self, viewer: &mpsc::Sender<Piece>) -> bool {
        self.viewers().iter().flatten().any(|other| other.same_channel(viewer))
    }

    fn viewers(&self) -> MutexGuard<'_, Option<Vec<mpsc::Sender<Piece>>>> {
        self.viewers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room for an owner's output.
pub(super) fn owner() -> (mpsc::Sender<Piece>, mpsc::Receiver<Piece>) {
    mpsc::channel(MOST_WAITING)
}

/// Sees a program through to its end. Dropping the process ends it.
async fn run(
    program: Arc<Program>,
    mut process: NestedProcess,
    ended: watch::Sender<Option<End>>,
    owner: Option<mpsc::Sender<Piece>>,
    mut stop: watch::Receiver<bool>,
    _place: impl Send,
) {
    let left = async {
        match &owner {
            Some(owner) => owner.closed().await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(left);
    let end = loop {
        let event = tokio::select! {
            event = process.next() => event,
            () = &mut left => break End::Status(libc::SIGKILL),
            _ = stop.wait_for(|stop| *stop) => break End::Unknown("the agent has stopped".to_owned()),
        };
        match event {
            Some(NestedEvent::Output(stream, data)) => {
                tokio::select! {
                    () = program.show((stream, data), owner.as_ref()) => {}
                    () = &mut left => break End::Status(libc::SIGKILL),
                    _ = stop.wait_for(|stop| *stop) => {
                        break End::Unknown("the agent has stopped".to_owned());
                    }
                }
                if owner.as_ref().is_some_and(|owner| !program.shows_to(owner)) {
                    // It was cut, for it took nothing for long.
                    break End::Status(libc::SIGKILL);
                }
            }
            Some(NestedEvent::Ended(end)) => break End::Status(wait_status(&end.status)),
            Some(NestedEvent::Lost(failure)) => break End::Unknown(failure.message),
            None => break End::Unknown("the process was lost".to_owned()),
        }
    };
    drop(process);
    ended.send_replace(Some(end));
    program.let_go().await;
}

/// As wait(2) has it.
pub(super) fn wait_status(end: &TaskEnd) -> i32 {
    match end {
        TaskEnd::Exited(code) => (code & 0xff) << 8,
        TaskEnd::Signaled(signal) => *signal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_looks_on_and_reads_nothing_does_not_keep_a_session_from_its_end() {
        let piece = || NestedEvent::Output(OutputStream::Stdout, b"x".to_vec());
        let mut process = NestedProcess::scripted((0..9).map(|_| piece()).collect());
        let ((sender, mut owned), (ended, end)) = (owner(), watch::channel(None));
        let program = Arc::new(Program {
            control: Mutex::new(Some(process.control())),
            input: Arc::new(tokio::sync::Mutex::new(process.take_input())),
            end,
            viewers: Mutex::new(Some(vec![sender.clone()])),
            number: 0,
        });
        let _reads_nothing = program.view().ok().unwrap();
        let (_asks, stop) = watch::channel(false);
        tokio::spawn(run(program.clone(), process, ended, Some(sender), stop, ()));
        for _ in 0..=MOST_WAITING {
            assert!(owned.recv().await.is_some());
        }
        drop(owned);

        let end = tokio::time::timeout(VIEWER_PATIENCE / 2, program.ended()).await;

        assert_eq!(end.ok(), Some(End::Status(libc::SIGKILL)));
        while program.control().is_some() {
            tokio::task::yield_now().await;
        }
    }
}
