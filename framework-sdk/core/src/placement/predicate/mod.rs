//! Where a task may go: one typed language for hard rules, soft wishes and what the master is told.
//!
//! A [`Predicate`] says yes or no to a place. It is made of what is known of an agent ([`Subject`]: its attributes,
//! hostname, region, zone, or the agent itself), of what is free there, and of one's own tasks there ([`Tasks`]), and
//! put together by `&`, `|` and `!`:
//!
//! ```
//! use lonja_sdk_core::placement::predicate::{Tasks, agent, attribute, free_cpus, hostname, zone};
//!
//! let web = Tasks::labelled("app", "web");
//! let place = attribute("disk").is("ssd")
//!     & !hostname().like("canary-.*")?
//!     & (attribute("generation").at_least(3.0)? | free_cpus(16.0)?)
//!     & zone().spread(&web, 1)      // as many in each zone, give or take one
//!     & agent().unique(&web);       // and no two on one machine
//! assert_eq!(
//!     place.to_string(),
//!     "disk is ssd, and not hostname like canary-.*, and (generation >= 3, or cpus free >= 16), \
//!      and zone spreads app=web within 1, and agent has at most 1 of app=web",
//! );
//! # Ok::<(), lonja_sdk_core::placement::predicate::InvalidPredicate>(())
//! ```
//!
//! The same value filters offers ([`Predicate::holds`]), is told to the master as far as the master understands it
//! ([`to_offer_constraints`]), and names what stands in the way ([`Predicate::first_unmet`]).
//!
//! Invariants
//! - A predicate is true or false of a place, never neither: `!p` holds exactly where `p` does not.
//! - What is pushed down is implied by the whole: no offer that passes the whole is kept away by the master.

mod evaluate;
mod push_down;
mod subject;
mod tasks;
mod words;

use std::collections::BTreeSet;
use std::ops::{BitAnd, BitOr, Not};
use std::sync::Arc;

use lonja_model::pattern::Pattern;
use lonja_model::resources::{InvalidScalar, Scalar};

use crate::task::{InvalidTask, Request};

pub(crate) use evaluate::{Census, Site, Standing, amount, has_port};
pub use push_down::to_offer_constraints;
pub use subject::{Subject, agent, attribute, hostname, region, zone};
pub(crate) use tasks::LabelTest;
pub use tasks::Tasks;

/// Says yes or no to a place. See the module. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Predicate(Arc<Node>);

/// What a predicate is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    /// Holds everywhere.
    Always,
    Leaf(Leaf),
    /// Each of them holds; two at least, none of which is of this kind.
    All(Vec<Predicate>),
    /// One of them holds; two at least, none of which is of this kind.
    Any(Vec<Predicate>),
    /// It does not hold; never of this kind itself.
    Not(Predicate),
}

/// One thing that is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leaf {
    /// Of what the agent says of itself.
    Says { subject: Subject, test: Test },
    /// At least so much of a resource is free: units of scalars, devices, or how many numbers.
    Free { name: Arc<str>, amount: Scalar },
    /// This port is free.
    Port(u64),
    /// Of one's own tasks where the subject has the same value.
    Own { subject: Subject, tasks: Tasks, rule: Rule },
}

/// What must hold of a value; of one that is absent nothing holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Test {
    Exists,
    In(BTreeSet<Arc<str>>),
    Like(Like),
    Number(Comparison, Scalar),
}

/// A pattern with its text.
#[derive(Clone, Debug)]
pub(crate) struct Like {
    pub(crate) text: Arc<str>,
    pub(crate) pattern: Pattern,
}

impl PartialEq for Like {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Like {}

impl PartialOrd for Like {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Like {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

/// How a number is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Comparison {
    Below,
    AtMost,
    AtLeast,
    Above,
}

/// What must hold of one's own tasks at a value of a subject, before one more comes there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// One at least is there.
    Present,
    /// With one more there are at most so many.
    AtMost(u32),
    /// With one more there are at most so many more than where there are least, of the values known and these.
    Skew { most: u32, expected: BTreeSet<Arc<str>> },
    /// All are here, or none is anywhere.
    Together,
}

/// Why something cannot be asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPredicate {
    /// The regular expression is wrong, or larger than the master takes.
    #[error("the regular expression {shown:?} is refused: {why}")]
    Pattern {
        /// The expression, cut to 64 characters.
        shown: String,
        /// In words.
        why: String,
    },
    /// A number that is none, or negative, or too large.
    #[error("{what}: {why}")]
    Number {
        /// What it is compared with.
        what: String,
        /// What is wrong with it.
        why: InvalidScalar,
    },
}

impl Predicate {
    /// Holds everywhere.
    pub fn always() -> Self {
        Self(Arc::new(Node::Always))
    }

    /// Holds nowhere.
    pub fn never() -> Self {
        !Self::always()
    }

    /// At least so much of a resource is free, whoever it is reserved for: CPUs, MiB, devices, or how many ports. Asked of
    /// what is left when the task's turn comes, before it takes its own part.
    pub fn free(name: impl Into<Arc<str>>, amount: Scalar) -> Self {
        Self::leaf(Leaf::Free { name: name.into(), amount })
    }

    /// This port is free.
    pub fn free_port(port: u16) -> Self {
        Self::leaf(Leaf::Port(u64::from(port)))
    }

    /// All of them hold. Of none: always.
    pub fn all(of: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Vec::new();
        for one in of {
            match &*one.0 {
                Node::Always => {}
                Node::All(more) => all.extend(more.iter().cloned()),
                Node::Leaf(_) | Node::Any(_) | Node::Not(_) => all.push(one),
            }
        }
        match all.len() {
            0 => Self::always(),
            1 => all.remove(0),
            _ => Self(Arc::new(Node::All(all))),
        }
    }

    /// One of them holds. Of none: never.
    pub fn any(of: impl IntoIterator<Item = Self>) -> Self {
        let mut any = Vec::new();
        let never = Self::never();
        for one in of {
            match &*one.0 {
                Node::Any(more) => any.extend(more.iter().cloned()),
                Node::Not(_) if one == never => {}
                Node::Always => return one,
                Node::Leaf(_) | Node::All(_) | Node::Not(_) => any.push(one),
            }
        }
        match any.len() {
            0 => never,
            1 => any.remove(0),
            _ => Self(Arc::new(Node::Any(any))),
        }
    }

    /// Does it hold everywhere, as it is written?
    pub fn is_always(&self) -> bool {
        matches!(&*self.0, Node::Always)
    }

    pub(crate) fn leaf(leaf: Leaf) -> Self {
        Self(Arc::new(Node::Leaf(leaf)))
    }

    pub(crate) fn node(&self) -> &Node {
        &self.0
    }

    /// What all must hold, in the order in which it was written: the reasons that are told for a place that will not do.
    pub(crate) fn conjuncts(&self) -> &[Self] {
        match &*self.0 {
            Node::All(all) => all,
            Node::Always => &[],
            Node::Leaf(_) | Node::Any(_) | Node::Not(_) => std::slice::from_ref(self),
        }
    }

    /// Calls `f` with each leaf.
    pub(crate) fn each_leaf<'a>(&'a self, f: &mut impl FnMut(&'a Leaf)) {
        match &*self.0 {
            Node::Always => {}
            Node::Leaf(leaf) => f(leaf),
            Node::All(of) | Node::Any(of) => of.iter().for_each(|one| one.each_leaf(f)),
            Node::Not(of) => of.each_leaf(f),
        }
    }
}

impl Default for Predicate {
    /// Holds everywhere.
    fn default() -> Self {
        Self::always()
    }
}

impl BitAnd for Predicate {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self::all([self, other])
    }
}

impl BitOr for Predicate {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self::any([self, other])
    }
}

impl Not for Predicate {
    type Output = Self;
    fn not(self) -> Self {
        match &*self.0 {
            Node::Not(of) => of.clone(),
            Node::Always | Node::Leaf(_) | Node::All(_) | Node::Any(_) => Self(Arc::new(Node::Not(self))),
        }
    }
}

/// At least so many CPUs are free. Errors: no number, negative, too large.
pub fn free_cpus(cpus: f64) -> Result<Predicate, InvalidPredicate> {
    at_least_free("cpus", cpus)
}

/// At least so much memory is free, in MiB. Errors: no number, negative, too large.
pub fn free_mem_mib(mib: f64) -> Result<Predicate, InvalidPredicate> {
    at_least_free("mem", mib)
}

/// At least so much disk is free, in MiB. Errors: no number, negative, too large.
pub fn free_disk_mib(mib: f64) -> Result<Predicate, InvalidPredicate> {
    at_least_free("disk", mib)
}

/// At least so many GPUs are free, all devices together. Errors: no number, negative, too large.
pub fn free_gpus(gpus: f64) -> Result<Predicate, InvalidPredicate> {
    at_least_free("gpus", gpus)
}

/// At least this much is free: each amount that the request names.
///
/// ```
/// use lonja_sdk_core::placement::predicate::free;
/// use lonja_sdk_core::task::{Units, cpus, mem};
///
/// let roomy = free(cpus(16) + mem(64.gib()))?;
/// assert_eq!(roomy.to_string(), "cpus free >= 16, and mem free >= 65536");
/// # Ok::<(), lonja_sdk_core::InvalidTask>(())
/// ```
///
/// Errors: an amount is none, as [`Request::build`] says.
pub fn free(request: Request) -> Result<Predicate, InvalidTask> {
    let need = request.build()?;
    let ports = u64::try_from(need.ports).ok().and_then(Scalar::from_units).unwrap_or(Scalar::MAX);
    let gpus = need.gpus.thousandths();
    let amounts =
        [("cpus", need.cpus), ("mem", need.mem), ("disk", need.disk), ("gpus", gpus), ("ports", ports)];
    let named = amounts.into_iter().filter(|(_, amount)| *amount > Scalar::ZERO);
    Ok(Predicate::all(named.map(|(name, amount)| Predicate::free(name, amount))))
}

fn at_least_free(name: &str, amount: f64) -> Result<Predicate, InvalidPredicate> {
    Ok(Predicate::free(name, number(name, amount)?))
}

fn number(what: &str, number: f64) -> Result<Scalar, InvalidPredicate> {
    let refuse = |why| InvalidPredicate::Number { what: what.chars().take(64).collect(), why };
    Scalar::from_f64(number).map_err(refuse)
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
