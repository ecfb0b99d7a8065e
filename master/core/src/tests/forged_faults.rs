//! Each check of resources and operations is shown to catch a fault that is forged for it.

use std::sync::Arc;

use lonja_model::operation::{AgentOperation, OperationState};
use lonja_model::{AgentId, Offer, Role};

use super::conversion_fixture::*;
use super::fixture::*;
use crate::{LinkId, State, StreamId};

const ALL: &str = "cpus:4;mem:4096;disk(web):40";

/// A reservation on its way: half of it used by a task, half held back.
fn on_its_way() -> (Cluster, LinkId, AgentId, StreamId, AgentOperation) {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent(ALL);
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    let task = task_on("t1", &agent, &reserved("cpus:1", &["web"]));
    let steps = vec![named("r", reserve(&reserved("cpus:2", &["web"]))), launch_of(vec![task])];
    cluster.accept(stream, &offer, steps).unwrap();
    let operation = cluster.asked_of(link).remove(0);
    (cluster, link, agent, stream, operation)
}

/// The check finds what `fault` breaks, and says that it is `promise`.
fn is_caught(cluster: &mut Cluster, promise: &str, fault: impl FnOnce(&mut State)) {
    cluster.master.check_invariants().unwrap();
    fault(&mut cluster.master.state);
    let found = cluster.master.check_invariants().unwrap_err();
    assert!(found.starts_with(promise), "{found}");
}

#[test]
fn an_offer_that_is_lost_with_what_it_holds() {
    let mut cluster = cluster();
    cluster.agent(ALL);
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    is_caught(&mut cluster, "INV-1", |state| drop(state.offers.take(&offer.id)));
}

#[test]
fn a_hold_that_is_given_to_nobody() {
    let (mut cluster, .., operation) = on_its_way();
    is_caught(&mut cluster, "INV-1", |state| {
        let known = state.operations.get_mut(&operation.uuid).unwrap();
        known.hold.as_mut().unwrap().resources = res("");
    });
}

#[test]
fn a_hold_that_is_lost_under_a_debt() {
    let (mut cluster, _, agent, _, operation) = on_its_way();
    is_caught(&mut cluster, "INV-4", |state| {
        let smaller = both(&reserved("cpus:1", &["web"]), &res("mem:4096;disk(web):40"));
        state.allocator.update_agent_total(&agent, smaller);
        let known = state.operations.get_mut(&operation.uuid).unwrap();
        known.hold.as_mut().unwrap().resources = res("");
    });
}

#[test]
fn a_conversion_that_is_counted_and_not_on_its_way() {
    let (mut cluster, _, agent, ..) = on_its_way();
    is_caught(&mut cluster, "INV-10", |state| {
        state.agents.get_mut(&agent).unwrap().total = res("cpus:5;mem:4096;disk(web):40");
    });
}

#[test]
fn what_is_not_durable_and_free() {
    let (mut cluster, _, agent, _, operation) = on_its_way();
    let now = cluster.now;
    is_caught(&mut cluster, "INV-10", |state| {
        let hold = state.operations.get_mut(&operation.uuid).unwrap().hold.as_mut().unwrap();
        let held = std::mem::take(&mut hold.resources);
        let (framework, role) = (hold.framework.clone(), hold.role.clone());
        state.allocator.recover(now, &agent, &framework, &role, &held, None).unwrap();
    });
}

#[test]
fn an_offer_of_what_its_agent_does_not_have() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent(ALL);
    let (stream, _) = cluster.framework("web");
    let _ = cluster.only_offer(stream);
    is_caught(&mut cluster, "INV-2", |state| {
        let smaller = res("cpus:3;mem:4096;disk(web):40");
        state.allocator.update_agent_total(&agent, smaller.clone());
        state.agents.get_mut(&agent).unwrap().total = smaller;
    });
}

#[test]
fn an_offer_outside_the_role_of_its_reservation() {
    let mut cluster = cluster();
    cluster.agent(ALL);
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    is_caught(&mut cluster, "INV-8", |state| {
        let taken = state.offers.take(&offer.id).unwrap();
        let role = Role::new("ops").unwrap();
        state.offers.insert(Arc::new(Offer { role, ..(*taken).clone() }));
    });
}

#[test]
fn a_volume_that_exists_twice() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent(ALL);
    is_caught(&mut cluster, "INV-8", |state| {
        let (one, other) = (volume("disk:1", "web", "v", false), volume("disk:2", "web", "v", true));
        let total = both(&one, &other);
        state.allocator.update_agent_total(&agent, total.clone());
        state.agents.get_mut(&agent).unwrap().total = total;
    });
}

#[test]
fn an_operation_whose_hold_and_state_disagree() {
    let (mut cluster, .., operation) = on_its_way();
    is_caught(&mut cluster, "INV-10", |state| {
        state.operations.get_mut(&operation.uuid).unwrap().status.state = OperationState::Unreachable;
    });
    let (mut cluster, link, _, _, operation) = on_its_way();
    cluster.outcome(link, &operation, OperationState::Finished);
    is_caught(&mut cluster, "INV-10", |state| {
        state.operations.get_mut(&operation.uuid).unwrap().status.state = OperationState::Pending;
    });
}

#[test]
fn an_outcome_that_nobody_will_acknowledge() {
    let (mut cluster, link, _, _, operation) = on_its_way();
    cluster.outcome(link, &operation, OperationState::Finished);
    is_caught(&mut cluster, "INV-10", |state| {
        state.operations.get_mut(&operation.uuid).unwrap().status.update = None;
    });
}

#[test]
fn an_operation_that_its_agent_does_not_list() {
    let (mut cluster, link, agent, _, operation) = on_its_way();
    cluster.outcome(link, &operation, OperationState::Finished);
    is_caught(&mut cluster, "INV-10", |state| state.operations.forge_unlisted(&agent));
}

#[test]
fn an_operation_that_waits_where_no_agent_is() {
    let (mut cluster, link, _, _, operation) = on_its_way();
    cluster.outcome(link, &operation, OperationState::Finished);
    is_caught(&mut cluster, "INV-10", |state| {
        state.operations.get_mut(&operation.uuid).unwrap().status.state = OperationState::Unreachable;
    });
}
