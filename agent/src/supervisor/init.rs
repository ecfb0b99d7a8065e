//! A container's first process: pid 1 of its pid namespace.
//!
//! It builds its root, waits for an errand, furnishes the root, waits again for the word to go, which comes when its
//! control groups limit it, gives up the host's power for that of its own users, forks the task as pid 2, hands
//! signals on to it, reaps orphans, and ends when the task ends; the kernel then kills whatever is left in the
//! namespace. It ends with its supervisor too, so that no container is ever without one.
//!
//! Source: pid_namespaces(7).

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};

use lonja_model::privileges::{Capability, CapabilitySet};
use lonja_model::profile::Profile;

use super::confine::{self, Confinement};
use super::control::Inside;
use super::mounts;
use super::profile::root::{self, Furniture, Root};
use super::profile::users::{self, Users};
use super::profile::{Mould, NOBODY, network, trees};
use super::report::{Failure, FailureReason};
use super::sharing;
use super::sys::{self, Forked};
use super::task::{self, plain};
use super::terminal;
use super::waiting::Errand;
use crate::failpoint;

/// Signals that go on to the task.
const FORWARDED: [i32; 6] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// What init gets from its supervisor at birth.
pub(super) struct Inheritance {
    pub(super) line: Inside,
    /// Closed by the exec of the task.
    pub(super) exec_mark: OwnedFd,
    pub(super) mould: Mould,
    pub(super) power: Power,
}

/// What init may do.
pub(super) enum Power {
    /// All that the host's root may, until it takes on users of the container's own, if there are any.
    Root(Option<Users>),
    /// What root may in a user namespace that it was born with; these ids of the agent's are the only ones there.
    Ordinary(u32, u32),
}

impl Power {
    fn users(&self) -> Option<&Users> {
        match self {
            Self::Root(users) => users.as_ref(),
            Self::Ordinary(..) => None,
        }
    }

    /// The host's id of user 0 inside, where that can be named.
    fn first(&self) -> Option<u32> {
        match self {
            Self::Root(users) => Some(users.as_ref().map_or(0, |users| users.ids.first)),
            Self::Ordinary(..) => None,
        }
    }
}

/// Runs the container and never returns.
pub(super) fn run(inheritance: Inheritance) -> ! {
    sys::set_process_name(c"lonja-init");
    // Its container can see it: the daemon's paths and settings are none of the task's business.
    sys::replace_arguments(c"lonja-init");
    // What it makes has the modes that it says.
    rustix::process::umask(rustix::fs::Mode::empty());
    let Inheritance { line, exec_mark, mould, power } = inheritance;
    let mut keep = vec![line.0.as_raw_fd(), exec_mark.as_raw_fd()];
    keep.extend(
        power.users().iter().flat_map(|users| [users.namespace.as_raw_fd(), users.ids.lock.as_raw_fd()]),
    );
    sys::close_all_except(&keep);
    let or_end = |failure: Failure| -> ! {
        line.say_failed(&failure);
        sys::exit_now(1)
    };
    let root = be_born(&mould, &power).unwrap_or_else(|failure| or_end(failure));
    let Some((errand, logs, mut trees)) = line.await_errand() else {
        // Nobody needs this container, or the supervisor died.
        sys::exit_now(1);
    };
    let errand = read_errand(errand).unwrap_or_else(|failure| or_end(failure));
    failpoint::reach("init: errand read");
    let shared = trees.split_off(trees.len().saturating_sub(errand.shared_namespaces));
    let has_input = errand.container.stdin && errand.container.tty.is_none();
    let input = if has_input { trees.pop() } else { None };
    sharing::enter(&shared).unwrap_or_else(|failure| or_end(failure));
    set_up(&errand, &mould, &power, root, trees).unwrap_or_else(|failure| or_end(failure));
    failpoint::reach("init: set up");
    let terminal = make_terminal(&errand, &line).unwrap_or_else(|failure| or_end(failure));
    if !line.await_go() {
        sys::exit_now(1);
    }
    let lock = come_down(&mould, power).unwrap_or_else(|failure| or_end(failure));
    // From here on it can be killed by what the task does, and the supervisor may have gone before it would be told.
    if line.is_hung_up() {
        sys::exit_now(1);
    }
    failpoint::reach("init: told to go");
    match sys::fork_into(0) {
        Ok(Forked::Child) => {
            // Its own files in /proc are its own again, for there is nobody else in the container yet.
            sys::set_dumpable(true);
            let input = match (terminal.as_ref(), input.as_ref()) {
                (Some(slave), _) => task::Input::Terminal(slave),
                (None, Some(pipe)) => task::Input::Pipe(pipe),
                (None, None) => task::Input::Nothing,
            };
            let failure = task::become_task(&errand.container, errand.user.as_ref(), &logs, input, &line);
            line.say_failed(&failure);
            sys::exit_now(127)
        }
        Ok(Forked::Parent(child)) => {
            failpoint::reach("init: forked");
            confine_self(&errand).unwrap_or_else(|failure| or_end(failure));
            drop((exec_mark, logs, errand, terminal, input, shared));
            sys::trim_heap();
            // The ids stay this container's to its end.
            let _lock = lock;
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

/// All that needs no errand. The root is built here by who has the power to show it files of the host's later.
fn be_born(mould: &Mould, power: &Power) -> Result<Option<Root>, Failure> {
    if let Power::Ordinary(uid, gid) = power {
        let inside = if mould.rootless() { NOBODY } else { 0 };
        // Without giving up setgroups first an unprivileged process may not map its group.
        fs::write("/proc/self/setgroups", "deny")
            .and_then(|()| fs::write("/proc/self/uid_map", format!("{inside} {uid} 1")))
            .and_then(|()| fs::write("/proc/self/gid_map", format!("{inside} {gid} 1")))
            .map_err(|error| refuse("cannot map the agent's user into the container", &error))?;
    }
    // After the change of ids, which would clear it. Should the supervisor already be gone, the line is
    // hung up and init ends there.
    sys::die_with_parent(libc::SIGKILL);
    if mould.own_network() {
        network::bring_up()?;
    }
    if !mould.own_root() || matches!(power, Power::Ordinary(..)) {
        return Ok(None);
    }
    root::detach_mounts()?;
    root::build(mould, power.first()).map(Some)
}

fn read_errand(text: OwnedFd) -> Result<Errand, Failure> {
    let mut bytes = Vec::new();
    let read = File::from(text).read_to_end(&mut bytes).map_err(serde_json::Error::io);
    read.and_then(|_| serde_json::from_slice(&bytes)).map_err(|error| {
        let message = format!("the container's init cannot read its errand: {error}");
        Failure::new(FailureReason::Internal, message)
    })
}

fn set_up(
    errand: &Errand,
    mould: &Mould,
    power: &Power,
    root: Option<Root>,
    trees: Vec<OwnedFd>,
) -> Result<(), Failure> {
    let spec = &errand.container;
    if let Some(name) = &spec.hostname {
        nix::unistd::sethostname(name)
            .map_err(|error| refuse(&format!("cannot set the host name '{name}'"), &error))?;
    }
    let user = errand.user.as_ref();
    if !mould.own_root() {
        root::detach_mounts()?;
        mounts::prepare()?;
        let mount = |volume| mounts::mount_volume(volume, &spec.sandbox, user);
        return spec.volumes.iter().try_for_each(mount);
    }
    let (root, trees) = match root {
        Some(root) => {
            if errand.shared_namespaces > 0 {
                root.renew_queues(mould)?;
            }
            (root, trees)
        }
        None => {
            // Mounts come from a namespace that we have power over, and so only now.
            root::detach_mounts()?;
            let trees = trees::open_all(spec, None, None)?;
            (root::build(mould, None)?, trees)
        }
    };
    // The task's user before root inside, so that what is made is the task's where it may be.
    let makers: Vec<(u32, u32)> = power.first().map_or_else(Vec::new, |first| {
        let user = user.map(|user| (first + user.uid, first + user.gid));
        user.into_iter().chain([(first, first)]).collect()
    });
    root.furnish(mould, Furniture { spec, names: &errand.names, user, makers: &makers, trees })
}

/// The task's end of its terminal, if it wants one; the other goes to the supervisor.
fn make_terminal(errand: &Errand, line: &Inside) -> Result<Option<OwnedFd>, Failure> {
    let Some(size) = errand.container.tty else {
        return Ok(None);
    };
    let terminal = terminal::open(size, None).and_then(|terminal| {
        line.say_terminal(&terminal.master)?;
        Ok(terminal.slave)
    });
    terminal.map(Some).map_err(|error| refuse("cannot make the task's terminal", &plain(&error)))
}

/// Gives up what the host's root may. Returns what keeps the container's ids.
fn come_down(mould: &Mould, power: Power) -> Result<Option<File>, Failure> {
    if mould.own_cgroups() {
        // By now the container's groups are its own: those are what it takes for the root.
        sys::new_cgroup_namespace()
            .map_err(|error| refuse("cannot make the container's control group namespace", &plain(&error)))?;
    }
    let Power::Root(Some(users)) = power else {
        return Ok(None);
    };
    let id = users::of_init(mould);
    sys::enter_users(users.fd())
        .and_then(|()| sys::become_user(id, id, &[]))
        .map_err(|error| refuse("cannot enter the container's user namespace", &plain(&error)))?;
    // Cleared by the change of ids.
    sys::die_with_parent(libc::SIGKILL);
    // The task, which may be of the same user, is not to look into a process that knows the host's program.
    sys::set_dumpable(false);
    Ok(Some(users.ids.lock))
}

/// Keeps nothing but the power to hand signals on: whatever a task does to its init, there is nothing to be had.
fn confine_self(errand: &Errand) -> Result<(), Failure> {
    let spec = &errand.container;
    if spec.profile == Profile::Host {
        return Ok(());
    }
    let kill = CapabilitySet::of(&[Capability::KILL]);
    let own = Confinement {
        bounding: Some(kill),
        effective: Some(kill),
        no_new_privs: true,
        filter: spec.confinement.filter,
        ..Confinement::default()
    };
    confine::apply(&own, None)
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
