//! What of predicates the master is told: it then makes no offers that could not be used.
//!
//! The master knows alternatives (groups), each a list of constraints on hostname, region, zone and attributes, all of
//! which must hold. So a predicate is brought into that form, with all `!` at the leaves, and what the master does not
//! understand is taken for true: free resources, one's own tasks, numbers (but a number is there), ids of agents. What
//! grows beyond the master's bounds is weakened in the same way.
//!
//! Invariants
//! - Each offer that passes a predicate passes what is told of it, by the master's rules, too. The reverse need not hold:
//!   whoever gets an offer still looks.
//!
//! Source: Mesos v1 scheduler API, `OfferConstraints`.

use std::collections::BTreeMap;

use lonja_model::Role;
use lonja_model::constraints::{
    AttributeConstraint, ConstraintGroup, OfferConstraints, Predicate as Told, RoleConstraints, Selector,
};

use super::{Leaf, Node, Predicate, Test};

/// The most alternatives that are told for one role.
pub(super) const MAX_GROUPS: usize = 64;

/// The most constraints in one alternative. 64 times this is below what a master takes from one framework.
pub(super) const MAX_PER_GROUP: usize = 15;

/// The most different regular expressions, as a master takes them of one framework.
const MAX_PATTERNS: usize = 64;

/// The longest text that a master compares with, in bytes.
const MAX_TEXT_BYTES: usize = 1024;

/// What the master is told so that it makes offers for `role` only where one of `predicates` may hold: those of all
/// tasks that wait. None at all are told if one of them may hold anywhere, as far as the master can see, nor if there
/// are no predicates: who waits for nothing yet may want anything later.
///
/// It is meant for [`Options::constraints`](crate::Options::constraints), which are set once, when the scheduler is made,
/// and hold for as long as it lives: give the predicates of all kinds of tasks that it may ever have, not only of those
/// that wait by then.
///
/// ```
/// use lonja_model::Role;
/// use lonja_sdk_core::placement::predicate::{attribute, free_cpus, to_offer_constraints};
///
/// let place = attribute("disk").is("ssd") & free_cpus(4.0)?;
/// let told = to_offer_constraints(&Role::new("batch")?, [&place]);
/// // The master is told of the disk; whether four CPUs are free it cannot judge.
/// assert_eq!(told.0.values().next().map(|groups| groups.0[0].0.len()), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_offer_constraints<'a>(
    role: &Role,
    predicates: impl IntoIterator<Item = &'a Predicate>,
) -> OfferConstraints {
    let mut predicates = predicates.into_iter().peekable();
    if predicates.peek().is_none() {
        return OfferConstraints::default();
    }
    let mut all = Some(Vec::new());
    for predicate in predicates {
        all = either(all, alternatives(predicate, true));
    }
    let told = all.map(within_patterns).filter(|groups| groups.iter().all(|group| !group.is_empty()));
    let Some(mut groups) = told else { return OfferConstraints::default() };
    if groups.is_empty() {
        groups.push(vec![nowhere()]);
    }
    let groups = groups.into_iter().map(ConstraintGroup).collect();
    OfferConstraints(BTreeMap::from([(role.clone(), RoleConstraints(groups))]))
}

/// Alternatives of which one holds wherever the predicate does; `None`: anywhere. Without any: nowhere.
type Alternatives = Option<Vec<Vec<AttributeConstraint>>>;

/// Of the predicate, or of its opposite.
fn alternatives(predicate: &Predicate, so: bool) -> Alternatives {
    match predicate.node() {
        Node::Always => (!so).then(Vec::new),
        Node::Leaf(leaf) => of_leaf(leaf, so),
        Node::Not(of) => alternatives(of, !so),
        Node::All(of) if so => of.iter().fold(None, |all, one| both(all, alternatives(one, so))),
        Node::Any(of) if !so => of.iter().fold(None, |all, one| both(all, alternatives(one, so))),
        Node::All(of) | Node::Any(of) => {
            of.iter().try_fold(Vec::new(), |any, one| either(Some(any), alternatives(one, so)))
        }
    }
}

fn of_leaf(leaf: &Leaf, so: bool) -> Alternatives {
    let (subject, test) = match leaf {
        Leaf::Says { subject, test } => (subject, Some(test)),
        Leaf::Own { subject, .. } => (subject, None),
        Leaf::Free { .. } | Leaf::Port(_) => return None,
    };
    let selector = subject.selector().filter(|selector| {
        let Selector::Attribute(name) = selector else { return true };
        !name.is_empty() && name.len() <= MAX_TEXT_BYTES
    })?;
    let one = |predicate| AttributeConstraint { selector: selector.clone(), predicate };
    let alone = |predicate| Some(vec![vec![one(predicate)]]);
    match test {
        Some(Test::Exists) => alone(if so { Told::Exists } else { Told::NotExists }),
        Some(Test::Like(like)) => {
            let text = like.text.to_string();
            alone(if so { Told::TextMatches(text) } else { Told::TextNotMatches(text) })
        }
        Some(Test::In(values)) => {
            let short = |text: &&std::sync::Arc<str>| text.len() <= MAX_TEXT_BYTES;
            if so && !values.iter().all(|value| short(&value)) {
                return alone(Told::Exists);
            }
            let texts = values.iter().filter(short).map(|text| text.to_string());
            if so {
                return bounded(texts.map(|text| vec![one(Told::TextEquals(text))]).collect());
            }
            let not: Vec<_> = texts.map(|text| one(Told::TextNotEquals(text))).take(MAX_PER_GROUP).collect();
            if not.is_empty() { None } else { Some(vec![not]) }
        }
        // Where nothing is told, neither number nor company is right, and the opposite of both is.
        Some(Test::Number(..)) | None if so => alone(Told::Exists),
        Some(Test::Number(..)) | None => None,
    }
}

fn either(one: Alternatives, other: Alternatives) -> Alternatives {
    let mut all = one?;
    for group in other? {
        if !all.contains(&group) {
            all.push(group);
        }
    }
    bounded(all)
}

/// Too many alternatives are told as none at all: anywhere.
fn bounded(groups: Vec<Vec<AttributeConstraint>>) -> Alternatives {
    (groups.len() <= MAX_GROUPS).then_some(groups)
}

/// Of what cannot be told together, one is left out: the one with more alternatives.
fn both(one: Alternatives, other: Alternatives) -> Alternatives {
    let (Some(one), Some(other)) = (&one, &other) else { return one.or(other) };
    if one.len() * other.len() > MAX_GROUPS {
        return Some(if one.len() <= other.len() { one } else { other }.clone());
    }
    let mut groups = Vec::new();
    for left in one {
        for right in other {
            let mut group = left.clone();
            group.extend(right.iter().filter(|constraint| !left.contains(constraint)).cloned());
            group.truncate(MAX_PER_GROUP);
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
    }
    Some(groups)
}

/// Patterns beyond what a master takes are left out.
fn within_patterns(mut groups: Vec<Vec<AttributeConstraint>>) -> Vec<Vec<AttributeConstraint>> {
    let mut patterns = std::collections::BTreeSet::new();
    for group in &mut groups {
        group.retain(|constraint| match &constraint.predicate {
            Told::TextMatches(text) | Told::TextNotMatches(text) => {
                if patterns.len() < MAX_PATTERNS {
                    patterns.insert(text.clone());
                }
                patterns.contains(text)
            }
            Told::Exists | Told::NotExists | Told::TextEquals(_) | Told::TextNotEquals(_) => true,
        });
    }
    groups
}

/// What holds of no agent: each has a hostname.
fn nowhere() -> AttributeConstraint {
    AttributeConstraint { selector: Selector::Hostname, predicate: Told::NotExists }
}
