//! The driver of executors against an agent made of a few lines, over real sockets: a Unix socket, and loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "executor/agent.rs"]
mod agent;

use std::time::Duration;

use agent::{Agent, Conversation, TOO_LONG, ends, environment_of, task, task_id};
use lonja_sdk::executor::{Address, Driver, DriverError, Executor, Handle, Outcome, Plan, Problem, Update};
use lonja_sdk::model::{TaskId, TaskInfo, TaskState, Timestamp};
use lonja_sdk::wire::execution::{Call, Event};
use tokio::sync::mpsc;

/// What the executor was shown.
#[derive(Debug, PartialEq)]
enum Shown {
    Launched(TaskId),
    Killed(TaskId, Option<Duration>),
    Message(Vec<u8>),
    Problem(Problem),
    Subscribed,
    Disconnected,
}

/// Notes what it is shown; says that tasks run, and that they are killed.
struct Noting(mpsc::UnboundedSender<Shown>);

impl Noting {
    fn new() -> (Self, mpsc::UnboundedReceiver<Shown>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    fn note(&self, shown: Shown) -> Plan {
        // Nobody looks any more.
        let _over = self.0.send(shown);
        Plan::new()
    }
}

impl Executor for Noting {
    fn launched(&mut self, _now: Timestamp, task: &TaskInfo) -> Plan {
        self.note(Shown::Launched(task.id.clone())).running(task.id.clone())
    }
    fn kill(&mut self, _now: Timestamp, task: &TaskId, grace: Option<Duration>) -> Plan {
        self.note(Shown::Killed(task.clone(), grace)).update(Update::killed(task.clone()))
    }
    fn message(&mut self, _now: Timestamp, data: &[u8]) -> Plan {
        self.note(Shown::Message(data.to_vec())).message("heard")
    }
    fn subscribed(&mut self, _now: Timestamp, _subscribed: &lonja_sdk::executor::Subscribed) -> Plan {
        self.note(Shown::Subscribed)
    }
    fn disconnected(&mut self, _now: Timestamp) {
        self.note(Shown::Disconnected);
    }
    fn refused(&mut self, _now: Timestamp, problem: &Problem) -> Plan {
        self.note(Shown::Problem(problem.clone()))
    }
}

type Run = tokio::task::JoinHandle<Result<(Noting, Outcome), DriverError>>;

/// A running executor and its handle.
fn starts(address: Address) -> (Run, Handle, mpsc::UnboundedReceiver<Shown>) {
    let driver = Driver::new(environment_of(address));
    let handle = driver.handle();
    let (noting, shown) = Noting::new();
    (tokio::spawn(driver.run(noting)), handle, shown)
}

async fn next(shown: &mut mpsc::UnboundedReceiver<Shown>) -> Shown {
    tokio::time::timeout(TOO_LONG, shown.recv()).await.expect("nothing is shown").expect("the run goes on")
}

/// A task from its launch to its end, a message each way, a kill and a shutdown.
async fn plays_its_part(mut agent: Agent) {
    let (run, handle, mut shown) = starts(agent.address());
    let mut talk = agent.accepts().await;
    assert_eq!(talk.subscribes().await, (vec![], vec![]));
    assert_eq!(next(&mut shown).await, Shown::Subscribed);

    talk.says(Event::Launch(Box::new(task("t1")))).await;
    assert_eq!(next(&mut shown).await, Shown::Launched(task_id("t1")));
    let running = talk.update().await;
    assert_eq!((running.task.as_str(), running.state), ("t1", TaskState::Running));
    talk.stores(&running).await;
    handle.update(Update::finished(task_id("t1")).with_data("42")).await;
    let finished = talk.update().await;
    assert_eq!((finished.state, finished.data.as_slice()), (TaskState::Finished, &b"42"[..]));
    talk.stores(&finished).await;

    talk.says(Event::Message(b"hello".to_vec())).await;
    assert_eq!(next(&mut shown).await, Shown::Message(b"hello".to_vec()));
    assert_eq!(talk.call().await, Call::Message(b"heard".to_vec()));
    handle.message("by itself").await;
    assert_eq!(talk.call().await, Call::Message(b"by itself".to_vec()));
    handle.update(Update::finished(task_id("t9"))).await;
    assert_eq!(next(&mut shown).await, Shown::Problem(Problem::UnknownTask(task_id("t9"))));

    talk.says(Event::LaunchGroup(vec![task("t2"), task("t3")])).await;
    let second = Duration::from_secs(1);
    talk.says(Event::Kill { task: task_id("t2"), grace: Some(second) }).await;
    let (two, three) = (talk.update().await, talk.update().await);
    let killed = talk.update().await;
    assert_eq!((killed.task.as_str(), killed.state), ("t2", TaskState::Killed));
    for status in [two, three, killed] {
        talk.stores(&status).await;
    }
    talk.says(Event::Shutdown).await;
    let last = talk.update().await;
    assert_eq!((last.task.as_str(), last.state), ("t3", TaskState::Killed));
    talk.stores(&last).await;
    let (_, outcome) = ends(run).await.unwrap();
    assert_eq!(outcome, Outcome::ShutDown);
    talk.waits_for_its_end().await;
}

#[tokio::test]
async fn an_executor_plays_its_part_over_a_unix_socket() {
    plays_its_part(Agent::on_socket().await).await;
}

#[tokio::test]
async fn an_executor_plays_its_part_over_loopback() {
    plays_its_part(Agent::on_loopback().await).await;
}

#[tokio::test]
async fn a_door_that_hears_subscribe_before_it_answers_is_served() {
    plays_its_part(Agent::on_socket().await.that_hears_before_it_answers()).await;
}

#[tokio::test]
async fn an_agent_that_dies_and_returns_hears_what_it_missed_and_shows_nothing_twice() {
    let mut agent = Agent::on_socket().await;
    let (run, handle, mut shown) = starts(agent.address());
    let mut talk = agent.accepts().await;
    talk.subscribes().await;
    for id in ["t1", "t2"] {
        talk.says(Event::Launch(Box::new(task(id)))).await;
    }
    let running = talk.update().await;
    talk.stores(&running).await;
    // Of t2 it has stored nothing; and the acknowledgement of t1 has been read before the stream ends.
    talk.update().await;
    talk.says(Event::Message(Vec::new())).await;
    talk.call().await;

    let mut agent = agent.restarts(talk).await;
    handle.update(Update::finished(task_id("t1"))).await;
    let mut talk = agent.accepts().await;
    let (tasks, updates) = talk.subscribes().await;
    assert_eq!(tasks, ["t2"]);
    // The end may have been said just before SUBSCRIBE or just after.
    let mut said: Vec<_> = updates.iter().map(|status| (status.task.to_string(), status.state)).collect();
    let mut later = Vec::new();
    if said.len() == 1 {
        let status = talk.update().await;
        said.push((status.task.to_string(), status.state));
        later.push(status);
    }
    assert_eq!(said, [("t2".to_owned(), TaskState::Running), ("t1".to_owned(), TaskState::Finished)]);
    talk.says(Event::Launch(Box::new(task("t2")))).await;
    talk.says(Event::Shutdown).await;
    let last = talk.update().await;
    assert_eq!((last.task.as_str(), last.state), ("t2", TaskState::Killed));
    for status in updates.iter().chain(&later).chain([&last]) {
        talk.stores(status).await;
    }
    assert_eq!(ends(run).await.unwrap().1, Outcome::ShutDown);
    let mut launches = Vec::new();
    while let Ok(one) = shown.try_recv() {
        if let Shown::Launched(task) = one {
            launches.push(task.to_string());
        }
    }
    assert_eq!(launches, ["t1", "t2"]);
}

#[tokio::test]
async fn an_executor_with_a_wrong_token_is_not_let_in_and_does_not_insist() {
    let mut agent = Agent::on_loopback().await.with_token("another");
    let (run, _handle, _shown) = starts(agent.address());
    let (_, outcome) = ends(run).await.unwrap();
    assert!(matches!(&outcome, Outcome::Refused { why } if why.contains("token")), "{outcome:?}");
    assert!(agent.nobody_came(), "it stops at the door");
}

#[tokio::test]
async fn a_server_that_is_no_agent_is_not_tried_again() {
    let agent = Agent::without_the_service().await;
    let (run, _handle, _shown) = starts(agent.address());
    let Err(error) = ends(run).await else { panic!("there is no agent") };
    assert!(matches!(error, DriverError::NoAgent { .. }), "{error}");
}

#[tokio::test]
async fn an_agent_that_stays_away_ends_the_executor() {
    let mut agent = Agent::on_socket().await;
    let mut environment = environment_of(agent.address());
    environment.recovery_timeout = Duration::from_millis(200);
    environment.shutdown_grace = Duration::from_millis(100);
    let (noting, _shown) = Noting::new();
    let run = tokio::spawn(Driver::new(environment).run(noting));
    let mut talk = agent.accepts().await;
    talk.subscribes().await;
    agent.dies(talk).await;
    let (_, outcome) = ends(run).await.unwrap();
    assert!(matches!(outcome, Outcome::AgentLost { .. }), "{outcome:?}");
}

#[tokio::test]
async fn work_that_is_faster_than_its_agent_waits_and_nothing_is_lost() {
    const TASKS: usize = 600;
    let mut agent = Agent::on_socket().await;
    let (run, handle, _shown) = starts(agent.address());
    let mut talk: Conversation = agent.accepts().await;
    talk.subscribes().await;
    for number in 0..TASKS {
        talk.says(Event::Launch(Box::new(task(&format!("t{number}"))))).await;
    }
    let work = tokio::spawn(async move {
        for number in 0..TASKS {
            // More together than may wait for an agent that stores nothing.
            let update = Update::finished(task_id(&format!("t{number}"))).with_data(vec![7; 100_000]);
            handle.update(update).await;
        }
        handle.end().await;
    });
    let mut ended = Vec::new();
    while ended.len() < TASKS {
        let status = talk.update().await;
        talk.stores(&status).await;
        ended.extend(status.state.is_terminal().then(|| status.task.to_string()));
    }
    assert_eq!(ended, (0..TASKS).map(|number| format!("t{number}")).collect::<Vec<_>>());
    ends(work).await;
    assert_eq!(ends(run).await.unwrap().1, Outcome::Ended);
}
