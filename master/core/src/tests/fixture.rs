//! A cluster in a few words: one master core, with agents and frameworks played by the test.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::attributes::Attributes;
use lonja_model::constraints::OfferConstraints;
use lonja_model::container::{Command, ContainerInfo, Program};
use lonja_model::framework::Capability;
use lonja_model::labels::Labels;
use lonja_model::link::{AgentTask, FromAgent, ToAgent};
use lonja_model::offer::{Filters, InverseOffer};
use lonja_model::operation::{LaunchTask, Operation};
use lonja_model::registry::Registry;
use lonja_model::scheduler::{Call, CallResult, Event as FrameworkEvent};
use lonja_model::task::Source;
use lonja_model::{
    AgentId, AgentInfo, FrameworkId, FrameworkInfo, Offer, Resources, Role, TaskId, TaskInfo, TaskState,
    TaskStatus, Timestamp, UpdateId,
};

use crate::{
    ClusterEvent, Config, Effects, Event, LinkId, Master, OperatorCommand, Outbound, RequestId, StreamId,
};

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn res(text: &str) -> Resources {
    Resources::parse(text).unwrap()
}

pub(super) fn agent_info(resources: &str) -> AgentInfo {
    AgentInfo {
        hostname: "host".into(),
        port: 5051,
        resources: res(resources),
        attributes: Attributes::default(),
        domain: None,
        id: None,
    }
}

pub(super) fn framework_info(role: &str, failover: Duration) -> FrameworkInfo {
    FrameworkInfo {
        user: "root".into(),
        name: role.into(),
        failover_timeout: failover,
        checkpoint: true,
        hostname: None,
        principal: None,
        webui_url: None,
        capabilities: BTreeSet::from([Capability::PartitionAware, Capability::MultiRole]),
        labels: Labels::default(),
        roles: BTreeSet::from([Role::new(role).unwrap()]),
        minimum_offers: BTreeMap::new(),
    }
}

pub(super) fn task_info(id: &str, agent: &AgentId, resources: &str) -> TaskInfo {
    TaskInfo {
        name: id.into(),
        id: TaskId::new(id).unwrap(),
        agent: agent.clone(),
        resources: res(resources),
        limits: BTreeMap::new(),
        command: Command::new(Program::Shell("true".into())),
        container: ContainerInfo::default(),
        kill_grace: None,
        max_completion_time: None,
        labels: Labels::default(),
        discovery: None,
        executor: None,
        data: Vec::new(),
        health_check: None,
        check: None,
    }
}

/// One master and everything it has said.
pub(super) struct Cluster {
    pub(super) master: Master,
    pub(super) now: Timestamp,
    pub(super) registry: Registry,
    pub(super) config: Config,
    pub(super) to_agents: BTreeMap<LinkId, Vec<ToAgent>>,
    pub(super) to_frameworks: BTreeMap<StreamId, Vec<FrameworkEvent>>,
    pub(super) answers: Vec<(StreamId, u64, CallResult)>,
    pub(super) closed_links: BTreeSet<LinkId>,
    pub(super) closed_streams: BTreeSet<StreamId>,
    pub(super) alerts: Vec<String>,
    /// What was published since this was last emptied.
    pub(super) published: Vec<ClusterEvent>,
    pub(super) operator_answers: BTreeMap<RequestId, CallResult>,
    /// Where agents are that are not on `host`.
    pub(super) hostnames: BTreeMap<AgentId, String>,
    next: u64,
}

pub(super) fn cluster() -> Cluster {
    cluster_with(Config::default())
}

pub(super) fn cluster_with(config: Config) -> Cluster {
    let now = Timestamp::ZERO + secs(1_000);
    let (master, effects) = Master::start(now, config.clone(), Registry::default(), "c");
    let mut cluster = Cluster {
        master,
        now,
        registry: Registry::default(),
        config,
        to_agents: BTreeMap::new(),
        to_frameworks: BTreeMap::new(),
        answers: Vec::new(),
        closed_links: BTreeSet::new(),
        closed_streams: BTreeSet::new(),
        alerts: Vec::new(),
        published: Vec::new(),
        operator_answers: BTreeMap::new(),
        hostnames: BTreeMap::new(),
        next: 0,
    };
    cluster.take(effects);
    cluster
}

impl Cluster {
    fn take(&mut self, effects: Effects) {
        for op in effects.persist {
            self.registry.apply(op);
        }
        for out in effects.send {
            match out {
                Outbound::Agent(link, message) => self.to_agents.entry(link).or_default().push(message),
                Outbound::Framework(stream, event) => {
                    self.to_frameworks.entry(stream).or_default().push(event)
                }
                Outbound::Answer(stream, id, result) => self.answers.push((stream, id, result)),
                Outbound::CloseLink(link) => {
                    self.closed_links.insert(link);
                }
                Outbound::CloseStream(stream) => {
                    self.closed_streams.insert(stream);
                }
                Outbound::Operator(request, result) => {
                    let before = self.operator_answers.insert(request, result);
                    assert!(before.is_none(), "a request is answered once");
                }
            }
        }
        for event in effects.publish {
            if let ClusterEvent::Alert(alert) = &event {
                self.alerts.push(alert.clone());
            }
            self.published.push(event);
        }
        self.master.check_invariants().unwrap();
    }

    pub(super) fn handle(&mut self, event: Event) {
        let effects = self.master.handle(self.now, event);
        self.take(effects);
    }

    /// Lets time pass, with every tick in its place.
    pub(super) fn advance(&mut self, by: Duration) -> &mut Self {
        let until = self.now + by;
        while let Some(due) = self.master.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.handle(Event::Tick);
        }
        self.now = until;
        self
    }

    /// Lets the allocation window pass.
    pub(super) fn settle(&mut self) -> &mut Self {
        self.advance(Duration::from_millis(6))
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn say(&mut self, link: LinkId, message: FromAgent) {
        self.handle(Event::Agent { link, message });
    }

    /// A new agent that has made its id durable; its link and id.
    pub(super) fn agent(&mut self, resources: &str) -> (LinkId, AgentId) {
        let (link, id) = self.unconfirmed_agent(resources);
        self.say(link, FromAgent::Pong { sequence: 0 });
        (link, id)
    }

    /// A new agent on this host that has made its id durable; its link and id.
    pub(super) fn agent_on(&mut self, hostname: &str, resources: &str) -> (LinkId, AgentId) {
        let link = self.ask_in(hostname, resources);
        let id = self.registered(link).expect("admitted");
        self.hostnames.insert(id.clone(), hostname.to_owned());
        self.say(link, FromAgent::Pong { sequence: 0 });
        (link, id)
    }

    /// A new agent on this host asks to be admitted.
    pub(super) fn ask_in(&mut self, hostname: &str, resources: &str) -> LinkId {
        let link = LinkId(self.number());
        let info = Box::new(AgentInfo { hostname: hostname.to_owned(), ..agent_info(resources) });
        self.say(
            link,
            FromAgent::Register {
                info,
                version: "0.1.0".into(),
                capabilities: lonja_model::agent::AgentCapability::all(),
            },
        );
        link
    }

    /// Gives the operator's command and returns its answer.
    pub(super) fn operator(&mut self, command: OperatorCommand) -> CallResult {
        let request = RequestId(self.number());
        self.handle(Event::Operator { request, command });
        self.operator_answers.remove(&request).expect("answered at once")
    }

    /// A new agent that has not said yet that its id is durable.
    pub(super) fn unconfirmed_agent(&mut self, resources: &str) -> (LinkId, AgentId) {
        let link = LinkId(self.number());
        let info = Box::new(agent_info(resources));
        self.say(
            link,
            FromAgent::Register {
                info,
                version: "0.1.0".into(),
                capabilities: lonja_model::agent::AgentCapability::all(),
            },
        );
        let id = self.registered(link).expect("admitted");
        (link, id)
    }

    pub(super) fn registered(&self, link: LinkId) -> Option<AgentId> {
        self.to_agents.get(&link)?.iter().find_map(|message| {
            if let ToAgent::Registered { agent, .. } = message { Some(agent.clone()) } else { None }
        })
    }

    /// An agent comes back on a new link with these tasks.
    pub(super) fn back(&mut self, agent: &AgentId, resources: &str, tasks: Vec<AgentTask>) -> LinkId {
        let link = LinkId(self.number());
        let hostname = self.hostnames.get(agent).cloned().unwrap_or_else(|| "host".to_owned());
        let info = Box::new(AgentInfo { hostname, ..agent_info(resources) });
        let frameworks = tasks
            .iter()
            .map(|task| (task.framework.clone(), framework_info(task.role.as_str(), secs(60))))
            .collect();
        let agent = agent.clone();
        let (total, version) = (info.resources.clone(), "0.1.0".into());
        let (operations, executors) = (vec![], vec![]);
        self.come_back(
            link,
            FromAgent::Reregister {
                agent,
                info,
                version,
                tasks,
                frameworks,
                total,
                operations,
                executors,
                capabilities: lonja_model::agent::AgentCapability::all(),
            },
        );
        link
    }

    /// An agent says that it is back, and that it is there when it is asked.
    pub(super) fn come_back(&mut self, link: LinkId, message: FromAgent) {
        self.say(link, message);
        let asked = self.to_agents.entry(link).or_default().pop();
        assert_eq!(asked, Some(ToAgent::Ping { sequence: 0 }), "nothing is done before it has answered");
        self.say(link, FromAgent::Pong { sequence: 0 });
    }

    pub(super) fn lose_link(&mut self, link: LinkId) {
        self.handle(Event::LinkClosed { link });
    }

    /// Answers every ping on `link` while time passes.
    pub(super) fn advance_with_pongs(&mut self, links: &[LinkId], by: Duration) {
        let until = self.now + by;
        while self.now < until {
            let step = secs(1).min(until.since(self.now));
            self.advance(step);
            for link in links {
                self.say(*link, FromAgent::Pong { sequence: 0 });
            }
        }
    }

    /// A new framework with this role and a failover timeout of a minute.
    pub(super) fn framework(&mut self, role: &str) -> (StreamId, FrameworkId) {
        let stream = self.subscribe(None, framework_info(role, secs(60)));
        let id = self.subscribed(stream).expect("subscribed");
        (stream, id)
    }

    pub(super) fn subscribe(&mut self, id: Option<&FrameworkId>, info: FrameworkInfo) -> StreamId {
        let stream = StreamId(self.number());
        let call = Call::Subscribe {
            framework: id.cloned(),
            info: Box::new(info),
            suppressed: BTreeSet::new(),
            constraints: OfferConstraints::default(),
        };
        // A refusal shows in the events.
        let _answered = self.call(stream, call);
        stream
    }

    pub(super) fn subscribed(&self, stream: StreamId) -> Option<FrameworkId> {
        self.events(stream).iter().find_map(|event| {
            if let FrameworkEvent::Subscribed { framework, .. } = event {
                Some(framework.clone())
            } else {
                None
            }
        })
    }

    pub(super) fn lose_stream(&mut self, stream: StreamId) {
        self.handle(Event::StreamClosed { stream });
    }

    /// Makes a call and returns its answer.
    pub(super) fn call(&mut self, stream: StreamId, call: Call) -> CallResult {
        self.call_named(stream, None, call)
    }

    /// The same, by who names its framework.
    pub(super) fn call_as(&mut self, stream: StreamId, framework: FrameworkId, call: Call) -> CallResult {
        self.call_named(stream, Some(framework), call)
    }

    fn call_named(&mut self, stream: StreamId, framework: Option<FrameworkId>, call: Call) -> CallResult {
        let id = self.number();
        self.handle(Event::Call { stream, id, framework, call });
        self.answers
            .iter()
            .find(|(_, answered, _)| *answered == id)
            .expect("every call is answered")
            .2
            .clone()
    }

    pub(super) fn events(&self, stream: StreamId) -> &[FrameworkEvent] {
        self.to_frameworks.get(&stream).map_or(&[], |events| &events[..])
    }

    /// All offers that have come on `stream` since this was last asked.
    pub(super) fn offers(&mut self, stream: StreamId) -> Vec<Offer> {
        let events = self.to_frameworks.entry(stream).or_default();
        let (offers, rest): (Vec<_>, Vec<_>) =
            std::mem::take(events).into_iter().partition(|event| matches!(event, FrameworkEvent::Offers(_)));
        *events = rest;
        let offers = offers.into_iter();
        offers
            .flat_map(|event| if let FrameworkEvent::Offers(offers) = event { offers } else { Vec::new() })
            .collect()
    }

    /// All inverse offers that have come on `stream` since this was last asked.
    pub(super) fn inverse_offers(&mut self, stream: StreamId) -> Vec<InverseOffer> {
        let events = self.to_frameworks.entry(stream).or_default();
        let is_asked = |event: &FrameworkEvent| matches!(event, FrameworkEvent::InverseOffers(_));
        let (asked, rest): (Vec<_>, Vec<_>) = std::mem::take(events).into_iter().partition(is_asked);
        *events = rest;
        let offers = asked.into_iter();
        offers
            .flat_map(
                |event| {
                    if let FrameworkEvent::InverseOffers(offers) = event { offers } else { Vec::new() }
                },
            )
            .collect()
    }

    pub(super) fn only_offer(&mut self, stream: StreamId) -> Offer {
        self.settle();
        let mut offers = self.offers(stream);
        assert_eq!(offers.len(), 1, "{offers:?}");
        offers.remove(0)
    }

    pub(super) fn updates(&self, stream: StreamId) -> Vec<&TaskStatus> {
        let updates = self.events(stream).iter();
        updates
            .filter_map(
                |event| if let FrameworkEvent::Update(status) = event { Some(&**status) } else { None },
            )
            .collect()
    }

    pub(super) fn last_state(&self, stream: StreamId) -> Option<TaskState> {
        self.updates(stream).last().map(|status| status.state)
    }

    pub(super) fn launch(&mut self, stream: StreamId, offer: &Offer, tasks: Vec<TaskInfo>) -> CallResult {
        let tasks = tasks.into_iter().map(|task| LaunchTask::Valid(Box::new(task))).collect();
        let operations = vec![Operation::Launch(tasks)];
        self.call(stream, Call::Accept { offers: vec![offer.id.clone()], operations, filters: Filters::NONE })
    }

    pub(super) fn decline(&mut self, stream: StreamId, offer: &Offer, refuse: Duration) {
        let offers = vec![offer.id.clone()];
        self.call(stream, Call::Decline { offers, filters: Filters { refuse } }).unwrap();
    }

    /// The agent on `link` reports a task's state; `number` names the update.
    pub(super) fn report(
        &mut self,
        link: LinkId,
        framework: &FrameworkId,
        task: &str,
        state: TaskState,
        number: u8,
    ) {
        let mut status = TaskStatus::new(TaskId::new(task).unwrap(), state, Source::Agent, self.now);
        status.update = Some(UpdateId([number; 16]));
        self.say(
            link,
            FromAgent::Update { framework: framework.clone(), status: Box::new(status), latest: state },
        );
    }

    pub(super) fn acknowledge(
        &mut self,
        stream: StreamId,
        agent: &AgentId,
        task: &str,
        number: u8,
    ) -> CallResult {
        let (agent, task) = (agent.clone(), TaskId::new(task).unwrap());
        self.call(stream, Call::Acknowledge { agent, task, update: UpdateId([number; 16]) })
    }

    pub(super) fn sent(&self, link: LinkId) -> &[ToAgent] {
        self.to_agents.get(&link).map_or(&[], |messages| &messages[..])
    }

    /// `kill -9` of the master and a new one on the same registry.
    pub(super) fn restart(&mut self) {
        let (master, effects) = Master::start(self.now, self.config.clone(), self.registry.clone(), "other");
        self.master = master;
        self.to_agents.clear();
        self.to_frameworks.clear();
        self.take(effects);
    }

    /// A framework with one running task on one agent; it has declined the rest of it.
    pub(super) fn running(&mut self) -> (LinkId, AgentId, StreamId, FrameworkId) {
        let (link, agent) = self.agent("cpus:4;mem:4096");
        let (stream, framework) = self.framework("web");
        let offer = self.only_offer(stream);
        self.launch(stream, &offer, vec![task_info("t1", &agent, "cpus:1;mem:64")]).unwrap();
        self.report(link, &framework, "t1", TaskState::Running, 1);
        self.acknowledge(stream, &agent, "t1", 1).unwrap();
        let rest = self.only_offer(stream);
        self.decline(stream, &rest, secs(5_000));
        (link, agent, stream, framework)
    }
}

pub(super) fn agent_task(
    framework: &FrameworkId,
    id: &str,
    agent: &AgentId,
    resources: &str,
    state: TaskState,
) -> AgentTask {
    AgentTask {
        framework: framework.clone(),
        role: Role::new("web").unwrap(),
        info: task_info(id, agent, resources),
        state,
        container: None,
        pid: None,
        healthy: None,
        check: None,
    }
}
