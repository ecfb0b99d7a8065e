//! A job's life in virtual time.

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::job::Schedule;
use crate::planning::tests::{app, id};

/// 2024-02-29 12:00:00, and so many seconds.
fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos((1_709_208_000 + seconds) * 1_000_000_000)
}

fn job(cron: Option<&str>) -> Job {
    let schedule = cron.map(|cron| Schedule { cron: cron.into(), suspended: false, starting_deadline: None });
    Job {
        id: id("/nightly"),
        run: Arc::new(app("/nightly")),
        schedule,
        concurrency: Concurrency::Allow,
        retries: 0,
        retry_delay: Duration::from_secs(30),
        max_run_time: None,
        history: 3,
    }
}

/// A job, and what the services would do of it.
struct World {
    job: Job,
    runs: Runs,
    rules: Rules,
    /// As it was kept.
    seen_to: Option<Timestamp>,
    now: u64,
}

impl World {
    fn new(job: Job) -> Self {
        let rules = Rules::new(&job, at(0)).unwrap();
        Self { job, runs: Runs::new(), seen_to: rules.seen_to(), rules, now: 0 }
    }

    fn due(&mut self, second: u64) -> News {
        self.now = second;
        let news = self.rules.due(&self.job, &mut self.runs, at(second));
        if news.time_came {
            self.seen_to = self.rules.seen_to();
        }
        news
    }

    fn put(&mut self, job: Job) {
        self.rules.replace(&job, at(self.now)).unwrap();
        (self.job, self.seen_to) = (job, self.rules.seen_to());
    }

    fn restart(&mut self, second: u64) {
        self.now = second;
        self.rules = Rules::restore(&self.job, &self.runs, self.seen_to).unwrap();
        self.rules.resume(&mut self.runs, at(second));
    }

    fn launch(&mut self) -> Vec<(JobRunId, u32)> {
        let wanted = Rules::wanted(&self.job, &self.runs, at(self.now));
        let wanted: Vec<_> = wanted.map(|(run, number)| (run.clone(), number)).collect();
        for (run, _) in &wanted {
            assert_eq!(Rules::launched(&mut self.runs, run, at(self.now)).changed, std::slice::from_ref(run));
        }
        wanted
    }

    fn end(&mut self, run: &JobRunId, outcome: Outcome) -> News {
        Rules::ended(&self.job, &mut self.runs, run, outcome, at(self.now))
    }

    fn states(&self) -> Vec<String> {
        let word = |run: &JobRun| match &run.state {
            RunState::Waiting => "waiting".to_owned(),
            RunState::Running => "running".to_owned(),
            RunState::Succeeded { .. } => "succeeded".to_owned(),
            RunState::Failed { reason, .. } => reason.clone(),
        };
        self.runs.values().map(word).collect()
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.rules.next_deadline(&self.job, &self.runs)
    }
}

fn run(name: &str) -> JobRunId {
    JobRunId::from_text(name)
}

fn failed() -> Outcome {
    Outcome::Failed("exit 1".into())
}

#[test]
fn a_run_begins_when_it_is_time_and_is_named_for_it() {
    let mut world = World::new(job(Some("*/5 * * * *")));
    assert_eq!(world.deadline(), Some(at(300)));
    assert_eq!(world.due(299), News::default());

    let news = world.due(300);

    assert_eq!(news.changed, [run("20240229120500-0000")]);
    assert_eq!(world.launch(), [(run("20240229120500-0000"), 1)]);
    assert!(world.launch().is_empty() && world.due(300) == News::default(), "once");
    assert_eq!(world.deadline(), Some(at(600)));
    let _ = world.end(&run("20240229120500-0000"), Outcome::Succeeded);
    assert_eq!(world.states(), ["succeeded"]);
}

#[test]
fn a_job_without_a_schedule_or_with_a_suspended_one_runs_when_told() {
    let mut suspended = job(Some("* * * * *"));
    suspended.schedule.as_mut().unwrap().suspended = true;
    for job in [job(None), suspended] {
        let mut world = World::new(job);
        assert_eq!((world.deadline(), world.due(10_000)), (None, News::default()));
        let (one, _) = world.rules.run_now(&world.job, &mut world.runs, at(10_000)).unwrap();
        let (other, _) = world.rules.run_now(&world.job, &mut world.runs, at(10_000)).unwrap();
        assert!(one < other);
        assert_eq!(world.launch().len(), 2);
    }
}

#[test]
fn what_passed_while_it_was_suspended_is_not_made_up_for() {
    let mut world = World::new(job(Some("* * * * *")));
    world.job.schedule.as_mut().unwrap().suspended = true;
    let _ = world.due(600);
    world.job.schedule.as_mut().unwrap().suspended = false;
    assert_eq!(world.due(601), News::default());
}

#[test]
fn of_many_missed_times_the_last_is_made_up_for() {
    let mut world = World::new(job(Some("*/5 * * * *")));
    let _ = world.due(300);
    world.restart(3_601);

    assert_eq!(world.due(3_601).changed, [run("20240229130000-0000")]);

    world.restart(3_602);
    assert_eq!(world.due(3_602), News::default());
}

#[test]
fn times_before_the_last_change_and_those_left_out_are_not_made_up_for() {
    let mut world = World::new(Job { concurrency: Concurrency::Forbid, ..job(Some("*/5 * * * *")) });
    let _ = world.due(300);
    let first = world.launch()[0].0.clone();
    let _ = world.due(600);
    let _ = world.end(&first, Outcome::Succeeded);
    world.restart(700);
    assert!(world.due(700).changed.is_empty(), "another one was under way then");

    world.due(3_000).changed.clear();
    world.now = 3_650;
    world.put(job(Some("0 * * * *")));
    world.restart(3_660);
    let before = world.runs.len();
    assert!(
        world.due(3_660).changed.is_empty() && world.runs.len() == before,
        "it had another calendar then"
    );
}

#[test]
fn a_run_ends_in_time_and_for_good_though_the_daemon_began_anew() {
    let most = Some(Duration::from_secs(100));
    let mut world = World::new(Job { retries: 9, max_run_time: most, ..job(None) });
    let (run, _) = world.rules.run_now(&world.job, &mut world.runs, at(0)).unwrap();
    world.launch();
    world.restart(90);
    assert_eq!(world.due(100).kill, std::slice::from_ref(&run));
    world.restart(110);
    assert!(world.due(110).kill.is_empty(), "once");
    let _ = world.end(&run, failed());
    assert_eq!(world.states(), ["it ran for longer than maxRunTime"]);
}

#[test]
fn what_could_not_begin_in_time_is_left_out() {
    let mut world = World::new(job(Some("*/5 * * * *")));
    world.job.schedule.as_mut().unwrap().starting_deadline = Some(Duration::from_secs(60));

    assert!(world.due(400).time_came && world.runs.is_empty());
    assert_eq!(world.rules.left_out(), Some(&LeftOut { due: at(300), reason: "nobody looked in time" }));

    let _ = world.due(600);
    assert_eq!(world.deadline(), Some(at(660)), "there were no offers for it");
    let _ = world.due(660);
    assert_eq!(world.states(), ["it did not begin in time"]);
}

#[test]
fn a_run_that_fails_is_tried_again_after_a_delay_so_many_times() {
    let mut world = World::new(Job { retries: 1, ..job(None) });
    let (run, _) = world.rules.run_now(&world.job, &mut world.runs, at(0)).unwrap();
    world.launch();
    let _ = world.end(&run, failed());
    assert!(world.launch().is_empty());
    assert_eq!(world.deadline(), Some(at(30)));

    let _ = world.due(30);
    assert_eq!(world.launch(), [(run.clone(), 2)]);
    let _ = world.end(&run, Outcome::NotLaunched);
    assert_eq!(world.launch(), [(run.clone(), 2)], "what never began is no try");
    let _ = world.end(&run, failed());
    assert_eq!(world.states(), ["exit 1"]);
    assert_eq!(world.end(&run, Outcome::Succeeded), News::default(), "it has ended");
}

#[test]
fn a_later_run_is_left_out_where_no_two_are_allowed() {
    let mut world = World::new(Job { concurrency: Concurrency::Forbid, ..job(Some("* * * * *")) });
    let _ = world.due(60);
    world.launch();
    assert!(world.due(120).changed.is_empty());
    assert_eq!(world.rules.left_out(), Some(&LeftOut { due: at(120), reason: "another run is under way" }));
    assert!(matches!(world.rules.run_now(&world.job, &mut world.runs, at(130)), Err(Refused::NotNow(_))));
    let first = world.runs.keys().next().cloned().unwrap();
    let _ = world.end(&first, Outcome::Succeeded);
    assert_eq!(world.due(180).changed.len(), 1);
}

#[test]
fn a_later_run_takes_the_place_of_an_earlier_one_once_that_has_ended() {
    let mut world =
        World::new(Job { concurrency: Concurrency::Replace, retries: 5, ..job(Some("* * * * *")) });
    let _ = world.due(60);
    let first = world.launch()[0].0.clone();

    assert_eq!(world.due(120).kill, std::slice::from_ref(&first));
    assert!(world.launch().is_empty());
    assert!(world.due(121).kill.is_empty(), "it is killed once");
    let _ = world.due(180);
    assert_eq!(world.states(), ["running", "a later run took its place", "waiting"]);
    let _ = world.end(&first, failed());
    assert_eq!(world.states()[0], "a later run took its place");
    assert_eq!(world.launch().len(), 1);
}

#[test]
fn a_run_ends_when_it_runs_for_too_long_and_is_not_tried_again() {
    let most = Some(Duration::from_secs(100));
    let mut world = World::new(Job { retries: 9, max_run_time: most, ..job(None) });
    let (run, _) = world.rules.run_now(&world.job, &mut world.runs, at(0)).unwrap();
    world.now = 10;
    world.launch();
    assert_eq!(world.deadline(), Some(at(110)));
    assert_eq!(world.due(110).kill, std::slice::from_ref(&run));
    assert_eq!(world.deadline(), None);
    let _ = world.end(&run, failed());
    assert_eq!(world.states(), ["it ran for longer than maxRunTime"]);
}

#[test]
fn a_run_that_is_stopped_ends() {
    let mut world = World::new(job(None));
    let (waiting, _) = world.rules.run_now(&world.job, &mut world.runs, at(0)).unwrap();
    let stop = |world: &mut World, run: &JobRunId| Rules::stop(&world.job, &mut world.runs, run, at(5));
    assert_eq!(
        stop(&mut world, &waiting).unwrap().kill,
        std::slice::from_ref(&waiting),
        "nothing is launched"
    );
    assert_eq!(world.states(), ["it was stopped"]);
    assert!(matches!(stop(&mut world, &waiting), Err(Refused::NotNow(_))));
    assert!(matches!(stop(&mut world, &run("no")), Err(Refused::Unknown { .. })));
}

#[test]
fn so_many_runs_that_ended_are_remembered() {
    let mut world = World::new(Job { history: 2, ..job(Some("* * * * *")) });
    for minute in 1..=5 {
        let _ = world.due(minute * 60);
        let (run, _) = world.launch()[0].clone();
        let _ = world.end(&run, failed());
    }
    assert_eq!(
        world.runs.keys().cloned().collect::<Vec<_>>(),
        [run("20240229120400-0000"), run("20240229120500-0000")]
    );
}

#[test]
fn no_name_is_given_twice_though_its_run_is_forgotten() {
    let mut world = World::new(Job { history: 0, ..job(None) });
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(world.rules.run_now(&world.job, &mut world.runs, at(7)).unwrap().0);
        world.launch();
        let _ = world.end(&names[names.len() - 1], Outcome::Succeeded);
    }
    assert!(world.runs.is_empty() && names.is_sorted_by(|one, next| one < next), "{names:?}");
}

#[test]
fn a_schedule_that_is_none_is_refused_at_its_field() {
    let fault = Rules::new(&job(Some("61 * * * *")), at(0)).unwrap_err();
    assert_eq!(fault.path, "/schedule/cron");
    assert!(fault.message.contains("minute"));
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Restart(u64),
    Launch,
    End { which: usize, outcome: Outcome },
    RunNow,
    Stop(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![Just(Outcome::Succeeded), Just(failed()), Just(Outcome::NotLaunched)];
    prop_oneof![
        4 => (1..400_u64).prop_map(Step::Wait),
        1 => (1..4_000_u64).prop_map(Step::Restart),
        4 => Just(Step::Launch),
        4 => (0..4_usize, outcome).prop_map(|(which, outcome)| Step::End { which, outcome }),
        1 => Just(Step::RunNow),
        1 => (0..4_usize).prop_map(Step::Stop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens: bounds hold, tasks of runs that exclude each other never overlap, and what is kept is what changed.
    #[test]
    fn the_rules_hold_whatever_happens(
        steps in vec(any_step(), 1..120), retries in 0..3_u32, history in 0..4_u32,
        concurrency in prop_oneof![Just(Concurrency::Allow), Just(Concurrency::Forbid), Just(Concurrency::Replace)],
        most in proptest::option::of(50..500_u64),
    ) {
        let max_run_time = most.map(Duration::from_secs);
        let mut world = World::new(Job { retries, history, concurrency, max_run_time, ..job(Some("*/2 * * * *")) });
        let mut kept = world.runs.clone();
        for step in steps {
            let ids: Vec<JobRunId> = world.runs.keys().cloned().collect();
            let now = at(world.now);
            let news = match step {
                Step::Wait(seconds) => world.due(world.now + seconds),
                Step::Restart(seconds) => {
                    world.restart(world.now + seconds);
                    let before = under_way(&world.runs).count();
                    let news = world.due(world.now);
                    prop_assert!(under_way(&world.runs).count() <= before + 1);
                    news
                }
                Step::Launch => {
                    let launched = world.launch();
                    prop_assert!(launched.iter().all(|(_, number)| *number <= retries + 1));
                    News { changed: launched.into_iter().map(|(run, _)| run).collect(), ..News::default() }
                }
                Step::End { which, outcome } => match ids.get(which) {
                    Some(run) => world.end(run, outcome),
                    None => News::default(),
                },
                Step::RunNow => {
                    world.rules.run_now(&world.job, &mut world.runs, now).map(|(_, news)| news).unwrap_or_default()
                }
                Step::Stop(which) => match ids.get(which) {
                    Some(run) => Rules::stop(&world.job, &mut world.runs, run, now).unwrap_or_default(),
                    None => News::default(),
                },
            };
            for run in &news.changed {
                kept.insert(run.clone(), world.runs[run].clone());
            }
            for run in &news.forgotten {
                kept.remove(run);
            }
            prop_assert_eq!(&kept, &world.runs);
            let running = world.runs.values().filter(|run| run.state == RunState::Running).count();
            prop_assert!(concurrency == Concurrency::Allow || running <= 1);
            let ended = world.runs.len() - under_way(&world.runs).count();
            prop_assert!(ended <= usize::try_from(history).unwrap());
            prop_assert!(under_way(&world.runs).count() <= MAX_UNDER_WAY);
            prop_assert!(world.deadline().is_some_and(|deadline| deadline > at(world.now) || !news.kill.is_empty()
                || world.runs.values().any(|run| run.state == RunState::Waiting)));
        }
    }
}
