//! Jobs: when runs begin, wait, are tried again, are left out and are forgotten. Lonja's own; Marathon has none.
//!
//! [`Calendar`] knows when it is time, [`Rules`] what that means for a job and its runs. The services launch and kill.

pub mod calendar;
pub mod rules;

pub use calendar::{Calendar, InvalidCalendar};
pub use rules::{LeftOut, MAX_UNDER_WAY, News, Outcome, Rules, Runs};
