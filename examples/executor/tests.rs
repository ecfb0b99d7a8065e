//! Both parts without a cluster.

use lonja_sdk::model::attributes::Attributes;
use lonja_sdk::model::task::Source;
use lonja_sdk::model::{ExecutorId, FrameworkId, Role};
use lonja_sdk::wire::execution::environment as names;

use super::*;

fn framework(slices: &[Range<u64>]) -> Primes {
    let program = Task::argv(["./counter"]).unwrap().cpus(0.5).unwrap().mem_mib(64.0).unwrap();
    let executor = program.as_executor(ExecutorId::new("counter").unwrap()).unwrap();
    let task = ExecutorTask::new(executor).unwrap().cpus(0.5).unwrap().mem_mib(4.0).unwrap();
    Primes::new(task, slices.iter().cloned())
}

fn offer(resources: &str, executors: &[&str]) -> Offer {
    Offer {
        id: OfferId::new("o1").unwrap(),
        framework: FrameworkId::new("f1").unwrap(),
        agent: AgentId::new("a1").unwrap(),
        role: Role::default_role(),
        hostname: "localhost".to_owned(),
        port: 5051,
        resources: resources.parse().unwrap(),
        attributes: Attributes::default(),
        domain: None,
        executors: executors.iter().map(|id| ExecutorId::new(id).unwrap()).collect(),
        unavailability: None,
    }
}

fn ends(primes: &mut Primes, task: &str, state: TaskState, result: &str) -> Plan {
    let mut status = TaskStatus::new(TaskId::new(task).unwrap(), state, Source::Executor, Timestamp::ZERO);
    status.data = result.as_bytes().to_vec();
    primes.update(Timestamp::ZERO, &status)
}

fn in_flight(primes: &Primes) -> Vec<String> {
    primes.in_flight.keys().map(TaskId::to_string).collect()
}

#[test]
fn primes_are_counted_and_a_stop_is_noticed() {
    let go = AtomicBool::new(false);
    assert_eq!(count(0..100, &go), Some(25));
    assert_eq!(count(100..1_000, &go), Some(143));
    assert_eq!(count(7..8, &go), Some(1));
    assert_eq!(count(0..100, &AtomicBool::new(true)), None);
}

#[test]
fn the_executor_takes_its_part_of_the_first_offer_only() {
    let slices = [0..10, 10..20, 20..30];
    let mut primes = framework(&slices);
    primes.offers(Timestamp::ZERO, &[offer("cpus:1;mem:72", &[])]);
    assert_eq!(in_flight(&primes), ["0-10.0"]);
    primes.offers(Timestamp::ZERO, &[offer("cpus:1;mem:72", &["counter"])]);
    assert_eq!(in_flight(&primes), ["0-10.0", "10-20.0", "20-30.0"]);
    assert!(!primes.wants_offers());
}

#[test]
fn more_tasks_than_one_plan_can_launch_go_in_several() {
    let slices: Vec<_> = (0..1_500).map(|n| n..n + 1).collect();
    let mut primes = framework(&slices);
    let plan = primes.offers(Timestamp::ZERO, &[offer("cpus:9000;mem:900000", &[])]);
    assert_eq!((in_flight(&primes).len(), plan.is_empty()), (MAX_TASKS, false));
    assert!(primes.wants_offers());
}

#[test]
fn results_are_added_up_once_and_failures_tried_again() {
    let slices = [0..10, 10..20];
    let mut primes = framework(&slices);
    primes.offers(Timestamp::ZERO, &[offer("cpus:8;mem:512", &[])]);
    ends(&mut primes, "0-10.0", TaskState::Finished, "4");
    ends(&mut primes, "0-10.0", TaskState::Finished, "4");
    ends(&mut primes, "10-20.0", TaskState::Failed, "");
    primes.offers(Timestamp::ZERO, &[offer("cpus:8;mem:512", &["counter"])]);
    assert_eq!(in_flight(&primes), ["10-20.1"]);
    let plan = ends(&mut primes, "10-20.1", TaskState::Finished, "4");
    assert_eq!((primes.found, primes.done, plan), (8, 2, Plan::new().tear_down()));
}

#[test]
fn a_slice_that_keeps_failing_ends_it_with_the_reason() {
    let mut primes = framework(&[0..10, 10..20]);
    for tries in 0..=RETRIES {
        primes.offers(Timestamp::ZERO, &[offer("cpus:8;mem:512", &[])]);
        ends(&mut primes, &format!("0-10.{tries}"), TaskState::Finished, "many");
    }
    assert!(primes.failure.unwrap().contains("its result is no number"));
}

#[tokio::test]
async fn the_executor_refuses_what_is_no_slice_and_counts_what_is_one() {
    let environment = Environment::read(|name| match name {
        names::FRAMEWORK | names::EXECUTOR | names::TOKEN => Some("x".into()),
        names::SOCKET => Some("/nowhere".into()),
        _ => None,
    });
    let driver = executor::Driver::new(environment.unwrap());
    let mut counter = Counter { handle: driver.handle(), running: BTreeMap::new() };
    let primes = framework(&[]);
    let task = |data: &str| {
        let task = primes.task.clone().data(data).unwrap();
        let id = TaskId::new("t1").unwrap();
        task.with_resources(&AgentId::new("a1").unwrap(), id, "cpus:1".parse().unwrap())
    };
    let id = TaskId::new("t1").unwrap();
    for bad in ["", "7", "a-b", "0-99999999999999999999"] {
        let plan = counter.launched(Timestamp::ZERO, &task(bad));
        let why = "its data is no slice, such as 0-1000";
        assert_eq!(plan, executor::Plan::new().update(Update::failed(id.clone(), why)), "{bad:?}");
    }
    let plan = counter.launched(Timestamp::ZERO, &task("0-1000"));
    assert_eq!(plan, executor::Plan::new().running(id.clone()));
    counter.kill(Timestamp::ZERO, &id, None);
    assert!(counter.running[&id].load(Ordering::Relaxed));
}
