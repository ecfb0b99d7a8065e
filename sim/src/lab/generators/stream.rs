//! Tasks that keep arriving: when, how long they run, what they ask.

use std::time::Duration;

use lonja_model::resources::Scalar;
use lonja_sdk_core::placement::{Ask, Gpus};
use lonja_sdk_core::task::Need;

use super::spec::{Choice, InvalidWords, Parameters};
use crate::lab::Arrival;
use crate::random::Random;

/// Tasks that are expected of one generator at most: by chance it may make somewhat more.
pub(super) const MOST_EXPECTED: usize = 9_000_000;

/// How long tasks run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Runs {
    /// With no memory: what has run long runs on as long as what has just begun.
    Exponential(Duration),
    /// Many short ones and a few very long ones; the deviation of the logarithm beside the mean.
    LogNormal(Duration, f64),
    /// All equally long.
    Fixed(Duration),
}

impl Runs {
    pub(super) fn mean(self) -> Duration {
        match self {
            Self::Exponential(mean) | Self::LogNormal(mean, _) | Self::Fixed(mean) => mean,
        }
    }

    /// One time, in whole microseconds, at least 1.
    pub(super) fn draw(self, random: &mut Random) -> Duration {
        match self {
            Self::Exponential(mean) => times(mean, random.exponential()),
            Self::LogNormal(mean, sigma) => times(mean, random.log_normal(sigma)),
            Self::Fixed(mean) => mean,
        }
        .max(Duration::from_micros(1))
    }
}

/// `time` times `factor` in whole microseconds: rounded so that the last bit of a logarithm seldom matters. At most a
/// hundred years, so that sums of times never overflow.
fn times(time: Duration, factor: f64) -> Duration {
    const MOST: f64 = 100.0 * 366.0 * 86_400.0;
    let rounded = (time.as_secs_f64() * factor).clamp(0.0, MOST) * 1e6;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped between 0 and 2^53")]
    Duration::from_micros(rounded.round() as u64)
}

/// When tasks arrive.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrivals {
    /// So many a second on average, independent of one another.
    Rate(f64),
    /// Exactly so many, each at any moment: a Poisson process of which the number is known.
    Count(usize),
}

impl Arrivals {
    /// The moments, in order, from 0 to `lasts`.
    pub(super) fn draw(self, lasts: Duration, random: &mut Random) -> Vec<Duration> {
        match self {
            Self::Rate(rate) => {
                // Summed before it is rounded, or high rates would drift.
                let mut seconds = random.exponential() / rate;
                let mut all = Vec::new();
                while seconds < lasts.as_secs_f64() {
                    all.push(times(Duration::from_secs(1), seconds));
                    seconds += random.exponential() / rate;
                }
                all
            }
            Self::Count(count) => {
                let mut all: Vec<Duration> = (0..count).map(|_| times(lasts, random.unit())).collect();
                all.sort_unstable();
                all
            }
        }
    }
}

/// What tasks ask for.
#[derive(Clone, Debug)]
pub(super) struct Asks {
    pub(super) cpus: Choice<Scalar>,
    pub(super) mem: Choice<Scalar>,
    pub(super) disk: Choice<Scalar>,
    pub(super) gpus: Choice<Gpus>,
}

impl Asks {
    /// Of the parameters `cpus`, `mem`, `disk` and `gpus` behind `prefix`. Errors: a task that may ask for nothing.
    pub(super) fn of(
        parameters: &Parameters<'_>,
        prefix: &str,
        cpus: &str,
        mem: &str,
    ) -> Result<Self, InvalidWords> {
        let name = |name: &str| format!("{prefix}{name}");
        let asks = Self {
            cpus: parameters.amounts(&name("cpus"), cpus)?,
            mem: parameters.amounts(&name("mem"), mem)?,
            disk: parameters.amounts(&name("disk"), "0")?,
            gpus: parameters.gpus(&name("gpus"))?,
        };
        let nothing = |choice: &Choice<Scalar>| choice.all().contains(&Scalar::ZERO);
        let amounts = [&asks.cpus, &asks.mem, &asks.disk];
        if amounts.into_iter().all(nothing) && asks.gpus.all().contains(&Gpus::None) {
            let found = parameters.text(&name("cpus")).unwrap_or(cpus);
            return Err(parameters.wrong(&name("cpus"), found, "tasks that ask for something, each of them"));
        }
        Ok(asks)
    }

    pub(super) fn draw(&self, random: &mut Random) -> Ask {
        let (cpus, mem) = (self.cpus.draw(random), self.mem.draw(random));
        let (disk, gpus) = (self.disk.draw(random), self.gpus.draw(random));
        Ask::from(Need { cpus, mem, disk, ports: 0, gpus })
    }

    /// CPUs of one task on average.
    pub(super) fn mean_cpus(&self) -> f64 {
        let all = self.cpus.all();
        let sum: f64 = all.iter().map(|cpus| cpus.to_f64()).sum();
        sum / f64::from(u32::try_from(all.len()).unwrap_or(u32::MAX))
    }
}

/// Tasks of one kind that keep arriving.
pub(super) struct Stream<'n> {
    /// What their names begin with.
    pub(super) name: &'n str,
    pub(super) arrivals: Arrivals,
    pub(super) runs: Runs,
    pub(super) asks: Asks,
    /// The first of the frameworks that want them, and how many there are: each task is one's by lot.
    pub(super) frameworks: (usize, usize),
}

impl Stream<'_> {
    pub(super) fn fill(&self, lasts: Duration, random: &mut Random, all: &mut Vec<Arrival>) {
        let moments = self.arrivals.draw(lasts, &mut random.fork());
        all.reserve(moments.len());
        for (number, at) in moments.into_iter().enumerate() {
            let (first, count) = self.frameworks;
            let framework = first + if count > 1 { random.index(count) } else { 0 };
            let (ask, runs) = (self.asks.draw(random), Some(self.runs.draw(random)));
            all.push(Arrival { name: format!("{}-{}", self.name, number + 1), framework, ask, at, runs });
        }
    }
}
