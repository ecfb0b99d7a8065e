use lonja_model::offer::ResourceRequest;
use lonja_model::scheduler::{Call, RefusalCode};
use lonja_model::{FrameworkInfo, Role};

use super::fixture::*;

fn need(role: Option<&str>, amount: &str) -> ResourceRequest {
    let role = role.map(|name| Role::new(name).unwrap());
    ResourceRequest { agent: None, role, needs: res(amount).quantities() }
}

fn ask(requests: Vec<ResourceRequest>) -> Call {
    Call::Request { requests }
}

#[test]
fn a_request_keeps_small_agents_away_until_it_is_replaced() {
    let mut cluster = cluster();
    let (stream, _) = cluster.framework("web");
    cluster.call(stream, ask(vec![need(None, "cpus:8"), need(Some("web"), "mem:9999")])).unwrap();
    let (_, small) = cluster.agent("cpus:4;mem:4096");
    let (_, large) = cluster.agent("cpus:8;mem:64");
    assert_eq!(cluster.only_offer(stream).agent, large);
    cluster.call(stream, ask(vec![])).unwrap();
    assert_eq!(cluster.only_offer(stream).agent, small);
}

#[test]
fn a_request_for_one_role_frees_the_others() {
    let mut cluster = cluster();
    let roles = ["ops", "web"].map(|name| Role::new(name).unwrap()).into_iter().collect();
    let stream = cluster.subscribe(None, FrameworkInfo { roles, ..framework_info("web", secs(60)) });
    cluster.call(stream, ask(vec![need(None, "cpus:8")])).unwrap();
    cluster.agent("cpus:4;mem:4096");
    assert!(cluster.settle().offers(stream).is_empty());
    cluster.call(stream, ask(vec![need(Some("ops"), "cpus:8")])).unwrap();
    assert_eq!(cluster.only_offer(stream).role.as_str(), "web");
}

#[test]
fn a_new_subscription_asks_for_nothing() {
    let mut cluster = cluster();
    let (stream, id) = cluster.framework("web");
    cluster.call(stream, ask(vec![need(None, "cpus:8")])).unwrap();
    cluster.agent("cpus:4;mem:4096");
    assert!(cluster.settle().offers(stream).is_empty());
    let stream = cluster.subscribe(Some(&id), framework_info("web", secs(60)));
    cluster.only_offer(stream);
}

#[test]
fn a_request_for_a_strange_role_or_one_too_many_is_refused_as_a_whole() {
    let mut cluster = cluster();
    let (stream, _) = cluster.framework("web");
    let call = ask(vec![need(None, "cpus:8"), need(Some("ops"), "cpus:1")]);
    let refused = cluster.call(stream, call).unwrap_err();
    assert_eq!(refused.code, RefusalCode::InvalidArgument);
    assert_eq!(refused.field.as_deref(), Some("request.requests[1].role"));
    let refused = cluster.call(stream, ask(vec![need(None, "cpus:8"); 17])).unwrap_err();
    assert_eq!(refused.field.as_deref(), Some("request.requests"));
    cluster.agent("cpus:4;mem:4096");
    cluster.only_offer(stream);
}
