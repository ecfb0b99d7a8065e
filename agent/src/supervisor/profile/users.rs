//! Users of a container's own.
//!
//! The namespace is made before the container, and init enters it as the last thing before the task: until then it
//! sets up mounts with the host's power, and afterwards nothing of that is left. The same namespace maps the owners of
//! files in the sandbox and in volumes, which look inside as they do outside.
//!
//! Source: user_namespaces(7); mount_setattr(2), `MOUNT_ATTR_IDMAP`.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::super::report::{Failure, FailureReason};
use super::super::sys::{self, Forked};
use super::super::task::plain;
use super::super::user::TaskUser;
use super::ids::{IDS, IdRange};
use super::{Mould, NOBODY};

/// A user namespace, and the host's ids that it maps to.
#[derive(Debug)]
pub(in super::super) struct Users {
    /// The namespace.
    pub(in super::super) namespace: OwnedFd,
    /// The host's ids.
    pub(in super::super) ids: IdRange,
}

impl Users {
    /// Makes the users of a container. Root's power is needed.
    pub(in super::super) fn make(mould: &Mould) -> Result<Self, Failure> {
        let ids = IdRange::take()?;
        let refuse = |error: io::Error| {
            let message = format!(
                "cannot make the container's user namespace: {}; allow it by /proc/sys/user/max_user_namespaces, or \
                 start the agent with --no-userns",
                plain(&error)
            );
            Failure::new(FailureReason::Namespace, message)
        };
        let map = map(mould, ids.first);
        let namespace = make_namespace(&map).map_err(refuse)?;
        Ok(Self { namespace, ids })
    }

    /// The same for who needs to look at it.
    pub(in super::super) fn fd(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

/// Which ids inside are which outside. Where there is no root inside, nothing stands for it outside.
fn map(mould: &Mould, first: u32) -> String {
    if mould.rootless() {
        return format!("1 {} {}", first + 1, IDS - 1);
    }
    format!("0 {first} {IDS}")
}

/// The ids that init has inside.
pub(in super::super) fn of_init(mould: &Mould) -> u32 {
    if mould.rootless() { NOBODY } else { 0 }
}

/// A namespace needs a process to be born with it, and lives on by its descriptor.
fn make_namespace(map: &str) -> io::Result<OwnedFd> {
    let (wait, go) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match sys::fork_into(libc::CLONE_NEWUSER)? {
        Forked::Child => {
            drop(go);
            // Ends with the maker's other end, whatever becomes of the maker.
            let _ = rustix::io::read(&wait, &mut [0_u8; 1]);
            sys::exit_now(0)
        }
        Forked::Parent(child) => {
            let proc = format!("/proc/{}", child.pid);
            let made = fs::write(format!("{proc}/uid_map"), map)
                .and_then(|()| fs::write(format!("{proc}/gid_map"), map))
                .and_then(|()| File::open(format!("{proc}/ns/user")));
            drop((wait, go));
            sys::reap(child.pid)?;
            Ok(made?.into())
        }
    }
}

/// Whom the task runs as. `None`: as init is by then.
///
/// Errors: an id that does not exist inside.
pub(in super::super) fn inside(mould: &Mould, user: Option<TaskUser>) -> Result<Option<TaskUser>, Failure> {
    if mould.rootless() && user.as_ref().is_none_or(|user| user.uid == 0) {
        return Ok(Some(TaskUser { uid: NOBODY, gid: NOBODY, groups: Vec::new() }));
    }
    let Some(mut user) = user else {
        return Ok(None);
    };
    if !mould.own_users() {
        return Ok(Some(user));
    }
    if user.uid >= IDS || user.gid >= IDS {
        let message = format!(
            "user {} of group {} has no place in the container, whose ids end at {}; run the task as another user, \
             or start the agent with --no-userns",
            user.uid,
            user.gid,
            IDS - 1
        );
        return Err(Failure::new(FailureReason::User, message));
    }
    let least = u32::from(mould.rootless());
    user.gid = user.gid.max(least);
    // Other groups give access to nothing inside.
    user.groups.retain(|group| (least..IDS).contains(group));
    Ok(Some(user))
}

#[cfg(test)]
mod tests {
    use lonja_model::profile::Profile;

    use super::super::Isolation;
    use super::*;

    fn user(uid: u32) -> Option<TaskUser> {
        Some(TaskUser { uid, gid: uid, groups: vec![uid, 70_000] })
    }

    #[test]
    fn hardened_containers_have_no_root() {
        let mould = Mould::new(Profile::Hardened, Isolation::default());
        for root in [None, user(0)] {
            assert_eq!(inside(&mould, root).unwrap().unwrap().uid, NOBODY);
        }
        assert_eq!(map(&mould, 1_000_000), "1 1000001 65535");
    }

    #[test]
    fn ids_without_a_place_inside_are_refused_or_left_out() {
        let mould = Mould::new(Profile::Default, Isolation::default());
        assert_eq!(inside(&mould, user(1_000)).unwrap().unwrap().groups, [1_000]);
        let failure = inside(&mould, user(70_000)).unwrap_err();
        assert!(failure.message.contains("70000") && failure.message.contains("--no-userns"), "{failure}");
    }
}
