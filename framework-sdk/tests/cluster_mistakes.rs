//! Schedulers that are wrong on purpose: each mistake is noticed, named, and told again from its seed.
#![cfg(feature = "testing")]

mod keeper;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use keeper::Keeper;
use lonja_sdk::prelude::*;
use lonja_sdk::testing::{Faults, TestCluster, fuzz, hours, mins, secs};

/// What is wrong with a scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// It keeps nothing.
    ForgetsAll,
    /// It keeps each change but the latest, which it says with the next.
    KeepsTooLate,
    /// It takes no note of ends.
    IgnoresEnds,
    /// It launches under an id that is alive.
    RepeatsIds,
    /// It asks for more than it is offered.
    PlansOverItsOffers,
    /// It panics when a task runs.
    Panics,
    /// It panics when it is asked for its deadline.
    PanicsAtItsDeadline,
}

/// A keeper with a mistake.
struct Wrong {
    keeper: Keeper,
    mistake: Mistake,
    runs: bool,
    late: Vec<Change>,
}

impl Scheduler for Wrong {
    fn offers(&mut self, now: Timestamp, offers: &[Offer]) -> Plan {
        let task = Task::shell("sleep inf").and_then(|task| task.cpus(0.5)).expect("a task");
        let twin = |offer: &Offer, id: &str| {
            let id = TaskId::new(id).expect("an id");
            task.with_resources(&offer.agent, id, "cpus:1".parse().expect("an amount"))
        };
        let Some(offer) = offers.first() else { return Plan::new() };
        match self.mistake {
            Mistake::RepeatsIds => Plan::new().launch(offer, [twin(offer, "same"), twin(offer, "same")]),
            Mistake::PlansOverItsOffers => {
                let much = offer.resources.checked_add(&"cpus:1".parse().expect("an amount"));
                let id = TaskId::new("much").expect("an id");
                Plan::new().launch(offer, [task.with_resources(&offer.agent, id, much.expect("a sum"))])
            }
            _ => self.keeper.offers(now, offers),
        }
    }

    fn update(&mut self, now: Timestamp, status: &TaskStatus) -> Plan {
        self.runs |= status.state == TaskState::Running;
        assert!(self.mistake != Mistake::Panics || !self.runs, "no task can run");
        match self.mistake {
            Mistake::IgnoresEnds => Plan::new(),
            _ => self.keeper.update(now, status),
        }
    }

    fn wants_offers(&self) -> bool {
        self.keeper.wants_offers()
    }

    fn changes(&mut self) -> Vec<Change> {
        let changes = self.keeper.changes();
        match self.mistake {
            Mistake::ForgetsAll => Vec::new(),
            Mistake::KeepsTooLate => std::mem::replace(&mut self.late, changes),
            _ => changes,
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        assert!(self.mistake != Mistake::PanicsAtItsDeadline || !self.runs, "no deadline is known");
        None
    }
}

fn cluster(seed: u64, mistake: Mistake) -> TestCluster<Wrong> {
    let make = move |state: &State| Wrong {
        keeper: Keeper::restore(2, state),
        mistake,
        runs: false,
        late: Vec::new(),
    };
    TestCluster::new(seed)
        .agents(2, "cpus:4;mem:4096")
        .framework(FrameworkOptions::named("wrong"), make)
        .settled_when(|wrong| wrong.keeper.is_content())
        .invariant(|wrong| wrong.keeper.keeps_its_word())
}

/// What a run of many seeds says of a mistake.
fn story(mistake: Mistake) -> String {
    let run = AssertUnwindSafe(|| {
        fuzz(0..200, |seed| {
            let mut cluster = cluster(seed, mistake);
            cluster.random_faults(Faults::ALL, mins(2));
            cluster.settles_within(hours(2));
            cluster.assert_running(2);
        })
    });
    let panic = catch_unwind(run).expect_err("a seed of two hundred notices");
    panic.downcast_ref::<String>().expect("it says so").clone()
}

fn tells(mistake: Mistake, what: &[&str]) {
    let story = story(mistake);
    assert!(what.iter().any(|what| story.contains(what)), "{mistake:?}: {story}");
    assert!(story.contains("LONJA_TEST_SEED=") && story.contains("the last events:"), "{story}");
}

/// While the library still knows of the first launch it refuses the second; the cluster never forgets.
const AGAIN: [&str; 2] =
    ["scheduler: Wrong makes an impossible plan: task id keep-", "scheduler: Wrong launches task keep-"];

#[test]
fn a_scheduler_that_keeps_nothing_is_caught_launching_again() {
    tells(Mistake::ForgetsAll, &AGAIN);
}

#[test]
fn a_scheduler_that_writes_down_too_late_is_caught_launching_again() {
    tells(Mistake::KeepsTooLate, &AGAIN);
}

#[test]
fn a_scheduler_that_overlooks_an_end_has_too_few_tasks() {
    tells(Mistake::IgnoresEnds, &["2 tasks should run"]);
}

#[test]
fn a_scheduler_that_panics_is_named_with_what_it_was_told() {
    tells(
        Mistake::Panics,
        &["scheduler: Wrong panics: no task can run, when it was told of framework: update"],
    );
    tells(Mistake::PanicsAtItsDeadline, &["scheduler: Wrong panics: no deadline is known"]);
}

#[test]
fn impossible_plans_are_named() {
    tells(Mistake::PlansOverItsOffers, &["scheduler: Wrong makes an impossible plan: task much needs"]);
    tells(Mistake::RepeatsIds, &["scheduler: Wrong makes an impossible plan: task id same is in use"]);
}

#[test]
fn of_many_faults_those_are_told_that_are_enough() {
    let story = story(Mistake::ForgetsAll);
    let left = story.split("these are enough:").nth(1).expect("it was tried with fewer");
    let left = left.lines().filter(|line| line.starts_with("    ")).count();
    assert!((1..=3).contains(&left), "{story}");
}

#[test]
fn a_mistake_can_be_expected() {
    let mut wrong = cluster(1, Mistake::PlansOverItsOffers);
    let failure = wrong.try_run_for(mins(1)).expect_err("it plans over its offers");
    assert!(failure.what.starts_with("scheduler: Wrong makes an impossible plan"), "{failure}");
    assert_eq!(wrong.try_run_for(mins(1)), Err(failure), "a cluster that has failed goes no further");

    let mut survives = cluster(1, Mistake::PlansOverItsOffers).survives_impossible_plans();
    survives.run_for(mins(1));
    survives.assert_running(0);

    let mut panics = cluster(1, Mistake::Panics).survives_panics();
    panics.run_for(mins(1));
    panics.assert_running(2);
}

/// Set in the process in which [`planted`] is to fail.
const PLANTED: &str = "LONJA_TEST_OF_ITSELF";

/// Run by the next test in a process of its own.
#[test]
fn planted() {
    // Fails on purpose, and only there.
    if std::env::var_os(PLANTED).is_none() {
        return;
    }
    fuzz(100..200, |seed| {
        let mut cluster = cluster(seed, Mistake::KeepsTooLate);
        cluster.random_faults(Faults::ALL, mins(2));
        cluster.settles_within(hours(2));
    });
}

#[test]
fn the_command_that_is_told_tells_the_same_run_again() {
    let run = |variables: &[(&str, &str)]| {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        for name in ["LONJA_TEST_SEED", "LONJA_TEST_SEEDS", "LONJA_TEST_KEEP", "RUST_BACKTRACE"] {
            command.env_remove(name);
        }
        command
            .args(["--exact", "planted", "--nocapture"])
            .env(PLANTED, "yes")
            .envs(variables.iter().copied());
        let output = command.output().expect("it runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let value = |text: &str, before: &str| {
        let rest = text.split(before).nth(1).unwrap_or_else(|| panic!("{before} is not in {text}"));
        rest.split_whitespace().next().unwrap_or_default().trim_end_matches(';').to_owned()
    };

    let story = run(&[]);
    let (seed, keep) = (value(&story, "LONJA_TEST_SEED="), value(&story, "LONJA_TEST_KEEP="));
    assert!(story.contains("cargo test planted"), "{story}");

    let again = run(&[("LONJA_TEST_SEED", &seed), ("LONJA_TEST_KEEP", &keep)]);
    assert_eq!(value(&again, "trace "), value(&story, "trace "), "{again}");
    let whole = run(&[("LONJA_TEST_SEED", &seed)]);
    assert!(AGAIN.iter().any(|again| whole.contains(again)), "{whole}");
}

#[test]
fn a_scheduler_that_breaks_its_own_promise_is_caught() {
    let mut cluster =
        cluster(1, Mistake::IgnoresEnds).invariant(|_| Err("nothing may be launched".to_owned()));
    let failure = cluster.try_run_for(secs(10)).expect_err("the promise cannot be kept");
    assert!(failure.what.contains("Wrong breaks its promise: nothing may be launched"), "{failure}");
}
