//! Agents and frameworks in one thread, on as many connections as there are of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::agent::{Agent, Tally};
use super::door::{Door, DoorKind};
use super::framework::Framework;
use super::http1::{Http1, Piece};
use super::socket::Socket;

/// Agents that may be about to register at once: as many as the master's queue of connections takes well.
const REGISTERING: usize = 256;

/// Sockets that are looked at in one turn, at most.
const TURN: usize = 512;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Tokens: agents by their number, then frameworks, two sockets each, then the reader.
const FRAMEWORKS: u64 = 1 << 32;
const READER: u64 = 1 << 33;

/// A GET whose answer is counted, not kept.
pub(super) struct Reader {
    connection: Http1,
    pub(super) status: u16,
    pub(super) bytes: u64,
    /// When all of it had come.
    pub(super) done: Option<Instant>,
}

/// The load.
pub(super) struct Generator {
    master: SocketAddr,
    epoll: Epoll,
    scratch: Vec<u8>,
    pub(super) agents: Vec<Agent>,
    pub(super) frameworks: Vec<Framework>,
    pub(super) reader: Option<Reader>,
    pub(super) tally: Tally,
    /// Do tasks end by themselves?
    pub(super) finish: bool,
}

impl Generator {
    pub(super) fn new(master: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            master,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            scratch: vec![0; 256 << 10],
            agents: Vec::new(),
            frameworks: Vec::new(),
            reader: None,
            tally: Tally::default(),
            finish: false,
        })
    }

    /// Registers so many agents, each on a connection of its own, and waits until all are admitted.
    pub(super) fn register(&mut self, count: usize) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let total = self.agents.len() + count;
        while self.tally.registered < total {
            while self.agents.len() < total && self.agents.len() - self.tally.registered < REGISTERING {
                let number = self.agents.len();
                let agent = Agent::connect(self.master, number)?;
                watch(&self.epoll, &agent.link.socket, number as u64)?;
                self.agents.push(agent);
            }
            self.turn(PATIENCE)?;
            if began.elapsed() > PATIENCE {
                bail!("{} of {total} agents were admitted within {PATIENCE:?}", self.tally.registered);
            }
        }
        Ok(began.elapsed())
    }

    /// A further framework; not waited for.
    pub(super) fn subscribe(
        &mut self,
        kind: DoorKind,
        most_calls: usize,
        count_answers: bool,
        suppressed: bool,
    ) -> anyhow::Result<usize> {
        let number = self.frameworks.len();
        let door = Door::open(kind, self.master, most_calls, count_answers)?;
        for (which, socket) in door.sockets().into_iter().enumerate() {
            watch(&self.epoll, socket, FRAMEWORKS + number as u64 * 2 + which as u64)?;
        }
        let mut framework = Framework::subscribe(door, number, suppressed);
        framework.door.flush()?;
        self.frameworks.push(framework);
        Ok(number)
    }

    /// Begins to read a path.
    pub(super) fn get(&mut self, path: &str) -> anyhow::Result<()> {
        let mut connection = Http1::connect(self.master, 1)?;
        watch(&self.epoll, &connection.socket, READER)?;
        connection.request(&format!("GET {path}"), "", &[]);
        connection.flush()?;
        self.reader = Some(Reader { connection, status: 0, bytes: 0, done: None });
        Ok(())
    }

    /// Goes on until something holds.
    pub(super) fn until(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> anyhow::Result<Duration> {
        let began = Instant::now();
        while !holds(self) {
            let left = PATIENCE.saturating_sub(began.elapsed());
            if left.is_zero() {
                bail!("waited {PATIENCE:?} in vain: {what} ({:?})", self.tally);
            }
            self.turn(left).with_context(|| format!("while this was waited for: {what}"))?;
        }
        Ok(began.elapsed())
    }

    /// Goes on for so long.
    pub(super) fn for_as_long_as(&mut self, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.turn(left)?;
        }
    }

    /// Waits for something to come, and deals with all that is there.
    fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        for framework in &mut self.frameworks {
            framework.place();
            framework.door.flush()?;
        }
        let mut events = [EpollEvent::empty(); TURN];
        // Rounded up: to wait less than a millisecond is not to wait.
        let wait = u16::try_from(wait.as_millis() + 1).unwrap_or(u16::MAX);
        let count = match self.epoll.wait(&mut events, EpollTimeout::from(wait)) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => return Ok(()),
            Err(error) => return Err(error).context("cannot wait for sockets"),
        };
        for event in events.iter().take(count) {
            self.ready(event.data())?;
        }
        Ok(())
    }

    fn ready(&mut self, token: u64) -> anyhow::Result<()> {
        let index = |from: u64| usize::try_from(token - from).unwrap_or(usize::MAX);
        if token >= READER {
            let Some(reader) = &mut self.reader else { return Ok(()) };
            reader.connection.flush()?;
            let (status, bytes, done) = (&mut reader.status, &mut reader.bytes, &mut reader.done);
            let received = reader.connection.receive(&mut self.scratch, |piece| {
                match piece {
                    Piece::Head { status: code, .. } => *status = code,
                    Piece::Body(part) => *bytes += part.len() as u64,
                    Piece::End => *done = Some(Instant::now()),
                }
                Ok(())
            });
            return if reader.done.is_some() { Ok(()) } else { received };
        }
        if token >= FRAMEWORKS {
            let (number, socket) = (index(FRAMEWORKS) / 2, index(FRAMEWORKS) % 2);
            let Some(framework) = self.frameworks.get_mut(number) else { return Ok(()) };
            return framework.receive(socket, &mut self.scratch);
        }
        let Some(agent) = self.agents.get_mut(index(0)) else { return Ok(()) };
        agent.handle(&mut self.scratch, self.finish, &mut self.tally)
    }
}

/// Told once whenever more can be read or written.
fn watch(epoll: &Epoll, socket: &Socket, token: u64) -> anyhow::Result<()> {
    let wanted = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
    epoll.add(socket, EpollEvent::new(wanted, token)).context("cannot watch a socket")
}
