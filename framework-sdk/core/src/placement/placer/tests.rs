use lonja_model::resources::Scalar;
use lonja_model::task::Source;

use super::*;
use crate::placement::policies;
use crate::plan::{Action, Step};
use crate::task::Need;
use crate::tests::fixture::offer;

fn ask(cpus: u64, gpus: Gpus) -> Ask {
    Ask::from(Need { cpus: Scalar::from_units(cpus).unwrap(), gpus, ..Need::default() })
}

fn id(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}

fn on_agent(name: &str, agent: &str, resources: &str) -> Offer {
    Offer { agent: AgentId::new(agent).unwrap(), ..offer(name, resources) }
}

struct Case(Placer);

impl Case {
    fn new(options: Options) -> Self {
        Self(Placer::new(policies::by_name("binpack", 1).unwrap(), options))
    }

    fn wants(mut self, tasks: &[(&str, u64)]) -> Self {
        tasks.iter().for_each(|(name, cpus)| self.submit(name, ask(*cpus, Gpus::None)));
        self
    }

    fn submit(&mut self, name: &str, ask: Ask) {
        self.0.submit(id(name), &ask, Arc::new(Task::shell("true").unwrap()));
    }

    fn hears(&mut self, name: &str, state: TaskState) -> Plan {
        self.0.update(at(5), &TaskStatus::new(id(name), state, Source::Executor, at(5)))
    }
}

/// The launches of a plan: offers and tasks.
fn launches(plan: &Plan) -> Vec<(Vec<&str>, Vec<&str>)> {
    let mut launches = Vec::new();
    for action in &plan.actions {
        let Action::Accept { offers, steps } = action else { continue };
        let [Step::Launch(tasks)] = &steps[..] else { panic!("{steps:?}") };
        let offers = offers.iter().map(OfferId::as_str).collect();
        launches.push((offers, tasks.iter().map(|task| task.id.as_str()).collect()));
    }
    launches
}

fn revives(plan: &Plan) -> bool {
    plan.actions.contains(&Action::Revive)
}

fn held(plan: &Plan) -> usize {
    plan.actions.iter().filter(|action| matches!(action, Action::Hold { .. })).count()
}

#[test]
fn a_task_that_fits_nowhere_delays_no_other_and_is_placed_when_there_is_room() {
    let mut case = Case::new(Options::exclusive()).wants(&[("large", 8), ("small", 1), ("next", 1)]);
    let plan = case.0.offers(at(1), &[on_agent("o1", "a1", "cpus:2")]);
    assert_eq!(launches(&plan), [(vec!["o1"], vec!["small", "next"])]);
    assert_eq!((case.0.waiting(), case.0.running(), case.0.machines_in_hand()), (1, 2, 0));

    let plan = case.0.offers(at(2), &[on_agent("o2", "a2", "cpus:8")]);
    assert_eq!(launches(&plan), [(vec!["o2"], vec!["large"])]);
}

#[test]
fn offers_of_one_agent_are_used_together() {
    let mut case = Case::new(Options::exclusive()).wants(&[("t", 4)]);
    let plan = case.0.offers(at(1), &[on_agent("o1", "a1", "cpus:2"), on_agent("o2", "a2", "cpus:3")]);
    assert_eq!((launches(&plan), held(&plan)), (vec![], 2));
    let plan = case.0.offers(at(2), &[on_agent("o3", "a1", "cpus:2")]);
    assert_eq!(launches(&plan), [(vec!["o1", "o3"], vec!["t"])]);
}

#[test]
fn the_place_is_the_one_that_the_scorer_likes_best_among_all_in_hand() {
    let mut case = Case::new(Options::exclusive());
    let offers = [("o1", "a1", 9), ("o2", "a2", 4), ("o3", "a3", 6)];
    let offers = offers.map(|(name, agent, cpus)| on_agent(name, agent, &format!("cpus:{cpus}")));
    assert_eq!(held(&case.0.offers(at(1), &offers)), 3);
    assert_eq!(case.0.next_deadline(), None);

    case.submit("t", ask(3, Gpus::None));
    assert_eq!(case.0.next_deadline(), Some(Timestamp::ZERO), "there is something to do at once");
    assert_eq!(launches(&case.0.tick(at(2))), [(vec!["o2"], vec!["t"])]);
    assert_eq!(case.0.next_deadline(), None);
}

#[test]
fn who_shares_holds_a_few_machines_for_a_while_and_gives_the_rest_back() {
    let mut case = Case::new(Options::shared(1));
    assert!(!case.0.wants_offers());
    case.submit("t", ask(1, Gpus::None));
    assert!(case.0.wants_offers());
    let offers = ["a1", "a2", "a3"].map(|agent| on_agent(agent, agent, "cpus:2"));
    let plan = case.0.offers(at(1), &offers);
    assert_eq!((launches(&plan).len(), held(&plan), case.0.machines_in_hand()), (1, 1, 1));

    case.submit("late", ask(1, Gpus::None));
    let later = at(1) + crate::MAX_HOLD;
    assert_eq!(launches(&case.0.tick(later)), []);
    assert_eq!((case.0.machines_in_hand(), case.0.waiting()), (0, 1), "what is held ends by itself");
}

#[test]
fn who_holds_nothing_has_nothing_in_hand() {
    let mut case = Case::new(Options { hold: Duration::ZERO, ..Options::shared(10) }).wants(&[("t", 9)]);
    let plan = case.0.offers(at(1), &[on_agent("o1", "a1", "cpus:2")]);
    assert_eq!((held(&plan), case.0.machines_in_hand()), (0, 0));
}

#[test]
fn a_task_that_was_dropped_before_it_ran_waits_again_and_one_that_ended_does_not() {
    let mut case = Case::new(Options::exclusive()).wants(&[("t", 1), ("u", 1)]);
    let _ = case.0.offers(at(1), &[on_agent("o1", "a1", "cpus:2")]);
    let _ = case.hears("u", TaskState::Running);
    let _ = case.hears("u", TaskState::Failed);
    let _ = case.hears("t", TaskState::Dropped);
    assert_eq!((case.0.waiting(), case.0.running()), (1, 0));
    assert_eq!(launches(&case.0.offers(at(6), &[on_agent("o2", "a2", "cpus:2")])).len(), 1);
}

#[test]
fn offers_that_are_rescinded_lost_or_of_an_earlier_subscription_are_not_used() {
    let mut case = Case::new(Options::exclusive());
    let offers = ["a1", "a2", "a3"].map(|agent| on_agent(agent, agent, "cpus:2"));
    let _ = case.0.offers(at(1), &offers);
    case.0.rescinded(at(2), &offers[0].id);
    let _ = case.0.agent_lost(at(2), &offers[1].agent);
    assert_eq!(case.0.machines_in_hand(), 1);
    case.0.disconnected(at(3));
    case.submit("t", ask(1, Gpus::None));
    assert_eq!((case.0.machines_in_hand(), launches(&case.0.tick(at(4)))), (0, vec![]));
}

/// Names a device that is not there.
struct Careless;

impl Scorer for Careless {
    fn name(&self) -> &str {
        "careless"
    }

    fn score(&mut self, ask: &Ask, room: &Room) -> Option<Place> {
        Some(Place { score: 0.0, devices: vec![room.devices.len(); ask.need.gpus.devices()] })
    }
}

#[test]
fn an_impossible_place_is_a_named_mistake_and_harms_no_other_task() {
    let mut case = Case(Placer::new(Box::new(Careless), Options::exclusive()));
    case.submit("gpu", ask(1, Gpus::Share(500)));
    case.submit("cpu", ask(1, Gpus::None));
    let plan = case.0.offers(at(1), &[on_agent("o1", "a1", "cpus:2;gpus:{0:1000}")]);
    assert_eq!(launches(&plan), [(vec!["o1"], vec!["cpu"])]);
    let mistakes = case.0.take_mistakes();
    assert_eq!(mistakes.len(), 1);
    assert!(mistakes[0].to_string().contains("careless"), "{}", mistakes[0]);
    assert!(case.0.take_mistakes().is_empty());
}

#[test]
fn a_new_kind_of_task_that_fits_nowhere_has_refusals_forgotten_once() {
    let mut case = Case::new(Options::shared(1)).wants(&[("a", 1)]);
    let plan = case.0.offers(at(1), &[on_agent("o1", "a1", "cpus:1")]);
    assert_eq!((launches(&plan).len(), revives(&plan)), (1, false));
    case.submit("b", ask(4, Gpus::None));
    assert!(revives(&case.0.tick(at(2))));
    case.submit("c", ask(4, Gpus::None));
    assert!(!revives(&case.0.tick(at(3))), "it is known to fit nowhere");
    let plan = case.0.offers(at(3), &[on_agent("o2", "a2", "cpus:2")]);
    assert!(!revives(&plan), "and was refused knowing that");
    // Twice within a second is too often.
    case.submit("d", ask(8, Gpus::None));
    assert!(revives(&case.0.tick(at(4))));
    case.submit("e", ask(9, Gpus::None));
    assert!(!revives(&case.0.tick(at(4))));
    assert_eq!(case.0.next_deadline(), Some(at(5)));
    assert!(revives(&case.0.tick(at(5))));
}

#[test]
fn who_has_launched_nothing_for_long_wants_no_offers() {
    let mut case = Case::new(Options::shared(1)).wants(&[("a", 1)]);
    let _ = case.0.offers(at(1), &[on_agent("o1", "a1", "cpus:1")]);
    assert!(case.0.wants_offers(), "what is left there comes back");
    let later = at(1) + crate::MAX_HOLD;
    assert_eq!(case.0.next_deadline(), Some(later));
    let _ = case.0.tick(later);
    assert_eq!((case.0.wants_offers(), case.0.next_deadline()), (false, None));
}

#[test]
fn a_launch_that_never_left_waits_again_but_for_the_task_to_blame() {
    let mut case = Case::new(Options::exclusive()).wants(&[("t", 1), ("u", 1)]);
    let _ = case.0.offers(at(1), &[on_agent("o1", "a1", "cpus:2")]);
    let _ = case.0.refused(at(1), &Problem::Plan(PlanError::TaskIdInUse(id("u"))));
    assert_eq!((case.0.waiting(), case.0.running(), case.0.take_mistakes().len()), (1, 0, 1));
}
