//! Which devices a container may open or make.
//!
//! Source: OCI runtime specification, default devices; Mesos, `cgroups/devices` and `--allowed_devices`.

use std::fmt;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The two kinds of device nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    /// Such as a disk.
    Block,
    /// Such as a terminal.
    Character,
}

/// What may be done with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAccess {
    /// Open it to read.
    pub read: bool,
    /// Open it to write.
    pub write: bool,
    /// Make a node of it.
    pub make: bool,
}

impl DeviceAccess {
    /// All three.
    pub const ALL: Self = Self { read: true, write: true, make: true };
    /// Open it to read and write.
    pub const OPEN: Self = Self { read: true, write: true, make: false };

    /// From letters of `r`, `w` and `m`. `None` for any other, or for none at all.
    pub fn parse(letters: &str) -> Option<Self> {
        let known = !letters.is_empty() && letters.bytes().all(|letter| b"rwm".contains(&letter));
        let has = |letter| letters.contains(letter);
        known.then(|| Self { read: has('r'), write: has('w'), make: has('m') })
    }
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (has, letter) in [(self.read, "r"), (self.write, "w"), (self.make, "m")] {
            formatter.write_str(if has { letter } else { "" })?;
        }
        Ok(())
    }
}

/// Devices that a container may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Block or character.
    pub kind: DeviceKind,
    /// The driver's number.
    pub major: u32,
    /// Which of the driver's devices; `None`: all of them.
    pub minor: Option<u32>,
    /// What may be done with it.
    pub access: DeviceAccess,
    /// The node on the host, without links, where the container is to have one too; `None`: it has one or makes it.
    pub path: Option<PathBuf>,
}

impl DeviceRule {
    const fn character(major: u32, minor: Option<u32>) -> Self {
        Self { kind: DeviceKind::Character, major, minor, access: DeviceAccess::ALL, path: None }
    }

    /// What every container has: null, zero, full, random, urandom, tty, ptmx and pseudo terminals.
    pub fn minimal() -> Vec<Self> {
        let memory = [3, 5, 7, 8, 9].map(|minor| Self::character(1, Some(minor)));
        let terminals = [0, 2].map(|minor| Self::character(5, Some(minor)));
        memory.into_iter().chain(terminals).chain([Self::character(136, None)]).collect()
    }

    /// Whether this is what the number of a device node says.
    pub(crate) fn is_of(&self, number: u64) -> bool {
        self.major == rustix::fs::major(number) && self.minor == Some(rustix::fs::minor(number))
    }

    /// The device whose node is at `path`. Errors: there is none, or it is no device.
    pub fn of_node(path: &Path, access: DeviceAccess) -> io::Result<Self> {
        let node = std::fs::metadata(path)?;
        let kind = match node.file_type() {
            kind if kind.is_char_device() => DeviceKind::Character,
            kind if kind.is_block_device() => DeviceKind::Block,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a device")),
        };
        let number = node.rdev();
        Ok(Self {
            kind,
            major: rustix::fs::major(number),
            minor: Some(rustix::fs::minor(number)),
            access,
            path: Some(path.canonicalize()?),
        })
    }
}

/// As v1 `devices.allow` takes it: `c 1:3 rwm`.
impl fmt::Display for DeviceRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceKind::Block => 'b',
            DeviceKind::Character => 'c',
        };
        match self.minor {
            Some(minor) => write!(formatter, "{kind} {}:{minor} {}", self.major, self.access),
            None => write!(formatter, "{kind} {}:* {}", self.major, self.access),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_as_the_kernel_takes_it() {
        let null = DeviceRule::of_node(Path::new("/dev/null"), DeviceAccess::OPEN).unwrap();
        assert_eq!(null.to_string(), "c 1:3 rw");
        assert_eq!(DeviceRule::minimal().last().unwrap().to_string(), "c 136:* rwm");
        assert!(DeviceRule::of_node(Path::new("/dev"), DeviceAccess::OPEN).is_err());
    }

    #[test]
    fn access_is_letters() {
        assert_eq!(DeviceAccess::parse("rw"), Some(DeviceAccess::OPEN));
        assert_eq!(DeviceAccess::parse("mwr"), Some(DeviceAccess::ALL));
        assert_eq!(DeviceAccess::parse(""), None);
        assert_eq!(DeviceAccess::parse("rx"), None);
    }
}
