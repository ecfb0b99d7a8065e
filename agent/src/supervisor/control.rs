//! The line from inside a container, its init and its task before exec, to the supervisor outside.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, send, setsockopt, socketpair,
    sockopt,
};

use super::report::Failure;

/// What is said on the line.
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
}

const TASK: u8 = b'T';
const FAILED: u8 = b'F';
const ENDED: u8 = b'E';

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

    fn send(&self, text: &[u8]) {
        // When the supervisor is gone its death ends this process too: nobody is left to be told.
        let _ = send(self.0.as_raw_fd(), text, MsgFlags::MSG_NOSIGNAL);
    }
}

impl Outside {
    /// The next message, `None` when there is none now.
    pub(super) fn next(&self) -> Option<Message> {
        let mut buffer = vec![0_u8; super::report::LARGEST_REPORT];
        let mut space = nix::cmsg_space!(libc::ucred);
        let (length, host_pid) = loop {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
            let received = match recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut space), flags) {
                Ok(received) => received,
                Err(Errno::EINTR) => continue,
                Err(_) => return None,
            };
            let sender = received.cmsgs().ok()?.find_map(|message| match message {
                ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
                _ => None,
            });
            break (received.bytes, sender);
        };
        let (kind, text) = buffer.get(..length)?.split_first()?;
        match *kind {
            TASK => Some(Message::Task { host_pid: host_pid? }),
            FAILED => serde_json::from_slice(text).ok().map(Message::Failed),
            ENDED => Some(Message::Ended(i32::from_le_bytes(text.try_into().ok()?))),
            _ => None,
        }
    }
}
