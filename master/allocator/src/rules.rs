//! The rules, one named test each.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::attributes::Attributes;

use crate::fixture::*;
use crate::{AgentFacts, Allocator, NotHeld, Options, UnknownAgent, ZeroWeight};

const NOTHING: [&str; 0] = [];

// Who is served.

#[test]
fn the_first_framework_takes_all_of_an_agent() {
    let mut cluster = cluster().agent("a1", "cpus:4;mem:4096").framework("f1", "web");
    assert!(cluster.allocator.needs_allocation());
    assert_eq!(cluster.allocate(), ["f1 web a1 cpus:4;mem:4096"]);
    assert_eq!(cluster.free("a1"), "");
    assert_eq!(cluster.allocate(), NOTHING);
}

#[test]
fn the_role_with_the_smaller_dominant_share_comes_first() {
    let mut cluster = cluster().agent("a1", "cpus:10;mem:1000").framework("f1", "cpu").framework("f2", "mem");
    // 3 of 10 CPUs weigh more than 200 of 1000 MiB.
    cluster.charge("f1 cpu a1 cpus:3;mem:10").charge("f2 mem a1 cpus:1;mem:200");
    assert_eq!(cluster.allocate(), ["f2 mem a1 cpus:6;mem:790"]);
}

#[test]
fn a_share_is_divided_by_the_weight_of_its_role() {
    let mut cluster = cluster().agent("a1", "cpus:10").weight("heavy", "2.5");
    cluster = cluster.framework("f1", "heavy").framework("f2", "light");
    cluster.charge("f1 heavy a1 cpus:4").charge("f2 light a1 cpus:2");
    assert_eq!(cluster.allocate(), ["f1 heavy a1 cpus:4"]);
}

#[test]
fn frameworks_of_a_role_share_as_equals_whatever_its_weight() {
    let mut cluster = cluster().agent("a1", "cpus:10").weight("web", "9");
    cluster = cluster.framework("f1", "web").framework("f2", "web");
    cluster.charge("f1 web a1 cpus:2").charge("f2 web a1 cpus:1");
    assert_eq!(cluster.allocate(), ["f2 web a1 cpus:7"]);
}

#[test]
fn with_equal_shares_turns_are_taken_and_then_the_name_decides() {
    let mut cluster = cluster().agent("a1", "cpus:1").framework("f2", "b").framework("f1", "a");
    cluster = cluster.framework("f3", "b");
    let mut served = Vec::new();
    for _ in 0..8 {
        let told = cluster.allocate().remove(0);
        cluster.give_back(&told, None);
        served.push(told.split(' ').next().unwrap().to_owned());
    }
    assert_eq!(served, ["f1", "f2", "f1", "f3", "f1", "f2", "f1", "f3"]);
}

#[test]
fn a_new_agent_changes_all_shares() {
    let mut cluster = cluster().agent("a1", "cpus:10;mem:10").framework("f1", "x").framework("f2", "y");
    cluster.charge("f1 x a1 cpus:5;mem:1").charge("f2 y a1 cpus:1;mem:4");
    cluster.allocator.deactivate_agent(&agent("a1"));
    // Half of 10 CPUs, but a tenth of 50 from now on: memory weighs more now.
    let mut cluster = cluster.agent("a2", "cpus:40;mem:1");
    assert_eq!(cluster.allocate(), ["f1 x a2 cpus:40;mem:1"]);
}

#[test]
fn a_change_of_weight_offers_nothing_that_nobody_wanted() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "web");
    let told = cluster.allocate().remove(0);
    cluster.give_back(&told, Some(5)).allocate();
    let mut cluster = cluster.weight("web", "3");
    assert_eq!(cluster.allocate(), NOTHING);
}

#[test]
fn a_weight_of_zero_is_refused() {
    let mut allocator = Allocator::new(Options::default());
    assert_eq!(allocator.set_weight(role("web"), weight("0")), Err(ZeroWeight));
    assert!(allocator.role_shares().is_empty());
}

// What is offered.

#[test]
fn reserved_resources_go_only_to_their_role_and_roles_below() {
    let mut cluster = cluster().agent("a1", "cpus:1;cpus(eng):2;cpus(eng/web):4;cpus(ops):8");
    cluster = cluster.framework("f1", "eng");
    assert_eq!(cluster.allocate(), ["f1 eng a1 cpus:1;cpus(eng):2"]);
    let mut cluster = cluster.framework("f2", "eng/web").framework("f3", "engine");
    assert_eq!(cluster.allocate(), ["f2 eng/web a1 cpus(eng/web):4"]);
    assert_eq!(cluster.free("a1"), "cpus(ops):8");
}

#[test]
fn what_one_role_may_not_use_goes_on_to_the_next() {
    let mut cluster = cluster().agent("a1", "cpus:1;cpus(a):2;cpus(b):4");
    cluster = cluster.framework("f1", "a").framework("f2", "b");
    assert_eq!(cluster.allocate(), ["f1 a a1 cpus:1;cpus(a):2", "f2 b a1 cpus(b):4"]);
}

#[test]
fn an_offer_reaches_one_of_the_minimum_amounts() {
    let mut cluster = cluster().agent("a1", "cpus:0.009;mem:31").framework("f1", "web");
    cluster = cluster.agent("a2", "cpus:0.01").agent("a3", "mem:32").agent("a4", "ports:[1-9]");
    assert_eq!(cluster.allocate(), ["f1 web a2 cpus:0.01", "f1 web a3 mem:32"]);
}

#[test]
fn a_framework_sets_its_own_minimum_for_a_role() {
    let mut cluster = cluster().agent("a1", "cpus:4;mem:10").agent("a2", "ports:[1-9]");
    let large = vec![quantities("cpus:4;mem:11"), quantities("cpus:5")];
    let own = [(role("large"), large), (role("any"), Vec::new())];
    let facts = crate::FrameworkFacts { minimum_offers: BTreeMap::from(own), ..facts("large") };
    cluster.allocator.add_framework(framework("f1"), facts.clone());
    assert_eq!(cluster.allocate(), NOTHING);
    cluster.allocator.update_agent_total(&agent("a1"), resources("cpus:5;mem:10"));
    assert_eq!(cluster.allocate(), ["f1 large a1 cpus:5;mem:10"]);
    let facts = crate::FrameworkFacts { roles: roles("any"), ..facts };
    cluster.allocator.update_framework(&framework("f1"), facts);
    assert_eq!(cluster.allocate(), ["f1 any a2 ports:[1-9]"]);
}

#[test]
fn agents_with_gpus_are_kept_from_frameworks_that_do_not_understand_them() {
    let mut cluster = cluster().agent("a1", "cpus:1;gpus:{0:1000}").framework("f1", "web");
    assert_eq!(cluster.allocate(), NOTHING);
    cluster.allocator.add_framework(framework("f2"), gpu_facts("web"));
    assert_eq!(cluster.allocate(), ["f2 web a1 cpus:1;gpus:{0:1000}"]);
}

#[test]
fn agents_with_gpus_are_open_to_all_if_the_operator_says_so() {
    let mut cluster = cluster();
    cluster.allocator = Allocator::new(Options { reserve_gpu_agents: false, ..Options::default() });
    let mut cluster = cluster.agent("a1", "cpus:1;gpus:2").framework("f1", "web");
    assert_eq!(cluster.allocate(), ["f1 web a1 cpus:1;gpus:2"]);
}

// Filters.

#[test]
fn a_declined_offer_stays_away_until_its_filter_expires() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "web");
    let told = cluster.allocate().remove(0);
    cluster.give_back(&told, Some(5));
    assert_eq!(cluster.allocate(), NOTHING);
    assert_eq!(cluster.allocator.next_deadline(), Some(cluster.now + Duration::from_secs(5)));
    assert_eq!(cluster.advance(4).allocate(), NOTHING);
    let now = cluster.advance(1).now;
    cluster.allocator.expire(now);
    assert!(cluster.allocator.needs_allocation());
    assert_eq!(cluster.allocate(), [told]);
    assert_eq!(cluster.allocator.next_deadline(), None);
}

#[test]
fn a_refusal_of_no_time_is_no_filter() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "web");
    let told = cluster.allocate().remove(0);
    cluster.give_back(&told, Some(0));
    assert_eq!(cluster.allocate(), [told]);
}

#[test]
fn more_than_was_refused_gets_through_and_less_stays_away() {
    let mut cluster = cluster().agent("a1", "cpus:4;mem:100").framework("f1", "web");
    cluster.allocate();
    cluster.give_back("f1 web a1 cpus:2;mem:50", Some(100));
    assert_eq!(cluster.allocate(), NOTHING);
    cluster.give_back("f1 web a1 mem:1", None);
    assert_eq!(cluster.allocate(), ["f1 web a1 cpus:2;mem:51"]);
    cluster.give_back("f1 web a1 cpus:1;mem:51", None);
    assert_eq!(cluster.allocate(), ["f1 web a1 cpus:1;mem:51"]);
    cluster.give_back("f1 web a1 cpus:1;mem:50", None);
    assert_eq!(cluster.allocate(), NOTHING);
}

#[test]
fn a_filter_is_for_one_framework_one_role_and_one_agent() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "a,b");
    assert_eq!(cluster.allocate(), ["f1 a a1 cpus:4"]);
    cluster.give_back("f1 a a1 cpus:4", Some(9));
    assert_eq!(cluster.allocate(), ["f1 b a1 cpus:4"]);
    cluster.give_back("f1 b a1 cpus:4", Some(9));
    assert_eq!(cluster.allocate(), NOTHING);
    let mut cluster = cluster.agent("a2", "cpus:1").framework("f2", "a");
    assert_eq!(cluster.allocate(), ["f2 a a1 cpus:4", "f1 b a2 cpus:1"]);
}

#[test]
fn several_filters_apply_at_once_and_idle_ones_are_dropped() {
    let mut cluster = cluster().agent("a1", "cpus:4;mem:400").framework("f1", "web");
    cluster.allocate();
    cluster.give_back("f1 web a1 cpus:1;mem:300", Some(9)).give_back("f1 web a1 cpus:2;mem:10", Some(9));
    assert_eq!(cluster.allocator.filter_count(), 2);
    assert_eq!(cluster.allocate(), ["f1 web a1 cpus:3;mem:310"]);
    cluster.give_back("f1 web a1 cpus:3;mem:310", Some(10));
    assert_eq!(cluster.allocator.filter_count(), 1);
    assert_eq!(cluster.allocate(), NOTHING);
}

#[test]
fn a_longer_refusal_outlasts_a_wider_one() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "web");
    cluster.allocate();
    cluster.give_back("f1 web a1 cpus:3", Some(5)).charge("f1 web a1 cpus:3");
    cluster.give_back("f1 web a1 cpus:2", Some(9));
    assert_eq!(cluster.allocator.filter_count(), 2);
    cluster.allocate();
    assert_eq!(cluster.advance(5).allocate(), NOTHING);
    assert_eq!(cluster.advance(4).allocate(), ["f1 web a1 cpus:2"]);
}

#[test]
fn filters_of_one_kind_are_bounded_and_the_first_to_end_gives_way() {
    let mut cluster = cluster().agent("a1", "cpus:100;mem:100000").framework("f1", "web");
    cluster.allocate();
    for step in 1..=60 {
        let shape = format!("f1 web a1 cpus:{}.1;mem:{step}", 60 - step);
        cluster.give_back(&shape, Some(1000 + step)).charge(&shape);
    }
    assert_eq!(cluster.allocator.filter_count(), crate::filters::MOST_ALIKE);
    assert_eq!(cluster.allocator.next_deadline(), Some(cluster.now + Duration::from_secs(1029)));
    cluster.allocate();
}

#[test]
fn revival_ends_the_filters_of_its_roles() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "a,b");
    cluster.allocate();
    cluster.give_back("f1 a a1 cpus:4", Some(9)).allocate();
    cluster.give_back("f1 b a1 cpus:4", Some(9)).allocate();
    cluster.allocator.revive(&framework("f1"), &roles("b"));
    assert_eq!(cluster.allocate(), ["f1 b a1 cpus:4"]);
    assert_eq!(cluster.allocator.filter_count(), 1);
    cluster.allocator.revive(&framework("f1"), &roles(""));
    assert_eq!(cluster.allocator.filter_count(), 0);
}

#[test]
fn deactivation_ends_filters_and_offers() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "web");
    let told = cluster.allocate().remove(0);
    cluster.give_back(&told, Some(9)).allocate();
    cluster.allocator.deactivate_framework(&framework("f1"));
    assert_eq!(cluster.allocator.filter_count(), 0);
    assert_eq!(cluster.allocate(), NOTHING);
    cluster.allocator.activate_framework(&framework("f1"));
    assert_eq!(cluster.allocate(), [told]);
}

#[test]
fn an_inactive_framework_leaves_no_filter() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "web");
    let told = cluster.allocate().remove(0);
    cluster.allocator.deactivate_framework(&framework("f1"));
    cluster.give_back(&told, Some(9));
    assert_eq!(cluster.allocator.filter_count(), 0);
}

#[test]
fn filters_end_with_their_agent_its_attributes_and_the_subscription() {
    let facts_now = AgentFacts { attributes: Attributes::parse("rack:r2").unwrap(), ..AgentFacts::default() };
    for end in 0..3 {
        let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "web");
        let told = cluster.allocate().remove(0);
        cluster.give_back(&told, Some(9)).allocate();
        assert_eq!(cluster.allocator.filter_count(), 1);
        match end {
            0 => cluster.allocator.remove_agent(&agent("a1")),
            1 => cluster.allocator.add_agent(agent("a1"), resources("cpus:4"), facts_now.clone()),
            _ => cluster.allocator.update_framework(&framework("f1"), facts("other")),
        }
        assert_eq!(cluster.allocator.filter_count(), 0);
        assert_eq!(cluster.allocate().len(), usize::from(end != 0));
    }
}

// Suppression.

#[test]
fn a_suppressed_role_gets_nothing_until_revived() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "a,b");
    cluster.allocator.suppress(&framework("f1"), &roles("a,other"));
    assert_eq!(cluster.allocate(), ["f1 b a1 cpus:4"]);
    cluster.allocator.suppress(&framework("f1"), &roles(""));
    cluster.give_back("f1 b a1 cpus:4", None);
    assert_eq!(cluster.allocate(), NOTHING);
    cluster.allocator.revive(&framework("f1"), &roles("a"));
    assert_eq!(cluster.allocate(), ["f1 a a1 cpus:4"]);
}

#[test]
fn a_framework_may_subscribe_with_suppressed_roles() {
    let mut cluster = cluster().agent("a1", "cpus:4");
    let suppressed = crate::FrameworkFacts { suppressed: roles("web"), ..facts("web") };
    cluster.allocator.add_framework(framework("f1"), suppressed);
    assert_eq!(cluster.allocate(), NOTHING);
    cluster.allocator.update_framework(&framework("f1"), facts("web"));
    assert_eq!(cluster.allocate(), ["f1 web a1 cpus:4"]);
}

// Agents.

#[test]
fn a_deactivated_agent_is_not_offered() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "web");
    cluster.allocator.deactivate_agent(&agent("a1"));
    assert!(!cluster.allocator.needs_allocation());
    assert_eq!(cluster.allocate(), NOTHING);
    cluster.allocator.activate_agent(&agent("a1"));
    assert_eq!(cluster.allocate(), ["f1 web a1 cpus:4"]);
}

#[test]
fn an_agent_that_nobody_wants_is_not_looked_at_again() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "web");
    let told = cluster.allocate().remove(0);
    cluster.give_back(&told, Some(9)).allocate();
    assert!(!cluster.allocator.needs_allocation());
    let cluster = cluster.framework("f2", "other");
    assert!(cluster.allocator.needs_allocation());
}

#[test]
fn a_shrink_below_what_is_in_use_is_a_debt_paid_first() {
    let mut cluster = cluster().agent("a1", "cpus:4;ports:[1-9]");
    cluster.charge("f1 web a1 cpus:3;ports:[1-4]");
    cluster.allocator.update_agent_total(&agent("a1"), resources("cpus:1;ports:[3-20]"));
    assert_eq!(
        (cluster.free("a1"), cluster.debt("a1")),
        ("ports:[5-20]".into(), "cpus:2;ports:[1-2]".into())
    );
    cluster.allocate();
    cluster.give_back("f1 web a1 cpus:1.5;ports:[2-3]", None);
    assert_eq!(
        (cluster.free("a1"), cluster.debt("a1")),
        ("ports:[3-3,5-20]".into(), "cpus:0.5;ports:[1-1]".into())
    );
    cluster.give_back("f1 web a1 cpus:1.5;ports:[1-1,4-4]", None);
    assert_eq!((cluster.free("a1"), cluster.debt("a1")), ("cpus:1;ports:[3-20]".into(), String::new()));
    cluster.allocate();
}

#[test]
fn a_debt_ends_when_the_agent_grows_again() {
    let mut cluster = cluster().agent("a1", "cpus:1");
    cluster.charge("f1 web a1 cpus:3");
    assert_eq!(cluster.debt("a1"), "cpus:2");
    let mut cluster = cluster.agent("a1", "cpus:8").framework("f2", "web");
    assert_eq!(cluster.debt("a1"), "");
    assert_eq!(cluster.allocate(), ["f2 web a1 cpus:5"]);
}

#[test]
fn a_port_reported_twice_is_free_only_when_both_are_done() {
    let mut cluster = cluster().agent("a1", "cpus:4;ports:[1-2]");
    cluster.charge("f1 web a1 cpus:1;ports:[1-1]").charge("f2 web a1 cpus:1;ports:[1-1]");
    cluster.allocate();
    cluster.give_back("f1 web a1 cpus:1;ports:[1-1]", None);
    assert_eq!(cluster.free("a1"), "cpus:3;ports:[2-2]");
    cluster.give_back("f2 web a1 cpus:1;ports:[1-1]", None);
    assert_eq!(cluster.free("a1"), "cpus:4;ports:[1-2]");
}

#[test]
fn what_is_not_held_does_not_come_back() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "web");
    cluster.allocate();
    let (a1, f1, web) = (agent("a1"), framework("f1"), role("web"));
    cluster.give_back("f1 web a1 cpus:3", None);
    let now = cluster.now;
    let again = cluster.allocator.recover(now, &a1, &f1, &web, &resources("cpus:3"), None);
    let missing = resources("cpus:2");
    assert_eq!(again, Err(NotHeld { agent: a1.clone(), framework: f1.clone(), role: web.clone(), missing }));
    assert_eq!(cluster.free("a1"), "cpus:4");
}

#[test]
fn what_was_held_goes_with_a_removed_agent() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "web");
    cluster.allocate();
    cluster.allocator.remove_agent(&agent("a1"));
    assert!(cluster.allocator.framework_allocated(&framework("f1")).is_empty());
    cluster.give_back("f1 web a1 cpus:4", Some(9));
    assert_eq!(cluster.allocator.filter_count(), 0);
    let charged =
        cluster.allocator.charge(&agent("a1"), &framework("f1"), &role("web"), &resources("cpus:1"));
    assert_eq!(charged, Err(UnknownAgent(agent("a1"))));
    cluster.allocate();
}

// Frameworks.

#[test]
fn what_a_removed_framework_holds_stays_charged_until_it_is_recovered() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "web");
    cluster.allocate();
    cluster.allocator.remove_framework(&framework("f1"));
    let mut cluster = cluster.framework("f2", "web");
    assert_eq!(cluster.allocate(), NOTHING);
    let held = cluster.allocator.framework_allocated(&framework("f1"));
    assert_eq!(held, BTreeMap::from([(role("web"), quantities("cpus:4"))]));
    cluster.give_back("f1 web a1 cpus:4", Some(9));
    assert_eq!(cluster.allocate(), ["f2 web a1 cpus:4"]);
    assert!(cluster.allocator.framework_allocated(&framework("f1")).is_empty());
}

#[test]
fn tasks_of_a_framework_that_is_not_back_yet_count_in_its_role() {
    let mut cluster = cluster().agent("a1", "cpus:4");
    cluster.charge("f1 web a1 cpus:1");
    let shares = cluster.allocator.role_shares();
    let web = &shares[&role("web")];
    assert_eq!((&web.allocated, web.dominant_share_millionths), (&quantities("cpus:1"), 250_000));
    assert_eq!((&web.frameworks, web.in_line), (&vec![framework("f1")], false));
}

#[test]
fn a_role_without_anything_is_forgotten() {
    let mut cluster = cluster().agent("a1", "cpus:4").framework("f1", "web").weight("ops", "2");
    cluster.allocate();
    cluster.allocator.remove_framework(&framework("f1"));
    cluster.give_back("f1 web a1 cpus:4", None);
    assert_eq!(cluster.allocator.role_shares().into_keys().collect::<Vec<_>>(), [role("ops")]);
    let cluster = cluster.weight("ops", "1");
    assert!(cluster.allocator.role_shares().is_empty());
}

#[test]
fn who_made_use_of_an_offer_keeps_its_turn_though_a_part_came_back() {
    let mut cluster = cluster().agent("a1", "cpus:10;mem:1000").weight("heavy", "9");
    cluster = cluster.framework("f1", "heavy").framework("f2", "light");
    cluster.charge("f1 heavy a1 cpus:4").charge("f2 light a1 cpus:4");
    assert_eq!(cluster.allocate(), ["f1 heavy a1 cpus:2;mem:1000"]);
    cluster.give_back("f1 heavy a1 mem:1000", Some(5));
    cluster.allocator.made_use(&agent("a1"), &framework("f1"), &role("heavy"));
    assert_eq!(cluster.allocate(), ["f2 light a1 mem:1000"]);
    cluster.give_back("f2 light a1 mem:1000", Some(5));
    cluster.allocator.made_use(&agent("a1"), &framework("f2"), &role("light"));
    cluster.allocate();
    // A task of the other ends: its CPU goes to whose weighted share is the smaller.
    cluster.give_back("f2 light a1 cpus:1", None);
    assert_eq!(cluster.allocate(), ["f1 heavy a1 cpus:1;mem:1000"]);
}
