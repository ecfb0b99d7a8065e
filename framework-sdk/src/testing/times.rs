//! Times, as tests write them.

use std::time::Duration;

/// So many milliseconds.
pub const fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// So many seconds.
pub const fn secs(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// So many minutes.
pub const fn mins(number: u64) -> Duration {
    Duration::from_secs(number * 60)
}

/// So many hours.
pub const fn hours(number: u64) -> Duration {
    Duration::from_secs(number * 3_600)
}
