//! A pseudo-terminal of a container's own.
//!
//! It is made inside the container, from the container's own `/dev/ptmx`, for one task or one nested
//! process, so that nobody inside ever holds a terminal of the agent's or of an operator's.
//!
//! Source: pty(7), ioctl_tty(2), TIOCGPTPEER.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, major, minor};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use serde::{Deserialize, Serialize};

use super::sys;

/// `/dev/ptmx` and its like in every devpts, by number.
const PTMX: (u32, u32) = (5, 2);

/// How large a terminal's window is, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

impl WindowSize {
    /// Makes this the window of the terminal behind `side`, either of its two ends. Whoever runs in the
    /// foreground there is told by SIGWINCH.
    pub fn apply(self, side: impl AsFd) -> io::Result<()> {
        let size = Winsize { ws_row: self.rows, ws_col: self.columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(side, size).map_err(io::Error::from)
    }
}

/// Both ends of a new terminal.
pub(super) struct Terminal {
    /// The end to be held outside; reading and writing never block.
    pub(super) master: OwnedFd,
    /// The end that looks like a terminal to programs.
    pub(super) slave: OwnedFd,
}

/// Makes a terminal in the mount namespace of the calling process. `owner`: who may open it by name.
pub(super) fn open(size: WindowSize, owner: Option<(u32, u32)>) -> io::Result<Terminal> {
    // Never blocks, whatever the task may have put in this place.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let master = rustix::fs::open("/dev/ptmx", flags, Mode::empty())?;
    let about = rustix::fs::fstat(&master)?;
    let is_device = FileType::from_raw_mode(about.st_mode) == FileType::CharacterDevice;
    if !is_device || (major(about.st_rdev), minor(about.st_rdev)) != PTMX {
        return Err(io::Error::other("the container's /dev/ptmx is something else"));
    }
    rustix::pty::unlockpt(&master)?;
    // From the master itself: a path could lead elsewhere.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    if let Some((uid, gid)) = owner {
        let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
        rustix::fs::fchown(&slave, Some(uid), Some(gid))?;
    }
    size.apply(&master)?;
    Ok(Terminal { master, slave })
}

/// Makes `slave` the calling process's terminal and its standard streams. It must lead a session.
pub(super) fn take(slave: &OwnedFd) -> io::Result<()> {
    rustix::process::ioctl_tiocsctty(slave)?;
    (0..3).try_for_each(|standard| sys::redirect(slave.as_fd(), standard))
}
