//! A cluster that a test breaks.
//!
//! This file builds it; then come `time`, `harm`, `outside` and `sight`.

mod harm;
mod outside;
mod sight;
mod time;

use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use lonja_model::attributes::Attributes;
use lonja_model::{Resources, TaskInfo};
use lonja_sdk_core::{Scheduler, State};
use lonja_sim::cluster::{Cluster, Failure, Member, Outside, Promises, Rule, TaskOutcome};
use lonja_sim::lab::Machine;

pub use outside::Events;

use super::fuzz::Watch;
use crate::FrameworkOptions;

/// A framework of a test outlives any silence: how long tasks outlive a lost connection is not what is tested.
const FAILOVER: Duration = Duration::from_secs(365 * 24 * 3600);

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
    outside: Outside<S>,
    /// Who listens to it, once anybody does.
    readers: Option<Box<dyn Any>>,
    impossible_plans: Rc<Cell<bool>>,
    survives_panics: bool,
    settled: Option<Settled<S>>,
}

/// Has a scheduler all it wants?
type Settled<S> = Box<dyn Fn(&S) -> bool>;

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
            outside: Outside::default(),
            readers: None,
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
        let (promises, outside) = (Promises::default(), Outside::default());
        let mut cluster = TestCluster {
            seed,
            stage,
            rule,
            promises: promises.clone(),
            outside: outside.clone(),
            readers: None,
            impossible_plans,
            survives_panics,
            settled: None,
        };
        cluster.join(options, make, promises, outside);
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
        self.join(options, make, Promises::default(), Outside::default());
        self
    }

    fn join<T: Scheduler + 'static>(
        &mut self,
        options: FrameworkOptions,
        make: impl FnMut(&State) -> T + 'static,
        promises: Promises<T>,
        outside: Outside<T>,
    ) {
        let mut info = options.info;
        info.failover_timeout = info.failover_timeout.max(FAILOVER);
        let member =
            Member::new(info, options.constraints, make, promises, outside, self.impossible_plans.clone());
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
