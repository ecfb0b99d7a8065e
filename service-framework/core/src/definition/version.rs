//! When something was changed.

use lonja_model::Timestamp;

/// The time of a change, in milliseconds since the Unix epoch; no two changes have the same. On the wire
/// `2015-09-30T09:09:17.614Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The version of a change that is made now, after `last`.
    pub fn next(now: Timestamp, last: Self) -> Self {
        Self((now.as_nanos() / 1_000_000).max(last.0.saturating_add(1)))
    }

    /// The time that it says.
    pub fn at(self) -> Timestamp {
        Timestamp::from_nanos(self.0.saturating_mul(1_000_000))
    }
}

/// When a definition was changed, in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionInfo {
    /// By any change.
    pub version: Version,
    /// By a change of the number of instances.
    pub last_scaling: Version,
    /// By a change that running instances do not follow; instances of an earlier one are old.
    pub last_config: Version,
}
