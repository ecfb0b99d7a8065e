//! The operator door as programs use it: every change is told, and what is wrong is refused by its field.

use lonja_proto::lonja::operator_client::OperatorClient;
use lonja_proto::mesos::master::call::{self, Type};
use lonja_proto::mesos::master::{Call, Event, event};
use lonja_proto::mesos::{self, maintenance, quota};
use lonja_tests::Cluster;
use tonic::transport::Channel;

async fn operator(cluster: &Cluster) -> OperatorClient<Channel> {
    let endpoint = tonic::transport::Endpoint::from_shared(cluster.url().to_owned()).unwrap();
    OperatorClient::new(endpoint.connect().await.unwrap())
}

fn typed(kind: Type) -> Call {
    Call { r#type: Some(kind.into()), ..Call::default() }
}

/// The next event that is neither a heartbeat nor what is there at the beginning.
async fn change(events: &mut tonic::Streaming<Event>) -> Event {
    loop {
        let event = events.message().await.unwrap().expect("the stream goes on");
        if !matches!(event.r#type(), event::Type::Heartbeat | event::Type::Subscribed) {
            return event;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_an_operator_is_told_to_those_who_watch() {
    let cluster = Cluster::start(&[]);
    let mut operator = operator(&cluster).await;
    let mut events = operator.subscribe(typed(Type::Subscribe)).await.unwrap().into_inner();

    cluster.done(&["quota", "set", "eng", "--limit", "cpus:2"]);
    let told = change(&mut events).await;
    assert_eq!(told.r#type(), event::Type::QuotaUpdated);
    assert_eq!(told.quota_updated.unwrap().config.unwrap().limits["cpus"].value, 2.0);

    cluster.done(&["weights", "set", "eng=2"]);
    let told = change(&mut events).await.weight_updated.unwrap().weight;
    assert_eq!((told.role(), told.weight), ("eng", 2.0));

    cluster.done(&["agents", "deactivate", "S0"]);
    let told = change(&mut events).await.agent_updated.unwrap().agent;
    assert!(told.deactivated() && !told.active && told.connected());
    cluster.done(&["agents", "reactivate", "S0"]);
    assert!(change(&mut events).await.agent_updated.unwrap().agent.active);

    cluster.done(&["maintenance", "schedule", "--start", "+1h", "127.0.0.1"]);
    let told = change(&mut events).await.machine_updated.unwrap().machine;
    assert_eq!((told.id.hostname(), told.mode()), ("127.0.0.1", mesos::machine_info::Mode::Draining));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_call_is_refused_by_its_field() {
    let cluster = Cluster::start(&[]);
    let mut operator = operator(&cluster).await;
    let agent_id = || mesos::AgentId { value: "no-such-agent".into() };
    let scalar = |value: f64| mesos::value::Scalar { value };
    let limits = |value: f64| [("cpus".to_owned(), scalar(value))].into();
    let config = |role: &str, value| quota::QuotaConfig {
        role: role.into(),
        limits: limits(value),
        ..Default::default()
    };
    let update = |quota_configs| Call {
        update_quota: Some(call::UpdateQuota { force: None, quota_configs }),
        ..typed(Type::UpdateQuota)
    };
    let negative = mesos::Resource { name: "cpus".into(), scalar: Some(scalar(-1.0)), ..Default::default() };
    let reserve = call::ReserveResources { agent_id: agent_id(), resources: vec![negative], source: vec![] };
    let window = maintenance::Window { machine_ids: vec![Default::default()], ..Default::default() };
    let schedule = maintenance::Schedule { windows: vec![window] };
    let cases = [
        (typed(Type::UpdateQuota), "update_quota: is missing"),
        (update(vec![config("*", 1.0)]), "update_quota.quota_configs[0].role: "),
        (
            update(vec![config("a", 1.0), config("b", f64::NAN)]),
            "update_quota.quota_configs[1].limits[\"cpus\"]",
        ),
        (
            Call { reserve_resources: Some(reserve), ..typed(Type::ReserveResources) },
            "reserve_resources.resources[0].scalar",
        ),
        (
            Call {
                update_maintenance_schedule: Some(call::UpdateMaintenanceSchedule { schedule }),
                ..typed(Type::UpdateMaintenanceSchedule)
            },
            "update_maintenance_schedule.schedule.windows[0].machine_ids[0].hostname",
        ),
    ];
    for (call, field) in cases {
        let status = operator.call(call).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
        assert!(status.message().starts_with(field), "{status}");
    }
    let unknown = Call {
        deactivate_agent: Some(call::DeactivateAgent { agent_id: agent_id() }),
        ..typed(Type::DeactivateAgent)
    };
    let status = operator.call(unknown).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
    assert!(status.message().contains("no-such-agent"), "{status}");
}
