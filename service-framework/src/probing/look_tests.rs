use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::discovery::Counters;
use crate::made_up::{free_port, health, id, readiness, watch};
use crate::probing::{Prober, trusting};

const EVERY: Duration = Duration::from_secs(1);

/// A server that answers each connection with this.
async fn answering(answer: impl Into<Vec<u8>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = answer.into();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut asked = [0; 4_096];
                let _asked = stream.read(&mut asked).await;
                let _sent = stream.write_all(&answer).await;
            });
        }
    });
    port
}

async fn health_of(protocol: HealthProtocol, port: u16) -> Result<(), String> {
    match look(&watch("/a", 1, port, health(protocol, EVERY)), &trusting()).await {
        (Command::Health { result, check: 0, incarnation: 1, .. }, looked) => {
            assert_eq!(looked.good, result.is_ok());
            assert!(!looked.last);
            result
        }
        (other, _) => panic!("{other:?}"),
    }
}

async fn readiness_of(port: u16) -> (Response, Looked) {
    match look(&watch("/a", 1, port, readiness(EVERY)), &trusting()).await {
        (Command::Readiness { response, .. }, looked) => (response, looked),
        (other, _) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn http_is_good_from_200_to_399_and_redirects_are_not_followed() {
    for (status, good) in [(200, true), (204, true), (302, true), (399, true), (400, false), (503, false)] {
        let port = answering(format!(
            "HTTP/1.1 {status} X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
        ))
        .await;
        assert_eq!(health_of(HealthProtocol::Http, port).await.is_ok(), good, "{status}");
    }
}

#[tokio::test]
async fn a_failure_says_what_is_wrong_and_where() {
    let port = free_port();
    let refused = health_of(HealthProtocol::Tcp, port).await.unwrap_err();
    assert!(refused.starts_with(&format!("cannot connect to 127.0.0.1:{port}: ")), "{refused}");
    let broken = health_of(HealthProtocol::Http, answering("not http\r\n\r\n").await).await.unwrap_err();
    assert!(broken.starts_with("no answer from 127.0.0.1:"), "{broken}");
    let port = answering("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(health_of(HealthProtocol::Http, port).await, Err(format!("status 500 from 127.0.0.1:{port}")));
}

#[tokio::test]
async fn tcp_is_good_when_a_connection_opens() {
    assert_eq!(health_of(HealthProtocol::Tcp, answering("").await).await, Ok(()));
}

#[tokio::test]
async fn a_server_that_is_silent_fails_at_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let soon = |mut watch: Watch| {
        match &mut watch.check {
            WatchKind::Health(_, check) => check.timeout = Duration::from_millis(20),
            WatchKind::Readiness(check) => check.timeout = Duration::from_millis(20),
        }
        watch
    };

    let (command, _) =
        look(&soon(watch("/a", 1, port, health(HealthProtocol::Http, EVERY))), &trusting()).await;
    let Command::Health { result, .. } = command else { panic!("{command:?}") };
    assert_eq!(result, Err("no answer within 20ms".to_owned()));
    let (command, looked) = look(&soon(watch("/a", 1, port, readiness(EVERY))), &trusting()).await;
    let Command::Readiness { response, .. } = command else { panic!("{command:?}") };
    assert_eq!((response.status, looked.last), (504, false));
}

#[tokio::test]
async fn https_takes_any_certificate() {
    let own = rcgen::generate_simple_self_signed(["nobody.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut asked = [0; 1_024];
        let length = stream.read(&mut asked).await.unwrap();
        assert!(asked[..length].starts_with(b"GET /health HTTP/1.1\r\n"));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
    });

    assert_eq!(health_of(HealthProtocol::Https, port).await, Ok(()));
}

#[tokio::test]
async fn readiness_keeps_the_answer_and_at_most_64_kib_of_it() {
    let long = "x".repeat(200_000);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/x\r\n";
    let (response, looked) =
        readiness_of(answering(format!("{head}content-length: 200000\r\n\r\n{long}")).await).await;
    assert_eq!((response.status, response.content_type.as_str()), (200, "text/x"));
    assert_eq!(response.body.len(), 64 * 1024);
    assert!(looked.last, "it said yes");

    let no_text = [head.as_bytes(), b"connection: close\r\n\r\n", &[0xff; 100_000]].concat();
    let (response, _) = readiness_of(answering(no_text).await).await;
    assert!(response.body.len() <= 64 * 1024);

    let (response, looked) =
        readiness_of(answering("HTTP/1.1 503 X\r\ncontent-length: 3\r\n\r\nnot").await).await;
    assert_eq!((response.status, response.body.as_str(), looked.last), (503, "not", false));
}

#[tokio::test]
async fn readiness_without_a_connection_is_504() {
    let (response, looked) = readiness_of(free_port()).await;
    assert_eq!((response.status, looked.good), (504, false));
    assert!(response.body.starts_with("cannot connect"), "{}", response.body);
}

#[tokio::test]
async fn the_prober_tells_results_until_a_check_is_taken_away() {
    let (results, mut inbox) = mpsc::channel(16);
    let counters = Arc::new(Counters::default());
    let prober = Prober::start(4, results, Arc::clone(&counters));
    let port = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let health = watch("/a", 1, port, health(HealthProtocol::Http, Duration::from_millis(100)));
    let ready = watch("/a", 1, port, readiness(Duration::from_millis(100)));

    prober.set(id("/a"), Arc::new([health, ready])).await;

    let first = inbox.recv().await.unwrap();
    assert!(matches!(first, Command::Readiness { ref response, .. } if response.status == 200), "{first:?}");
    for _ in 0..3 {
        let next = inbox.recv().await.unwrap();
        assert!(matches!(next, Command::Health { result: Ok(()), .. }), "readiness has said yes: {next:?}");
    }
    prober.set(id("/a"), Arc::new([])).await;
    prober.set(id("/b"), Arc::new([watch("/b", 1, free_port(), readiness(EVERY))])).await;
    loop {
        // Nothing of /a comes after what was under way.
        match inbox.recv().await.unwrap() {
            Command::Readiness { response, .. } => {
                assert_eq!(response.status, 504);
                break;
            }
            Command::Health { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(counters.checks.get() >= 4);
}
