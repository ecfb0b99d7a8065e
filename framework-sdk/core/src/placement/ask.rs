//! What a task asks for, as scorers see it.

use std::collections::BTreeSet;

use lonja_model::resources::{Devices, Scalar};

use crate::task::Need;

/// GPUs that one task needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gpus {
    /// None.
    #[default]
    None,
    /// So many thousandths of one device, 1 to 999.
    Share(u16),
    /// So many whole devices, at least 1.
    Whole(u16),
}

impl Gpus {
    /// How many devices it is on.
    pub fn devices(self) -> usize {
        match self {
            Self::None => 0,
            Self::Share(_) => 1,
            Self::Whole(count) => usize::from(count),
        }
    }

    /// How much of each of its devices it takes, in thousandths; 0 if it has none.
    pub fn of_each(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Share(thousandths) => thousandths,
            Self::Whole(_) => Devices::WHOLE,
        }
    }

    /// All of it together: an amount of `gpus`.
    pub fn thousandths(self) -> Scalar {
        let all = match self {
            Self::None => 0,
            Self::Share(thousandths) => u64::from(thousandths),
            Self::Whole(count) => u64::from(count) * u64::from(Devices::WHOLE),
        };
        Scalar::from_thousandths(all).unwrap_or_default()
    }
}

/// What a task asks for: amounts, and on which models of GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ask {
    /// How much.
    pub need: Need,
    /// The models of GPU that will do, by the agents' attribute `gpu_model`; none: any.
    pub models: BTreeSet<String>,
}

impl From<Need> for Ask {
    fn from(need: Need) -> Self {
        Self { need, models: BTreeSet::new() }
    }
}
