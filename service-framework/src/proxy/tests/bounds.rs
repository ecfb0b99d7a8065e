//! What is bounded, and what each end is kept from: stalled bodies, nonsense, more ports than files.

use super::*;

#[tokio::test]
async fn ports_that_nobody_connects_to_take_no_place_from_others() {
    let counters = Arc::new(Counters::default());
    let limits = ProxyLimits { connections: 1, ..ProxyLimits::default() };
    let balancer = Balancer::alone("127.0.0.1".parse().unwrap(), limits, counters);
    let (one, other) = (free_port(), free_port());
    let server = Server::echo(1).await;
    let both = [(one, "/one"), (other, "/other")];
    let wanted = both.iter().flat_map(|(port, app)| ports(app, *port, false)).collect();
    balancer.set_ports(wanted);
    for (port, app) in both {
        balancer.set_endpoints(&id(app), Arc::new([server.endpoint(app, port)]));
    }
    for _ in 0..2 {
        for (port, _) in both {
            drop(connect(port).await);
            let passed = tokio::time::timeout(Duration::from_secs(10), echoed(port, b"hello"));
            passed.await.expect("there is a place").unwrap();
        }
    }
}

/// With little patience.
fn impatient() -> Front {
    Front::with(true, ProxyLimits { silence: Duration::from_millis(200), ..ProxyLimits::default() })
}

/// Whether a connection ends in time, whatever comes before.
async fn ends(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await.is_ok()
}

/// An instance that reads a head and then does as it is told.
async fn stalling<F, T>(front: &Front, then: F) -> tokio::task::JoinHandle<bool>
where
    F: FnOnce(TcpStream) -> T + Send + 'static,
    T: Future<Output = bool> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    front.lead_to([endpoint(APP, 1, "127.0.0.1", listener.local_addr().unwrap().port(), front.port)]);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.windows(4).any(|part| part == b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        then(stream).await
    })
}

#[tokio::test]
async fn an_answer_that_does_not_go_on_is_cut() {
    let front = impatient();
    let server = stalling(&front, |mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
        ends(&mut stream).await
    })
    .await;
    let mut client = front.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(ends(&mut client).await, "the client waits for the rest");
    assert!(server.await.unwrap(), "the instance keeps its connection");
}

#[tokio::test]
async fn a_request_that_does_not_go_on_is_cut() {
    let front = impatient();
    let server = stalling(&front, |mut stream| async move { ends(&mut stream).await }).await;
    let mut client = front.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
    assert!(server.await.unwrap(), "the instance waits for the rest");
    assert!(ends(&mut client).await, "the client keeps its connection");
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_cut() {
    let front = impatient();
    let server = stalling(&front, |mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let endless = async { while stream.write_all(&[b'x'; 65_536]).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(10), endless).await.is_ok()
    })
    .await;
    let mut client = front.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(server.await.unwrap(), "it is written to for ever");
    drop(client);
}

/// What a client hears, until its connection ends or it has heard `last`.
async fn heard(client: &mut TcpStream, last: &str) -> String {
    let mut heard = Vec::new();
    let all = async {
        let mut part = [0; 1_024];
        while !String::from_utf8_lossy(&heard).contains(last) {
            match client.read(&mut part).await {
                Ok(length) if length > 0 => heard.extend_from_slice(&part[..length]),
                _ => break,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.expect("an answer in time");
    String::from_utf8_lossy(&heard).into_owned()
}

/// An instance that answers each request of a connection so.
async fn answering(front: &Front, answer: Vec<u8>) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    front.lead_to([endpoint(APP, 1, "127.0.0.1", listener.local_addr().unwrap().port(), front.port)]);
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (answer, count) = (answer.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                let mut head = Vec::new();
                while let Ok(byte) = stream.read_u8().await {
                    head.push(byte);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        count.fetch_add(1, Ordering::SeqCst);
                        let _sent = stream.write_all(&answer).await;
                    }
                }
            });
        }
    });
    asked
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn an_answer_with_chunks_and_a_length_passes_whole() {
    let front = Front::new(true);
    let answer =
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let _asked = answering(&front, answer.to_vec()).await;
    let mut client = front.connect().await;
    client.write_all(GET).await.unwrap();
    let heard = heard(&mut client, "0\r\n\r\n").await;
    assert!(heard.contains("hello") && !heard.contains("content-length"), "{heard}");
}

#[tokio::test]
async fn codings_that_are_not_undone_are_not_passed_on() {
    let front = Front::new(true);
    let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let asked = answering(&front, answer.to_vec()).await;
    let mut client = front.connect().await;
    client.write_all(GET).await.unwrap();
    let of_answer = heard(&mut client, "\n\r\n").await;
    assert!(of_answer.starts_with("HTTP/1.1 502 "), "{of_answer}");
    let mut client = front.connect().await;
    let post = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    client.write_all(post).await.unwrap();
    let of_request = heard(&mut client, "\n\r\n").await;
    assert!(of_request.starts_with("HTTP/1.1 501 "), "{of_request}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_body_that_its_client_breaks_is_not_the_instances_failure() {
    let front = Front::new(true);
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let server = stalling(&front, |mut stream| async move {
        begun.send(()).unwrap();
        ends(&mut stream).await
    })
    .await;
    let mut client = front.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    has_begun.await.unwrap();
    client.write_all(b"-1\r\nhello\r\n").await.unwrap();
    let heard = heard(&mut client, "\n\r\n").await;
    assert!(heard.starts_with("HTTP/1.1 400 "), "{heard}");
    assert!(server.await.unwrap());
    assert_eq!(front.counters.proxy_failed.get(), 0);
    assert!(!front.balancer.is_any_shunned(front.port));
}

#[tokio::test]
async fn a_change_of_protocol_that_nobody_asked_for_is_no_answer() {
    let front = Front::new(true);
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n";
    let _asked = answering(&front, answer.to_vec()).await;
    let mut client = front.connect().await;
    client.write_all(GET).await.unwrap();
    let heard = heard(&mut client, "\n\r\n").await;
    assert!(heard.starts_with("HTTP/1.1 502 "), "{heard}");
}

#[tokio::test]
async fn an_answer_with_too_many_fields_is_asked_for_once_and_is_502() {
    let front = Front::new(true);
    let fields: String = (0..500).map(|number| format!("x-{number}: 1\r\n")).collect();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{fields}\r\n");
    let asked = answering(&front, answer.into_bytes()).await;
    let mut client = front.connect().await;
    client.write_all(GET).await.unwrap();
    let heard = heard(&mut client, "fields").await;
    assert!(heard.starts_with("HTTP/1.1 502 ") && heard.contains("too many fields"), "{heard}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn ports_beyond_what_the_files_leave_are_not_opened_and_are_told_until_others_close() {
    let limits = ProxyLimits { ports: 1, ..ProxyLimits::default() };
    let balancer = Balancer::alone("127.0.0.1".parse().unwrap(), limits, Arc::default());
    let (one, other) = (free_port(), free_port());
    let both: BTreeMap<_, _> =
        [ports("/one", one, false), ports("/other", other, false)].into_iter().flatten().collect();
    balancer.set_ports(ports("/one", one, false));
    balancer.set_ports(both);
    assert_eq!((balancer.accepting(one), balancer.accepting(other)), (Some(0), None));
    let problems = balancer.problems();
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].port, &problems[0].app), (other, &id("/other")));
    assert!(problems[0].reason.contains("open files"), "{}", problems[0].reason);

    balancer.set_ports(ports("/other", other, false));
    assert_eq!((balancer.problems(), balancer.accepting(other)), (vec![], Some(0)));
}

#[test]
fn few_files_leave_some_to_the_rest_of_the_daemon() {
    let limits = ProxyLimits::default().within(1_024);
    assert_eq!((limits.ports, limits.connections), (256, 128));
    assert!(limits.ports + 2 * limits.connections <= 512);
    assert_eq!(ProxyLimits::default().within(1 << 20), ProxyLimits::default());
}
