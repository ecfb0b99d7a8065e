//! Where instances may run, and where they are liked to.

use crate::path_id::PathId;

/// One rule on where instances may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// `hostname` or `@hostname`, `@region`, `@zone`, or the name of an attribute.
    pub field: String,
    /// What must hold of its value.
    pub operator: Operator,
}

/// What must hold of the value of a field where an instance is to run. Values are compared as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// No instance has it.
    Unique,
    /// All instances have the same: this one, or that of the first.
    Cluster(Option<String>),
    /// Instances are spread evenly over values, of which there are so many.
    GroupBy(Option<u32>),
    /// The regular expression matches the whole of it.
    Like(String),
    /// The regular expression does not match the whole of it, or there is none.
    Unlike(String),
    /// At most so many instances have it.
    MaxPer(u32),
    /// It is this text or number.
    Is(String),
}

impl Operator {
    /// As people write it, such as `GROUP_BY`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unique => "UNIQUE",
            Self::Cluster(_) => "CLUSTER",
            Self::GroupBy(_) => "GROUP_BY",
            Self::Like(_) => "LIKE",
            Self::Unlike(_) => "UNLIKE",
            Self::MaxPer(_) => "MAX_PER",
            Self::Is(_) => "IS",
        }
    }

    /// Its value as text, if it has one.
    pub fn value(&self) -> Option<String> {
        match self {
            Self::Unique => None,
            Self::Cluster(value) => value.clone(),
            Self::GroupBy(count) => count.map(|count| count.to_string()),
            Self::Like(text) | Self::Unlike(text) | Self::Is(text) => Some(text.clone()),
            Self::MaxPer(count) => Some(count.to_string()),
        }
    }
}

/// Which of the places where an instance may run is taken. Lonja's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// With the fewest of its kind, then the emptiest.
    #[default]
    Spread,
    /// The fullest where it fits.
    Binpack,
    /// Any.
    Random,
}

/// Nearness to another app. Lonja's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// Which.
    pub app: PathId,
    /// Within which field's value: `hostname`, `@zone`, `@region` or an attribute.
    pub field: String,
    /// Beside it, or away from it.
    pub near: bool,
    /// A rule; else a wish.
    pub required: bool,
}
