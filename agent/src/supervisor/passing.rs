//! Taking a message with the descriptors that were passed along with it.
//!
//! Source: unix(7), SCM_RIGHTS.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

/// The most descriptors one message may carry: as many as the kernel lets it.
const MOST_DESCRIPTORS: usize = 253;

/// A message as it came.
pub(crate) struct Passed {
    /// Its length in the buffer; 0 means hung up.
    pub(crate) length: usize,
    /// Its descriptors, in the order sent.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Who sent it, where the socket asks for that.
    pub(crate) sender: Option<i32>,
}

/// The next message's length in `buffer` and its descriptors, in the order sent; length 0 means hung up.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: MsgFlags,
) -> nix::Result<(usize, Vec<OwnedFd>)> {
    receive_with_sender(socket, buffer, flags).map(|passed| (passed.length, passed.descriptors))
}

/// The next message, with the sender's pid as the receiver's pid namespace has it.
#[allow(unsafe_code)]
pub(crate) fn receive_with_sender(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: MsgFlags,
) -> nix::Result<Passed> {
    loop {
        let mut space = nix::cmsg_space!([RawFd; MOST_DESCRIPTORS], libc::ucred);
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Ok(message) => message,
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error),
        };
        let (mut descriptors, mut sender) = (Vec::new(), None);
        for part in message.cmsgs().into_iter().flatten() {
            match part {
                ControlMessageOwned::ScmRights(raw) => {
                    // SAFETY: the kernel just made these descriptors for us; nobody else owns them.
                    let owned = raw.iter().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) });
                    descriptors.extend(owned);
                }
                ControlMessageOwned::ScmCredentials(credentials) => sender = Some(credentials.pid()),
                _ => {}
            }
        }
        return Ok(Passed { length: message.bytes, descriptors, sender });
    }
}
