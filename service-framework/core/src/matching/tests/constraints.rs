//! Each operator by a table: the value of the offer, those of the instances that are there, and whether it may go there.

use lonja_model::agent::Domain;

use super::*;
use crate::definition::Operator::{Cluster, GroupBy, Is, Like, MaxPer, Unique, Unlike};

/// May an instance of `target` go to an agent with this `rack`, none if empty, beside instances on these racks?
fn may(operator: Operator, target: u32, rack: &str, siblings: &[&str]) -> bool {
    let spec = constrained("rack", operator);
    let attributes = if rack.is_empty() { String::new() } else { format!("rack:{rack}") };
    let siblings =
        siblings.iter().enumerate().map(|(index, rack)| place(&format!("s{index}"), &[("rack", rack)]));
    let case = Case { siblings: siblings.collect(), target, ..Case::new(&spec) };
    case.agent(&[offer("a", "cpus:4;mem:1024", &attributes)]).is_ok()
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn each_operator_holds_where_the_table_says() {
    let cluster = |value: &str| Cluster(Some(text(value)));
    let like = |pattern: &str| Like(text(pattern));
    let unlike = |pattern: &str| Unlike(text(pattern));
    let is = |value: &str| Is(text(value));
    // Operator, wanted in all, the offer's rack, the racks of the others, may it go there.
    let table: Vec<(Operator, u32, &str, &[&str], bool)> = vec![
        // C1: no other has the value.
        (Unique, 3, "r1", &[], true),
        (Unique, 3, "r1", &["r2"], true),
        (Unique, 3, "r1", &["r1"], false),
        (Unique, 3, "r1", &["r2", "r3", "r1"], false),
        (Unique, 3, "", &[], false),
        (Unique, 3, "2.0", &["2"], false),
        (Unique, 3, "[1-2,5-9]", &["[1-2,5-9]"], false),
        (Unique, 3, "[5-9,1-2]", &["[1-2,5-9]"], false),
        // C2: this value, or that of the first.
        (cluster("r1"), 3, "r1", &[], true),
        (cluster("r1"), 3, "r2", &[], false),
        (cluster("r1"), 3, "r2", &["r2"], false),
        (cluster("2"), 3, "2.0", &[], true),
        (cluster("2.0"), 3, "2.0", &[], false),
        (cluster("r1"), 3, "", &[], false),
        (Cluster(None), 3, "r1", &[], true),
        (Cluster(None), 3, "r1", &["r1"], true),
        (Cluster(None), 3, "r2", &["r1"], false),
        (Cluster(None), 3, "r2", &["r1", "r2"], false),
        (Cluster(None), 3, "", &[], false),
        (cluster(""), 3, "r7", &[], true),
        // C3: without a number, a new value, or one that has the least.
        (GroupBy(None), 4, "r1", &[], true),
        (GroupBy(None), 4, "r2", &["r1"], true),
        (GroupBy(None), 4, "r1", &["r1"], true),
        (GroupBy(None), 4, "r1", &["r1", "r2"], true),
        (GroupBy(None), 4, "r1", &["r1", "r1", "r2"], false),
        (GroupBy(None), 4, "r2", &["r1", "r1", "r2"], true),
        (GroupBy(None), 4, "r3", &["r1", "r1", "r2"], true),
        (GroupBy(None), 4, "", &[], false),
        (GroupBy(Some(0)), 4, "r1", &["r1"], true),
        (GroupBy(Some(0)), 4, "r1", &["r1", "r1", "r2"], false),
        // C4: with a number, each of so many groups takes its part of the target.
        (GroupBy(Some(2)), 4, "r1", &[], true),
        (GroupBy(Some(2)), 4, "r1", &["r1"], true),
        (GroupBy(Some(2)), 4, "r1", &["r1", "r1"], false),
        (GroupBy(Some(2)), 4, "r2", &["r1", "r1"], true),
        (GroupBy(Some(2)), 4, "r3", &["r1", "r2"], false),
        (GroupBy(Some(2)), 5, "r1", &["r1", "r1"], true),
        (GroupBy(Some(2)), 5, "r2", &["r1", "r1", "r1", "r2", "r2"], false),
        (GroupBy(Some(2)), 5, "r1", &["r1", "r1", "r1"], false),
        (GroupBy(Some(3)), 2, "r1", &[], true),
        (GroupBy(Some(3)), 2, "r1", &["r1"], false),
        (GroupBy(Some(3)), 2, "r2", &["r1"], true),
        (GroupBy(Some(3)), 7, "r1", &["r1", "r1"], true),
        (GroupBy(Some(3)), 7, "r2", &["r1", "r1", "r1", "r2", "r2"], false),
        (GroupBy(Some(1)), 3, "r1", &["r1", "r1"], true),
        (GroupBy(Some(1)), 3, "r2", &["r1"], false),
        (GroupBy(Some(2)), 4, "", &[], false),
        // C5: the expression matches all of it.
        (like("r[0-9]"), 1, "r1", &[], true),
        (like("r[0-9]"), 1, "r12", &[], false),
        (like("r"), 1, "r1", &[], false),
        (like("r1|r2"), 1, "r2", &[], true),
        (like("[1-3]"), 1, "2.0", &[], true),
        (like(".*"), 1, "", &[], false),
        (like("(unclosed"), 1, "r1", &[], false),
        // C6: it does not match all of it, or there is none.
        (unlike("r[0-9]"), 1, "r1", &[], false),
        (unlike("r[0-9]"), 1, "r12", &[], true),
        (unlike("r"), 1, "r1", &[], true),
        (unlike(".*"), 1, "r1", &[], false),
        (unlike(".*"), 1, "", &[], true),
        (unlike("(unclosed"), 1, "r1", &[], false),
        // C7: fewer than so many have it.
        (MaxPer(2), 9, "r1", &[], true),
        (MaxPer(2), 9, "r1", &["r1"], true),
        (MaxPer(2), 9, "r1", &["r1", "r1"], false),
        (MaxPer(2), 9, "r2", &["r1", "r1"], true),
        (MaxPer(0), 9, "r1", &[], false),
        (MaxPer(2), 9, "", &[], false),
        // C8: it is this text, or this number in its shortest form.
        (is("r1"), 1, "r1", &[], true),
        (is("r1"), 1, "r12", &[], false),
        (is("2.0"), 1, "2", &[], true),
        (is("2"), 1, "2.000", &[], true),
        (is("1.0005"), 1, "1", &[], true),
        (is("2.5"), 1, "2", &[], false),
        (is("[1-2]"), 1, "[1-2]", &[], false),
        (is("r1"), 1, "", &[], false),
        (is(""), 1, "", &[], false),
    ];
    assert!(table.len() >= 60);
    for (operator, target, rack, siblings, expected) in table {
        let shown = format!("{operator:?} of {target} on {rack:?} beside {siblings:?}");
        assert_eq!(may(operator, target, rack, siblings), expected, "{shown}");
    }
}

#[test]
fn a_hostname_is_named_with_or_without_its_sign() {
    let offers = [offer("a", "cpus:4;mem:1024", ""), offer("b", "cpus:4;mem:1024", "")];
    for field in ["hostname", "@hostname"] {
        let spec = constrained(field, Is("b.example".to_owned()));
        assert_eq!(Case::new(&spec).agent(&offers), Ok("b".to_owned()), "{field}");
        let spec = constrained(field, Unique);
        let case = Case { siblings: vec![place("a", &[])], ..Case::new(&spec) };
        assert_eq!(case.agent(&offers), Ok("b".to_owned()), "{field}");
    }
}

#[test]
fn all_constraints_must_hold() {
    let both =
        vec![constraint("rack", Like("r.*".to_owned())), constraint("hostname", Unlike("a.*".to_owned()))];
    let spec = app(|app| app.constraints = both);
    let on = |name: &str, rack: &str| Case::new(&spec).agent(&[offer(name, "cpus:4;mem:1024", rack)]).is_ok();
    assert!(on("b", "rack:r1") && !on("a", "rack:r1") && !on("b", "rack:x"));
}

fn within(name: &str, region: &str, zone: &str) -> Offer {
    let domain = Some(Domain { region: region.to_owned(), zone: zone.to_owned() });
    Offer { domain, ..offer(name, "cpus:4;mem:1024", "") }
}

#[test]
fn without_a_word_on_region_or_zone_an_app_stays_in_the_masters_region() {
    let spec = app(|_| ());
    let there = |spec: &RunSpec, offer: &Offer, local: Option<&str>| {
        let mut notes = ProcessedOffers::default();
        let mut hand = Hand::new(std::slice::from_ref(offer), now()).in_region(local.map(str::to_owned));
        Case::new(spec).put(&mut hand, &mut notes).is_some()
    };
    assert!(there(&spec, &within("a", "eu", "1"), Some("eu")));
    assert!(!there(&spec, &within("a", "us", "1"), Some("eu")));
    assert!(there(&spec, &offer("a", "cpus:1;mem:128", ""), Some("eu")), "an agent that names none");
    assert!(there(&spec, &within("a", "us", "1"), None), "nobody knows where the master is");
    for field in ["@region", "@zone"] {
        let spec = constrained(field, Unlike("none".to_owned()));
        assert!(there(&spec, &within("a", "us", "1"), Some("eu")), "{field}");
    }
}

#[test]
fn zones_and_regions_are_counted_by_what_places_say() {
    let spec = constrained("@zone", GroupBy(Some(2)));
    let in_zone = |zone: &str| Place { zone: Some(zone.to_owned()), ..place("s", &[]) };
    let case = Case { siblings: vec![in_zone("1"), in_zone("1")], target: 4, ..Case::new(&spec) };
    let offers = [within("a", "eu", "1"), within("b", "eu", "2")];
    assert_eq!(case.agent(&offers), Ok("b".to_owned()));
}

#[test]
fn what_later_constraints_count_is_written_down() {
    let spec = constrained("rack", Unique);
    let (matched, ..) = Case::new(&spec).on(&[offer("a", "cpus:1;mem:128", "rack:2.0;disk:ssd")]);
    let value = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(matched.unwrap().place.values, [value("rack", "2"), value("disk", "ssd")]);
}

#[test]
fn a_constraint_that_does_not_hold_is_told_with_what_stood_in_the_way() {
    let told = |operator: Operator, rack: &str, siblings: &[&str]| {
        let spec = constrained("rack", operator);
        let siblings = siblings.iter().map(|rack| place("s", &[("rack", rack)])).collect();
        let case = Case { siblings, target: 4, ..Case::new(&spec) };
        case.agent(&[offer("a", "cpus:4;mem:1024", rack)]).unwrap_err()
    };
    let table = [
        (told(Unique, "rack:r1", &["r1"]), "rack UNIQUE: 1 instance is on r1"),
        (told(Unique, "", &[]), "rack UNIQUE: the agent has no such value"),
        (told(MaxPer(2), "rack:r1", &["r1", "r1"]), "rack MAX_PER 2: 2 instances are on r1"),
        (told(Like("x".to_owned()), "rack:r1", &[]), "rack LIKE x: the value is r1"),
        (told(Cluster(None), "rack:r2", &["r1"]), "rack CLUSTER: the first is on r1, this is r2"),
        (
            told(GroupBy(Some(2)), "rack:r3", &["r1", "r2"]),
            "rack GROUP_BY 2: all 2 groups are in use, r3 would be another",
        ),
    ];
    for (said, expected) in table {
        assert_eq!(said, format!("UnfulfilledConstraint: {expected}"));
    }
}
