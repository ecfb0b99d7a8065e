//! Reading and writing control group files, with errors that name the file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the kernel would not limit, watch, kill or remove a container's control group.
#[derive(Debug, thiserror::Error)]
pub enum IsolationError {
    /// The group cannot be made: no such hierarchy, no permission, or too many groups.
    #[error("cannot create control group {}", path.display())]
    Create {
        /// The group's directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A control file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The control file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A value was refused.
    #[error("cannot write '{value}' to {}", path.display())]
    Write {
        /// The control file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// cgroups-rs could not apply a limit.
    #[error("cannot limit {what} in {}", path.display())]
    Limit {
        /// The limited resource.
        what: &'static str,
        /// The group's directory.
        path: PathBuf,
        /// What cgroups-rs said.
        #[source]
        source: cgroups_rs::fs::error::Error,
    },
    /// This host has no means for what was asked.
    #[error("this host cannot limit {what}: {why}")]
    Unavailable {
        /// The resource.
        what: &'static str,
        /// What is missing, and what to do.
        why: String,
    },
    /// The device filter was refused.
    #[error("cannot attach a device filter to {}", path.display())]
    DeviceFilter {
        /// The group's directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A control file holds something else than expected.
    #[error("{} holds '{text}', which is not a number", path.display())]
    Malformed {
        /// The control file.
        path: PathBuf,
        /// Its text, shortened.
        text: String,
    },
    /// The group cannot be removed, although nothing should run in it.
    #[error("cannot remove control group {}", path.display())]
    Remove {
        /// The group's directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Processes outlive SIGKILL, most likely stuck in an uninterruptible system call.
    #[error("processes of the container survive SIGKILL")]
    StillPopulated,
}

pub(super) fn read(path: &Path) -> Result<String, IsolationError> {
    fs::read_to_string(path).map_err(|source| IsolationError::Read { path: path.to_owned(), source })
}

pub(super) fn read_number(path: &Path) -> Result<u64, IsolationError> {
    let text = read(path)?;
    text.trim().parse().map_err(|_| IsolationError::Malformed {
        path: path.to_owned(),
        text: text.chars().take(60).collect(),
    })
}

/// Was the group removed, before its file was opened or between that and its use?
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

/// The number after `key` in a file of `key value` lines; 0 when the key is missing.
pub(super) fn read_keyed(path: &Path, key: &str) -> Result<u64, IsolationError> {
    let text = read(path)?;
    for line in text.lines() {
        if let Some(value) = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(' ')) {
            return value.trim().parse().map_err(|_| IsolationError::Malformed {
                path: path.to_owned(),
                text: line.chars().take(60).collect(),
            });
        }
    }
    Ok(0)
}

pub(super) fn write(path: &Path, value: &str) -> Result<(), IsolationError> {
    // Never O_CREAT: a control file that is not there must not become an ordinary one.
    let result = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()));
    result.map_err(|source| IsolationError::Write { path: path.to_owned(), value: value.to_owned(), source })
}

/// Writes each value by itself to a control file that takes one at a time.
pub(super) fn write_each(
    path: &Path,
    values: impl IntoIterator<Item = impl std::fmt::Display>,
) -> Result<(), IsolationError> {
    let refused = |value: String, source| IsolationError::Write { path: path.to_owned(), value, source };
    let mut file =
        fs::OpenOptions::new().write(true).open(path).map_err(|source| refused(String::new(), source))?;
    for value in values {
        let value = value.to_string();
        io::Write::write_all(&mut file, value.as_bytes()).map_err(|source| refused(value, source))?;
    }
    Ok(())
}

/// Opens a group's directory.
pub(super) fn open_directory(path: &Path) -> io::Result<std::os::fd::OwnedFd> {
    use rustix::fs::{CWD, Mode, OFlags};
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

/// Makes the directory and its parents.
pub(super) fn create(path: &Path) -> Result<(), IsolationError> {
    // Another agent may remove an empty parent between our making it and using it: try again.
    let mut attempts = 0;
    loop {
        match fs::create_dir_all(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempts < 20 => attempts += 1,
            Err(source) => {
                return Err(IsolationError::Create { path: path.to_owned(), source });
            }
        }
    }
}

/// Removes one group; missing is fine. An emptied group may stay busy for a moment.
pub(super) fn remove(path: &Path) -> Result<(), IsolationError> {
    let mut pause = Duration::from_micros(100);
    loop {
        match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && pause < Duration::from_millis(500) =>
            {
                std::thread::sleep(pause);
                pause *= 2;
            }
            Err(source) => {
                return Err(IsolationError::Remove { path: path.to_owned(), source });
            }
        }
    }
}

/// Removes a group and every group below it; missing is fine.
pub(super) fn remove_tree(path: &Path) -> Result<(), IsolationError> {
    for child in children(path)? {
        remove_tree(&path.join(child))?;
    }
    remove(path)
}

/// Names of the groups right below `path`; none when `path` is missing.
pub(super) fn children(path: &Path) -> Result<Vec<String>, IsolationError> {
    let refused = |source| IsolationError::Read { path: path.to_owned(), source };
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(refused(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(refused)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    Ok(names)
}
