//! Of which agents a framework wants offers.
//!
//! Whether its roles are subscribed and its regular expressions are any is for the master to say.
//!
//! Source: Mesos v1 scheduler API, `OfferConstraints`.

use std::collections::BTreeMap;

use lonja_model::constraints::{
    AttributeConstraint, ConstraintGroup, OfferConstraints, Predicate, RoleConstraints, Selector,
};

use super::ids::role_from_wire;
use super::refusal::{At, Fault, Refusal, at_most, known, required, text};
use crate::limits;
use crate::mesos::scheduler::attribute_constraint::{self, predicate, selector};
use crate::mesos::scheduler::{self, offer_constraints, offer_constraints::role_constraints::Group};

/// The constraints of a framework; none at all if nothing is there.
///
/// Errors: there are more than [`limits`] allow; a role is none; a role has no group, or a group no constraint, so
/// that nothing or everything could be meant; a selector or a predicate is missing or unknown; a text is too long.
pub fn constraints_from_wire(wire: Option<scheduler::OfferConstraints>) -> Result<OfferConstraints, Refusal> {
    let wire = wire.unwrap_or_default().role_constraints;
    at_most(wire.len(), limits::ROLES, "role_constraints")?;
    let groups = wire.values().flat_map(|role| &role.groups);
    // A group counts as one at least, so that empty ones are bounded, too.
    let count = groups.map(|group| group.attribute_constraints.len().max(1)).sum();
    at_most(count, limits::CONSTRAINTS_PER_CALL, "role_constraints")?;
    let mut constraints = BTreeMap::new();
    for (name, role_constraints) in wire {
        let here = format!("role_constraints[{:?}]", name.chars().take(64).collect::<String>());
        let role = role_from_wire(&name).at(&here)?;
        constraints.insert(role, role_constraints_from_wire(role_constraints).at(&here)?);
    }
    Ok(OfferConstraints(constraints))
}

/// The constraints' form on the wire; none at all are left out.
pub fn constraints_to_wire(constraints: &OfferConstraints) -> Option<scheduler::OfferConstraints> {
    let group = |group: &ConstraintGroup| Group {
        attribute_constraints: group.0.iter().map(constraint_to_wire).collect(),
    };
    let role = |role: &RoleConstraints| offer_constraints::RoleConstraints {
        groups: role.0.iter().map(group).collect(),
    };
    (!constraints.0.is_empty()).then(|| scheduler::OfferConstraints {
        role_constraints: constraints.0.iter().map(|(name, all)| (name.to_string(), role(all))).collect(),
    })
}

fn role_constraints_from_wire(wire: offer_constraints::RoleConstraints) -> Result<RoleConstraints, Refusal> {
    if wire.groups.is_empty() {
        let reason = "is empty, so that no agent would do; name a group, or leave the role out";
        return Err(Fault::Invalid(reason.to_owned())).at("groups");
    }
    let group = |(index, wire)| group_from_wire(wire).at_index("groups", index);
    wire.groups.into_iter().enumerate().map(group).collect::<Result<_, _>>().map(RoleConstraints)
}

fn group_from_wire(wire: Group) -> Result<ConstraintGroup, Refusal> {
    if wire.attribute_constraints.is_empty() {
        let reason = "is empty, so that any agent would do; name a constraint, or leave the role out";
        return Err(Fault::Invalid(reason.to_owned())).at("attribute_constraints");
    }
    let constraint = |(index, wire)| constraint_from_wire(wire).at_index("attribute_constraints", index);
    wire.attribute_constraints
        .into_iter()
        .enumerate()
        .map(constraint)
        .collect::<Result<_, _>>()
        .map(ConstraintGroup)
}

fn constraint_from_wire(wire: scheduler::AttributeConstraint) -> Result<AttributeConstraint, Refusal> {
    Ok(AttributeConstraint {
        selector: required(wire.selector.selector).and_then(selector_from_wire).at("selector")?,
        predicate: required(wire.predicate.predicate).and_then(predicate_from_wire).at("predicate")?,
    })
}

fn selector_from_wire(wire: selector::Selector) -> Result<Selector, Refusal> {
    use selector::PseudoattributeType as Type;
    match wire {
        selector::Selector::PseudoattributeType(number) => {
            match known(number, "PseudoattributeType").at("pseudoattribute_type")? {
                Type::Unknown => Err(Fault::Missing).at("pseudoattribute_type"),
                Type::Hostname => Ok(Selector::Hostname),
                Type::Region => Ok(Selector::Region),
                Type::Zone => Ok(Selector::Zone),
            }
        }
        selector::Selector::AttributeName(name) if name.is_empty() => {
            Err(Fault::Missing).at("attribute_name")
        }
        selector::Selector::AttributeName(name) => {
            text(name, limits::CONSTRAINT_BYTES).at("attribute_name").map(Selector::Attribute)
        }
    }
}

fn predicate_from_wire(wire: predicate::Predicate) -> Result<Predicate, Refusal> {
    use predicate::Predicate as Wire;
    let short = |value: String| text(value, limits::CONSTRAINT_BYTES);
    match wire {
        Wire::Exists(_) => Ok(Predicate::Exists),
        Wire::NotExists(_) => Ok(Predicate::NotExists),
        Wire::TextEquals(wire) => short(wire.value).at("text_equals.value").map(Predicate::TextEquals),
        Wire::TextNotEquals(wire) => {
            short(wire.value).at("text_not_equals.value").map(Predicate::TextNotEquals)
        }
        Wire::TextMatches(wire) => short(wire.regex).at("text_matches.regex").map(Predicate::TextMatches),
        Wire::TextNotMatches(wire) => {
            short(wire.regex).at("text_not_matches.regex").map(Predicate::TextNotMatches)
        }
    }
}

fn constraint_to_wire(constraint: &AttributeConstraint) -> scheduler::AttributeConstraint {
    use attribute_constraint::predicate::{
        Exists, NotExists, Predicate as Wire, TextEquals, TextMatches, TextNotEquals, TextNotMatches,
    };
    use selector::PseudoattributeType as Type;
    let pseudo = |kind: Type| selector::Selector::PseudoattributeType(kind.into());
    let selector = match &constraint.selector {
        Selector::Hostname => pseudo(Type::Hostname),
        Selector::Region => pseudo(Type::Region),
        Selector::Zone => pseudo(Type::Zone),
        Selector::Attribute(name) => selector::Selector::AttributeName(name.clone()),
    };
    let predicate = match &constraint.predicate {
        Predicate::Exists => Wire::Exists(Exists {}),
        Predicate::NotExists => Wire::NotExists(NotExists {}),
        Predicate::TextEquals(value) => Wire::TextEquals(TextEquals { value: value.clone() }),
        Predicate::TextNotEquals(value) => Wire::TextNotEquals(TextNotEquals { value: value.clone() }),
        Predicate::TextMatches(regex) => Wire::TextMatches(TextMatches { regex: regex.clone() }),
        Predicate::TextNotMatches(regex) => Wire::TextNotMatches(TextNotMatches { regex: regex.clone() }),
    };
    scheduler::AttributeConstraint {
        selector: attribute_constraint::Selector { selector: Some(selector) },
        predicate: attribute_constraint::Predicate { predicate: Some(predicate) },
    }
}
