//! Describing tasks and choosing places for them.

use lonja_model::resources::Scalar;

use super::fixture::*;
use crate::placement::{first_fit, fit};
use crate::task::Need;
use crate::{InvalidTask, Task};

fn need(cpus: u64, ports: usize) -> Need {
    Need { cpus: Scalar::from_units(cpus).unwrap(), ports, ..Need::default() }
}

#[test]
fn a_task_that_cannot_be_is_refused_as_it_is_described() {
    assert_eq!(Task::shell("  ").unwrap_err(), InvalidTask::NoCommand);
    assert_eq!(Task::argv(Vec::<String>::new()).unwrap_err(), InvalidTask::NoCommand);
    let task = || Task::shell("true").unwrap();
    for amount in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
        assert!(matches!(task().cpus(amount), Err(InvalidTask::Amount { what: "cpus", .. })), "{amount}");
        assert!(matches!(task().mem_mib(amount), Err(InvalidTask::Amount { what: "mem", .. })), "{amount}");
    }
    assert!(matches!(task().volume("relative", "/in", true), Err(InvalidTask::Volume(_))));
}

#[test]
fn ports_are_chosen_from_what_is_offered() {
    let offered = "cpus:2;ports:[31000-31001,31005-31009]".parse().unwrap();
    let taken = fit(&offered, &need(1, 3)).unwrap();
    assert_eq!(taken.to_string(), "cpus:1;ports:[31000-31001,31005-31005]");
    assert!(offered.contains(&taken));
    assert_eq!(fit(&offered, &need(1, 8)), None);
    assert_eq!(fit(&offered, &need(3, 0)), None);
}

#[test]
fn what_is_reserved_is_used_before_what_anyone_may_have() {
    let offered = "cpus(web):1;cpus:4".parse().unwrap();
    assert_eq!(fit(&offered, &need(2, 0)).unwrap().to_string(), "cpus:1;cpus(web):1");
}

#[test]
fn tasks_fill_the_first_offer_that_has_room() {
    let offers = [offer("o1", "cpus:2"), offer("o2", "cpus:3")];
    let placed = first_fit(&offers, &[need(2, 0), need(2, 0), need(1, 0), need(1, 0)]);
    let indices = |offer: usize| placed[offer].iter().map(|(index, _)| *index).collect::<Vec<_>>();
    assert_eq!((indices(0), indices(1)), (vec![0], vec![1, 2]));
}
