use std::collections::BTreeMap;

use lonja_model::Role;
use lonja_model::attributes::Attributes;
use lonja_model::resources::Scalar;
use lonja_model::task::Source;
use lonja_model::{TaskInfo, TaskState, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::Task;
use crate::placement::fit::plain;
use crate::placement::policies::{self, BestFit, Random};
use crate::placement::predicate::testing::{any_offer_of, any_own, any_predicate, any_small_labels};
use crate::placement::predicate::{Predicate, Site, Tasks, agent, attribute, hostname, zone};
use crate::placement::{Room, by};
use crate::plan::{Action, Step};
use crate::tests::fixture::offer;

fn on(name: &str, agent: &str, resources: &str, attributes: &str) -> Offer {
    Offer {
        agent: AgentId::new(agent).unwrap(),
        attributes: Attributes::parse(attributes).unwrap(),
        ..offer(name, resources)
    }
}

fn wanted(name: &str, task: Task) -> Wanted {
    Wanted::new(TaskId::new(name).unwrap(), task)
}

fn cpus(cpus: f64) -> Task {
    Task::shell("true").unwrap().cpus(cpus).unwrap().mem_mib(1.0).unwrap()
}

fn binpack() -> Placement {
    Placement::new(Box::new(BestFit::default()))
}

/// The launches of a plan: offers and tasks.
fn launches(plan: &Plan) -> Vec<(Vec<&str>, Vec<&TaskInfo>)> {
    let mut launches = Vec::new();
    for action in &plan.actions {
        let Action::Accept { offers, steps } = action else { panic!("{action:?}") };
        let [Step::Launch(tasks)] = &steps[..] else { panic!("{steps:?}") };
        launches.push((offers.iter().map(OfferId::as_str).collect(), tasks.iter().collect()));
    }
    launches
}

/// Who goes where, by name.
fn places(decision: &Decision) -> Vec<(&str, &str)> {
    decision.placed.iter().map(|placed| (placed.task.as_str(), placed.agent.as_str())).collect()
}

#[test]
fn offers_of_one_agent_and_role_are_used_together() {
    let mut other_role = on("o3", "a1", "cpus:9;mem:9", "");
    other_role.role = Role::new("other").unwrap();
    let offers = [on("o1", "a1", "cpus:2;mem:9", ""), other_role, on("o2", "a1", "cpus:2;mem:9", "")];

    let decision = binpack().decide(&offers[..], &[wanted("t1", cpus(3.0)), wanted("t2", cpus(9.5))]);

    let launched: Vec<_> = launches(&decision.plan).into_iter().map(|(offers, _)| offers).collect();
    assert_eq!(launched, [["o1", "o2"]]);
    assert_eq!(decision.unused.iter().map(OfferId::as_str).collect::<Vec<_>>(), ["o3"]);
    assert_eq!((decision.unplaced.len(), decision.unplaced[0].offers), (1, 3));
    assert_eq!(decision.unplaced[0].reasons, [("too few cpus".to_owned(), 3)]);
}

#[test]
fn what_is_placed_counts_at_once_for_those_behind() {
    let offers = ["a1", "a2", "a3"].map(|name| on(name, name, "cpus:8;mem:100", ""));
    let apart = agent().unique(&Tasks::labelled("app", "web"));
    let task = cpus(1.0).label("app", "web").place(apart);
    let waiting = ["w1", "w2", "w3", "w4"].map(|name| wanted(name, task.clone()));

    let mut placement = binpack();
    let decision = placement.decide(&offers, &waiting);

    assert_eq!(places(&decision), [("w1", "a1"), ("w2", "a2"), ("w3", "a3")]);
    let reasons = &decision.unplaced[0].reasons;
    assert_eq!(reasons, &[("agent has at most 1 of app=web".to_owned(), 3)]);
    let nearest = decision.unplaced[0].nearest.as_ref().unwrap();
    assert_eq!(nearest.why, "agent has at most 1 of app=web: 1 at a1");
    let ended =
        TaskStatus::new(TaskId::new("w2").unwrap(), TaskState::Failed, Source::Agent, Timestamp::ZERO);
    placement.update(&ended);
    assert_eq!(places(&placement.decide(&offers, &waiting[3..])), [("w4", "a2")]);
}

#[test]
fn a_task_that_waits_for_company_gets_its_place_when_the_company_has_got_one() {
    let offers = ["a1", "a2"].map(|name| on(name, name, "cpus:8;mem:100", ""));
    let follower = cpus(1.0).place(agent().near(&Tasks::labelled("app", "db")));
    let waiting = [wanted("follower", follower), wanted("db", cpus(1.0).label("app", "db"))];

    let decision = binpack().decide(&offers, &waiting);

    assert_eq!(places(&decision), [("db", "a1"), ("follower", "a1")]);
}

#[test]
fn ports_are_the_lowest_or_drawn_and_those_asked_for() {
    let offers = [on("o1", "a1", "cpus:8;mem:100;ports:[100-199]", "")];
    let ports = |decision: &Decision| {
        let of = |placed: &Placed| placed.resources.ranges("ports").numbers().collect::<Vec<_>>();
        decision.placed.iter().map(of).collect::<Vec<_>>()
    };
    let waiting = [
        wanted("t1", cpus(1.0).ports(2)).port(101),
        wanted("t2", cpus(1.0)).port(101),
        wanted("t3", cpus(1.0).ports(1)),
    ];

    let decision = binpack().decide(&offers, &waiting);
    assert_eq!(ports(&decision), [vec![100, 101, 102], vec![103]]);
    assert_eq!(decision.unplaced[0].reasons, [("port 101 free".to_owned(), 1)]);

    let drawn = |seed| {
        let options = Options::default().ports(Ports::Random(seed));
        let decision =
            Placement::with_options(Box::new(BestFit::default()), options).decide(&offers, &waiting);
        ports(&decision)
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    assert!((0..20).all(|seed| drawn(seed)[0].contains(&101)));
}

#[test]
fn a_wish_outweighs_a_score_and_bars_nothing() {
    let offers = [on("o1", "a1", "cpus:2;mem:100", "disk:hdd"), on("o2", "a2", "cpus:8;mem:100", "disk:ssd")];
    let ssd = attribute("disk").is("ssd");
    let place = |wanted: Wanted| {
        let decision = binpack().decide(&offers, &[wanted]);
        decision.placed[0].agent.to_string()
    };
    assert_eq!(place(wanted("t", cpus(1.0))), "a1", "the fuller machine");
    assert_eq!(place(wanted("t", cpus(1.0)).prefer(ssd.clone(), 100)), "a2");
    assert_eq!(
        place(wanted("t", cpus(1.0)).prefer(ssd.clone(), 100).prefer(hostname().exists(), -500)),
        "a2"
    );
    assert_eq!(place(wanted("t", cpus(1.0)).prefer(ssd, -100).prefer(zone().is("none"), 300)), "a1");
}

#[test]
fn the_reasons_name_what_is_short_and_the_nearest_is_the_one_that_lacks_least() {
    let offers = [
        on("o1", "a1", "cpus:1;mem:100", "rack:r1"),
        on("o2", "a2", "cpus:3;mem:100", "rack:r1"),
        on("o3", "a3", "cpus:8;mem:100", "rack:r2"),
        on("o4", "a4", "cpus:8;mem:100", ""),
    ];
    let task = cpus(4.0).place(attribute("rack").exists() & attribute("rack").is("r1"));

    let decision = binpack().decide(&offers, &[wanted("t1", task)]);

    let unplaced = &decision.unplaced[0];
    assert_eq!((unplaced.task.as_str(), unplaced.offers), ("t1", 4));
    let told: Vec<(&str, u64)> = unplaced.reasons.iter().map(|(why, count)| (why.as_str(), *count)).collect();
    assert_eq!(told, [("too few cpus", 2), ("rack is r1", 1), ("rack is told", 1)]);
    let nearest = unplaced.nearest.as_ref().unwrap();
    assert_eq!((nearest.agent.as_str(), nearest.why.as_str()), ("a2", "cpus: wants 4, 3 free"));
}

#[test]
fn a_task_whose_id_is_in_use_gets_no_place() {
    let offers = [on("o1", "a1", "cpus:8;mem:100", "")];
    let twice = [wanted("t1", cpus(1.0)), wanted("t1", cpus(1.0))];
    let decision = binpack().decide(&offers, &twice);
    assert_eq!(decision.placed.len(), 1);
    assert_eq!(decision.unplaced[0].reasons[0].0, "its id is in use by a task on a1; take another");
}

#[test]
fn a_refused_launch_waits_again() {
    let offers = [on("o1", "a1", "cpus:8;mem:100", ""), on("o2", "a2", "cpus:1;mem:100", "")];
    let mut placement = binpack();
    let decision = placement.decide(&offers, &[wanted("t1", cpus(4.0)), wanted("t2", cpus(1.0))]);
    assert_eq!(places(&decision), [("t1", "a1"), ("t2", "a2")]);

    let gone = Problem::Plan(PlanError::OfferGone(offers[0].id.clone()));
    assert_eq!(placement.refused(&gone).iter().map(TaskId::as_str).collect::<Vec<_>>(), ["t1"]);
    assert_eq!((placement.own().len(), placement.refused(&gone).len()), (1, 0));
}

#[test]
fn all_together_or_none() {
    let offers = [on("o1", "a1", "cpus:4;mem:100", ""), on("o2", "a2", "cpus:3;mem:100", "")];
    let mut placement = binpack();
    // In their order the small one would take the place that the large one needs.
    let fits = [wanted("small", cpus(2.0)), wanted("other", cpus(1.0)), wanted("large", cpus(4.0))];
    assert_eq!(placement.decide_together(&offers, &fits).unwrap().placed.len(), 3);
    fits.iter().for_each(|wanted| assert!(placement.own.remove(wanted.id())));

    let too_many =
        [wanted("t1", cpus(2.0)), wanted("t2", cpus(2.0)), wanted("t3", cpus(2.0)), wanted("t4", cpus(2.0))];
    let not = placement.decide_together(&offers, &too_many).unwrap_err();
    assert_eq!(not.to_string(), "of 4 tasks that start together, 1 have no place beside the others");
    assert!(placement.own().is_empty());
}

#[test]
fn what_the_policy_does_not_want_is_told() {
    let offers = [on("o1", "a1", "cpus:8;mem:100", "")];
    let mut placement = Placement::new(Box::new(by("never", |_, _| None)));
    let decision = placement.decide(&offers, &[wanted("t1", cpus(1.0))]);
    assert_eq!(decision.unplaced[0].reasons, [("not wanted there by the policy".to_owned(), 1)]);
}

fn any_wanted() -> impl Strategy<Value = Vec<Wanted>> {
    let one = (
        1..4_u8,
        0..2_usize,
        any_predicate(),
        any_small_labels(),
        proptest::option::weighted(0.2, 10..14_u16),
    );
    vec(one, 0..8).prop_map(|all| {
        let task = |(index, (cpu, ports, place, labels, port)): (
            usize,
            (u8, usize, Predicate, Labels, Option<u16>),
        )| {
            let labels = labels.0.into_iter().filter_map(|(key, value)| Some((key, value?)));
            let task = cpus(f64::from(cpu)).ports(ports).place(place);
            let task = labels.fold(task, |task, (key, value)| task.label(key, value));
            let wanted = wanted(&format!("t{index}"), task);
            port.map_or(wanted.clone(), |port| wanted.port(port))
        };
        all.into_iter().enumerate().map(task).collect()
    })
}

/// Of twelve at most two are of one agent, which tells the same in both.
fn any_offers() -> impl Strategy<Value = Vec<Offer>> {
    let numbers = 0..12_usize;
    let offers = numbers.prop_flat_map(|count| (0..count).map(any_offer_of).collect::<Vec<_>>());
    offers.prop_map(|mut offers| {
        for index in 10..offers.len() {
            let Offer { hostname, domain, attributes, .. } = offers[index - 10].clone();
            offers[index] = Offer { hostname, domain, attributes, ..offers[index].clone() };
        }
        offers
    })
}

/// What is free on each agent: offers of one agent count together.
fn free_by_agent(offers: &[Offer]) -> BTreeMap<AgentId, (Offer, Resources)> {
    let mut free: BTreeMap<AgentId, (Offer, Resources)> = BTreeMap::new();
    for offer in offers {
        let (_, held) = free.entry(offer.agent.clone()).or_insert_with(|| (offer.clone(), Resources::new()));
        *held = held.checked_add(&offer.resources.filter(plain)).unwrap_or(held.clone());
    }
    free
}

/// Does the task have a place there, as the language is plainly written down?
fn has_place(wanted: &Wanted, (offer, free): &(Offer, Resources), own: &OwnTasks) -> bool {
    let room = Room::new(free, &offer.attributes);
    let ports = free.ranges("ports");
    wanted.predicate().holds_at(&Site::from(offer), free, own)
        && room.fits(wanted.ask())
        && wanted.kind.ports.iter().all(|port| ports.numbers().any(|number| number == *port))
}

fn check(
    mut placement: Placement,
    mut own: OwnTasks,
    offers: &[Offer],
    waiting: &[Wanted],
) -> Result<Decision, TestCaseError> {
    placement.own = own.clone();
    let decision = placement.decide(offers, waiting);
    let mut free = free_by_agent(offers);
    offers.iter().for_each(|offer| own.saw(offer));
    for placed in &decision.placed {
        let wanted = waiting.iter().find(|wanted| *wanted.id() == placed.task).expect("it was asked for");
        let here = free.get_mut(&placed.agent).expect("it was offered");
        prop_assert!(has_place(wanted, here, &own), "{:?} on {:?}", wanted, here);
        prop_assert_eq!(placed.resources.scalar("cpus"), wanted.ask().need.cpus);
        here.1 = here.1.checked_sub(&placed.resources).expect("no more than is free");
        own.put(placed.task.clone(), &placed.agent, wanted.task.labels(), &wanted.ask().need);
    }
    for unplaced in &decision.unplaced {
        let wanted =
            waiting.iter().find(|wanted| wanted.id().as_str() == unplaced.task).expect("it was asked for");
        let place = free.values().find(|here| has_place(wanted, here, &own));
        prop_assert!(place.is_none(), "{:?} has a place on {:?}", wanted, place);
        let told: u64 = unplaced.reasons.iter().map(|(_, count)| count).sum();
        prop_assert_eq!((told, unplaced.offers), (unplaced.offers, u64::try_from(offers.len()).unwrap()));
        prop_assert_eq!(unplaced.nearest.is_some(), !offers.is_empty());
    }
    prop_assert_eq!(decision.placed.len() + decision.unplaced.len(), waiting.len());
    prop_assert!(placement.own.is_consistent());
    Ok(decision)
}

proptest! {
    /// Each task goes where its predicate holds and it fits when its turn comes; in the end no task waits that has a
    /// place; and the reasons of each that waits add up to the offers.
    #[test]
    fn a_decision_is_what_the_language_says(
        offers in any_offers(), waiting in any_wanted(), own in any_own(), policy in 0..policies::NAMES.len(),
    ) {
        let placement = |options| Placement::with_options(policies::by_name(policies::NAMES[policy], 3).unwrap(), options);
        let decision = check(placement(Options::default()), own.clone(), &offers, &waiting)?;
        let again = check(placement(Options::default()), own.clone(), &offers, &waiting)?;
        prop_assert_eq!(decision.plan, again.plan);
        check(placement(Options::default().most_scores(1)), own, &offers, &waiting)?;
    }

    /// What agents said before, and is kept, is not taken for what they say now.
    #[test]
    fn a_later_decision_is_by_what_agents_say_then(
        before in any_offers(), after in any_offers(), waiting in any_wanted(), own in any_own(),
    ) {
        let mut earlier = binpack();
        earlier.own = own;
        for offers in [&before, &after, &before] {
            let decision = earlier.decide(offers, &waiting);
            earlier.take_back(&decision);
            check(binpack(), earlier.own.clone(), &after, &waiting)?;
        }
    }

    /// The place of the first task is the best there is, its wishes counted in, and of equal ones the first.
    #[test]
    fn the_first_task_gets_the_best_place(
        offers in any_offers(), task in any_wanted(), wish in any_predicate(), by in -50..50_i32,
    ) {
        let Some(wanted) = task.first().map(|wanted| wanted.clone().prefer(wish.clone(), by)) else { return Ok(()) };
        let score = |ask: &Ask, room: &Room| (room.cpus.to_f64() - ask.need.cpus.to_f64()) * 7.0;
        let mut placement = Placement::new(Box::new(crate::placement::by("most cpus", move |a, r| Some(score(a, r)))));
        let decision = placement.decide(&offers, std::slice::from_ref(&wanted));
        let own = { let mut own = OwnTasks::new(); offers.iter().for_each(|offer| own.saw(offer)); own };
        let free = free_by_agent(&offers);
        let value = |here: &(Offer, Resources)| {
            let bonus = if wish.holds_at(&Site::from(&here.0), &here.1, &own) { f64::from(by) } else { 0.0 };
            score(wanted.ask(), &Room::new(&here.1, &here.0.attributes)) + bonus
        };
        let best = free.values().filter(|here| has_place(&wanted, here, &own)).map(value).reduce(f64::max);
        let got = decision.placed.first().map(|placed| value(&free[&placed.agent]));
        prop_assert_eq!(got, best);
    }
}

#[test]
fn a_policy_that_draws_finds_the_one_place_there_is() {
    let mut offers: Vec<Offer> =
        (0..500).map(|n| on(&format!("o{n}"), &format!("a{n}"), "cpus:1;mem:100", "")).collect();
    offers.push(on("big", "big", "cpus:8;mem:100", ""));
    let mut placement = Placement::new(Box::new(Random::new(5)));
    let decision = placement.decide(&offers, &[wanted("t1", cpus(4.0))]);
    assert_eq!(places(&decision), [("t1", "big")]);
    assert_eq!(Scalar::from_units(4), Some(decision.placed[0].resources.scalar("cpus")));
}

#[test]
fn a_launch_over_several_offers_is_undone_whichever_of_them_is_gone() {
    let offers = ["o1", "o2"].map(|name| on(name, "a1", "cpus:2;mem:9", ""));
    let id = |name: &str| OfferId::new(name).unwrap();
    let problems = [
        PlanError::OfferGone(id("o1")),
        PlanError::OfferGone(id("o2")),
        PlanError::OffersDiffer(id("other"), id("o2")),
    ];
    for problem in problems {
        let mut placement = binpack();
        assert_eq!(placement.decide(&offers, &[wanted("t1", cpus(3.0))]).placed.len(), 1);
        let left = placement.refused(&Problem::Plan(problem.clone()));
        assert_eq!(left, [TaskId::new("t1").unwrap()], "{problem}");
        assert!(placement.own().is_empty(), "{problem}");
    }
}

#[test]
fn what_was_not_placed_together_is_no_workload() {
    let offers = [on("o1", "a1", "cpus:2;mem:9", "")];
    let waiting = ["t1", "t2", "t3"].map(|name| wanted(name, cpus(1.0)));
    let mut placement = binpack();
    placement.decide_together(&offers, &waiting).unwrap_err();
    assert!(placement.workload.is_empty() && placement.placed == 0 && placement.own().is_empty());
    placement.decide_together(&offers, &waiting[..2]).unwrap();
    assert_eq!((placement.placed, placement.workload.values().sum::<u64>()), (2, 2));
}
