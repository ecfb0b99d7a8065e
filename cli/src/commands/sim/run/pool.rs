//! All runs, some at once.
//!
//! Seed by seed, so that a workload that is made for a seed serves all policies and is then let go: never more of them
//! are in memory than runs go on. What a run takes does not change what comes of it, so neither does their number.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::anyhow;
use lonja_sim::lab::report::Figures;
use lonja_sim::lab::{RunResult, Workload};

use super::plan::Plan;

/// Makes workloads and runs them; the same arguments always give the same.
pub(super) trait Bench: Sync {
    /// The workload of a seed.
    fn workload(&self, seed: u64) -> anyhow::Result<Arc<Workload>>;
    /// One run.
    fn run(&self, workload: &Workload, policy: &str, seed: u64) -> anyhow::Result<RunResult>;
}

/// One run that has ended.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) figures: Figures,
    /// What it took here, seconds.
    pub(super) wall_s: f64,
}

impl Done {
    /// Which run took how long.
    pub(super) fn took(&self) -> (String, u64, f64) {
        (self.figures.policy.clone(), self.figures.seed, self.wall_s)
    }
}

/// The workload of one seed, while runs need it.
#[derive(Debug)]
struct Slot {
    workload: Option<Arc<Workload>>,
    /// How many runs have yet to end with it.
    needed: usize,
}

/// Runs everything; `progress` hears of each run that ends. Returns the runs by policy, then seed, as the plan has
/// them. The first error ends the rest.
pub(super) fn run_all(
    plan: &Plan,
    bench: &impl Bench,
    progress: &(impl Fn(&Done) + Sync),
) -> anyhow::Result<Vec<Done>> {
    let slot = |_: &u64| Mutex::new(Slot { workload: None, needed: plan.policies.len() });
    let slots: Vec<Mutex<Slot>> = plan.seeds.iter().map(slot).collect();
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let worker = || -> anyhow::Result<Vec<(usize, Done)>> {
        let mut all = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= plan.runs() {
                break;
            }
            let (seed, policy) = (number / plan.policies.len(), number % plan.policies.len());
            let one = || run_one(&slots[seed], bench, plan.policies[policy], plan.seeds[seed]);
            // Policies that panic are caught further down; this is for the simulator, so that the others hear of it.
            let done = catch_unwind(AssertUnwindSafe(one))
                .unwrap_or_else(|panic| Err(anyhow!("the simulator itself broke down: {}", words(&*panic))));
            let done = done.inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            progress(&done);
            all.push((policy * plan.seeds.len() + seed, done));
        }
        Ok(all)
    };
    // A policy that panics is stopped and named in the report; its words need not stand here as well.
    std::panic::set_hook(Box::new(|_| {}));
    let results: Vec<anyhow::Result<Vec<(usize, Done)>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.jobs).map(|_| scope.spawn(worker)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker
                .join()
                .unwrap_or_else(|panic| Err(anyhow!("the progress bar broke down: {}", words(&*panic))))
        };
        workers.into_iter().map(join).collect()
    });
    let _quiet_hook = std::panic::take_hook();
    let mut all = Vec::with_capacity(plan.runs());
    for result in results {
        all.extend(result?);
    }
    all.sort_by_key(|(place, _)| *place);
    Ok(all.into_iter().map(|(_, done)| done).collect())
}

fn run_one(slot: &Mutex<Slot>, bench: &impl Bench, policy: &str, seed: u64) -> anyhow::Result<Done> {
    // Whoever panicked with the slot in hand left it as it was: what is in it is still good.
    let lock = || slot.lock().unwrap_or_else(PoisonError::into_inner);
    let workload = {
        let mut slot = lock();
        match &slot.workload {
            Some(workload) => workload.clone(),
            None => slot.workload.insert(bench.workload(seed)?).clone(),
        }
    };
    let began = Instant::now();
    let result = bench.run(&workload, policy, seed)?;
    let wall_s = began.elapsed().as_secs_f64();
    let figures = Figures::of(result, &workload);
    let mut slot = lock();
    slot.needed -= 1;
    if slot.needed == 0 {
        slot.workload = None;
    }
    Ok(Done { figures, wall_s })
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Counts what is made, and what is alive.
    #[derive(Default)]
    struct Counting {
        alive: Mutex<BTreeMap<u64, Arc<Workload>>>,
        most_alive: AtomicUsize,
        fails_at: Option<u64>,
    }

    impl Bench for Counting {
        fn workload(&self, seed: u64) -> anyhow::Result<Arc<Workload>> {
            let workload = Arc::new(Workload { source: seed.to_string(), ..Workload::default() });
            let mut alive = self.alive.lock().unwrap();
            assert!(alive.insert(seed, workload.clone()).is_none(), "made once for each seed");
            let count = alive.values().filter(|workload| Arc::strong_count(workload) > 1).count();
            self.most_alive.fetch_max(count, Ordering::Relaxed);
            Ok(workload)
        }

        fn run(&self, workload: &Workload, policy: &str, seed: u64) -> anyhow::Result<RunResult> {
            assert_eq!(workload.source, seed.to_string());
            anyhow::ensure!(self.fails_at != Some(seed), "seed {seed} is unlucky");
            assert_ne!(policy, "panics", "as it says");
            Ok(RunResult { policy: policy.into(), seed, ..RunResult::default() })
        }
    }

    fn plan(policies: &[&'static str], seeds: u64, jobs: usize) -> Plan {
        Plan { policies: policies.into(), seeds: (1..=seeds).collect(), agents: None, jobs }
    }

    #[test]
    fn runs_come_by_policy_then_seed_however_many_go_on_at_once() {
        for jobs in [1, 2, 7] {
            let bench = Counting::default();
            let heard = AtomicUsize::new(0);
            let progress = |_: &Done| {
                heard.fetch_add(1, Ordering::Relaxed);
            };

            let done = run_all(&plan(&["b", "a"], 20, jobs), &bench, &progress).unwrap();

            let order: Vec<(String, u64)> =
                done.iter().map(|done| (done.figures.policy.clone(), done.figures.seed)).collect();
            let expected: Vec<(String, u64)> = ["b", "a"]
                .iter()
                .flat_map(|policy| (1..=20).map(|seed| ((*policy).to_owned(), seed)))
                .collect();
            assert_eq!((order, heard.into_inner()), (expected, 40));
            assert!(bench.most_alive.into_inner() <= jobs + 1, "workloads are let go");
        }
    }

    #[test]
    fn the_first_error_ends_the_rest() {
        let bench = Counting { fails_at: Some(3), ..Counting::default() };
        let error = run_all(&plan(&["a"], 100_000, 2), &bench, &|_| {}).unwrap_err();
        assert_eq!(error.to_string(), "seed 3 is unlucky");
        assert!(bench.alive.into_inner().unwrap().len() < 100_000);
    }

    #[test]
    fn a_panic_outside_of_policies_is_an_error_with_its_words() {
        let error = run_all(&plan(&["panics"], 1, 1), &Counting::default(), &|_| {}).unwrap_err();
        assert!(error.to_string().starts_with("the simulator itself broke down: "), "{error}");
        assert!(error.to_string().contains("as it says"), "{error}");
    }
}
