//! The framework without a cluster: offers and news are made up, what it does is looked at.

use lonja_sdk::model::attributes::Attributes;
use lonja_sdk::model::task::Source;
use lonja_sdk::model::{OfferId, Role};

use super::*;

const NOW: Timestamp = Timestamp::ZERO;

/// A framework for so many shards of half a CPU each, which tries each twice more.
fn batch(shards: usize) -> Batch {
    let task = Task::shell(SCRIPT).unwrap().cpus(0.5).unwrap().mem_mib(128.0).unwrap();
    Batch::new(shards, task, 2, watch::Sender::default())
}

fn offer(resources: &str) -> Offer {
    Offer {
        id: OfferId::new("o1").unwrap(),
        framework: FrameworkId::new("f1").unwrap(),
        agent: AgentId::new("a1").unwrap(),
        role: Role::default_role(),
        hostname: "host".to_owned(),
        port: 5051,
        resources: resources.parse().unwrap(),
        attributes: Attributes::default(),
        domain: None,
        executors: Vec::new(),
        unavailability: None,
    }
}

impl Batch {
    fn is_offered(&mut self, resources: &str) -> Vec<String> {
        let before = self.running();
        self.offers(NOW, &[offer(resources)]);
        self.running().into_iter().filter(|task| !before.contains(task)).collect()
    }

    fn running(&self) -> Vec<String> {
        self.in_flight.keys().map(ToString::to_string).collect()
    }

    /// Has a task end in `state`; whether that ended the framework.
    fn ends(&mut self, task: &str, state: TaskState) -> bool {
        let status = TaskStatus::new(TaskId::new(task).unwrap(), state, Source::Agent, NOW);
        self.update(NOW, &status.saying("exited with status 1")) == Plan::new().tear_down()
    }
}

#[test]
fn an_offer_is_filled_with_as_many_tasks_as_fit() {
    let mut batch = batch(5);

    let launched = batch.is_offered("cpus:4;mem:300");

    assert_eq!(launched, ["shard-0.1", "shard-1.1"]);
    assert!(batch.wants_offers());
}

#[test]
fn it_ends_when_all_shards_are_done() {
    let mut batch = batch(2);
    batch.is_offered("cpus:4;mem:4096");

    assert!(!batch.wants_offers());
    assert!(!batch.ends("shard-1.1", TaskState::Finished));
    assert!(batch.ends("shard-0.1", TaskState::Finished));
    assert!(batch.failure.is_none());
}

#[test]
fn a_shard_that_fails_is_tried_again_under_another_id() {
    for how in [TaskState::Failed, TaskState::Lost, TaskState::Unreachable, TaskState::Unknown] {
        let mut batch = batch(1);
        batch.is_offered("cpus:4;mem:4096");

        assert!(!batch.ends("shard-0.1", how), "{how}");

        assert!(batch.wants_offers(), "{how}");
        assert_eq!(batch.is_offered("cpus:4;mem:4096"), ["shard-0.2"], "{how}");
    }
}

#[test]
fn news_of_an_attempt_that_was_given_up_change_nothing() {
    let mut batch = batch(1);
    batch.is_offered("cpus:4;mem:4096");
    batch.ends("shard-0.1", TaskState::Unreachable);
    batch.is_offered("cpus:4;mem:4096");

    assert!(!batch.ends("shard-0.1", TaskState::Failed));

    assert_eq!(batch.running(), ["shard-0.2"]);
    assert_eq!(batch.progress.retried, 1);
}

#[test]
fn it_gives_up_when_a_shard_has_failed_as_often_as_it_may() {
    let mut batch = batch(2);
    for attempt in ["shard-0.1", "shard-0.2"] {
        batch.is_offered("cpus:4;mem:4096");
        assert!(!batch.ends(attempt, TaskState::Failed));
    }
    batch.is_offered("cpus:4;mem:4096");

    assert!(batch.ends("shard-0.3", TaskState::Failed));

    let failure = batch.failure.unwrap();
    assert_eq!((failure.shard, failure.why.as_str()), (0, "exited with status 1"));
}

#[test]
fn offers_that_are_too_small_are_said_to_be() {
    let mut batch = batch(1);

    assert!(batch.is_offered("cpus:0.4;mem:4096").is_empty());

    assert!(batch.progress.starved);
}

#[test]
fn results_are_added_up() {
    let mut all = Count::default();

    all.add(2, "  3  5 40\n      1 \n      2 fish\n      1 sea\n".as_bytes()).unwrap();
    all.add(1, "  1  2 10\n      2 sea\n".as_bytes()).unwrap();

    assert_eq!((all.lines, all.words, all.bytes), (1, 7, 47));
    assert_eq!(all.top(2), [("sea", 3), ("fish", 2)]);
    assert!(Count::default().add(1, "".as_bytes()).is_err());
}

#[test]
fn files_are_cut_into_shards_and_what_is_no_file_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("a b")).unwrap();
    fs::write(root.join("a b/new\nline"), [b'x'; 60]).unwrap();
    fs::write(root.join("-"), [b'x'; 60]).unwrap();
    fs::write(root.join("large"), [b'x'; 600]).unwrap();
    std::os::unix::fs::symlink("large", root.join("link")).unwrap();
    std::os::unix::fs::symlink("/", root.join("a b/root")).unwrap();

    let cut = cut(root, 100).unwrap();

    assert_eq!(cut.skipped, 2);
    let mut files: Vec<_> = cut.shards.iter().flat_map(|shard| shard.files.clone()).collect();
    files.sort();
    assert_eq!(files, [Path::new("-"), Path::new("a b/new\nline"), Path::new("large")]);
    assert!(cut.shards.iter().all(|shard| shard.files.len() == 1 || shard.bytes <= 100));
}

#[test]
fn results_are_removed_at_the_end() {
    let parent = tempfile::tempdir().unwrap();
    let shard = Shard { files: vec!["a".into(), "b c".into()], bytes: 2 };
    let results = Results::create(parent.path()).unwrap();
    results.write_lists(&[shard]).unwrap();
    assert_eq!(
        fs::read(results.0.join("0.files")).unwrap(),
        b"input/a\0output/newline\0input/b c\0output/newline\0"
    );

    drop(results);

    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}
