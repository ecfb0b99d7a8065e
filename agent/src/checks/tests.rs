use lonja_model::FrameworkId;
use lonja_model::check::{Family, HttpProbe};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::containerizer::RecordedContainerizer;

fn order(probe: Probe, timeout: Duration) -> RunCheck {
    RunCheck {
        container: ContainerId::new("c1").unwrap(),
        framework: FrameworkId::new("f1").unwrap(),
        kind: CheckKind::Health,
        number: 1,
        pid: std::process::id(),
        probe,
        timeout,
    }
}

fn checks() -> Checks {
    Checks::new(Arc::new(RecordedContainerizer::default()))
}

async fn result_of(order: RunCheck) -> CheckResult {
    look(Arc::new(RecordedContainerizer::default()), &Places::new(1), &order).await
}

fn http(port: u16) -> Probe {
    Probe::Http(HttpProbe { port, ..HttpProbe::default() })
}

#[tokio::test]
async fn a_connection_opens_or_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let long = Duration::from_secs(60);
    assert_eq!(result_of(order(Probe::tcp(port), long)).await, CheckResult::Connected(true));
    drop(listener);
    assert_eq!(result_of(order(Probe::tcp(port), long)).await, CheckResult::Connected(false));
    let refused = result_of(order(http(port), long)).await;
    assert_eq!(refused, CheckResult::Failed("the connection was refused".to_owned()));
    let v6 = Probe::Tcp { port, family: Family::IPv6 };
    assert_ne!(result_of(order(v6, long)).await, CheckResult::Connected(true));
}

#[tokio::test]
async fn who_does_not_answer_in_time_has_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let result = result_of(order(http(port), Duration::from_millis(50))).await;
    assert_eq!(result, CheckResult::Failed("it took longer than 50ms".to_owned()));
}

#[tokio::test]
async fn a_look_is_answered_once_and_a_stopped_one_not_at_all() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, mut inbox) = mpsc::channel(8);
    let (checks, handle) = (checks(), Handle::new(sender));

    let silent = order(http(port), Duration::from_secs(600));
    let (container, kind) = (silent.container.clone(), silent.kind);
    checks.carry_out(CheckOrder::Run(Box::new(silent)), handle.clone());
    // It has come to the task, and waits for an answer.
    let (mut asked, _) = listener.accept().await.unwrap();
    checks.carry_out(CheckOrder::Stop { container: container.clone(), kind }, handle.clone());
    // Its socket is closed: this comes to an end, with or without an error.
    let _closed = tokio::io::AsyncReadExt::read_to_end(&mut asked, &mut Vec::new()).await;

    let next = RunCheck { number: 2, ..order(Probe::tcp(port), Duration::from_secs(600)) };
    checks.carry_out(CheckOrder::Run(Box::new(next)), handle);
    let Some(Input::CheckEnded { number, result, .. }) = inbox.recv().await else { panic!("no answer") };
    assert_eq!((number, result), (2, CheckResult::Connected(true)));
    assert!(checks.lock().is_empty());
}

#[tokio::test]
async fn a_look_that_waits_in_vain_is_nobodys_failure() {
    let places = Places::new(1);
    let _taken = places.take(&FrameworkId::new("f1").unwrap()).await;
    let containerizer = Arc::new(RecordedContainerizer::default());
    let result = look(containerizer, &places, &order(Probe::tcp(1), Duration::from_millis(10))).await;
    assert!(matches!(result, CheckResult::NotBegun(_)), "{result:?}");
}

#[tokio::test]
async fn a_command_in_a_container_that_is_gone_says_nothing() {
    let command = lonja_model::container::Command {
        program: Program::Shell("true".to_owned()),
        environment: Default::default(),
        user: None,
    };
    let probe = Probe::Command(Box::new(command));
    let result = result_of(order(probe, Duration::from_secs(60))).await;
    assert!(matches!(result, CheckResult::NotBegun(_)), "{result:?}");
}
