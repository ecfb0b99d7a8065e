//! How long the master takes from the end of the allocation window to bytes for the frameworks' streams:
//! `cargo bench -p lonja-master`.
//!
//! Every agent is free and every framework, in a role of its own, wants all it can get. What is measured is the pass
//! with its offers made and remembered (`offers_made`), and with each event converted and encoded besides as the gRPC
//! door does it (`offers_encoded`); answering them all with a decline is not. Goal: 100 ms encoded, 50 ms aimed at.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use divan::Bencher;
use lonja_master_core::{Config, Effects, Event, LinkId, Master, Outbound, StreamId};
use lonja_model::attributes::Attributes;
use lonja_model::constraints::OfferConstraints;
use lonja_model::framework::Capability;
use lonja_model::labels::Labels;
use lonja_model::link::FromAgent;
use lonja_model::offer::Filters;
use lonja_model::registry::Registry;
use lonja_model::scheduler::{Call, Event as FrameworkEvent};
use lonja_model::{AgentInfo, FrameworkInfo, OfferId, Resources, Role, Timestamp};
use lonja_proto::convert::event::event_response;
use lonja_proto::convert::resources::Shape;
use prost::Message;

fn main() {
    divan::main();
}

const SIZES: &[Size] = &[
    Size { agents: 10_000, frameworks: 200 },
    Size { agents: 50_000, frameworks: 200 },
    Size { agents: 50_000, frameworks: 1_000 },
];

#[divan::bench(args = SIZES, sample_size = 1, sample_count = 10, max_time = 5)]
fn offers_made(bencher: Bencher, size: Size) {
    let cluster = RefCell::new(Cluster::new(size));
    bencher
        .with_inputs(|| cluster.borrow_mut().decline_everything())
        .bench_local_values(|()| cluster.borrow_mut().pass());
}

#[divan::bench(args = SIZES, sample_size = 1, sample_count = 10, max_time = 5)]
fn offers_encoded(bencher: Bencher, size: Size) {
    let cluster = RefCell::new(Cluster::new(size));
    bencher.with_inputs(|| cluster.borrow_mut().decline_everything()).bench_local_values(|()| {
        let mut cluster = cluster.borrow_mut();
        cluster.pass();
        cluster.encode()
    });
}

/// How large a cluster is, and its name in the table.
#[derive(Clone, Copy, Debug)]
struct Size {
    agents: usize,
    frameworks: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}k_agents_{}_frameworks", self.agents / 1_000, self.frameworks)
    }
}

/// A master with its agents and frameworks, and what its last pass said.
struct Cluster {
    master: Master,
    now: Timestamp,
    size: Size,
    shape: Shape,
    said: Effects,
    /// What a door encodes into, kept as a door keeps it.
    buffer: Vec<u8>,
}

impl Cluster {
    /// All registered and subscribed; nothing is offered yet.
    fn new(size: Size) -> Self {
        let now = Timestamp::ZERO + Duration::from_secs(1_000);
        // Offers are declined in time, and no bench lasts until the first ping.
        let (mut master, _durable) =
            Master::start(now, Config::default(), Registry::default(), "4b6c1d9e-7a52");
        for number in 0..size.frameworks {
            let info = Box::new(framework_info(number));
            let (framework, suppressed, constraints) = (None, BTreeSet::new(), OfferConstraints::default());
            let call = Call::Subscribe { framework, info, suppressed, constraints };
            let event = Event::Call { stream: stream(number), id: 0, framework: None, call };
            let _subscribed = master.handle(now, event);
        }
        for number in 0..size.agents {
            let link = LinkId(number_of(number));
            let info = Box::new(agent_info(number));
            let message = FromAgent::Register {
                info,
                version: "0.1.0".into(),
                capabilities: lonja_model::agent::AgentCapability::all(),
            };
            let _registered = master.handle(now, Event::Agent { link, message });
            // An agent's first word says that its id is durable with it; only then is it offered.
            let _confirmed =
                master.handle(now, Event::Agent { link, message: FromAgent::Pong { sequence: 0 } });
        }
        let shape = Shape::of(&framework_info(0));
        Self { master, now, size, shape, said: Effects::default(), buffer: Vec::new() }
    }

    /// The allocation window closes.
    fn pass(&mut self) {
        self.now = self.master.next_deadline().expect("the window is open");
        self.said = self.master.handle(self.now, Event::Tick);
    }

    /// All that the last pass said, encoded message by message; how many bytes.
    fn encode(&mut self) -> usize {
        let mut bytes = 0;
        for message in &self.said.send {
            let Outbound::Framework(_, event) = message else { continue };
            self.buffer.clear();
            let encoded = event_response(event, self.shape).encode(&mut self.buffer);
            encoded.expect("a vector grows");
            bytes += self.buffer.len();
        }
        bytes
    }

    /// Every framework declines all it was offered, to be offered again at once.
    fn decline_everything(&mut self) {
        let mut offered: BTreeMap<StreamId, Vec<OfferId>> = BTreeMap::new();
        for message in std::mem::take(&mut self.said).send {
            if let Outbound::Framework(stream, FrameworkEvent::Offers(offers)) = message {
                offered.entry(stream).or_default().extend(offers.into_iter().map(|offer| offer.id));
            }
        }
        let made: usize = offered.values().map(Vec::len).sum();
        assert!(made == 0 || made >= self.size.agents, "every agent was offered");
        for (stream, offers) in offered {
            let call = Call::Decline { offers, filters: Filters::NONE };
            let event = Event::Call { stream, id: 0, framework: None, call };
            let answered = self.master.handle(self.now, event);
            assert!(answered.send.is_empty(), "a decline is not refused");
        }
    }
}

fn stream(number: usize) -> StreamId {
    StreamId(number_of(number))
}

fn number_of(number: usize) -> u64 {
    u64::try_from(number).expect("a size of a benchmark")
}

fn agent_info(number: usize) -> AgentInfo {
    let rack = number % 40;
    AgentInfo {
        hostname: format!("node-{number}.rack-{rack}.example.org"),
        port: 5051,
        resources: Resources::parse("cpus:24;mem:4096;disk:4096;ports:[31000-32000]").expect("well written"),
        attributes: Attributes::parse(&format!("rack:r{rack};os:linux")).expect("well written"),
        domain: None,
        id: None,
    }
}

fn framework_info(number: usize) -> FrameworkInfo {
    let capabilities = [Capability::PartitionAware, Capability::MultiRole, Capability::ReservationRefinement];
    FrameworkInfo {
        user: "nobody".into(),
        name: format!("framework {number}"),
        failover_timeout: Duration::from_secs(60),
        checkpoint: true,
        hostname: None,
        principal: None,
        webui_url: None,
        capabilities: BTreeSet::from(capabilities),
        labels: Labels::default(),
        roles: BTreeSet::from([Role::new(format!("role-{number:04}")).expect("well written")]),
        minimum_offers: BTreeMap::new(),
    }
}
