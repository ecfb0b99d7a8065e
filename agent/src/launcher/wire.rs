//! One request to the launcher: whose container, its run directory, and a pipe for the report.

use std::ffi::OsStr;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use crate::isolation::InstanceId;

/// The largest request: an instance's name, a NUL byte, a path.
const LARGEST_REQUEST: usize = 8 * 1024;

/// A request as the launcher sees it.
pub(super) struct Request {
    pub(super) instance: InstanceId,
    pub(super) run_dir: PathBuf,
    pub(super) report: OwnedFd,
}

/// What came over the socket.
pub(super) enum Received {
    Request(Request),
    /// Something else; ignored.
    Nonsense,
    /// Nothing now.
    Nothing,
    /// The daemon is gone.
    HungUp,
}

/// Asks for a supervisor. `EAGAIN`: the launcher is behind, try when the socket is writable.
pub(crate) fn send_request(
    socket: BorrowedFd<'_>,
    instance: &InstanceId,
    run_dir: &Path,
    report: BorrowedFd<'_>,
) -> nix::Result<()> {
    let mut text = instance.as_str().as_bytes().to_vec();
    text.push(0);
    text.extend(run_dir.as_os_str().as_bytes());
    if text.len() > LARGEST_REQUEST {
        return Err(Errno::ENAMETOOLONG);
    }
    let descriptors = [report.as_raw_fd()];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(&text)],
        &[ControlMessage::ScmRights(&descriptors)],
        flags,
        None,
    )
    .map(|_| ())
}

/// Takes the next request without waiting.
#[allow(unsafe_code)]
pub(super) fn receive(socket: &OwnedFd) -> Received {
    let mut buffer = vec![0_u8; LARGEST_REQUEST];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 4]);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let socket = socket.as_fd().as_raw_fd();
    let (length, mut descriptors) = match recvmsg::<()>(socket, &mut parts, Some(&mut space), flags) {
        Ok(message) => {
            let mut descriptors = Vec::new();
            for part in message.cmsgs().into_iter().flatten() {
                if let ControlMessageOwned::ScmRights(raw) = part {
                    // SAFETY: the kernel just made these descriptors for us; nobody else owns them.
                    let owned = raw.iter().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) });
                    descriptors.extend(owned);
                }
            }
            (message.bytes, descriptors)
        }
        Err(Errno::EAGAIN | Errno::EINTR) => return Received::Nothing,
        // ECONNRESET: the daemon was killed.
        Err(_) => return Received::HungUp,
    };
    if length == 0 {
        return Received::HungUp;
    }
    let request = parse(buffer.get(..length).unwrap_or_default(), descriptors.pop());
    request.map_or(Received::Nonsense, Received::Request)
}

fn parse(text: &[u8], report: Option<OwnedFd>) -> Option<Request> {
    let split = text.iter().position(|byte| *byte == 0)?;
    let (instance, path) = text.split_at(split);
    let instance = String::from_utf8(instance.to_vec()).ok()?;
    Some(Request {
        instance: InstanceId::new(instance).ok()?,
        run_dir: PathBuf::from(OsStr::from_bytes(path.get(1..)?)),
        report: report?,
    })
}
