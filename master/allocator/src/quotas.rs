//! Quotas: what roles are sure of, and what they may never exceed.
//!
//! A quota belongs to a role with all that is below it. What counts against it: every reservation for the role or
//! below, used or not, and all that is offered to them or in use by them beyond, unless it can be taken back.
//! Only amounts count, devices in thousandths of one.
//!
//! What a role is sure of is owed to it until it consumes as much; what is owed to roles below one counts for it too,
//! if that is more than its own. Whoever is owed something comes first; to everybody else only so much is given that
//! what is free in the cluster still covers all that is owed (headroom).
//!
//! Invariants
//! - No round takes a role, or a role above it, over its limit (INV-7). One that stands above, since its limit was
//!   lowered by force or agents came back with tasks, gets nothing unreserved until it is below again.
//!
//! Where this differs from Mesos: quotas are for roles at any depth; there, only for those at the top.
//!
//! Source: Mesos v1 operator API, UPDATE_QUOTA; Mesos, hierarchical allocator, quota limits.

use std::collections::BTreeMap;
use std::fmt;

use lonja_model::Role;
use lonja_model::quota::Quota;
use lonja_model::resources::{Quantities, Resource, Scalar};

use crate::Allocator;
use crate::amounts::{Kind, Kinds, Parts, Sums};
use crate::ids::{Bits, index};
use crate::role_tree::{Entry, Name, ROOT, RoleTree};

/// Why quotas cannot be set. Those that may not be forced are told before those that may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaRefusal {
    /// A role is guaranteed more than it may have.
    GuaranteeAboveLimit {
        /// Which.
        role: Role,
        /// Of what.
        name: String,
        /// What it would be sure of.
        guarantee: Scalar,
        /// What it would have at most.
        limit: Scalar,
    },
    /// The roles below one are guaranteed more than it may have.
    ChildrenAboveLimit {
        /// The role above.
        role: Role,
        /// Of what.
        name: String,
        /// What those below would be sure of, together.
        guaranteed: Scalar,
        /// What the role would have at most.
        limit: Scalar,
    },
    /// All together are guaranteed more than there is. May be forced.
    GuaranteesAboveCluster {
        /// Of what.
        name: String,
        /// What all would be sure of, together.
        guaranteed: Scalar,
        /// What the cluster has.
        total: Scalar,
    },
    /// A role has more than it would have at most. May be forced.
    LimitBelowConsumption {
        /// Which.
        role: Role,
        /// Of what.
        name: String,
        /// What it would have at most.
        limit: Scalar,
        /// What it has.
        consumed: Scalar,
    },
}

impl QuotaRefusal {
    /// May an operator insist?
    pub fn may_be_forced(&self) -> bool {
        match self {
            Self::GuaranteeAboveLimit { .. } | Self::ChildrenAboveLimit { .. } => false,
            Self::GuaranteesAboveCluster { .. } | Self::LimitBelowConsumption { .. } => true,
        }
    }
}

impl fmt::Display for QuotaRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GuaranteeAboveLimit { role, name, guarantee, limit } => {
                write!(f, "role {role} cannot be guaranteed {name}:{guarantee} with a limit of {limit}")
            }
            Self::ChildrenAboveLimit { role, name, guaranteed, limit } => write!(
                f,
                "the roles below {role} are guaranteed {name}:{guaranteed} together, above its limit of {limit}"
            ),
            Self::GuaranteesAboveCluster { name, guaranteed, total } => write!(
                f,
                "all guarantees together would be {name}:{guaranteed}, the agents have {name}:{total}"
            ),
            Self::LimitBelowConsumption { role, name, limit, consumed } => {
                write!(f, "role {role} has {name}:{consumed}, above a limit of {limit}")
            }
        }
    }
}

impl std::error::Error for QuotaRefusal {}

/// The quotas that are set.
pub(crate) type Quotas = BTreeMap<Role, Quota>;

/// What counts for the quota of one role, its own or that of a role above.
#[derive(Debug, Default)]
pub(crate) struct RoleBooks {
    /// Reservations for it and below it, used or not, and what those below hold beyond that is not revocable.
    pub(crate) consumed: Sums,
    guarantees: Sums,
    /// `None` for a kind: no limit.
    limits: Vec<Option<u128>>,
    /// What is still owed to it: to itself, or to those below it if that is more.
    need: Sums,
    /// What is still owed to those next below it, together.
    below: Sums,
    /// Has it a limit that leaves less than any offer must hold?
    exhausted: bool,
    /// Is something owed to it for which those below do not speak?
    needy: bool,
}

impl RoleBooks {
    /// Is there nothing to remember?
    pub(crate) fn is_idle(&self) -> bool {
        self.consumed.is_empty() && !self.has_quota()
    }

    fn has_quota(&self) -> bool {
        !self.guarantees.is_empty() || self.limits.iter().any(Option::is_some)
    }

    /// What it may still consume of `kind`; `None`: as much as there is.
    pub(crate) fn room(&self, kind: Kind) -> Option<u128> {
        let limit = self.limits.get(index(kind)).copied().flatten()?;
        Some(limit.saturating_sub(self.consumed.get(kind)))
    }

    pub(crate) fn limit(&self, kind: Kind) -> Option<u128> {
        self.limits.get(index(kind)).copied().flatten()
    }

    pub(crate) fn owed(&self) -> &Sums {
        &self.need
    }

    /// How much of what is owed would be paid by `kind` given to it and to nobody below it.
    fn own_need(&self, kind: Kind) -> u128 {
        self.need.get(kind).saturating_sub(self.below.get(kind))
    }
}

/// Which clients quotas keep from what is free, kept up to date with consumption.
#[derive(Debug, Default)]
pub(crate) struct QuotaMarks {
    /// Nothing unreserved can be offered to them: some limit above them is used up.
    pub(crate) exhausted: Bits,
    /// Something is owed to them.
    pub(crate) needy: Bits,
}

impl RoleTree {
    /// Sets what a role is sure of and what it may have at most.
    pub(crate) fn set_books(
        &mut self,
        role: Entry,
        quota: Option<&Quota>,
        kinds: &mut Kinds,
        marks: &mut QuotaMarks,
        minimum: &[Parts],
    ) {
        let books = &mut self.place_mut(role).books;
        books.guarantees = Sums::default();
        books.limits.clear();
        if let Some(quota) = quota {
            books.guarantees.add(&kinds.parts_of(&quota.guarantees));
            for (name, limit) in quota.limits.iter() {
                let at = index(kinds.intern(name));
                if books.limits.len() <= at {
                    books.limits.resize(at + 1, None);
                }
                books.limits[at] = Some(u128::from(limit.thousandths()));
            }
        }
        for kind in 0..Kind::try_from(kinds.len()).unwrap_or(Kind::MAX) {
            self.pass_up(role, kind);
        }
        self.mark_up(role, marks, minimum);
    }

    /// What counts against the quotas of `role` and those above it changes.
    pub(crate) fn consume(
        &mut self,
        role: Entry,
        more: &[(Kind, u64)],
        less: &[(Kind, u64)],
        has_quotas: bool,
        marks: &mut QuotaMarks,
        minimum: &[Parts],
    ) {
        let mut entry = role;
        while entry != ROOT {
            let books = &mut self.place_mut(entry).books;
            books.consumed.add(more);
            books.consumed.subtract(less);
            entry = self.above(entry);
        }
        if !has_quotas {
            return;
        }
        for (kind, _) in more.iter().chain(less) {
            self.pass_up(role, *kind);
        }
        self.mark_up(role, marks, minimum);
    }

    /// Marks the clients below `role` and below each role above it anew: what one is owed speaks for those above it, or
    /// no longer does.
    fn mark_up(&mut self, role: Entry, marks: &mut QuotaMarks, minimum: &[Parts]) {
        let mut entry = role;
        while entry != ROOT {
            self.mark(entry, marks, minimum);
            entry = self.above(entry);
        }
    }

    /// Brings what is owed of `kind` up to date from `role` to the top.
    fn pass_up(&mut self, role: Entry, kind: Kind) {
        let mut entry = role;
        loop {
            let books = &mut self.place_mut(entry).books;
            let before = books.need.get(kind);
            let own = books.guarantees.get(kind).saturating_sub(books.consumed.get(kind));
            let need = own.max(books.below.get(kind));
            books.need.set(kind, need);
            if entry == ROOT {
                return;
            }
            entry = self.above(entry);
            let below = &mut self.place_mut(entry).books.below;
            below.set(kind, below.get(kind) + need - before);
        }
    }

    /// Marks the clients below `role` anew if something has turned.
    fn mark(&mut self, role: Entry, marks: &mut QuotaMarks, minimum: &[Parts]) {
        let books = &self.place(role).books;
        let cannot = |least: &Parts| {
            least
                .iter()
                .any(|(kind, amount)| books.room(*kind).is_some_and(|room| room < u128::from(*amount)))
        };
        let limited = books.limits.iter().any(Option::is_some);
        let exhausted = limited && !minimum.is_empty() && minimum.iter().all(cannot);
        let needy = books.need.iter().any(|(kind, _)| books.own_need(kind) > 0);
        if (exhausted, needy) == (books.exhausted, books.needy) {
            return;
        }
        let books = &mut self.place_mut(role).books;
        (books.exhausted, books.needy) = (exhausted, needy);
        let (mut exhausted_above, mut needy_above) = (false, false);
        let mut entry = self.above(role);
        while entry != ROOT {
            let books = &self.place(entry).books;
            exhausted_above |= books.exhausted;
            needy_above |= books.needy;
            entry = self.above(entry);
        }
        self.mark_below(role, exhausted_above, needy_above, marks);
    }

    fn mark_below(&self, entry: Entry, exhausted: bool, needy: bool, marks: &mut QuotaMarks) {
        let place = self.place(entry);
        if matches!(place.name, Name::Client(_)) {
            marks.exhausted.set(place.client, exhausted);
            marks.needy.set(place.client, needy);
            return;
        }
        let (exhausted, needy) = (exhausted || place.books.exhausted, needy || place.books.needy);
        self.below(entry).iter().for_each(|below| self.mark_below(*below, exhausted, needy, marks));
    }

    /// Marks one client as those above it have it.
    pub(crate) fn mark_client(&self, client: Entry, marks: &mut QuotaMarks) {
        let (mut exhausted, mut needy) = (false, false);
        let mut entry = self.above(client);
        while entry != ROOT {
            let books = &self.place(entry).books;
            exhausted |= books.exhausted;
            needy |= books.needy;
            entry = self.above(entry);
        }
        let number = self.place(client).client;
        marks.exhausted.set(number, exhausted);
        marks.needy.set(number, needy);
    }

    /// How much of `kind` a client may be given: within every limit above it, and so that what is `spare` of it in the
    /// cluster still covers all that is owed to others. What is owed to the client itself comes on top.
    ///
    /// A guarantee counts up to its role and no further: each role above it may be owed more than those below it
    /// together, and that too may be paid by the client.
    pub(crate) fn allowance(&self, client: Entry, kind: Kind, spare: u128) -> u128 {
        let (mut room, mut owed) = (u128::MAX, 0_u128);
        let mut entry = self.above(client);
        while entry != ROOT {
            let books = &self.place(entry).books;
            room = room.min(books.room(kind).unwrap_or(u128::MAX));
            owed += books.own_need(kind);
            entry = self.above(entry);
        }
        room.min(owed.saturating_add(spare))
    }

    /// What is owed to all together.
    pub(crate) fn owed_in_all(&self) -> &Sums {
        &self.place(ROOT).books.need
    }
}

impl Allocator {
    /// Sets the quota of a role, unchecked; `None`: it has none. Nothing is taken back.
    pub fn set_quota(&mut self, role: Role, quota: Option<Quota>) {
        let entry = self.tree.role(&role);
        let marks = &mut self.marks;
        self.tree.set_books(entry, quota.as_ref(), &mut self.kinds, marks, &self.minimum);
        match quota {
            Some(quota) => self.quotas.insert(role, quota),
            None => self.quotas.remove(&role),
        };
        self.tree.prune(entry);
        self.agents.all_are_dirty();
    }

    /// The quotas that are set.
    pub fn quotas(&self) -> &BTreeMap<Role, Quota> {
        &self.quotas
    }

    /// Could these quotas be set, all together? What may not be forced is told first, then too large guarantees,
    /// then too low limits. Errors: [`QuotaRefusal`].
    pub fn check_quotas(&self, changes: &[(Role, Option<Quota>)]) -> Result<(), QuotaRefusal> {
        let mut quotas = self.quotas.clone();
        for (role, quota) in changes {
            match quota {
                Some(quota) => quotas.insert(role.clone(), quota.clone()),
                None => quotas.remove(role),
            };
        }
        check_limits(&quotas)?;
        let guaranteed = guaranteed_at_the_top(&quotas);
        let (total, before) = (self.cluster_total(), guaranteed_at_the_top(&self.quotas));
        // What does not grow by this is not to blame: a way back must stand open.
        let too_much =
            |(name, amount): &(&str, Scalar)| *amount > total.get(name) && *amount > before.get(name);
        let above = guaranteed.iter().find(too_much);
        if let Some((name, guaranteed)) = above {
            let (name, total) = (name.to_owned(), total.get(name));
            return Err(QuotaRefusal::GuaranteesAboveCluster { name, guaranteed, total });
        }
        for (role, quota) in changes {
            let Some(quota) = quota.as_ref().filter(|quota| !quota.limits.is_empty()) else { continue };
            let consumed = self.quota_consumed(role);
            if let Some((name, limit)) = quota.limits.iter().find(|(name, limit)| consumed.get(name) > *limit)
            {
                let (role, name, consumed) = (role.clone(), name.to_owned(), consumed.get(name));
                return Err(QuotaRefusal::LimitBelowConsumption { role, name, limit, consumed });
            }
        }
        Ok(())
    }

    /// What counts against the role's quota. O(depth of the role).
    pub fn quota_consumed(&self, role: &Role) -> Quantities {
        let Some(entry) = self.tree.find_role(role) else { return Quantities::default() };
        self.kinds.quantities(&self.tree.place(entry).books.consumed)
    }

    /// What is still owed to the role: its guarantee, or those of roles below it, as far as they are not consumed.
    pub fn quota_owed(&self, role: &Role) -> Quantities {
        let Some(entry) = self.tree.find_role(role) else { return Quantities::default() };
        self.kinds.quantities(self.tree.place(entry).books.owed())
    }
}

/// Does a resource count against limits and guarantees when it is held?
pub(crate) fn is_limited(resource: &Resource) -> bool {
    resource.reserved_for().is_none() && !resource.metadata().revocable
}

/// A guarantee within its limit, and what is guaranteed below a role within the role's.
fn check_limits(quotas: &Quotas) -> Result<(), QuotaRefusal> {
    for (role, quota) in quotas {
        for (name, limit) in quota.limits.iter() {
            let (role, name, guarantee) = (role.clone(), name.to_owned(), quota.guarantees.get(name));
            if guarantee > limit {
                return Err(QuotaRefusal::GuaranteeAboveLimit { role, name, guarantee, limit });
            }
            let guaranteed = guaranteed_below(quotas, &role).get(&name);
            if guaranteed > limit {
                return Err(QuotaRefusal::ChildrenAboveLimit { role, name, guaranteed, limit });
            }
        }
    }
    Ok(())
}

/// What the roles nearest below `role` are sure of, together: each its own, or what is below it if that is more.
fn guaranteed_below(quotas: &Quotas, role: &Role) -> Quantities {
    let below: Vec<&Role> = quotas.keys().filter(|other| other.is_below(role)).collect();
    sum_of_nearest(quotas, &below)
}

fn guaranteed_at_the_top(quotas: &Quotas) -> Quantities {
    sum_of_nearest(quotas, &quotas.keys().collect::<Vec<_>>())
}

fn sum_of_nearest(quotas: &Quotas, roles: &[&Role]) -> Quantities {
    let mut sum = Quantities::default();
    for role in roles.iter().filter(|role| !roles.iter().any(|other| role.is_below(other))) {
        let mut sure = quotas.get(*role).map(|quota| quota.guarantees.clone()).unwrap_or_default();
        for (name, amount) in guaranteed_below(quotas, role).iter() {
            let larger = sure.get(name).max(amount);
            sure.set(name, larger);
        }
        sum.add(&sure);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::*;

    fn quota(guarantees: &str, limits: &str) -> Option<Quota> {
        Some(Quota { guarantees: quantities(guarantees), limits: quantities(limits) })
    }

    #[test]
    fn a_limit_holds_for_a_role_and_all_below_it() {
        let mut cluster = cluster().agent("a1", "cpus:8;mem:8192").framework("f1", "eng/web");
        cluster.allocator.set_quota(role("eng"), quota("", "cpus:3"));
        assert_eq!(cluster.allocate(), ["f1 eng/web a1 cpus:3;mem:8192"]);
        assert_eq!(cluster.allocator.quota_consumed(&role("eng")).to_string(), "cpus:3;mem:8192");
    }

    #[test]
    fn what_is_found_in_use_on_one_agent_frees_what_was_kept_on_another() {
        let mut cluster = cluster().agent("a1", "cpus:8").agent("a2", "cpus:8").framework("f1", "ops");
        cluster.allocator.deactivate_agent(&agent("a2"));
        cluster.allocator.set_quota(role("eng"), quota("cpus:2", ""));
        assert_eq!(cluster.allocate(), ["f1 ops a1 cpus:6"]);
        cluster.charge("f2 eng a2 cpus:4");
        assert_eq!(cluster.allocate(), ["f1 ops a1 cpus:2"]);
    }

    #[test]
    fn who_is_owed_what_a_limit_keeps_from_it_does_not_come_first() {
        let mut cluster = cluster()
            .agent("a1", "cpus:8;mem:100")
            .agent("a2", "mem:31")
            .agent("a3", "mem:31;cpus(eng):3")
            .framework("f1", "eng/web")
            .framework("f2", "ops");
        cluster.allocator.set_quota(role("eng"), quota("", "cpus:3"));
        cluster.allocator.set_quota(role("eng/web"), quota("cpus:2", ""));
        cluster.allocator.set_quota(role("ops"), quota("mem:100", ""));
        let round = cluster.allocate();
        assert_eq!(round[0], "f2 ops a1 cpus:6;mem:100");
    }

    #[test]
    fn guarantees_above_the_cluster_can_always_be_lowered() {
        let mut cluster = cluster().agent("a1", "cpus:8");
        cluster.allocator.set_quota(role("eng"), quota("cpus:20", ""));
        cluster.allocator.set_quota(role("ops"), quota("cpus:4", ""));
        for lower in [None, quota("cpus:10", ""), quota("cpus:20", "cpus:30")] {
            assert_eq!(cluster.allocator.check_quotas(&[(role("eng"), lower)]), Ok(()));
        }
        assert!(cluster.allocator.check_quotas(&[(role("ops"), quota("cpus:5", ""))]).is_err());
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_the_numbers() {
        let mut cluster = cluster().agent("a1", "cpus:8;mem:8192").framework("f1", "eng");
        cluster.allocate();
        let refusal = |changes: &[(&str, Option<Quota>)]| {
            let changes: Vec<_> = changes.iter().map(|(name, quota)| (role(name), quota.clone())).collect();
            cluster.allocator.check_quotas(&changes).unwrap_err().to_string()
        };
        assert_eq!(
            refusal(&[("eng", quota("cpus:4", "cpus:2"))]),
            "role eng cannot be guaranteed cpus:4 with a limit of 2"
        );
        assert_eq!(refusal(&[("eng", quota("", "cpus:2"))]), "role eng has cpus:8, above a limit of 2");
        assert_eq!(
            refusal(&[("ops", quota("cpus:5", "")), ("eng", quota("cpus:4", ""))]),
            "all guarantees together would be cpus:9, the agents have cpus:8"
        );
        assert_eq!(
            refusal(&[
                ("ops", quota("cpus:1", "cpus:3")),
                ("ops/a", quota("cpus:2", "")),
                ("ops/b", quota("cpus:2", ""))
            ]),
            "the roles below ops are guaranteed cpus:4 together, above its limit of 3"
        );
    }
}
