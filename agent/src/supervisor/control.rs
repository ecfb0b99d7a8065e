//! The line between a container's supervisor outside and its init and task inside.
//!
//! Outwards go reports; inwards, once each, the errand and the word to go.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, send, sendmsg, setsockopt, socketpair,
    sockopt,
};

use super::passing;
use super::report::Failure;
use super::task::Logs;

/// What is said outwards.
pub(super) enum Message {
    /// Sent by the task right before exec.
    Task {
        /// The task's pid, translated by the kernel into the supervisor's pid namespace.
        host_pid: i32,
    },
    /// The container cannot be set up, or the command not executed.
    Failed(Failure),
    /// The task ended with this wait status.
    Ended(i32),
    /// Sent by who enters a container: the process it made there, as the host counts.
    Made {
        /// Its pid.
        host_pid: i32,
    },
    /// The outer end of a terminal made inside.
    Terminal(OwnedFd),
}

const TASK: u8 = b'T';
const FAILED: u8 = b'F';
const ENDED: u8 = b'E';
const MADE: u8 = b'M';
const TERMINAL: u8 = b'Y';
const ERRAND: &[u8] = b"R";
const GO: &[u8] = b"G";

/// The end inside the container.
pub(super) struct Inside(pub(super) OwnedFd);

/// The supervisor's end; reading never blocks.
pub(super) struct Outside(pub(super) OwnedFd);

pub(super) fn line() -> nix::Result<(Outside, Inside)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (outside, inside) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    setsockopt(&outside, sockopt::PassCred, &true)?;
    Ok((Outside(outside), Inside(inside)))
}

impl Inside {
    /// Waits for the errand's text, as a file, the task's logs, and what it is shown of the host's files. `None`: the
    /// supervisor gave up, or died.
    pub(super) fn await_errand(&self) -> Option<(OwnedFd, Logs, Vec<OwnedFd>)> {
        let mut descriptors = self.await_word(ERRAND)?.into_iter();
        let errand = descriptors.next()?;
        let logs = Logs { stdout: descriptors.next()?, stderr: descriptors.next()? };
        Some((errand, logs, descriptors.collect()))
    }

    /// Whether nobody is at the other end any more.
    pub(super) fn is_hung_up(&self) -> bool {
        let mut entry = [super::sys::poll_entry(Some(self.0.as_fd()), 0)];
        let _ = super::sys::poll(&mut entry, Some(std::time::Duration::ZERO));
        entry[0].revents & libc::POLLHUP != 0
    }

    /// Waits until limits are set. `false`: the supervisor gave up, or died.
    pub(super) fn await_go(&self) -> bool {
        self.await_word(GO).is_some()
    }

    fn await_word(&self, word: &[u8]) -> Option<Vec<OwnedFd>> {
        let mut buffer = [0_u8; 1];
        let received = passing::receive(self.0.as_fd(), &mut buffer, MsgFlags::empty());
        let (length, descriptors) = received.ok()?;
        (buffer.get(..length)? == word).then_some(descriptors)
    }

    /// Tells the supervisor which process the task is. The kernel adds the sender's pid.
    pub(super) fn say_task(&self) {
        self.send(&[TASK]);
    }

    pub(super) fn say_failed(&self, failure: &Failure) {
        let mut text = vec![FAILED];
        if serde_json::to_writer(&mut text, failure).is_ok() {
            self.send(&text);
        }
    }

    pub(super) fn say_ended(&self, wait_status: i32) {
        let mut text = vec![ENDED];
        text.extend(wait_status.to_le_bytes());
        self.send(&text);
    }

    pub(super) fn say_made(&self, host_pid: i32) {
        let mut text = vec![MADE];
        text.extend(host_pid.to_le_bytes());
        self.send(&text);
    }

    pub(super) fn say_terminal(&self, master: &OwnedFd) -> nix::Result<()> {
        let descriptors = [master.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let text = [IoSlice::new(&[TERMINAL])];
        sendmsg::<()>(self.0.as_raw_fd(), &text, &rights, MsgFlags::MSG_NOSIGNAL, None).map(|_| ())
    }

    fn send(&self, text: &[u8]) {
        // When the supervisor is gone its death ends this process too: nobody is left to be told.
        let _ = send(self.0.as_raw_fd(), text, MsgFlags::MSG_NOSIGNAL);
    }
}

impl Outside {
    /// Gives init its errand's text, the task's logs, and what it is shown of the host's files.
    pub(super) fn send_errand(&self, errand: &OwnedFd, logs: &Logs, trees: &[OwnedFd]) -> nix::Result<()> {
        let first = [errand, &logs.stdout, &logs.stderr];
        let descriptors: Vec<i32> = first.into_iter().chain(trees).map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let text = [IoSlice::new(ERRAND)];
        sendmsg::<()>(self.0.as_raw_fd(), &text, &rights, MsgFlags::MSG_NOSIGNAL, None).map(|_| ())
    }

    /// Lets init start the task.
    pub(super) fn say_go(&self) {
        // Fails only when init is gone already, which the watch tells better.
        let _ = send(self.0.as_raw_fd(), GO, MsgFlags::MSG_NOSIGNAL);
    }

    /// The next message, `None` when there is none now.
    pub(super) fn next(&self) -> Option<Message> {
        let mut buffer = vec![0_u8; super::report::LARGEST_REPORT];
        let received =
            passing::receive_with_sender(self.0.as_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT).ok()?;
        let (kind, text) = buffer.get(..received.length)?.split_first()?;
        match *kind {
            TASK => Some(Message::Task { host_pid: received.sender? }),
            FAILED => serde_json::from_slice(text).ok().map(Message::Failed),
            ENDED => Some(Message::Ended(i32::from_le_bytes(text.try_into().ok()?))),
            MADE => Some(Message::Made { host_pid: i32::from_le_bytes(text.try_into().ok()?) }),
            TERMINAL => received.descriptors.into_iter().next().map(Message::Terminal),
            _ => None,
        }
    }
}
