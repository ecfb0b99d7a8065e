//! What the master is told of tasks that wait.

use lonja_model::scheduler::{Call, Event as MasterEvent, Refusal, RefusalCode};
use lonja_model::unplaced::{MAX_UNPLACED, Unplaced};

use super::fixture::*;
use crate::{Event, Plan};

fn word(task: &str, offers: u64) -> Unplaced {
    Unplaced { offers, reasons: vec![("mem".to_owned(), offers)], ..Unplaced::new(task) }
}

impl World {
    /// The scheduler looks at an offer and says this.
    fn says(&mut self, plan: Plan) -> Vec<Call> {
        let offer = offer("o", "cpus:1;mem:32");
        self.will(plan);
        self.is_offered(&[&offer])
    }

    fn has_its_report_refused(&mut self, refusal: Refusal) {
        let report = self.last.send.iter().find(|(_, call)| matches!(call, Call::Unplaced { .. }));
        let id = report.expect("a report was sent").0;
        self.event(Event::Answered { id, result: Err(refusal) });
    }
}

fn reports(calls: &[Call]) -> Vec<Vec<Unplaced>> {
    let report = |call: &Call| {
        let Call::Unplaced { tasks } = call else { return None };
        Some(tasks.clone())
    };
    calls.iter().filter_map(report).collect()
}

#[test]
fn a_word_is_told_at_once_and_later_ones_together_and_not_too_often() {
    let mut world = subscribed();
    let told = reports(&world.says(Plan::new().unplaced([word("a", 1)])));
    assert_eq!(told, [vec![word("a", 1)]]);

    assert!(reports(&world.says(Plan::new().unplaced([word("a", 2)]))).is_empty());
    assert!(reports(&world.says(Plan::new().unplaced([word("b", 1)]))).is_empty());
    assert!(reports(&world.passes(secs(4))).is_empty());
    assert_eq!(reports(&world.passes(secs(2))), [vec![word("a", 2), word("b", 1)]]);
}

#[test]
fn what_has_not_changed_is_not_told_again() {
    let mut world = subscribed();
    world.says(Plan::new().unplaced([word("a", 1)]));
    world.passes(secs(6));
    assert!(reports(&world.says(Plan::new().unplaced([word("a", 1)]))).is_empty());
    assert!(reports(&world.passes(secs(60))).is_empty());
}

#[test]
fn a_task_whose_name_is_cut_is_given_up_by_its_whole_name() {
    let long = format!("{}{}", "ä".repeat(127), "€uro".repeat(20));
    let mut world = subscribed();
    let told = reports(&world.says(Plan::new().unplaced([word(&long, 1)])));
    assert_eq!(told, [vec![word(&long, 1).trimmed()]]);
    world.passes(secs(6));
    assert_eq!(reports(&world.says(Plan::new().no_longer_waits([long.as_str()]))), [vec![]]);
}

#[test]
fn a_task_that_is_launched_or_given_up_waits_no_more() {
    let mut world = subscribed();
    world.says(Plan::new().unplaced([word("a", 1), word("b", 1), word("c", 1)]));
    let place = offer("o2", "cpus:1;mem:32");
    let info = lonja_model::TaskInfo { name: "c".to_owned(), ..task(&place, "c.1") };
    world.will(Plan::new().launch(&place, [info]).no_longer_waits(["b"]));
    world.is_offered(&[&place]);
    assert_eq!(reports(&world.passes(secs(6))), [vec![word("a", 1)]]);
    world.says(Plan::new().no_longer_waits(["a"]));
    assert_eq!(reports(&world.passes(secs(6))), [vec![]], "nothing waits");
}

#[test]
fn each_master_is_told_anew_and_nothing_is_said_without_a_subscription() {
    let mut world = subscribed();
    world.says(Plan::new().unplaced([word("a", 1)]));
    world.loses_connection();
    world.passes(secs(6));
    let mut sent = world.connects();
    sent.extend(world.passes(secs(6)));
    assert_eq!(reports(&sent), [vec![word("a", 1)]]);
}

#[test]
fn a_master_that_does_not_know_the_call_is_not_asked_again_and_nobody_is_told() {
    let old = Refusal {
        field: Some("call".to_owned()),
        ..Refusal::new(RefusalCode::InvalidArgument, "call: is missing")
    };
    for refusal in [old, Refusal::new(RefusalCode::Unsupported, "not yet")] {
        let mut world = subscribed();
        world.says(Plan::new().unplaced([word("a", 1)]));
        world.has_its_report_refused(refusal);
        assert!(world.scheduler().problems.is_empty());
        world.says(Plan::new().unplaced([word("a", 2)]));
        assert!(reports(&world.passes(secs(10))).is_empty());

        world.loses_connection();
        let mut sent = world.connects();
        sent.extend(world.passes(secs(6)));
        assert_eq!(reports(&sent), [vec![word("a", 2)]], "the next master may know it");
    }
}

#[test]
fn a_report_that_came_too_fast_is_told_later() {
    let mut world = subscribed();
    world.says(Plan::new().unplaced([word("a", 1)]));
    world.has_its_report_refused(Refusal::new(RefusalCode::RateLimited, "slower"));
    assert_eq!(reports(&world.passes(secs(6))), [vec![word("a", 1)]]);
}

#[test]
fn of_too_many_and_too_long_words_a_report_holds_what_a_master_takes() {
    let mut world = subscribed();
    let long = |number: usize| Unplaced {
        reasons: vec![("x".repeat(1_000), 1); 20],
        ..Unplaced::new(format!("t{number}"))
    };
    let told = reports(&world.says(Plan::new().unplaced((0..MAX_UNPLACED + 50).map(long)))).remove(0);
    assert!(!told.is_empty() && told.len() <= MAX_UNPLACED);
    assert_eq!(lonja_model::unplaced::check(&told), Ok(()));
    world.hears(MasterEvent::Heartbeat);
    assert!(world.sent().is_empty());
}
