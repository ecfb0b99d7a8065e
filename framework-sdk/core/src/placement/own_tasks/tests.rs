use lonja_model::task::Source;
use lonja_model::{TaskState, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::placement::predicate::testing::{any_offer_of, any_rule, any_small_labels};
use crate::placement::predicate::{agent, zone};
use crate::tests::fixture::offer;

fn agent_id(number: usize) -> AgentId {
    AgentId::new(format!("s{number}")).unwrap()
}

fn task_id(number: usize) -> TaskId {
    TaskId::new(format!("t{number}")).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, usize, Labels),
    End(usize),
    Saw(Offer),
    Lost(usize),
    Subscribed,
    Track(Predicate),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..8_usize, 0..4_usize, any_small_labels()).prop_map(|(task, on, labels)| Step::Put(task, on, labels)),
        3 => (0..8_usize).prop_map(Step::End),
        3 => (0..4_usize).prop_flat_map(any_offer_of).prop_map(Step::Saw),
        1 => (0..4_usize).prop_map(Step::Lost),
        1 => Just(Step::Subscribed),
        2 => any_rule().prop_map(Step::Track),
    ]
}

proptest! {
    /// Whatever happens, what is tracked says what counting anew says.
    #[test]
    fn what_is_tracked_is_what_there_is(steps in vec(any_step(), 0..60)) {
        let mut own = OwnTasks::new();
        for step in steps {
            match step {
                Step::Put(task, on, labels) => own.put(task_id(task), &agent_id(on), &labels, &Need::default()),
                Step::End(task) => {
                    let status =
                        TaskStatus::new(task_id(task), TaskState::Finished, Source::Executor, Timestamp::ZERO);
                    own.update(&status);
                }
                Step::Saw(offer) => own.saw(&offer),
                Step::Lost(agent) => own.agent_lost(&agent_id(agent)),
                Step::Subscribed => own.subscribed(),
                Step::Track(predicate) => own.track(&predicate),
            }
            prop_assert!(own.is_consistent());
        }
    }
}

#[test]
fn a_task_counts_from_its_launch_to_its_end() {
    let mut own = OwnTasks::new();
    own.track(&agent().near(&Tasks::all()));
    own.put(task_id(1), &agent_id(1), &Labels::default(), &Need::default());
    own.put(task_id(1), &agent_id(2), &Labels::default(), &Need::default());
    assert_eq!((own.count(&agent(), &Tasks::all(), "s1"), own.count(&agent(), &Tasks::all(), "s2")), (0, 1));
    let running = TaskStatus::new(task_id(1), TaskState::Running, Source::Executor, Timestamp::ZERO);
    own.update(&running);
    assert_eq!((own.len(), own.agent_of(&task_id(1))), (1, Some(&agent_id(2))));
    assert!(own.remove(&task_id(1)) && !own.remove(&task_id(1)) && own.is_empty());
    assert_eq!(own.count(&agent(), &Tasks::all(), "s2"), 0);
}

#[test]
fn the_kind_not_asked_for_longest_is_forgotten_first_and_counted_anew() {
    let mut own = OwnTasks::new();
    let labels = Labels(vec![("app".to_owned(), Some("0".to_owned()))]);
    own.put(task_id(1), &agent_id(1), &labels, &Need::default());
    for app in 0..MAX_TRACKED + 10 {
        own.track(&agent().near(&Tasks::labelled("app", app.to_string())));
    }
    own.track(&zone().near(&Tasks::all()));
    assert!(own.tracked.get(&agent(), &Tasks::labelled("app", "0")).is_none());
    assert_eq!(own.count(&agent(), &Tasks::labelled("app", "0"), "s1"), 1);
    assert!(own.is_consistent());
}

#[test]
fn a_zone_that_is_gone_keeps_no_task_from_the_others() {
    let in_zone = |number: usize, zone: &str| {
        let domain = lonja_model::agent::Domain { region: "r".to_owned(), zone: zone.to_owned() };
        Offer {
            agent: agent_id(number),
            domain: Some(domain),
            ..offer(&format!("o{number}"), "cpus:1;mem:1")
        }
    };
    let (kept, gone, busy) = (in_zone(1, "kept"), in_zone(2, "gone"), in_zone(3, "busy"));
    let spread = zone().spread(&Tasks::all(), 1);
    for is_tracked in [true, false] {
        let mut own = OwnTasks::new();
        if is_tracked {
            own.track(&spread);
        }
        [&kept, &gone, &busy].into_iter().for_each(|offer| own.saw(offer));
        own.put(task_id(1), &agent_id(1), &Labels::default(), &Need::default());
        own.put(task_id(3), &agent_id(3), &Labels::default(), &Need::default());
        let why = spread.first_unmet(&kept, &own).unwrap();
        assert!(why.ends_with(": 1 at kept, only 0 at gone"), "{why}");

        own.subscribed();
        own.saw(&kept);
        assert!(spread.holds(&kept, &own), "nobody has seen the other zone again");
        own.remove(&task_id(3));
        assert!(spread.holds(&kept, &own), "nor this one, and nothing runs there now");
        own.saw(&gone);
        assert!(!spread.holds(&kept, &own), "it is back");
        assert!(own.is_consistent());
    }
}
