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
    let command = lonja_model::container::Command::new(Program::Shell("true".to_owned()));
    let probe = Probe::Command(Box::new(command));
    let result = result_of(order(probe, Duration::from_secs(60))).await;
    assert!(matches!(result, CheckResult::NotBegun(_)), "{result:?}");
}

/// A process with a network of its own, killed with this.
struct Elsewhere(std::process::Child);

impl Elsewhere {
    /// `None`, said loudly: this host or user cannot.
    fn start() -> Option<Self> {
        let mut command = std::process::Command::new("unshare");
        command.args(["--net", "sleep", "1000"]).stderr(std::process::Stdio::null());
        let child = Self(command.spawn().ok()?);
        for _ in 0..1_000 {
            if network::foreign_namespace(child.pid()).is_ok_and(|namespace| namespace.is_some()) {
                return Some(child);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        eprintln!("skipped: needs root and unshare");
        None
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Listens on a free port of its loopback.
    fn listen(&self) -> std::net::TcpListener {
        let namespace = network::foreign_namespace(self.pid()).unwrap().unwrap();
        let listen = move || {
            network::enter(&namespace).unwrap();
            crate::supervisor::sys::loopback_up().unwrap();
            std::net::TcpListener::bind("127.0.0.1:0").unwrap()
        };
        std::thread::spawn(listen).join().unwrap()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

#[tokio::test]
async fn a_task_with_a_network_of_its_own_is_looked_at_there_and_nowhere_else() {
    let Some(elsewhere) = Elsewhere::start() else { return };
    let listener = elsewhere.listen();
    let port = listener.local_addr().unwrap().port();
    let long = Duration::from_secs(60);
    let there = RunCheck { pid: elsewhere.pid(), ..order(Probe::tcp(port), long) };
    assert_eq!(result_of(there).await, CheckResult::Connected(true));
    let answers = std::thread::spawn(move || {
        // The first connection is that of the look before.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let _left = std::io::Write::write_all(&mut stream, b"HTTP/1.1 204 No Content\r\n\r\n");
            let _read = std::io::Read::read(&mut stream, &mut [0; 512]);
        }
    });
    let there = RunCheck { pid: elsewhere.pid(), ..order(http(port), long) };
    assert_eq!(result_of(there).await, CheckResult::Answered(204));
    answers.join().unwrap();
    // The same port here is another's, or nobody's.
    let own = std::net::TcpListener::bind(("127.0.0.1", port));
    assert!(own.is_ok() || network::foreign_namespace(std::process::id()).unwrap().is_none());
}
