//! A container's first process: pid 1 of its pid namespace.
//!
//! It sets the namespaces up, forks the task as pid 2, hands signals on to it, reaps orphans, and ends
//! when the task ends; the kernel then kills whatever is left in the namespace. It ends with its
//! supervisor too, so that no container is ever without one.
//!
//! Source: pid_namespaces(7).

use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};

use super::control::Inside;
use super::mounts;
use super::report::{Failure, FailureReason};
use super::spec::ContainerSpec;
use super::sys::{self, Forked};
use super::task::{self, Logs, plain};
use super::user::TaskUser;

/// Signals that go on to the task.
const FORWARDED: [i32; 6] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// What init gets from its supervisor.
pub(super) struct Inheritance<'a> {
    pub(super) spec: &'a ContainerSpec,
    pub(super) user: Option<&'a TaskUser>,
    pub(super) logs: Logs,
    pub(super) line: Inside,
    /// A byte comes when init is in its control groups.
    pub(super) go: OwnedFd,
    /// Closed by the exec of the task.
    pub(super) exec_mark: OwnedFd,
    /// Set when the container has a user namespace: the agent's own ids, to become root inside.
    pub(super) map_to_root: Option<(u32, u32)>,
}

/// Runs the container and never returns.
pub(super) fn run(inheritance: Inheritance<'_>) -> ! {
    sys::set_process_name(c"lonja-init");
    let keep = [
        inheritance.logs.stdout.as_raw_fd(),
        inheritance.logs.stderr.as_raw_fd(),
        inheritance.line.0.as_raw_fd(),
        inheritance.go.as_raw_fd(),
        inheritance.exec_mark.as_raw_fd(),
    ];
    sys::close_all_except(&keep);
    if let Err(failure) = set_up(&inheritance) {
        inheritance.line.say_failed(&failure);
        sys::exit_now(1);
    }
    let Inheritance { spec, user, logs, line, go, exec_mark, .. } = inheritance;
    let mut byte = [0_u8; 1];
    if fs::File::from(go).read_exact(&mut byte).is_err() {
        // The supervisor gave up, or died.
        sys::exit_now(1);
    }
    match sys::fork_into(0) {
        Ok(Forked::Child) => {
            let failure = task::become_task(spec, user, &logs, &line);
            line.say_failed(&failure);
            sys::exit_now(127)
        }
        Ok(Forked::Parent(child)) => {
            drop((exec_mark, logs));
            attend(child.pid, &line)
        }
        Err(error) => {
            let message = format!("cannot fork the task: {}", plain(&error));
            line.say_failed(&Failure::new(FailureReason::Internal, message));
            sys::exit_now(1)
        }
    }
}

fn set_up(inheritance: &Inheritance<'_>) -> Result<(), Failure> {
    let refuse = |what: &str, error: &dyn std::fmt::Display| {
        Failure::new(FailureReason::Namespace, format!("{what}: {error}"))
    };
    if let Some((uid, gid)) = inheritance.map_to_root {
        // Without giving up setgroups first an unprivileged process may not map its group.
        fs::write("/proc/self/setgroups", "deny")
            .and_then(|()| fs::write("/proc/self/uid_map", format!("0 {uid} 1")))
            .and_then(|()| fs::write("/proc/self/gid_map", format!("0 {gid} 1")))
            .map_err(|error| refuse("cannot map the agent's user to root inside", &error))?;
    }
    // After the change of ids, which would clear it. Should the supervisor already be gone, `go` is
    // closed and init ends there.
    sys::die_with_parent(libc::SIGKILL);
    mounts::prepare()?;
    if let Some(name) = &inheritance.spec.hostname {
        nix::unistd::sethostname(name)
            .map_err(|error| refuse(&format!("cannot set the host name '{name}'"), &error))?;
    }
    let spec = inheritance.spec;
    spec.volumes.iter().try_for_each(|volume| mounts::mount_volume(volume, &spec.sandbox))
}

/// Hands on signals and reaps until the task has ended, then ends with it.
fn attend(task: i32, line: &Inside) -> ! {
    let mut awaited = vec![libc::SIGCHLD];
    awaited.extend(FORWARDED);
    loop {
        // Reap first: a child may have ended before the first wait, and SIGCHLD does not count.
        while let Some((pid, status)) = sys::reap_any() {
            if pid == task {
                line.say_ended(status);
                sys::exit_now(0);
            }
        }
        let signal = sys::wait_for_signal(&awaited);
        if FORWARDED.contains(&signal) && sys::kill(-task, signal).is_err() {
            // Not yet leader of its own group, which it becomes first of all.
            let _ = sys::kill(task, signal);
        }
    }
}
