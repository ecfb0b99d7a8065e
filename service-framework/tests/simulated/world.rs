//! A cluster with the services in it, and words to say what they are told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lonja_model::resources::Scalar;
use lonja_sdk::model::TaskInfo;
use lonja_sdk::prelude::*;
use lonja_sdk::testing::{Events, TaskOutcome, TestCluster};
use lonja_services::wire::JsonCodec;
use lonja_services_core::definition::{
    App, CheckTarget, HealthCheck, HealthProtocol, IpProtocol, Network, PortDefinition, RunSpec,
};
use lonja_services_core::{
    Answer, Change, ChangeOptions, Command, Config, Event, PathId, Refused, Services, Started, What,
};

/// An app with nothing said of it but what it runs.
pub(crate) fn app(id: &str, instances: u32) -> App {
    App {
        cmd: Some("serve".to_owned()),
        instances,
        cpus: Scalar::from_thousandths(100).unwrap(),
        mem: Scalar::from_units(32).unwrap(),
        role: String::new(),
        networks: vec![Network::default()],
        port_definitions: Some(vec![PortDefinition {
            name: Some("http".to_owned()),
            ..PortDefinition::default()
        }]),
        ..App::new(path(id))
    }
}

/// The same with a check over HTTP that the framework makes; so many failures end an instance, 0: none do.
pub(crate) fn checked(app: App, max_consecutive_failures: u32) -> App {
    let check = HealthCheck {
        protocol: HealthProtocol::Http,
        path: None,
        command: None,
        target: CheckTarget::Default,
        grace: Duration::ZERO,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        max_consecutive_failures,
        delay: Duration::ZERO,
        ip_protocol: IpProtocol::IPv4,
    };
    App { health_checks: vec![check], ..app }
}

pub(crate) fn path(id: &str) -> PathId {
    PathId::absolute(id).unwrap()
}

/// The change that makes an app so.
pub(crate) fn put(app: App) -> Change {
    let specs = BTreeMap::from([(app.id.clone(), Some(RunSpec::App(Arc::new(app))))]);
    Change { specs, ..Change::default() }
}

pub(crate) fn remove(id: &str) -> Change {
    Change { specs: BTreeMap::from([(path(id), None)]), ..Change::default() }
}

pub(crate) fn restart(id: &str) -> Change {
    Change { restart: [path(id)].into(), ..Change::default() }
}

/// The answer to a change, once it has come.
pub(crate) type Taken = Arc<Mutex<Option<Result<Started, Refused>>>>;

/// The services on a cluster without agents as yet.
pub(crate) fn services(seed: u64, config: Config, role: &str) -> TestCluster<Services> {
    let make = move |state: &State| {
        Services::restore(config.clone(), Arc::new(JsonCodec), seed, state).expect("it was written by itself")
    };
    let options = FrameworkOptions::named("services").role(role).expect("it is a role");
    TestCluster::new(seed).framework(options, make)
}

/// The services on a cluster in virtual time.
pub(crate) struct World {
    pub(crate) cluster: TestCluster<Services>,
    events: Events<Event>,
    /// All that was told.
    pub(crate) told: Vec<Event>,
}

impl World {
    /// So many agents of this size each.
    pub(crate) fn new(seed: u64, agents: usize, each: &str) -> Self {
        Self::with(seed, agents, each, |_task| TaskOutcome::runs_on())
    }

    pub(crate) fn with(
        seed: u64,
        agents: usize,
        each: &str,
        outcome: impl FnMut(&TaskInfo) -> TaskOutcome + 'static,
    ) -> Self {
        Self::in_role(seed, agents, each, Config::default(), "*", outcome)
    }

    /// The same with services of another role, and what an operator says.
    pub(crate) fn in_role(
        seed: u64,
        agents: usize,
        each: &str,
        config: Config,
        role: &str,
        outcome: impl FnMut(&TaskInfo) -> TaskOutcome + 'static,
    ) -> Self {
        Self::on(services(seed, config, role).agents(agents, each).outcome(outcome))
    }

    /// On a cluster that does not run yet.
    pub(crate) fn on(mut cluster: TestCluster<Services>) -> Self {
        let events = cluster.listen();
        cluster.run_for(Duration::from_secs(2));
        Self { cluster, events, told: Vec::new() }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.cluster.try_scheduler().is_some()
    }

    /// Asks for a change. The answer may come later, or, if the process is killed, never.
    #[track_caller]
    pub(crate) fn ask(&mut self, change: Change, options: ChangeOptions) -> Taken {
        let taken = Taken::default();
        let answer = Arc::clone(&taken);
        let answer = Answer::to(move |result| *answer.lock().unwrap() = Some(result));
        self.cluster.command(Command::Change { change, options, answer });
        taken
    }

    /// Makes a change, and says what came of it.
    #[track_caller]
    pub(crate) fn change(&mut self, change: Change, options: ChangeOptions) -> Result<Started, Refused> {
        let taken = self.ask(change, options);
        // While something is being written commands wait.
        for _ in 0..100 {
            if let Some(result) = taken.lock().unwrap().take() {
                return result;
            }
            self.cluster.run_for(Duration::from_millis(10));
        }
        panic!("a change was not answered within a second")
    }

    #[track_caller]
    pub(crate) fn apply(&mut self, change: Change) -> Started {
        self.change(change, ChangeOptions::default()).expect("it is a good change")
    }

    pub(crate) fn run(&mut self, secs: u64) {
        self.cluster.run_for(Duration::from_secs(secs));
        self.told.extend(self.events.take());
    }

    /// Until no deployment is under way and all are as wanted; fails after `secs` seconds.
    #[track_caller]
    pub(crate) fn settle(&mut self, secs: u64) {
        self.cluster.until(Duration::from_secs(secs), |cluster| {
            cluster.try_scheduler().is_some_and(|services| unsettled(services).is_none())
        });
        self.told.extend(self.events.take());
    }

    /// How many instances serve.
    pub(crate) fn serving(&self, id: &str) -> usize {
        let services = self.cluster.scheduler();
        services
            .service(&path(id))
            .map_or(0, |one| one.instances().values().filter(|one| one.is_serving()).count())
    }

    /// Tells a health check's word on all running instances of an app whose environment or command says so.
    pub(crate) fn check(&mut self, id: &str, is_good: impl Fn(&App) -> bool) {
        let looked_at: Vec<_> = {
            let services = self.cluster.scheduler();
            let watches = services.service(&path(id)).map(|one| one.watches()).unwrap_or_default();
            watches
                .into_iter()
                .map(|watch| {
                    let RunSpec::App(app) = &watch.spec else { panic!("pods are not watched") };
                    (watch.instance, watch.incarnation, is_good(app))
                })
                .collect()
        };
        for (instance, incarnation, good) in looked_at {
            // Each word takes its time, and meanwhile the process may be killed.
            if !self.is_up() {
                return;
            }
            let result = if good { Ok(()) } else { Err("status 500".to_owned()) };
            self.cluster.command(Command::Health { instance, incarnation, check: 0, result });
        }
    }

    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.told.iter().map(|event| kind(&event.what)).collect()
    }
}

/// What is not as it is wanted, if anything.
pub(crate) fn unsettled(services: &Services) -> Option<String> {
    if let Some(deployment) = services.deployments().values().next() {
        return Some(format!("deployment {} is under way: {:?}", deployment.id, deployment.waits_for));
    }
    for (id, service) in services.services() {
        if service.is_removed() {
            return Some(format!("{id} is to go"));
        }
        let serving = service.instances().values().filter(|one| one.is_serving()).count();
        let wanted = service.spec().instances() as usize;
        if serving != wanted || service.instances().len() != wanted {
            let all = service.instances().len();
            return Some(format!("of {id} {serving} of {wanted} serve, there are {all}"));
        }
    }
    None
}

fn kind(what: &What) -> &'static str {
    match what {
        What::DeploymentInfo { .. } => "deployment_info",
        What::DeploymentStepSuccess { .. } => "deployment_step_success",
        What::DeploymentSuccess { .. } => "deployment_success",
        What::DeploymentFailed { .. } => "deployment_failed",
        What::GroupChangeSuccess { .. } => "group_change_success",
        What::AppTerminated { .. } => "app_terminated_event",
        What::UnhealthyInstanceKill { .. } => "unhealthy_instance_kill_event",
        _ => "other",
    }
}
