//! Namespaces that the containers of one group have together: a network, and System V objects and message queues.
//!
//! Nobody but the containers holds them. The supervisor of each stands in them itself, beside its init, and says so in
//! the group's folder; the first to come makes them, and they go with the last. So they outlive any agent, and there is
//! nothing to recover.
//!
//! The folder, `groups/<group>` below the work directory, has one file for each container, named like it.
//!
//! Invariants
//! - The folder is looked at and changed under its lock alone, so that two containers that come at once share.
//! - A supervisor is believed to be there by its whole identity only, and never joined in a namespace that it has not
//!   got from its group: who uses the host's network does not show others the way there.
//!
//! Source: namespaces(7); Kubernetes, "Pods", shared namespaces; docs/groups.md.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, fstat};
use serde::{Deserialize, Serialize};

use super::identity::ProcessIdentity;
use super::profile::Mould;
use super::report::{Failure, FailureReason};
use super::sys;
use super::task::plain;
use crate::isolation::ContainerId;

/// The folder of all groups, below the work directory.
const GROUPS: &str = "groups";

/// What a supervisor says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    process: ProcessIdentity,
    /// Which of its namespaces are its group's, as `CLONE_NEW*`.
    namespaces: i32,
}

/// A supervisor's place in its group. Dropped, it is given up.
#[derive(Debug)]
pub(super) struct Place {
    folder: PathBuf,
    container: String,
    namespaces: i32,
}

impl Place {
    /// Enters the group's namespaces, of those that this container is to have of its own, or makes them. `None`: the
    /// container has nothing to share.
    pub(super) fn take(run_dir: &Path, group: &ContainerId, mould: &Mould) -> Result<Option<Self>, Failure> {
        let namespaces = mould.birth_namespaces() & (libc::CLONE_NEWNET | libc::CLONE_NEWIPC);
        let (Some(work_dir), Some(container)) = (run_dir.ancestors().nth(2), run_dir.file_name()) else {
            return Ok(None);
        };
        if namespaces == 0 {
            return Ok(None);
        }
        let folder = work_dir.join(GROUPS).join(group.as_str());
        let container = container.to_string_lossy().into_owned();
        let refuse = |error: io::Error| {
            let message = format!("cannot share the namespaces of group {group}: {}", plain(&error));
            Failure::new(FailureReason::Namespace, message)
        };
        let lock = make_and_lock(&folder).map_err(refuse)?;
        let entered = enter_or_make(&folder, namespaces)
            .and_then(|()| announce(&folder, &container, namespaces))
            .map_err(refuse);
        if entered.is_err() {
            // Unless others are there.
            let _ = fs::remove_dir(&folder);
        }
        // A place that is given up takes the lock itself.
        drop(lock);
        entered.map(|()| Some(Self { folder, container, namespaces }))
    }

    /// The namespaces, for init to enter in this order: see [`enter`].
    pub(super) fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        let open = |namespace| {
            let name = if namespace == libc::CLONE_NEWNET { "net" } else { "ipc" };
            File::open(format!("/proc/self/ns/{name}")).map(OwnedFd::from)
        };
        each(self.namespaces).map(open).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be tidied up now is, by the next who comes or goes, or by an agent that starts.
        let _ = leave(&self.folder, Some(&self.container), FlockOperation::LockExclusive);
    }
}

fn each(namespaces: i32) -> impl Iterator<Item = i32> {
    [libc::CLONE_NEWNET, libc::CLONE_NEWIPC].into_iter().filter(move |flag| namespaces & flag != 0)
}

/// From here on this process stands in its group's namespaces.
fn enter_or_make(folder: &Path, namespaces: i32) -> io::Result<()> {
    let members = living(folder)?;
    for namespace in each(namespaces) {
        let there = members.iter().find(|(member, _)| member.namespaces & namespace != 0);
        match there {
            Some((_, process)) => sys::enter_namespaces(process.as_fd(), namespace)?,
            None => {
                sys::new_namespaces(namespace)?;
                if namespace == libc::CLONE_NEWNET {
                    sys::loopback_up()?;
                }
            }
        }
    }
    Ok(())
}

/// Whole or not at all, whenever we are killed.
fn announce(folder: &Path, container: &str, namespaces: i32) -> io::Result<()> {
    let member = Member { process: ProcessIdentity::own()?, namespaces };
    let temporary = folder.join(format!(".{container}"));
    fs::write(&temporary, serde_json::to_vec(&member)?)?;
    fs::rename(&temporary, folder.join(container))
}

/// Enters namespaces that [`Place::descriptors`] gave. A root of one's own must be told of it.
pub(super) fn enter(namespaces: &[OwnedFd]) -> Result<(), Failure> {
    namespaces.iter().try_for_each(|namespace| {
        sys::enter_namespaces(namespace.as_fd(), 0).map_err(|error| {
            let message = format!("cannot enter the namespaces of the container's group: {}", plain(&error));
            Failure::new(FailureReason::Namespace, message)
        })
    })
}

/// Removes what supervisors that were killed have left behind. A group that somebody comes to or goes from just now is
/// left to them.
pub(crate) fn sweep(work_dir: &Path) {
    for group in fs::read_dir(work_dir.join(GROUPS)).into_iter().flatten().flatten() {
        let _ = leave(&group.path(), None, FlockOperation::NonBlockingLockExclusive);
    }
}

/// Makes the folder, unless it is there, and locks it until what is returned is dropped.
fn make_and_lock(folder: &Path) -> io::Result<OwnedFd> {
    loop {
        fs::create_dir_all(folder)?;
        // Whoever was the last may remove it before we have it.
        if let Some(lock) = lock(folder, FlockOperation::LockExclusive)? {
            return Ok(lock);
        }
    }
}

/// `None`: it is gone.
fn lock(folder: &Path, how: FlockOperation) -> io::Result<Option<OwnedFd>> {
    let opened = match File::open(folder) {
        Ok(opened) => OwnedFd::from(opened),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    flock(&opened, how)?;
    Ok((fstat(&opened)?.st_nlink > 0).then_some(opened))
}

/// The supervisors that are alive, with a handle on each; the files of others are removed.
fn living(folder: &Path) -> io::Result<Vec<(Member, OwnedFd)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let member = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Member>(&text).ok());
        match member {
            // Half written is what begins with a dot, by somebody who was killed: we hold the lock.
            Some(member) if !is_hidden(&path) => match member.process.open()? {
                Some(process) if is_running(&process) => found.push((member, process)),
                _ => fs::remove_file(&path)?,
            },
            _ => fs::remove_file(&path)?,
        }
    }
    Ok(found)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// A process that has ended, and was not reaped, has no namespaces any more.
fn is_running(process: &OwnedFd) -> bool {
    let mut entry = [sys::poll_entry(Some(process.as_fd()), libc::POLLIN)];
    sys::poll(&mut entry, Some(std::time::Duration::ZERO)).is_ok() && entry[0].revents == 0
}

fn leave(folder: &Path, container: Option<&str>, how: FlockOperation) -> io::Result<()> {
    let Some(_lock) = lock(folder, how)? else {
        return Ok(());
    };
    if let Some(container) = container {
        fs::remove_file(folder.join(container))?;
    }
    if living(folder)?.is_empty() {
        fs::remove_dir(folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(folder: &Path, name: &str, process: ProcessIdentity) {
        let member = Member { process, namespaces: libc::CLONE_NEWIPC };
        fs::write(folder.join(name), serde_json::to_vec(&member).unwrap()).unwrap();
    }

    #[test]
    fn only_those_that_live_are_found_and_the_folder_goes_with_the_last() {
        let work = tempfile::tempdir().unwrap();
        let folder = work.path().join(GROUPS).join("pod");
        drop(make_and_lock(&folder).unwrap());
        let own = ProcessIdentity::own().unwrap();
        announced(&folder, "here", own.clone());
        announced(&folder, "before", ProcessIdentity { start_time: own.start_time - 1, ..own });
        fs::write(folder.join(".torn"), "{").unwrap();

        assert_eq!(living(&folder).unwrap().len(), 1);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        sweep(work.path());
        assert!(folder.exists());
        leave(&folder, Some("here"), FlockOperation::LockExclusive).unwrap();
        assert!(!folder.exists());
        leave(&folder, None, FlockOperation::LockExclusive).unwrap();
    }

    #[test]
    fn a_folder_that_was_removed_while_we_waited_is_made_anew() {
        let work = tempfile::tempdir().unwrap();
        let folder = work.path().join("pod");
        let first = make_and_lock(&folder).unwrap();
        let waiting = std::thread::spawn({
            let folder = folder.clone();
            move || make_and_lock(&folder).map(drop)
        });
        fs::remove_dir(&folder).unwrap();
        drop(first);
        waiting.join().unwrap().unwrap();
        assert!(folder.exists());
    }
}
