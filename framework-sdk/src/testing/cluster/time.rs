//! Letting time pass.

use std::time::Duration;

use lonja_sim::cluster::{Cluster, Failure};

use super::TestCluster;
use crate::testing::secs;

/// The longest that may be let pass at once, and that faults may last: what is longer was meant to be for ever, and there
/// is always a next heartbeat.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How often [`TestCluster::until`] looks.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

impl<S: 'static> TestCluster<S> {
    /// Lets so much virtual time pass. Panics: a promise is broken, or it is more than ten years.
    #[track_caller]
    pub fn run_for(&mut self, time: Duration) {
        let result = self.try_run_for(time);
        self.demand(result);
    }

    /// Lets so much virtual time pass. Errors: a promise is broken; for tests of what a wrong scheduler comes to.
    /// Panics: it is more than ten years.
    #[track_caller]
    pub fn try_run_for(&mut self, time: Duration) -> Result<(), Failure> {
        self.running().run_for(passes(time))
    }

    /// Lets time pass until `condition` holds; it is looked at every tenth of a virtual second. Panics: it does not hold
    /// within that time, or a promise is broken. `Duration::MAX` waits for as long as it takes.
    #[track_caller]
    pub fn until(&mut self, within: Duration, mut condition: impl FnMut(&Self) -> bool) {
        let end = self.running().now().saturating_add(within);
        loop {
            if condition(self) {
                return;
            }
            let now = self.running().now();
            if now >= end {
                self.fail_with(format!("what was waited for has not come within {within:?}"));
            }
            self.run_for(LOOKS_EVERY.min(end - now));
        }
    }

    /// Lets time pass until all is settled: every process is up and connected, every task runs or has ended, its framework
    /// knows, and the scheduler has all it wants ([`Self::settled_when`]). Who is kept down ([`Self::stop_agent`]) or cut off
    /// ([`Self::partition`]) is not waited for. The time counts from the end of the faults that were drawn, if that is later.
    /// Panics: it has not settled by then, or a promise is broken.
    #[track_caller]
    pub fn settles_within(&mut self, within: Duration) {
        let result = self.try_settles_within(within);
        self.demand(result);
    }

    /// The same. Errors: it has not settled by then, or a promise is broken.
    pub fn try_settles_within(&mut self, within: Duration) -> Result<(), Failure> {
        let cluster = self.running();
        let calm = cluster.calm_at().saturating_sub(cluster.now());
        cluster.run_for(calm)?;
        let end = cluster.now().saturating_add(within);
        loop {
            let Some(why) = self.unsettled() else { return Ok(()) };
            let cluster = self.running();
            let now = cluster.now();
            if now >= end {
                return Err(cluster.fail(format!("not settled within {within:?}: {why}")));
            }
            cluster.run_for(secs(1).min(end - now))?;
        }
    }

    /// What is still under way, in words; `None`: all is settled.
    pub fn unsettled(&self) -> Option<String> {
        let cluster = self.seen()?;
        let wants = |scheduler: &S| self.settled.as_ref().is_some_and(|settled| !settled(scheduler));
        if self.try_scheduler().is_some_and(wants) {
            return Some("the scheduler has not all it wants".to_owned());
        }
        cluster.unsettled()
    }

    /// How much virtual time has passed.
    pub fn now(&self) -> Duration {
        self.seen().map_or(Duration::ZERO, Cluster::now)
    }
}

/// A time that passes some day. Panics: none of a test does.
#[track_caller]
pub(super) fn passes(time: Duration) -> Duration {
    assert!(
        time <= LONGEST,
        "{time:?} of virtual time is more than the ten years that may pass at once: to wait for something, use until() or \
         settles_within(); for what goes on until you end it, stop_...() or partition()"
    );
    time
}
