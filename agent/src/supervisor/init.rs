//! A container's first process: pid 1 of its pid namespace.
//!
//! It waits for an errand, sets the namespaces up, waits again for the word to go, which comes when its
//! control groups limit it, forks the task as pid 2, hands signals on to it, reaps orphans, and ends
//! when the task ends; the kernel then kills whatever is left in the namespace. It ends with its
//! supervisor too, so that no container is ever without one.
//!
//! Source: pid_namespaces(7).

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::fd::{AsRawFd, OwnedFd};

use super::control::Inside;
use super::mounts;
use super::report::{Failure, FailureReason};
use super::sys::{self, Forked};
use super::task::{self, plain};
use super::waiting::Errand;

/// Signals that go on to the task.
const FORWARDED: [i32; 6] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// What init gets from its supervisor at birth.
pub(super) struct Inheritance {
    pub(super) line: Inside,
    /// Closed by the exec of the task.
    pub(super) exec_mark: OwnedFd,
    /// Set when the container has a user namespace: the agent's own ids, to become root inside.
    pub(super) map_to_root: Option<(u32, u32)>,
}

/// Runs the container and never returns.
pub(super) fn run(inheritance: Inheritance) -> ! {
    sys::set_process_name(c"lonja-init");
    let Inheritance { line, exec_mark, map_to_root } = inheritance;
    sys::close_all_except(&[line.0.as_raw_fd(), exec_mark.as_raw_fd()]);
    let or_end = |failure: Failure| -> ! {
        line.say_failed(&failure);
        sys::exit_now(1)
    };
    be_born(map_to_root).unwrap_or_else(|failure| or_end(failure));
    let Some((errand, logs)) = line.await_errand() else {
        // Nobody needs this container, or the supervisor died.
        sys::exit_now(1);
    };
    let errand = read_errand(errand).unwrap_or_else(|failure| or_end(failure));
    set_up(&errand).unwrap_or_else(|failure| or_end(failure));
    if !line.await_go() {
        sys::exit_now(1);
    }
    match sys::fork_into(0) {
        Ok(Forked::Child) => {
            let failure = task::become_task(&errand.container, errand.user.as_ref(), &logs, &line);
            line.say_failed(&failure);
            sys::exit_now(127)
        }
        Ok(Forked::Parent(child)) => {
            drop((exec_mark, logs, errand));
            sys::trim_heap();
            attend(child.pid, &line)
        }
        Err(error) => {
            let message = format!("cannot fork the task: {}", plain(&error));
            or_end(Failure::new(FailureReason::Internal, message))
        }
    }
}

fn refuse(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureReason::Namespace, format!("{what}: {error}"))
}

/// All that needs no errand.
fn be_born(map_to_root: Option<(u32, u32)>) -> Result<(), Failure> {
    if let Some((uid, gid)) = map_to_root {
        // Without giving up setgroups first an unprivileged process may not map its group.
        fs::write("/proc/self/setgroups", "deny")
            .and_then(|()| fs::write("/proc/self/uid_map", format!("0 {uid} 1")))
            .and_then(|()| fs::write("/proc/self/gid_map", format!("0 {gid} 1")))
            .map_err(|error| refuse("cannot map the agent's user to root inside", &error))?;
    }
    // After the change of ids, which would clear it. Should the supervisor already be gone, the line is
    // hung up and init ends there.
    sys::die_with_parent(libc::SIGKILL);
    Ok(())
}

fn read_errand(text: OwnedFd) -> Result<Errand, Failure> {
    serde_json::from_reader(BufReader::new(File::from(text))).map_err(|error| {
        let message = format!("the container's init cannot read its errand: {error}");
        Failure::new(FailureReason::Internal, message)
    })
}

fn set_up(errand: &Errand) -> Result<(), Failure> {
    let spec = &errand.container;
    sys::new_mount_namespace()
        .map_err(|error: io::Error| refuse("cannot make the container's mount namespace", &plain(&error)))?;
    mounts::prepare()?;
    if let Some(name) = &spec.hostname {
        nix::unistd::sethostname(name)
            .map_err(|error| refuse(&format!("cannot set the host name '{name}'"), &error))?;
    }
    spec.volumes
        .iter()
        .try_for_each(|volume| mounts::mount_volume(volume, &spec.sandbox, errand.user.as_ref()))
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
