//! The measures: each on masters of its own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::MasterOptions;
use super::cost::Master;
use super::door::DoorKind;
use super::figures::{Figure, Run, percentile};
use super::framework::{Aim, FOR_GOOD};
use super::generator::Generator;

/// The rate of calls that one framework is allowed where rates are measured: the limit is not the matter then.
const UNLIMITED: [&str; 2] = ["--calls-per-second", "1000000"];

/// Calls of one framework that are unanswered at once where they are not all sent at once.
const CALLS_AT_ONCE: usize = 512;

/// What a master is given to finish what it was told last.
const SETTLE: Duration = Duration::from_millis(200);

/// Agents beside the pipelined calls.
const FEW_AGENTS: usize = 10;

/// What one run of the program measures with.
pub(super) struct Bench<'a> {
    pub(super) options: &'a MasterOptions,
    pub(super) work_dir: PathBuf,
    pub(super) masters: u32,
}

impl Bench<'_> {
    fn master(&mut self, options: &[&str]) -> anyhow::Result<(Master, Generator)> {
        self.masters += 1;
        let master = Master::start(&self.work_dir.join(format!("master-{}", self.masters)), options)?;
        let generator = Generator::new(master.address)?;
        Ok((master, generator))
    }

    fn figure(&self, measure: &'static str, figure: &'static str, what: impl Into<String>) -> Figure {
        Figure {
            name: (measure, figure),
            what: what.into(),
            agents: self.options.agents,
            ..Figure::default()
        }
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.options.seconds)
    }

    /// Agents register, and rest.
    pub(super) fn agents(&mut self) -> anyhow::Result<Vec<Figure>> {
        let count = self.options.agents;
        let mut registered = self.figure("agents", "registered", format!("{count} registered"));
        registered.unit = "s";
        let mut idle = self.figure("agents", "idle", format!("{count} at rest, of a core"));
        idle.unit = "%";
        for _ in 0..self.options.runs {
            let (master, mut generator) = self.master(&UNLIMITED)?;
            let meter = master.meter()?;
            let took = generator.register(count)?;
            let cost = master.since(&meter)?;
            registered.runs.push(Run::of(took.as_secs_f64()).costing(cost).with(master.memory()?));
            let meter = master.meter()?;
            generator.for_as_long_as(Duration::from_secs_f64(self.options.rest))?;
            let cost = master.since(&meter)?;
            let share = cost.master.as_secs_f64() / cost.wall.as_secs_f64() * 100.0;
            idle.runs.push(Run::of(share).costing(cost).with(master.memory()?));
        }
        registered.goal = if count == 10_000 { "10 s, 500 MiB" } else { "" };
        registered.mesos = match count {
            1_000 => "0.30 s shared, 1.16 s own connections; CPU 450 ms",
            5_000 => "2.2 s shared connections; CPU 2,600 ms",
            10_000 => "3.6 to 4.8 s shared connections; CPU 5,200 ms; 310 MB",
            _ => "",
        };
        (idle.goal, idle.mesos) = if count == 10_000 { ("3 %", "8 to 16 %") } else { ("", "") };
        Ok(vec![registered, idle])
    }

    /// Launch, RUNNING, acknowledged.
    pub(super) fn launch(&mut self, door: DoorKind, frameworks: usize) -> anyhow::Result<Figure> {
        let (agents, tasks) = (self.options.agents, self.options.tasks);
        let what = format!("launched to acknowledged, {frameworks} frameworks");
        let mut figure = self.figure("launch", "rate", what);
        (figure.door, figure.tasks, figure.frameworks) = (Some(door), tasks, frameworks);
        (figure.unit, figure.per_task) = ("tasks/s", true);
        for _ in 0..self.options.runs {
            let (master, mut generator) = self.master(&UNLIMITED)?;
            generator.register(agents)?;
            subscribe(&mut generator, door, frameworks)?;
            let meter = master.meter()?;
            start_launching(&mut generator, tasks, agents);
            generator.until("all tasks run and are acknowledged", |load| load.tally.running >= tasks)?;
            let cost = master.since(&meter)?;
            let rate = tasks as f64 / cost.wall.as_secs_f64();
            figure.runs.push(Run::of(rate).costing(cost).with(master.memory()?));
            figure.counts.push(tasks as f64);
        }
        if agents == 1_000 {
            figure.goal = match door {
                DoorKind::Grpc => "20,000/s, 0.05 ms",
                DoorKind::HttpProtobuf => "8,000/s, 0.12 ms",
                DoorKind::HttpJson => "4,000/s, 0.25 ms",
            };
            figure.mesos = match frameworks {
                1 => "3,860/s; 0.37 to 0.40 ms",
                10 => "3,963/s; 0.37 to 0.40 ms",
                50 => "2,720/s; 0.37 to 0.40 ms",
                _ => "",
            };
        }
        Ok(figure)
    }

    /// Launch, run, finish, acknowledge, and again.
    pub(super) fn churn(&mut self, door: DoorKind, frameworks: usize) -> anyhow::Result<Figure> {
        let (agents, in_flight) = (self.options.agents, self.options.in_flight);
        let what = format!("launched to finished, {in_flight} in flight, {frameworks} frameworks");
        let mut figure = self.figure("churn", "rate", what);
        (figure.door, figure.tasks, figure.frameworks) = (Some(door), in_flight, frameworks);
        (figure.unit, figure.per_task) = ("tasks/s", true);
        for _ in 0..self.options.runs {
            let (master, mut generator) = self.master(&UNLIMITED)?;
            generator.register(agents)?;
            generator.finish = true;
            subscribe(&mut generator, door, frameworks)?;
            for framework in &mut generator.frameworks {
                framework.aim = Aim {
                    wanted: u64::MAX,
                    at_once: (in_flight / frameworks as u64).max(1),
                    per_offer: in_flight.div_ceil(agents as u64),
                    refuse_seconds: 0.0,
                };
                framework.revive();
            }
            generator.until("the first tasks have ended", |load| load.tally.finished >= in_flight)?;
            let (meter, before) = (master.meter()?, generator.tally.finished);
            generator.for_as_long_as(self.time())?;
            let cost = master.since(&meter)?;
            let ended = (generator.tally.finished - before) as f64;
            let rate = ended / cost.wall.as_secs_f64();
            figure.runs.push(Run::of(rate).costing(cost).with(master.memory()?));
            figure.counts.push(ended);
        }
        if agents == 1_000 && in_flight == 5_000 {
            figure.goal = match door {
                DoorKind::Grpc => "10,000/s",
                DoorKind::HttpProtobuf => "4,000/s",
                DoorKind::HttpJson => "",
            };
            figure.mesos = match frameworks {
                1 => "965/s at 1.5 cores",
                10 => "881/s at 1.5 cores",
                50 => "707/s at 1.5 cores",
                _ => "",
            };
        }
        Ok(figure)
    }

    /// All agents offered; all declined and offered again.
    pub(super) fn offers(&mut self, door: DoorKind) -> anyhow::Result<Vec<Figure>> {
        let agents = self.options.agents;
        let mut first = self.figure("offers", "subscribed", format!("SUBSCRIBE to {agents} offered"));
        let mut again = self.figure("offers", "declined", format!("{agents} declined to offered again"));
        for figure in [&mut first, &mut again] {
            (figure.unit, figure.door, figure.frameworks) = ("ms", Some(door), 1);
        }
        let (master, mut generator) = self.master(&UNLIMITED)?;
        generator.register(agents)?;
        for _ in 0..self.options.runs {
            let meter = master.meter()?;
            let number = generator.subscribe(door, CALLS_AT_ONCE, false, false)?;
            let all = |load: &mut Generator| {
                load.frameworks.get(number).is_some_and(|one| one.held.len() >= agents)
            };
            generator.until("all agents are offered", all)?;
            let cost = master.since(&meter)?;
            first.runs.push(Run::of(cost.wall.as_secs_f64() * 1000.0).costing(cost).with(master.memory()?));
            let meter = master.meter()?;
            decline(&mut generator, number, 0, 0.0);
            generator.until("all agents are offered again", all)?;
            let cost = master.since(&meter)?;
            again.runs.push(Run::of(cost.wall.as_secs_f64() * 1000.0).costing(cost).with(master.memory()?));
            decline(&mut generator, number, 0, FOR_GOOD);
            // The next one begins on a master that has nothing left to do.
            generator.for_as_long_as(SETTLE)?;
        }
        match agents {
            1_000 => (first.mesos, again.mesos) = ("100 ms", "1,043 ms"),
            5_000 => first.mesos = "661 ms",
            10_000 => {
                (first.goal, again.goal) = ("200 ms", "100 ms");
                (first.mesos, again.mesos) = ("1,800 ms", "1,985 ms");
            }
            _ => {}
        }
        Ok(vec![first, again])
    }

    /// `/state`, and how long offers take meanwhile.
    pub(super) fn state(&mut self) -> anyhow::Result<Vec<Figure>> {
        let (agents, tasks) = (self.options.agents, self.options.tasks);
        let what = format!("GET /state, {agents} agents, {tasks} tasks");
        let mut took = self.figure("state", "took", what);
        let mut loaded =
            self.figure("state", "loaded", format!("memory with {agents} agents, {tasks} tasks"));
        let mut size = self.figure("state", "size", "its size");
        let mut calm = self.figure("state", "offer_p99_before", "declined to offered again, p99, before");
        let mut busy = self.figure("state", "offer_p99", "the same meanwhile");
        let units =
            [(&mut loaded, "MiB"), (&mut took, "s"), (&mut size, "MB"), (&mut calm, "ms"), (&mut busy, "ms")];
        for (figure, unit) in units {
            (figure.unit, figure.tasks, figure.frameworks) = (unit, tasks, 2);
        }
        let (master, mut generator) = self.master(&UNLIMITED)?;
        generator.register(agents)?;
        subscribe(&mut generator, DoorKind::Grpc, 1)?;
        start_launching(&mut generator, tasks, agents);
        generator.until("all tasks run and are acknowledged", |load| load.tally.running >= tasks)?;
        let memory = master.memory()?;
        loaded.runs.push(Run::of(memory.now).with(memory));
        let probe = generator.subscribe(DoorKind::Grpc, CALLS_AT_ONCE, false, false)?;
        generator.until("all agents are offered", |load| held(load, probe) >= agents)?;
        decline(&mut generator, probe, 1, FOR_GOOD);
        let times = probe_until(&mut generator, probe, Instant::now() + self.time())?;
        calm.runs.extend(percentile(times.into_iter(), 99).map(Run::of));
        let mut times = Vec::new();
        for _ in 0..self.options.runs {
            let (began, meter) = (Instant::now(), master.meter()?);
            generator.get("/state")?;
            let ended = loop {
                if let Some(ended) = generator.reader.as_ref().and_then(|reader| reader.done) {
                    break ended;
                }
                times.push(probe_once(&mut generator, probe)?);
            };
            let wall = ended.saturating_duration_since(began).as_secs_f64();
            let Some(reader) = generator.reader.take().filter(|reader| reader.status == 200) else {
                bail!("the master does not answer GET /state with 200");
            };
            took.runs.push(Run::of(wall).costing(master.since(&meter)?).with(master.memory()?));
            size.runs.push(Run::of(reader.bytes as f64 / 1e6));
        }
        busy.runs.extend(percentile(times.into_iter(), 99).map(Run::of));
        if agents == 10_000 {
            busy.goal = "50 ms";
            took.goal = if tasks == 50_000 { "0.5 s" } else { "" };
            took.mesos = match tasks {
                50_000 => "1.07 s, 24 MB",
                100_000 => "3.2 s, 41 MB",
                _ => "",
            };
            (loaded.goal, loaded.mesos) =
                if tasks == 100_000 { ("700 MiB", "877 MB, peak 1,477") } else { ("", "") };
        }
        Ok(vec![loaded, took, size, calm, busy])
    }

    /// Calls without waiting for answers, more than a master allows.
    pub(super) fn pipelined(&mut self, door: DoorKind) -> anyhow::Result<Vec<Figure>> {
        let calls = self.options.calls;
        let mut answered =
            self.figure("pipelined", "answered", format!("of {calls} calls at once, answered"));
        let mut limited = self.figure("pipelined", "limited", "of these refused, over the rate");
        let (master, mut generator) = self.master(&[])?;
        generator.register(FEW_AGENTS)?;
        let number = generator.subscribe(door, usize::MAX, true, true)?;
        generator.until("the framework is subscribed", |load| {
            load.frameworks.get(number).is_some_and(|one| one.id.is_some())
        })?;
        let meter = master.meter()?;
        let mut before = 0;
        if let Some(framework) = generator.frameworks.get_mut(number) {
            before = framework.answers.all();
            (0..calls).for_each(|_| framework.idle_call());
        }
        let answers =
            |load: &Generator| load.frameworks.get(number).map(|one| one.answers).unwrap_or_default();
        generator.until("all calls are answered", |load| answers(load).all() - before >= calls)?;
        let cost = master.since(&meter)?;
        generator.get("/health")?;
        generator.until("the master says that it is well", |load| {
            load.reader.as_ref().is_some_and(|reader| reader.done.is_some() && reader.status == 200)
        })?;
        let answers = answers(&generator);
        answered.runs.push(Run::of((answers.all() - before) as f64).costing(cost).with(master.memory()?));
        limited.runs.push(Run::of(answers.limited as f64));
        for figure in [&mut answered, &mut limited] {
            (figure.agents, figure.frameworks, figure.door, figure.unit) =
                (FEW_AGENTS, 1, Some(door), "calls");
        }
        answered.goal = "all, and the master lives";
        answered.mesos = "dies at about 13,800";
        Ok(vec![answered, limited])
    }
}

/// Frameworks that wait to be let go.
fn subscribe(generator: &mut Generator, door: DoorKind, count: usize) -> anyhow::Result<()> {
    for _ in 0..count {
        generator.subscribe(door, CALLS_AT_ONCE, false, true)?;
    }
    generator
        .until("all frameworks are subscribed", |load| load.frameworks.iter().all(|one| one.id.is_some()))?;
    Ok(())
}

/// Lets all frameworks go, on their shares of so many tasks.
fn start_launching(generator: &mut Generator, tasks: u64, agents: usize) {
    let count = generator.frameworks.len() as u64;
    for (number, framework) in (0..).zip(&mut generator.frameworks) {
        framework.aim = Aim {
            wanted: tasks / count + u64::from(number < tasks % count),
            at_once: u64::MAX,
            per_offer: tasks.div_ceil(agents as u64),
            refuse_seconds: FOR_GOOD,
        };
        framework.revive();
    }
}

fn held(generator: &Generator, framework: usize) -> usize {
    generator.frameworks.get(framework).map_or(0, |one| one.held.len())
}

fn decline(generator: &mut Generator, framework: usize, kept: usize, refuse_seconds: f64) {
    if let Some(framework) = generator.frameworks.get_mut(framework) {
        framework.decline_all_but(kept, refuse_seconds);
    }
}

/// One offer declined and offered again, in milliseconds.
fn probe_once(generator: &mut Generator, probe: usize) -> anyhow::Result<f64> {
    decline(generator, probe, 0, 0.0);
    let took = generator.until("the agent is offered again", |load| held(load, probe) > 0)?;
    Ok(took.as_secs_f64() * 1000.0)
}

fn probe_until(generator: &mut Generator, probe: usize, end: Instant) -> anyhow::Result<Vec<f64>> {
    let mut times = Vec::new();
    while Instant::now() < end {
        times.push(probe_once(generator, probe)?);
    }
    Ok(times)
}
