//! A cluster that a test breaks.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use lonja_model::attributes::Attributes;
use lonja_model::{Resources, TaskId, TaskInfo, TaskState};
use lonja_sdk_core::{Scheduler, State};
use lonja_sim::cluster::{Cluster, Failure, Member, Place, Promises, Rule, TaskOutcome, TaskView, Told};
use lonja_sim::lab::Machine;

use super::fuzz::Watch;
use super::{Faults, secs};
use crate::FrameworkOptions;

/// A framework of a test outlives any silence: how long tasks outlive a lost connection is not what is tested.
const FAILOVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A process that is killed is back after so long, unless it is told otherwise.
const BACK_AFTER: Duration = secs(1);

/// How often [`TestCluster::until`] looks.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// The scheduler of a cluster that has none yet.
#[derive(Clone, Copy, Debug)]
pub enum Nobody {}

/// A small cluster in virtual time with your scheduler in it, and what goes wrong with it.
///
/// It is built step by step ([`Self::agents`], [`Self::outcome`], [`Self::framework`]) and begins when time first passes. Its
/// methods are of three kinds. Some let time pass: [`Self::run_for`], [`Self::until`], [`Self::settles_within`]. Some do
/// something to it at this moment: [`Self::kill_master`], [`Self::partition`]. The others look.
///
/// Whenever time passes, all promises of the cluster are checked (those of `docs/invariants.md`), those of the library, and
/// those that you add by [`Self::invariant`]. The test fails when one is broken, when the scheduler panics, plans over its
/// offers, or launches an id twice; the text says which, at what virtual time, with the last events. The seed decides all
/// chance: delays, the order of things, faults.
///
/// Nothing goes wrong that was not asked for: without faults every launch works, within 20 ms. Messages take 50 µs to 500 ms,
/// commits up to 3 ms.
///
/// The framework's failover timeout is taken to be a year, whatever its options say: no test is about it.
pub struct TestCluster<S = Nobody> {
    seed: u64,
    stage: Stage,
    rule: Option<Rule>,
    promises: Promises<S>,
    impossible_plans: Rc<Cell<bool>>,
    survives_panics: bool,
    settled: Option<Box<dyn Fn(&S) -> bool>>,
}

/// How far it has come.
enum Stage {
    Building { machines: Vec<Machine>, members: Vec<Member> },
    Running(Box<Ward>),
}

/// A cluster under watch.
struct Ward {
    cluster: Cluster,
    watch: Watch,
}

impl Drop for Ward {
    fn drop(&mut self) {
        self.watch.ends(&self.cluster);
    }
}

impl TestCluster<Nobody> {
    /// A cluster without agents and schedulers, whose chance is decided by `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            stage: Stage::Building { machines: Vec::new(), members: Vec::new() },
            rule: None,
            promises: Promises::default(),
            impossible_plans: Rc::default(),
            survives_panics: false,
            settled: None,
        }
    }

    /// The scheduler that is tested, made by `make` of what it has kept: at its first start, and anew after each kill.
    /// What it keeps is what [`Scheduler::changes`] has said, on a disk that survives.
    #[must_use]
    pub fn framework<S: Scheduler + 'static>(
        self,
        options: FrameworkOptions,
        make: impl FnMut(&State) -> S + 'static,
    ) -> TestCluster<S> {
        let Self { seed, stage, rule, survives_panics, impossible_plans, .. } = self;
        let promises = Promises::default();
        let mut cluster = TestCluster {
            seed,
            stage,
            rule,
            promises: promises.clone(),
            impossible_plans,
            survives_panics,
            settled: None,
        };
        cluster.join(options, make, promises);
        cluster
    }
}

impl<S: 'static> TestCluster<S> {
    /// So many more agents with these resources each, such as `cpus:4;mem:8192;ports:[31000-31009]`. Panics: that is no
    /// amount of resources, or the cluster runs already.
    #[must_use]
    pub fn agents(self, count: usize, each: &str) -> Self {
        self.agents_with(count, each, "")
    }

    /// The same with attributes, such as `rack:a;zone:west`.
    #[must_use]
    pub fn agents_with(mut self, count: usize, each: &str, attributes: &str) -> Self {
        let total: Resources = each.parse().unwrap_or_else(|why| panic!("agents of {each:?}: {why}"));
        let attributes =
            Attributes::parse(attributes).unwrap_or_else(|why| panic!("agents with {attributes:?}: {why}"));
        let (machines, _) = self.building("agents");
        for _ in 0..count {
            let name = format!("host-{}", machines.len());
            machines.push(Machine { name, total: total.clone(), attributes: attributes.clone() });
        }
        self
    }

    /// One more framework beside the one that is tested, of any scheduler; [`Self::scheduler_of`] finds it as number 1, the
    /// next as 2.
    #[must_use]
    pub fn beside<T: Scheduler + 'static>(
        mut self,
        options: FrameworkOptions,
        make: impl FnMut(&State) -> T + 'static,
    ) -> Self {
        self.join(options, make, Promises::default());
        self
    }

    fn join<T: Scheduler + 'static>(
        &mut self,
        options: FrameworkOptions,
        make: impl FnMut(&State) -> T + 'static,
        promises: Promises<T>,
    ) {
        let mut info = options.info;
        info.failover_timeout = info.failover_timeout.max(FAILOVER);
        let member = Member::new(info, options.constraints, make, promises, self.impossible_plans.clone());
        self.building("frameworks").1.push(member);
    }

    /// What each task's program does, asked once for each launch. Without this every program runs on until it is killed.
    #[must_use]
    pub fn outcome(mut self, rule: impl FnMut(&TaskInfo) -> TaskOutcome + 'static) -> Self {
        self.set_outcome(rule);
        self
    }

    /// The same from now on, in a cluster that runs.
    pub fn set_outcome(&mut self, rule: impl FnMut(&TaskInfo) -> TaskOutcome + 'static) {
        match &mut self.stage {
            Stage::Building { .. } => self.rule = Some(Box::new(rule)),
            Stage::Running(ward) => ward.cluster.set_rule(Box::new(rule)),
        }
    }

    /// What the scheduler must never break, looked at after everything that happens to it. An error, or a panic, fails the
    /// test.
    #[must_use]
    pub fn invariant(self, promise: impl Fn(&S) -> Result<(), String> + 'static) -> Self {
        self.promises.add(promise);
        self
    }

    /// When the scheduler has all it wants, for [`Self::settles_within`]. Without this it has whenever nothing is under way.
    #[must_use]
    pub fn settled_when(mut self, settled: impl Fn(&S) -> bool + 'static) -> Self {
        self.settled = Some(Box::new(settled));
        self
    }

    /// A scheduler that panics is started again a second later from what it kept, as the driver does; without this the
    /// test fails.
    #[must_use]
    pub fn survives_panics(mut self) -> Self {
        self.survives_panics = true;
        self
    }

    /// Impossible plans (over their offers, with ids in use) are dropped and the scheduler is told, as in production; without
    /// this the test fails.
    #[must_use]
    pub fn survives_impossible_plans(self) -> Self {
        self.impossible_plans.set(true);
        self
    }

    fn building(&mut self, what: &str) -> (&mut Vec<Machine>, &mut Vec<Member>) {
        match &mut self.stage {
            Stage::Building { machines, members } => (machines, members),
            Stage::Running(_) => panic!("the cluster runs already: add {what} before time passes"),
        }
    }

    /// The cluster, which begins now if it has not.
    fn running(&mut self) -> &mut Cluster {
        if let Stage::Building { machines, members } = &mut self.stage {
            let (machines, members) = (std::mem::take(machines), std::mem::take(members));
            let watch = Watch::new(self.seed);
            let mut cluster = Cluster::new(self.seed, machines, members, watch.wants_words());
            let rule = self.rule.take();
            cluster.set_rule(rule.unwrap_or_else(|| Box::new(|_| TaskOutcome::runs_on())));
            cluster.set_survives_panics(self.survives_panics);
            cluster.set_keep(watch.keep());
            self.stage = Stage::Running(Box::new(Ward { cluster, watch }));
        }
        match &mut self.stage {
            Stage::Running(ward) => &mut ward.cluster,
            Stage::Building { .. } => unreachable!("it has just begun"),
        }
    }

    fn seen(&self) -> Option<&Cluster> {
        match &self.stage {
            Stage::Running(ward) => Some(&ward.cluster),
            Stage::Building { .. } => None,
        }
    }

    /// Fails the test, with what is known.
    #[track_caller]
    fn fail(&self, failure: &Failure) -> ! {
        match &self.stage {
            Stage::Running(ward) => panic!("{}", ward.watch.tell(failure, ward.cluster.trace_hash())),
            Stage::Building { .. } => panic!("{failure}"),
        }
    }

    #[track_caller]
    fn demand<T>(&mut self, result: Result<T, Failure>) -> T {
        match result {
            Ok(done) => done,
            Err(failure) => self.fail(&failure),
        }
    }

    #[track_caller]
    fn fail_with(&mut self, what: String) -> ! {
        let failure = self.running().fail(what);
        self.fail(&failure)
    }
}

/// Time.
impl<S: 'static> TestCluster<S> {
    /// Lets so much virtual time pass. Panics: a promise is broken.
    #[track_caller]
    pub fn run_for(&mut self, time: Duration) {
        let result = self.try_run_for(time);
        self.demand(result);
    }

    /// Lets so much virtual time pass. Errors: a promise is broken; for tests of what a wrong scheduler comes to.
    pub fn try_run_for(&mut self, time: Duration) -> Result<(), Failure> {
        self.running().run_for(time)
    }

    /// Lets time pass until `condition` holds; it is looked at every tenth of a virtual second. Panics: it does not hold
    /// within that time, or a promise is broken.
    #[track_caller]
    pub fn until(&mut self, within: Duration, mut condition: impl FnMut(&Self) -> bool) {
        let end = self.running().now() + within;
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
    /// knows, and the scheduler has all it wants ([`Self::settled_when`]). The time counts from the end of the faults that were
    /// drawn, if that is later. Panics: it has not settled by then, or a promise is broken.
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
        let end = cluster.now() + within;
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

/// What goes wrong, at this moment.
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
    pub fn start_scheduler(&mut self) {
        self.running().start(Place::Scheduler(0));
    }

    /// Kills an agent and keeps it down until [`Self::start_agent`]. Its tasks run on; the master calls them unreachable
    /// after a while.
    #[track_caller]
    pub fn stop_agent(&mut self, agent: usize) {
        self.stop(Place::Agent(agent));
    }

    /// Starts an agent, if it is down.
    pub fn start_agent(&mut self, agent: usize) {
        let place = self.place(Place::Agent(agent));
        self.running().start(place);
    }

    /// An agent's machine loses power and is back after `down`. Its tasks are gone.
    #[track_caller]
    pub fn lose_power(&mut self, agent: usize, down: Duration) {
        let place = self.place(Place::Agent(agent));
        let result = self.running().lose_power(place, down);
        self.demand(result);
    }

    /// The scheduler's process stands still for so long, as one that is stopped or swapped out, and goes on.
    #[track_caller]
    pub fn pause_scheduler(&mut self, lasts: Duration) {
        let result = self.running().pause(Place::Scheduler(0), lasts);
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
    pub fn partition_scheduler(&mut self) {
        self.running().cut_off(Place::Scheduler(0));
    }

    /// Ends a partition of the scheduler.
    pub fn heal_scheduler(&mut self) {
        self.running().join(Place::Scheduler(0));
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
    pub fn random_faults(&mut self, faults: Faults, lasts: Duration) {
        self.running().draw_faults(faults, lasts);
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
    fn place(&mut self, place: Place) -> Place {
        let cluster = self.running();
        let (agents, has) = (cluster.agents(), cluster.has(place));
        assert!(has, "there is no {place:?} in this cluster of {agents} agents; numbers begin with 0");
        place
    }
}

/// What there is to see.
impl<S: 'static> TestCluster<S> {
    /// The scheduler as it is now. Panics: its process is down; see [`Self::try_scheduler`].
    #[track_caller]
    pub fn scheduler(&self) -> &S {
        self.try_scheduler().expect("the scheduler is down, or time has not begun: see try_scheduler()")
    }

    /// The scheduler as it is now; `None`: its process is down.
    pub fn try_scheduler(&self) -> Option<&S> {
        self.scheduler_of(0)
    }

    /// The scheduler of that framework, from 0: the one that is tested, then those [`Self::beside`] it. `None`: its process is
    /// down, there is none, or it is not of that type.
    pub fn scheduler_of<T: 'static>(&self, framework: usize) -> Option<&T> {
        self.seen()?.scheduler(framework)?.downcast_ref()
    }

    /// All tasks that were launched, by all frameworks, with what became of them.
    pub fn tasks(&self) -> Vec<TaskView> {
        self.seen().map(Cluster::tasks).unwrap_or_default()
    }

    /// The tasks of the tested scheduler whose programs run at this moment, whatever anybody was told.
    pub fn running_tasks(&self) -> Vec<TaskId> {
        self.seen().map(|cluster| cluster.running(0)).unwrap_or_default()
    }

    /// What the tested scheduler was told of a task last; `None`: nothing.
    pub fn state(&self, task: &str) -> Option<TaskState> {
        self.history(task).last().map(|told| told.status.state)
    }

    /// All that the tested scheduler's framework was told of a task, in order, repeats included.
    pub fn history(&self, task: &str) -> Vec<Told> {
        let Ok(task) = TaskId::new(task) else { return Vec::new() };
        self.seen().map(|cluster| cluster.history(0, &task)).unwrap_or_default()
    }

    /// The last events of the cluster in words, the oldest first.
    pub fn events(&self) -> Vec<String> {
        self.seen().map(Cluster::last_events).unwrap_or_default()
    }

    /// A number over all that has happened: two runs with the same number are the same.
    pub fn trace_hash(&self) -> u64 {
        self.seen().map_or(0, Cluster::trace_hash)
    }

    /// Panics unless the programs of exactly so many tasks of the tested scheduler run at this moment.
    #[track_caller]
    pub fn assert_running(&mut self, count: usize) {
        let running = self.running_tasks();
        if running.len() != count {
            self.fail_with(format!("{count} tasks should run, these do: {running:?}"));
        }
    }

    /// Panics unless the scheduler was told that this task has finished.
    #[track_caller]
    pub fn assert_finished(&mut self, task: &str) {
        self.assert_state(task, TaskState::Finished);
    }

    /// Panics unless this is what the scheduler was told last of a task.
    #[track_caller]
    pub fn assert_state(&mut self, task: &str, state: TaskState) {
        let told = self.state(task);
        if told != Some(state) {
            let told = told.map_or("nothing is known of it".to_owned(), |told| format!("it is {told}"));
            self.fail_with(format!("task {task} should be {state}, and {told}"));
        }
    }
}
