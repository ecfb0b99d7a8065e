//! SUBSCRIBE and UPDATE_FRAMEWORK: constraints, roles, what cannot change; and where agents are.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::agent::Domain;
use lonja_model::attributes::Attributes;
use lonja_model::constraints::{
    AttributeConstraint, ConstraintGroup, OfferConstraints, Predicate, RoleConstraints, Selector,
};
use lonja_model::framework::Capability;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::scheduler::{Call, CallResult, Event, RefusalCode};
use lonja_model::{AgentId, AgentInfo, FrameworkInfo, Role, TaskState};

use super::fixture::*;
use crate::{Config, LinkId, StreamId};

fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

/// The role's offers come from agents whose attribute `rack` matches.
fn racks(role_name: &str, regex: &str) -> OfferConstraints {
    let selector = Selector::Attribute("rack".into());
    let one = AttributeConstraint { selector, predicate: Predicate::TextMatches(regex.into()) };
    let groups = RoleConstraints(vec![ConstraintGroup(vec![one])]);
    OfferConstraints(BTreeMap::from([(role(role_name), groups)]))
}

fn info_in(roles: &[&str]) -> FrameworkInfo {
    FrameworkInfo { roles: roles.iter().map(|name| role(name)).collect(), ..framework_info("web", secs(60)) }
}

fn subscribe(info: FrameworkInfo, constraints: OfferConstraints) -> Call {
    Call::Subscribe { framework: None, info: Box::new(info), suppressed: BTreeSet::new(), constraints }
}

fn update(info: FrameworkInfo) -> Call {
    update_to(info, &[], OfferConstraints::default())
}

fn update_to(info: FrameworkInfo, suppressed: &[&str], constraints: OfferConstraints) -> Call {
    let suppressed = suppressed.iter().map(|name| role(name)).collect();
    Call::UpdateFramework { info: Box::new(info), suppressed, constraints }
}

impl Cluster {
    fn agent_as(&mut self, change: impl Fn(&mut AgentInfo)) -> (LinkId, Option<AgentId>) {
        let link = LinkId(1_000 + u64::try_from(self.to_agents.len()).unwrap());
        let mut info = agent_info("cpus:4;mem:4096");
        change(&mut info);
        self.say(
            link,
            FromAgent::Register {
                info: Box::new(info),
                version: "0.1.0".into(),
                capabilities: lonja_model::agent::AgentCapability::all(),
            },
        );
        let id = self.registered(link);
        if id.is_some() {
            self.say(link, FromAgent::Pong { sequence: 0 });
        }
        (link, id)
    }

    fn agent_in_rack(&mut self, rack: &str) -> AgentId {
        let attributes = Attributes::parse(&format!("rack:{rack}")).unwrap();
        self.agent_as(|info| info.attributes = attributes.clone()).1.unwrap()
    }

    fn rescinded(&self, stream: StreamId) -> usize {
        self.events(stream).iter().filter(|event| matches!(event, Event::Rescind(_))).count()
    }
}

/// The code, the field and the message of a refusal.
fn refusal(result: CallResult) -> (RefusalCode, String, String) {
    let refusal = result.unwrap_err();
    (refusal.code, refusal.field.unwrap_or_default(), refusal.message)
}

#[test]
fn constraints_of_a_subscription_decide_where_offers_come_from() {
    let mut cluster = cluster();
    let wanted = cluster.agent_in_rack("r1");
    cluster.agent_in_rack("s1");
    cluster.call(StreamId(9), subscribe(info_in(&["web"]), racks("web", "r[0-9]"))).unwrap();
    assert_eq!(cluster.only_offer(StreamId(9)).agent, wanted);
}

#[test]
fn a_subscription_with_bad_constraints_is_refused_with_the_path_and_closed() {
    let mut cluster = cluster();
    let call = subscribe(info_in(&["web"]), racks("web", "(a{1000}){1000}"));
    let (code, field, message) = refusal(cluster.call(StreamId(9), call));
    assert_eq!(code, RefusalCode::InvalidArgument);
    let path = r#"subscribe.offer_constraints.role_constraints["web"].groups[0].attribute_constraints[0]"#;
    assert_eq!(field, path);
    assert_eq!(cluster.events(StreamId(9)), [Event::Error(message)]);
    assert!(cluster.closed_streams.contains(&StreamId(9)) && cluster.registry.frameworks.is_empty());

    let call = subscribe(info_in(&["web"]), racks("ops", "r"));
    let (_, field, message) = refusal(cluster.call(StreamId(10), call));
    assert_eq!(field, r#"subscribe.offer_constraints.role_constraints["ops"]"#);
    assert!(message.contains("role ops"), "{message}");
}

#[test]
fn a_subscription_without_constraints_drops_those_before() {
    let mut cluster = cluster();
    cluster.agent_in_rack("s1");
    cluster.call(StreamId(9), subscribe(info_in(&["web"]), racks("web", "r"))).unwrap();
    let id = cluster.subscribed(StreamId(9)).unwrap();
    assert!(cluster.settle().offers(StreamId(9)).is_empty());
    let stream = cluster.subscribe(Some(&id), info_in(&["web"]));
    cluster.only_offer(stream);
}

#[test]
fn an_update_replaces_constraints_and_keeps_outstanding_offers() {
    let mut cluster = cluster();
    let (first, second) = (cluster.agent_in_rack("r1"), cluster.agent_in_rack("r2"));
    cluster.call(StreamId(9), subscribe(info_in(&["web"]), racks("web", "r1"))).unwrap();
    assert_eq!(cluster.only_offer(StreamId(9)).agent, first);

    cluster.call(StreamId(9), update_to(info_in(&["web"]), &[], racks("web", "r2"))).unwrap();

    assert_eq!(cluster.only_offer(StreamId(9)).agent, second);
    assert_eq!(cluster.rescinded(StreamId(9)), 0);
}

#[test]
fn an_update_replaces_suppressed_roles() {
    let mut cluster = cluster();
    let (stream, _) = cluster.framework("web");
    cluster.call(stream, update_to(info_in(&["web"]), &["web"], OfferConstraints::default())).unwrap();
    cluster.agent("cpus:4;mem:4096");
    assert!(cluster.settle().offers(stream).is_empty());
    cluster.call(stream, update(info_in(&["web"]))).unwrap();
    cluster.only_offer(stream);
}

#[test]
fn offers_of_a_role_that_is_left_are_rescinded_and_its_tasks_run_on() {
    let mut cluster = cluster();
    let (_, agent, stream, framework) = cluster.running();
    cluster.agent("cpus:2;mem:1024");
    let offer = cluster.only_offer(stream);
    assert_eq!(offer.role, role("web"));

    cluster.call(stream, update(info_in(&["ops"]))).unwrap();

    assert!(cluster.events(stream).contains(&Event::Rescind(offer.id)));
    assert_eq!(cluster.last_state(stream), Some(TaskState::Running));
    let again = cluster.settle().offers(stream);
    assert!(!again.is_empty() && again.iter().all(|offer| offer.role == role("ops")));
    let held = cluster.master.state.allocator.held(&agent, &framework, &role("web"));
    assert_eq!(held.unwrap().to_string(), "cpus:1;mem:64", "what runs stays charged to its role");
}

#[test]
fn an_update_is_durable_when_it_is_answered() {
    let mut cluster = cluster();
    let (stream, id) = cluster.framework("web");
    let renamed =
        FrameworkInfo { name: "other".into(), failover_timeout: secs(7), ..info_in(&["web", "ops"]) };
    cluster.call(stream, update(renamed.clone())).unwrap();
    assert_eq!(cluster.registry.frameworks[&id].info, renamed);
    cluster.restart();
    assert_eq!(*cluster.master.snapshot().frameworks[0].info, renamed);
}

#[test]
fn an_update_of_what_cannot_change_is_refused_with_the_names_and_changes_nothing() {
    let mut cluster = cluster();
    let (stream, id) = cluster.framework("web");
    let before = cluster.registry.clone();
    let info = FrameworkInfo { user: "eve".into(), principal: Some("eve".into()), ..info_in(&["ops"]) };
    let (code, field, message) = refusal(cluster.call(stream, update(info)));
    assert_eq!(
        (code, field.as_str()),
        (RefusalCode::InvalidArgument, "update_framework.framework_info.user")
    );
    assert!(message.starts_with("user and principal cannot change"), "{message}");
    let info = FrameworkInfo { checkpoint: false, ..info_in(&["web"]) };
    let (_, field, _) = refusal(cluster.call(stream, update(info)));
    assert_eq!(field, "update_framework.framework_info.checkpoint");
    assert_eq!(cluster.registry, before);
    assert_eq!(cluster.registry.frameworks[&id].info.roles, BTreeSet::from([role("web")]));
}

#[test]
fn an_update_with_one_fault_changes_nothing() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    cluster.only_offer(stream);
    let before = cluster.registry.clone();
    let none = OfferConstraints::default;
    for (call, path) in [
        (update(info_in(&[])), "update_framework.framework_info.roles"),
        (update_to(info_in(&["ops"]), &["web"], none()), "update_framework.suppressed_roles"),
        (
            update_to(info_in(&["ops"]), &[], racks("web", "r")),
            r#"update_framework.offer_constraints.role_constraints["web"]"#,
        ),
        (
            update_to(info_in(&["ops"]), &[], racks("ops", "(")),
            r#"update_framework.offer_constraints.role_constraints["ops"].groups[0].attribute_constraints[0]"#,
        ),
    ] {
        assert_eq!(refusal(cluster.call(stream, call)).1, path);
    }
    assert_eq!((cluster.registry.clone(), cluster.rescinded(stream)), (before, 0));
    assert!(cluster.settle().offers(stream).is_empty(), "and nothing is offered anew");
}

#[test]
fn new_regular_expressions_are_charged_as_many_calls() {
    let mut cluster = cluster_with(Config { call_burst: 100, calls_per_second: 100, ..Config::default() });
    let (stream, _) = cluster.framework("web");
    let mut taken = 0;
    let refused = loop {
        let call = update_to(info_in(&["web"]), &[], racks("web", &format!("r{taken}")));
        match cluster.call(stream, call) {
            Ok(()) => taken += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(
        (refused.code, taken),
        (RefusalCode::RateLimited, 9),
        "each is the call and ten for the pattern"
    );
    cluster.advance(secs(1));
    for _ in 0..50 {
        let call = update_to(info_in(&["web"]), &[], racks("web", "r8"));
        cluster.call(stream, call).expect("what it has already is only a call");
    }
}

#[test]
fn an_update_that_changes_nothing_tells_nobody() {
    let mut cluster = cluster();
    let (stream, _) = cluster.framework("web");
    let call = update(framework_info("web", secs(60)));
    let event = crate::Event::Call { stream, id: 77, framework: None, call };
    let effects = cluster.master.handle(cluster.now, event);
    assert!(effects.persist.is_empty() && effects.publish.is_empty() && effects.send.len() == 1);
}

fn domain(text: &str) -> Option<Domain> {
    let (region, zone) = text.split_once('/')?;
    Some(Domain { region: region.into(), zone: zone.into() })
}

/// Why the agent was refused, and whether for ever.
fn refused(cluster: &Cluster, link: LinkId) -> Option<(String, bool)> {
    cluster.sent(link).iter().find_map(|message| {
        if let ToAgent::Refused { reason, permanent } = message {
            Some((reason.clone(), *permanent))
        } else {
            None
        }
    })
}

#[test]
fn agents_of_another_region_are_offered_to_region_aware_frameworks_only() {
    let mut cluster = cluster_with(Config { domain: domain("eu/a"), ..Config::default() });
    let far = cluster.agent_as(|info| info.domain = domain("us/a")).1.unwrap();
    let (stream, _) = cluster.framework("web");
    assert!(cluster.settle().offers(stream).is_empty());
    let near = cluster.agent_as(|info| info.domain = domain("eu/b")).1.unwrap();
    assert_eq!(cluster.only_offer(stream).agent, near);

    let capabilities = BTreeSet::from([Capability::RegionAware, Capability::MultiRole]);
    let aware = cluster.subscribe(None, FrameworkInfo { capabilities, ..info_in(&["ops"]) });
    let offer = cluster.only_offer(aware);
    assert_eq!((offer.agent, offer.domain), (far, domain("us/a")));
}

#[test]
fn an_agent_says_where_it_is_only_to_a_master_that_does() {
    let mut cluster = cluster();
    let (link, id) = cluster.agent_as(|info| info.domain = domain("eu/a"));
    let (reason, permanent) = refused(&cluster, link).unwrap();
    assert!(id.is_none() && !permanent && reason.contains("--domain"), "{reason}");
}

#[test]
fn a_master_may_require_that_agents_say_where_they_are() {
    let config = Config { domain: domain("eu/a"), require_agent_domain: true, ..Config::default() };
    let mut cluster = cluster_with(config);
    let (link, id) = cluster.agent_as(|_| {});
    let (reason, permanent) = refused(&cluster, link).unwrap();
    assert!(id.is_none() && !permanent && reason.contains("--domain"), "{reason}");
    assert!(cluster.agent_as(|info| info.domain = domain("eu/a")).1.is_some());
}

#[test]
fn an_agent_does_not_move_and_keeps_its_tasks_while_it_is_told_so() {
    let mut cluster = cluster_with(Config { domain: domain("eu/a"), ..Config::default() });
    let (link, id) = cluster.agent_as(|info| info.domain = domain("eu/a"));
    cluster.lose_link(link);
    let back = |cluster: &mut Cluster, number, place| {
        let info = Box::new(AgentInfo { domain: domain(place), ..agent_info("cpus:4;mem:4096") });
        let (agent, version, total) = (id.clone().unwrap(), "0.1.0".into(), info.resources.clone());
        let (tasks, frameworks, operations, executors) = (vec![], vec![], vec![], vec![]);
        let again = FromAgent::Reregister {
            agent,
            info,
            version,
            tasks,
            frameworks,
            total,
            operations,
            executors,
            capabilities: lonja_model::agent::AgentCapability::all(),
        };
        cluster.come_back(LinkId(number), again);
        refused(cluster, LinkId(number))
    };
    let (reason, permanent) = back(&mut cluster, 50, "us/a").unwrap();
    assert!(!permanent && reason.contains("eu/a") && reason.contains("us/a"), "{reason}");
    assert_eq!(back(&mut cluster, 51, "eu/a"), None);
}
