use lonja_model::check::{Check, HealthCheck, HttpProbe};
use lonja_model::framework::Capability;
use lonja_model::{TaskInfo, UpdateId};

use super::*;
use crate::fixture::*;
use crate::{Effects, Event, Recovery};

/// Delay 5 s, interval 10 s, timeout 2 s, grace 30 s, three failures.
fn health() -> HealthCheck {
    let pace = Pace { delay: secs(5), interval: secs(10), timeout: secs(2) };
    HealthCheck { probe: Probe::http(80, "/"), pace, grace: secs(30), consecutive_failures: 3 }
}

fn general() -> Check {
    let pace = Pace { delay: secs(1), interval: secs(2), timeout: secs(2) };
    Check { probe: Probe::tcp(80), pace }
}

fn task(health: Option<HealthCheck>, check: Option<Check>) -> TaskInfo {
    let (health_check, check) = (health.map(Box::new), check.map(Box::new));
    TaskInfo { health_check, check, ..task_info("t1", "cpus:1") }
}

/// A stage on which the task runs, and all it has said is acknowledged.
fn running(task: TaskInfo) -> Stage {
    let mut stage = agent("cpus:4");
    let mut all = stage.run_task("f1", task);
    all.append(stage.started("t1"));
    let _ = stage.acknowledge_all("f1", all);
    stage
}

fn looks(effects: &Effects) -> Vec<RunCheck> {
    let orders = effects.checks.iter();
    orders
        .filter_map(|order| match order {
            CheckOrder::Run(run) => Some((**run).clone()),
            CheckOrder::Stop { .. } => None,
        })
        .collect()
}

/// Waits `time`, in which one look begins, and answers it.
fn look(stage: &mut Stage, time: Duration, result: CheckResult) -> Effects {
    let [order] = &looks(&stage.after(time))[..] else { panic!("no look after {time:?}") };
    let RunCheck { container, kind, number, .. } = order.clone();
    stage.handle(Event::CheckEnded { container, kind, number, result })
}

fn good() -> CheckResult {
    CheckResult::Answered(200)
}

fn bad() -> CheckResult {
    CheckResult::Answered(503)
}

fn told(stage: &mut Stage, effects: Effects) -> Option<(TaskState, Option<bool>)> {
    let status = updates(&effects).pop()?;
    let _ = stage.acknowledge_all("f1", effects);
    Some((status.state, status.healthy))
}

#[test]
fn the_first_look_is_after_the_delay_and_the_next_an_interval_after_its_end() {
    let mut stage = running(task(Some(health()), None));
    assert!(looks(&stage.after(secs(5) - millis(1))).is_empty());
    let order = looks(&stage.after(millis(1))).remove(0);
    assert_eq!((order.timeout, order.pid), (secs(2), 77));
    assert!(looks(&stage.after(secs(60))).is_empty(), "one look at a time");
    let RunCheck { container, kind, number, .. } = order;
    let _ = stage.handle(Event::CheckEnded { container, kind, number, result: good() });
    assert_eq!(stage.next_in(), Some(secs(10)));
}

#[test]
fn a_change_of_health_is_told_once() {
    let mut stage = running(task(Some(health()), None));
    let effects = look(&mut stage, secs(5), good());
    let status = only_update(&effects);
    assert_eq!(status.reason, Some(Reason::TaskHealthCheckStatusUpdated));
    assert_eq!((status.state, status.healthy, status.pid), (TaskState::Running, Some(true), Some(77)));
    let _ = stage.acknowledge_all("f1", effects);
    assert!(look(&mut stage, secs(10), good()).persist.is_empty());
    let effects = look(&mut stage, secs(10), bad());
    let status = only_update(&effects);
    assert_eq!(status.message.as_deref(), Some("health check failed: answered with status 503"));
    assert_eq!(told(&mut stage, effects), Some((TaskState::Running, Some(false))));
    assert!(updates(&look(&mut stage, secs(10), bad())).is_empty(), "no change");
    let effects = look(&mut stage, secs(10), good());
    assert_eq!(told(&mut stage, effects), Some((TaskState::Running, Some(true))));
}

#[test]
fn failures_within_the_grace_period_do_not_count_until_the_first_success() {
    // Looks end at 5, 15, 25, 35, 45, 55 s; the grace period at 30 s.
    let mut stage = running(task(Some(health()), None));
    for wait in [5, 10, 10] {
        assert!(look(&mut stage, secs(wait), bad()).persist.is_empty());
    }
    for _ in 0..2 {
        let effects = look(&mut stage, secs(10), bad());
        assert!(effects.kill.is_empty());
        let _ = stage.acknowledge_all("f1", effects);
    }
    assert_eq!(look(&mut stage, secs(10), bad()).kill.len(), 1);

    let mut stage = running(task(Some(health()), None));
    let effects = look(&mut stage, secs(5), good());
    let _ = stage.acknowledge_all("f1", effects);
    let effects = look(&mut stage, secs(10), bad());
    assert_eq!(told(&mut stage, effects), Some((TaskState::Running, Some(false))), "within the grace period");
}

#[test]
fn a_failure_at_the_very_end_of_the_grace_period_does_not_count() {
    for (grace, counts) in [(secs(5), false), (secs(5) - millis(1), true), (Duration::ZERO, true)] {
        let mut stage = running(task(Some(HealthCheck { grace, ..health() }), None));
        assert_eq!(updates(&look(&mut stage, secs(5), bad())).len(), usize::from(counts), "{grace:?}");
    }
}

#[test]
fn only_failures_in_a_row_end_a_task() {
    let mut stage = running(task(Some(health()), None));
    let _ = look(&mut stage, secs(5), good());
    for _ in 0..10 {
        for result in [bad(), bad(), good()] {
            let effects = look(&mut stage, secs(10), result);
            assert!(effects.kill.is_empty());
        }
    }
    let _ = look(&mut stage, secs(10), bad());
    let _ = look(&mut stage, secs(10), bad());
    assert!(look(&mut stage, secs(10), CheckResult::NotBegun("busy".to_owned())).kill.is_empty());
    assert_eq!(look(&mut stage, secs(10), CheckResult::Failed("too slow".to_owned())).kill.len(), 1);
}

#[test]
fn a_task_that_fails_too_often_is_killed_by_its_own_policy_and_not_healthy() {
    let mut wanted = task(Some(HealthCheck { grace: Duration::ZERO, ..health() }), None);
    wanted.kill_grace = Some(secs(40));
    let mut stage = agent("cpus:4").knowing(Capability::TaskKillingState);
    let mut all = stage.run_task("f1", wanted);
    all.append(stage.started("t1"));
    let _ = look(&mut stage, secs(5), bad());
    let _ = look(&mut stage, secs(10), bad());
    let effects = look(&mut stage, secs(10), bad());
    assert_eq!(effects.kill[0].grace, secs(40));
    assert!(looks(&stage.after(secs(3600))).is_empty(), "nobody looks at it any more");
    let _ = stage.exited("t1", by_request(exit(0)));
    let last = stage.checkpoint.tasks.values().next().unwrap().updates.last().unwrap().clone();
    assert_eq!((last.state, last.healthy), (TaskState::Killed, Some(false)));
    assert_eq!(last.reason, Some(Reason::TaskHealthCheckStatusUpdated));
    let said = "killed because its health check failed 3 times in a row: exited with status 0";
    assert_eq!(last.message.as_deref(), Some(said));
    use TaskState::*;
    let told = stage.back_online();
    assert_eq!(stage.acknowledge_all("f1", told), [Starting, Running, Killing, Killed]);
}

#[test]
fn a_kill_for_health_is_carried_out_again_after_a_restart() {
    let check = HealthCheck { grace: Duration::ZERO, consecutive_failures: 0, ..health() };
    let mut stage = running(task(Some(check), None));
    assert_eq!(look(&mut stage, secs(5), bad()).kill.len(), 1, "none allowed is one");
    let since = Some(stage.now - secs(5));
    let effects = stage.restart(&[("t1", Recovery::Running { pid: 77, since })]);
    assert_eq!(effects.kill.len(), 1);
    let _ = stage.exited("t1", by_request(signaled(9)));
    let last = stage.checkpoint.tasks.values().next().unwrap().updates.last().unwrap().clone();
    assert_eq!((last.state, last.healthy), (TaskState::Killed, Some(false)));
}

#[test]
fn a_restart_takes_up_the_rhythm_and_the_grace_period_where_they_were() {
    let mut stage = running(task(Some(health()), None));
    let started = stage.now;
    let _ = look(&mut stage, secs(5), bad());
    stage.now = started + secs(28);
    // What started when is not known to the shell: what was remembered counts.
    let _ = stage.restart(&[("t1", Recovery::Running { pid: 77, since: None })]);
    assert_eq!(stage.next_in(), Some(secs(7)), "looks are at 5, 15, 25, 35 s");
    let _ = stage.back_online();
    assert_eq!(updates(&look(&mut stage, secs(7), bad())).len(), 1, "the grace period ended at 30 s");
}

#[test]
fn what_was_said_last_is_not_said_again_after_a_restart() {
    let mut stage = running(task(Some(health()), Some(general())));
    let effects = look(&mut stage, secs(1), CheckResult::Connected(true));
    let _ = stage.acknowledge_all("f1", effects);
    let since = Some(stage.now - secs(1));
    let _ = stage.after(secs(1));
    let effects = stage.restart(&[("t1", Recovery::Running { pid: 77, since })]);
    assert!(effects.persist.is_empty());
    let _ = stage.back_online();
    assert!(look(&mut stage, secs(1), CheckResult::Connected(true)).persist.is_empty());
}

#[test]
fn a_check_tells_each_change_and_kills_nobody() {
    let mut stage = agent("cpus:4");
    let starting = only_update(&stage.run_task("f1", task(None, Some(general()))));
    let _ = stage.started("t1");
    let first = only_update(&stage.acknowledge("f1", &starting));
    assert_eq!(first.check, Some(CheckStatus::Tcp(None)), "no result yet");
    let _ = stage.acknowledge("f1", &first);
    let mut seen = Vec::new();
    for result in [false, false, true, true, false].map(CheckResult::Connected) {
        let wait = stage.next_in().unwrap();
        let effects = look(&mut stage, wait, result);
        assert!(effects.kill.is_empty());
        seen.extend(updates(&effects).iter().map(|status| (status.check, status.reason, status.healthy)));
        let _ = stage.acknowledge_all("f1", effects);
    }
    let status = |opened| (Some(CheckStatus::Tcp(Some(opened))), Some(Reason::TaskCheckStatusUpdated), None);
    assert_eq!(seen, [status(false), status(true), status(false)]);
    let wait = stage.next_in().unwrap();
    let effects = look(&mut stage, wait, CheckResult::Failed("too slow".to_owned()));
    assert_eq!(only_update(&effects).check, Some(CheckStatus::Tcp(None)));
}

#[test]
fn nobody_looks_at_a_task_that_is_being_ended() {
    let mut stage = running(task(Some(health()), Some(general())));
    let order = looks(&stage.after(secs(1))).remove(0);
    let effects = stage.kill("f1", "t1", None);
    let stopped = CheckOrder::Stop { container: order.container.clone(), kind: CheckKind::General };
    assert_eq!(effects.checks, [stopped]);
    let RunCheck { container, kind, number, .. } = order;
    let late = Event::CheckEnded { container, kind, number, result: CheckResult::Connected(true) };
    assert!(stage.handle(late).persist.is_empty(), "its result is dropped");
    assert!(looks(&stage.after(secs(100))).is_empty());

    let mut limited = task(Some(health()), None);
    limited.max_completion_time = Some(secs(12));
    let mut stage = running(limited);
    let _ = look(&mut stage, secs(5), good());
    let effects = stage.after(secs(7));
    assert_eq!((effects.kill.len(), looks(&effects).len()), (1, 0));
    assert!(looks(&stage.after(secs(100))).is_empty());
}

#[test]
fn a_task_whose_framework_is_away_fills_no_queue() {
    let mut stage = running(task(Some(health()), None));
    let _ = look(&mut stage, secs(5), good());
    let _ = stage.link_down();
    let mut ids: Vec<Option<UpdateId>> = Vec::new();
    for _ in 0..50 {
        for result in [bad(), good()] {
            let _ = look(&mut stage, secs(10), result);
            let record = stage.checkpoint.tasks.values().next().unwrap();
            assert_eq!(record.updates.len(), 2, "the one that was sent, and the newest");
            ids.push(record.updates[1].update);
        }
    }
    ids.sort_by_key(|id| id.map(|id| id.0));
    ids.dedup();
    assert_eq!(ids.len(), 100, "other words have another id");
    let effects = stage.back_online();
    assert_eq!(stage.acknowledge_all("f1", effects), [TaskState::Running; 2]);
}

#[test]
fn no_task_is_looked_at_all_the_time_and_no_look_takes_for_ever() {
    let pace = Pace { delay: Duration::ZERO, interval: Duration::ZERO, timeout: Duration::ZERO };
    let mut stage = agent("cpus:4");
    let _ = stage.run_task("f1", task(Some(HealthCheck { pace, ..health() }), None));
    let order = looks(&stage.started("t1")).remove(0);
    assert_eq!(order.timeout, LONGEST_TIMEOUT);
    let RunCheck { container, kind, number, .. } = order;
    let _ = stage.handle(Event::CheckEnded { container, kind, number, result: good() });
    assert_eq!(stage.next_in(), Some(SHORTEST_INTERVAL));
}

#[test]
fn a_request_is_good_from_200_to_399_or_as_the_task_expects() {
    let is_good =
        |probe: &Probe, status| matches!(failure_of(probe, &CheckResult::Answered(status)), Verdict::Good);
    let plain = Probe::http(80, "/");
    let good: Vec<u16> = (100..600).filter(|status| is_good(&plain, *status)).collect();
    assert_eq!((good.first(), good.last(), good.len()), (Some(&200), Some(&399), 200));
    let only = Probe::Http(HttpProbe { port: 80, statuses: [503].into(), ..HttpProbe::default() });
    assert!(is_good(&only, 503) && !is_good(&only, 200));
}

#[test]
fn a_look_that_is_missing_or_stray_is_noticed() {
    use crate::invariants::{Violation, check};
    let key: Key = (framework_id("f1"), task_id("t1"));
    let mut stage = running(task(Some(health()), None));
    stage.agent.deadlines.clear(&Deadline::Check(key.clone(), CheckKind::Health));
    assert!(matches!(check(&stage.agent), Err(Violation::Checks(_))));
    let mut stage = running(task(Some(health()), None));
    let soon = stage.now + secs(1);
    stage.agent.deadlines.set(Deadline::Check(key.clone(), CheckKind::General), soon);
    assert!(matches!(check(&stage.agent), Err(Violation::Deadlines(_))));
    let mut stage = running(task(Some(health()), None));
    stage.agent.book.volatile(&key).unwrap().record.watched.given_up = true;
    assert!(matches!(check(&stage.agent), Err(Violation::Checks(_))));
}
