//! Which checks of tasks are refused.

use lonja_model::check::{Check, HealthCheck, HttpProbe, Probe, Scheme};
use lonja_model::container::{Command, Program};

use super::fixture::task_info;
use crate::checks::valid;

fn fault_of(health: Option<Probe>, check: Option<Probe>) -> String {
    let mut info = task_info("t1", &lonja_model::AgentId::new("a1").unwrap(), "cpus:1");
    info.health_check = health.map(|probe| Box::new(HealthCheck::new(probe)));
    info.check = check.map(|probe| Box::new(Check::new(probe)));
    valid(&info).err().unwrap_or_default()
}

#[test]
fn a_check_that_cannot_be_is_named_with_its_fault() {
    let nothing = Command::new(Program::Shell("  ".to_owned()));
    assert_eq!(fault_of(Some(Probe::tcp(80)), Some(Probe::http(80, "/"))), "");
    assert!(fault_of(Some(Probe::tcp(0)), None).starts_with("the health check of task t1: port 0"));
    assert!(fault_of(None, Some(Probe::http(80, "x"))).starts_with("the check of task t1: \"x\""));
    assert!(fault_of(Some(Probe::Command(Box::new(nothing))), None).contains("its command is empty"));
}

#[test]
fn a_check_asks_for_nothing_that_the_wire_cannot_say() {
    let https = Probe::Http(HttpProbe { port: 443, scheme: Scheme::Https, ..HttpProbe::default() });
    assert_eq!(fault_of(Some(https.clone()), None), "");
    assert!(fault_of(None, Some(https)).contains("for health checks only"));
}
