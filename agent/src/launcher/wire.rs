//! What is said on the launcher's socket, and by the launcher to its spares.
//!
//! To the launcher: `L`, an instance's name, a NUL byte, a mould as JSON, a NUL byte, a run directory's path, with a
//! pipe for the report; or `W`, a name, a NUL byte, a layout and a mould as JSON; or `C`, a name, a NUL byte, with a
//! pipe that closes when the spares are gone; or `N`, a name, a NUL byte, a run directory's path, with the line of a
//! nested process. To a spare: a run directory's path, with the pipe.

use std::ffi::OsStr;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::isolation::{InstanceId, Layout};
use crate::supervisor::{Mould, passing};

/// The largest request, in bytes.
const LARGEST_REQUEST: usize = 8 * 1024;

const LAUNCH: u8 = b'L';
const WARM_UP: u8 = b'W';
const COOL_DOWN: u8 = b'C';
const NESTED: u8 = b'N';

/// A container to supervise.
pub(super) struct Request {
    pub(super) run_dir: PathBuf,
    pub(super) report: OwnedFd,
}

/// What came over the socket.
pub(super) enum Received {
    Launch(InstanceId, Mould, Request),
    /// Launches for this instance are to come.
    WarmUp(InstanceId, Layout, Mould),
    /// One who announced launches takes that back; the descriptor is closed when the spares that
    /// nobody else wants are gone.
    CoolDown(InstanceId, OwnedFd),
    /// A process beside the task in the container with this run directory; the rest is said on its line.
    Nested(PathBuf, OwnedFd),
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
    mould: &Mould,
    run_dir: &Path,
    report: BorrowedFd<'_>,
) -> nix::Result<()> {
    let mut rest = serde_json::to_vec(mould).map_err(|_| Errno::EINVAL)?;
    rest.push(0);
    rest.extend(run_dir.as_os_str().as_bytes());
    let text = request(LAUNCH, instance, &rest);
    send(socket, &text, Some(report))
}

/// Asks for a custodian of a nested process. Errors: as for [`send_request`].
pub(crate) fn send_nested(
    socket: BorrowedFd<'_>,
    instance: &InstanceId,
    run_dir: &Path,
    line: BorrowedFd<'_>,
) -> nix::Result<()> {
    send(socket, &request(NESTED, instance, run_dir.as_os_str().as_bytes()), Some(line))
}

/// Asks for spares. Errors: as for [`send_request`]; without spares, launches just take longer.
pub(crate) fn send_warm_up(
    socket: BorrowedFd<'_>,
    instance: &InstanceId,
    layout: &Layout,
    mould: &Mould,
) -> nix::Result<()> {
    let layout = serde_json::to_vec(&(layout, mould)).map_err(|_| Errno::EINVAL)?;
    send(socket, &request(WARM_UP, instance, &layout), None)
}

/// Has the spares ended. `gone` is held until they are. Errors: as for [`send_request`].
pub(crate) fn send_cool_down(
    socket: BorrowedFd<'_>,
    instance: &InstanceId,
    gone: BorrowedFd<'_>,
) -> nix::Result<()> {
    send(socket, &request(COOL_DOWN, instance, &[]), Some(gone))
}

/// Gives a spare its order. Errors: it is gone.
pub(super) fn send_to_spare(spare: BorrowedFd<'_>, request: &Request) -> nix::Result<()> {
    send(spare, request.run_dir.as_os_str().as_bytes(), Some(request.report.as_fd()))
}

fn request(kind: u8, instance: &InstanceId, rest: &[u8]) -> Vec<u8> {
    let mut text = vec![kind];
    text.extend(instance.as_str().as_bytes());
    text.push(0);
    text.extend(rest);
    text
}

fn send(socket: BorrowedFd<'_>, text: &[u8], descriptor: Option<BorrowedFd<'_>>) -> nix::Result<()> {
    if text.len() > LARGEST_REQUEST {
        return Err(Errno::ENAMETOOLONG);
    }
    let descriptors: Vec<i32> = descriptor.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let rights = if descriptors.is_empty() { &rights[..0] } else { &rights[..] };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(text)], rights, flags, None).map(|_| ())
}

/// Takes the launcher's next request without waiting.
pub(super) fn receive(socket: BorrowedFd<'_>) -> Received {
    let mut buffer = vec![0_u8; LARGEST_REQUEST];
    let (length, mut descriptors) = match passing::receive(socket, &mut buffer, MsgFlags::MSG_DONTWAIT) {
        Ok(message) => message,
        Err(Errno::EAGAIN) => return Received::Nothing,
        // ECONNRESET: the daemon was killed.
        Err(_) => return Received::HungUp,
    };
    if length == 0 {
        return Received::HungUp;
    }
    let text = buffer.get(..length).unwrap_or_default();
    parse(text, descriptors.pop()).unwrap_or(Received::Nonsense)
}

/// Takes a spare's order, without waiting. `None`: there is none.
pub(super) fn receive_in_spare(line: BorrowedFd<'_>) -> Option<Request> {
    let mut buffer = vec![0_u8; LARGEST_REQUEST];
    let (length, mut descriptors) = passing::receive(line, &mut buffer, MsgFlags::MSG_DONTWAIT).ok()?;
    let run_dir = PathBuf::from(OsStr::from_bytes(buffer.get(..length)?));
    Some(Request { run_dir, report: descriptors.pop()? })
}

fn parse(text: &[u8], descriptor: Option<OwnedFd>) -> Option<Received> {
    let (kind, text) = text.split_first()?;
    let split = text.iter().position(|byte| *byte == 0)?;
    let (instance, rest) = text.split_at(split);
    let instance = InstanceId::new(String::from_utf8(instance.to_vec()).ok()?).ok()?;
    let rest = rest.get(1..)?;
    match *kind {
        LAUNCH => {
            let split = rest.iter().position(|byte| *byte == 0)?;
            let (mould, run_dir) = rest.split_at(split);
            let run_dir = PathBuf::from(OsStr::from_bytes(run_dir.get(1..)?));
            let request = Request { run_dir, report: descriptor? };
            Some(Received::Launch(instance, serde_json::from_slice(mould).ok()?, request))
        }
        WARM_UP => {
            let (layout, mould) = serde_json::from_slice(rest).ok()?;
            Some(Received::WarmUp(instance, layout, mould))
        }
        NESTED => Some(Received::Nested(PathBuf::from(OsStr::from_bytes(rest)), descriptor?)),
        COOL_DOWN => Some(Received::CoolDown(instance, descriptor?)),
        _ => None,
    }
}
