//! Each promise about agents that are to be left is broken on purpose, and its check finds it.

use std::sync::Arc;

use lonja_model::maintenance::{Drain, Duty, MachineId, MachineMode, Unavailability, Window};
use lonja_model::offer::InverseOffer;
use lonja_model::registry::RegistryOp;
use lonja_model::scheduler::Call;
use lonja_model::{AgentId, OfferId, TaskId, Timestamp};
use std::collections::BTreeSet;

use super::fixture::*;
use crate::State;
use crate::deadlines::Timer;
use crate::{MaintenanceCommand, OperatorCommand};

fn broken(cluster: &Cluster) -> String {
    cluster.master.check_invariants().expect_err("a broken promise that no check notices")
}

fn forge(cluster: &mut Cluster, fault: impl FnOnce(&mut State)) -> String {
    fault(&mut cluster.master.state);
    broken(cluster)
}

fn forge_duty(state: &mut State, agent: &AgentId, duty: Duty) {
    let mut record = Box::new(state.registry.agents[agent].clone());
    record.duty = duty;
    state.registry.apply(RegistryOp::Agent(agent.clone(), Some(record)));
}

fn schedule(cluster: &mut Cluster) {
    let unavailability = Unavailability { start: Timestamp::ZERO + secs(2_000), duration: None };
    let windows = vec![Window { machines: vec![MachineId::named("host")], unavailability }];
    let command = OperatorCommand::Maintenance(MaintenanceCommand::Schedule { windows });
    cluster.operator(command).unwrap();
}

#[test]
fn an_agent_that_the_registry_calls_idle_and_the_allocator_active_is_noticed() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    let found = forge(&mut cluster, |state| forge_duty(state, &agent, Duty::Deactivated));
    assert!(found.contains("the allocator thinks otherwise"), "{found}");

    let mut cluster = super::fixture::cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    let found = forge(&mut cluster, |state| state.allocator.deactivate_agent(&agent));
    assert!(found.contains("the allocator thinks otherwise"), "{found}");
}

#[test]
fn an_offer_of_an_agent_that_is_not_active_is_noticed() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    cluster.framework("web");
    cluster.settle();
    let found = forge(&mut cluster, |state| {
        state.allocator.deactivate_agent(&agent);
        forge_duty(state, &agent, Duty::Deactivated);
    });
    assert!(found.contains("has an outstanding offer"), "{found}");
}

#[test]
fn a_drain_that_ends_too_early_or_not_at_all_is_noticed() {
    let idle = |state: &mut State, agent: &AgentId, duty: Duty| {
        state.allocator.deactivate_agent(agent);
        forge_duty(state, agent, duty);
    };
    let mut cluster = cluster();
    let (_, agent, _, _) = cluster.running();
    let found = forge(&mut cluster, |state| idle(state, &agent, Duty::Drained(Drain::default())));
    assert!(found.contains("drained: true, has settled: false"), "{found}");

    let mut cluster = super::fixture::cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    let found = forge(&mut cluster, |state| idle(state, &agent, Duty::Draining(Drain::default())));
    assert!(found.contains("drained: false, has settled: true"), "{found}");

    let drain = Drain { mark_gone: true, max_grace: None };
    let found = forge(&mut cluster, |state| idle(state, &agent, Duty::Drained(drain)));
    assert!(found.contains("was to be gone"), "{found}");
}

#[test]
fn a_task_that_a_drain_leaves_alone_is_noticed() {
    let mut cluster = cluster();
    let (_, agent, _, framework) = cluster.running();
    let drain = MaintenanceCommand::Drain { agent, drain: Drain::default() };
    cluster.operator(OperatorCommand::Maintenance(drain)).unwrap();
    let found = forge(&mut cluster, |state| {
        state.tasks.get_mut(&framework, &TaskId::new("t1").unwrap()).unwrap().killing = None;
    });
    assert!(found.contains("left alone"), "{found}");
}

#[test]
fn an_agent_in_use_on_a_machine_that_is_down_is_noticed() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    schedule(&mut cluster);
    let found = forge(&mut cluster, |state| {
        let (id, machine) = state.registry.machines.first_key_value().unwrap();
        let (id, mut machine) = (id.clone(), machine.clone());
        machine.mode = MachineMode::Down;
        state.registry.apply(RegistryOp::Machine(id, Some(machine)));
    });
    assert!(found.contains("is down, and agent"), "{found}");
}

#[test]
fn an_offer_that_does_not_say_what_the_schedule_says_is_noticed() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    cluster.framework("web");
    schedule(&mut cluster);
    cluster.settle();
    let found = forge(&mut cluster, |state| state.registry.machines.clear());
    assert!(found.contains("does not say what the schedule says"), "{found}");
}

/// A framework with a task on the only agent, asked to leave it and not offered anything.
fn asked() -> (Cluster, Arc<InverseOffer>) {
    let mut cluster = cluster();
    let (_, _, stream, _) = cluster.running();
    cluster.call(stream, Call::Suppress { roles: BTreeSet::new() }).unwrap();
    schedule(&mut cluster);
    let offer = cluster.master.snapshot().inverse_offers.remove(0);
    (cluster, offer)
}

#[test]
fn a_framework_that_uses_a_scheduled_agent_and_is_not_asked_is_noticed() {
    let (mut cluster, offer) = asked();
    let found = forge(&mut cluster, |state| {
        state.inverse_offers.take(&offer.id).unwrap();
    });
    assert!(found.contains("has not been asked to leave it"), "{found}");
    // Its filter would be a reason.
    let again = Timer::AskAgain(offer.framework.clone(), offer.agent.clone());
    cluster.master.state.deadlines.set(again, cluster.now + secs(5));
    cluster.master.check_invariants().unwrap();
}

#[test]
fn answers_of_or_about_those_who_are_no_more_are_noticed() {
    let (mut cluster, offer) = asked();
    let found = forge(&mut cluster, |state| {
        let _gone = state.frameworks.remove(&offer.framework);
        crate::inverse_offers::discard_of(state, &offer.framework);
    });
    // The task is nobody's either, which is found first; the check by itself finds its own.
    assert!(found.contains("INV-24"), "{found}");
    let found = crate::inverse_offers::check(&cluster.master.state).unwrap_err();
    assert!(found.contains("which is no more"), "{found}");

    let (cluster, offer) = asked();
    let mut state = cluster.master.state;
    state.agents.set_presence(&offer.agent, crate::agents::Presence::Unreachable { since: cluster.now });
    let found = crate::inverse_offers::check(&state).unwrap_err();
    assert!(found.contains("which is not there"), "{found}");
}

#[test]
#[should_panic(expected = "asked once to leave an agent")]
fn asking_a_framework_twice_to_leave_an_agent_is_noticed_at_once() {
    let (mut cluster, offer) = asked();
    let second = InverseOffer { id: OfferId::new("second").unwrap(), ..(*offer).clone() };
    cluster.master.state.inverse_offers.insert(second);
}

#[test]
fn an_inverse_offer_without_ground_is_noticed() {
    let (mut cluster, _) = asked();
    let found = forge(&mut cluster, |state| state.registry.machines.clear());
    assert!(found.contains("has no ground"), "{found}");

    let (mut cluster, offer) = asked();
    let (_, other) = cluster.framework("b");
    let found = forge(&mut cluster, |state| {
        let id = OfferId::new("second").unwrap();
        state.inverse_offers.insert(InverseOffer { id, framework: other, ..(*offer).clone() });
    });
    assert!(found.contains("uses nothing of agent"), "{found}");
}
