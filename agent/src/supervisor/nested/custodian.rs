//! Who stays outside: has the process made, watches it, tells the agent how it ended.

use std::fs::File;
use std::io::{self, BufReader, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::super::confine;
use super::super::control::{self, Message, Outside};
use super::super::exit_record::TaskEnd;
use super::super::identity::Owner;
use super::super::passing;
use super::super::profile::{Mould, users};
use super::super::report::{Failure, FailureReason, StartedRecord};
use super::super::sys::{self, Forked};
use super::super::task::{Logs, plain};
use super::super::{read_order, user};
use super::enter::{self, Door, Process};
use super::{LARGEST_WORD, Nested, NestedEnd, Said, Word};
use crate::isolation::NestedGroup;

/// How long the order may take to come after the request; both are sent at once.
const ORDER_PATIENCE: Duration = Duration::from_secs(10);

/// How long a process that is told to go (its agent hung up) has after SIGHUP.
const HANG_UP_GRACE: Duration = Duration::from_millis(500);

/// Runs one nested process to its end in the container with this run directory. The process must have
/// begun a supervisor's life; the status is the one to exit with.
pub(crate) fn run(run_dir: &Path, line: OwnedFd) -> i32 {
    let line = AgentLine(line);
    match start(run_dir, &line) {
        Ok(custodian) => {
            let said = custodian.watch();
            line.say(&said, None);
            0
        }
        Err(failure) => {
            line.say(&Said::Failed(failure), None);
            1
        }
    }
}

/// The line to the agent.
struct AgentLine(OwnedFd);

impl AgentLine {
    fn say(&self, said: &Said, descriptor: Option<&OwnedFd>) {
        let Ok(text) = serde_json::to_vec(said) else {
            return;
        };
        let descriptors: Vec<i32> = descriptor.iter().map(|fd| fd.as_raw_fd()).collect();
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let rights = if descriptors.is_empty() { &rights[..0] } else { &rights[..] };
        // An agent that is gone has hung up, which ends the process.
        let _ =
            sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(&text)], rights, MsgFlags::MSG_NOSIGNAL, None);
    }

    /// The next word, `Ok(None)` when there is none now. Errors: hung up.
    fn next(&self) -> Result<Option<Word>, ()> {
        let mut buffer = vec![0_u8; LARGEST_WORD];
        match passing::receive(self.0.as_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok((0, _)) => Err(()),
            Ok((length, _)) => Ok(buffer.get(..length).and_then(|text| serde_json::from_slice(text).ok())),
            Err(nix::errno::Errno::EAGAIN) => Ok(None),
            Err(_) => Err(()),
        }
    }

    /// The order and the three streams.
    fn receive_order(&self) -> Option<(Nested, OwnedFd, Logs)> {
        let mut entry = [sys::poll_entry(Some(self.0.as_fd()), libc::POLLIN)];
        sys::poll(&mut entry, Some(ORDER_PATIENCE)).ok()?;
        let mut buffer = [0_u8; 1];
        let (_, descriptors) = passing::receive(self.0.as_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT).ok()?;
        let mut descriptors = descriptors.into_iter();
        let order = File::from(descriptors.next()?);
        let stdin = descriptors.next()?;
        let logs = Logs { stdout: descriptors.next()?, stderr: descriptors.next()? };
        Some((serde_json::from_reader(BufReader::new(order)).ok()?, stdin, logs))
    }
}

fn internal(what: &str, error: &io::Error) -> Failure {
    Failure::new(FailureReason::Internal, format!("{what}: {}", plain(error)))
}

fn not_running() -> Failure {
    Failure::new(FailureReason::Killed, "the container does not run")
}

fn start<'a>(run_dir: &Path, line: &'a AgentLine) -> Result<Custodian<'a>, Failure> {
    let Some((nested, stdin, logs)) = line.receive_order() else {
        return Err(Failure::new(FailureReason::Internal, "what to run in the container did not come"));
    };
    if !run_dir.join(Owner::FILE).exists() {
        return Err(not_running());
    }
    let order = read_order(run_dir)?;
    let spec = nested.instead_of_task(&order.container).map_err(|error| {
        Failure::from_error(FailureReason::InvalidSpec, "cannot run in the container", &error)
    })?;
    let mould = Mould::of(&spec);
    let mut user = user::resolve(spec.user.as_deref())?;
    let powerful = rustix::process::geteuid().is_root();
    if powerful {
        user = users::inside(&mould, user)?;
    }
    let root = (powerful && mould.own_users()).then(|| users::of_init(&mould));
    let (door, group) = find(run_dir, &order)?;
    // Should we be killed, the agent does with it what we would have done.
    if let Some(name) = group.name() {
        line.say(&Said::Group(name), None);
    }
    let deadline = nested.time_limit.map(|limit| Instant::now() + limit);
    let signals = sys::signal_descriptor(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, sys::kill_signal()])
        .map_err(|error| internal("cannot watch signals", &error))?;
    let (outside, inside) = control::line().map_err(|error| internal("cannot make a line", &error.into()))?;
    let (mark, exec_mark) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|error| internal("cannot make a pipe", &error.into()))?;
    let Nested { tty, working_dir, .. } = nested;
    let confinement = spec.confinement.clone();
    let process = Process { spec, user, root, tty, working_dir, stdin, logs };
    let entering = match sys::fork_into(0) {
        Ok(Forked::Child) => enter::run(door, &process, &inside, &exec_mark),
        Ok(Forked::Parent(child)) => child,
        Err(error) => return Err(internal("cannot fork", &error)),
    };
    // Ours would keep the streams open for ever.
    drop((process, inside, exec_mark, door));
    if let Err(error) = group.attach(entering.pid) {
        // Never told to go, it ends.
        let what = "cannot put the process into the container's control group";
        return Err(Failure::from_error(FailureReason::Isolation, what, &error));
    }
    confine::apply_from_outside(&confinement, entering.pid)?;
    outside.say_go();
    Ok(Custodian {
        agent: line,
        inside: outside,
        inside_open: true,
        signals,
        exec_mark: Some(mark),
        entering: entering.pid,
        process: None,
        executes: false,
        failure: None,
        deadline,
        kill_at: None,
        timed_out: false,
        hung_up: false,
        group,
    })
}

/// The container's init, and a control group below the container's, if it runs.
fn find(run_dir: &Path, order: &super::super::Order) -> Result<(Door, NestedGroup), Failure> {
    let Ok(Some(Owner::Supervisor(supervisor))) = Owner::read(run_dir) else {
        return Err(not_running());
    };
    let started = std::fs::read(run_dir.join(StartedRecord::FILE)).ok();
    let started: Option<StartedRecord> = started.and_then(|text| serde_json::from_slice(&text).ok());
    let Some(pid) = started.and_then(|started| started.init) else {
        return Err(not_running());
    };
    let refuse = |error: io::Error| internal("cannot find the container", &error);
    let Some(pid) = rustix::process::Pid::from_raw(pid) else {
        return Err(not_running());
    };
    let init = match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        Ok(init) => init,
        Err(rustix::io::Errno::SRCH) => return Err(not_running()),
        Err(error) => return Err(refuse(error.into())),
    };
    // The pid may be another's by now; but only init is a child of the supervisor that still lives.
    let parent = super::super::identity::parent(pid.as_raw_nonzero().get());
    let alive = supervisor.process.open().map_err(refuse)?;
    if alive.is_none() || parent.ok() != Some(supervisor.process.pid) {
        return Err(not_running());
    }
    let door = Door::new(init, pid.as_raw_nonzero().get()).map_err(|_| not_running())?;
    let group = NestedGroup::make(&order.layout, &order.instance, &supervisor.group);
    Ok((door, group.map_err(|_| not_running())?))
}

/// One nested process under watch.
struct Custodian<'a> {
    agent: &'a AgentLine,
    inside: Outside,
    inside_open: bool,
    signals: OwnedFd,
    /// Closes when the command is executed; `None` once it has.
    exec_mark: Option<OwnedFd>,
    /// Who goes in and starts the process, until it has ended.
    entering: i32,
    /// The process it started.
    process: Option<i32>,
    /// Whether that came as far as its exec.
    executes: bool,
    failure: Option<Failure>,
    deadline: Option<Instant>,
    /// When SIGKILL follows.
    kill_at: Option<Instant>,
    timed_out: bool,
    hung_up: bool,
    /// Dropped, it takes along whatever the process has left behind.
    group: NestedGroup,
}

impl Custodian<'_> {
    fn watch(mut self) -> Said {
        loop {
            let mut entries = [
                sys::poll_entry(Some(self.signals.as_fd()), libc::POLLIN),
                sys::poll_entry((!self.hung_up).then(|| self.agent.0.as_fd()), libc::POLLIN),
                sys::poll_entry(self.inside_open.then(|| self.inside.0.as_fd()), libc::POLLIN),
                sys::poll_entry(self.exec_mark.as_ref().map(AsFd::as_fd), libc::POLLIN),
            ];
            let next = [self.deadline, self.kill_at].into_iter().flatten().min();
            let timeout = next.map(|at| at.saturating_duration_since(Instant::now()));
            if sys::poll(&mut entries, timeout).is_err() {
                std::thread::sleep(Duration::from_millis(10));
            }
            let ready = entries.map(|entry| entry.revents);
            self.take_messages();
            self.inside_open &= ready[2] & libc::POLLHUP == 0;
            if ready[3] != 0 && self.exec_mark.take().is_some() {
                self.take_messages();
                if let (Some(pid), true, None) = (self.process, self.executes, &self.failure) {
                    self.agent.say(&Said::Started(pid), None);
                }
            }
            if ready[0] != 0 && self.take_signals() {
                self.end_at(Instant::now());
            }
            if ready[1] != 0 {
                self.take_words();
            }
            self.keep_time();
            if let Some(said) = self.reap() {
                // Before the end is told: whoever hears of it finds nothing left.
                drop(self.group);
                return said;
            }
        }
    }

    fn take_messages(&mut self) {
        while let Some(message) = self.inside.next() {
            match message {
                Message::Made { host_pid } => self.process = Some(host_pid),
                Message::Task { .. } => self.executes = true,
                Message::Terminal(master) => self.agent.say(&Said::Terminal, Some(&master)),
                Message::Failed(failure) => self.failure = Some(failure),
                Message::Ended(_) => {}
            }
        }
    }

    /// Whether somebody asks us to end.
    fn take_signals(&self) -> bool {
        let mut asked = false;
        while let Some(received) = sys::next_signal(&self.signals) {
            asked |= received.signal != libc::SIGCHLD;
        }
        asked
    }

    fn take_words(&mut self) {
        loop {
            match self.agent.next() {
                Ok(Some(Word::Signal(signal))) => self.signal(signal),
                Ok(None) => return,
                Err(()) => {
                    self.hung_up = true;
                    self.signal(libc::SIGHUP);
                    self.end_at(Instant::now() + HANG_UP_GRACE);
                    return;
                }
            }
        }
    }

    fn end_at(&mut self, at: Instant) {
        self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn keep_time(&mut self) {
        let now = Instant::now();
        if self.deadline.is_some_and(|at| at <= now) {
            self.deadline = None;
            self.timed_out = true;
            self.end_at(now);
        }
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            self.signal(libc::SIGKILL);
            if self.entering != 0 {
                let _ = sys::kill(self.entering, libc::SIGKILL);
            }
        }
    }

    /// To the process and all in its process group, which it leads. Not reaped, so the pid is still its own.
    fn signal(&self, signal: i32) {
        if let Some(pid) = self.process
            && sys::kill(-pid, signal).is_err()
        {
            let _ = sys::kill(pid, signal);
        }
    }

    fn reap(&mut self) -> Option<Said> {
        let mut last = None;
        while let Some((pid, status)) = sys::reap_any() {
            if pid == self.entering {
                self.entering = 0;
                if self.process.is_some() || status == 0 {
                    continue;
                }
            }
            last = Some((pid, status));
        }
        let (_, status) = last?;
        self.take_messages();
        if let Some(failure) = self.failure.take() {
            return Some(Said::Failed(failure));
        }
        if !self.executes {
            return Some(Said::Failed(not_running()));
        }
        let status = if libc::WIFSIGNALED(status) {
            TaskEnd::Signaled(libc::WTERMSIG(status))
        } else {
            TaskEnd::Exited(libc::WEXITSTATUS(status))
        };
        Some(Said::Ended(NestedEnd { status, timed_out: self.timed_out }))
    }
}
