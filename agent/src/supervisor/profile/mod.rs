//! How a container is kept apart from its host: the parts that are on, and what follows from them.
//!
//! A [`Mould`] is all of a container that does not depend on its task: containers can be made of it ahead of time.
//!
//! Invariants
//! - In every profile but `host`, what a task sees is only what was put into its root: there is no path to the host's.
//! - Mounts, names, queues and networks of a container belong to the host's user namespace. Its own root has no power
//!   over them, whatever capabilities it holds in its own.
//! - Paths that tasks had in their hands are opened by descriptor, component by component, and never through a link.
//!
//! Source: user_namespaces(7), mount_namespaces(7), mount_setattr(2); docs/isolation.md.

mod dev;
pub(super) mod etc;
pub(super) mod ids;
mod isolation;
mod kernel_files;
pub(super) mod mounting;
pub(super) mod network;
pub(super) mod places;
pub(super) mod root;
pub(super) mod trees;
pub(super) mod users;

use lonja_model::profile::Profile;
use serde::{Deserialize, Serialize};

pub use isolation::{Isolation, IsolationListError, Part};

use super::spec::{ContainerSpec, Network};

/// The user that stands for nobody, on the host and in every container.
pub(super) const NOBODY: u32 = 65_534;

/// All of a container that does not depend on its task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mould {
    /// How strictly it is kept apart.
    #[serde(with = "name")]
    pub profile: Profile,
    /// The parts that are on.
    pub isolation: Isolation,
    /// Which network it has.
    pub network: Network,
}

impl Mould {
    /// What containers of this profile that ask for nothing are made of.
    pub fn new(profile: Profile, isolation: Isolation) -> Self {
        let network = if profile == Profile::Hardened { Network::None } else { Network::Host };
        Self { profile, isolation, network }
    }

    /// What this container is made of.
    pub fn of(spec: &ContainerSpec) -> Self {
        let mut mould = Self::new(spec.profile, spec.isolation.clone());
        if spec.network == Network::None {
            mould.network = Network::None;
        }
        mould
    }

    fn has(&self, part: Part) -> bool {
        self.profile != Profile::Host && self.isolation.has(part)
    }

    /// A root file system of its own.
    pub(super) fn own_root(&self) -> bool {
        self.has(Part::Root)
    }

    /// Users of its own.
    pub(super) fn own_users(&self) -> bool {
        self.has(Part::Users)
    }

    /// A network of its own.
    pub(super) fn own_network(&self) -> bool {
        self.network == Network::None && (self.profile == Profile::Host || self.isolation.has(Part::Network))
    }

    /// Control groups seen from its own on.
    pub(super) fn own_cgroups(&self) -> bool {
        self.has(Part::Cgroups)
    }

    /// There is no root inside.
    pub(super) fn rootless(&self) -> bool {
        self.profile == Profile::Hardened
    }

    /// The namespaces that its first process is born into.
    pub(super) fn birth_namespaces(&self) -> i32 {
        let mut namespaces = libc::CLONE_NEWPID;
        for (part, flag) in [(Part::Ipc, libc::CLONE_NEWIPC), (Part::Names, libc::CLONE_NEWUTS)] {
            if self.profile == Profile::Host || self.isolation.has(part) {
                namespaces |= flag;
            }
        }
        if self.own_network() {
            namespaces |= libc::CLONE_NEWNET;
        }
        namespaces
    }
}

/// Profiles by their names.
pub(super) mod name {
    use lonja_model::profile::Profile;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(profile: &Profile, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(profile.name())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Profile, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}
