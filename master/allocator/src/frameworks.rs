//! Who wants offers, and for which roles.
//!
//! Source: Mesos v1, calls SUBSCRIBE, SUPPRESS and REVIVE.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::framework::Capability;
use lonja_model::resources::Quantities;
use lonja_model::{FrameworkId, Role};

use crate::clients::Needs;
use crate::constraints::CompiledConstraints;

/// What the allocator has to know of a framework.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameworkFacts {
    /// The roles it has subscribed with.
    pub roles: BTreeSet<Role>,
    /// What it understands.
    pub capabilities: BTreeSet<Capability>,
    /// For a role, the least an offer must hold, as alternatives, in place of [`crate::Options::minimum`];
    /// no alternatives: any offer will do.
    pub minimum_offers: BTreeMap<Role, Vec<Quantities>>,
    /// Roles it wants no offers for until it revives them.
    pub suppressed: BTreeSet<Role>,
    /// Of which agents it wants offers, by role.
    pub constraints: CompiledConstraints,
}

#[derive(Debug)]
pub(crate) struct Framework {
    pub(crate) facts: FrameworkFacts,
    pub(crate) active: bool,
    /// What it says an offer must hold to be of use.
    pub(crate) needs: Needs,
}

impl Framework {
    /// Is it active and subscribed with the role? Only then may it have filters there.
    pub(crate) fn is_served_in(&self, role: &Role) -> bool {
        self.active && self.facts.roles.contains(role)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Frameworks(BTreeMap<FrameworkId, Framework>);

impl Frameworks {
    pub(crate) fn get(&self, framework: &FrameworkId) -> Option<&Framework> {
        self.0.get(framework)
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&FrameworkId, &Framework)> {
        self.0.iter()
    }

    /// Returns what was known before.
    pub(crate) fn insert(
        &mut self,
        framework: &FrameworkId,
        facts: FrameworkFacts,
        active: bool,
    ) -> Option<Framework> {
        let mut needs = self.0.get(framework).map(|known| known.needs.clone()).unwrap_or_default();
        needs.0.retain(|role, _| facts.roles.contains(role));
        self.0.insert(framework.clone(), Framework { facts, active, needs })
    }

    pub(crate) fn remove(&mut self, framework: &FrameworkId) -> Option<Framework> {
        self.0.remove(framework)
    }

    /// The framework's roles if this is a change.
    pub(crate) fn set_active(&mut self, framework: &FrameworkId, active: bool) -> Option<BTreeSet<Role>> {
        let known = self.0.get_mut(framework).filter(|known| known.active != active)?;
        known.active = active;
        Some(known.facts.roles.clone())
    }

    /// The roles that are suppressed by this.
    pub(crate) fn suppress(&mut self, framework: &FrameworkId, roles: &BTreeSet<Role>) -> Vec<Role> {
        let Some(known) = self.0.get_mut(framework) else { return Vec::new() };
        let meant = meant(&known.facts.roles, roles);
        meant.into_iter().filter(|role| known.facts.suppressed.insert(role.clone())).collect()
    }

    /// The roles that this is about, suppressed before or not.
    pub(crate) fn revive(&mut self, framework: &FrameworkId, roles: &BTreeSet<Role>) -> Vec<Role> {
        let Some(known) = self.0.get_mut(framework) else { return Vec::new() };
        let meant = meant(&known.facts.roles, roles);
        meant.iter().for_each(|role| {
            known.facts.suppressed.remove(role);
        });
        meant
    }

    /// Does it stand in line in the role?
    pub(crate) fn wants(&self, framework: &FrameworkId, role: &Role) -> bool {
        let known = self.0.get(framework);
        known.is_some_and(|known| known.is_served_in(role) && !known.facts.suppressed.contains(role))
    }

    pub(crate) fn get_mut(&mut self, framework: &FrameworkId) -> Option<&mut Framework> {
        self.0.get_mut(framework)
    }
}

/// Of `subscribed` those named; all if none is.
fn meant(subscribed: &BTreeSet<Role>, named: &BTreeSet<Role>) -> Vec<Role> {
    subscribed.iter().filter(|role| named.is_empty() || named.contains(*role)).cloned().collect()
}
