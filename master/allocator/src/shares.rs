//! Dominant shares and their order.
//!
//! A dominant share is the largest fraction of any one resource of the cluster. Roles are compared by
//! theirs over their weight, the frameworks of a role by theirs within it. Ties go to who has had fewer
//! allocations, then by name, so that runs repeat.
//!
//! Shares are whole numbers in units of 2^-32, rounded down: equal on every machine.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::resources::{Quantities, Scalar};
use lonja_model::{FrameworkId, Role};

/// What decides who is next: the share, then how often something was allocated.
pub(crate) type Standing = (u128, u64);

/// What a role or a framework within it has.
#[derive(Clone, Debug, Default)]
struct Account {
    allocated: Quantities,
    allocations: u64,
    /// Where it stands in the order, if it is in line.
    listed: Option<Standing>,
}

/// One role.
#[derive(Clone, Debug, Default)]
struct RoleAccount {
    account: Account,
    /// In thousandths; 0: the default of 1,000.
    weight: Scalar,
    /// Accounts of frameworks that are in line or hold something.
    frameworks: BTreeMap<FrameworkId, Account>,
    /// Those in line, in order.
    line: BTreeSet<(Standing, FrameworkId)>,
}

/// All accounts, and the order of those in line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shares {
    total: Quantities,
    roles: BTreeMap<Role, RoleAccount>,
    line: BTreeSet<(Standing, Role)>,
    /// The totals changed: every share has to be worked out anew before the order is used.
    stale: bool,
}

fn share(allocated: &Quantities, total: &Quantities, weight_thousandths: u64) -> u128 {
    let fraction = |(name, amount): (&str, Scalar)| {
        let total = u128::from(total.get(name).thousandths().max(1)) * u128::from(weight_thousandths);
        (u128::from(amount.thousandths()) << 32) * 1000 / total
    };
    allocated.iter().map(fraction).max().unwrap_or(0)
}

impl RoleAccount {
    fn weight(&self) -> u64 {
        if self.weight == Scalar::ZERO { 1000 } else { self.weight.thousandths() }
    }
}

impl Shares {
    pub(crate) fn add_total(&mut self, quantities: &Quantities) {
        self.total.add(quantities);
        self.stale = true;
    }

    pub(crate) fn remove_total(&mut self, quantities: &Quantities) {
        self.total.subtract(quantities);
        self.stale = true;
    }

    pub(crate) fn set_weight(&mut self, role: Role, weight: Scalar) {
        self.roles.entry(role.clone()).or_default().weight = weight;
        self.place_role(&role);
    }

    /// A framework wants offers for a role.
    pub(crate) fn join(&mut self, role: &Role, framework: &FrameworkId) {
        let account =
            self.roles.entry(role.clone()).or_default().frameworks.entry(framework.clone()).or_default();
        account.listed.get_or_insert((u128::MAX, u64::MAX));
        self.place_framework(role, framework);
        self.place_role(role);
    }

    /// A framework wants no more offers for a role.
    pub(crate) fn leave(&mut self, role: &Role, framework: &FrameworkId) {
        let Some(known) = self.roles.get_mut(role) else { return };
        let Some(account) = known.frameworks.get_mut(framework) else { return };
        if let Some(standing) = account.listed.take() {
            known.line.remove(&(standing, framework.clone()));
        }
        if account.allocated.is_empty() {
            known.frameworks.remove(framework);
        }
        self.place_role(role);
    }

    pub(crate) fn allocate(&mut self, framework: &FrameworkId, role: &Role, quantities: &Quantities) {
        let known = self.roles.entry(role.clone()).or_default();
        known.account.allocated.add(quantities);
        known.account.allocations += 1;
        let account = known.frameworks.entry(framework.clone()).or_default();
        account.allocated.add(quantities);
        account.allocations += 1;
        self.place_framework(role, framework);
        self.place_role(role);
    }

    pub(crate) fn recover(&mut self, framework: &FrameworkId, role: &Role, quantities: &Quantities) {
        let Some(known) = self.roles.get_mut(role) else { return };
        known.account.allocated.subtract(quantities);
        if let Some(account) = known.frameworks.get_mut(framework) {
            account.allocated.subtract(quantities);
            if account.allocated.is_empty() && account.listed.is_none() {
                known.frameworks.remove(framework);
            }
        }
        self.place_framework(role, framework);
        self.place_role(role);
    }

    pub(crate) fn role_allocated(&self, role: &Role) -> Quantities {
        self.roles.get(role).map(|known| known.account.allocated.clone()).unwrap_or_default()
    }

    /// Frameworks in line with their roles, the next one first.
    pub(crate) fn in_order(&mut self) -> impl Iterator<Item = (&Role, &FrameworkId)> {
        if std::mem::take(&mut self.stale) {
            self.place_all();
        }
        let roles = &self.roles;
        self.line.iter().flat_map(move |(_, role)| {
            roles
                .get(role)
                .into_iter()
                .flat_map(move |known| known.line.iter().map(move |(_, id)| (role, id)))
        })
    }

    fn place_all(&mut self) {
        let names: Vec<(Role, Vec<FrameworkId>)> = self
            .roles
            .iter()
            .map(|(role, known)| (role.clone(), known.line.iter().map(|(_, id)| id.clone()).collect()))
            .collect();
        for (role, frameworks) in names {
            for framework in frameworks {
                self.place_framework(&role, &framework);
            }
            self.place_role(&role);
        }
    }

    /// Moves a framework to where it belongs in its role's line, if it is in line.
    fn place_framework(&mut self, role: &Role, framework: &FrameworkId) {
        let Some(known) = self.roles.get_mut(role) else { return };
        let Some(account) = known.frameworks.get_mut(framework) else { return };
        let Some(before) = account.listed else { return };
        let now = (share(&account.allocated, &self.total, 1000), account.allocations);
        account.listed = Some(now);
        known.line.remove(&(before, framework.clone()));
        known.line.insert((now, framework.clone()));
    }

    /// Moves a role to where it belongs; it is in line while one of its frameworks is.
    fn place_role(&mut self, role: &Role) {
        let Some(known) = self.roles.get_mut(role) else { return };
        if let Some(before) = known.account.listed.take() {
            self.line.remove(&(before, role.clone()));
        }
        if known.line.is_empty() {
            let forgettable = known.frameworks.is_empty()
                && known.account.allocated.is_empty()
                && known.weight == Scalar::ZERO;
            if forgettable {
                self.roles.remove(role);
            }
            return;
        }
        let now = (share(&known.account.allocated, &self.total, known.weight()), known.account.allocations);
        known.account.listed = Some(now);
        self.line.insert((now, role.clone()));
    }

    /// The accounts are the sums of what is allocated, and the lines list whom they should.
    pub(crate) fn check(&self, roles: &BTreeMap<&Role, Quantities>) -> Result<(), String> {
        for (role, sum) in roles {
            if self.role_allocated(role) != *sum {
                return Err(format!(
                    "INV-6: role {role} holds {sum}, its account says {}",
                    self.role_allocated(role)
                ));
            }
        }
        for (role, known) in &self.roles {
            if !known.account.allocated.is_empty() && !roles.contains_key(role) {
                return Err(format!(
                    "INV-6: role {role} holds nothing, its account says {}",
                    known.account.allocated
                ));
            }
            let mut sum = Quantities::default();
            known.frameworks.values().for_each(|account| sum.add(&account.allocated));
            if sum != known.account.allocated {
                return Err(format!(
                    "INV-6: the frameworks of role {role} hold {sum}, it {}",
                    known.account.allocated
                ));
            }
            if known.account.listed.is_some() == known.line.is_empty() {
                return Err(format!(
                    "INV-6: role {role} is in line without a framework, or the other way about"
                ));
            }
        }
        Ok(())
    }
}
