//! Offer constraints, compiled: of which agents a framework wants offers for a role.
//!
//! An agent passes if it satisfies all constraints of any one group of the role; a role without groups lets every
//! agent pass. A constraint looks at one text: the hostname, the region, the zone, or the first attribute of a name.
//!
//! | selected | Exists | NotExists | TextEquals, TextMatches | TextNotEquals, TextNotMatches |
//! |---|---|---|---|---|
//! | a text | true | false | if so | if not so |
//! | a scalar or ranges | true | false | true | true |
//! | nothing | false | true | false | true |
//!
//! Invariants
//! - What is compiled is bounded: [`MAX_CONSTRAINTS`], [`MAX_PATTERNS`], [`MAX_TEXT_BYTES`] and what
//!   [`MAX_PATTERN_BYTES`] and [`MAX_PROGRAM_BYTES`] say of a pattern, so that no framework can make the master pay
//!   more than its own constraints are worth.
//! - The verdict depends on the constraints and the agent alone, and of attributes of one name on the first.
//!
//! Source: Mesos v1 scheduler API, `OfferConstraints`; Mesos, offer constraints filter of the allocator.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use lonja_model::Role;
use lonja_model::attributes::AttributeValue;
use lonja_model::constraints::{AttributeConstraint, OfferConstraints, Predicate, RoleConstraints, Selector};

use crate::AgentFacts;
use lonja_model::pattern::Pattern;
pub use lonja_model::pattern::{MAX_NESTING, MAX_PATTERN_BYTES, MAX_PROGRAM_BYTES};

/// The most constraints of one framework, over all roles and groups.
pub const MAX_CONSTRAINTS: usize = 1_000;

/// The most regular expressions among them; one that stands more than once counts once.
pub const MAX_PATTERNS: usize = 64;

/// The longest attribute name and the longest text to compare with, in bytes.
pub const MAX_TEXT_BYTES: usize = 1024;

/// The constraints of one framework, ready to judge agents. Cheap to clone. Equal to those of equal source.
#[derive(Clone, Default)]
pub struct CompiledConstraints(Option<Arc<Compiled>>);

struct Compiled {
    source: OfferConstraints,
    roles: BTreeMap<Role, Vec<Vec<Test>>>,
}

/// One constraint.
struct Test {
    source: AttributeConstraint,
    /// Of [`Predicate::TextMatches`] and [`Predicate::TextNotMatches`].
    pattern: Option<Pattern>,
}

/// Which constraint is at fault, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the offer constraints for role {role}{}: {fault}", Place(*.group, *.constraint))]
pub struct InvalidConstraints {
    /// Of this role.
    pub role: Role,
    /// In this of its groups, from 0; `None`: not about one group.
    pub group: Option<usize>,
    /// This constraint of the group, from 0; `None`: not about one constraint.
    pub constraint: Option<usize>,
    /// What is wrong.
    pub fault: ConstraintFault,
}

/// What is wrong with a constraint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintFault {
    /// A role is named without groups.
    #[error("there is no group; name at least one, or leave the role out")]
    NoGroup,
    /// A group has no constraint.
    #[error(
        "the group is empty; name at least one constraint, or leave the role out to get offers of any agent"
    )]
    EmptyGroup,
    /// More than [`MAX_CONSTRAINTS`].
    #[error("a framework may have at most {MAX_CONSTRAINTS} constraints over all roles; this is one more")]
    TooManyConstraints,
    /// More than [`MAX_PATTERNS`].
    #[error("a framework may have at most {MAX_PATTERNS} regular expressions; this is one more")]
    TooManyPatterns,
    /// The attribute's name is empty.
    #[error("the attribute's name is empty")]
    NoName,
    /// A name or text is longer than [`MAX_TEXT_BYTES`].
    #[error("the {what} has {bytes} bytes, more than {MAX_TEXT_BYTES}; shorten it")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// The regular expression is wrong, or larger than it may be.
    #[error("the regular expression {shown:?} is refused: {reason}")]
    Pattern {
        /// The expression, cut to 64 characters.
        shown: String,
        /// In words.
        reason: String,
    },
}

/// Where in the constraints of a role.
struct Place(Option<usize>, Option<usize>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(group, constraint) = self;
        if let Some(group) = group {
            write!(f, ", group {group}")?;
        }
        if let Some(constraint) = constraint {
            write!(f, ", constraint {constraint}")?;
        }
        Ok(())
    }
}

impl InvalidConstraints {
    /// The path of the field at fault within `OfferConstraints`, such as
    /// `role_constraints["eng"].groups[1].attribute_constraints[0]`.
    pub fn path(&self) -> String {
        let mut path = format!("role_constraints[{:?}]", self.role.as_str());
        if let Some(group) = self.group {
            path += &format!(".groups[{group}]");
        }
        if let Some(constraint) = self.constraint {
            path += &format!(".attribute_constraints[{constraint}]");
        }
        path
    }
}

impl CompiledConstraints {
    /// Makes `source` ready to judge agents, or refuses it as a whole. Linear in its size, within the bounds.
    /// Errors: [`InvalidConstraints`], for the first constraint at fault.
    pub fn compile(source: OfferConstraints) -> Result<Self, InvalidConstraints> {
        if source.0.is_empty() {
            return Ok(Self(None));
        }
        let mut compiler = Compiler::default();
        let mut roles = BTreeMap::new();
        for (role, constraints) in &source.0 {
            let groups = compiler.role(constraints).map_err(|(group, constraint, fault)| {
                InvalidConstraints { role: role.clone(), group, constraint, fault }
            })?;
            roles.insert(role.clone(), groups);
        }
        Ok(Self(Some(Arc::new(Compiled { source, roles }))))
    }

    /// What they were made of.
    pub fn source(&self) -> &OfferConstraints {
        static NONE: OfferConstraints = OfferConstraints(BTreeMap::new());
        self.0.as_ref().map_or(&NONE, |compiled| &compiled.source)
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// May offers of the agent be made for the role?
    pub fn admit(&self, role: &Role, agent: &AgentFacts) -> bool {
        let Some(groups) = self.groups(role) else { return true };
        groups.iter().any(|group| group.iter().all(|test| test.holds(agent)))
    }

    /// If not, what stands in the way: of the group that comes nearest, the first constraint that does not hold.
    pub fn unmet(&self, role: &Role, agent: &AgentFacts) -> Option<UnmetConstraint> {
        let groups = self.groups(role)?;
        let failing = |group: &Vec<Test>| group.iter().filter(|test| !test.holds(agent)).count();
        let (group, tests) = groups.iter().enumerate().min_by_key(|(_, group)| failing(group))?;
        let test = tests.iter().find(|test| !test.holds(agent))?;
        Some(UnmetConstraint {
            group,
            groups: groups.len(),
            constraint: test.source.clone(),
            found: selected(&test.source.selector, agent).map(|found| found.to_string()),
        })
    }

    fn groups(&self, role: &Role) -> Option<&Vec<Vec<Test>>> {
        self.0.as_ref()?.roles.get(role)
    }
}

impl PartialEq for CompiledConstraints {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a.source == b.source,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl Eq for CompiledConstraints {}

impl fmt::Debug for CompiledConstraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source().fmt(f)
    }
}

/// Why an agent does not satisfy a role's constraints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmetConstraint {
    /// The group that comes nearest, from 0.
    pub group: usize,
    /// How many groups the role has, any of which would do.
    pub groups: usize,
    /// The first constraint of that group that does not hold.
    pub constraint: AttributeConstraint,
    /// What the agent has there.
    pub found: Option<String>,
}

impl fmt::Display for UnmetConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.constraint.selector {
            Selector::Hostname => f.write_str("its hostname")?,
            Selector::Region => f.write_str("its region")?,
            Selector::Zone => f.write_str("its zone")?,
            Selector::Attribute(name) => write!(f, "its attribute {name}")?,
        }
        match &self.found {
            Some(found) => write!(f, " is {found:?}")?,
            None => f.write_str(" is not there")?,
        }
        f.write_str(", the framework asks ")?;
        match &self.constraint.predicate {
            Predicate::Exists => f.write_str("that it be there")?,
            Predicate::NotExists => f.write_str("that it not be there")?,
            Predicate::TextEquals(text) => write!(f, "for {text:?}")?,
            Predicate::TextNotEquals(text) => write!(f, "for anything but {text:?}")?,
            Predicate::TextMatches(regex) => write!(f, "for a match of {regex:?}")?,
            Predicate::TextNotMatches(regex) => write!(f, "for anything but a match of {regex:?}")?,
        }
        match self.groups {
            1 => Ok(()),
            groups => write!(f, " (the nearest of {groups} groups)"),
        }
    }
}

impl Test {
    fn holds(&self, agent: &AgentFacts) -> bool {
        let found = selected(&self.source.selector, agent);
        let is = |wanted: bool, so: &dyn Fn(&str) -> bool| match &found {
            Some(Selected::Text(text)) => so(text) == wanted,
            // What is no text is not judged as one.
            Some(Selected::Other(_)) => true,
            None => !wanted,
        };
        let matches = |text: &str| self.pattern.as_ref().is_some_and(|pattern| pattern.matches(text));
        match &self.source.predicate {
            Predicate::Exists => found.is_some(),
            Predicate::NotExists => found.is_none(),
            Predicate::TextEquals(wanted) => is(true, &|text| text == wanted),
            Predicate::TextNotEquals(unwanted) => is(false, &|text| text == unwanted),
            Predicate::TextMatches(_) => is(true, &matches),
            Predicate::TextNotMatches(_) => is(false, &matches),
        }
    }
}

/// What a selector finds.
enum Selected<'a> {
    Text(&'a str),
    Other(&'a AttributeValue),
}

impl fmt::Display for Selected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Other(value) => value.fmt(f),
        }
    }
}

fn selected<'a>(selector: &Selector, agent: &'a AgentFacts) -> Option<Selected<'a>> {
    let domain = agent.domain.as_ref();
    match selector {
        Selector::Hostname => Some(Selected::Text(&agent.hostname)),
        Selector::Region => domain.map(|domain| Selected::Text(&domain.region)),
        Selector::Zone => domain.map(|domain| Selected::Text(&domain.zone)),
        Selector::Attribute(name) => agent.attributes.get(name).map(|value| match value {
            AttributeValue::Text(text) => Selected::Text(text),
            AttributeValue::Scalar(_) | AttributeValue::Ranges(_) => Selected::Other(value),
        }),
    }
}

/// Counts over all roles of one framework, and compiles each pattern once.
#[derive(Default)]
struct Compiler {
    constraints: usize,
    patterns: BTreeMap<String, Pattern>,
}

/// The group and the constraint at fault, and why.
type Fault = (Option<usize>, Option<usize>, ConstraintFault);

impl Compiler {
    fn role(&mut self, constraints: &RoleConstraints) -> Result<Vec<Vec<Test>>, Fault> {
        if constraints.0.is_empty() {
            return Err((None, None, ConstraintFault::NoGroup));
        }
        let mut groups = Vec::new();
        for (index, group) in constraints.0.iter().enumerate() {
            if group.0.is_empty() {
                return Err((Some(index), None, ConstraintFault::EmptyGroup));
            }
            let mut tests = Vec::new();
            for (place, constraint) in group.0.iter().enumerate() {
                tests.push(self.one(constraint).map_err(|fault| (Some(index), Some(place), fault))?);
            }
            groups.push(tests);
        }
        Ok(groups)
    }

    fn one(&mut self, constraint: &AttributeConstraint) -> Result<Test, ConstraintFault> {
        self.constraints += 1;
        if self.constraints > MAX_CONSTRAINTS {
            return Err(ConstraintFault::TooManyConstraints);
        }
        if let Selector::Attribute(name) = &constraint.selector {
            if name.is_empty() {
                return Err(ConstraintFault::NoName);
            }
            check_length("attribute's name", name)?;
        }
        let pattern = match &constraint.predicate {
            Predicate::Exists | Predicate::NotExists => None,
            Predicate::TextEquals(text) | Predicate::TextNotEquals(text) => {
                check_length("text", text)?;
                None
            }
            Predicate::TextMatches(text) | Predicate::TextNotMatches(text) => Some(self.pattern(text)?),
        };
        Ok(Test { source: constraint.clone(), pattern })
    }

    fn pattern(&mut self, text: &str) -> Result<Pattern, ConstraintFault> {
        if let Some(known) = self.patterns.get(text) {
            return Ok(known.clone());
        }
        if self.patterns.len() == MAX_PATTERNS {
            return Err(ConstraintFault::TooManyPatterns);
        }
        let pattern = Pattern::compile(text)
            .map_err(|reason| ConstraintFault::Pattern { shown: text.chars().take(64).collect(), reason })?;
        self.patterns.insert(text.to_owned(), pattern.clone());
        Ok(pattern)
    }
}

fn check_length(what: &'static str, text: &str) -> Result<(), ConstraintFault> {
    let bytes = text.len();
    if bytes > MAX_TEXT_BYTES { Err(ConstraintFault::TooLong { what, bytes }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
