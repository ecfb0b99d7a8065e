//! What to run, and in what surroundings.
//!
//! Source: Mesos v1 `CommandInfo` and `ContainerInfo`, the parts that Lonja serves so far.

use std::collections::BTreeMap;

use crate::files::{Secret, Uri, VolumeSource};
use crate::io_limits::IoLimits;
use crate::privileges::Privileges;
use crate::profile::{Network, Profile};

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What is executed.
    pub program: Program,
    /// Variables set for it, beside those that the agent sets.
    pub environment: BTreeMap<String, String>,
    /// The user it runs as; `None`: the framework's user.
    pub user: Option<String>,
    /// Files brought into the sandbox before it starts.
    pub uris: Vec<Uri>,
    /// Variables whose values are secret; none of them is in `environment` as well.
    pub secrets: BTreeMap<String, Secret>,
}

impl Command {
    /// `program`, with nothing set around it.
    pub fn new(program: Program) -> Self {
        Self { program, environment: BTreeMap::new(), user: None, uris: Vec::new(), secrets: BTreeMap::new() }
    }

    /// No program at all: a custom executor knows by other means what its task is to do.
    pub fn none() -> Self {
        Self::new(Program::Shell(String::new()))
    }

    /// Is there nothing to execute?
    pub fn is_none(&self) -> bool {
        match &self.program {
            Program::Shell(line) => line.trim().is_empty(),
            Program::Exec { path, .. } => path.is_empty(),
        }
    }

    /// From now on its secrets have names and no bytes.
    pub fn forget_secrets(&mut self) {
        self.secrets.values_mut().for_each(Secret::forget);
    }
}

/// The two ways to name a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A line for `/bin/sh -c`.
    Shell(String),
    /// A program and its arguments, `arguments[0]` being the name it is told. No shell sees them.
    /// `path` without a `/` is looked up in the task's `PATH`.
    Exec {
        /// The program.
        path: String,
        /// `argv`; empty: just `path`.
        arguments: Vec<String>,
    },
}

/// The surroundings of a program beyond the agent's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerInfo {
    /// What is shown inside beside the program's surroundings, mounted in this order.
    pub volumes: Vec<Volume>,
    /// The host name seen inside; `None`: the agent's.
    pub hostname: Option<String>,
    /// How fast it may use block devices.
    pub io: IoLimits,
    /// Capabilities and limits of each process.
    pub privileges: Privileges,
    /// How strictly it is kept apart from the host; `None`: as the agent does by default.
    pub profile: Option<Profile>,
    /// Which network it has.
    pub network: Network,
    /// With a terminal of this size for its three streams.
    pub tty: Option<WindowSize>,
    /// Folders of the executor's sandbox shown inside: the tasks of one executor meet there.
    pub parent_volumes: Vec<ParentVolume>,
    /// With a standard input that somebody writes to: the first who attaches to it. Without, it is empty. A terminal
    /// goes before this.
    pub stdin: bool,
}

impl ContainerInfo {
    /// From now on its secrets have places and no bytes.
    pub fn forget_secrets(&mut self) {
        for volume in &mut self.volumes {
            if let VolumeSource::Secret(secret) = &mut volume.source {
                secret.forget();
            }
        }
    }
}

/// How large a terminal's window is, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

impl Default for WindowSize {
    /// What terminals have been for fifty years.
    fn default() -> Self {
        Self { rows: 24, columns: 80 }
    }
}

/// A folder that the tasks of one executor share, in the executor's sandbox.
///
/// Source: Mesos v1 `Volume.Source.SandboxPath` of type PARENT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentVolume {
    /// Below the executor's sandbox, relative, without `..`. Made if it is not there.
    pub path: String,
    /// Inside; a relative path is below the task's sandbox.
    pub container_path: String,
    /// Whether the task may not write there.
    pub read_only: bool,
}

/// Something shown inside a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Where it comes from.
    pub source: VolumeSource,
    /// Inside; a relative path is below the sandbox.
    pub container_path: String,
    /// Whether the container may not write there.
    pub read_only: bool,
}
