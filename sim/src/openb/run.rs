//! One run: one policy, one seed.

use lonja_sdk_core::placement::{Ask, Picker, Scorer};

use super::{ASKED_PERCENT, Trace};
use crate::random::Random;

/// What came of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The policy's name.
    pub policy: String,
    /// The seed.
    pub seed: u64,
    /// Allocated GPUs in percent of all, by whole percent asked for, 0 to [`ASKED_PERCENT`]: the mean over the arrivals
    /// at which what was asked for rounds to that percent, as the published figures are made.
    pub allocated: Vec<f64>,
    /// Tasks that were placed.
    pub placed: u64,
    /// Tasks that fitted nowhere when they came.
    pub failed: u64,
}

/// Runs a policy over `trace` with the tasks that `seed` draws.
pub fn run(trace: &Trace, policy: Box<dyn Scorer>, seed: u64) -> Run {
    let mut random = Random::new(seed);
    let arrivals = draw(trace, &mut random);
    let name = policy.name().to_owned();
    let mut picker = Picker::new(policy);
    picker.learn(&trace.cluster);
    // The machines are shuffled too: which of equally good ones is first is chance, but the same for the whole run.
    let mut machines: Vec<_> = trace.machines.iter().collect();
    shuffle(&mut machines, &mut random);
    for (index, room) in machines.into_iter().enumerate() {
        picker.insert(index, room.clone());
    }
    let mut curve = Curve::default();
    let (mut asked, mut allocated) = (0, 0);
    let (mut placed, mut failed) = (0, 0);
    for ask in arrivals {
        let gpus = ask.need.gpus.thousandths().thousandths();
        asked += gpus;
        match picker.pick(ask) {
            Some((machine, place)) => {
                picker.take(&machine, ask, &place.devices);
                allocated += gpus;
                placed += 1;
            }
            None => failed += 1,
        }
        curve.add(percent(asked, trace.gpus), percent(allocated, trace.gpus));
    }
    Run { policy: name, seed, allocated: curve.means(), placed, failed }
}

/// All tasks shuffled, then more of them, drawn again and again, up to the end of the experiment.
pub(super) fn draw<'a>(trace: &'a Trace, random: &mut Random) -> Vec<&'a Ask> {
    let end = trace.gpus * u64::try_from(ASKED_PERCENT).unwrap_or(0) / 100;
    let mut all: Vec<&Ask> = trace.tasks.iter().collect();
    shuffle(&mut all, random);
    let gpus = |ask: &Ask| ask.need.gpus.thousandths().thousandths();
    let mut asked: u64 = all.iter().map(|ask| gpus(ask)).sum();
    loop {
        let ask = &trace.tasks[random.index(trace.tasks.len())];
        asked += gpus(ask);
        if asked > end {
            return all;
        }
        all.push(ask);
    }
}

/// Every order with the same chance.
fn shuffle<T>(all: &mut [T], random: &mut Random) {
    for last in (1..all.len()).rev() {
        all.swap(last, random.index(last + 1));
    }
}

/// `part` of `whole` in percent. Both are far below 2^53, where doubles are exact.
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}

/// Sums and numbers by whole percent.
#[derive(Default)]
struct Curve(Vec<(f64, u32)>);

impl Curve {
    fn add(&mut self, asked: f64, allocated: f64) {
        // Half-way cases go to the even neighbour, as in the published figures.
        let at = asked.round_ties_even() as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, (0.0, 0));
        }
        self.0[at].0 += allocated;
        self.0[at].1 += 1;
    }

    /// The mean at each percent; where none arrived, that of the percent before.
    fn means(mut self) -> Vec<f64> {
        self.0.resize(ASKED_PERCENT + 1, (0.0, 0));
        let mut before = 0.0;
        let mean = |(sum, count): (f64, u32)| {
            before = if count > 0 { sum / f64::from(count) } else { before };
            before
        };
        self.0.into_iter().map(mean).collect()
    }
}
