//! What a framework says of itself.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_model::constraints::OfferConstraints;
use lonja_model::framework::Capability;
use lonja_model::role::InvalidRole;
use lonja_model::{FrameworkId, FrameworkInfo, Role};

/// A framework's description, with defaults that suit most.
#[derive(Clone, Debug)]
pub struct FrameworkOptions {
    pub(crate) info: FrameworkInfo,
    pub(crate) id: Option<FrameworkId>,
    pub(crate) constraints: OfferConstraints,
}

impl FrameworkOptions {
    /// A framework called `name`, in the default role, whose tasks run as root and outlive a lost connection
    /// by a minute. It understands partitions, several roles and refined reservations.
    pub fn named(name: impl Into<String>) -> Self {
        let info = FrameworkInfo::named(name);
        Self { info, id: None, constraints: OfferConstraints::default() }
    }

    /// Runs tasks as `user` unless they name another.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.info.user = user.into();
        self
    }

    /// Subscribes with this role in place of the default one. Errors: it is no role name.
    pub fn role(mut self, role: &str) -> Result<Self, InvalidRole> {
        self.info.roles = BTreeSet::from([Role::new(role)?]);
        Ok(self)
    }

    /// Subscribes with this role beside those that it has. Each offer is for one of them. Errors: it is no role name.
    pub fn also_role(mut self, role: &str) -> Result<Self, InvalidRole> {
        self.info.roles.insert(Role::new(role)?);
        Ok(self)
    }

    /// Wants offers only of agents that satisfy these; the master makes no others.
    #[must_use]
    pub fn constraints(mut self, constraints: OfferConstraints) -> Self {
        self.constraints = constraints;
        self
    }

    /// How long tasks outlive a lost connection; zero: not at all. Without this, a minute.
    ///
    /// A scheduler that is away for longer is removed by the master and its tasks are killed. It then cannot come back: its
    /// next start ends with `DriverError::Removed` until its store is empty. So whoever
    /// has a store and wants to find its tasks again should say here how long a night, a weekend or a repair may take: a
    /// day, a week. Whoever has none cannot find them again, and is better served by little.
    #[must_use]
    pub fn failover_timeout(mut self, timeout: Duration) -> Self {
        self.info.failover_timeout = timeout;
        self
    }

    /// Understands `capability` too.
    #[must_use]
    pub fn capability(mut self, capability: Capability) -> Self {
        self.info.capabilities.insert(capability);
        self
    }

    /// Comes back as the framework of this id.
    #[must_use]
    pub fn id(mut self, id: FrameworkId) -> Self {
        self.id = Some(id);
        self
    }
}
