//! The rules of the scheduler by offers and news made up, and all of it under faults.

use lonja_sdk::testing::{offer, status};

use super::*;

const NOW: Timestamp = Timestamp::ZERO;

fn pipeline(state: &State) -> Pipeline {
    let task = Task::shell(SCRIPT).unwrap().cpus(0.5).unwrap().mem_mib(64.0).unwrap();
    Pipeline::restore(&parse(EXAMPLE).unwrap(), &task, 1, state)
}

impl Pipeline {
    fn starts(&mut self, cpus: u32) -> Vec<String> {
        let before: Vec<_> = self.running();
        self.offers(NOW, &[offer("o", "a", &format!("cpus:{cpus};mem:4096"))]);
        self.running().into_iter().filter(|task| !before.contains(task)).collect()
    }

    fn running(&self) -> Vec<String> {
        let running = self.stages.values().filter(|(_, one)| one.now == Now::Running);
        running.map(|(stage, standing)| format!("{}.{}", stage.name, standing.attempts)).collect()
    }

    fn hears(&mut self, task: &str, state: TaskState) -> Plan {
        self.update(NOW, &status(task, state))
    }
}

#[test]
fn a_stage_starts_once_all_its_inputs_are_there() {
    let mut pipeline = pipeline(&State::default());

    assert_eq!(pipeline.starts(4), ["numbers.1"]);
    assert!(!pipeline.wants_offers());
    pipeline.hears("numbers.1", TaskState::Finished);
    assert_eq!(pipeline.starts(4), ["fives.1", "threes.1"]);
    pipeline.hears("fives.1", TaskState::Finished);
    assert!(pipeline.starts(4).is_empty());
    pipeline.hears("threes.1", TaskState::Finished);
    assert_eq!(pipeline.starts(4), ["both.1"]);
    assert_eq!(pipeline.hears("both.1", TaskState::Finished), Plan::new().tear_down());
}

#[test]
fn a_scheduler_started_anew_goes_on_where_the_last_one_was() {
    let (mut first, mut state) = (pipeline(&State::default()), State::default());
    first.starts(4);
    first.hears("numbers.1", TaskState::Finished);
    first.starts(1);
    first.changes().into_iter().for_each(|change| state.apply(change));

    let mut second = pipeline(&state);

    assert_eq!(second.running(), first.running());
    assert_eq!(second.starts(4).len(), 0, "both were started before");
}

#[test]
fn one_that_has_failed_is_known_for_it_after_a_restart() {
    let (mut first, mut state) = (pipeline(&State::default()), State::default());
    for attempt in 1..=2 {
        first.starts(4);
        first.hears(&format!("numbers.{attempt}"), TaskState::Failed);
    }
    first.changes().into_iter().for_each(|change| state.apply(change));

    let mut second = pipeline(&state);

    assert_eq!(second.failure.as_deref(), Some("stage numbers failed 2 times"));
    assert!(!second.wants_offers() && second.starts(4).is_empty());
    let plan = second.subscribed(NOW, &"f".parse().unwrap(), &MasterInfo::default());
    assert_eq!(plan, Plan::new().tear_down());
}

#[test]
fn what_the_cluster_did_costs_no_try_and_what_the_stage_did_does() {
    let mut pipeline = pipeline(&State::default());
    for (attempt, state) in [TaskState::Lost, TaskState::Gone, TaskState::Unreachable].into_iter().enumerate()
    {
        assert_eq!(pipeline.starts(4), [format!("numbers.{}", attempt + 1)]);
        pipeline.hears(&format!("numbers.{}", attempt + 1), state);
    }
    pipeline.starts(4);
    assert!(pipeline.hears("numbers.4", TaskState::Failed).is_empty());
    pipeline.starts(4);

    let plan = pipeline.hears("numbers.5", TaskState::Failed);

    assert_eq!(plan, Plan::new().tear_down());
    assert!(pipeline.failure.unwrap().contains("stage numbers failed 2 times"));
}

#[test]
fn an_attempt_that_was_given_up_is_killed_when_it_is_back() {
    let mut pipeline = pipeline(&State::default());
    pipeline.starts(4);
    pipeline.hears("numbers.1", TaskState::Unreachable);

    let plan = pipeline.hears("numbers.1", TaskState::Running);

    assert_eq!(plan, Plan::new().kill("numbers.1".parse().unwrap(), None));
}

#[test]
fn stages_that_could_never_run_are_refused() {
    for (text, expected) in [
        ("", "no stage"),
        ("a", "line 1"),
        ("a = x\na = y", "line 2: stage a is there twice"),
        ("a < b = x", "no stage makes its input b"),
        ("a < b = x\nb < a = y", "waits for itself"),
        ("a/b = x", "is no name"),
        ("a =", "no command"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}

mod faults {
    use lonja_sdk::testing::{Faults, TaskOutcome, TestCluster, fuzz, hours, mins, secs};

    use super::*;

    fn cluster(seed: u64) -> TestCluster<Pipeline> {
        TestCluster::new(seed)
            .agents(3, "cpus:1;mem:256")
            .outcome(|_task| TaskOutcome::exits(0).after(secs(30)))
            .framework(FrameworkOptions::named("pipeline"), |state| {
                // A machine that loses power fails what it runs: that is no end of all.
                Pipeline { retries: 1_000, failure: None, ..pipeline(state) }
            })
    }

    /// How a task ended, as its framework was told; older news may have come again after that.
    fn end<S: 'static>(cluster: &TestCluster<S>, task: &TaskId) -> Option<TaskState> {
        let mut told = cluster.history(task.as_str()).into_iter().map(|told| told.status.state);
        told.find(|state| state.is_terminal())
    }

    /// Has a task of the stage finished, as its framework was told?
    fn finished(cluster: &TestCluster<Pipeline>, stage: &str) -> bool {
        let of_stage = |id: &TaskId| id.as_str().rsplit_once('.').is_some_and(|(name, _)| name == stage);
        cluster
            .tasks()
            .iter()
            .any(|task| of_stage(&task.info.id) && end(cluster, &task.info.id) == Some(TaskState::Finished))
    }

    #[test]
    fn all_stages_finish_one_after_the_other() {
        let mut cluster = cluster(1);

        cluster.until(mins(5), |cluster| finished(cluster, "both"));

        let ran = |stage: &str| {
            let told = cluster.history(&format!("{stage}.1"));
            told.first().map(|told| told.at).zip(told.last().map(|told| told.at)).unwrap()
        };
        assert!(ran("numbers").1 < ran("fives").0 && ran("numbers").1 < ran("threes").0);
        assert!(ran("fives").1.max(ran("threes").1) < ran("both").0);
        assert_eq!(cluster.tasks().len(), 4);
    }

    #[test]
    fn whatever_fails_each_stage_finishes_once_and_after_its_inputs() {
        fuzz(0..200, |seed| {
            let mut cluster = cluster(seed);
            cluster.random_faults(Faults::ALL, mins(3));
            cluster.until(hours(4), |cluster| finished(cluster, "both"));
            cluster.settles_within(hours(2));

            for stage in parse(EXAMPLE).unwrap() {
                assert!(finished(&cluster, &stage.name), "{} never finished", stage.name);
                tried_again_only_if_needed(&cluster, &stage.name);
            }
        });
    }

    /// Each attempt but the last came to nothing, as far as anybody could know: none is made beside one that runs well.
    fn tried_again_only_if_needed(cluster: &TestCluster<Pipeline>, stage: &str) {
        let attempts = cluster.tasks().into_iter().filter(|task| task.info.name == stage);
        let mut attempts: Vec<_> = attempts.map(|task| task.info.id).collect();
        attempts.sort_by_key(|id| {
            id.as_str().rsplit_once('.').and_then(|(_, attempt)| attempt.parse::<u32>().ok())
        });
        attempts.pop();
        for id in attempts {
            let told = cluster.history(id.as_str());
            let given_up = told.iter().any(|told| {
                let state = told.status.state;
                let lost = matches!(state, TaskState::Unreachable | TaskState::Unknown);
                lost || state.is_terminal() && state != TaskState::Finished
            });
            assert!(given_up, "{id} was tried again, and was told {told:?}");
        }
    }
}
