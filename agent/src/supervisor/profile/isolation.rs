//! The parts of isolation, by name: what `--isolation` lists.
//!
//! Source: Mesos agent, `--isolation`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One part, in the order in which they are set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    /// Process ids of its own. Always on: the end of a container rests on it.
    #[serde(rename = "namespaces/pid")]
    Pids,
    /// Mounts of its own. Always on: nothing mounted for a task is seen outside.
    #[serde(rename = "namespaces/mount")]
    Mounts,
    /// Queues, semaphores and shared memory of its own.
    #[serde(rename = "namespaces/ipc")]
    Ipc,
    /// A host name of its own.
    #[serde(rename = "namespaces/uts")]
    Names,
    /// Control groups seen from its own on.
    #[serde(rename = "namespaces/cgroup")]
    Cgroups,
    /// A network of its own, for who asks for none.
    #[serde(rename = "namespaces/network")]
    Network,
    /// A root file system built for the task.
    #[serde(rename = "filesystem/root")]
    Root,
    /// Users of its own: root inside is nobody outside.
    #[serde(rename = "user-namespace")]
    Users,
    /// Limits of each process.
    #[serde(rename = "rlimits")]
    ProcessLimits,
    /// Few capabilities.
    #[serde(rename = "capabilities")]
    Capabilities,
    /// Few system calls.
    #[serde(rename = "seccomp")]
    SystemCalls,
}

/// Parts with the names that they are listed by, the first being ours and the others Mesos'.
const NAMES: [(Part, &[&str]); 11] = [
    (Part::Pids, &["namespaces/pid"]),
    (Part::Mounts, &["namespaces/mount"]),
    (Part::Ipc, &["namespaces/ipc"]),
    (Part::Names, &["namespaces/uts"]),
    (Part::Cgroups, &["namespaces/cgroup"]),
    (Part::Network, &["namespaces/network"]),
    (Part::Root, &["filesystem/root", "filesystem/linux"]),
    (Part::Users, &["user-namespace"]),
    (Part::ProcessLimits, &["rlimits", "posix/rlimits"]),
    (Part::Capabilities, &["capabilities", "linux/capabilities"]),
    (Part::SystemCalls, &["seccomp", "linux/seccomp"]),
];

impl Part {
    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(part, _)| *part == self).and_then(|(_, names)| names.first()).unwrap_or(&"")
    }
}

/// The parts that are on for containers that are not in profile `host`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Isolation(BTreeSet<Part>);

impl Default for Isolation {
    /// All of them.
    fn default() -> Self {
        Self(NAMES.iter().map(|(part, _)| *part).collect())
    }
}

/// Why a list of parts is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsolationListError {
    /// A name that no part has.
    #[error("'{0}' is no part of isolation; use {known}", known = Isolation::default())]
    Unknown(String),
    /// A part that cannot be left out.
    #[error("{name} cannot be left out; add it to the list", name = .0.name())]
    Needed(Part),
}

impl Isolation {
    /// Whether the part is on.
    pub fn has(&self, part: Part) -> bool {
        self.0.contains(&part)
    }

    /// The same without users of its own.
    #[must_use]
    pub fn without_users(mut self) -> Self {
        self.0.remove(&Part::Users);
        self
    }

    /// The parts that are off.
    pub fn missing(&self) -> impl Iterator<Item = Part> {
        NAMES.iter().map(|(part, _)| *part).filter(|part| !self.has(*part))
    }
}

impl FromStr for Isolation {
    type Err = IsolationListError;

    fn from_str(text: &str) -> Result<Self, IsolationListError> {
        let mut parts = BTreeSet::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let known = NAMES.iter().find(|(_, names)| names.contains(&name));
            let Some((part, _)) = known else {
                return Err(IsolationListError::Unknown(name.chars().take(64).collect()));
            };
            parts.insert(*part);
        }
        let needed = [Part::Pids, Part::Mounts].into_iter().find(|part| !parts.contains(part));
        needed.map_or(Ok(Self(parts)), |part| Err(IsolationListError::Needed(part)))
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|part| part.name()).collect();
        formatter.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_put_in_order_and_read_again() {
        let listed: Isolation =
            "seccomp, linux/capabilities,namespaces/mount,namespaces/pid".parse().unwrap();
        assert_eq!(listed.to_string(), "namespaces/pid,namespaces/mount,capabilities,seccomp");
        assert!(!listed.has(Part::Users));
        let all = Isolation::default();
        assert_eq!(all.to_string().parse(), Ok(all.clone()));
        assert_eq!(all.without_users().missing().collect::<Vec<_>>(), [Part::Users]);
    }

    #[test]
    fn what_is_no_part_and_what_cannot_go_is_named() {
        let unknown = "namespaces/pid,docker/volume".parse::<Isolation>().unwrap_err().to_string();
        assert!(unknown.contains("'docker/volume'") && unknown.contains("filesystem/root"), "{unknown}");
        let needed = "seccomp".parse::<Isolation>().unwrap_err();
        assert_eq!(needed, IsolationListError::Needed(Part::Pids));
    }
}
