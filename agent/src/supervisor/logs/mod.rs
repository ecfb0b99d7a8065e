//! Where a task's output goes.
//!
//! Without limits, the task writes `stdout` and `stderr` of its sandbox itself. With limits it writes into
//! pipes; the supervisor moves what comes on to a writer, a process of its own that is forked when the first
//! output comes and writes files of a bounded size, of which the oldest go ([`file`]). So a disk that stalls
//! holds neither the supervisor nor, beyond a bound, the task: see [`pump`].
//!
//! Invariants
//! - What the task has put in the place of a log is never written to, nor followed.
//! - When the container's exit record exists, what the task wrote is in the files, but for what the disk
//!   did not take within the bound.
//! - All of this goes on while the agent is away.

pub(super) mod file;
pub(super) mod pump;
mod writer;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid};
use serde::{Deserialize, Serialize};

use super::report::{Failure, FailureReason};
use super::spec::ContainerSpec;
use super::task::{Logs, plain};
use super::user::TaskUser;
use file::LogFile;
use pump::Pump;

/// How much of a container's output is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// Bytes of one file of standard output; at least 1.
    pub stdout_bytes: u64,
    /// Bytes of one file of standard error; at least 1.
    pub stderr_bytes: u64,
    /// How many files of each there are at most, the present one included; at least 2.
    pub files: u32,
}

/// Files without a bound.
const UNLIMITED: LogLimits = LogLimits { stdout_bytes: u64::MAX, stderr_bytes: u64::MAX, files: 2 };

/// Opens the logs of a task with this sandbox. The second part is what moves its output, where that is limited.
pub(super) fn open(
    sandbox: &Path,
    user: Option<&TaskUser>,
    limits: Option<LogLimits>,
    tty: bool,
) -> Result<(Logs, Option<Pump>), Failure> {
    // What comes from a terminal is always moved.
    let limits = limits.or(tty.then_some(UNLIMITED));
    let directory = open_directory(sandbox).map_err(|error| refuse(&sandbox.join("stdout"), &error))?;
    let open = |name: &'static str| {
        open_file(&directory, name, user, limits.is_none())
            .map_err(|error| refuse(&sandbox.join(name), &error))
    };
    let (stdout, stderr) = (open("stdout")?, open("stderr")?);
    let Some(limits) = limits else {
        return Ok((Logs { stdout, stderr }, None));
    };
    let piped = |name: &'static str, file: OwnedFd, most: u64| {
        let refuse = |error: io::Error| refuse(&sandbox.join(name), &error);
        let (source, its_end) = if tty { (None, null().map_err(refuse)?) } else { pipe().map_err(refuse)? };
        let file = LogFile::new(&directory, name, file, most, limits.files).map_err(refuse)?;
        Ok::<_, Failure>((source, its_end, file))
    };
    let (out_source, stdout, out_file) = piped("stdout", stdout, limits.stdout_bytes)?;
    let (err_source, stderr, err_file) = piped("stderr", stderr, limits.stderr_bytes)?;
    let pump = Pump::new([(out_source, out_file), (err_source, err_file)]);
    Ok((Logs { stdout, stderr }, Some(pump)))
}

fn refuse(path: &Path, error: &io::Error) -> Failure {
    Failure::new(FailureReason::Sandbox, format!("cannot open '{}': {}", path.display(), plain(error)))
}

fn open_directory(sandbox: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, sandbox, flags, Mode::empty())?)
}

fn open_file(
    directory: &OwnedFd,
    name: &str,
    user: Option<&TaskUser>,
    appending: bool,
) -> io::Result<OwnedFd> {
    // A link planted under this name must not redirect the log, nor a pipe without a reader hold us.
    let mut flags = OFlags::CREATE
        | OFlags::WRONLY
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    flags.set(OFlags::APPEND, appending);
    let file = rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o644))?;
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("something else than a file is in its place"));
    }
    if appending {
        // It becomes the task's own, which expects a plain one.
        rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
    }
    if let Some(user) = user {
        change_owner(&file, user.uid, user.gid)?;
    }
    Ok(file)
}

/// Makes the pipes the task's own, whose root is the host's user `first`, so that it can open `/dev/stdout`.
pub(super) fn give_pipes(logs: &Logs, first: u32, user: Option<&TaskUser>) -> Result<(), Failure> {
    let (uid, gid) = user.map_or((0, 0), |user| (user.uid, user.gid));
    // An ordinary agent's pipes are its task's already.
    if first == 0 && user.is_none() {
        return Ok(());
    }
    for pipe in [&logs.stdout, &logs.stderr] {
        change_owner(pipe, first.saturating_add(uid), first.saturating_add(gid)).map_err(|error| {
            let message = format!("cannot give the task its output: {}", plain(&error));
            Failure::new(FailureReason::Sandbox, message)
        })?;
    }
    Ok(())
}

/// The task's input, if it wants one: our end, and its own, which is given to it like its output.
pub(super) fn input(
    spec: &ContainerSpec,
    first: u32,
    user: Option<&TaskUser>,
) -> Result<Option<(OwnedFd, OwnedFd)>, Failure> {
    if !spec.stdin || spec.tty.is_some() {
        return Ok(None);
    }
    let refuse = |error: io::Error| {
        let message = format!("cannot make the task's input: {}", plain(&error));
        Failure::new(FailureReason::Internal, message)
    };
    let (its_end, ours) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| refuse(error.into()))?;
    // Whoever gets it must not be held by a task that does not read.
    rustix::io::ioctl_fionbio(&ours, true).map_err(|error| refuse(error.into()))?;
    if first != 0 || user.is_some() {
        let (uid, gid) = user.map_or((0, 0), |user| (user.uid, user.gid));
        change_owner(&its_end, first.saturating_add(uid), first.saturating_add(gid)).map_err(refuse)?;
    }
    Ok(Some((ours, its_end)))
}

fn change_owner(file: &OwnedFd, uid: u32, gid: u32) -> io::Result<()> {
    Ok(rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

/// Our end, which never blocks, and the task's.
fn pipe() -> io::Result<(Option<OwnedFd>, OwnedFd)> {
    let (source, its_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&source, true)?;
    Ok((Some(source), its_end))
}

/// In the place of a pipe, where a terminal takes its.
fn null() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}
