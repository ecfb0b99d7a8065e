//! What frameworks and strangers may get wrong over the wire: each thing is refused by name, and nobody else
//! notices.

use std::io::Write;
use std::net::TcpStream;

use lonja_proto::lonja::schedulers_client::SchedulersClient;
use lonja_proto::lonja::{SchedulerRequest, scheduler_response};
use lonja_proto::mesos::scheduler::{Call, Event, call};
use lonja_proto::mesos::{self, offer};
use lonja_tests::{Cluster, Daemon};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// A framework without a library, which can say anything.
pub(crate) struct Raw {
    calls: mpsc::Sender<SchedulerRequest>,
    answers: tonic::Streaming<lonja_proto::lonja::SchedulerResponse>,
    id: Option<mesos::FrameworkId>,
    next: u64,
    /// Offers that came while it waited for something else.
    held: std::collections::VecDeque<mesos::Offer>,
}

impl Raw {
    async fn connect(url: &str) -> Self {
        let channel =
            tonic::transport::Endpoint::from_shared(url.to_owned()).unwrap().connect().await.unwrap();
        let (calls, queue) = mpsc::channel(64);
        let answers =
            SchedulersClient::new(channel).connect(ReceiverStream::new(queue)).await.unwrap().into_inner();
        Self { calls, answers, id: None, next: 0, held: Default::default() }
    }

    pub(crate) async fn subscribed(url: &str) -> Self {
        let mut raw = Self::connect(url).await;
        let framework_info = mesos::FrameworkInfo {
            user: "root".into(),
            name: "raw".into(),
            failover_timeout: Some(60.0),
            ..Default::default()
        };
        let subscribe = Some(call::Subscribe { framework_info, ..Default::default() });
        raw.send(Call { r#type: Some(call::Type::Subscribe.into()), subscribe, ..Default::default() }).await;
        let event = raw.event(|event| event.subscribed.is_some()).await;
        raw.id = event.subscribed.map(|subscribed| subscribed.framework_id);
        raw
    }

    async fn send(&mut self, call: Call) -> u64 {
        self.next += 1;
        let call = Call { framework_id: self.id.clone(), ..call };
        self.calls
            .send(SchedulerRequest { id: self.next, call: Some(call), ..Default::default() })
            .await
            .unwrap();
        self.next
    }

    /// The next event of this kind; others are passed over.
    async fn event(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let response = self.answers.message().await.unwrap().expect("the stream goes on");
            if let Some(scheduler_response::Message::Event(event)) = response.message {
                if wanted(&event) {
                    return event;
                }
                self.held.extend(event.offers.into_iter().flat_map(|offers| offers.offers));
            }
        }
    }

    /// Makes a call and returns why it was refused.
    pub(crate) async fn refusal(&mut self, call: Call) -> lonja_proto::lonja::Refusal {
        let id = self.send(call).await;
        loop {
            let response = self.answers.message().await.unwrap().expect("the stream goes on");
            if let Some(scheduler_response::Message::Result(result)) = response.message
                && result.id == id
            {
                return result.refusal.expect("the call is refused");
            }
        }
    }

    pub(crate) async fn offer(&mut self) -> mesos::Offer {
        if let Some(held) = self.held.pop_front() {
            return held;
        }
        let event = self.event(|event| event.offers.is_some()).await;
        event.offers.unwrap().offers.remove(0)
    }

    /// The status that the master answers a launch with.
    pub(crate) async fn status_of(
        &mut self,
        offer: &mesos::Offer,
        task: mesos::TaskInfo,
    ) -> mesos::TaskStatus {
        self.send(accept(&[offer], vec![task])).await;
        self.next_status().await
    }

    /// The next status of any of its tasks.
    pub(crate) async fn next_status(&mut self) -> mesos::TaskStatus {
        let status = self.event(|event| event.update.is_some()).await.update.unwrap().status;
        // The next one comes only then.
        if let (Some(uuid), Some(agent_id)) = (&status.uuid, &status.agent_id) {
            let acknowledge = call::Acknowledge {
                agent_id: agent_id.clone(),
                task_id: status.task_id.clone(),
                uuid: uuid.clone(),
            };
            let (r#type, acknowledge) = (Some(call::Type::Acknowledge.into()), Some(acknowledge));
            self.send(Call { r#type, acknowledge, ..Default::default() }).await;
        }
        status
    }
}

pub(crate) fn accept(offers: &[&mesos::Offer], tasks: Vec<mesos::TaskInfo>) -> Call {
    let operation = offer::Operation {
        r#type: Some(offer::operation::Type::Launch.into()),
        launch: Some(offer::operation::Launch { task_infos: tasks }),
        ..Default::default()
    };
    let accept = call::Accept {
        offer_ids: offers.iter().map(|offer| offer.id.clone()).collect(),
        operations: vec![operation],
        filters: Some(mesos::Filters { refuse_seconds: Some(0.0) }),
    };
    Call { r#type: Some(call::Type::Accept.into()), accept: Some(accept), ..Default::default() }
}

pub(crate) fn task(offer: &mesos::Offer, id: &str, cpus: f64) -> mesos::TaskInfo {
    let scalar = |name: &str, value: f64| mesos::Resource {
        name: name.into(),
        r#type: mesos::value::Type::Scalar.into(),
        scalar: Some(mesos::value::Scalar { value }),
        ..Default::default()
    };
    mesos::TaskInfo {
        name: id.into(),
        task_id: mesos::TaskId { value: id.into() },
        agent_id: offer.agent_id.clone(),
        resources: vec![scalar("cpus", cpus), scalar("mem", 32.0)],
        command: Some(mesos::CommandInfo { value: Some("true".into()), ..Default::default() }),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_before_subscribe_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().display().to_string();
    let master = Daemon::start(&["master", "--work-dir", &dir, "--listen", "127.0.0.1:0", "--log", "error"]);
    let mut raw = Raw::connect(&master.url).await;
    raw.id = Some(mesos::FrameworkId { value: "x".into() });
    let refusal = raw.refusal(Call { r#type: Some(call::Type::Teardown.into()), ..Default::default() }).await;
    assert!(refusal.message.contains("send SUBSCRIBE first"), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_launches_are_answered_one_by_one_and_the_offer_stays_usable_for_the_right_one() {
    let cluster = Cluster::start(&[]);
    let mut raw = Raw::subscribed(cluster.url()).await;
    type Make = fn(&mesos::Offer) -> mesos::TaskInfo;
    let wrong: [(Make, &str); 4] = [
        (|offer| task(offer, "nan", f64::NAN), "NaN"),
        (|offer| task(offer, "negative", -1.0), "-1 is negative"),
        (|offer| task(offer, "large", 1_000.0), "the offers hold"),
        (|offer| mesos::TaskInfo { command: None, ..task(offer, "idle", 0.1) }, "command"),
    ];
    for (make, said) in wrong {
        let offer = raw.offer().await;
        let status = raw.status_of(&offer, make(&offer)).await;
        assert_eq!(status.state(), mesos::TaskState::TaskError, "{status:?}");
        assert!(status.message().contains(said), "{said}: {}", status.message());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_used_once_and_only_by_its_owner() {
    let cluster = Cluster::start(&[]);
    let mut owner = Raw::subscribed(cluster.url()).await;
    let offer = owner.offer().await;
    let mut thief = Raw::subscribed(cluster.url()).await;

    let refusal = thief.refusal(accept(&[&offer], vec![task(&offer, "t", 0.1)])).await;
    assert_eq!(refusal.field, "accept.offer_ids[0]", "{refusal:?}");
    let status = owner.status_of(&offer, task(&offer, "large", 1_000.0)).await;
    assert_eq!(status.state(), mesos::TaskState::TaskError, "the owner still had it: {status:?}");
    let refusal = owner.refusal(accept(&[&offer], vec![task(&offer, "again", 0.1)])).await;
    assert!(refusal.message.contains("not outstanding"), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_oversized_messages_harm_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().display().to_string();
    let master = Daemon::start(&["master", "--work-dir", &dir, "--listen", "127.0.0.1:0", "--log", "error"]);
    for seed in 0..200_u32 {
        let mut stream = TcpStream::connect(master.address()).unwrap();
        let bytes: Vec<u8> = (0..512_u32).map(|n| ((n * 31 + seed * 7) % 251) as u8).collect();
        // The master may hang up in the middle.
        let _hung_up =
            stream.write_all(if seed % 2 == 0 { b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" } else { b"" });
        let _hung_up = stream.write_all(&bytes);
    }
    let mut raw = Raw::subscribed(&master.url).await;
    let huge = call::Message {
        agent_id: mesos::AgentId { value: "a".into() },
        executor_id: mesos::ExecutorId { value: "e".into() },
        data: vec![0; 5 << 20],
    };
    raw.send(Call { r#type: Some(call::Type::Message.into()), message: Some(huge), ..Default::default() })
        .await;
    while let Ok(Some(_)) = raw.answers.message().await {}

    assert!(master.get("/health").starts_with("HTTP/1.1 200"));
    Raw::subscribed(&master.url).await;
}
