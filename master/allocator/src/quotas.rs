//! Quotas: what roles are sure of, and what they may never exceed.
//!
//! A quota belongs to a role with all that is below it. What counts against it: every reservation for the role or
//! below, used or not, and all that is offered to them or in use by them beyond, unless it can be taken back.
//! Only amounts count, devices in thousandths of one.
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

use lonja_model::quota::Quota;
use lonja_model::resources::{Quantities, Resource, Scalar, Value};
use lonja_model::{Resources, Role};

use crate::Allocator;
use crate::agents::Agents;

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

impl Allocator {
    /// Sets the quota of a role, unchecked; `None`: it has none. Nothing is taken back.
    pub fn set_quota(&mut self, role: Role, quota: Option<Quota>) {
        match quota {
            Some(quota) => self.quotas.insert(role, quota),
            None => self.quotas.remove(&role),
        };
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
        let total = self.cluster_total();
        let above = guaranteed.iter().find(|(name, amount)| *amount > total.get(name));
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

    /// What counts against the role's quota. O(what is held).
    pub fn quota_consumed(&self, role: &Role) -> Quantities {
        consumed(&self.agents, role)
    }
}

fn consumed(agents: &Agents, role: &Role) -> Quantities {
    let within = |other: &Role| other == role || other.is_below(role);
    let mut consumed = Quantities::default();
    for (_, agent) in agents.iter() {
        let reserved = agent.total().filter(|resource| resource.reserved_for().is_some_and(within));
        consumed.add(&reserved.quantities());
        for (_, held) in agent.holders().filter(|((_, holder), _)| within(holder)) {
            held.layers().for_each(|layer| consumed.add(&layer.filter(is_limited).quantities()));
        }
    }
    consumed
}

/// What of `resources` the role may have under its limit and those above it.
pub(crate) fn within_limits(
    quotas: &Quotas,
    agents: &Agents,
    role: &Role,
    resources: Resources,
) -> Resources {
    let mut left: BTreeMap<String, Scalar> = BTreeMap::new();
    for (owner, quota) in quotas.iter().filter(|(owner, _)| *owner == role || role.is_below(owner)) {
        if quota.limits.is_empty() {
            continue;
        }
        let consumed = consumed(agents, owner);
        for (name, limit) in quota.limits.iter() {
            let room = limit.saturating_sub(consumed.get(name));
            left.entry(name.to_owned()).and_modify(|least| *least = room.min(*least)).or_insert(room);
        }
    }
    if left.is_empty() {
        return resources;
    }
    let shrunk = resources.iter().filter_map(|resource| shrink(resource, &mut left));
    Resources::of(shrunk).expect("parts of what can be held can be held")
}

fn is_limited(resource: &Resource) -> bool {
    resource.reserved_for().is_none() && !resource.metadata().revocable
}

/// As much of a resource as there is room for; what limits do not concern passes whole.
fn shrink(resource: &Resource, left: &mut BTreeMap<String, Scalar>) -> Option<Resource> {
    let room = left.get_mut(resource.name()).filter(|_| is_limited(resource));
    let Some(room) = room else { return Some(resource.clone()) };
    match resource.value() {
        Value::Scalar(amount) => {
            let amount = (*amount).min(*room);
            *room = room.saturating_sub(amount);
            let metadata = resource.metadata().clone();
            Resource::with_metadata(resource.name(), Value::Scalar(amount), metadata)
                .ok()
                .filter(|_| amount > Scalar::ZERO)
        }
        Value::Devices(_) => (*room > Scalar::ZERO).then(|| resource.clone()),
        Value::Ranges(_) | Value::Set(_) => Some(resource.clone()),
    }
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
