//! How changes are brought about, and what is done when things go wrong.

use std::time::Duration;

/// The delay of launches after failures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// After the first failure. Zero: none, ever.
    pub initial: Duration,
    /// Each further failure makes it so many times longer; 1.0 or more.
    pub factor: f64,
    /// The longest.
    pub max: Duration,
}

impl Default for Backoff {
    /// 1 s, 1.15 times more for each, 300 s at most.
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), factor: 1.15, max: Duration::from_secs(300) }
    }
}

/// How many instances there are while new ones replace old ones, as fractions of the target, each 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpgradeStrategy {
    /// So many of the target stay healthy at least.
    pub minimum_health_capacity: f64,
    /// So many more than the target there may be.
    pub maximum_over_capacity: f64,
}

impl UpgradeStrategy {
    /// Of apps and pods that keep data: half of them, and none above.
    pub const RESIDENT: Self = Self { minimum_health_capacity: 0.5, maximum_over_capacity: 0.0 };
}

impl Default for UpgradeStrategy {
    /// All of them, and as many again above.
    fn default() -> Self {
        Self { minimum_health_capacity: 1.0, maximum_over_capacity: 1.0 }
    }
}

/// Which instances are killed first when there are too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KillSelection {
    /// Those that run for the shortest time.
    #[default]
    YoungestFirst,
    /// Those that run for the longest.
    OldestFirst,
}

/// What is done about an instance whose agent is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreachableStrategy {
    /// It is waited for, however long.
    Disabled,
    /// It is given up after a time.
    Enabled {
        /// After so long it no longer counts, and another takes its place.
        inactive_after: Duration,
        /// After so long it is forgotten; not before the other.
        expunge_after: Duration,
    },
}

impl Default for UnreachableStrategy {
    /// At once.
    fn default() -> Self {
        Self::Enabled { inactive_after: Duration::ZERO, expunge_after: Duration::ZERO }
    }
}

/// How a change of what runs is brought about. Lonja's own; Marathon has the rolling way alone, without an end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollout {
    /// In which order new ones replace old ones.
    pub strategy: Strategy,
    /// The deployment fails when nothing has got better for so long; none: what the daemon is told.
    pub progress_deadline: Option<Duration>,
    /// The change is taken back when so many of the new instances have failed, by ending or by their health checks; none:
    /// never for a rolling change, at the first for the others.
    pub max_failures: Option<u32>,
    /// A rolling change that fails is taken back; the others are in any case.
    pub auto_rollback: bool,
}

/// In which order new instances replace old ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Strategy {
    /// Step by step, within the bounds of the [`UpgradeStrategy`].
    #[default]
    Rolling,
    /// A few new ones beside the old; the rest once somebody promotes it, or after a time in good health.
    Canary {
        /// The fraction of the target that is started first, above 0 and at most 1; one at least.
        fraction: f64,
        /// Promoted by itself after so long in good health; none: by a person.
        promote_after: Option<Duration>,
    },
    /// All new ones beside the old, which take no requests until it is promoted; then the old ones end.
    BlueGreen {
        /// Promoted by itself after so long in good health; none: by a person.
        promote_after: Option<Duration>,
    },
}
