use lonja_model::agent::Domain;
use lonja_model::attributes::{AttributeValue, Attributes};
use lonja_model::constraints::{AttributeConstraint, OfferConstraints, Predicate as Told, Selector};
use lonja_model::labels::Labels;
use lonja_model::pattern::Pattern;
use lonja_model::{AgentId, Offer, Role, TaskId};
use proptest::prelude::*;

use super::testing::{any_offer_of, any_own, any_predicate};
use super::*;
use crate::placement::OwnTasks;
use crate::task::Need;
use crate::tests::fixture::offer;

fn place(agent: &str, attributes: &str) -> Offer {
    Offer {
        agent: AgentId::new(agent).unwrap(),
        hostname: format!("{agent}.example"),
        attributes: Attributes::parse(attributes).unwrap(),
        domain: Some(Domain { region: "eu".to_owned(), zone: "eu-1".to_owned() }),
        ..offer(&format!("offer-{agent}"), "cpus:4;mem:100;ports:[10-12]")
    }
}

fn role() -> Role {
    Role::new("web").unwrap()
}

fn holds(predicate: &Predicate, offer: &Offer) -> bool {
    predicate.holds(offer, &OwnTasks::new())
}

fn web() -> Tasks {
    Tasks::labelled("app", "web")
}

/// Own tasks labelled `app=web`, on agents each in a rack.
fn running(on: &[(&str, &str)]) -> OwnTasks {
    let mut own = OwnTasks::new();
    for (index, (agent, rack)) in on.iter().enumerate() {
        own.saw(&place(agent, &format!("rack:{rack}")));
        let labels = Labels(vec![("app".to_owned(), Some("web".to_owned()))]);
        let id = TaskId::new(format!("t{index}")).unwrap();
        own.put(id, &AgentId::new(*agent).unwrap(), &labels, &Need::default());
    }
    own
}

#[test]
fn what_an_agent_says_is_judged_by_its_text() {
    let here = place("a1", "rack:r1;level:2.5;open:[80-90];rack:r2");
    let yes = [
        attribute("rack").is("r1"),
        attribute("level").is("2.5"),
        attribute("open").is("[80-90]"),
        attribute("rack").is_in(["r0", "r1"]),
        attribute("rack").like("r[0-9]").unwrap(),
        hostname().like(r"a\d\.example").unwrap(),
        attribute("level").at_least(2.5).unwrap() & attribute("level").below(2.501).unwrap(),
        attribute("level").above(2.499).unwrap() & attribute("level").at_most(2.5).unwrap(),
        region().is("eu") & zone().is("eu-1") & agent().is("a1"),
        !attribute("none").exists(),
        !attribute("none").is("x"),
    ];
    let no = [
        attribute("rack").is("r2"),
        attribute("rack").like("r").unwrap(),
        attribute("rack").at_least(0.0).unwrap(),
        attribute("none").like(".*").unwrap(),
        attribute("none").below(9.0).unwrap(),
        zone().is_in(["eu-2"; 0]),
    ];
    for predicate in yes {
        assert!(holds(&predicate, &here), "{predicate}");
    }
    for predicate in no {
        assert!(!holds(&predicate, &here), "{predicate}");
    }
}

#[test]
fn free_resources_are_those_that_tasks_may_be_given() {
    let here = Offer {
        resources: "cpus:2;cpus(web):2;mem:100;gpus:{0:500,1:1000};ports:[10-12,20-20];disk[volume-1]:50"
            .parse()
            .unwrap_or_else(|_| {
                "cpus:2;cpus(web):2;mem:100;gpus:{0:500,1:1000};ports:[10-12,20-20]".parse().unwrap()
            }),
        ..place("a1", "")
    };
    assert!(holds(&free_cpus(4.0).unwrap(), &here) && !holds(&free_cpus(4.001).unwrap(), &here));
    assert!(holds(&free_gpus(1.5).unwrap(), &here) && !holds(&free_gpus(1.501).unwrap(), &here));
    assert!(holds(&Predicate::free("ports", Scalar::from_units(4).unwrap()), &here));
    assert!(holds(&Predicate::free_port(20), &here) && !holds(&Predicate::free_port(19), &here));
    assert!(!holds(&free_disk_mib(1.0).unwrap(), &here) && holds(&free_disk_mib(0.0).unwrap(), &here));
}

#[test]
fn near_and_away_are_opposites_by_any_subject() {
    let own = running(&[("a1", "r1")]);
    let (same, beside, far) = (place("a1", "rack:r1"), place("a2", "rack:r1"), place("a3", "rack:r2"));
    let rack = attribute("rack");
    assert!(agent().near(&web()).holds(&same, &own) && !agent().near(&web()).holds(&beside, &own));
    assert!(rack.near(&web()).holds(&beside, &own) && !rack.near(&web()).holds(&far, &own));
    assert!(rack.away_from(&web()).holds(&far, &own) && rack.away_from(&web()).holds(&place("a4", ""), &own));
    assert!(!rack.near(&Tasks::labelled("app", "db")).holds(&same, &own));
}

#[test]
fn spread_lets_no_value_run_ahead_of_the_one_with_least() {
    let own = running(&[("a1", "r1"), ("a1", "r1"), ("a2", "r2")]);
    let spread = attribute("rack").spread(&web(), 1);
    assert!(!spread.holds(&place("a1", "rack:r1"), &own));
    assert!(spread.holds(&place("a2", "rack:r2"), &own));
    assert!(spread.holds(&place("a9", "rack:r9"), &own));
    assert!(!spread.holds(&place("a9", ""), &own), "no rack is told");
    // A third rack was heard of: the second one must wait for it.
    let over = attribute("rack").spread_over(&web(), 1, ["r3"]);
    assert!(!over.holds(&place("a2", "rack:r2"), &own) && over.holds(&place("a3", "rack:r3"), &own));
    assert!(attribute("rack").spread(&web(), 2).holds(&place("a1", "rack:r1"), &own));
}

#[test]
fn at_most_each_counts_the_one_that_comes() {
    let own = running(&[("a1", "r1"), ("a1", "r1")]);
    let here = place("a1", "rack:r1");
    let most = |most| attribute("rack").at_most_each(&web(), most).holds(&here, &own);
    assert_eq!([most(0), most(2), most(3)], [false, false, true]);
    assert!(!agent().unique(&web()).holds(&here, &own));
    assert!(agent().unique(&web()).holds(&place("a2", "rack:r1"), &own));
}

#[test]
fn the_first_of_a_cluster_decides_for_all() {
    let cluster = attribute("rack").cluster(&web());
    assert!(cluster.holds(&place("a1", "rack:r1"), &OwnTasks::new()));
    let own = running(&[("a1", "r1")]);
    assert!(cluster.holds(&place("a2", "rack:r1"), &own) && !cluster.holds(&place("a3", "rack:r2"), &own));
}

#[test]
fn a_wrong_predicate_says_what_is_wrong() {
    let pattern = attribute("rack").like("(a").unwrap_err().to_string();
    assert_eq!(pattern, r#"the regular expression "(a" is refused: unclosed group"#);
    let number = attribute("level").below(-1.0).unwrap_err().to_string();
    assert_eq!(number, "level: -1 is negative; give 0 or more");
    assert!(free_cpus(f64::NAN).is_err() && attribute("x").like(&"a".repeat(2_000)).is_err());
}

#[test]
fn what_stands_in_the_way_is_told_with_what_is_there() {
    let own = running(&[("a1", "r1")]);
    let here = place("a1", "rack:r1");
    let unmet = |predicate: &Predicate| predicate.first_unmet(&here, &own);
    assert_eq!(unmet(&attribute("rack").is("r2")).as_deref(), Some("rack is r2: r1"));
    assert_eq!(unmet(&attribute("none").exists()).as_deref(), Some("none is told: not told"));
    assert_eq!(unmet(&free_cpus(8.0).unwrap()).as_deref(), Some("cpus free >= 8: 4 free"));
    let apart = attribute("rack").exists() & agent().unique(&web());
    assert_eq!(unmet(&apart).as_deref(), Some("agent has at most 1 of app=web: 1 at a1"));
    assert_eq!(unmet(&Predicate::always()), None);
}

#[test]
fn the_master_is_told_what_it_understands() {
    let told = |predicate: &Predicate| {
        let told = to_offer_constraints(&role(), [predicate]);
        told.0
            .into_values()
            .next()
            .map(|groups| groups.0.iter().map(|group| group.0.len()).collect::<Vec<_>>())
    };
    let (ssd, big) = (attribute("disk").is("ssd"), free_cpus(8.0).unwrap());
    assert_eq!(told(&(ssd.clone() & big.clone())), Some(vec![1]));
    assert_eq!(told(&(ssd.clone() | big)), None, "anywhere, for all that the master can see");
    assert_eq!(told(&(ssd.clone() & zone().is_in(["a", "b"]))), Some(vec![2, 2]));
    assert_eq!(told(&!(ssd.clone() | zone().is("a"))), Some(vec![2]));
    assert_eq!(told(&zone().spread(&web(), 1)), Some(vec![1]), "there is a zone");
    assert_eq!(told(&!zone().near(&web())), None);
    assert_eq!(told(&agent().is("a1")), None);
    assert_eq!(told(&Predicate::never()), Some(vec![1]));
    assert_eq!(to_offer_constraints(&role(), []), OfferConstraints::default(), "nothing waits yet");
    let many: Vec<String> = (0..65).map(|index| index.to_string()).collect();
    assert_eq!(told(&zone().is_in(many.clone())), None, "more than can be told");
    assert_eq!(told(&(zone().is_in(many) & ssd)), Some(vec![1]));
}

/// The master's rules, as `lonja_model::constraints` writes them down.
fn passes(told: &OfferConstraints, offer: &Offer) -> bool {
    let Some(groups) = told.0.get(&role()) else { return true };
    groups.0.iter().any(|group| group.0.iter().all(|constraint| passes_one(constraint, offer)))
}

fn passes_one(constraint: &AttributeConstraint, offer: &Offer) -> bool {
    let text = |text: &str| Some(Some(text.to_owned()));
    // Nothing there, no text, or a text.
    let found = match &constraint.selector {
        Selector::Hostname => text(&offer.hostname),
        Selector::Region => offer.domain.as_ref().and_then(|domain| text(&domain.region)),
        Selector::Zone => offer.domain.as_ref().and_then(|domain| text(&domain.zone)),
        Selector::Attribute(name) => offer.attributes.get(name).map(|value| match value {
            AttributeValue::Text(text) => Some(text.clone()),
            AttributeValue::Scalar(_) | AttributeValue::Ranges(_) => None,
        }),
    };
    let matches = |regex: &str, text: &str| Pattern::compile(regex).unwrap().matches(text);
    match (&constraint.predicate, found) {
        (Told::Exists, found) => found.is_some(),
        (Told::NotExists, found) => found.is_none(),
        (_, Some(None)) => true,
        (Told::TextEquals(_) | Told::TextMatches(_), None) => false,
        (Told::TextNotEquals(_) | Told::TextNotMatches(_), None) => true,
        (Told::TextEquals(wanted), Some(Some(text))) => *wanted == text,
        (Told::TextNotEquals(wanted), Some(Some(text))) => *wanted != text,
        (Told::TextMatches(regex), Some(Some(text))) => matches(regex, &text),
        (Told::TextNotMatches(regex), Some(Some(text))) => !matches(regex, &text),
    }
}

proptest! {
    /// A predicate and its opposite divide all places between them, and `!` passes through `&` and `|`.
    #[test]
    fn a_negated_predicate_holds_exactly_where_it_does_not(
        one in any_predicate(), other in any_predicate(), offer in any_offer_of(1), own in any_own(),
    ) {
        let is = |predicate: Predicate| predicate.holds(&offer, &own);
        prop_assert_eq!(is(!one.clone()), !is(one.clone()));
        prop_assert_eq!(!!one.clone(), one.clone());
        prop_assert_eq!(is(one.clone() & other.clone()), is(one.clone()) && is(other.clone()));
        prop_assert_eq!(is(one.clone() | other.clone()), is(one.clone()) || is(other.clone()));
        prop_assert_eq!(is(!(one.clone() & other.clone())), is(!one.clone() | !other.clone()));
        prop_assert_eq!(is(!(one.clone() | other.clone())), is(!one & !other));
    }

    /// No offer that would do is kept away by what the master is told.
    #[test]
    fn what_passes_the_whole_passes_what_is_told(
        one in any_predicate(), other in any_predicate(), offer in any_offer_of(1), own in any_own(),
    ) {
        let told = to_offer_constraints(&role(), [&one, &other]);
        if one.holds(&offer, &own) || other.holds(&offer, &own) {
            prop_assert!(passes(&told, &offer), "{one} or {other} at {offer:?}: {told:?}");
        }
        let groups = told.0.values().flat_map(|role| &role.0);
        prop_assert!(groups.clone().count() <= 64 && groups.map(|group| group.0.len()).sum::<usize>() <= 1_000);
    }

    /// What is counted as tasks come and go says what counting anew says.
    #[test]
    fn tracking_changes_no_answer(predicate in any_predicate(), offer in any_offer_of(1), own in any_own()) {
        let mut tracked = own.clone();
        tracked.track(&predicate);
        prop_assert_eq!(predicate.holds(&offer, &tracked), predicate.holds(&offer, &own));
        prop_assert_eq!(predicate.first_unmet(&offer, &own).is_none(), predicate.holds(&offer, &own));
    }
}
