//! The surroundings of an app's program.

use std::collections::BTreeMap;

use lonja_model::resources::Scalar;

use super::Protocol;

/// The surroundings of an app's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Which engine was named; Lonja has one, and passes the name on.
    pub engine: Engine,
    /// An image, kept and passed on.
    pub docker: Option<Docker>,
    /// What is mounted.
    pub volumes: Vec<AppVolume>,
    /// Ports inside and out; none: not given.
    pub port_mappings: Option<Vec<PortMapping>>,
    /// Kernel features.
    pub linux_info: Option<LinuxInfo>,
}

/// The name of a container engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The agent's own.
    Mesos,
    /// Docker's.
    #[default]
    Docker,
}

/// An image and how it is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Docker {
    /// Its name.
    pub image: String,
    /// Fetched anew for each instance.
    pub force_pull: bool,
    /// With all rights.
    pub privileged: bool,
    /// For Docker's command line, in order.
    pub parameters: Vec<(String, String)>,
    /// The name of the secret that holds the credentials.
    pub pull_secret: Option<String>,
}

/// A port inside, and what leads to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortMapping {
    /// Inside; 0: the same as outside.
    pub container_port: u16,
    /// Outside; 0: any; none: no port of the agent leads here.
    pub host_port: Option<u16>,
    /// For balancers; 0 until one is given.
    pub service_port: u16,
    /// Which protocols.
    pub protocol: Protocol,
    /// For people and checks.
    pub name: Option<String>,
    /// Carried.
    pub labels: BTreeMap<String, String>,
    /// Which of the app's networks.
    pub network_names: Vec<String>,
}

/// Something mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppVolume {
    /// Where inside.
    pub container_path: String,
    /// May not be written to.
    pub read_only: bool,
    /// What it is.
    pub kind: VolumeKind,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeKind {
    /// A path of the agent's host; relative: of the sandbox.
    Host(String),
    /// Data that stay where they are when the instance ends.
    Persistent(Persistent),
    /// Of another provider; kept and passed on.
    External(External),
    /// The content of a secret, by its name in the app's `secrets`.
    Secret(String),
}

/// Data that stay where they are when their instance ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistent {
    /// On which kind of disk.
    pub kind: PersistentKind,
    /// MiB, in thousandths.
    pub size: Scalar,
    /// The most, of a whole disk.
    pub max_size: Option<Scalar>,
    /// A disk profile.
    pub profile: Option<String>,
    /// `path` `LIKE` or `UNLIKE` an expression; true: like.
    pub constraints: Vec<(bool, String)>,
}

/// A kind of disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PersistentKind {
    /// A part of the agent's own.
    #[default]
    Root,
    /// A part of another.
    Path,
    /// The whole of another.
    Mount,
}

/// A volume of another provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External {
    /// Its name there.
    pub name: String,
    /// Whose.
    pub provider: String,
    /// GiB.
    pub size: Option<u64>,
    /// More than one may have it.
    pub shared: bool,
    /// Passed on as it came, as JSON text.
    pub options: String,
}

/// Kernel features of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinuxInfo {
    /// System calls.
    pub seccomp: Option<Seccomp>,
    /// Memory shared with others.
    pub ipc: Option<(IpcMode, Option<u32>)>,
}

/// Which system calls are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seccomp {
    /// Those of a profile.
    Profile(String),
    /// All.
    Unconfined,
}

/// Whom memory is shared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpcMode {
    /// Nobody.
    Private,
    /// The parent.
    ShareParent,
}
