//! Offer constraints: of which agents a framework wants offers, told by their attributes.
//!
//! For each role a list of groups of constraints: an agent passes if it satisfies all constraints of any one group.
//! A role without an entry has no constraints.
//!
//! Source: Mesos v1 scheduler API, `OfferConstraints`.

use std::collections::BTreeMap;

use crate::role::Role;

/// The constraints of one framework, by role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfferConstraints(pub BTreeMap<Role, RoleConstraints>);

/// Groups of which one must be satisfied; never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleConstraints(pub Vec<ConstraintGroup>);

/// Constraints all of which must be satisfied; never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConstraintGroup(pub Vec<AttributeConstraint>);

/// One thing that is asked of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeConstraint {
    /// What of the agent is looked at.
    pub selector: Selector,
    /// What must hold of it.
    pub predicate: Predicate,
}

/// What of an agent is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selector {
    /// The agent's hostname.
    Hostname,
    /// The region it is in; absent if it does not say.
    Region,
    /// The zone it is in; absent if it does not say.
    Zone,
    /// The first attribute of that name.
    Attribute(String),
}

/// What must hold of what was selected. Of an attribute that is not text, every text predicate holds. Of one that is
/// absent, only [`Predicate::NotExists`], [`Predicate::TextNotEquals`] and [`Predicate::TextNotMatches`] hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// It is there.
    Exists,
    /// It is not there.
    NotExists,
    /// It is this text.
    TextEquals(String),
    /// It is not this text.
    TextNotEquals(String),
    /// The regular expression matches all of it.
    TextMatches(String),
    /// The regular expression does not match all of it.
    TextNotMatches(String),
}
