use lonja_model::agent::Domain;
use lonja_model::attributes::Attributes;
use lonja_model::constraints::ConstraintGroup;
use proptest::prelude::*;

use super::*;
use crate::fixture::role;

fn agent_with(attributes: &str) -> AgentFacts {
    AgentFacts {
        hostname: "h1.example".to_owned(),
        attributes: Attributes::parse(attributes).unwrap(),
        domain: Some(Domain { region: "eu".to_owned(), zone: "eu-1".to_owned() }),
    }
}

fn attribute(name: &str, predicate: Predicate) -> AttributeConstraint {
    AttributeConstraint { selector: Selector::Attribute(name.to_owned()), predicate }
}

fn equals(text: &str) -> Predicate {
    Predicate::TextEquals(text.to_owned())
}

fn matches(regex: &str) -> Predicate {
    Predicate::TextMatches(regex.to_owned())
}

/// Constraints of the role `web`.
fn source(groups: Vec<Vec<AttributeConstraint>>) -> OfferConstraints {
    let groups = groups.into_iter().map(ConstraintGroup).collect();
    OfferConstraints(BTreeMap::from([(role("web"), RoleConstraints(groups))]))
}

fn compiled(groups: Vec<Vec<AttributeConstraint>>) -> CompiledConstraints {
    CompiledConstraints::compile(source(groups)).unwrap()
}

fn refused(groups: Vec<Vec<AttributeConstraint>>) -> InvalidConstraints {
    CompiledConstraints::compile(source(groups)).unwrap_err()
}

/// Does the agent pass? Both ways of asking must agree.
fn admits(constraints: &CompiledConstraints, agent: &AgentFacts) -> bool {
    let admitted = constraints.admit(&role("web"), agent);
    assert_eq!(admitted, constraints.unmet(&role("web"), agent).is_none());
    admitted
}

#[test]
fn each_predicate_judges_texts_and_lets_other_types_through_and_misses_what_is_absent() {
    let not_equals = |text: &str| Predicate::TextNotEquals(text.to_owned());
    let not_matches = |text: &str| Predicate::TextNotMatches(text.to_owned());
    // Of: a text that is so, a text that is not so, a scalar, ranges, nothing.
    let table = [
        (Predicate::Exists, [true, true, true, true, false]),
        (Predicate::NotExists, [false, false, false, false, true]),
        (equals("r1"), [true, false, true, true, false]),
        (not_equals("r1"), [false, true, true, true, true]),
        (matches("r[1]"), [true, false, true, true, false]),
        (not_matches("r[1]"), [false, true, true, true, true]),
    ];
    let agents = ["rack:r1", "rack:r2", "rack:1", "rack:[1-2]", "other:r1"].map(agent_with);
    for (predicate, expected) in table {
        let constraints = compiled(vec![vec![attribute("rack", predicate.clone())]]);
        let told = [0, 1, 2, 3, 4].map(|index: usize| admits(&constraints, &agents[index]));
        assert_eq!(told, expected, "{predicate:?}");
    }
}

#[test]
fn hostname_region_and_zone_are_texts_and_the_place_may_be_absent() {
    let here = agent_with("");
    let nowhere = AgentFacts { domain: None, ..here.clone() };
    for (selector, text) in
        [(Selector::Hostname, "h1.example"), (Selector::Region, "eu"), (Selector::Zone, "eu-1")]
    {
        let one =
            |predicate| compiled(vec![vec![AttributeConstraint { selector: selector.clone(), predicate }]]);
        assert!(admits(&one(equals(text)), &here) && !admits(&one(equals("x")), &here), "{selector:?}");
        assert!(admits(&one(matches(&format!("{}.*", &text[..1]))), &here));
        assert!(!admits(&one(matches(&text[..1])), &here), "all of it is matched");
        let is_hostname = selector == Selector::Hostname;
        assert_eq!(admits(&one(Predicate::Exists), &nowhere), is_hostname);
        assert_eq!(admits(&one(equals(text)), &nowhere), is_hostname);
        assert_eq!(admits(&one(Predicate::TextNotEquals(text.to_owned())), &nowhere), !is_hostname);
    }
}

#[test]
fn one_group_must_hold_in_full() {
    let (rack, ssd) = (attribute("rack", equals("r1")), attribute("ssd", Predicate::Exists));
    let constraints = compiled(vec![vec![rack, ssd], vec![attribute("gold", Predicate::Exists)]]);
    assert!(admits(&constraints, &agent_with("rack:r1;ssd:true")));
    assert!(admits(&constraints, &agent_with("gold:1")));
    assert!(!admits(&constraints, &agent_with("rack:r1")) && !admits(&constraints, &agent_with("ssd:true")));
}

#[test]
fn a_role_without_constraints_lets_every_agent_pass() {
    let constraints = compiled(vec![vec![attribute("rack", Predicate::Exists)]]);
    let agent = agent_with("");
    assert!(!constraints.admit(&role("web"), &agent) && constraints.admit(&role("ops"), &agent));
    assert!(constraints.admit(&role("web/db"), &agent), "roles do not inherit constraints");
    assert!(CompiledConstraints::default().admit(&role("web"), &agent));
    assert!(CompiledConstraints::compile(OfferConstraints::default()).unwrap().is_empty());
}

#[test]
fn what_stands_in_the_way_is_told_for_the_nearest_group() {
    let constraints = compiled(vec![
        vec![attribute("rack", equals("r1")), attribute("ssd", Predicate::Exists)],
        vec![attribute("gold", Predicate::Exists), attribute("rack", matches("r[3-5]"))],
    ]);
    let unmet = constraints.unmet(&role("web"), &agent_with("rack:r2;gold:1")).unwrap();
    assert_eq!((unmet.group, unmet.groups, unmet.found.as_deref()), (1, 2, Some("r2")));
    let words =
        r#"its attribute rack is "r2", the framework asks for a match of "r[3-5]" (the nearest of 2 groups)"#;
    assert_eq!(unmet.to_string(), words);
    let region = AttributeConstraint { selector: Selector::Region, predicate: Predicate::NotExists };
    let unmet = compiled(vec![vec![region]]).unmet(&role("web"), &agent_with("")).unwrap();
    assert_eq!(unmet.to_string(), r#"its region is "eu", the framework asks that it not be there"#);
}

#[test]
fn constraints_are_equal_if_their_source_is() {
    let make = |text| compiled(vec![vec![attribute("rack", matches(text))]]);
    assert!(make("a") == make("a") && make("a") != make("b") && make("a") != CompiledConstraints::default());
    assert_eq!(make("a").source(), &source(vec![vec![attribute("rack", matches("a"))]]));
    assert_eq!(CompiledConstraints::default().source(), &OfferConstraints::default());
    assert_eq!(make("a").clone(), make("a"));
}

#[test]
fn a_refusal_names_the_role_the_group_the_constraint_and_the_reason() {
    let good = || attribute("rack", Predicate::Exists);
    let error = refused(vec![vec![good()], vec![good(), attribute("rack", matches("(a"))]]);
    assert_eq!(
        error.to_string(),
        r#"the offer constraints for role web, group 1, constraint 1: the regular expression "(a" is refused: unclosed group"#
    );
    assert_eq!(error.path(), r#"role_constraints["web"].groups[1].attribute_constraints[1]"#);
    let error = refused(vec![]);
    assert_eq!(
        (error.fault.clone(), error.path().as_str()),
        (ConstraintFault::NoGroup, r#"role_constraints["web"]"#)
    );
    let error = refused(vec![vec![good()], vec![]]);
    assert_eq!(error.fault, ConstraintFault::EmptyGroup);
    assert_eq!(error.path(), r#"role_constraints["web"].groups[1]"#);
    assert_eq!(refused(vec![vec![attribute("", Predicate::Exists)]]).fault, ConstraintFault::NoName);
}

#[test]
fn a_regular_expression_that_is_a_bomb_is_refused_with_its_place() {
    let shown_of = |error: InvalidConstraints| {
        let ConstraintFault::Pattern { shown, .. } = error.fault else { panic!("{error}") };
        shown
    };
    for bomb in ["a{1000}{1000}", "((a{100}){100}){100}"] {
        let error = refused(vec![vec![attribute("rack", Predicate::TextNotMatches(bomb.to_owned()))]]);
        assert_eq!((error.group, error.constraint), (Some(0), Some(0)));
        assert_eq!(shown_of(error), bomb);
    }
    let long = refused(vec![vec![attribute("rack", matches(&"a".repeat(1 << 20)))]]);
    assert!(long.to_string().len() < 300, "{long}");
    assert_eq!(shown_of(long).len(), 64);
}

#[test]
fn numbers_and_lengths_are_bounded() {
    let one = |index: usize| attribute(&format!("a{index}"), Predicate::Exists);
    let many =
        |count: usize| vec![(0..count / 2).map(one).collect(), (0..count - count / 2).map(one).collect()];
    assert_eq!(compiled(many(MAX_CONSTRAINTS)).source(), &source(many(MAX_CONSTRAINTS)));
    let error = refused(many(MAX_CONSTRAINTS + 1));
    assert_eq!(
        (error.group, error.constraint, error.fault),
        (Some(1), Some(500), ConstraintFault::TooManyConstraints)
    );

    let patterns =
        |count: usize| vec![(0..count).map(|n| attribute("a", matches(&format!("x{n}")))).collect()];
    assert!(!admits(&compiled(patterns(MAX_PATTERNS)), &agent_with("")));
    assert_eq!(refused(patterns(MAX_PATTERNS + 1)).fault, ConstraintFault::TooManyPatterns);
    let repeated = (0..MAX_PATTERNS + 1).map(|_| attribute("a", matches("x"))).collect();
    assert!(!admits(&compiled(vec![repeated]), &agent_with("")), "one that stands often counts once");

    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    for (constraint, what) in
        [(attribute(&long, Predicate::Exists), "attribute's name"), (attribute("a", equals(&long)), "text")]
    {
        let bytes = MAX_TEXT_BYTES + 1;
        assert_eq!(refused(vec![vec![constraint]]).fault, ConstraintFault::TooLong { what, bytes });
    }
}

fn any_predicate() -> impl Strategy<Value = Predicate> {
    let text = "[rs][12]?";
    prop_oneof![
        Just(Predicate::Exists),
        Just(Predicate::NotExists),
        text.prop_map(Predicate::TextEquals),
        text.prop_map(Predicate::TextNotEquals),
        "(r|s)\\.?|[rs]\\[12\\]".prop_map(Predicate::TextMatches),
        "(r|s)\\.?|[rs]\\[12\\]".prop_map(Predicate::TextNotMatches),
    ]
}

fn any_groups() -> impl Strategy<Value = Vec<Vec<AttributeConstraint>>> {
    let constraint = ("[abc]", any_predicate()).prop_map(|(name, predicate)| attribute(&name, predicate));
    proptest::collection::vec(proptest::collection::vec(constraint, 1..4), 1..4)
}

fn any_attributes() -> impl Strategy<Value = Vec<(String, AttributeValue)>> {
    let value = "r1|r2|s|1|\\[1-2\\]";
    let one = ("[abc]", value).prop_map(|(name, value)| format!("{name}:{value}"));
    proptest::collection::vec(one, 0..6).prop_map(|all| Attributes::parse(&all.join(";")).unwrap().0)
}

proptest! {
    /// Of attributes of one name the first counts; where the names stand does not.
    #[test]
    fn the_verdict_hangs_on_the_first_attribute_of_each_name_alone(
        groups in any_groups(),
        attributes in any_attributes(),
        order in proptest::collection::vec(any::<u8>(), 6),
    ) {
        let constraints = compiled(groups);
        let with = |attributes| AgentFacts { attributes: Attributes(attributes), ..agent_with("") };
        let verdict = admits(&constraints, &with(attributes.clone()));

        let mut first = BTreeMap::new();
        for (name, value) in &attributes {
            first.entry(name.clone()).or_insert_with(|| value.clone());
        }
        prop_assert_eq!(admits(&constraints, &with(first.into_iter().collect())), verdict);
        // Sorted by a key of each name, so that names change places and the values of one do not.
        let key = |name: &str| order[usize::from(name.as_bytes()[0] - b'a')];
        let mut moved = attributes;
        moved.sort_by_key(|(name, _)| key(name));
        prop_assert_eq!(admits(&constraints, &with(moved)), verdict);
    }
}
