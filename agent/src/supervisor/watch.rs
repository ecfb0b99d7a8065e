//! From a started init to the end of its container: one loop that waits for events.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::failpoint;
use crate::isolation::{self, Cgroup, MemoryUsage, OomWatch};

use super::control::{Message, Outside};
use super::exit_record::{ExitRecord, MemoryBreach, RefusedForks, TaskEnd};
use super::logs::pump::Pump;
use super::report::{Failure, FailureReason};
use super::spec::Order;
use super::sys::{self, Child};
use super::tty_door::{TtyDoor, What};

/// How long killed processes may take to be gone; longer means stuck in the kernel.
const DEATH_PATIENCE: Duration = Duration::from_secs(30);

/// Longest pause between two looks at the out-of-memory counter after an event.
const LONGEST_OOM_PAUSE: Duration = Duration::from_millis(128);

/// What asks a supervisor to end its container.
fn end_signals() -> [i32; 3] {
    [libc::SIGTERM, libc::SIGINT, sys::kill_signal()]
}

/// How a container ended, and whether its command ever ran.
pub(super) struct Outcome {
    pub(super) record: ExitRecord,
    pub(super) started: Option<i32>,
}

impl Outcome {
    pub(super) fn never_ran(failure: Failure) -> Self {
        Self {
            record: ExitRecord {
                status: None,
                kill_requested: false,
                memory_breach: None,
                failure: Some(failure),
                finished_at_unix_ms: unix_ms(),
                refused_forks: None,
            },
            started: None,
        }
    }
}

/// A container's init. Dropped before it has ended, it is killed.
struct Init {
    child: Child,
    reaped: bool,
}

impl Init {
    fn reap(&mut self) {
        if !self.reaped {
            self.reaped = true;
            let _ = sys::reap(self.child.pid);
        }
    }

    fn kill(&self) {
        let _ = sys::send_signal(self.child.handle.as_fd(), libc::SIGKILL, 0);
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            self.reap();
        }
    }
}

/// A container under watch. Dropped before its end, it is killed.
pub(super) struct Watch {
    init: Init,
    line: Outside,
    /// Whether init still holds its end; a line hung up is always ready.
    line_open: bool,
    signals: OwnedFd,
    /// Closes when the task is executed; `None` once it has.
    exec_mark: Option<OwnedFd>,
    oom: Option<OomWatch>,
    /// The task's pid, from the moment before its exec.
    task: Option<i32>,
    started: Option<i32>,
    ended: Option<i32>,
    failure: Option<Failure>,
    kill_requested: bool,
    /// When SIGKILL follows.
    kill_at: Option<Instant>,
    killed: bool,
    /// When to look at the out-of-memory counter again, and the pause after that.
    oom_look: Option<(Instant, Duration)>,
    /// Moves the task's output to its files, where those are limited.
    pump: Option<Pump>,
    /// Hands out the task's terminal, if it has one.
    door: Option<TtyDoor>,
    terminal: Option<OwnedFd>,
}

impl Watch {
    pub(super) fn new(init: Child, line: Outside, exec_mark: OwnedFd) -> io::Result<Self> {
        let init = Init { child: init, reaped: false };
        let signals = sys::signal_descriptor(&end_signals())?;
        Ok(Self {
            init,
            line,
            line_open: true,
            signals,
            exec_mark: Some(exec_mark),
            oom: None,
            task: None,
            started: None,
            ended: None,
            failure: None,
            kill_requested: false,
            kill_at: None,
            killed: false,
            oom_look: None,
            pump: None,
            door: None,
            terminal: None,
        })
    }

    /// Also moves the task's output.
    pub(super) fn keep_logs(&mut self, pump: Option<Pump>) {
        self.pump = pump;
    }

    /// Lets agents find the task's terminal by this run directory. Without it, nobody can attach to the task.
    pub(super) fn open_door(&mut self, run_dir: &Path) {
        self.door = TtyDoor::open(run_dir, What::Terminal).ok();
    }

    /// Lets an agent find the writing end of the task's input by this run directory.
    pub(super) fn open_input(&mut self, run_dir: &Path, input: OwnedFd) {
        self.door = TtyDoor::open(run_dir, What::Input).ok();
        // Without a door nobody could ever end it.
        self.terminal = self.door.is_some().then_some(input);
    }

    fn take_terminal(&mut self, master: OwnedFd) {
        if let (Some(pump), Ok(copy)) = (&mut self.pump, master.try_clone()) {
            pump.take_terminal(copy);
            self.terminal = Some(master);
        }
    }

    /// Also looks out for memory breaches.
    pub(super) fn watch_memory(&mut self, oom: Option<OomWatch>) {
        self.oom = oom;
    }

    pub(super) fn init_pid(&self) -> i32 {
        self.init.child.pid
    }

    pub(super) fn line(&self) -> &Outside {
        &self.line
    }

    /// Waits until `other` can be read. `false`: init has ended, or a signal asks us to.
    pub(super) fn wait_unless_over(&self, other: BorrowedFd<'_>) -> bool {
        loop {
            let mut entries = [
                sys::poll_entry(Some(other), libc::POLLIN),
                sys::poll_entry(Some(self.init.child.handle.as_fd()), libc::POLLIN),
                sys::poll_entry(Some(self.signals.as_fd()), libc::POLLIN),
            ];
            if sys::poll(&mut entries, None).is_err() || entries[1].revents != 0 || entries[2].revents != 0 {
                return false;
            }
            if entries[0].revents != 0 {
                return true;
            }
        }
    }

    /// Watches until nothing of the container is left. `on_start` gets the task's pid after its exec.
    pub(super) fn run(
        mut self,
        order: &Order,
        cgroup: &dyn Cgroup,
        mut on_start: impl FnMut(i32),
    ) -> Outcome {
        let grace = order.container.kill_grace;
        // What set-up needed is free again; a supervisor's life is long and should be small.
        sys::trim_heap();
        // Not before: during the start every signal means the end.
        let [term, int, kill] = end_signals();
        if let Ok(signals) = sys::signal_descriptor(&[term, int, kill, sys::look_signal()]) {
            self.signals = signals;
        }
        loop {
            let ready = self.wait();
            if ready.signal {
                self.take_signals(grace);
            }
            self.take_messages();
            self.line_open &= !ready.hung_up;
            if ready.executed && self.exec_mark.take().is_some() && self.failure.is_none() {
                self.started = self.task;
                if let Some(pid) = self.started {
                    on_start(pid);
                }
            }
            self.look_for_breach(cgroup, ready.oom);
            if self.kill_at.is_some_and(|at| at <= Instant::now()) {
                self.kill_now(cgroup);
            }
            if ready.ended {
                break;
            }
        }
        self.init.reap();
        self.take_messages();
        self.conclude(order, cgroup)
    }

    fn wait(&mut self) -> Ready {
        let oom = self.oom.as_ref();
        let mut entries = vec![
            sys::poll_entry(Some(self.init.child.handle.as_fd()), libc::POLLIN),
            sys::poll_entry(Some(self.signals.as_fd()), libc::POLLIN),
            sys::poll_entry(self.exec_mark.as_ref().map(AsFd::as_fd), libc::POLLIN),
            sys::poll_entry(self.line_open.then(|| self.line.0.as_fd()), libc::POLLIN),
            sys::poll_entry(oom.map(|watch| watch.fd.as_fd()), oom.map_or(0, |watch| watch.events)),
        ];
        let door = entries.len();
        entries.push(sys::poll_entry(self.door.as_ref().map(TtyDoor::fd), libc::POLLIN));
        let own = entries.len();
        entries.extend(self.pump.iter().flat_map(Pump::poll_entries));
        let moves = self.pump.as_ref().and_then(Pump::deadline);
        let deadline = [self.kill_at, self.oom_look.map(|(at, _)| at), moves].into_iter().flatten().min();
        let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if sys::poll(&mut entries, timeout).is_err() {
            // Only want of kernel memory fails here; it passes.
            std::thread::sleep(Duration::from_millis(10));
        }
        if let (Some(door), true) = (&self.door, entries[door].revents != 0) {
            door.serve(&mut self.terminal);
        }
        if let Some(pump) = &mut self.pump {
            pump.serve(&entries[own..]);
        }
        let is_ready = |index: usize| entries[index].revents != 0;
        Ready {
            ended: is_ready(0),
            signal: is_ready(1),
            executed: is_ready(2),
            hung_up: entries[3].revents & libc::POLLHUP != 0,
            oom: is_ready(4),
        }
    }

    fn take_messages(&mut self) {
        while let Some(message) = self.line.next() {
            match message {
                Message::Task { host_pid } => self.task = Some(host_pid),
                Message::Failed(failure) => self.failure = Some(failure),
                Message::Ended(status) => self.ended = Some(status),
                Message::Terminal(master) => self.take_terminal(master),
                Message::Made { .. } => {}
            }
        }
    }

    fn take_signals(&mut self, default_grace: Duration) {
        while let Some(received) = sys::next_signal(&self.signals) {
            if received.signal == sys::look_signal() {
                self.oom_look = Some((Instant::now(), Duration::from_millis(1)));
                continue;
            }
            let grace = match (received.signal, received.value) {
                // The launcher of a throw-away cluster is gone: at once.
                (libc::SIGINT, _) => Duration::ZERO,
                (_, Some(milliseconds)) => Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)),
                (_, None) => default_grace,
            };
            let at = Instant::now() + grace;
            if !self.kill_requested {
                self.kill_requested = true;
                if !grace.is_zero() {
                    let _ = sys::send_signal(self.init.child.handle.as_fd(), libc::SIGTERM, 0);
                }
            }
            // A later request may shorten the grace and never lengthen it.
            self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// v1 tells of a breach just before it kills, so the counter is looked at until it moves.
    fn look_for_breach(&mut self, cgroup: &dyn Cgroup, event: bool) {
        let now = Instant::now();
        if event {
            if let Some(watch) = &self.oom {
                watch.acknowledge();
            }
            self.oom_look = Some((now, Duration::from_millis(1)));
        }
        let Some((at, pause)) = self.oom_look else {
            return;
        };
        if at > now {
            return;
        }
        if cgroup.oom_kills().is_ok_and(|kills| kills > 0) {
            // One victim is enough: half a container is of no use to anyone.
            self.oom_look = None;
            self.kill_now(cgroup);
        } else if pause > LONGEST_OOM_PAUSE {
            self.oom_look = None;
        } else {
            self.oom_look = Some((now + pause, pause * 2));
        }
    }

    /// SIGKILL to init takes the pid namespace with it; the group's kill takes whoever entered it.
    fn kill_now(&mut self, cgroup: &dyn Cgroup) {
        self.kill_at = None;
        if !self.killed {
            self.killed = true;
            self.init.kill();
            let _ = cgroup.kill_all();
        }
    }

    fn conclude(mut self, order: &Order, cgroup: &dyn Cgroup) -> Outcome {
        failpoint::reach("supervisor: end seen");
        let mut failure = self.failure;
        if let Err(error) = isolation::empty(cgroup, DEATH_PATIENCE) {
            let what = "cannot end the container";
            failure.get_or_insert(Failure::from_error(FailureReason::Isolation, what, &error));
        }
        if let Some(pump) = self.pump.take() {
            pump.finish();
        }
        let memory_breach = memory_breach(cgroup, order.container.limits.memory_bytes);
        let refused_forks = order.container.limits.pids_max.and_then(|limit| {
            let count = cgroup.forks_refused().unwrap_or(0);
            (count > 0).then_some(RefusedForks { limit, count })
        });
        let killed_by_us = self.kill_requested || self.killed || memory_breach.is_some();
        if self.ended.is_none() && !killed_by_us && failure.is_none() {
            // Somebody on the host killed init; the task died with it.
            let message = "the container's init was killed from outside";
            failure = Some(Failure::new(FailureReason::Internal, message));
        }
        let ran = self.started.is_some();
        let status = match self.ended {
            Some(status) if ran => Some(task_end(status)),
            None if ran => Some(TaskEnd::Signaled(libc::SIGKILL)),
            _ => None,
        };
        Outcome {
            record: ExitRecord {
                status,
                kill_requested: self.kill_requested,
                memory_breach,
                failure,
                finished_at_unix_ms: unix_ms(),
                refused_forks,
            },
            started: self.started,
        }
    }
}

/// Whether the kernel has killed here for want of memory, and whose memory it was; `ordered`: the limit at launch.
fn memory_breach(cgroup: &dyn Cgroup, ordered: Option<u64>) -> Option<MemoryBreach> {
    if !cgroup.oom_kills().is_ok_and(|kills| kills > 0) {
        return None;
    }
    let memory = cgroup.usage().ok().map(|usage| usage.memory);
    Some(judge(memory.as_ref(), cgroup.memory_peak().unwrap_or(0), ordered))
}

/// Whose memory was short, given what the group says of its own; `ordered`: the limit at launch, bytes.
fn judge(memory: Option<&MemoryUsage>, peak_bytes: u64, ordered: Option<u64>) -> MemoryBreach {
    // The limit may have grown since, or gone. The kernel rounds it down to pages: then what was ordered is said.
    let limit_bytes = match memory.map(|memory| memory.limit_bytes) {
        Some(held) => held.map(|held| ordered.map_or(held, |ordered| held.max(ordered))),
        None => ordered,
    };
    // Some kernels of control groups v1 count no hits, so that the peak has a say, too.
    let hits = memory.and_then(|memory| memory.limit_hits).unwrap_or(0);
    let host_was_short = limit_bytes.is_none_or(|limit| hits == 0 && peak_bytes < limit - limit / 8);
    MemoryBreach { limit_bytes: limit_bytes.unwrap_or(0), peak_bytes, host_was_short }
}

/// What a wait found ready.
struct Ready {
    ended: bool,
    signal: bool,
    executed: bool,
    hung_up: bool,
    oom: bool,
}

fn task_end(wait_status: i32) -> TaskEnd {
    if libc::WIFSIGNALED(wait_status) {
        TaskEnd::Signaled(libc::WTERMSIG(wait_status))
    } else {
        TaskEnd::Exited(libc::WEXITSTATUS(wait_status))
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_breach_is_judged_by_the_limit_that_held_last() {
        let of = |limit_bytes, limit_hits| MemoryUsage { limit_bytes, limit_hits, ..MemoryUsage::default() };

        let grown = judge(Some(&of(Some(64 * MIB), Some(0))), 40 * MIB, Some(32 * MIB));
        assert_eq!((grown.limit_bytes, grown.host_was_short), (64 * MIB, true));

        let gone = judge(Some(&of(None, Some(9))), 40 * MIB, Some(32 * MIB));
        assert_eq!((gone.limit_bytes, gone.host_was_short), (0, true), "it hit its limit before that went");

        let rounded = judge(Some(&of(Some(32 * MIB), Some(1))), 32 * MIB, Some(32 * MIB + 5));
        assert_eq!((rounded.limit_bytes, rounded.host_was_short), (32 * MIB + 5, false));

        let unread = judge(None, 32 * MIB, Some(32 * MIB));
        assert_eq!((unread.limit_bytes, unread.host_was_short), (32 * MIB, false));
    }
}
