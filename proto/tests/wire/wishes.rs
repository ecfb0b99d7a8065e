//! Constraints, requests, inverse offers, schedules and quotas that are wrong, each in its own way.

use std::collections::BTreeMap;

use lonja_model::resources::Scalar;
use lonja_model::scheduler::Call;
use lonja_model::unplaced::MAX_UNPLACED;
use lonja_proto::convert::{Fault, Refusal, call, constraints, event, maintenance, offer, quota};
use lonja_proto::limits;
use lonja_proto::lonja::{SchedulerRequest, UnplacedTask, UnplacedTasks, unplaced_task};
use lonja_proto::mesos::maintenance::{Schedule, Window};
use lonja_proto::mesos::quota::{QuotaConfig, QuotaRequest};
use lonja_proto::mesos::scheduler::attribute_constraint::{Predicate, Selector, predicate, selector};
use lonja_proto::mesos::scheduler::call::{self as wire_call, Type};
use lonja_proto::mesos::scheduler::offer_constraints::{RoleConstraints, role_constraints::Group};
use lonja_proto::mesos::{self, scheduler, value};

use super::messages::{a_call, field_of, framework_info, ranges, scalar};

fn constraint(
    selector: Option<selector::Selector>,
    predicate: Option<predicate::Predicate>,
) -> scheduler::AttributeConstraint {
    scheduler::AttributeConstraint { selector: Selector { selector }, predicate: Predicate { predicate } }
}

fn named(name: &str) -> Option<selector::Selector> {
    Some(selector::Selector::AttributeName(name.to_owned()))
}

fn exists() -> Option<predicate::Predicate> {
    Some(predicate::Predicate::Exists(predicate::Exists {}))
}

fn group(constraints: Vec<scheduler::AttributeConstraint>) -> Group {
    Group { attribute_constraints: constraints }
}

fn for_role(role: &str, groups: Vec<Group>) -> scheduler::OfferConstraints {
    scheduler::OfferConstraints {
        role_constraints: BTreeMap::from([(role.to_owned(), RoleConstraints { groups })]),
    }
}

fn read(wire: scheduler::OfferConstraints) -> Result<lonja_model::constraints::OfferConstraints, Refusal> {
    constraints::constraints_from_wire(Some(wire))
}

#[test]
fn a_constraint_that_says_too_little_is_refused_by_its_path() {
    let here = |constraint| field_of(read(for_role("eng", vec![group(vec![constraint])])));
    let at = "role_constraints[\"eng\"].groups[0].attribute_constraints[0]";
    let pseudo = |number| Some(selector::Selector::PseudoattributeType(number));
    let cases = [
        (constraint(None, exists()), "selector"),
        (constraint(named(""), exists()), "selector.attribute_name"),
        (constraint(pseudo(0), exists()), "selector.pseudoattribute_type"),
        (constraint(pseudo(9), exists()), "selector.pseudoattribute_type"),
        (constraint(named("rack"), None), "predicate"),
        (
            constraint(
                named("rack"),
                Some(predicate::Predicate::TextMatches(predicate::TextMatches {
                    regex: "x".repeat(limits::CONSTRAINT_BYTES + 1),
                })),
            ),
            "predicate.text_matches.regex",
        ),
        (constraint(named(&"x".repeat(limits::CONSTRAINT_BYTES + 1)), exists()), "selector.attribute_name"),
    ];
    for (wire, field) in cases {
        assert_eq!(here(wire), format!("{at}.{field}"));
    }
    let empty = group(Vec::new());
    assert_eq!(field_of(read(for_role("eng", Vec::new()))), "role_constraints[\"eng\"].groups");
    let path = "role_constraints[\"eng\"].groups[0].attribute_constraints";
    assert_eq!(field_of(read(for_role("eng", vec![empty]))), path);
    assert_eq!(field_of(read(for_role("a//b", Vec::new()))), "role_constraints[\"a//b\"]");
}

#[test]
fn constraints_are_bounded_over_all_roles_and_groups() {
    let one = || constraint(named("rack"), exists());
    let many = vec![group(vec![one()]); limits::CONSTRAINTS_PER_CALL];
    assert!(read(for_role("eng", many.clone())).is_ok());
    let more = [many, vec![group(vec![one()])]].concat();
    assert!(matches!(read(for_role("eng", more)).unwrap_err().fault, Fault::TooMany { .. }));
    let empty = vec![group(Vec::new()); limits::CONSTRAINTS_PER_CALL + 1];
    assert!(matches!(read(for_role("eng", empty)).unwrap_err().fault, Fault::TooMany { .. }));
}

#[test]
fn subscribing_and_updating_give_the_path_of_a_wrong_constraint() {
    let wrong = || Some(for_role("eng", Vec::new()));
    let subscribe = wire_call::Subscribe {
        framework_info: framework_info(),
        offer_constraints: wrong(),
        ..Default::default()
    };
    let wire = scheduler::Call { framework_id: None, subscribe: Some(subscribe), ..a_call(Type::Subscribe) };
    let path = "offer_constraints.role_constraints[\"eng\"].groups";
    assert_eq!(field_of(call::call_from_wire(wire)), format!("subscribe.{path}"));
    let id = a_call(Type::UpdateFramework).framework_id;
    let update = wire_call::UpdateFramework {
        framework_info: mesos::FrameworkInfo { id, ..framework_info() },
        offer_constraints: wrong(),
        ..Default::default()
    };
    let wire = scheduler::Call { update_framework: Some(update), ..a_call(Type::UpdateFramework) };
    assert_eq!(field_of(call::call_from_wire(wire)), format!("update_framework.{path}"));
}

#[test]
fn an_update_is_of_the_framework_that_calls_and_suppresses_its_own_roles() {
    let id = a_call(Type::UpdateFramework).framework_id;
    let with = |id, suppressed: &[&str]| {
        let update = wire_call::UpdateFramework {
            framework_info: mesos::FrameworkInfo { id, ..framework_info() },
            suppressed_roles: suppressed.iter().map(|role| (*role).to_owned()).collect(),
            ..Default::default()
        };
        call::call_from_wire(scheduler::Call {
            update_framework: Some(update),
            ..a_call(Type::UpdateFramework)
        })
    };
    assert!(matches!(with(id.clone(), &["*"]), Ok((_, Call::UpdateFramework { .. }))));
    assert_eq!(field_of(with(None, &[])), "update_framework.framework_info.id");
    let other = Some(mesos::FrameworkId { value: "other".to_owned() });
    assert_eq!(field_of(with(other, &[])), "update_framework.framework_info.id");
    assert_eq!(field_of(with(id, &["web"])), "update_framework.suppressed_roles");
}

#[test]
fn every_new_call_has_its_message() {
    let cases = [
        (Type::UpdateFramework, "update_framework"),
        (Type::Request, "request"),
        (Type::AcceptInverseOffers, "accept_inverse_offers"),
        (Type::DeclineInverseOffers, "decline_inverse_offers"),
        (Type::AcknowledgeOperationStatus, "acknowledge_operation_status"),
        (Type::ReconcileOperations, "reconcile_operations"),
    ];
    for (kind, field) in cases {
        assert_eq!(field_of(call::call_from_wire(a_call(kind))), field);
    }
}

#[test]
fn a_request_is_for_plain_amounts() {
    let request = |resources| offer::resource_request_from_wire(mesos::Request { agent_id: None, resources });
    let of = |role: &str| mesos::Resource {
        allocation_info: Some(mesos::resource::AllocationInfo { role: Some(role.to_owned()) }),
        ..scalar("cpus", 2.0)
    };
    let read = request(vec![of("eng"), scalar("mem", 64.0)]).unwrap();
    assert_eq!(read.role.as_ref().map(|role| role.as_str()), Some("eng"));
    assert_eq!(read.needs.to_string(), "cpus:2;mem:64");
    assert_eq!(
        field_of(request(vec![scalar("mem", 64.0), of("a"), of("b")])),
        "resources[2].allocation_info.role"
    );
    assert_eq!(field_of(request(vec![of("-")])), "resources[0].allocation_info.role");
    assert_eq!(field_of(request(vec![scalar("cpus", -1.0)])), "resources[0].scalar.value");
    assert_eq!(field_of(request(vec![ranges("ports", &[(1, 9)])])), "resources");
    let revocable =
        mesos::Resource { revocable: Some(mesos::resource::RevocableInfo {}), ..scalar("cpus", 2.0) };
    assert_eq!(field_of(request(vec![revocable])), "resources");
}

#[test]
fn requests_and_reconciliations_are_bounded() {
    let requests = vec![mesos::Request::default(); limits::REQUESTS_PER_CALL + 1];
    let wire = scheduler::Call { request: Some(wire_call::Request { requests }), ..a_call(Type::Request) };
    assert_eq!(field_of(call::call_from_wire(wire)), "request.requests");
    let operation = wire_call::reconcile_operations::Operation::default();
    let operations = vec![operation.clone(); limits::OPERATIONS_PER_RECONCILE + 1];
    let reconcile = |operations| scheduler::Call {
        reconcile_operations: Some(wire_call::ReconcileOperations { operations }),
        ..a_call(Type::ReconcileOperations)
    };
    assert_eq!(field_of(call::call_from_wire(reconcile(operations))), "reconcile_operations.operations");
    let path = "reconcile_operations.operations[0].operation_id.value";
    assert_eq!(field_of(call::call_from_wire(reconcile(vec![operation]))), path);
}

#[test]
fn an_inverse_offer_is_for_a_whole_agent() {
    let id = |value: &str| mesos::OfferId { value: value.to_owned() };
    let good = mesos::InverseOffer {
        id: id("i"),
        framework_id: mesos::FrameworkId { value: "f".to_owned() },
        agent_id: Some(mesos::AgentId { value: "a".to_owned() }),
        ..Default::default()
    };
    assert!(offer::inverse_offer_from_wire(good.clone()).is_ok());
    let parts = mesos::InverseOffer { resources: vec![scalar("cpus", 1.0)], ..good.clone() };
    assert!(offer::inverse_offer_from_wire(parts).unwrap_err().is_unsupported());
    let nowhere = mesos::InverseOffer { agent_id: None, ..good };
    let inverse_offers = Some(scheduler::event::InverseOffers { inverse_offers: vec![nowhere] });
    let wire = scheduler::Event {
        r#type: Some(scheduler::event::Type::InverseOffers.into()),
        inverse_offers,
        ..Default::default()
    };
    assert_eq!(field_of(event::event_from_wire(wire)), "inverse_offers.inverse_offers[0].agent_id");
}

fn machine(hostname: &str) -> mesos::MachineId {
    mesos::MachineId { hostname: Some(hostname.to_owned()), ip: None }
}

fn window(machines: &[&str]) -> Window {
    Window { machine_ids: machines.iter().map(|name| machine(name)).collect(), ..Default::default() }
}

#[test]
fn a_machine_is_known_by_its_host_name_in_any_case() {
    let read = maintenance::machine_id_from_wire(machine("Rack1-Host7")).unwrap();
    assert_eq!(read.hostname, "rack1-host7");
    let by_address = mesos::MachineId { hostname: None, ip: Some("10.0.0.7".to_owned()) };
    assert_eq!(field_of(maintenance::machine_id_from_wire(by_address)), "hostname");
    for bad in ["", "a b", "a\nb", &"x".repeat(limits::HOSTNAME_BYTES + 1)] {
        assert_eq!(field_of(maintenance::machine_id_from_wire(machine(bad))), "hostname", "{bad:?}");
    }
    // In lower case it has more bytes than it came with.
    let grows = "\u{130}".repeat(limits::HOSTNAME_BYTES / 2);
    assert_eq!(field_of(maintenance::machine_id_from_wire(machine(&grows))), "hostname");
    let ip = Some("10.0.0".to_owned());
    assert_eq!(field_of(maintenance::machine_id_from_wire(mesos::MachineId { ip, ..machine("h") })), "ip");
}

#[test]
fn a_schedule_has_each_machine_once_and_times_that_can_be() {
    let schedule = |windows| maintenance::schedule_from_wire(Schedule { windows });
    assert_eq!(schedule(vec![window(&["a", "b"]), window(&["c"])]).unwrap().len(), 2);
    assert_eq!(schedule(Vec::new()).unwrap(), []);
    assert_eq!(field_of(schedule(vec![window(&["a"]), window(&[])])), "windows[1].machine_ids");
    assert_eq!(field_of(schedule(vec![window(&["a"]), window(&["b", "A"])])), "windows[1].machine_ids[1]");
    let at = |start, duration: i64| {
        let unavailability = mesos::Unavailability {
            start: mesos::TimeInfo { nanoseconds: start },
            duration: Some(mesos::DurationInfo { nanoseconds: duration }),
        };
        field_of(schedule(vec![Window { unavailability, ..window(&["a"]) }]))
    };
    assert_eq!(at(-1, 1), "windows[0].unavailability.start.nanoseconds");
    assert_eq!(at(1, -1), "windows[0].unavailability.duration.nanoseconds");
    let many = Window { machine_ids: vec![machine("a"); limits::MACHINES + 1], ..Default::default() };
    assert_eq!(
        schedule(vec![many]).unwrap_err().fault,
        Fault::TooMany { count: limits::MACHINES + 1, limit: limits::MACHINES }
    );
}

#[test]
fn machines_to_start_or_stop_are_named_once_and_not_none() {
    assert_eq!(maintenance::machines_from_wire(vec![machine("b"), machine("a")]).unwrap().len(), 2);
    assert_eq!(field_of(maintenance::machines_from_wire(vec![machine("a"), machine("A")])), "[1]");
    assert!(maintenance::machines_from_wire(Vec::new()).is_err());
}

#[test]
fn a_machine_of_the_schedule_has_a_mode_and_times() {
    let info = |mode: Option<i32>, unavailability| {
        let info = mesos::MachineInfo { id: machine("a"), mode, unavailability };
        field_of(maintenance::machine_from_wire(info))
    };
    assert_eq!(info(None, None), "mode");
    assert_eq!(info(Some(mesos::machine_info::Mode::Up.into()), None), "mode");
    assert_eq!(info(Some(9), None), "mode");
    assert_eq!(info(Some(mesos::machine_info::Mode::Down.into()), None), "unavailability");
}

#[test]
fn a_drain_has_a_state_and_a_grace_period_that_can_be() {
    let info = |state: i32, grace| {
        let max_grace_period = Some(mesos::DurationInfo { nanoseconds: grace });
        let config = mesos::DrainConfig { max_grace_period, mark_gone: None };
        maintenance::duty_from_wire(true, Some(mesos::DrainInfo { state, config }))
    };
    assert!(
        info(mesos::DrainState::Draining.into(), 5).unwrap().drain().is_some_and(|drain| !drain.mark_gone)
    );
    assert_eq!(field_of(info(0, 5)), "state");
    assert_eq!(field_of(info(9, 5)), "state");
    assert_eq!(field_of(info(1, -5)), "config.max_grace_period.nanoseconds");
}

fn amounts(all: &[(&str, f64)]) -> BTreeMap<String, value::Scalar> {
    all.iter().map(|(name, value)| ((*name).to_owned(), value::Scalar { value: *value })).collect()
}

fn config(role: &str, guarantees: &[(&str, f64)], limits: &[(&str, f64)]) -> QuotaConfig {
    QuotaConfig { role: role.to_owned(), guarantees: amounts(guarantees), limits: amounts(limits) }
}

#[test]
fn a_quota_that_cannot_be_kept_is_refused_by_its_field() {
    let refused = |config| field_of(quota::quotas_from_wire(vec![config]));
    assert_eq!(refused(config("", &[], &[])), "[0].role");
    assert_eq!(refused(config("*", &[], &[])), "[0].role");
    assert_eq!(refused(config("a//b", &[], &[])), "[0].role");
    for bad in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
        assert_eq!(refused(config("eng", &[("cpus", bad)], &[])), "[0].guarantees[\"cpus\"].value", "{bad}");
        assert_eq!(refused(config("eng", &[], &[("cpus", bad)])), "[0].limits[\"cpus\"].value", "{bad}");
    }
    assert_eq!(refused(config("eng", &[("", 1.0)], &[])), "[0].guarantees[\"\"]");
    let twice = vec![config("eng", &[], &[]), config("ops", &[], &[]), config("eng", &[], &[])];
    assert_eq!(field_of(quota::quotas_from_wire(twice)), "[2].role");
    let names: Vec<_> = (0..=limits::NAMES_PER_QUOTA).map(|n| format!("r{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    assert_eq!(refused(config("eng", &many, &[])), "[0].guarantees");
    let configs = vec![config("eng", &[], &[]); limits::QUOTAS + 1];
    assert!(matches!(quota::quotas_from_wire(configs).unwrap_err().fault, Fault::TooMany { .. }));
}

#[test]
fn a_limit_of_nothing_never_comes_to_mean_no_limit() {
    for nothing in [0.0, -0.0, 0.000_4] {
        let refusal = quota::quota_from_wire(config("eng", &[], &[("cpus", nothing)])).unwrap_err();
        assert_eq!(refusal.field, "limits[\"cpus\"]", "{nothing}");
    }
    use lonja_proto::wire::lonja::registry::v1 as stored;
    use prost::Message;
    let limits = BTreeMap::from([("cpus".to_owned(), 0)]);
    let quota = stored::Quota { role: "eng".to_owned(), limits, ..Default::default() };
    let entry = stored::Entry { format: 1, entry: Some(stored::entry::Entry::Quota(quota)) };
    assert!(lonja_proto::convert::registry::decode(&entry.encode_to_vec()).is_err());
}

#[test]
fn a_quota_that_asks_for_nothing_takes_the_roles_quota_away() {
    let (_, gone) = quota::quota_from_wire(config("eng", &[("cpus", 0.0)], &[])).unwrap();
    assert_eq!(gone, None);
    let (role, some) = quota::quota_from_wire(config("eng/web", &[("cpus", 0.5)], &[])).unwrap();
    assert_eq!((role.as_str(), some.unwrap().guarantees.to_string().as_str()), ("eng/web", "cpus:0.5"));
}

#[test]
fn the_older_way_to_set_a_quota_makes_the_guarantee_the_limit() {
    let request = |role: Option<&str>, guarantee| {
        let role = role.map(str::to_owned);
        quota::quota_request_from_wire(QuotaRequest { force: None, role, guarantee })
    };
    let (_, set) = request(Some("eng"), vec![scalar("cpus", 2.0), scalar("mem", 64.0)]).unwrap();
    assert_eq!(set.guarantees.get("cpus"), Scalar::from_units(2).unwrap());
    assert_eq!(set.guarantees, set.limits);
    assert_eq!(field_of(request(None, vec![scalar("cpus", 2.0)])), "role");
    assert_eq!(field_of(request(Some("*"), vec![scalar("cpus", 2.0)])), "role");
    assert_eq!(field_of(request(Some("eng"), Vec::new())), "guarantee");
    let twice = vec![scalar("cpus", 2.0), scalar("cpus", 1.0)];
    assert_eq!(field_of(request(Some("eng"), twice)), "guarantee[1].name");
    assert_eq!(field_of(request(Some("eng"), vec![scalar("cpus", -2.0)])), "guarantee[0].scalar.value");
    assert_eq!(field_of(request(Some("eng"), vec![scalar("cpus", 0.0)])), "guarantee[\"cpus\"]");
    assert_eq!(field_of(request(Some("eng"), vec![ranges("ports", &[(1, 9)])])), "guarantee[0]");
    let revocable = Some(mesos::resource::RevocableInfo {});
    let resource = mesos::Resource { revocable, ..scalar("cpus", 2.0) };
    assert_eq!(field_of(request(Some("eng"), vec![resource])), "guarantee[0]");
}

#[test]
fn a_report_of_unplaced_tasks_over_its_bounds_is_refused_by_its_path() {
    let report =
        |tasks| UnplacedTasks { framework_id: Some(mesos::FrameworkId { value: "f".to_owned() }), tasks };
    let task = |name: &str| UnplacedTask { task: name.to_owned(), ..Default::default() };
    let reason = |why: String| unplaced_task::Reason { why, offers: 1 };
    let reasons = |count: usize, bytes: usize| vec![reason("x".repeat(bytes)); count];
    let refused = |unplaced| {
        let request = SchedulerRequest { id: 7, call: None, unplaced: Some(unplaced) };
        call::request_from_wire(request).1.unwrap_err().field
    };
    let many = (0..=MAX_UNPLACED).map(|number| task(&number.to_string())).collect();
    let near = unplaced_task::NearMiss { hostname: "h".repeat(257), ..Default::default() };
    let far =
        unplaced_task::NearMiss { agent_id: Some(mesos::AgentId { value: "a".to_owned() }), ..near.clone() };
    let cases = [
        (UnplacedTasks::default(), "unplaced.framework_id"),
        (report(many), "unplaced.tasks"),
        (report(vec![task("a"), task("")]), "unplaced.tasks[1].task"),
        (report(vec![task("a"), task("a")]), "unplaced.tasks[1].task"),
        (report(vec![UnplacedTask { reasons: reasons(17, 1), ..task("a") }]), "unplaced.tasks[0].reasons"),
        (
            report(vec![UnplacedTask { reasons: reasons(1, 257), ..task("a") }]),
            "unplaced.tasks[0].reasons[0].why",
        ),
        (
            report(vec![UnplacedTask { nearest: Some(near), ..task("a") }]),
            "unplaced.tasks[0].nearest.agent_id",
        ),
        (
            report(vec![UnplacedTask { nearest: Some(far), ..task("a") }]),
            "unplaced.tasks[0].nearest.hostname",
        ),
    ];
    for (unplaced, field) in cases {
        assert_eq!(refused(unplaced), field);
    }
    let both =
        SchedulerRequest { id: 7, call: Some(a_call(Type::Teardown)), unplaced: Some(report(Vec::new())) };
    assert_eq!(call::request_from_wire(both).1.unwrap_err().field, "unplaced");
    let neither = call::request_from_wire(SchedulerRequest::default()).1.unwrap_err();
    assert_eq!(neither.field, "call", "as a master from before this call answers a report");
}
