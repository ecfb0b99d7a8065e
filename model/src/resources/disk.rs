//! What lies behind a disk resource, and what is stored on it.
//!
//! Source: Mesos v1 `Resource.DiskInfo`.

use crate::labels::Labels;

/// What makes one piece of disk different from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Disk {
    /// The volume that is stored there, if it is to outlive its tasks.
    pub persistence: Option<Persistence>,
    /// Where the volume appears in a container, relative to the sandbox.
    pub container_path: Option<String>,
    /// Whether the volume may only be read.
    pub read_only: bool,
    /// Which disk; `None`: the one the agent's work dir is on.
    pub source: Option<DiskSource>,
}

/// A volume that outlives its tasks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Persistence {
    /// Unique within its role on its agent.
    pub id: String,
    /// Who made it.
    pub principal: Option<String>,
}

/// A disk other than the one the agent's work dir is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskSource {
    /// How it is used.
    pub kind: DiskSourceKind,
    /// Its name with its provider.
    pub id: Option<String>,
    /// From its provider.
    pub metadata: Labels,
    /// From its provider.
    pub profile: Option<String>,
    /// From its provider.
    pub vendor: Option<String>,
}

/// How a disk is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskSourceKind {
    /// A folder, which can be split.
    Path {
        /// Absolute, or relative to the agent's work dir.
        root: Option<String>,
    },
    /// A file system of its own, used whole.
    Mount {
        /// Absolute, or relative to the agent's work dir.
        root: Option<String>,
    },
    /// A block device, used whole.
    Block,
    /// A disk not yet made into anything.
    Raw,
}

impl Disk {
    /// Is it used whole or not at all? So are volumes, mounts, block devices, and raw disks with a name.
    pub fn is_indivisible(&self) -> bool {
        let source_is_whole = self.source.as_ref().is_some_and(|source| match source.kind {
            DiskSourceKind::Path { .. } => false,
            DiskSourceKind::Mount { .. } | DiskSourceKind::Block => true,
            DiskSourceKind::Raw => source.id.is_some(),
        });
        self.persistence.is_some() || source_is_whole
    }
}
