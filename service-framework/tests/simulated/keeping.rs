//! What is kept is within the bounds of a store, however much is asked for, and all of it is found again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use lonja_sdk::Interactive as _;
use lonja_sdk::prelude::*;
use lonja_services::wire::JsonCodec;
use lonja_services_core::command::Refused;
use lonja_services_core::definition::{App, EnvValue, RunSpec};
use lonja_services_core::groups::{self, Group};
use lonja_services_core::{
    Answer, Change as Wanted, ChangeOptions, Command, Config, PathId, Services, Started,
};

use crate::world::{app, path, put, remove};

/// The longest value that a store takes.
const VALUE_BYTES: usize = 1 << 20;

/// The most changes that go with one event, and what they come to.
const CHANGES: usize = 1 << 18;
const CHANGES_BYTES: usize = 160 << 20;

/// Services without a master, and a store that is as strict as a driver.
struct Desk {
    services: Services,
    state: State,
    now: Timestamp,
}

impl Desk {
    fn new() -> Self {
        let mut desk =
            Self { services: restored(&State::default()), state: State::default(), now: Timestamp::ZERO };
        desk.tick();
        desk
    }

    fn tick(&mut self) {
        let _nothing_is_sent = self.services.tick(self.now);
        self.write();
    }

    fn write(&mut self) {
        for round in 0.. {
            assert!(round < 1_000, "it never has written all");
            let (mut number, mut bytes) = (0, 0);
            for change in self.services.changes() {
                let (key, value) = match &change {
                    Change::Put { key, value } => (key.len(), value.len()),
                    Change::Remove { key } => (key.len(), 0),
                    other => panic!("{other:?}"),
                };
                assert!(value <= VALUE_BYTES && key <= 1_024, "a value of {value} bytes");
                (number, bytes) = (number + 1, bytes + key + value);
                self.state.apply(change);
            }
            assert!(number <= CHANGES && bytes <= CHANGES_BYTES, "{number} changes of {bytes} bytes");
            self.services.take_events();
            if self.services.next_deadline().is_none_or(|at| at > self.now) {
                return;
            }
            let _nothing_is_sent = self.services.tick(self.now);
        }
    }

    fn change(&mut self, change: Wanted) -> Result<Started, Refused> {
        self.now = self.now + std::time::Duration::from_secs(1);
        let taken = Arc::new(Mutex::new(None));
        let given = Arc::clone(&taken);
        let answer = Answer::to(move |result| *given.lock().unwrap() = Some(result));
        let options = ChangeOptions { force: true, ..ChangeOptions::default() };
        let _nothing_is_sent = self.services.command(self.now, Command::Change { change, options, answer });
        self.write();
        let result = taken.lock().unwrap().take();
        result.expect("it was answered")
    }

    fn restart(&mut self) {
        self.services = restored(&self.state);
        self.tick();
    }

    fn keys(&self, kind: &str) -> usize {
        self.state.below(kind).count()
    }
}

fn restored(state: &State) -> Services {
    Services::restore(Config::default(), Arc::new(JsonCodec), 1, state).expect("it was written by itself")
}

/// So many apps without instances and ports, of this number on.
fn many(count: usize, from: usize) -> Vec<App> {
    let one = |number| App {
        port_definitions: Some(Vec::new()),
        ..app(&format!("/a-group-of-many/with-services-of-the-name-{number:08}"), 0)
    };
    (from..from + count).map(one).collect()
}

fn all(apps: Vec<App>) -> Wanted {
    let specs = apps.into_iter().map(|app| (app.id.clone(), Some(RunSpec::App(Arc::new(app)))));
    Wanted { specs: specs.collect(), ..Wanted::default() }
}

#[test]
fn a_value_of_five_mebibytes_is_found_again_and_leaves_nothing_behind() {
    let variable = |number| (format!("V{number}"), EnvValue::Text("x".repeat(50 << 10)));
    let large = App { env: (0..100).map(variable).collect(), ..app("large", 0) };
    let mut desk = Desk::new();
    desk.change(put(large.clone())).unwrap();
    assert!(desk.state.get("spec/large#4").is_some());
    for _ in 0..2 {
        desk.restart();
        let spec = desk.services.service(&path("large")).unwrap().spec().clone();
        let RunSpec::App(found) = spec else { panic!("it is an app") };
        assert_eq!(found.env, large.env);
    }
    desk.change(put(app("large", 0))).unwrap();
    assert!(desk.state.entries().all(|(key, _)| !key.starts_with("spec/large#")));
    desk.restart();
    desk.change(remove("large")).unwrap();
    let left: Vec<&str> =
        desk.state.entries().map(|(key, _)| key).filter(|key| key.contains("large")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_value_without_its_beginning_is_said_to_be_none() {
    let mut state = State::default();
    state.apply(Change::put("spec/web#1", "}"));
    let error = Services::restore(Config::default(), Arc::new(JsonCodec), 1, &state).err();
    assert!(error.is_some_and(|words| words.contains("spec/web")));
}

#[test]
fn a_group_may_depend_on_ten_thousand_with_long_names() {
    let on = |number| path(&format!("/{}-{number:05}", "dependency".repeat(11)));
    let group =
        Group { dependencies: (0..9_999).map(on).collect(), ..Group::new(path("g2"), Default::default()) };
    let mut desk = Desk::new();
    let groups = BTreeMap::from([(path("g2"), Some(group))]);
    desk.change(Wanted { groups, ..Wanted::default() }).unwrap();
    desk.restart();
    assert_eq!(desk.services.groups()[&path("g2")].dependencies.len(), 9_999);
}

#[test]
fn ten_thousand_apps_are_made_replaced_and_removed_at_once() {
    let mut desk = Desk::new();
    desk.change(all(many(10_000, 0))).unwrap();
    let mut others = all(many(10_000, 10_000));
    others.specs.extend(many(10_000, 0).into_iter().map(|app| (app.id, None)));
    desk.change(others).unwrap();
    desk.restart();
    assert_eq!(desk.services.services().len(), 10_000);
    desk.change(groups::removal(PathId::root())).unwrap();
    assert_eq!((desk.keys("spec/"), desk.keys("version/"), desk.keys("deployment/")), (0, 0, 0));
}

#[test]
fn apps_with_all_their_versions_are_removed_at_once() {
    let mut desk = Desk::new();
    // As ten thousand with fifty versions each, and more versions on fewer apps make a shorter test of the same.
    for round in 0..50 {
        let apps = many(1_000, 0).into_iter().map(|app| App { cmd: Some(format!("v{round}")), ..app });
        desk.change(all(apps.collect())).unwrap();
    }
    assert!(desk.keys("version/") >= 50_000);
    let before = desk.state.clone();
    desk.change(groups::removal(PathId::root())).unwrap();
    assert_eq!((desk.keys("spec/"), desk.keys("version/")), (0, 0));

    // Killed while some of it was yet to be removed.
    for (key, value) in before.below("version/").take(100) {
        desk.state.apply(Change::put(format!("version/{key}"), value));
    }
    desk.restart();
    assert_eq!((desk.keys("version/"), desk.services.services().len()), (0, 0));
}

#[test]
fn what_never_had_a_place_leaves_nothing_to_remove() {
    let mut desk = Desk::new();
    desk.change(put(app("web", 100_000))).unwrap();
    assert_eq!(desk.services.service(&path("web")).unwrap().instances().len(), 100_000);
    let _nothing_is_sent = {
        let gone = remove("web");
        let options = ChangeOptions { force: true, ..ChangeOptions::default() };
        let command = Command::Change { change: gone, options, answer: Answer::nobody() };
        desk.services.command(desk.now, command)
    };
    let written: BTreeSet<String> = desk
        .services
        .changes()
        .into_iter()
        .map(|change| match change {
            Change::Put { key, .. } | Change::Remove { key } => key,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(written.len() < 10, "{} changes", written.len());
    assert!(desk.services.services().is_empty());
}

#[test]
fn more_than_can_be_kept_at_once_is_refused_with_words_and_changes_nothing() {
    let mut desk = Desk::new();
    let Err(Refused::Invalid(faults)) = desk.change(all(many(40_000, 0))) else { panic!("it was taken") };
    assert!(faults[0].message.contains("make several changes"), "{faults:?}");
    let large = |number| {
        let variable = |name| (format!("V{name}"), EnvValue::Text("x".repeat(60 << 10)));
        App { env: (0..100).map(variable).collect(), ..app(&format!("large-{number}"), 0) }
    };
    let Err(Refused::Invalid(faults)) = desk.change(all((0..10).map(large).collect())) else {
        panic!("it was taken")
    };
    assert!(faults[0].message.contains("MiB"), "{faults:?}");
    assert!(desk.services.services().is_empty() && desk.keys("spec/") == 0);
}
