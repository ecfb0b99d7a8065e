//! The launcher's own life.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::pools::{IdleSpare, Need, Pools};
use super::wire::{self, Received, Request};
use super::{LauncherOptions, spare};
use crate::failpoint;
use crate::isolation::{InstanceId, Layout};
use crate::supervisor::sys::{self, Child, Forked};
use crate::supervisor::{self, Mould};

/// How long a throw-away launcher waits for its supervisors before it kills them.
const SUPERVISOR_PATIENCE: Duration = Duration::from_secs(10);

/// How long nobody must have asked for anything before spares are made, unless none is left: what a
/// launch sets off should not have to share processors and the kernel's control group lock with it.
const QUIET: Duration = Duration::from_millis(30);

/// Runs the launcher and never returns.
pub(super) fn run(socket: OwnedFd, options: LauncherOptions) -> ! {
    sys::block_signals();
    sys::ignore_broken_pipes();
    sys::close_all_except(&[socket.as_raw_fd()]);
    sys::new_session();
    sys::set_process_name(c"lonja-launcher");
    let prepared = sys::silence_standard_streams()
        .and_then(|()| std::env::set_current_dir("/"))
        .and_then(|()| sys::signal_descriptor(&[libc::SIGCHLD]));
    let (Ok(signals), Ok(name)) = (prepared, super::own_name("self")) else {
        // The daemon learns of it at its first request.
        sys::exit_now(1);
    };
    sys::forget_environment();
    sys::find_arguments();
    // Once, here: every process forked from this one has it.
    supervisor::confine::seccomp::prepare();
    sys::trim_heap();
    let mut launcher = Serving {
        socket,
        signals,
        ephemeral: options.ephemeral,
        supervisors: BTreeMap::new(),
        pools: Pools::new(name),
        farewells: Vec::new(),
        asked_at: Instant::now(),
        instances: BTreeSet::new(),
    };
    launcher.serve();
    launcher.end_spares();
    if options.ephemeral {
        launcher.end_all();
        launcher.remove_traces(&options.remove_on_exit);
    }
    sys::exit_now(0)
}

struct Serving {
    socket: OwnedFd,
    signals: OwnedFd,
    ephemeral: bool,
    supervisors: BTreeMap<i32, Child>,
    pools: Pools,
    /// Spares that were hung up on, and what is to be closed when all of them are gone.
    farewells: Vec<(Vec<i32>, OwnedFd)>,
    /// When the daemon last asked for something.
    asked_at: Instant,
    /// Everyone who ever asked, so that their control groups can be removed.
    instances: BTreeSet<InstanceId>,
}

impl Serving {
    fn serve(&mut self) {
        loop {
            let mut entries = [
                sys::poll_entry(Some(self.socket.as_fd()), libc::POLLIN),
                sys::poll_entry(Some(self.signals.as_fd()), libc::POLLIN),
            ];
            let pause = self.pause();
            if sys::poll(&mut entries, pause).is_err() {
                std::thread::sleep(Duration::from_millis(10));
            }
            self.reap();
            match wire::receive(self.socket.as_fd()) {
                Received::Launch(instance, mould, request) => self.launch(&instance, &mould, request),
                Received::WarmUp(instance, layout, mould) => {
                    self.note(&instance);
                    self.pools.warm_up(instance, layout, mould);
                }
                Received::Nested(run_dir, line) => {
                    // Should this fail, the line hangs up without a word, which says enough.
                    self.fork(|| {
                        supervisor::begin(&[line.as_raw_fd()]);
                        sys::set_process_name(c"lonja-nested");
                        supervisor::nested::run(&run_dir, line)
                    });
                }
                Received::CoolDown(instance, gone) => {
                    let spares = self.pools.cool_down(&instance);
                    self.farewells.push((spares, gone));
                    self.bid_farewell();
                }
                Received::Nothing if self.pause() == Some(Duration::ZERO) => self.make_spare(),
                Received::Nonsense | Received::Nothing => {}
                Received::HungUp => return,
            }
        }
    }

    /// Tells those who waited for spares to be gone.
    fn bid_farewell(&mut self) {
        let supervisors = &self.supervisors;
        self.farewells.retain(|(spares, _)| spares.iter().any(|pid| supervisors.contains_key(pid)));
    }

    /// How long to wait before the next spare is made.
    fn pause(&self) -> Option<Duration> {
        match self.pools.need() {
            Need::Nothing => None,
            Need::Urgent => Some(Duration::ZERO),
            Need::Some => Some(QUIET.saturating_sub(self.asked_at.elapsed())),
        }
    }

    fn note(&mut self, instance: &InstanceId) {
        if self.ephemeral {
            self.instances.insert(instance.clone());
        }
    }

    fn launch(&mut self, instance: &InstanceId, mould: &Mould, request: Request) {
        self.note(instance);
        self.asked_at = Instant::now();
        failpoint::reach("launcher: request taken");
        while let Some(spare) = self.pools.take(instance, mould) {
            // Gone meanwhile? The next one, then.
            if wire::send_to_spare(spare.line.as_fd(), &request).is_ok() {
                failpoint::reach("launcher: supervisor has it");
                return;
            }
        }
        // Should this fail, the pipe closes without a report, which says enough.
        self.fork(|| {
            supervisor::begin(&[request.report.as_raw_fd()]);
            spare::supervise(request, None)
        });
    }

    fn make_spare(&mut self) {
        let Some(plan) = self.pools.plan() else {
            return;
        };
        let (instance, mould) = (plan.instance.clone(), plan.mould.clone());
        let flags = SockFlag::SOCK_CLOEXEC;
        let spare = match socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags) {
            Ok((line, its_end)) => self.fork(|| spare::run(plan, its_end)).map(|pid| IdleSpare { pid, line }),
            Err(_) => None,
        };
        self.pools.add(&instance, &mould, spare);
    }

    /// Runs `life` in a child, and returns its pid. A panic ends it like a crash, and its container with it.
    fn fork(&mut self, life: impl FnOnce() -> i32) -> Option<i32> {
        let launcher = rustix::process::getpid();
        match sys::fork_into(0).ok()? {
            Forked::Child => {
                if self.ephemeral {
                    // Should the launcher itself be killed, its containers end all the same.
                    sys::die_with_parent(libc::SIGINT);
                    if rustix::process::getppid() != Some(launcher) {
                        sys::exit_now(1);
                    }
                }
                let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(life));
                sys::exit_now(status.unwrap_or(101))
            }
            Forked::Parent(child) => {
                let pid = child.pid;
                self.supervisors.insert(pid, child);
                Some(pid)
            }
        }
    }

    fn reap(&mut self) {
        while sys::next_signal(&self.signals).is_some() {}
        while let Some((pid, _)) = sys::reap_any() {
            self.supervisors.remove(&pid);
            self.pools.forget(pid);
        }
        self.bid_farewell();
    }

    /// Ends the spares and waits for them.
    fn end_spares(&mut self) {
        let spares = self.pools.close_all();
        self.wait_while(|supervisors| spares.iter().any(|pid| supervisors.contains_key(pid)));
    }

    fn wait_while(&mut self, unfinished: impl Fn(&BTreeMap<i32, Child>) -> bool) {
        let deadline = Instant::now() + SUPERVISOR_PATIENCE;
        while unfinished(&self.supervisors) && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut entries = [sys::poll_entry(Some(self.signals.as_fd()), libc::POLLIN)];
            let _ = sys::poll(&mut entries, Some(left));
            self.reap();
        }
    }

    /// Ends every container and waits for its supervisor.
    fn end_all(&mut self) {
        for supervisor in self.supervisors.values() {
            let _ = sys::send_signal(supervisor.handle.as_fd(), sys::kill_signal(), 0);
        }
        self.wait_while(|supervisors| !supervisors.is_empty());
        for supervisor in self.supervisors.values() {
            // Its init, and so its container, dies with it.
            let _ = sys::send_signal(supervisor.handle.as_fd(), libc::SIGKILL, 0);
        }
    }

    fn remove_traces(&self, directories: &[PathBuf]) {
        let layout = Layout::detect();
        for instance in &self.instances {
            let _ = layout.remove_instance(instance);
        }
        for directory in directories {
            // A daemon that is still dying may add a file meanwhile: once more, then.
            for _ in 0..5 {
                match std::fs::remove_dir_all(directory) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    _ => break,
                }
            }
        }
    }
}
