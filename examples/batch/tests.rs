//! The framework without a cluster: offers and news are made up, what it does is looked at.

use lonja_sdk::model::attributes::Attributes;
use lonja_sdk::model::task::Source;
use lonja_sdk::model::{OfferId, Role};

use super::*;

const NOW: Timestamp = Timestamp::ZERO;

/// A framework for so many shards of half a CPU each, which tries each twice more.
fn batch(shards: usize) -> Batch {
    let task = Task::shell(SCRIPT).unwrap().cpus(0.5).unwrap().mem_mib(128.0).unwrap();
    Batch::restore(shards, task, 2, watch::Sender::default(), &State::default())
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

#[test]
fn what_the_cluster_lost_counts_for_no_failure_of_the_shard() {
    let mut batch = batch(1);
    for attempt in 1..10 {
        batch.is_offered("cpus:4;mem:4096");

        assert!(!batch.ends(&format!("shard-0.{attempt}"), TaskState::Lost));
    }

    batch.is_offered("cpus:4;mem:4096");
    assert!(batch.ends("shard-0.10", TaskState::Finished) && batch.failure.is_none());
}

#[test]
fn a_framework_started_anew_goes_on_where_it_was() {
    let mut first = batch(4);
    first.is_offered("cpus:1.5;mem:4096");
    first.ends("shard-0.1", TaskState::Finished);
    first.ends("shard-1.1", TaskState::Failed);
    let mut state = State::default();
    first.changes().into_iter().for_each(|change| state.apply(change));
    state.apply(Record::Launched { task: "shard-2.1".parse().unwrap(), agent: "a1".parse().unwrap() });

    let mut second = Batch::restore(4, first.task, 2, watch::Sender::default(), &state);

    assert_eq!((second.running(), second.progress.done), (vec!["shard-2.1".to_owned()], 1));
    assert_eq!(second.is_offered("cpus:4;mem:4096"), ["shard-1.2", "shard-3.1"]);
    assert!(!second.ends("shard-1.2", TaskState::Failed) && second.is_offered("cpus:1;mem:200").len() == 1);
    assert!(second.ends("shard-1.3", TaskState::Failed), "the failure of the first run counts");
}

mod faults {
    use lonja_sdk::testing::{Faults, TaskOutcome, TestCluster, Told, fuzz, hours, mins, secs};

    use super::*;

    /// Room for three shards at a time, which take half a minute each.
    const SHARDS: usize = 12;

    fn cluster(seed: u64) -> TestCluster<Batch> {
        TestCluster::new(seed)
            .agents(3, "cpus:0.5;mem:256")
            .outcome(|_task| TaskOutcome::exits(0).after(secs(30)))
            .framework(FrameworkOptions::named("batch"), |state| {
                let task = Task::shell(SCRIPT).unwrap().cpus(0.5).unwrap().mem_mib(128.0).unwrap();
                // A machine that loses power fails what it runs: that is no end of all.
                Batch::restore(SHARDS, task, 1_000, watch::Sender::default(), state)
            })
            .settled_when(Batch::is_over)
            .invariant(|batch| match &batch.failure {
                Some(Failure { shard, why }) => Err(format!("shard {shard} was given up: {why}")),
                None => Ok(()),
            })
    }

    /// What the framework was told of each attempt at a shard, in order.
    fn attempts(cluster: &TestCluster<Batch>, shard: usize) -> Vec<Vec<Told>> {
        let attempts = cluster.tasks().into_iter().filter_map(|task| {
            let (of, attempt) = task.info.id.as_str().strip_prefix("shard-")?.split_once('.')?;
            (of.parse() == Ok(shard)).then(|| attempt.parse::<u32>().ok())?
        });
        let mut attempts: Vec<u32> = attempts.collect();
        attempts.sort_unstable();
        attempts.into_iter().map(|attempt| cluster.history(id(shard, attempt).as_str())).collect()
    }

    fn finished(told: &[Told]) -> bool {
        told.iter().any(|told| told.status.state == TaskState::Finished)
    }

    /// Could it be taken for lost?
    fn came_to_nothing(told: &[Told]) -> bool {
        told.iter().any(|told| {
            let state = told.status.state;
            let is_silent = matches!(state, TaskState::Unreachable | TaskState::Unknown);
            is_silent || state.is_terminal() && state != TaskState::Finished
        })
    }

    #[test]
    fn without_faults_each_shard_is_counted_once_and_the_framework_ends() {
        let mut cluster = cluster(1);

        cluster.settles_within(mins(10));

        assert_eq!(cluster.tasks().len(), SHARDS);
        assert!((0..SHARDS).all(|shard| finished(&attempts(&cluster, shard)[0])));
    }

    #[test]
    fn whatever_fails_each_shard_is_counted_and_none_again_without_need() {
        fuzz(0..200, |seed| {
            let mut cluster = cluster(seed);
            cluster.random_faults(Faults::ALL, mins(4));
            cluster.settles_within(hours(4));

            for shard in 0..SHARDS {
                let attempts = attempts(&cluster, shard);
                assert!(
                    attempts.iter().any(|told| finished(told)),
                    "shard {shard} never finished: {attempts:?}"
                );
                let earlier = attempts.len().saturating_sub(1);
                for told in &attempts[..earlier] {
                    assert!(
                        came_to_nothing(told),
                        "shard {shard} was tried again without need: {attempts:?}"
                    );
                }
            }
        });
    }
}
