//! How long a scheduler takes to place what waits: `cargo bench -p lonja-sdk-core`.
//!
//! `fleet`: 10,000 offers of agents that are used to different parts, against 1,000 tasks with three constraints each,
//! one of them about one's own tasks; goal 50 ms. Tasks are of 20 sizes (`alike`), or no two are equal in size or
//! constraints (`unlike`). `nowhere`: the same, none of which has a place, with the reasons told of 100. `one_offer`:
//! one offer against few tasks while 1,000 run; goal 100 microseconds.

use divan::Bencher;
use lonja_model::agent::Domain;
use lonja_model::attributes::Attributes;
use lonja_model::labels::Labels;
use lonja_model::resources::Scalar;
use lonja_model::task::Source;
use lonja_model::{AgentId, FrameworkId, Offer, OfferId, Role, TaskId, TaskState, TaskStatus, Timestamp};
use lonja_sdk_core::placement::policies::by_name;
use lonja_sdk_core::placement::predicate::{Predicate, Tasks, agent, attribute, hostname, zone};
use lonja_sdk_core::placement::{Placement, Wanted};
use lonja_sdk_core::{Task, task::Need};

fn main() {
    divan::main();
}

const POLICIES: [&str; 5] = ["binpack", "spread", "dot", "fgd", "random"];

#[divan::bench(args = POLICIES, sample_size = 1, sample_count = 25)]
fn fleet_10k_offers_1k_tasks_alike(bencher: Bencher, policy: &str) {
    fleet(bencher, policy, &tasks(1_000, true));
}

#[divan::bench(args = POLICIES, sample_size = 1, sample_count = 25)]
fn fleet_10k_offers_1k_tasks_unlike(bencher: Bencher, policy: &str) {
    fleet(bencher, policy, &tasks(1_000, false));
}

/// The very first decision, which learns of all agents.
#[divan::bench(sample_size = 1, sample_count = 25)]
fn first_10k_offers_1k_tasks(bencher: Bencher) {
    let (offers, tasks) = (offers(10_000), tasks(1_000, true));
    bencher.with_inputs(|| placement("binpack")).bench_local_values(|mut placement| {
        let decision = placement.decide(&offers, &tasks);
        (placement, decision)
    });
}

#[divan::bench(sample_size = 1, sample_count = 25)]
fn nowhere_10k_offers_1k_tasks(bencher: Bencher) {
    let nowhere = attribute("disk").is("tape");
    let tasks: Vec<Wanted> =
        tasks(1_000, false).into_iter().map(|wanted| wanted.place(nowhere.clone())).collect();
    let offers = offers(10_000);
    bencher.with_inputs(|| knowing("binpack", &offers, &tasks)).bench_local_values(|mut placement| {
        let decision = placement.decide(&offers, &tasks);
        assert!(decision.placed.is_empty() && decision.unplaced.len() == 100);
        (placement, decision)
    });
}

#[divan::bench(args = [1, 10], sample_size = 1, sample_count = 1_000)]
fn one_offer(bencher: Bencher, waiting: usize) {
    let all = offers(1_000);
    let tasks = tasks(waiting, true);
    let one = &all[all.len() - 1..];
    bencher
        .with_inputs(|| {
            let mut placement = placement("binpack");
            for (index, offer) in all.iter().enumerate() {
                let id = TaskId::new(format!("old-{index}")).expect("valid");
                let labels = Labels(vec![("app".to_owned(), Some(format!("app-{}", index % 50)))]);
                placement.restore(id, &offer.agent, &labels, &Need::default());
            }
            // Tasks of these kinds were asked for before.
            for placed in placement.decide(&all, &tasks).placed {
                placement.update(&ended(placed.task));
            }
            placement
        })
        .bench_local_values(|mut placement| {
            let decision = placement.decide(one, &tasks);
            (placement, decision)
        });
}

fn fleet(bencher: Bencher, policy: &str, tasks: &[Wanted]) {
    let offers = offers(10_000);
    bencher.with_inputs(|| knowing(policy, &offers, tasks)).bench_local_values(|mut placement| {
        let decision = placement.decide(&offers, tasks);
        assert!(decision.placed.len() > 900, "{} placed", decision.placed.len());
        (placement, decision)
    });
}

/// Has placed such tasks on these agents before, which have ended since.
fn knowing(policy: &str, offers: &[Offer], tasks: &[Wanted]) -> Placement {
    let mut placement = placement(policy);
    for placed in placement.decide(offers, tasks).placed {
        placement.update(&ended(placed.task));
    }
    placement
}

fn placement(policy: &str) -> Placement {
    Placement::new(by_name(policy, 7).expect("valid"))
}

fn ended(task: TaskId) -> TaskStatus {
    TaskStatus::new(task, TaskState::Finished, Source::Agent, Timestamp::ZERO)
}

/// Numbers below `below`, the same each time.
struct Draws(u64);

impl Draws {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Agents of four sizes in three zones and 250 racks, each of them used to some part.
fn offers(count: usize) -> Vec<Offer> {
    let mut draws = Draws(1);
    let offer = |index: usize| {
        let size = 8 << draws.below(4);
        let cpus = size * (25 + draws.below(76)) * 10;
        let mem = size * 4 * (25 + draws.below(76)) / 100;
        let (disk, generation) = (["ssd", "hdd"][index % 2], 1 + draws.below(5));
        let zone = index % 3;
        let resources =
            format!("cpus:{}.{:03};mem:{mem}000;disk:100000;ports:[31000-32000]", cpus / 1000, cpus % 1000);
        Offer {
            id: OfferId::new(format!("5f0c6a3e-o{index}")).expect("valid"),
            framework: FrameworkId::new("f1").expect("valid"),
            agent: AgentId::new(format!("5f0c6a3e-8f0e-4d6f-9a53-S{index}")).expect("valid"),
            role: Role::new("batch").expect("valid"),
            hostname: format!("node-{index:05}.eu.example"),
            port: 5051,
            resources: resources.parse().expect("valid"),
            attributes: Attributes::parse(&format!(
                "kernel:6.{};rack:r{};disk:{disk};generation:{generation}",
                draws.below(3),
                index % 250
            ))
            .expect("valid"),
            domain: Some(Domain { region: "eu".to_owned(), zone: format!("eu-{zone}") }),
            executors: Vec::new(),
            unavailability: None,
        }
    };
    (0..count).map(offer).collect()
}

/// Tasks of 50 applications with three constraints each.
fn tasks(count: usize, alike: bool) -> Vec<Wanted> {
    let mut draws = Draws(2);
    let task = |index: usize| {
        let app = format!("app-{}", index % 50);
        let own = Tasks::labelled("app", app.as_str());
        let more = if alike { draws.below(20) * 100 } else { u64::try_from(index).expect("valid") };
        let cpus = Scalar::from_thousandths(100 + more).expect("valid").to_f64();
        let task = Task::shell("serve")
            .expect("valid")
            .cpus(cpus)
            .expect("valid")
            .mem_mib(256.0 + cpus * 512.0)
            .expect("valid");
        let says: Predicate = match draws.below(3) {
            0 => attribute("disk").is("ssd"),
            1 => attribute("generation").at_least(2.0).expect("valid"),
            _ => zone().is_in(["eu-0", "eu-1"]),
        };
        let like = match draws.below(3) {
            _ if !alike => !attribute("rack").like(&format!("r{}|r{index}.*", index % 250)).expect("valid"),
            0 => attribute("rack").like("r1?[0-9]+").expect("valid"),
            1 => !hostname().like("node-0000.*").expect("valid"),
            _ => attribute("kernel").exists(),
        };
        let apart = match index % 50 % 3 {
            0 => agent().unique(&own),
            1 => attribute("rack").at_most_each(&own, 3),
            _ => zone().spread(&own, 2),
        };
        let task = task.label("app", app).ports(1).place(says & like & apart);
        Wanted::new(TaskId::new(format!("task-{index}")).expect("valid"), task)
    };
    (0..count).map(task).collect()
}
