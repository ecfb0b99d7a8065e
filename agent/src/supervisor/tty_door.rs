//! Where an agent gets a task's terminal, or its standard input: a socket in the run directory.
//!
//! Whoever connects is sent the terminal's outer end, if he is the user that the supervisor runs as; the run directory
//! lets nobody else come near. So an agent that was restarted can attach to a task again, and what it types goes to
//! the terminal without a detour. Output goes to the log, where the agent reads it.
//!
//! Source: unix(7), SCM_RIGHTS, SO_PEERCRED.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, connect,
    getsockopt, listen, sendmsg, socket, sockopt,
};
use rustix::fs::{CWD, Mode, OFlags};

use super::{passing, sys};

/// What can be had, and the name of the socket in the run directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The outer end of a terminal: whoever asks gets it.
    Terminal,
    /// The writing end of a pipe: only the first who asks gets it, so that it ends with him.
    Input,
}

impl What {
    fn file(self) -> &'static str {
        match self {
            Self::Terminal => "tty",
            Self::Input => "stdin",
        }
    }
}

/// How long a supervisor may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The socket.
pub(super) struct TtyDoor(OwnedFd, What);

/// A run directory's path may be longer than the name of a socket.
fn address(run_dir: &OwnedFd, what: What) -> nix::Result<UnixAddr> {
    UnixAddr::new(format!("/proc/self/fd/{}/{}", run_dir.as_raw_fd(), what.file()).as_str())
}

fn new_socket(run_dir: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let run_dir = rustix::fs::openat(CWD, run_dir, flags, Mode::empty())?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok((run_dir, socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?))
}

impl TtyDoor {
    pub(super) fn open(run_dir: &Path, what: What) -> io::Result<Self> {
        let (run_dir, socket) = new_socket(run_dir)?;
        bind(socket.as_raw_fd(), &address(&run_dir, what)?)?;
        listen(&socket, Backlog::new(16)?)?;
        Ok(Self(socket, what))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Answers who waits.
    #[allow(unsafe_code)]
    pub(super) fn serve(&self, terminal: &mut Option<OwnedFd>) {
        while let Ok(visitor) = accept4(self.0.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)
        {
            // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
            let visitor = unsafe { OwnedFd::from_raw_fd(visitor) };
            let own = rustix::process::geteuid().as_raw();
            let known = getsockopt(&visitor, sockopt::PeerCredentials).is_ok_and(|peer| peer.uid() == own);
            if let (Some(held), true) = (&terminal, known) {
                let descriptors = [held.as_raw_fd()];
                let rights = [ControlMessage::ScmRights(&descriptors)];
                let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
                let text = [IoSlice::new(b"Y")];
                let sent = sendmsg::<()>(visitor.as_raw_fd(), &text, &rights, flags, None);
                if sent.is_ok() && self.1 == What::Input {
                    // Held here as well, it would never end.
                    *terminal = None;
                }
            }
        }
    }
}

/// The outer end of the terminal of the task with this run directory, or its input; `Ok(None)`: it has none, or somebody
/// else has taken the input. Blocks for a moment.
///
/// Errors: the supervisor does not answer, or the task ends.
pub(crate) fn take_from(run_dir: &Path, what: What) -> io::Result<Option<OwnedFd>> {
    let (run_dir, socket) = match new_socket(run_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    match connect(socket.as_raw_fd(), &address(&run_dir, what)?) {
        Ok(()) => {}
        Err(nix::errno::Errno::ENOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let mut entry = [sys::poll_entry(Some(socket.as_fd()), libc::POLLIN)];
    sys::poll(&mut entry, Some(PATIENCE))?;
    let (_, descriptors) = passing::receive(socket.as_fd(), &mut [0_u8; 1], MsgFlags::MSG_DONTWAIT)?;
    let held = descriptors.into_iter().next();
    if held.is_none() && what == What::Terminal {
        return Err(io::Error::other("the task's terminal is not ready, or gone"));
    }
    Ok(held)
}
