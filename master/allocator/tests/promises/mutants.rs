//! Each judge catches the fault it is for: a round as it was, with one thing wrong.

use std::time::Duration;

use lonja_allocator::{Allocation, Options};
use lonja_model::Timestamp;
use lonja_model::quota::Quota;

use crate::judge::{Breach, judge, the_books_agree};
use crate::ledger::Ledger;
use crate::steps::{resources, total};
use crate::world::{World, agent, facts, framework, role};

/// `eng` (bit 0) has f1, `eng/web` (bit 1) has f2, `ops` (bit 3) has f3.
fn small() -> World {
    let mut world = World::with(Options { most_slices: 1, ..Options::default() });
    world.add_agent(agent("a1"), total(0));
    world.add_agent(agent("a2"), resources("cpus:2;mem:64;cpus(eng):2;mem(eng):64"));
    world.add_framework(framework("f1"), facts(1, 0, 0));
    world.add_framework(framework("f2"), facts(2, 0, 0));
    world.add_framework(framework("f3"), facts(8, 0, 0));
    world
}

fn give(framework_name: &str, role_name: &str, agent_name: &str, what: &str) -> Allocation {
    let (framework, role, agent) = (framework(framework_name), role(role_name), agent(agent_name));
    Allocation { framework, role, agent, resources: resources(what) }
}

fn quota(guarantees: &str, limits: &str) -> Quota {
    Quota { guarantees: resources(guarantees).quantities(), limits: resources(limits).quantities() }
}

/// What the judge says of one round over `books`.
fn verdict(books: &Ledger, round: &[Allocation]) -> Breach {
    judge(books, round).expect_err("the judge has noticed nothing")
}

#[test]
fn an_honest_round_is_not_blamed() {
    let mut world = small();
    assert!(!world.allocate().unwrap().is_empty());
    assert_eq!(the_books_agree(&world.books, &world.allocator), Ok(()));
}

#[test]
fn what_somebody_has_already_is_not_given_again() {
    let books = small().books;
    let (one, two) = (give("f1", "eng", "a1", "cpus:5;mem:512"), give("f3", "ops", "a1", "cpus:5;mem:512"));
    assert_eq!(verdict(&books, &[one, two.clone()]), Breach::NotFree(two));
}

#[test]
fn an_empty_offer_and_a_second_one_are_pointless() {
    let books = small().books;
    let nothing = give("f1", "eng", "a1", "");
    assert_eq!(verdict(&books, std::slice::from_ref(&nothing)), Breach::Pointless(nothing));
    let half = give("f1", "eng", "a1", "cpus:4;mem:512");
    assert_eq!(verdict(&books, &[half.clone(), half.clone()]), Breach::Pointless(half));
}

#[test]
fn who_does_not_wait_gets_nothing() {
    let everything = give("f1", "eng", "a1", "cpus:8;mem:1024");
    let blamed = Breach::NotInLine(everything.clone());
    for spoil in [
        |books: &mut Ledger| books.frameworks.get_mut(&framework("f1")).unwrap().active = false,
        |books: &mut Ledger| books.agents.get_mut(&agent("a1")).unwrap().active = false,
        |books: &mut Ledger| {
            let known = books.frameworks.get_mut(&framework("f1")).unwrap();
            known.facts.suppressed.insert(role("eng"));
        },
    ] {
        let mut books = small().books;
        spoil(&mut books);
        assert_eq!(verdict(&books, std::slice::from_ref(&everything)), blamed);
    }
}

#[test]
fn reservations_and_kinds_stay_with_those_they_are_for() {
    let books = small().books;
    let reserved = give("f3", "ops", "a2", "cpus:1;mem:40;cpus(eng):1");
    assert_eq!(verdict(&books, std::slice::from_ref(&reserved)), Breach::NotForIt(reserved));

    let mut world = small();
    world.add_agent(agent("a3"), total(3));
    let revocable = give("f1", "eng", "a3", "cpus:1;mem:64;~cpus:3");
    assert_eq!(verdict(&world.books, std::slice::from_ref(&revocable)), Breach::NotForIt(revocable));
}

#[test]
fn crumbs_are_too_small() {
    let crumb = give("f1", "eng", "a1", "cpus:0.005;mem:31");
    assert_eq!(verdict(&small().books, std::slice::from_ref(&crumb)), Breach::TooSmall(crumb));

    let mut books = small().books;
    books.needs.insert((framework("f1"), role("eng")), vec![resources("cpus:9").quantities()]);
    let too_little = give("f1", "eng", "a1", "cpus:8;mem:1024");
    assert_eq!(verdict(&books, std::slice::from_ref(&too_little)), Breach::TooSmall(too_little));
}

#[test]
fn what_was_refused_stays_away_until_the_filter_ends() {
    let mut books = small().books;
    let everything = give("f1", "eng", "a1", "cpus:8;mem:1024");
    let place = (everything.agent.clone(), everything.framework.clone(), everything.role.clone());
    books.refuse(&place, &everything.resources, Duration::from_secs(5));
    let less = give("f1", "eng", "a1", "cpus:8;mem:1000");
    assert_eq!(verdict(&books, std::slice::from_ref(&less)), Breach::Refused(less.clone()));

    books.now = books.now + Duration::from_secs(5);
    assert_ne!(verdict(&books, std::slice::from_ref(&less)), Breach::Refused(less));
}

#[test]
fn a_limit_holds_for_all_below_the_role_together() {
    let mut books = small().books;
    books.quotas.insert(role("eng"), quota("", "cpus:6"));
    let (one, two) =
        (give("f1", "eng", "a1", "cpus:3;mem:512"), give("f2", "eng/web", "a1", "cpus:3;mem:512"));
    // Two more are reserved for it.
    assert_eq!(verdict(&books, &[one, two]), Breach::AboveLimit(role("eng"), "cpus".to_owned()));
}

#[test]
fn what_is_owed_is_not_given_to_others() {
    let mut books = small().books;
    books.quotas.insert(role("ops"), quota("cpus:4", ""));
    let round = [give("f1", "eng", "a1", "cpus:8;mem:1024")];
    assert_eq!(verdict(&books, &round), Breach::Headroom("cpus".to_owned()));
}

#[test]
fn who_is_owed_something_comes_first() {
    let mut books = small().books;
    books.quotas.insert(role("ops"), quota("cpus:2", ""));
    let first = give("f1", "eng", "a1", "cpus:8;mem:1024");
    assert_eq!(
        verdict(&books, std::slice::from_ref(&first)),
        Breach::OwedToAnother(first, framework("f3"), role("ops"))
    );
}

#[test]
fn something_left_that_somebody_could_have_is_noticed() {
    let books = small().books;
    let most = give("f1", "eng", "a1", "cpus:7;mem:1024");
    let rest = give("f1", "eng", "a2", "cpus:2;mem:64;cpus(eng):2;mem(eng):64");
    assert_eq!(
        verdict(&books, &[most, rest]),
        Breach::PassedOver(framework("f1"), role("eng"), agent("a1"), resources("cpus:1"))
    );
}

#[test]
fn books_that_were_kept_otherwise_differ() {
    let mut world = small();
    world.allocate().unwrap();
    let differ = |world: &World| the_books_agree(&world.books, &world.allocator).is_err();

    let (holder, held) = world.books.held.iter().next().map(|(a, b)| (a.clone(), b.clone())).unwrap();
    world.books.take_back(&holder, &held);
    assert!(differ(&world), "something that never came back");
    world.books.charge(&holder, &held);
    assert!(!differ(&world));

    world.books.agents.get_mut(&agent("a1")).unwrap().total = resources("cpus:9;mem:1024");
    assert!(differ(&world), "a total that is another");
    assert_eq!(world.books.now, Timestamp::from_nanos(1_000));
}
