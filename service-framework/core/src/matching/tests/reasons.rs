//! Why offers were not used, and what is counted of them.

use std::time::Duration;

use lonja_model::maintenance::Unavailability;

use super::super::unplaced;
use super::*;
use crate::definition::PortDefinition;
use crate::waiting::{MAX_UNUSED, Reason};

fn why(spec: &RunSpec, offer: Offer) -> String {
    Case::new(spec).agent(&[offer]).expect_err("it was placed")
}

#[test]
fn the_first_reason_in_their_order_is_told_with_what_would_have_done() {
    let small = || offer("a", "cpus:0.5;mem:64;disk:10;ports:[31000-31000]", "");
    let large = |text: &str| offer("a", text, "");
    let ports = || app(|app| app.port_definitions = Some(vec![PortDefinition::default(); 2]));
    let fixed = app(|app| {
        app.port_definitions = Some(vec![PortDefinition { port: 80, ..PortDefinition::default() }]);
        app.require_ports = true;
    });
    let disk = app(|app| app.disk = units(20));
    let gpus = app(|app| app.gpus = 2);
    let web = app(|app| app.role = "web".to_owned());
    let maintained =
        Offer { unavailability: Some(Unavailability { start: now(), duration: None }), ..small() };
    let constrained = constrained("rack", Operator::Unique);
    let table = [
        (
            why(&web, small()),
            "UnfulfilledRole: the offer is for role *, web is wanted: what is for web is offered to services that were \
             started with --role or --also-role web",
        ),
        (why(&constrained, small()), "UnfulfilledConstraint: rack UNIQUE: the agent has no such value"),
        (why(&app(|_| ()), maintained), "AgentMaintenance: the agent is being maintained"),
        (why(&app(|_| ()), small()), "InsufficientCpus: cpus: wants 1, 0.5 free"),
        (why(&app(|_| ()), large("cpus:1;mem:64")), "InsufficientMemory: mem: wants 128, 64 free"),
        (why(&disk, large("cpus:1;mem:128;disk:10")), "InsufficientDisk: disk: wants 20, 10 free"),
        (
            why(&gpus, large("cpus:1;mem:128;gpus:{a:1000,b:500}")),
            "InsufficientGpus: gpus: wants 2 whole ones, 1 free",
        ),
        (
            why(&ports(), large("cpus:1;mem:128;ports:[31000-31000]")),
            "InsufficientPorts: ports: wants 2, 1 free",
        ),
        (
            why(&fixed, large("cpus:1;mem:128;ports:[31000-31000]")),
            "InsufficientPorts: port 80 is asked for, and is not free there",
        ),
        (
            why(&app(|_| ()), large("cpus:1;mem:128;gpus:{a:1000}")),
            "DeclinedScarceResources: the agent's GPUs are kept for who needs them; the label GPU_SCHEDULING_BEHAVIOR may \
             say otherwise",
        ),
    ];
    for (said, expected) in table {
        assert_eq!(said, expected);
    }
}

#[test]
fn maintenance_counts_while_it_lasts() {
    let spec = app(|_| ());
    let hour = Duration::from_secs(3_600);
    let at = |start: Timestamp, duration| Offer {
        unavailability: Some(Unavailability { start, duration }),
        ..offer("a", "cpus:1;mem:128", "")
    };
    let before = Timestamp::from_nanos(now().as_nanos() - 1_800_000_000_000);
    assert!(Case::new(&spec).agent(&[at(now() + hour, None)]).is_ok(), "it is to come");
    assert!(Case::new(&spec).agent(&[at(before, Some(hour))]).is_err());
    assert!(Case::new(&spec).agent(&[at(before, Some(hour / 4))]).is_ok(), "it is over");
}

#[test]
fn a_label_or_the_operator_gives_gpus_free_and_who_needs_them_gets_whole_ones() {
    let offers = [offer("a", "cpus:4;mem:1024;gpus:{a:1000,b:1000}", "")];
    let labelled = app(|app| {
        app.labels.insert("GPU_SCHEDULING_BEHAVIOR".to_owned(), "unrestricted".to_owned());
    });
    assert!(Case::new(&labelled).agent(&offers).is_ok());
    let config = Config { gpus_restricted: false, ..Config::default() };
    assert!(Case { config, ..Case::new(&app(|_| ())) }.agent(&offers).is_ok());
    let (_, _, used) = Case::new(&app(|app| app.gpus = 1)).on(&offers);
    assert_eq!(only_task(&used).resources.to_string(), "cpus:1;gpus:{a:1000};mem:128");
}

#[test]
fn reservations_are_used_as_far_as_they_are_accepted() {
    let reserved = |text: &str| Offer { role: Role::new("web").unwrap(), ..offer("a", text, "") };
    let of_web = |roles: Option<&[&str]>| {
        let roles = roles.map(|roles| roles.iter().map(|role| (*role).to_owned()).collect());
        app(|app| (app.role, app.accepted_resource_roles) = ("web".to_owned(), roles))
    };
    let (_, _, used) = Case::new(&of_web(None)).on(&[reserved("cpus(web):0.5;cpus:0.5;mem:128")]);
    assert_eq!(only_task(&used).resources.to_string(), "cpus:0.5;cpus(web):0.5;mem:128");
    let unreserved = Case::new(&of_web(Some(&["*"]))).agent(&[reserved("cpus(web):2;cpus:0.5;mem:128")]);
    assert_eq!(unreserved.unwrap_err(), "InsufficientCpus: cpus: wants 1, 0.5 free");
    let alone = Case::new(&of_web(Some(&["web"]))).agent(&[reserved("cpus:2;mem:256")]);
    assert_eq!(
        alone.unwrap_err(),
        "UnfulfilledRole: nothing there is reserved for web, which alone is accepted"
    );
}

#[test]
fn offers_of_one_agent_are_used_together() {
    let second = Offer { id: OfferId::new("other").unwrap(), ..offer("a", "mem:128", "") };
    let (matched, notes, used) = Case::new(&app(|_| ())).on(&[offer("a", "cpus:1", ""), second]);
    assert_eq!(matched.unwrap().offer.as_str(), "offer-a");
    assert_eq!((used.len(), used[0].0.len(), notes.processed), (1, 2, 1));
}

#[test]
fn an_offer_counts_once_however_many_instances_are_put_to_it() {
    let spec = constrained("hostname", Operator::Unique);
    let offers = [offer("a", "cpus:4;mem:1024", ""), offer("b", "cpus:0.5;mem:1024", "")];
    let (mut hand, mut notes) = (Hand::new(&offers, now()), ProcessedOffers::default());
    let first = Case::new(&spec).put(&mut hand, &mut notes).unwrap();
    for number in 2..5 {
        let case = Case { siblings: vec![first.place.clone()], number, ..Case::new(&spec) };
        assert!(case.put(&mut hand, &mut notes).is_none());
    }
    assert_eq!((notes.processed, notes.unused), (2, 2));
    let expected = [(Reason::UnfulfilledConstraint, 1), (Reason::InsufficientCpus, 1)];
    assert_eq!(notes.rejected.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!((notes.last_used_at, notes.last_unused.len()), (Some(now()), 2));
}

#[test]
fn what_is_remembered_of_offers_is_bounded_and_the_latest() {
    let spec = app(|_| ());
    let offers: Vec<Offer> =
        (0..MAX_UNUSED + 10).map(|number| offer(&format!("a{number:03}"), "cpus:0.1;mem:1", "")).collect();
    let mut notes = ProcessedOffers::default();
    Case::new(&spec).put(&mut Hand::new(&offers, now()), &mut notes);
    assert_eq!(notes.last_unused.len(), MAX_UNUSED);
    let later = now() + Duration::from_secs(1);
    Case::new(&spec).put(&mut Hand::new(&offers[MAX_UNUSED..], later), &mut notes);
    assert_eq!(notes.last_unused.len(), MAX_UNUSED);
    assert_eq!(notes.last_unused.values().filter(|unused| unused.at == later).count(), 10);
    assert_eq!((notes.processed, notes.unused), (84, 84));
}

#[test]
fn explain_is_told_counts_and_what_was_nearest() {
    let spec = app(|app| app.mem = units(2_048));
    let offers = [
        offer("a", "cpus:0.5;mem:64", ""),
        offer("b", "cpus:4;mem:1024", ""),
        offer("c", "cpus:4;mem:1536", ""),
    ];
    let (_, notes, _) = Case::new(&spec).on(&offers);
    let task = lonja_model::TaskId::new("web.1").unwrap();
    let word = unplaced(&spec, &task, &notes).unwrap();
    assert_eq!((word.offers, word.reasons[0].1), (3, 2));
    let nearest = word.nearest.unwrap();
    assert_eq!(
        (nearest.hostname.as_str(), nearest.why.as_str()),
        ("c.example", "mem: wants 2048, 1536 free")
    );
}

#[test]
fn no_more_instances_than_the_operator_says_go_on_one_offer() {
    let config = Config { max_instances_per_offer: 2, ..Config::default() };
    let spec = app(|_| ());
    let (mut hand, mut notes) =
        (Hand::new(&[offer("a", "cpus:9;mem:9999", "")], now()), ProcessedOffers::default());
    let put = |number, hand: &mut Hand, notes: &mut ProcessedOffers| {
        Case { number, config: config.clone(), ..Case::new(&spec) }.put(hand, notes).is_some()
    };
    let placed: Vec<bool> = (1..=3).map(|number| put(number, &mut hand, &mut notes)).collect();
    assert_eq!(placed, [true, true, false]);
    let used = hand.used();
    assert!(matches!(&used[0].1[..], [Step::Launch(tasks)] if tasks.len() == 2), "one launch for both");
}
