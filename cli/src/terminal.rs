//! This process's own terminal: its size, its raw mode, what is typed.

use std::io::Read;
use std::os::fd::AsFd;

use lonja_proto::lonja::WindowSize;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

/// Bytes of one piece of input, at most.
const PIECE: usize = 16 << 10;

/// How many pieces wait to be sent.
const MOST_WAITING: usize = 4;

/// Whether input comes from a terminal.
pub(crate) fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdin())
}

/// The size of the window, of whichever standard stream has one.
pub(crate) fn window() -> Option<WindowSize> {
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    let size = tcgetwinsize(stdin.as_fd()).or_else(|_| tcgetwinsize(stdout.as_fd())).ok()?;
    Some(WindowSize { rows: size.ws_row.into(), columns: size.ws_col.into() })
}

/// The terminal hands every key on as it is, until this is dropped.
pub(crate) struct Raw(Termios);

impl Raw {
    /// Changes the terminal. Errors: input comes from none.
    pub(crate) fn enter() -> std::io::Result<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(stdin.as_fd())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin.as_fd(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // After what was written has been shown. A terminal that is gone needs nothing.
        let _gone = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Drain, &self.0);
    }
}

/// What comes in on standard input, until it ends.
pub(crate) fn input() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(MOST_WAITING);
    // A thread of its own: a read of a terminal cannot be given up.
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin();
        let mut piece = vec![0; PIECE];
        while let Ok(length @ 1..) = stdin.read(&mut piece) {
            if sender.blocking_send(piece[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}
