//! The generators themselves: each a list of parameters and what it makes of them.

use std::time::Duration;

use lonja_model::resources::Scalar;
use lonja_sdk_core::placement::Ask;
use lonja_sdk_core::task::Need;

use super::fleet::Fleet;
use super::spec::{InvalidWords, Parameters};
use super::stream::{Arrivals, Asks, MOST_EXPECTED, Runs, Stream};
use crate::lab::amounts;
use crate::lab::{Arrival, Machine, Tenant, Workload};
use crate::random::Random;

/// Frameworks of one workload.
pub(super) const MOST_FRAMEWORKS: usize = 10_000;
/// The usual fleet.
const MACHINES: usize = 100;
const MACHINE: &str = "cpus:32;mem:262144";
/// The largest part of a fleet's CPUs that can be asked for, and the largest deviation of a logarithm.
const MOST_LOAD: f64 = 100.0;
const MOST_SIGMA: f64 = 4.0;
const MOST_RATE: f64 = 1_000_000.0;

/// A way to make workloads up.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) parameters: &'static [&'static str],
    pub(super) generate: fn(&Parameters<'_>, &Fleet, &mut Random) -> Result<Workload, InvalidWords>,
}

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "poisson",
        about: "tasks that arrive independently of one another, at one rate",
        parameters: &[
            "rate",
            "tasks",
            "load",
            "mean",
            "runs",
            "sigma",
            "cpus",
            "mem",
            "disk",
            "gpus",
            "frameworks",
            "for",
        ],
        generate: poisson,
    },
    Kind {
        name: "services-and-batch",
        about: "long services that come at the beginning and stay, and batch tasks that come and go",
        parameters: &[
            "services-load",
            "services-cpus",
            "services-mem",
            "services-disk",
            "services-gpus",
            "services-weight",
            "ramp",
            "batch-load",
            "batch-cpus",
            "batch-mem",
            "batch-disk",
            "batch-gpus",
            "batch-weight",
            "mean",
            "sigma",
            "for",
        ],
        generate: services_and_batch,
    },
    Kind {
        name: "mesos-multi",
        about: "the mix of Mesos' MultiFramework benchmark: few frameworks with many small tasks, many with few",
        parameters: &[
            "services",
            "service-tasks",
            "builds",
            "build-tasks",
            "batches",
            "batch-tasks",
            "mean",
            "for",
        ],
        generate: mesos_multi,
    },
];

fn cpus(machines: &[Machine]) -> f64 {
    machines.iter().map(|machine| machine.total.scalar("cpus").to_f64()).sum()
}

fn whole(number: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of doubles saturate")]
    let whole = number.floor() as usize;
    whole
}

fn sigma(parameters: &Parameters<'_>) -> Result<f64, InvalidWords> {
    Ok(parameters.number("sigma", MOST_SIGMA)?.unwrap_or(1.0))
}

fn tenant(name: String, weight: u64) -> Tenant {
    Tenant { name, weight }
}

fn poisson(
    parameters: &Parameters<'_>,
    fleet: &Fleet,
    random: &mut Random,
) -> Result<Workload, InvalidWords> {
    let machines = fleet.build(MACHINES, MACHINE)?;
    let lasts = parameters.time("for", Duration::from_secs(3600))?;
    let mean = parameters.time("mean", Duration::from_secs(300))?;
    let runs = match parameters.text("runs").unwrap_or("exponential") {
        "exponential" => Runs::Exponential(mean),
        "lognormal" => Runs::LogNormal(mean, sigma(parameters)?),
        "fixed" => Runs::Fixed(mean),
        other => return Err(parameters.wrong("runs", other, "exponential, lognormal or fixed")),
    };
    if let (Some(found), false) = (parameters.text("sigma"), matches!(runs, Runs::LogNormal(..))) {
        return Err(parameters.wrong("sigma", found, "it only with runs=lognormal"));
    }
    let asks = Asks::of(parameters, "", "1", "2048")?;
    let frameworks = parameters.count("frameworks", 1, MOST_FRAMEWORKS)?.unwrap_or(1);
    let arrivals = arrivals(parameters, &asks, runs, lasts, cpus(&machines))?;
    let mut workload = Workload { machines, lasts, ..Workload::default() };
    workload.frameworks =
        (1..=frameworks).map(|number| tenant(format!("framework-{number}"), 1000)).collect();
    let stream = Stream { name: "task", arrivals, runs, asks, frameworks: (0, frameworks) };
    stream.fill(lasts, random, &mut workload.arrivals);
    Ok(workload)
}

/// By a rate, a number of tasks, or the part of the fleet's CPUs that is asked for on average.
fn arrivals(
    parameters: &Parameters<'_>,
    asks: &Asks,
    runs: Runs,
    lasts: Duration,
    fleet_cpus: f64,
) -> Result<Arrivals, InvalidWords> {
    let given: Vec<&str> =
        ["rate", "tasks", "load"].into_iter().filter(|name| parameters.text(name).is_some()).collect();
    if let [_, second, ..] = given[..] {
        let found = parameters.text(second).unwrap_or_default();
        return Err(parameters.wrong(second, found, "one of rate, tasks and load, not two"));
    }
    if let Some(tasks) = parameters.count("tasks", 1, MOST_EXPECTED)? {
        return Ok(Arrivals::Count(tasks));
    }
    match parameters.number("rate", MOST_RATE)? {
        Some(rate) => bounded(parameters, "rate", rate, lasts).map(Arrivals::Rate),
        None => load(parameters, "load", 0.8, asks, runs, lasts, fleet_cpus).map(Arrivals::Rate),
    }
}

/// The rate at which tasks ask for a part of the fleet's CPUs, were all placed at once (Little's law).
fn load(
    parameters: &Parameters<'_>,
    name: &str,
    usual: f64,
    asks: &Asks,
    runs: Runs,
    lasts: Duration,
    fleet_cpus: f64,
) -> Result<f64, InvalidWords> {
    let load = parameters.number(name, MOST_LOAD)?.unwrap_or(usual);
    let each = asks.mean_cpus() * runs.mean().as_secs_f64();
    if each <= 0.0 {
        return Err(parameters.wrong(
            name,
            &load.to_string(),
            "tasks with CPUs, or rate or tasks in its place",
        ));
    }
    bounded(parameters, name, load * fleet_cpus / each, lasts)
}

/// The rate, if it does not make too many tasks.
fn bounded(parameters: &Parameters<'_>, name: &str, rate: f64, lasts: Duration) -> Result<f64, InvalidWords> {
    let tasks = whole(rate * lasts.as_secs_f64());
    if tasks > MOST_EXPECTED {
        let expected = format!("at most {MOST_EXPECTED} tasks in all, not {tasks}");
        return Err(parameters.wrong(name, parameters.text(name).unwrap_or("what is usual"), &expected));
    }
    Ok(rate)
}

fn services_and_batch(
    parameters: &Parameters<'_>,
    fleet: &Fleet,
    random: &mut Random,
) -> Result<Workload, InvalidWords> {
    let machines = fleet.build(MACHINES, MACHINE)?;
    let lasts = parameters.time("for", Duration::from_secs(7200))?;
    let ramp = parameters.time("ramp", Duration::from_secs(600))?.min(lasts);
    let weight = |name: &str| {
        let Some(text) = parameters.text(name) else { return Ok(1000) };
        amounts::weight(text).ok_or_else(|| parameters.wrong(name, text, amounts::WEIGHT))
    };
    let frameworks = vec![
        tenant("services".to_owned(), weight("services-weight")?),
        tenant("batch".to_owned(), weight("batch-weight")?),
    ];
    let runs = Runs::LogNormal(parameters.time("mean", Duration::from_secs(300))?, sigma(parameters)?);
    let services = Asks::of(parameters, "services-", "0.5|1|2|4", "1024|2048|4096|8192")?;
    let batch = Asks::of(parameters, "batch-", "1|2", "2048|4096")?;
    let wanted = parameters.number("services-load", MOST_LOAD)?.unwrap_or(0.4) * cpus(&machines);
    if services.mean_cpus() <= 0.0 {
        let found = parameters.text("services-cpus").unwrap_or_default();
        return Err(parameters.wrong("services-cpus", found, "services with CPUs"));
    }
    let count = whole((wanted / services.mean_cpus()).round());
    if count > MOST_EXPECTED {
        let found = parameters.text("services-load").unwrap_or("what is usual");
        let expected = format!("at most {MOST_EXPECTED} services, not {count}");
        return Err(parameters.wrong("services-load", found, &expected));
    }
    let rate = load(parameters, "batch-load", 0.4, &batch, runs, lasts, cpus(&machines))?;

    let mut workload = Workload { machines, frameworks, lasts, ..Workload::default() };
    let moments = Arrivals::Count(count).draw(ramp, &mut random.fork());
    for (number, at) in moments.into_iter().enumerate() {
        let (name, ask) = (format!("service-{}", number + 1), services.draw(random));
        workload.arrivals.push(Arrival { name, framework: 0, ask, at, runs: None });
    }
    let stream =
        Stream { name: "batch", arrivals: Arrivals::Rate(rate), runs, asks: batch, frameworks: (1, 1) };
    stream.fill(lasts, random, &mut workload.arrivals);
    workload.arrivals.sort_by_key(|arrival| arrival.at);
    Ok(workload)
}

/// 80 agents of 64 CPUs; services of 0.07 CPUs and 400 MiB, builds of 0.1 and 4,000, batch tasks of 1 and 1,000. Here all
/// tasks are wanted from the beginning, in an order that the seed shuffles; the benchmark's limits of tasks for each
/// offer are an answer to offers, which is the policy's business.
fn mesos_multi(
    parameters: &Parameters<'_>,
    fleet: &Fleet,
    random: &mut Random,
) -> Result<Workload, InvalidWords> {
    // Frameworks and tasks of each; CPUs in thousandths, memory in MiB.
    const KINDS: [(&str, &str, usize, &str, usize, u64, u64); 3] = [
        ("service", "services", 4, "service-tasks", 4_000, 70, 400),
        ("build", "builds", 500, "build-tasks", 5, 100, 4_000),
        ("batch", "batches", 50, "batch-tasks", 20, 1_000, 1_000),
    ];
    let lasts = parameters.time("for", Duration::from_secs(600))?;
    let runs = match parameters.text("mean") {
        Some(_) => Some(Runs::Exponential(parameters.time("mean", Duration::ZERO)?)),
        None => None,
    };
    let mut workload =
        Workload { machines: fleet.build(80, "cpus:64;mem:488000")?, lasts, ..Workload::default() };
    for (name, several, frameworks, tasks_name, tasks, thousandths, mib) in KINDS {
        let frameworks = parameters.count(several, 0, MOST_FRAMEWORKS)?.unwrap_or(frameworks);
        let tasks = parameters.count(tasks_name, 1, MOST_EXPECTED)?.unwrap_or(tasks);
        if frameworks.saturating_mul(tasks) > MOST_EXPECTED - workload.arrivals.len() {
            let expected = format!("at most {MOST_EXPECTED} tasks in all");
            return Err(parameters.wrong(tasks_name, &tasks.to_string(), &expected));
        }
        let need = Need {
            cpus: Scalar::from_thousandths(thousandths).unwrap_or_default(),
            mem: Scalar::from_units(mib).unwrap_or_default(),
            ..Need::default()
        };
        for number in 1..=frameworks {
            let framework = workload.frameworks.len();
            workload.frameworks.push(tenant(format!("{name}-{number}"), 1000));
            workload.arrivals.extend((1..=tasks).map(|task| Arrival {
                name: format!("{name}-{number}-{task}"),
                framework,
                ask: Ask::from(need),
                at: Duration::ZERO,
                runs: runs.map(|runs| runs.draw(random)),
            }));
        }
    }
    if workload.arrivals.is_empty() {
        return Err(parameters.wrong(
            "services",
            "0",
            "at least one framework: of services, builds or batches",
        ));
    }
    for last in (1..workload.arrivals.len()).rev() {
        let other = random.index(last + 1);
        workload.arrivals.swap(last, other);
    }
    Ok(workload)
}
