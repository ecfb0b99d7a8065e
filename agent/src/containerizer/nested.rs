//! A process beside the task in a container, as who asked for it sees it: input, output, an end.
//!
//! Invariants
//! - Nothing is kept beyond a few chunks: while nobody takes the output, the process waits.
//! - The end comes last, after all output that was written before it.
//! - Dropping the [`NestedProcess`] ends the process.
//! - What a custodian that was killed leaves behind is ended and removed here, before its loss is told.

use std::fs::File;
use std::io::{self, IoSlice, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, Shutdown, SockFlag, SockType, send, sendmsg, shutdown,
    socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::running::watched;
use super::{Failure, FailureReason};
use crate::isolation::{GroupName, InstanceId, Layout, NestedGroup, NestedGroupName};
use crate::supervisor::nested::{LARGEST_WORD, Said, Word};
use crate::supervisor::{Nested, NestedEnd, WindowSize, passing};

/// Bytes of one chunk of output, at most.
const CHUNK: usize = 32 << 10;

/// How many events wait for who takes them.
const MOST_WAITING: usize = 4;

/// How long after the end of a process its terminal may go on, when another process inside keeps it.
const TERMINAL_PATIENCE: Duration = Duration::from_millis(250);

/// Which of its two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output; the only one of a process with a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What happens to a nested process, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NestedEvent {
    /// It wrote this, at most 32 KiB.
    Output(OutputStream, Vec<u8>),
    /// It ended; nothing follows.
    Ended(NestedEnd),
    /// Nobody knows how it ended, but it has; nothing follows.
    Lost(Failure),
}

/// A process that runs beside the task. Dropped, it is killed.
#[derive(Debug)]
pub struct NestedProcess {
    /// Its pid as the host counts; `None` when it ended so quickly that nobody saw it.
    pub pid: Option<i32>,
    events: mpsc::Receiver<NestedEvent>,
    input: Option<NestedInput>,
    control: NestedControl,
}

impl NestedProcess {
    /// One that does what a script says, for tests of what stands above.
    pub fn scripted(events: Vec<NestedEvent>) -> Self {
        let (sender, receiver) = mpsc::channel(events.len().max(1));
        for event in events {
            // There is room for all.
            let _ = sender.try_send(event);
        }
        Self { pid: Some(1), events: receiver, input: None, control: NestedControl(None, None) }
    }

    /// What happens next; `None` after the end.
    pub async fn next(&mut self) -> Option<NestedEvent> {
        self.events.recv().await
    }

    /// Its standard input, once. Dropping that closes it, except for a terminal.
    pub fn take_input(&mut self) -> Option<NestedInput> {
        self.input.take()
    }

    /// A way to send signals, to be kept apart.
    pub fn control(&self) -> NestedControl {
        self.control.clone()
    }

    /// Closes its input and waits for its end. Of each output the first `most` bytes are kept, and more is
    /// taken and thrown away.
    pub async fn collect(mut self, most: usize) -> Result<Collected, Failure> {
        drop(self.input.take());
        let (mut stdout, mut stderr, mut cut) = (Vec::new(), Vec::new(), false);
        while let Some(event) = self.events.recv().await {
            match event {
                NestedEvent::Output(stream, data) => {
                    let kept = match stream {
                        OutputStream::Stdout => &mut stdout,
                        OutputStream::Stderr => &mut stderr,
                    };
                    let room = most.saturating_sub(kept.len()).min(data.len());
                    cut |= room < data.len();
                    kept.extend(data.into_iter().take(room));
                }
                NestedEvent::Ended(end) => return Ok(Collected { end, stdout, stderr, cut }),
                NestedEvent::Lost(failure) => return Err(failure),
            }
        }
        Err(lost())
    }
}

/// All of a process that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// How it ended.
    pub end: NestedEnd,
    /// The beginning of its output.
    pub stdout: Vec<u8>,
    /// The beginning of its error output.
    pub stderr: Vec<u8>,
    /// Whether there was more output than was kept.
    pub cut: bool,
}

/// Sends a nested process signals, and its terminal sizes.
#[derive(Debug, Clone)]
pub struct NestedControl(Option<Arc<Line>>, Option<Arc<AsyncFd<OwnedFd>>>);

impl NestedControl {
    /// Sends a signal to the process and its process group. One that has ended is not an error, nor a
    /// number that is no signal.
    pub fn signal(&self, signal: i32) {
        if let Some(line) = &self.0
            && let Ok(text) = serde_json::to_vec(&Word::Signal(signal))
        {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            // A custodian that is this far behind has had signals enough.
            let _ = send(line.0.as_raw_fd(), &text, flags);
        }
    }

    /// Changes the size of its terminal, if it has one.
    pub fn resize(&self, size: WindowSize) {
        if let Some(terminal) = &self.1 {
            let _ = size.apply(terminal.get_ref());
        }
    }
}

/// A process's standard input.
#[derive(Debug)]
pub struct NestedInput(Arc<AsyncFd<OwnedFd>>);

impl NestedInput {
    /// One of the pipe to some process. It must not block.
    pub(crate) fn of(pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self(Arc::new(watched(pipe, Interest::WRITABLE)?)))
    }

    /// Writes all of it, as fast as the process takes it. Errors: it takes no more.
    pub async fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        write_all(&self.0, data).await
    }
}

/// The outer end of a task's terminal. Others may hold it as well.
#[derive(Debug, Clone)]
pub struct Terminal(Arc<AsyncFd<OwnedFd>>);

impl Terminal {
    pub(super) fn new(master: OwnedFd) -> io::Result<Self> {
        Ok(Self(Arc::new(watched(master, Interest::WRITABLE)?)))
    }

    /// Types this, as fast as the terminal takes it. Errors: it is gone.
    pub async fn write_all(&self, data: &[u8]) -> io::Result<()> {
        write_all(&self.0, data).await
    }

    /// Changes its size.
    pub fn resize(&self, size: WindowSize) {
        let _gone = size.apply(self.0.get_ref());
    }
}

/// Writes all of `data` to a descriptor that does not block.
pub(crate) async fn write_all(to: &AsyncFd<OwnedFd>, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        let written = to.async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd, data)?)).await?;
        data = data.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// The line to a custodian. Hung up when the last who needs the process lets go.
#[derive(Debug)]
struct Line(AsyncFd<OwnedFd>);

/// Hangs up although others may still hold the line.
struct HangUp(Arc<Line>);

impl Drop for HangUp {
    fn drop(&mut self) {
        let _ = shutdown(self.0.0.as_raw_fd(), Shutdown::Both);
    }
}

impl Line {
    async fn next(&self) -> Option<(Said, Option<OwnedFd>)> {
        let mut buffer = vec![0_u8; LARGEST_WORD];
        let received = self.0.async_io(Interest::READABLE, |fd| {
            Ok(passing::receive(fd.as_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?)
        });
        let (length, descriptors) = received.await.ok()?;
        let said = serde_json::from_slice(buffer.get(..length)?).ok()?;
        Some((said, descriptors.into_iter().next()))
    }
}

/// The ends of a nested process's streams that the launcher gets, and those that stay.
pub(super) struct Prepared {
    /// The custodian's end of the line.
    pub(super) line: OwnedFd,
    ours: Ours,
}

struct Ours {
    line: OwnedFd,
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Prepared {
    /// Makes the streams, and says the order on the line, to be read by whoever gets its other end.
    pub(super) fn new(nested: &Nested) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, line) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let (its_stdin, stdin) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stdout, its_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, its_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        for fd in [&stdin, &stdout, &stderr] {
            // Ours only: the other ends are different open files.
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        let memory = rustix::fs::memfd_create("lonja-nested", rustix::fs::MemfdFlags::CLOEXEC)?;
        let mut order = File::from(memory);
        order.write_all(&serde_json::to_vec(nested)?)?;
        order.rewind()?;
        let descriptors =
            [order.as_raw_fd(), its_stdin.as_raw_fd(), its_stdout.as_raw_fd(), its_stderr.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let text = [IoSlice::new(b"N")];
        sendmsg::<()>(ours.as_raw_fd(), &text, &rights, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(Self { line, ours: Ours { line: ours, stdin, stdout, stderr } })
    }

    /// Waits until the command is executed. The custodian's end must have been sent.
    pub(super) async fn started(self, mut leftovers: Leftovers) -> Result<NestedProcess, Failure> {
        let Self { line: theirs, ours } = self;
        drop(theirs);
        let internal = |error: io::Error| {
            Failure::from_error(FailureReason::Internal, "cannot watch the process", &error)
        };
        let both = Interest::READABLE | Interest::WRITABLE;
        let line = Arc::new(Line(watched(ours.line, both).map_err(internal)?));
        let hang_up = HangUp(line.clone());
        let (mut pid, mut ended, mut terminal) = (None, None, None);
        loop {
            match line.next().await {
                Some((Said::Group(name), _)) => leftovers.made = Some(name),
                Some((Said::Terminal, master)) => terminal = master,
                Some((Said::Started(its), _)) => pid = Some(its),
                Some((Said::Failed(failure), _)) => return Err(failure),
                Some((Said::Ended(end), _)) => ended = Some(end),
                None => {
                    leftovers.remove().await;
                    return Err(lost());
                }
            }
            if pid.is_some() || ended.is_some() {
                break;
            }
        }
        let (input, terminal, outputs) = match terminal {
            Some(master) => {
                let master = Arc::new(watched(master, both).map_err(internal)?);
                (master.clone(), Some(master.clone()), [Some(master), None])
            }
            None => {
                let stdin = watched(ours.stdin, Interest::WRITABLE).map_err(internal)?;
                let stdout = watched(ours.stdout, Interest::READABLE).map_err(internal)?;
                let stderr = watched(ours.stderr, Interest::READABLE).map_err(internal)?;
                (Arc::new(stdin), None, [Some(Arc::new(stdout)), Some(Arc::new(stderr))])
            }
        };
        let control = NestedControl(Some(line.clone()), terminal.clone());
        let (sender, events) = mpsc::channel(MOST_WAITING);
        let has_terminal = terminal.is_some();
        let pump = Pump { hang_up, outputs, has_terminal, events: sender, leftovers };
        tokio::spawn(pump.run(ended));
        Ok(NestedProcess { pid, events, input: Some(NestedInput(input)), control })
    }
}

fn lost() -> Failure {
    Failure::new(FailureReason::Internal, "nobody knows how the process ended: its custodian is gone")
}

/// What is left of a process whose custodian did not live to clear it away.
pub(super) struct Leftovers {
    pub(super) layout: Layout,
    pub(super) instance: InstanceId,
    /// The container's group.
    pub(super) group: GroupName,
    /// What the custodian said that it made below that.
    pub(super) made: Option<NestedGroupName>,
}

impl Leftovers {
    /// Ends what is in the group that the custodian made, and removes it.
    async fn remove(&mut self) {
        let Some(made) = self.made.take() else { return };
        let (layout, instance, group) = (self.layout.clone(), self.instance.clone(), self.group.clone());
        let removed = tokio::task::spawn_blocking(move || {
            drop(NestedGroup::left_behind(&layout, &instance, &group, &made));
        });
        // What stays all the same ends with the container.
        let _stays = removed.await;
    }
}

/// Takes the output to whoever wants it.
struct Pump {
    hang_up: HangUp,
    outputs: [Option<Arc<AsyncFd<OwnedFd>>>; 2],
    has_terminal: bool,
    events: mpsc::Sender<NestedEvent>,
    leftovers: Leftovers,
}

impl Pump {
    async fn run(mut self, mut ended: Option<NestedEnd>) {
        let line = self.hang_up.0.clone();
        let mut failure = None;
        while ended.is_none() && failure.is_none() {
            let (stream, data) = tokio::select! {
                said = line.next() => {
                    match said {
                        Some((Said::Ended(end), _)) => ended = Some(end),
                        Some((Said::Failed(why), _)) => failure = Some(why),
                        Some(_) => {}
                        None => {
                            self.leftovers.remove().await;
                            failure = Some(lost());
                        }
                    }
                    continue;
                }
                // Whoever took an interest has lost it.
                () = self.events.closed() => return,
                data = read(self.outputs[0].as_ref()) => (0, data),
                data = read(self.outputs[1].as_ref()) => (1, data),
            };
            if !self.hand_on(stream, data).await {
                return;
            }
        }
        if !self.drain().await {
            return;
        }
        let last = match (ended, failure) {
            (Some(end), _) => NestedEvent::Ended(end),
            (None, failure) => NestedEvent::Lost(failure.unwrap_or_else(lost)),
        };
        let _ = self.events.send(last).await;
    }

    /// `false`: nobody wants it.
    async fn hand_on(&mut self, stream: usize, data: io::Result<Vec<u8>>) -> bool {
        match data {
            Ok(data) if !data.is_empty() => {
                let name = if stream == 0 { OutputStream::Stdout } else { OutputStream::Stderr };
                self.events.send(NestedEvent::Output(name, data)).await.is_ok()
            }
            // A terminal without anyone on its other side says EIO.
            _ => {
                self.outputs[stream] = None;
                true
            }
        }
    }

    /// What was written before the end. Others inside may hold the streams open for ever.
    async fn drain(&mut self) -> bool {
        for stream in 0..2 {
            while let Some(output) = self.outputs[stream].clone() {
                let data = if self.has_terminal {
                    // The kernel hands the last of it over a moment later.
                    match tokio::time::timeout(TERMINAL_PATIENCE, read(Some(&output))).await {
                        Ok(data) => data,
                        Err(_) => break,
                    }
                } else {
                    match read_now(output.get_ref()) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        data => data,
                    }
                };
                if !self.hand_on(stream, data).await {
                    return false;
                }
            }
        }
        true
    }
}

fn read_now(from: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut data = vec![0; CHUNK];
    let length = rustix::io::read(from, &mut data)?;
    data.truncate(length);
    Ok(data)
}

/// The next output; never resolves for `None`.
async fn read(from: Option<&Arc<AsyncFd<OwnedFd>>>) -> io::Result<Vec<u8>> {
    match from {
        Some(output) => output.async_io(Interest::READABLE, read_now).await,
        None => std::future::pending().await,
    }
}
