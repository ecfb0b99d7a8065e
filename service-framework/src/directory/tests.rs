use super::*;
use crate::made_up::{endpoint, id};

fn find(directory: &Directory, name: &str) -> Option<Records> {
    let labels: Vec<&[u8]> = name.split('.').filter(|label| !label.is_empty()).map(str::as_bytes).collect();
    match directory.find(labels.into_iter()) {
        Found::Nothing => None,
        Found::Records(all) => {
            let mut found = Records::default();
            for one in all {
                found.hosts.extend(one.hosts.iter().cloned());
                found.targets.extend(one.targets.iter().cloned());
            }
            Some(found)
        }
    }
}

fn ports(directory: &Directory, name: &str) -> Vec<u16> {
    find(directory, name).unwrap().targets.iter().map(|target| target.port).collect()
}

#[test]
fn an_app_is_found_by_its_path_from_inside_out_and_by_its_ports() {
    let directory = Directory::new("lonja");
    let one = endpoint("/prod/db", 1, "10.0.0.1", 31_000, 10_000);
    let name = one.instance.as_str().rsplit_once(".instance-").unwrap().1.to_owned();
    directory.set(&id("/prod/db"), &[one, endpoint("/prod/db", 2, "10.0.0.1", 31_001, 10_000)]);

    assert_eq!(find(&directory, "db.prod").unwrap().hosts, [Host::new("10.0.0.1")], "an agent is named once");
    assert_eq!(ports(&directory, "_web._tcp.DB.prod"), [31_000, 31_001]);
    assert_eq!(ports(&directory, "_db.prod._tcp"), [31_000, 31_001]);
    assert_eq!(find(&directory, &format!("{name}.db.prod")).unwrap().hosts.len(), 1);
    assert_eq!(find(&directory, "_web._udp.db.prod"), None);
    assert_eq!(find(&directory, "prod.db"), None);
}

#[test]
fn what_takes_no_requests_is_not_named_but_the_app_is() {
    let directory = Directory::new("lonja");
    let drained = Endpoint { accepts: false, ..endpoint("/db", 1, "10.0.0.1", 31_000, 0) };
    directory.set(&id("/db"), &[drained]);
    assert_eq!(find(&directory, "db"), Some(Records::default()));
    assert_eq!(find(&directory, "_web._tcp.db"), Some(Records::default()));
    directory.set(&id("/db"), &[]);
    assert_eq!(find(&directory, "db"), Some(Records::default()));
    assert_eq!(find(&directory, "_web._tcp.db"), None);
    directory.remove(&id("/db"));
    assert_eq!(find(&directory, "db"), None);
    assert_eq!((directory.len(), directory.specs().len()), (0, 0));
}

#[test]
fn what_has_something_below_it_is_there_though_it_leads_nowhere() {
    let directory = Directory::new("lonja");
    directory.set(&id("/prod/eu/db"), &[endpoint("/prod/eu/db", 1, "10.0.0.1", 31_000, 0)]);
    for name in ["", "prod", "eu.prod", "_tcp.db.eu.prod", "_tcp"] {
        assert_eq!(find(&directory, name), Some(Records::default()), "{name}");
    }
    for name in ["pro", "prode", "e.prod", "x.eu.prod", "tcp"] {
        assert_eq!(find(&directory, name), None, "{name}");
    }
}

#[test]
fn what_is_no_name_is_left_out() {
    let directory = Directory::new("lonja");
    let long = format!("/{}", "a".repeat(64));
    directory.set(&id(&long), &[endpoint(&long, 1, "10.0.0.1", 31_000, 0)]);
    assert_eq!(directory.len(), 0);
    assert_eq!(directory.find([b"a\0b".as_slice()].into_iter()), Found::Nothing);
    // The longest path that is a path still has a name with all that stands before it.
    let longest = format!("/{}", vec!["a".repeat(59); 3].join("/"));
    directory.set(&id(&longest), &[endpoint(&longest, 1, "10.0.0.1", 31_000, 0)]);
    assert_eq!(directory.len(), 4);
}

#[test]
fn two_apps_whose_ids_read_the_same_share_the_name_and_part_again() {
    let directory = Directory::new("lonja");
    directory.set(&id("/a/b"), &[endpoint("/a/b", 1, "10.0.0.1", 1, 0)]);
    directory.set(&id("/b.a"), &[endpoint("/b.a", 2, "10.0.0.2", 2, 0)]);
    assert_eq!(find(&directory, "b.a").unwrap().hosts.len(), 2);
    directory.remove(&id("/a/b"));
    assert_eq!(find(&directory, "b.a").unwrap().hosts, [Host::new("10.0.0.2")]);
}

#[tokio::test]
async fn hostnames_are_resolved_in_the_background() {
    let directory = Directory::new("lonja");
    let counters = crate::discovery::Counters::default();
    directory.set(&id("/a"), &[endpoint("/a", 1, "localhost", 1, 0), endpoint("/a", 2, "10.0.0.2", 2, 0)]);
    let hosts = hosts::Hosts::default();
    let keeping = hosts.keep(&directory, &counters);
    let known = async {
        while hosts.addresses(&Host::new("localhost")).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = keeping => {}
        () = known => {}
    }
    assert!(hosts.addresses(&Host::new("localhost")).iter().all(IpAddr::is_loopback));
    assert_eq!(hosts.addresses(&Host::new("10.0.0.2")), ["10.0.0.2".parse::<IpAddr>().unwrap()]);
}
