//! Nearness, and which of the possible places is taken.

use super::*;
use crate::definition::Affinity;

fn affinity(field: &str, near: bool, required: bool) -> Affinity {
    Affinity { app: PathId::absolute("/prod/db").unwrap(), field: field.to_owned(), near, required }
}

fn near(affinity: Affinity, neighbours: &[Place], offers: &[Offer]) -> Result<String, String> {
    let spec = app(|app| app.affinity = vec![affinity]);
    Case { neighbours: neighbours.to_vec(), ..Case::new(&spec) }.agent(offers)
}

fn three() -> [Offer; 3] {
    [("a", "rack:1"), ("b", "rack:2"), ("c", "rack:3")]
        .map(|(name, rack)| offer(name, "cpus:4;mem:1024", rack))
}

#[test]
fn a_rule_of_nearness_holds_or_the_place_is_none() {
    let db = [place("b", &[])];
    assert_eq!(near(affinity("hostname", true, true), &db, &three()), Ok("b".to_owned()));
    assert_eq!(near(affinity("hostname", false, true), &db, &three()[..2]), Ok("a".to_owned()));
    let nowhere = near(affinity("hostname", true, true), &[], &three());
    assert!(nowhere.unwrap_err().contains("near /prod/db by hostname: none of its instances is anywhere"));
    let there = near(affinity("hostname", false, true), &db, &three()[1..2]);
    assert!(there.unwrap_err().contains("away from /prod/db by hostname"));
}

#[test]
fn a_wish_of_nearness_decides_only_where_there_is_a_choice() {
    let db = [place("c", &[])];
    assert_eq!(near(affinity("hostname", true, false), &db, &three()), Ok("c".to_owned()));
    assert_eq!(near(affinity("hostname", true, false), &db, &three()[..1]), Ok("a".to_owned()));
    assert_eq!(near(affinity("hostname", false, false), &[place("a", &[])], &three()), Ok("b".to_owned()));
}

#[test]
fn a_field_that_is_not_written_down_is_read_from_the_agents_offer() {
    assert_eq!(near(affinity("rack", true, true), &[place("c", &[])], &three()), Ok("c".to_owned()));
    assert_eq!(
        near(affinity("rack", true, true), &[place("x", &[("rack", "2")])], &three()),
        Ok("b".to_owned())
    );
}

#[test]
fn what_spreads_goes_where_the_fewest_of_its_own_are_then_where_most_is_left() {
    let offers = [
        offer("a", "cpus:2;mem:1024", ""),
        offer("b", "cpus:8;mem:1024", ""),
        offer("c", "cpus:4;mem:1024", ""),
    ];
    let spec = app(|_| ());
    assert_eq!(Case::new(&spec).agent(&offers), Ok("b".to_owned()));
    let case = Case { siblings: vec![place("b", &[]), place("c", &[])], ..Case::new(&spec) };
    assert_eq!(case.agent(&offers), Ok("a".to_owned()));
}

#[test]
fn what_packs_goes_where_least_is_left() {
    let offers = [
        offer("a", "cpus:2;mem:1024", ""),
        offer("b", "cpus:8;mem:1024", ""),
        offer("c", "cpus:0.5;mem:1024", ""),
    ];
    let spec = app(|app| app.preference = Preference::Binpack);
    let case = Case { siblings: vec![place("a", &[])], ..Case::new(&spec) };
    assert_eq!(case.agent(&offers), Ok("a".to_owned()));
}

#[test]
fn what_does_not_care_goes_anywhere() {
    let spec = app(|app| app.preference = Preference::Random);
    let agents: std::collections::BTreeSet<String> =
        (0..40).filter_map(|number| Case { number, ..Case::new(&spec) }.agent(&three()).ok()).collect();
    assert_eq!(agents.len(), 3);
}
