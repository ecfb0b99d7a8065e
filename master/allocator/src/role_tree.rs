//! What each role holds, its weight, and whose turn it is.
//!
//! Roles are flat as yet: `eng` and `eng/web` share as equals. Two levels are ranked alike: the roles by
//! weighted share, and in each role its frameworks by plain share.
//!
//! Invariants
//! - A role stands in line exactly while one of its frameworks does.
//! - What a role holds is the sum of what its frameworks hold in it.
//! - A role with no framework, nothing allocated and the default weight is forgotten.

use std::collections::BTreeMap;

use lonja_model::resources::{Quantities, Scalar};
use lonja_model::{FrameworkId, Role};

use crate::shares::{DEFAULT_WEIGHT, Ranking, Totals};

/// One role, as people are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleShare {
    /// 1 unless set.
    pub weight: Scalar,
    /// Offered and in use together; each amount at most [`Scalar::MAX`].
    pub allocated: Quantities,
    /// The largest fraction of any one resource of the cluster, not divided by the weight, in millionths
    /// rounded down.
    pub dominant_share_millionths: u64,
    /// Frameworks that are subscribed with the role, suppressed or not, or that hold something in it.
    pub frameworks: Vec<FrameworkId>,
    /// Whether at least one framework waits for offers.
    pub in_line: bool,
}

/// How a framework stands to a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Not subscribed with it.
    None,
    /// Subscribed, but suppressed or not active.
    Waiting,
    /// Takes part in allocation.
    InLine,
}

#[derive(Debug, Default)]
pub(crate) struct RoleTree {
    roles: Ranking<Role>,
    frameworks: BTreeMap<Role, Ranking<FrameworkId>>,
}

impl RoleTree {
    pub(crate) fn set_interest(
        &mut self,
        role: &Role,
        framework: &FrameworkId,
        interest: Interest,
        totals: &Totals,
    ) {
        let (in_line, kept) = (interest == Interest::InLine, interest != Interest::None);
        let ranking = self.frameworks.entry(role.clone()).or_default();
        ranking.set_in_line(framework, in_line, kept, totals);
        self.sync_role(role, totals);
    }

    /// What `framework` holds in `role` on one agent was `before` and is `after`.
    pub(crate) fn account(
        &mut self,
        role: &Role,
        framework: &FrameworkId,
        before: &Quantities,
        after: &Quantities,
        totals: &Totals,
    ) {
        self.frameworks.entry(role.clone()).or_default().account(framework, before, after, totals);
        self.roles.account(role, before, after, totals);
        self.sync_role(role, totals);
    }

    /// An allocation was made.
    pub(crate) fn count_served(&mut self, role: &Role, framework: &FrameworkId, totals: &Totals) {
        if let Some(ranking) = self.frameworks.get_mut(role) {
            ranking.count_served(framework, totals);
            self.roles.count_served(role, totals);
        }
    }

    pub(crate) fn set_weight(&mut self, role: &Role, weight: Scalar, totals: &Totals) {
        self.roles.set_weight(role, weight, totals);
    }

    /// Brings the order of the roles up to date with the cluster's total; at once if that has not changed.
    pub(crate) fn refresh(&mut self, totals: &Totals) {
        self.roles.refresh(totals);
    }

    /// The first role in line that has something to be offered, by `usable`, and of its frameworks in line
    /// the first that `takes` it. The order of a role's frameworks is brought up to date when it is
    /// looked at. Call [`RoleTree::refresh`] before.
    pub(crate) fn first_in_line<Usable>(
        &mut self,
        totals: &Totals,
        usable: impl Fn(&Role) -> Option<Usable>,
        takes: impl Fn(&Role, &FrameworkId, &Usable) -> bool,
    ) -> Option<(Role, FrameworkId, Usable)> {
        for role in self.roles.in_line() {
            let (Some(usable), Some(ranking)) = (usable(role), self.frameworks.get_mut(role)) else {
                continue;
            };
            ranking.refresh(totals);
            let taker = ranking.in_line().find(|framework| takes(role, framework, &usable));
            if let Some(framework) = taker {
                return Some((role.clone(), framework.clone(), usable));
            }
        }
        None
    }

    pub(crate) fn role_shares(&self, totals: &Totals) -> BTreeMap<Role, RoleShare> {
        let share = |(role, client): (&Role, &crate::shares::Client)| {
            let ranking = self.frameworks.get(role);
            let frameworks = ranking.into_iter().flat_map(Ranking::iter).map(|(id, _)| id.clone()).collect();
            let share = RoleShare {
                weight: client.weight(),
                allocated: client.allocated().to_quantities(),
                dominant_share_millionths: client.share_millionths(totals),
                frameworks,
                in_line: client.is_in_line(),
            };
            (role.clone(), share)
        };
        self.roles.iter().map(share).collect()
    }

    pub(crate) fn framework_allocated(&self, framework: &FrameworkId) -> BTreeMap<Role, Quantities> {
        let held = self.frameworks.iter().filter_map(|(role, ranking)| {
            let allocated = ranking.get(framework)?.allocated().to_quantities();
            (!allocated.is_empty()).then(|| (role.clone(), allocated))
        });
        held.collect()
    }

    pub(crate) fn roles(&self) -> &Ranking<Role> {
        &self.roles
    }

    pub(crate) fn frameworks(&self) -> &BTreeMap<Role, Ranking<FrameworkId>> {
        &self.frameworks
    }

    #[cfg(test)]
    pub(crate) fn roles_mut(&mut self) -> &mut Ranking<Role> {
        &mut self.roles
    }

    /// Lets the role stand in line, or be forgotten, as its frameworks demand.
    fn sync_role(&mut self, role: &Role, totals: &Totals) {
        let ranking = self.frameworks.get(role);
        let in_line = ranking.is_some_and(Ranking::is_anyone_in_line);
        let kept = ranking.is_some_and(|ranking| !ranking.is_empty());
        if !kept {
            self.frameworks.remove(role);
        }
        let known = self.roles.get(role);
        if known.map(|client| (client.is_in_line(), client.is_kept())) != Some((in_line, kept)) {
            self.roles.set_in_line(role, in_line, kept, totals);
        }
        debug_assert!(kept || self.roles.get(role).is_none_or(|client| client.weight() != DEFAULT_WEIGHT));
    }
}
