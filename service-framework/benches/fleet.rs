//! From nothing to 1,000 apps of 10 instances each on 500 machines, in virtual time on the production cores: how long it takes
//! really, how long the scheduler is busy with one event (for so long an API call waits at most), and what memory it takes.
//!
//! ```sh
//! cargo bench -p lonja-services --bench fleet
//! ```

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench reports to people, and ends when it cannot"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lonja_model::resources::Quantities;
use lonja_sdk::Interactive;
use lonja_sdk::prelude::*;
use lonja_sdk::testing::{Fleet, simulate_scheduler};
use lonja_services::wire::{Defaults, JsonCodec, app, json};
use lonja_services_core::definition::RunSpec;
use lonja_services_core::{Answer, Change, ChangeOptions, Command, Config, PathId, Services};

const APPS: usize = 1_000;
const INSTANCES: usize = 10;
const MACHINES: usize = 500;
/// The role that a simulated framework has.
const ROLE: &str = "simulated";

/// The services, with a look at the clock before and after each event.
struct Timed {
    services: Services,
    events: Vec<Duration>,
    /// What would be written, in bytes.
    kept: usize,
}

impl Timed {
    fn time<T>(&mut self, event: impl FnOnce(&mut Services) -> T) -> T {
        let began = Instant::now();
        let result = event(&mut self.services);
        self.events.push(began.elapsed());
        // Nobody listens here.
        drop(self.services.take_events());
        result
    }
}

impl Scheduler for Timed {
    fn offers(&mut self, now: Timestamp, offers: &[Offer]) -> Plan {
        self.time(|services| services.offers(now, offers))
    }

    fn update(&mut self, now: Timestamp, status: &TaskStatus) -> Plan {
        self.time(|services| services.update(now, status))
    }

    fn subscribed(&mut self, now: Timestamp, framework: &FrameworkId, master: &MasterInfo) -> Plan {
        self.time(|services| services.subscribed(now, framework, master))
    }

    fn refused(&mut self, now: Timestamp, problem: &Problem) -> Plan {
        self.services.refused(now, problem)
    }

    fn wants_offers(&self) -> bool {
        self.services.wants_offers()
    }

    fn needs(&self) -> Vec<Quantities> {
        self.services.needs()
    }

    fn changes(&mut self) -> Vec<lonja_sdk::Change> {
        let changes = self.services.changes();
        self.kept += changes.len();
        Vec::new()
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.services.next_deadline()
    }

    fn tick(&mut self, now: Timestamp) -> Plan {
        self.time(|services| services.tick(now))
    }
}

fn spec(number: usize) -> (PathId, Option<RunSpec>) {
    let text = format!(
        r#"{{"id": "/group-{}/app-{number}", "cmd": "serve", "instances": {INSTANCES}, "cpus": 0.1, "mem": 32}}"#,
        number % 50
    );
    let value = json(text.as_bytes()).unwrap();
    let app = app(&value, None, None, &PathId::root(), &Defaults { role: ROLE.to_owned() }).unwrap();
    (app.id.clone(), Some(RunSpec::App(Arc::new(app))))
}

/// Of this process, in MiB.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn main() {
    let before = resident_mib();
    let state = State::default();
    let mut services = Services::restore(
        Config { default_role: ROLE.to_owned(), ..Config::default() },
        Arc::new(JsonCodec),
        1,
        &state,
    )
    .unwrap();
    let change = Change { specs: (0..APPS).map(spec).collect::<BTreeMap<_, _>>(), ..Change::default() };
    let began = Instant::now();
    let now = Timestamp::from_nanos(1);
    let answer = Answer::to(|result: Result<_, _>| drop(result.unwrap()));
    let _plan = services.command(now, Command::Change { change, options: ChangeOptions::default(), answer });
    println!("{APPS} apps taken in by one change: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    println!("memory for them: {:.0} MiB", resident_mib() - before);

    let fleet =
        Fleet::of(MACHINES, "cpus:16;mem:65536;ports:[31000-32000]").unwrap().lasts(Duration::from_secs(120));
    let began = Instant::now();
    let timed = Timed { services, events: Vec::new(), kept: 0 };
    let (result, mut timed) = simulate_scheduler(&fleet, 1, timed).unwrap();
    let took = began.elapsed();
    let serving: usize = timed
        .services
        .services()
        .values()
        .map(|one| one.instances().values().filter(|one| one.is_serving()).count())
        .sum();
    assert_eq!((serving, result.stopped), (APPS * INSTANCES, None));
    timed.events.sort_unstable();
    let at = |part: f64| timed.events[((timed.events.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let busy: Duration = timed.events.iter().sum();
    println!(
        "{serving} instances on {MACHINES} machines, master and agents simulated beside them: {:.1} s (goal 30 s), of which the services {:.1} s",
        took.as_secs_f64(),
        busy.as_secs_f64()
    );
    println!(
        "one event of {}: p50 {:.3} ms, p99 {:.3} ms, longest {:.1} ms (goal 50 ms)",
        timed.events.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    println!(
        "records written: {}; memory of all, the simulated cluster included: {:.0} MiB",
        timed.kept,
        resident_mib()
    );
}
