//! The process that fetches.
//!
//! It reads its job from its input, which stays open: when that closes, the agent is gone, and it ends. It answers once,
//! on its output. Between the two it is the task's user without capabilities, in a Landlock domain that knows the
//! sandbox and little else, and works through descriptors it has opened: no path of the sandbox is looked up twice.
//!
//! Source: docs/isolation.md, "Files".

mod budget;
mod codecs;
mod confine;
mod folder;
mod unpack;
mod web;

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use super::job::{Destination, Fetched, Item, Job, Kind, LARGEST_JOB, Origin, Report};
use crate::supervisor::Identity;
use budget::{Budget, Copied};
use folder::Folder;

/// The life of a fetching process. Call it first in `main`, before any thread exists, when the first argument is
/// [`CHILD_ARGUMENT`](super::CHILD_ARGUMENT).
pub fn run_child() -> ExitCode {
    let Some(job) = read_job() else { return ExitCode::from(2) };
    let report = work(&job).unwrap_or_else(|message| Report::Failed { message, damaged: None });
    match serde_json::to_writer(io::stdout().lock(), &report) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn read_job() -> Option<Job> {
    let mut input = io::stdin().lock();
    let mut length = [0; 4];
    input.read_exact(&mut length).ok()?;
    let length = u32::from_le_bytes(length);
    if length > LARGEST_JOB {
        return None;
    }
    let mut text = vec![0; usize::try_from(length).ok()?];
    input.read_exact(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Why a file is not there.
enum Fault {
    /// For people.
    Failed(String),
    /// It is not what was put into the cache.
    Damaged,
}

impl<T: ToString> From<T> for Fault {
    fn from(what: T) -> Self {
        Self::Failed(what.to_string())
    }
}

/// An item with what has to be open before the process gives its rights up.
struct Ready<'a> {
    item: &'a Item,
    source: Source<'a>,
    /// For the cache.
    file: Option<File>,
}

enum Source<'a> {
    Web(&'a str),
    /// To be opened with the rights of the task.
    Host(&'a std::path::Path, Identity),
    Cached(File, &'a str),
}

fn work(job: &Job) -> Result<Report, String> {
    let sandbox = job.sandbox.as_deref().map(Folder::open).transpose();
    let sandbox = sandbox.map_err(|error| format!("cannot open the sandbox: {error}"))?;
    let mut items = Vec::with_capacity(job.items.len());
    for item in &job.items {
        items.push(make_ready(item).map_err(|error| format!("{}: {error}", item.shown))?);
    }
    confine::enter(job, sandbox.as_ref()).map_err(|error| format!("cannot confine the fetch: {error}"))?;
    let mut log = sandbox.as_ref().and_then(Folder::open_log);
    let mut budget = Budget::of(job);
    let web = web::Client::new(job.addresses.clone(), job.authorities.as_ref());
    let mut fetched = Vec::with_capacity(items.len());
    for (index, ready) in items.into_iter().enumerate() {
        let shown = &ready.item.shown;
        match bring(ready, sandbox.as_ref(), &web, &mut budget) {
            Ok((copied, words)) => {
                if let Some(log) = &mut log {
                    // A task that cannot be told of its files has them all the same.
                    let _unheard = writeln!(log, "fetch: {shown}: {} bytes{words}", copied.bytes);
                }
                fetched.push(Fetched { bytes: copied.bytes, sha256: copied.sha256 });
            }
            Err(Fault::Failed(why)) => {
                return Ok(Report::Failed { message: format!("{shown}: {why}"), damaged: None });
            }
            Err(Fault::Damaged) => {
                let message = format!("{shown}: the agent's copy is damaged");
                return Ok(Report::Failed { message, damaged: Some(index) });
            }
        }
    }
    Ok(Report::Done(fetched))
}

fn make_ready(item: &Item) -> io::Result<Ready<'_>> {
    let source = match &item.origin {
        Origin::Web(url) => Source::Web(url),
        Origin::Host { path, identity } => Source::Host(path, *identity),
        Origin::Cached { path, sha256 } => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Source::Cached(rustix::fs::open(path, flags, Mode::empty())?.into(), sha256)
        }
    };
    let file = match &item.destination {
        Destination::Cache { path } => {
            let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
            Some(File::options().write(true).custom_flags(flags).open(path)?)
        }
        Destination::Sandbox { .. } => None,
    };
    Ok(Ready { item, source, file })
}

/// Brings one file to where it belongs. Also says, for the task's log, what became of it.
fn bring(
    ready: Ready<'_>,
    sandbox: Option<&Folder>,
    web: &web::Client,
    budget: &mut Budget,
) -> Result<(Copied, String), Fault> {
    let Ready { item, source, file } = ready;
    if let Some(mut file) = file {
        let copied = copy(source, web, &mut file, budget)?;
        check(item, &copied)?;
        return Ok((copied, String::new()));
    }
    let (Some(sandbox), Destination::Sandbox { name, kind, keep_archive }) = (sandbox, &item.destination)
    else {
        return Err("it has nowhere to go".into());
    };
    let (kind, name) = (*kind, name.as_str());
    if !keep_archive && let Source::Cached(mut archive, expected) = source {
        if !matches!(kind, Kind::Plain | Kind::Executable) {
            let copied = budget::checksum(&mut archive)?;
            if copied.sha256 != expected {
                return Err(Fault::Damaged);
            }
            check(item, &copied)?;
            let words = unpack::unpack(kind, archive, copied.bytes, name, sandbox, budget)?;
            return Ok((copied, format!(" from the agent's cache{words}")));
        }
        return place(item, Source::Cached(archive, expected), name, kind, sandbox, web, budget);
    }
    place(item, source, name, kind, sandbox, web, budget)
}

/// Writes a file below the sandbox, checks it, and then makes of it what it is to be.
fn place(
    item: &Item,
    source: Source<'_>,
    name: &str,
    kind: Kind,
    sandbox: &Folder,
    web: &web::Client,
    budget: &mut Budget,
) -> Result<(Copied, String), Fault> {
    let expected = match &source {
        Source::Cached(_, expected) => Some((*expected).to_owned()),
        Source::Web(_) | Source::Host(..) => None,
    };
    let path = folder::Path::parse(name.as_bytes())?;
    let mut file = sandbox.create(&path, 0o644)?;
    let done = copy(source, web, &mut file, budget).and_then(|copied| {
        if expected.is_some_and(|expected| expected != copied.sha256) {
            return Err(Fault::Damaged);
        }
        check(item, &copied)?;
        Ok(copied)
    });
    let copied = match done {
        Ok(copied) => copied,
        Err(fault) => {
            // Nothing half is left lying about, also for the second try.
            sandbox.remove(&path);
            return Err(fault);
        }
    };
    let words = match kind {
        Kind::Plain => String::new(),
        Kind::Executable => {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(0o755)).map_err(io::Error::from)?;
            ", executable".to_owned()
        }
        Kind::Tar | Kind::TarGzip | Kind::TarBzip2 | Kind::TarXz | Kind::TarZstd | Kind::Zip | Kind::Gzip => {
            drop(file);
            let archive = sandbox.read(&path)?;
            unpack::unpack(kind, archive, copied.bytes, name, sandbox, budget)?
        }
    };
    Ok((copied, words))
}

fn copy(source: Source<'_>, web: &web::Client, to: &mut File, budget: &mut Budget) -> Result<Copied, Fault> {
    match source {
        Source::Web(url) => Ok(web.download(url, to, budget)?),
        Source::Host(path, identity) => {
            let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            // A FIFO must not hold the fetch up.
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let file = rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve);
            let mut file =
                File::from(file.map_err(|error| format!("cannot be read by the task's user: {error}"))?);
            if Identity::of(&file)? != identity {
                return Err("something else was put there since the launch was allowed".into());
            }
            if !file.metadata()?.is_file() {
                return Err("is no plain file".into());
            }
            Ok(budget.copy(&mut file, to)?)
        }
        Source::Cached(mut file, _) => {
            file.rewind()?;
            Ok(budget.copy(&mut file, to)?)
        }
    }
}

fn check(item: &Item, copied: &Copied) -> Result<(), Fault> {
    match &item.sha256 {
        Some(expected) if *expected != copied.sha256 => {
            Err(format!("its SHA-256 checksum is {}, expected was {expected}", copied.sha256).into())
        }
        _ => Ok(()),
    }
}
