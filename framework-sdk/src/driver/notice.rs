//! What a driver has to tell of itself.

use std::time::Duration;

use lonja_model::FrameworkId;
use lonja_sdk_core::Problem;

/// Something that happened to a run; each is counted in [`Metrics`](crate::Metrics) too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A connection stands; the subscription is yet to come.
    Connected {
        /// The master.
        master: String,
    },
    /// A connection is lost, or could not be made. Another is tried.
    Disconnected {
        /// The master.
        master: String,
        /// Why, for people.
        why: String,
    },
    /// The subscription stands.
    Subscribed {
        /// As this framework.
        framework: FrameworkId,
        /// By this master.
        master: String,
    },
    /// Something that the scheduler wanted was not done. The scheduler has been told.
    Problem(Problem),
    /// The scheduler panicked. It is made anew if it can be.
    Panicked {
        /// In which method.
        method: &'static str,
        /// What it said.
        message: String,
    },
    /// The scheduler or its store does not return. Nothing is decided or acknowledged until it does.
    Blocked {
        /// In which method.
        method: &'static str,
        /// For how long so far.
        time: Duration,
    },
}
