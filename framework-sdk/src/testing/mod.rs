//! Your scheduler on a cluster in virtual time: the feature `testing`, for tests and for trying policies out.
//!
//! Master, agents, allocator and the library's side of the protocol are the production ones, all in this process: no
//! network, no containers, no waiting. The same seed gives the same run. What is modelled and what is not:
//! `docs/simulator.md`.
//!
//! # A cluster that fails: [`TestCluster`]
//!
//! A few agents, your scheduler, and whatever goes wrong: as the test says, or drawn from a seed. Promises of the whole
//! cluster are checked after every step, and so are your scheduler's own.
//!
//! ```
//! use lonja_sdk::prelude::*;
//! use lonja_sdk::testing::{Faults, TaskOutcome, TestCluster, fuzz, hours, mins, secs};
//!
//! /// Runs one task to its end, under a new id whenever it failed or was lost.
//! struct Once {
//!     attempts: usize,
//!     current: Option<TaskId>,
//!     done: bool,
//!     changes: Vec<Change>,
//! }
//!
//! impl Once {
//!     fn restore(state: &State) -> Self {
//!         let text = |key| state.get(key).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
//!         let attempts = text("attempts").map_or(0, |text| text.parse().expect("it was written so"));
//!         // The library keeps by itself which tasks were launched and have not ended.
//!         let current = state.tasks().next().map(|(task, _agent)| task.clone());
//!         Self { attempts, current, done: text("done").is_some(), changes: Vec::new() }
//!     }
//! }
//!
//! impl Scheduler for Once {
//!     fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
//!         let task = Task::shell("make all").expect("a command");
//!         let id = TaskId::new(format!("once-{}", self.attempts)).expect("a plain name");
//!         let found = offers.iter().find_map(|offer| Some((offer, task.on(offer, id.clone())?)));
//!         let Some((offer, task)) = found.filter(|_| self.wants_offers()) else { return Plan::new() };
//!         self.attempts += 1;
//!         self.current = Some(id);
//!         self.changes.push(Change::put("attempts", self.attempts.to_string()));
//!         Plan::new().launch(offer, [task])
//!     }
//!
//!     fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
//!         if self.current.as_ref() == Some(&status.task) && status.state.is_terminal() {
//!             self.current = None;
//!             self.done = status.state == TaskState::Finished;
//!             self.changes.extend(self.done.then(|| Change::put("done", "yes")));
//!         }
//!         Plan::new()
//!     }
//!
//!     fn wants_offers(&self) -> bool {
//!         self.current.is_none() && !self.done
//!     }
//!
//!     fn changes(&mut self) -> Vec<Change> {
//!         std::mem::take(&mut self.changes)
//!     }
//! }
//!
//! fn cluster(seed: u64) -> TestCluster<Once> {
//!     TestCluster::new(seed)
//!         .agents(3, "cpus:4;mem:8192")
//!         .outcome(|_task| TaskOutcome::exits(0).after(secs(20)))
//!         .framework(FrameworkOptions::named("once"), Once::restore)
//!         .settled_when(|once| once.done)
//! }
//!
//! // What a test says.
//! let mut one = cluster(1);
//! one.run_for(secs(5));
//! one.assert_running(1);
//! one.kill_master();
//! one.kill_scheduler();
//! one.settles_within(mins(1));
//! one.assert_finished("once-0");
//!
//! // Whatever may happen: a hundred seeds, three minutes of faults each. One that fails is told of with what it takes to
//! // fail, and how to run it again.
//! fuzz(0..100, |seed| {
//!     let mut cluster = cluster(seed);
//!     cluster.random_faults(Faults::ALL, mins(3));
//!     cluster.settles_within(hours(2));
//! });
//! ```
//!
//! What a scheduler must do to pass is what it must do in production: give each launch an id of its own, and say by
//! [`Scheduler::changes`](crate::Scheduler::changes) whatever it must not forget, in the same event in which it learns of it
//! or acts on it.
//!
//! # A fleet: [`simulate`]
//!
//! An hour of a thousand machines takes seconds. A scheduler learns of its work from outside (a queue, an API, a file).
//! Here the outside is a [`Workload`], and what carries it in is one method more: [`Client::arrive`]. A scheduler that knows by itself what it wants runs as it is, by
//! [`simulate_scheduler`].
//!
//! ```
//! use std::time::Duration;
//!
//! use lonja_sdk::placement::{Ask, fit};
//! use lonja_sdk::prelude::*;
//! use lonja_sdk::testing::{Client, Fleet, simulate};
//!
//! /// Puts each task where it fits first.
//! #[derive(Default)]
//! struct FirstCome {
//!     waiting: Vec<(TaskId, Need)>,
//! }
//!
//! impl Scheduler for FirstCome {
//!     fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
//!         let command = Task::shell("sleep 60").expect("a command");
//!         let mut plan = Plan::new();
//!         for offer in offers {
//!             let mut left = offer.resources.clone();
//!             let mut tasks = Vec::new();
//!             self.waiting.retain(|(id, need)| {
//!                 let Some(taken) = fit(&left, need) else { return true };
//!                 left = left.checked_sub(&taken).expect("it fits");
//!                 tasks.push(command.with_resources(&offer.agent, id.clone(), taken));
//!                 false
//!             });
//!             if !tasks.is_empty() {
//!                 plan = plan.launch(offer, tasks);
//!             }
//!         }
//!         plan
//!     }
//!
//!     fn update(&mut self, _now: Timestamp, _status: &TaskStatus) -> Plan {
//!         Plan::new()
//!     }
//!
//!     fn wants_offers(&self) -> bool {
//!         !self.waiting.is_empty()
//!     }
//! }
//!
//! impl Client for FirstCome {
//!     fn arrive(&mut self, _now: Timestamp, id: TaskId, ask: &Ask) {
//!         self.waiting.push((id, ask.need));
//!     }
//! }
//!
//! // Ten machines, and every second a task that runs for a minute.
//! let task = Task::shell("sleep 60")?.cpus(2.0)?.mem_mib(512.0)?;
//! let mut fleet = Fleet::of(10, "cpus:8;mem:16384")?.lasts(Duration::from_secs(600));
//! for second in 0..500 {
//!     fleet = fleet.task(Duration::from_secs(second), *task.need(), Some(Duration::from_secs(60)));
//! }
//!
//! let result = simulate(&fleet.into(), 1, |_tenant| FirstCome::default())?;
//!
//! assert_eq!((result.arrived, result.stopped), (500, None));
//! // Ten machines hold forty such tasks, so only two in three find room.
//! assert!((380..=420).contains(&result.placed), "{} placed", result.placed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Real daemons: [`LocalCluster`]
//!
//! The `lonja` binary as a master and agents on loopback, for the few tests that should see real processes. And for rules
//! that need no cluster at all: offers and news made up, by [`offer`] and [`status`].

mod cluster;
mod fuzz;
mod local;
mod made_up;
mod simulate;
mod times;

pub use cluster::{Events, Nobody, TestCluster};
pub use fuzz::{Fuzzed, fuzz};
pub use local::{Builder as LocalClusterBuilder, LocalCluster, LocalClusterError};
pub use made_up::{offer, status};
pub use simulate::{
    Arrival, Client, Fleet, Machine, Options, RunError, RunResult, Sample, Tenant, Workload, simulate,
    simulate_scheduler,
};
pub use times::{hours, millis, mins, secs};

pub use lonja_sim::Profile as Faults;
pub use lonja_sim::cluster::{Failure, TaskOutcome, TaskView, Told};
pub use lonja_sim::lab::trace;
