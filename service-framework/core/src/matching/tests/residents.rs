//! Instances that keep data: made once, found again, freed when nobody wants them.

use lonja_model::operation::ConversionKind;
use lonja_model::resources::ReservationKind;

use super::*;
use crate::definition::{AppVolume, Container, Engine, PortDefinition, VolumeKind};

fn db() -> RunSpec {
    app(|app| {
        app.id = PathId::absolute("/prod/db").unwrap();
        app.role = "web".to_owned();
        app.port_definitions = Some(vec![PortDefinition::default()]);
        let kind = VolumeKind::Persistent(persistent(100));
        let volumes = vec![AppVolume { container_path: "data".to_owned(), read_only: false, kind }];
        let (docker, port_mappings, linux_info) = (None, None, None);
        app.container = Some(Container { engine: Engine::Mesos, docker, volumes, port_mappings, linux_info });
    })
}

fn web(name: &str, resources: &str) -> Offer {
    Offer { role: Role::new("web").unwrap(), ..offer(name, resources, "") }
}

const ROOM: &str = "cpus:2;mem:256;disk:150;ports:[31000-31009]";

/// What agent `a` has once a plan is done there and its task has ended.
fn after(before: &Offer, steps: &[Step]) -> Offer {
    let mut resources = before.resources.clone();
    for step in steps {
        if let Step::Convert { conversion, .. } = step {
            resources = conversion.apply(&resources).expect("a plan that can be done");
        }
    }
    Offer { resources, ..before.clone() }
}

fn first() -> (Place, Offer) {
    let before = web("a", ROOM);
    let (matched, _, used) = Case::new(&db()).on(std::slice::from_ref(&before));
    (matched.expect("there is room").place, after(&before, &used[0].1))
}

#[test]
fn the_first_launch_reserves_makes_the_volume_and_starts_on_it() {
    let (matched, _, used) = Case::new(&db()).on(&[web("a", ROOM)]);
    let place = matched.unwrap().place;
    let [
        Step::Convert { conversion: reserve, id },
        Step::Convert { conversion: create, .. },
        Step::Launch(tasks),
    ] = &used[0].1[..]
    else {
        panic!("{used:?}")
    };
    assert_eq!((reserve.kind(), create.kind()), (ConversionKind::Reserve, ConversionKind::Create));
    assert!(id.as_ref().unwrap().as_str().ends_with(".1.reserve"));
    assert_eq!(reserve.before().scalar("disk"), units(100));
    for resource in tasks[0].resources.iter() {
        let layer = resource.metadata().reservations.last().expect("all of it is reserved");
        assert_eq!((layer.kind, layer.role.as_str()), (ReservationKind::Dynamic, "web"));
        let labels: Vec<&str> = layer.labels.0.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(labels, ["marathon_framework_id", "marathon_task_id", "lonja_persistence_ids"]);
    }
    let volume = &place.volumes[0];
    assert_eq!(volume.persistence_id, format!("prod_db#data#{}", volume.uuid));
    assert_eq!((volume.uuid.len(), place.ports.len()), (36, 1));
}

#[test]
fn nothing_is_kept_in_the_default_role() {
    let spec = match db() {
        RunSpec::App(app) => RunSpec::App(Arc::new(App { role: "*".to_owned(), ..App::clone(&app) })),
        RunSpec::Pod(_) => unreachable!(),
    };
    let refused = Case::new(&spec).agent(&[offer("a", ROOM, "")]).unwrap_err();
    assert!(refused.starts_with("UnfulfilledRole: nothing can be reserved for the role *"), "{refused}");
}

#[test]
fn a_volume_counts_with_the_disk_that_is_needed() {
    let refused = Case::new(&db()).agent(&[web("a", "cpus:2;mem:256;disk:99;ports:[1-9]")]).unwrap_err();
    assert_eq!(refused, "InsufficientDisk: disk: wants 100, 99 free");
}

#[test]
fn an_instance_with_data_comes_back_to_them_with_its_ports_and_goes_nowhere_else() {
    let (home, offer) = first();
    let spec = db();
    let again = Case { home: Some(home.clone()), ..Case::new(&spec) };
    let (matched, notes, used) = again.on(&[web("b", ROOM), offer]);
    let matched = matched.unwrap();
    assert_eq!((&matched.place.agent, &matched.place.ports), (&home.agent, &home.ports));
    assert_eq!(matched.place.volumes, home.volumes);
    assert!(
        matches!(&used[0].1[..], [Step::Launch(tasks)] if tasks[0].resources.iter().count() == 4),
        "{used:?}"
    );
    assert_eq!(notes.rejected.len(), 1);
    let elsewhere = again.agent(&[web("b", ROOM)]).unwrap_err();
    assert_eq!(elsewhere, "NoCorrespondingReservationFound: its data are on a.example");
    let without = again.agent(&[web("a", ROOM)]).unwrap_err();
    assert!(without.contains("is not in this offer"), "{without}");
}

#[test]
fn a_launch_of_which_only_the_first_half_was_done_is_brought_to_its_end() {
    let before = web("a", ROOM);
    let (matched, _, used) = Case::new(&db()).on(std::slice::from_ref(&before));
    let half = after(&before, &used[0].1[..1]);
    let spec = db();
    let (again, _, used) = Case { home: Some(matched.unwrap().place), ..Case::new(&spec) }.on(&[half]);
    assert!(again.is_some());
    assert!(
        matches!(&used[0].1[..], [Step::Convert { conversion, .. }, Step::Launch(_)] if conversion.kind() == ConversionKind::Create)
    );
}

#[test]
fn nobody_else_uses_what_is_reserved_for_an_instance() {
    let (_, offer) = first();
    let other = app(|app| (app.role, app.cpus) = ("web".to_owned(), units(2)));
    assert_eq!(Case::new(&other).agent(&[offer]).unwrap_err(), "InsufficientCpus: cpus: wants 2, 1 free");
}

#[test]
fn what_nobody_wants_is_destroyed_and_given_back() {
    let (home, offer) = first();
    let id = home.volumes[0].persistence_id.clone();
    let freed = |offer: &Offer, is_wanted: &dyn Fn(&str) -> bool| -> Vec<Step> {
        let mut hand = Hand::new(std::slice::from_ref(offer), now());
        hand.free_orphans(is_wanted);
        hand.used().into_iter().flat_map(|(_, steps)| steps).collect()
    };
    assert!(freed(&offer, &|wanted| wanted == id).is_empty());
    let steps = freed(&offer, &|_| false);
    let kinds: Vec<_> = steps
        .iter()
        .map(|step| match step {
            Step::Convert { conversion, .. } => conversion.kind(),
            Step::Launch(_) | Step::LaunchGroup { .. } => panic!("{step:?}"),
        })
        .collect();
    assert_eq!(kinds, [ConversionKind::Destroy, ConversionKind::Unreserve]);
    assert_eq!(after(&offer, &steps).resources, web("a", ROOM).resources);
    let stranger = Offer { framework: FrameworkId::new("another").unwrap(), ..offer.clone() };
    assert!(freed(&stranger, &|_| false).is_empty(), "it is another framework's");
    let mut hand = Hand::new(&[offer], now());
    hand.free_orphans(&|_| false);
    let large = app(|app| (app.role, app.cpus) = ("web".to_owned(), units(2)));
    assert!(Case::new(&large).put(&mut hand, &mut ProcessedOffers::default()).is_some());
    assert_eq!(hand.used()[0].1.len(), 3);
}
