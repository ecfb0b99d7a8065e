//! Many seeds, on all cores; of one that fails, its story.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lonja_sim::Fault;
use lonja_sim::cluster::{Cluster, Failure};

/// The environment variable that names one seed to be run, with its story.
const SEED: &str = "LONJA_TEST_SEED";
/// The one that names how many seeds are tried.
const SEEDS: &str = "LONJA_TEST_SEEDS";
/// The one that names the faults that are kept of those that are drawn.
const KEEP: &str = "LONJA_TEST_KEEP";

/// A run that fails is tried with fewer faults for no longer than this, and no more often.
const SHRINKS: (Duration, u32) = (Duration::from_secs(20), 300);

thread_local! {
    static THREAD: Thread = const { Thread {
        mode: Cell::new(Mode::Test),
        keep: RefCell::new(None),
        trace: Cell::new(0),
        tally: Cell::new(Tally { events: 0, faults: 0, virtual_time: Duration::ZERO }),
        faults: RefCell::new(Vec::new()),
    } };
}

/// What clusters on one thread have to know of [`fuzz`], and it of them.
struct Thread {
    mode: Cell<Mode>,
    /// Of the faults that are drawn only these; none: all.
    keep: RefCell<Option<BTreeSet<usize>>>,
    /// Over all clusters since it was last taken.
    trace: Cell<u64>,
    tally: Cell<Tally>,
    /// Those that were drawn and came, of the last cluster.
    faults: RefCell<Vec<Fault>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// A test by itself: it tells its story when it fails.
    Test,
    /// One try of many: nobody is told anything.
    Try,
    /// A failed try once more, with its story.
    Story,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    events: u64,
    faults: u64,
    virtual_time: Duration,
}

/// What a [`TestCluster`](super::TestCluster) tells of itself when it fails or ends.
pub(super) struct Watch {
    seed: u64,
    told: Cell<bool>,
}

impl Watch {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, told: Cell::new(false) }
    }

    /// Does anybody read what happens?
    pub(super) fn wants_words(&self) -> bool {
        THREAD.with(|thread| thread.mode.get() != Mode::Try)
    }

    /// Which of the faults are to come.
    pub(super) fn keep(&self) -> Option<BTreeSet<usize>> {
        let from_outside = || parse_keep(&std::env::var(KEEP).ok()?);
        THREAD.with(|thread| thread.keep.borrow().clone()).or_else(from_outside)
    }

    /// A failure in words, told once.
    pub(super) fn tell(&self, failure: &Failure, trace: u64) -> String {
        self.told.set(true);
        if !self.wants_words() {
            return failure.what.clone();
        }
        let events = story(&failure.events);
        format!(
            "{}\n  at {:.3} s of virtual time, in the TestCluster of seed {}, trace {trace:016x}{events}",
            failure.what,
            failure.at.as_secs_f64(),
            self.seed
        )
    }

    /// The cluster is no more.
    pub(super) fn ends(&self, cluster: &Cluster) {
        THREAD.with(|thread| {
            thread.trace.set(thread.trace.get().rotate_left(9) ^ cluster.trace_hash());
            let mut tally = thread.tally.get();
            tally.events += cluster.count_events();
            tally.faults += cluster.faults().len() as u64;
            tally.virtual_time += cluster.now();
            thread.tally.set(tally);
            let came = |fault: &&Fault| Duration::from_nanos(fault.at_nanos) <= cluster.now();
            thread.faults.replace(cluster.faults().iter().filter(came).cloned().collect());
        });
        if std::thread::panicking() && self.wants_words() && !self.told.get() {
            let events = story(&cluster.last_events());
            eprintln!(
                "at {:.3} s of virtual time, in the TestCluster of seed {}{events}",
                cluster.now().as_secs_f64(),
                self.seed
            );
        }
    }
}

fn story(events: &[String]) -> String {
    if events.is_empty() {
        return String::new();
    }
    format!("; the last events:\n    {}", events.join("\n    "))
}

/// What many seeds came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fuzzed {
    /// How many were tried; none of them has failed.
    pub seeds: u64,
    /// Events in all their clusters.
    pub events: u64,
    /// Faults that were drawn.
    pub faults: u64,
    /// Virtual time that has passed in all clusters together.
    pub virtual_time: Duration,
    /// Real time.
    pub took: Duration,
}

impl fmt::Display for Fuzzed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, events, faults, virtual_time, took } = self;
        let (hours, took) = (virtual_time.as_secs_f64() / 3600.0, took.as_secs_f64());
        write!(
            f,
            "{seeds} seeds in {took:.1} s: {hours:.1} h of virtual time, {faults} faults, {events} events"
        )
    }
}

/// Runs `test` with each of the seeds, on all cores. It is to make a [`TestCluster`](super::TestCluster) of its seed and
/// let it run; what it does must follow from the seed alone.
///
/// Panics when a seed fails: the smallest that did is run again, with ever fewer of the faults that were drawn as long as it
/// fails in the same way, and its story is told: the faults that are left, the last events, and how to run it again.
///
/// The environment: `LONJA_TEST_SEED=17` runs that seed alone and tells its story, `LONJA_TEST_KEEP=3,4` leaves only those of
/// the drawn faults, `LONJA_TEST_SEEDS=10000` tries so many seeds in place of those that are written here.
#[track_caller]
pub fn fuzz(seeds: Range<u64>, test: impl Fn(u64) + Sync) -> Fuzzed {
    quiet_tries();
    let number = |name| std::env::var(name).ok().map(|text| (name, text));
    if let Some(seed) = number(SEED).map(read) {
        let began = Instant::now();
        let _before = take_tally();
        test(seed);
        return report(1, take_tally(), began);
    }
    let seeds = match number(SEEDS).map(read) {
        Some(count) => seeds.start..seeds.start.saturating_add(count),
        None => seeds,
    };
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicU64::new(u64::MAX);
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let work = || {
        let mut tried = 0;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || seed > failed.load(Ordering::Relaxed) {
                return (tried, take_tally());
            }
            tried += 1;
            if attempt(&test, seed, Mode::Try, None).is_err() {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    let (mut tried, mut tally) = (0, Tally::default());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            // A thread cannot panic: what the test does is caught.
            let Ok((seeds, more)) = thread.join() else { continue };
            tried += seeds;
            tally.events += more.events;
            tally.faults += more.faults;
            tally.virtual_time += more.virtual_time;
        }
    });
    match failed.into_inner() {
        u64::MAX => report(tried, tally, began),
        seed => tell(&test, seed, &seeds),
    }
}

fn report(seeds: u64, tally: Tally, began: Instant) -> Fuzzed {
    let Tally { events, faults, virtual_time } = tally;
    Fuzzed { seeds, events, faults, virtual_time, took: began.elapsed() }
}

fn read((name, text): (&str, String)) -> u64 {
    text.trim().parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
}

fn parse_keep(text: &str) -> Option<BTreeSet<usize>> {
    let numbers = text.split(',').filter(|word| !word.trim().is_empty());
    Some(
        numbers
            .map(|word| word.trim().parse().unwrap_or_else(|_| panic!("{KEEP}: {word} is no number")))
            .collect(),
    )
}

fn take_tally() -> Tally {
    THREAD.with(|thread| thread.tally.take())
}

/// How a try ended: its words if it failed, with the trace of its clusters.
fn attempt(
    test: &impl Fn(u64),
    seed: u64,
    mode: Mode,
    keep: Option<BTreeSet<usize>>,
) -> Result<u64, (String, u64)> {
    let before = THREAD.with(|thread| {
        thread.keep.replace(keep);
        thread.trace.set(0);
        thread.mode.replace(mode)
    });
    let result = catch_unwind(AssertUnwindSafe(|| test(seed)));
    THREAD.with(|thread| {
        thread.mode.set(before);
        thread.keep.replace(None);
        let trace = thread.trace.get();
        result.map(|()| trace).map_err(|panic| (words(&*panic), trace))
    })
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

/// The story of a seed that has failed.
#[track_caller]
fn tell(test: &impl Fn(u64), seed: u64, seeds: &Range<u64>) -> ! {
    let first = attempt(test, seed, Mode::Try, None);
    let Err((what, trace)) = first else {
        panic!("seed {seed} failed once and not again: the test does not follow from its seed alone");
    };
    let drawn = THREAD.with(|thread| thread.faults.borrow().clone());
    let keep = shrink(test, seed, &what, &drawn);
    let again = attempt(test, seed, Mode::Story, keep.clone());
    let told = match &again {
        Err((text, now)) if keep.is_some() || *now == trace => text.clone(),
        Err((text, _)) => {
            format!("{text}\n  (not the same run: the test does not follow from its seed alone)")
        }
        Ok(_) => format!("{what}\n  (it did not fail again: the test does not follow from its seed alone)"),
    };
    let left: Vec<String> =
        THREAD.with(|thread| thread.faults.borrow().iter().map(ToString::to_string).collect());
    let faults = match &keep {
        Some(_) => format!(
            "\n  of {} faults that were drawn these are enough: {}",
            drawn.len(),
            if left.is_empty() { "none".to_owned() } else { format!("\n    {}", left.join("\n    ")) }
        ),
        None => String::new(),
    };
    let kept = keep.map(|keep| {
        let numbers: Vec<String> = keep.iter().map(ToString::to_string).collect();
        format!("{KEEP}={} ", numbers.join(","))
    });
    let thread = std::thread::current();
    let name = thread.name().filter(|name| *name != "main").unwrap_or("NAME");
    let keep = kept.unwrap_or_default();
    panic!(
        "seed {seed} of {}..{} fails: {told}{faults}\n  again: {SEED}={seed} {keep}cargo test {name}",
        seeds.start, seeds.end
    )
}

/// Which of the drawn faults are enough for the same failure; none: none were drawn. Source: `lonja_sim::shrink`.
fn shrink(test: &impl Fn(u64), seed: u64, what: &str, drawn: &[Fault]) -> Option<BTreeSet<usize>> {
    if drawn.is_empty() || std::env::var_os(KEEP).is_some() {
        return None;
    }
    let (began, mut runs) = (Instant::now(), 0);
    let mut keep: Vec<usize> = drawn.iter().map(|fault| fault.number).collect();
    let mut groups = 1;
    while !keep.is_empty() {
        let size = keep.len().div_ceil(groups);
        let mut found = None;
        for group in keep.chunks(size) {
            runs += 1;
            if began.elapsed() > SHRINKS.0 || runs > SHRINKS.1 {
                return Some(keep.into_iter().collect());
            }
            let rest: BTreeSet<usize> = keep.iter().copied().filter(|fault| !group.contains(fault)).collect();
            let again = attempt(test, seed, Mode::Try, Some(rest.clone()));
            if again.is_err_and(|(again, _)| kind(&again) == kind(what)) {
                found = Some(rest);
                break;
            }
        }
        match found {
            Some(rest) => {
                keep = rest.into_iter().collect();
                groups = (groups - 1).max(1);
            }
            None if size == 1 => break,
            None => groups = (groups * 2).min(keep.len()),
        }
    }
    Some(keep.into_iter().collect())
}

/// What kind of failure it is, without how.
fn kind(what: &str) -> &str {
    what.split_once(':').map_or("", |(kind, _)| kind)
}

/// Panics of tries are caught and told of once at the end: their hook stays silent.
fn quiet_tries() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let is_try = THREAD.try_with(|thread| thread.mode.get() != Mode::Test);
            if !is_try.unwrap_or(false) {
                hook(info);
            }
        }));
    });
}
