//! What goes wrong, at this moment or drawn from the seed.

use std::time::Duration;

use lonja_sim::cluster::Place;

use super::TestCluster;
use super::time::passes;
use crate::testing::{Faults, secs};

/// A process that is killed is back after so long.
const BACK_AFTER: Duration = secs(1);

impl<S: 'static> TestCluster<S> {
    /// Kills the master; it is back a second later.
    #[track_caller]
    pub fn kill_master(&mut self) {
        self.kill(Place::Master);
    }

    /// Kills the scheduler's process; it is back a second later, with what it has kept.
    #[track_caller]
    pub fn kill_scheduler(&mut self) {
        self.kill(Place::Scheduler(0));
    }

    /// Kills an agent, by its number from 0; it is back a second later. Its tasks run on.
    #[track_caller]
    pub fn kill_agent(&mut self, agent: usize) {
        self.kill(Place::Agent(agent));
    }

    /// Kills the master and keeps it down until [`Self::start_master`].
    #[track_caller]
    pub fn stop_master(&mut self) {
        self.stop(Place::Master);
    }

    /// Starts the master, if it is down.
    pub fn start_master(&mut self) {
        self.running().start(Place::Master);
    }

    /// Kills the scheduler's process and keeps it down until [`Self::start_scheduler`].
    #[track_caller]
    pub fn stop_scheduler(&mut self) {
        self.stop(Place::Scheduler(0));
    }

    /// Starts the scheduler, if it is down.
    #[track_caller]
    pub fn start_scheduler(&mut self) {
        let place = self.place(Place::Scheduler(0));
        self.running().start(place);
    }

    /// Kills an agent and keeps it down until [`Self::start_agent`]. Its tasks run on; the master calls them unreachable
    /// after a while.
    #[track_caller]
    pub fn stop_agent(&mut self, agent: usize) {
        self.stop(Place::Agent(agent));
    }

    /// Starts an agent, if it is down.
    #[track_caller]
    pub fn start_agent(&mut self, agent: usize) {
        let place = self.place(Place::Agent(agent));
        self.running().start(place);
    }

    /// An agent's machine loses power and is back after `down`. Its tasks are gone.
    #[track_caller]
    pub fn lose_power(&mut self, agent: usize, down: Duration) {
        let place = self.place(Place::Agent(agent));
        let result = self.running().lose_power(place, passes(down));
        self.demand(result);
    }

    /// The scheduler's process stands still for so long, as one that is stopped or swapped out, and goes on.
    #[track_caller]
    pub fn pause_scheduler(&mut self, lasts: Duration) {
        let place = self.place(Place::Scheduler(0));
        let result = self.running().pause(place, passes(lasts));
        self.demand(result);
    }

    /// Nothing passes between an agent and the master until [`Self::heal`].
    #[track_caller]
    pub fn partition(&mut self, agent: usize) {
        let place = self.place(Place::Agent(agent));
        self.running().cut_off(place);
    }

    /// Ends a partition of an agent.
    #[track_caller]
    pub fn heal(&mut self, agent: usize) {
        let place = self.place(Place::Agent(agent));
        self.running().join(place);
    }

    /// Nothing passes between the scheduler and the master until [`Self::heal_scheduler`].
    #[track_caller]
    pub fn partition_scheduler(&mut self) {
        let place = self.place(Place::Scheduler(0));
        self.running().cut_off(place);
    }

    /// Ends a partition of the scheduler.
    #[track_caller]
    pub fn heal_scheduler(&mut self) {
        let place = self.place(Place::Scheduler(0));
        self.running().join(place);
    }

    /// From now on this part of all messages is lost, from 0 to 1, each with its connection: over TCP there is no other way
    /// to lose one. 0 ends it.
    #[track_caller]
    pub fn lose_messages(&mut self, part: f64) {
        assert!((0.0..=1.0).contains(&part), "{part} is no part: write 0.01 for one message in a hundred");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and a million"
        )]
        self.running().lose_messages((part * 1e6) as u64);
    }

    /// Draws faults from the seed for so long from now on: kills at any moment and at named steps, a network that delays,
    /// parts, breaks and repeats, disks that fail, fill up and stall, power loss, clocks that stray, processes that stand still,
    /// operators that drain and declare gone. Called before time first passes, clocks also run at rates of their own and
    /// messages come twice.
    ///
    /// A cluster may take long to recover from what is drawn: agents are waited for before they are given up, partitions may be
    /// longer than any patience. Give [`Self::settles_within`] an hour: it costs little.
    ///
    /// Panics: the cluster has no agent or no scheduler, and faults would meet nobody.
    #[track_caller]
    pub fn random_faults(&mut self, faults: Faults, lasts: Duration) {
        self.place(Place::Agent(0));
        self.place(Place::Scheduler(0));
        self.running().draw_faults(faults, passes(lasts));
    }

    #[track_caller]
    fn kill(&mut self, place: Place) {
        let place = self.place(place);
        let result = self.running().kill(place, BACK_AFTER);
        self.demand(result);
    }

    #[track_caller]
    fn stop(&mut self, place: Place) {
        let place = self.place(place);
        let result = self.running().stop(place);
        self.demand(result);
    }

    #[track_caller]
    pub(super) fn place(&mut self, place: Place) -> Place {
        let cluster = self.running();
        let (agents, has) = (cluster.agents(), cluster.has(place));
        match place {
            Place::Scheduler(_) => assert!(has, "this cluster has no scheduler: give it one by framework()"),
            Place::Agent(_) | Place::Master => {
                assert!(
                    has,
                    "there is no {place:?} in this cluster of {agents} agents; numbers begin with 0"
                );
            }
        }
        place
    }
}
