//! The rules of the scheduler by offers and news made up, and all of it under faults.

use lonja_sdk::testing::{offer, status};

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}

fn schedule(text: &str) -> Schedule {
    Schedule::parse(&format!("{text} name command")).unwrap().0
}

/// One job every ten seconds.
fn cron(catch_up: CatchUp, overlap: Overlap, state: &State) -> Cron {
    Cron::restore(&[Job::parse("@every 10s beat date").unwrap()], catch_up, overlap, state)
}

impl Cron {
    /// Lets a time come, and offers room for two tasks; what was launched.
    fn comes(&mut self, seconds: u64) -> Vec<String> {
        self.tick(at(seconds));
        let running = |cron: &Self| -> Vec<_> {
            let running = cron.runs.iter().filter(|(_, run)| run.launched);
            running.filter_map(|(at, run)| Some(cron.id(*at, run.attempts)?.to_string())).collect()
        };
        let before = running(self);
        self.offers(at(seconds), &[offer("o", "a", "cpus:0.2;mem:64")]);
        running(self).into_iter().filter(|task| !before.contains(task)).collect()
    }

    fn hears(&mut self, task: &str, state: TaskState) {
        self.update(at(0), &status(task, state));
    }

    fn state(&mut self, mut before: State) -> State {
        self.changes().into_iter().for_each(|change| before.apply(change));
        for (at, run) in self.runs.iter().filter(|(_, run)| run.launched) {
            let task = self.id(*at, run.attempts).unwrap();
            before.apply(Record::Launched { task, agent: "a".parse().unwrap() });
        }
        before
    }
}

#[test]
fn times_are_those_of_the_calendar() {
    // 2024-02-29 00:00 UTC, a Thursday, is day 19,782.
    let leap = 19_782 * DAY;
    assert_eq!(month_and_day(19_782), (2, 29));
    assert_eq!(month_and_day(0), (1, 1));
    for (text, after, expected) in [
        ("0 0 29 2 *", leap - 400 * DAY, leap),
        ("30 4 * * *", leap, leap + 4 * 3600 + 30 * 60),
        ("*/20 9-17 * * 1-5", leap + 17 * 3600 + 40 * 60, leap + DAY + 9 * 3600),
        ("0 12 * * 0", leap, leap + 3 * DAY + 12 * 3600),
        ("0 12 * * 7", leap, leap + 3 * DAY + 12 * 3600),
        // Either day will do: the next is Friday the first.
        ("0 0 15 * 5", leap, leap + DAY),
        ("@every 90s", leap, leap + 90 - leap % 90),
    ] {
        let schedule = schedule(text);
        assert_eq!(schedule.next(after, u64::MAX), Some(expected), "{text}");
        assert_eq!(schedule.passed(after, expected, 5), [expected], "{text}");
    }
}

#[test]
fn schedules_that_are_none_are_refused() {
    let wrong =
        ["61 * * * * a b", "* * 31 2 * a b", "*/0 * * * * a b", "5-1 * * * * a b", "@every 0s a b", "* * a"];
    for text in wrong {
        assert!(Job::parse(text).is_err(), "{text}");
    }
}

#[test]
fn each_time_is_run_once() {
    let mut cron = cron(CatchUp::All, Overlap::Allow, &State::default());

    assert!(cron.comes(5).is_empty());
    assert_eq!(cron.next_deadline(), Some(at(10)));
    assert_eq!(cron.comes(10), ["beat.10.1"]);
    assert!(cron.comes(11).is_empty());
    assert_eq!(cron.comes(20), ["beat.20.1"]);
}

#[test]
fn what_was_missed_while_it_was_down_is_made_up_for_as_wanted() {
    for (catch_up, expected) in [(CatchUp::None, 0), (CatchUp::Latest, 1), (CatchUp::All, 3)] {
        let mut first = cron(catch_up, Overlap::Allow, &State::default());
        first.comes(5);
        let state = first.state(State::default());

        let mut second = cron(catch_up, Overlap::Allow, &state);
        second.tick(at(38));

        assert_eq!(second.runs.len(), expected, "{catch_up:?}");
        second.tick(at(40));
        assert_eq!(second.runs.len(), expected + 1, "{catch_up:?}");
    }
}

#[test]
fn a_run_that_is_due_before_the_last_has_ended_does_as_it_is_told() {
    for (overlap, at_twenty, kept) in [
        (Overlap::Allow, vec!["beat.20.1"], 2),
        (Overlap::Wait, vec![], 2),
        (Overlap::Skip, vec![], 1),
        (Overlap::Replace, vec![], 2),
    ] {
        let mut cron = cron(CatchUp::All, overlap, &State::default());
        cron.comes(5);
        cron.comes(10);

        assert_eq!(cron.comes(20), at_twenty, "{overlap:?}");

        assert_eq!(cron.runs.len(), kept, "{overlap:?}");
        cron.hears("beat.10.1", TaskState::Finished);
        let then = cron.comes(21);
        assert_eq!(then.len(), kept - 1 - at_twenty.len(), "{overlap:?}: {then:?}");
    }
    let mut cron = cron(CatchUp::All, Overlap::Replace, &State::default());
    cron.comes(5);
    cron.comes(10);
    assert_eq!(cron.tick(at(20)), Plan::new().kill("beat.10.1".parse().unwrap(), None));
}

#[test]
fn why_a_run_waits_can_be_asked() {
    let mut cron = cron(CatchUp::All, Overlap::Replace, &State::default());
    cron.tick(at(5));
    let not_asked = Plan::new().unplaced([Unplaced::new("beat.10.1")]);
    assert_eq!(cron.tick(at(10)), not_asked);

    let small = offer("o", "a", "cpus:0.01;mem:64");
    let plan = cron.offers(at(11), std::slice::from_ref(&small));

    let need = *cron.jobs[0].task.need();
    assert_eq!(plan, Plan::new().unplaced([need.why_not_on("beat.10.1", [&small])]));
    // The next takes its turn.
    let plan = Plan::new().no_longer_waits(["beat.10.1"]).unplaced([Unplaced::new("beat.20.1")]);
    assert_eq!(cron.tick(at(20)), plan);
}

#[test]
fn a_run_is_started_again_only_if_the_cluster_lost_it() {
    let mut cron = cron(CatchUp::All, Overlap::Wait, &State::default());
    cron.comes(5);
    cron.comes(10);

    cron.hears("beat.10.1", TaskState::Unreachable);
    assert!(cron.comes(11).is_empty());
    cron.hears("beat.10.1", TaskState::Gone);
    assert_eq!(cron.comes(12), ["beat.10.2"]);
    cron.hears("beat.10.1", TaskState::Finished);
    cron.hears("beat.10.2", TaskState::Failed);

    assert!(cron.comes(13).is_empty());
    assert!(cron.runs.is_empty());
}

#[test]
fn a_run_that_a_drain_killed_is_started_again_and_one_that_a_person_killed_is_not() {
    for (reason, expected) in [
        (Some(Reason::AgentDraining), vec!["beat.10.2"]),
        // Who killed it is not said: it may have been a drain.
        (Some(Reason::Reconciliation), vec!["beat.10.2"]),
        (None, vec![]),
    ] {
        let mut cron = cron(CatchUp::All, Overlap::Wait, &State::default());
        cron.comes(5);
        cron.comes(10);

        let killed = status("beat.10.1", TaskState::Killed);
        cron.update(at(11), &TaskStatus { reason, ..killed });

        assert_eq!(cron.comes(12), expected, "{reason:?}");
    }
    // One that was to be replaced is not, whatever killed it.
    let mut cron = cron(CatchUp::All, Overlap::Replace, &State::default());
    cron.comes(5);
    cron.comes(10);
    cron.tick(at(20));
    let killed = status("beat.10.1", TaskState::Killed);
    cron.update(at(21), &TaskStatus { reason: Some(Reason::Reconciliation), ..killed });
    assert_eq!(cron.comes(22), ["beat.20.1"]);
}

#[test]
fn a_scheduler_started_anew_knows_what_runs_and_what_waits() {
    let mut first = cron(CatchUp::All, Overlap::Wait, &State::default());
    first.comes(5);
    first.comes(10);
    first.comes(20);
    let runs = first.runs.clone();
    let state = first.state(State::default());

    let mut second = cron(CatchUp::All, Overlap::Wait, &state);

    assert_eq!(second.runs, runs);
    assert!(second.comes(21).is_empty());
    second.hears("beat.10.1", TaskState::Finished);
    assert_eq!(second.comes(22), ["beat.20.1"]);
}

#[test]
fn a_job_that_was_taken_out_and_is_there_again_runs() {
    let mut first = cron(CatchUp::All, Overlap::Wait, &State::default());
    first.comes(5);
    first.comes(10);
    first.comes(20);
    let state = first.state(State::default());
    // Without the job its run ends.
    let other = [Job::parse("@every 1d other date").unwrap()];
    let mut without = Cron::restore(&other, CatchUp::All, Overlap::Wait, &state);
    without.hears("beat.10.1", TaskState::Finished);
    let mut state = without.state(state);
    state.apply(Record::Ended { task: "beat.10.1".parse().unwrap() });
    assert!(state.is_empty(), "{state:?}");

    let mut again = cron(CatchUp::All, Overlap::Wait, &state);

    assert!(again.comes(35).is_empty());
    assert_eq!(again.comes(40), ["beat.40.1"]);
}

#[test]
fn a_run_whose_end_was_seen_by_nobody_here_blocks_nothing() {
    let mut first = cron(CatchUp::All, Overlap::Wait, &State::default());
    first.comes(5);
    first.comes(10);
    let mut state = first.state(State::default());
    state.apply(Record::Ended { task: "beat.10.1".parse().unwrap() });

    let mut second = cron(CatchUp::All, Overlap::Wait, &state);

    assert_eq!(second.comes(20), ["beat.20.1"]);
    let state = second.state(state);
    assert_eq!(state.below("run/").count(), 1, "what is not known any more is not kept");
}

mod faults {
    use std::collections::BTreeMap;

    use lonja_sdk::testing::{Faults, TaskOutcome, TestCluster, fuzz, hours, mins, secs};

    use super::*;

    /// One job each minute, which takes twenty seconds.
    fn cluster(seed: u64) -> TestCluster<Cron> {
        let restore = |state: &State| {
            let job = Job::parse("* * * * * beat date").unwrap();
            Cron::restore(&[job], CatchUp::All, Overlap::Wait, state)
        };
        TestCluster::new(seed)
            .agents(3, "cpus:1;mem:256")
            .outcome(|_task| TaskOutcome::exits(0).after(secs(20)))
            .framework(FrameworkOptions::named("cron"), restore)
            .settled_when(|cron| cron.runs.is_empty())
    }

    /// Whether the framework was ever told that a task came to its own end, and whether it was ever told that it was lost or
    /// killed. Both: it could not write down the one, and the agent that would have said it again is gone.
    fn ends<S: 'static>(cluster: &TestCluster<S>, task: &TaskId) -> (bool, bool) {
        let told = cluster.history(task.as_str()).into_iter().map(|told| told.status.state);
        let ends: Vec<_> = told.filter(|state| state.is_terminal() || *state == TaskState::Unknown).collect();
        let is_own = |state: &TaskState| matches!(state, TaskState::Finished | TaskState::Failed);
        (ends.iter().any(is_own), ends.iter().any(|state| !is_own(state)))
    }

    /// For each time that became a run, its attempts in order.
    fn runs(cluster: &TestCluster<Cron>) -> BTreeMap<u64, Vec<TaskId>> {
        let mut runs: BTreeMap<u64, Vec<(u32, TaskId)>> = BTreeMap::new();
        for task in cluster.tasks() {
            let parts: Vec<_> = task.info.id.as_str().split('.').collect();
            let (time, attempt) = (parts[1].parse().unwrap(), parts[2].parse().unwrap());
            runs.entry(time).or_default().push((attempt, task.info.id.clone()));
        }
        let sorted = |mut attempts: Vec<(u32, TaskId)>| {
            attempts.sort();
            attempts.into_iter().map(|(_, id)| id).collect()
        };
        runs.into_iter().map(|(time, attempts)| (time, sorted(attempts))).collect()
    }

    #[test]
    fn what_was_due_while_the_scheduler_was_down_is_run_later() {
        let mut cluster = cluster(1);
        cluster.until(mins(2), |cluster| !cluster.tasks().is_empty());
        cluster.stop_scheduler();
        cluster.run_for(mins(3));
        assert_eq!(cluster.tasks().len(), 1);

        cluster.start_scheduler();
        cluster.run_for(mins(3));

        let times: Vec<_> = runs(&cluster).into_keys().collect();
        let expected: Vec<_> = (0..7).map(|minute| times[0] + 60 * minute).collect();
        assert_eq!(times, expected);
    }

    #[test]
    fn whatever_fails_each_time_is_run_to_its_end_once() {
        fuzz(0..200, |seed| {
            let mut cluster = cluster(seed);
            cluster.random_faults(Faults::ALL, mins(4));
            cluster.settles_within(hours(4));

            let runs = runs(&cluster);
            let times: Vec<u64> = runs.keys().copied().collect();
            // A clock that was set back may not have come to a full minute yet.
            let (Some(&first), Some(&last)) = (times.first(), times.last()) else { return };
            // From the first on there is one for each minute: the scheduler may have come up late, and lost none since.
            assert_eq!(times, (first..=last).step_by(60).collect::<Vec<_>>());
            for (time, attempts) in &runs {
                for (index, id) in attempts.iter().enumerate() {
                    let (ended, lost) = ends(&cluster, id);
                    let is_last = index + 1 == attempts.len();
                    // None was run again without need. A machine that loses power fails what it runs.
                    let told = cluster.history(id.as_str());
                    assert!(
                        if is_last { ended } else { lost },
                        "{time}: {id} ended: {ended}, lost: {lost}, attempts {attempts:?}, told {told:?}"
                    );
                }
            }
        });
    }
}
