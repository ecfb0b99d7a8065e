//! The rules of the scheduler by offers and news made up, and all of it under faults.

use lonja_sdk::model::Role;
use lonja_sdk::testing::{offer as made_up, status};

use super::*;

const ROOM: &str = "cpus:1;mem:256;disk:256";

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}

fn stateful(replicas: usize, state: &State) -> Stateful {
    let task = Task::shell(COUNTER).unwrap().cpus(0.1).unwrap().mem_mib(32.0).unwrap();
    Stateful::restore(replicas, &task, 64, Duration::from_secs(600), state)
}

/// An offer to the role, with these replicas' volumes.
fn offer(scheduler: &Stateful, agent: &str, volumes: &[usize]) -> Offer {
    let role = Role::new("stateful").unwrap();
    let mut offer = Offer { role: role.clone(), ..made_up(&format!("offer-{agent}"), agent, ROOM) };
    for number in volumes {
        let volume = scheduler.disk(*number, &role, true).unwrap();
        offer.resources = offer.resources.checked_add(&volume).unwrap();
    }
    offer
}

impl Stateful {
    fn is_offered(&mut self, seconds: u64, agent: &str, volumes: &[usize]) -> Plan {
        let offer = offer(self, agent, volumes);
        self.place(at(seconds), &[offer])
    }

    fn homes(&self) -> Vec<Option<&str>> {
        self.replicas.iter().map(|replica| replica.home.as_ref().map(AgentId::as_str)).collect()
    }

    fn on(&self) -> Vec<Option<&str>> {
        self.replicas.iter().map(|replica| replica.on.as_ref().map(AgentId::as_str)).collect()
    }

    fn hears(&mut self, task: &str, state: TaskState) -> Plan {
        self.update(at(0), &status(task, state))
    }

    fn hears_of(&mut self, operation: &str, state: OperationState) {
        let status = OperationStatus {
            operation: Some(OperationId::new(operation).unwrap()),
            state,
            message: None,
            converted: Resources::new(),
            update: None,
            agent: None,
        };
        self.operation(at(0), &status);
    }
}

#[test]
fn one_that_waits_says_for_which_agent_and_for_what_there() {
    let mut servers = stateful(3, &State::default());
    servers.is_offered(0, "a", &[]);
    servers.is_offered(0, "b", &[]);
    servers.hears_of("0.1.create", OperationState::Finished);
    servers.hears("replica-0.1", TaskState::Failed);

    let offers = ["b", "c"].map(|agent| made_up("o", agent, "cpus:1;mem:256"));
    let words = servers.why_not(&offers);

    let [first, third] = &words[..] else { panic!("{words:?}") };
    assert_eq!((first.task.as_str(), third.task.as_str()), ("replica-0.2", "replica-2.1"));
    assert_eq!(first.reasons, [("its volume is on agent a".to_owned(), 2)]);
    let elsewhere = ("another replica has its volume there".to_owned(), 1);
    assert_eq!(third.reasons, [("disk: wants 64".to_owned(), 1), elsewhere]);
    let plan = servers.offers(at(0), &offers);
    assert_eq!(plan, Plan::new().unplaced(words), "and so it reaches `lonja explain`");
}

#[test]
fn a_place_is_made_once_and_never_two_on_one_agent() {
    let mut servers = stateful(2, &State::default());

    assert!(!servers.is_offered(0, "a", &[]).is_empty());
    assert!(servers.is_offered(0, "a", &[]).is_empty());
    assert!(!servers.is_offered(0, "b", &[]).is_empty());

    assert_eq!(servers.homes(), [Some("a"), Some("b")]);
    assert!(!servers.wants_offers());
}

#[test]
fn a_replica_is_replaced_where_its_data_are_and_nowhere_else() {
    let mut servers = stateful(1, &State::default());
    servers.is_offered(0, "a", &[]);
    servers.hears_of("0.1.create", OperationState::Finished);
    servers.hears("replica-0.1", TaskState::Failed);

    assert!(servers.is_offered(1, "a", &[0]).is_empty(), "it waits a moment");
    assert!(servers.is_offered(9, "b", &[]).is_empty());
    assert!(servers.is_offered(9, "a", &[]).is_empty(), "not the part with its volume");
    servers.is_offered(9, "a", &[0]);

    assert_eq!((servers.on(), servers.replicas[0].attempts), (vec![Some("a")], 2));
}

#[test]
fn one_that_is_unreachable_is_waited_for() {
    let mut servers = stateful(1, &State::default());
    servers.is_offered(0, "a", &[]);
    servers.hears_of("0.1.create", OperationState::Finished);

    servers.hears("replica-0.1", TaskState::Unreachable);

    assert!(!servers.wants_offers());
}

#[test]
fn a_place_that_could_not_be_made_is_made_elsewhere() {
    let mut servers = stateful(1, &State::default());
    servers.is_offered(0, "a", &[]);
    servers.hears("replica-0.1", TaskState::Dropped);
    assert!(servers.is_offered(9, "b", &[]).is_empty(), "it may be there");

    servers.hears_of("0.1.create", OperationState::Dropped);
    servers.is_offered(9, "b", &[]);

    assert_eq!(servers.homes(), [Some("b")]);
}

#[test]
fn an_agent_that_is_gone_takes_the_data_along_and_its_volume_is_destroyed_should_it_return() {
    let mut servers = stateful(1, &State::default());
    servers.is_offered(0, "a", &[]);
    servers.hears_of("0.1.create", OperationState::Finished);
    servers.hears("replica-0.1", TaskState::GoneByOperator);
    servers.is_offered(9, "b", &[]);
    servers.hears_of("0.2.create", OperationState::Finished);
    assert_eq!(servers.homes(), [Some("b")]);

    let orphan = offer(&servers, "a", &[0]);
    let mut left = orphan.resources.clone();
    let steps = servers.clear(&orphan, &mut left);

    assert_eq!(steps.len(), 2);
    let mut left = orphan.resources.clone();
    let home = Offer { agent: "b".parse().unwrap(), ..orphan };
    assert!(servers.clear(&home, &mut left).is_empty());
}

#[test]
fn a_home_that_is_not_heard_of_for_long_is_given_up() {
    let mut servers = stateful(1, &State::default());
    servers.is_offered(0, "a", &[]);
    servers.hears_of("0.1.create", OperationState::Finished);
    servers.hears("replica-0.1", TaskState::Failed);

    servers.is_offered(10, "b", &[]);
    servers.is_offered(609, "b", &[]);
    assert_eq!(servers.homes(), [Some("a")]);
    servers.is_offered(610, "b", &[]);

    assert_eq!(servers.homes(), [Some("b")]);
}

/// A server whose volume is on `a` and waits to be started again.
fn waiting() -> Stateful {
    let mut servers = stateful(1, &State::default());
    servers.is_offered(0, "a", &[]);
    servers.hears_of("0.1.create", OperationState::Finished);
    servers.hears("replica-0.1", TaskState::Failed);
    servers
}

#[test]
fn a_home_that_is_too_full_is_alive_and_waited_for() {
    let mut servers = waiting();
    let mut full = offer(&servers, "a", &[0]);
    full.resources = full.resources.filter(|one| volume_of(one).is_some());

    servers.is_offered(10, "b", &[]);
    for seconds in [600, 1_100] {
        assert!(servers.place(at(seconds), std::slice::from_ref(&full)).is_empty());
    }
    servers.is_offered(1_101, "b", &[]);
    servers.is_offered(1_699, "b", &[]);

    assert_eq!(servers.homes(), [Some("a")]);
    servers.is_offered(1_700, "b", &[]);
    assert_eq!(servers.homes(), [Some("b")], "from then on it was not heard of");
}

#[test]
fn no_home_is_given_up_for_the_time_without_a_master() {
    let mut servers = waiting();
    servers.is_offered(10, "b", &[]);

    let master = MasterInfo::default();
    servers.subscribed(at(5_000), &"f".parse().unwrap(), &master);
    servers.is_offered(5_001, "b", &[]);

    assert_eq!(servers.homes(), [Some("a")]);
}

#[test]
fn a_scheduler_started_anew_knows_all_homes() {
    let mut first = stateful(2, &State::default());
    first.is_offered(0, "a", &[]);
    first.is_offered(0, "b", &[]);
    first.hears_of("1.1.create", OperationState::Finished);
    first.hears("replica-1.1", TaskState::Failed);
    let mut state = State::default();
    first.changes().into_iter().for_each(|change| state.apply(change));

    let second = stateful(2, &state);

    assert_eq!((second.homes(), second.on()), (first.homes(), vec![Some("a"), None]));
    assert_eq!((second.replicas[0].made, second.replicas[1].made), (false, true));
}

mod faults {
    use std::collections::BTreeSet;

    use lonja_sdk::testing::{Faults, TaskOutcome, TestCluster, fuzz, hours, mins, secs};

    use super::*;

    fn cluster(seed: u64) -> TestCluster<Stateful> {
        let options = FrameworkOptions::named("stateful").role("stateful").unwrap();
        TestCluster::new(seed)
            .agents(4, "cpus:1;mem:256;disk:512")
            .outcome(|_task| TaskOutcome::runs_on())
            .framework(options, |state| stateful(2, state))
            .settled_when(|servers| {
                servers.replicas.iter().all(|replica| replica.made && replica.on.is_some())
            })
            .invariant(|servers| {
                let homes: Vec<_> = servers.homes().into_iter().flatten().collect();
                let different: BTreeSet<_> = homes.iter().collect();
                if homes.len() == different.len() { Ok(()) } else { Err(format!("homes {homes:?}")) }
            })
    }

    #[test]
    fn a_replica_that_fails_comes_back_to_its_volume() {
        let mut cluster = cluster(1).outcome(|task| match task.id.as_str() {
            "replica-0.1" => TaskOutcome::exits(1).after(secs(60)),
            _ => TaskOutcome::runs_on(),
        });
        cluster.settles_within(secs(30));
        let homes: Vec<_> =
            cluster.scheduler().homes().into_iter().map(|home| home.map(str::to_owned)).collect();

        cluster.run_for(secs(100));
        cluster.kill_scheduler();
        cluster.settles_within(mins(3));

        assert_eq!(cluster.scheduler().replicas[0].attempts, 2);
        let now: Vec<_> =
            cluster.scheduler().homes().into_iter().map(|home| home.map(str::to_owned)).collect();
        assert_eq!(now, homes);
        let tasks = cluster.tasks();
        let of_first = tasks.iter().filter(|task| task.info.id.as_str().starts_with("replica-0."));
        let volumes: BTreeSet<_> = of_first.map(|task| volumes(&task.info)).collect();
        assert_eq!(volumes.len(), 1, "the same volume each time");
    }

    fn volumes(task: &TaskInfo) -> Vec<(String, usize)> {
        task.resources.iter().filter_map(|one| Some((task.agent.to_string(), volume_of(one)?))).collect()
    }

    #[test]
    fn whatever_fails_all_replicas_run_on_their_volumes_in_the_end() {
        fuzz(0..200, |seed| {
            let mut cluster = cluster(seed);
            cluster.random_faults(Faults::ALL, mins(4));
            cluster.settles_within(hours(6));
            cluster.assert_running(2);
            for task in cluster.tasks() {
                assert_eq!(volumes(&task.info).len(), 1, "{} has no volume", task.info.id);
            }
        });
    }
}
