//! Containers made before anyone asked for them.
//!
//! The first move of a process into a v1 control group waits about 10 ms on a quiet host, for a grace
//! period of the kernel's. Children are born in their parent's group, so a [`Spare`] pays for that ahead
//! of time: its init already stands in a group of its own, and needs only an errand and limits.
//!
//! Invariants
//! - Nothing that depends on an errand is done before it is there, and neither is a container made ahead of time
//!   that shows the host's mounts as they are when it starts: those of profile `host`, and those of ordinary users.
//! - An init that is not told to go ends, and nothing of a task has run.
//! - A spare that is dismissed leaves neither process nor group.
//!
//! Source: Linux `kernel/cgroup/cgroup.c`, `cgroup_threadgroup_rwsem`; docs/design.md, D6.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use crate::isolation::{Cgroup, GroupName, InstanceId, IsolationError, Layout, Limits};

use super::init::Power;
use super::profile::Mould;
use super::profile::etc::Names;
use super::profile::users::Users;
use super::report::{Failure, FailureReason};
use super::spec::ContainerSpec;
use super::sys::{self, Forked};
use super::task::{Logs, plain};
use super::user::TaskUser;
use super::watch::Watch;
use super::{control, init};

/// What init is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Errand {
    pub(super) container: ContainerSpec,
    /// `None`: nothing is to be changed.
    pub(super) user: Option<TaskUser>,
    /// What its host and others are called.
    pub(super) names: Names,
    /// How many namespaces of its group's it enters: the last descriptors that come along.
    #[serde(default)]
    pub(super) shared_namespaces: usize,
}

impl Errand {
    /// The errand in memory shared with whoever gets the descriptor.
    fn shared(&self) -> io::Result<OwnedFd> {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::memfd_create("lonja-errand", flags)?);
        file.write_all(&serde_json::to_vec(self)?)?;
        file.rewind()?;
        Ok(file.into())
    }
}

/// A container's init, in its namespaces, that was not told to go. Dropped, it ends.
pub(super) struct Waiting {
    watch: Watch,
    users: Option<Users>,
    /// Whether it was born in its v2 group.
    born_inside: bool,
}

impl Waiting {
    /// Starts the init, in the group, which exists, as far as processes can be born there; [`Waiting::enter`] does
    /// the rest.
    pub(super) fn start(mould: &Mould, cgroup: &dyn Cgroup) -> Result<Self, Failure> {
        let internal = |what: &str, error: &io::Error| {
            Failure::new(FailureReason::Internal, format!("{what}: {}", plain(error)))
        };
        let lines = control::line().map_err(|error| internal("cannot make a line", &error.into()))?;
        let (outside, inside) = lines;
        let (mark, exec_mark) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|error| internal("cannot make a pipe", &error.into()))?;
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let mut namespaces = mould.birth_namespaces();
        let power = if uid.is_root() {
            Power::Root(if mould.own_users() { Some(Users::make(mould)?) } else { None })
        } else {
            namespaces |= libc::CLONE_NEWUSER;
            Power::Ordinary(uid.as_raw(), gid.as_raw())
        };
        let group = cgroup.birthplace();
        let mut born_inside = group.is_some();
        let mut forked = sys::fork_within(namespaces, group.as_ref().map(AsFd::as_fd));
        if born_inside && forked.is_err() {
            // Before Linux 5.7, or where processes above may not be put below: moved in afterwards, then.
            born_inside = false;
            forked = sys::fork_into(namespaces);
        }
        let init = match forked {
            Ok(Forked::Child) => {
                init::run(init::Inheritance { line: inside, exec_mark, mould: mould.clone(), power })
            }
            Ok(Forked::Parent(child)) => child,
            Err(error) => {
                let message = format!("cannot make the container's namespaces: {}", plain(&error));
                return Err(Failure::new(FailureReason::Namespace, message));
            }
        };
        let watch = Watch::new(init, outside, mark);
        let watch = watch.map_err(|error| internal("cannot watch the container", &error))?;
        let users = match power {
            Power::Root(users) => users,
            Power::Ordinary(..) => None,
        };
        Ok(Self { watch, users, born_inside })
    }

    /// The container's users, if it has its own.
    pub(super) fn users(&self) -> Option<&Users> {
        self.users.as_ref()
    }

    /// Lets init set the container up.
    pub(super) fn send(&self, errand: &Errand, logs: &Logs, trees: &[OwnedFd]) -> Result<(), Failure> {
        let sent = errand.shared().and_then(|text| Ok(self.watch.line().send_errand(&text, logs, trees)?));
        sent.map_err(|error| {
            let message = format!("cannot tell the container's init what to do: {}", plain(&error));
            Failure::new(FailureReason::Internal, message)
        })
    }

    /// Init's pid.
    pub(super) fn init_pid(&self) -> i32 {
        self.watch.init_pid()
    }

    /// Moves init into the group.
    pub(super) fn enter(&self, cgroup: &dyn Cgroup) -> Result<(), IsolationError> {
        let init = self.watch.init_pid();
        if self.born_inside { cgroup.attach_newborn(init) } else { cgroup.attach(init) }
    }

    /// Sets limits. Init is in the group by now, or comes into it next.
    pub(super) fn limit(&mut self, cgroup: &dyn Cgroup, limits: &Limits) -> Result<(), IsolationError> {
        cgroup.limit(limits)?;
        if limits.memory_bytes.is_some() {
            self.watch.watch_memory(cgroup.oom_watch()?);
        }
        Ok(())
    }

    /// Lets init start the task.
    pub(super) fn go(self) -> Watch {
        self.watch.line().say_go();
        self.watch
    }
}

/// A container without an errand: its init waits in a group of its own, without limits yet.
pub(crate) struct Spare {
    pub(super) group: GroupName,
    pub(super) cgroup: Box<dyn Cgroup>,
    pub(super) waiting: Waiting,
}

impl Spare {
    /// Makes a spare. On failure nothing is left, and a container started from scratch tells why.
    pub(crate) fn make(
        layout: &Layout,
        instance: &InstanceId,
        group: GroupName,
        mould: &Mould,
    ) -> Option<Self> {
        let cgroup = layout.container(instance, &group);
        let started = cgroup.create().ok().and_then(|()| Waiting::start(mould, cgroup.as_ref()).ok());
        let Some(waiting) = started else {
            let _ = cgroup.remove();
            return None;
        };
        let spare = Self { group, cgroup, waiting };
        let placed = spare.waiting.enter(spare.cgroup.as_ref());
        if placed.is_err() {
            spare.dismiss();
            return None;
        }
        Some(spare)
    }

    /// Waits until `line` can be read. `false`: something happened that ends a spare first.
    pub(crate) fn wait(&self, line: BorrowedFd<'_>) -> bool {
        self.waiting.watch.wait_unless_over(line)
    }

    /// Ends the init and removes the group.
    pub(crate) fn dismiss(self) {
        drop(self.waiting);
        // What cannot be removed now is removed by the next recovery.
        let _ = self.cgroup.remove();
    }
}
