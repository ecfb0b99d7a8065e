mod bounds;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use lonja_services_core::PathId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::*;
use crate::made_up::{endpoint, free_port, id};

/// An instance of some app. When it is killed its connections break.
struct Server {
    number: u128,
    port: u16,
    served: Arc<AtomicUsize>,
    end: watch::Sender<bool>,
}

impl Server {
    async fn http(number: u128) -> Self {
        Self::start(number, |stream, number, served| async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let served = Arc::clone(&served);
                async move {
                    let path = request.uri().path().to_owned();
                    let from = request.headers().get("x-forwarded-for").cloned();
                    let body = request.into_body().collect().await?.to_bytes();
                    let text = format!("{number} {path} {}", body.len());
                    let mut response = Response::new(Full::<Bytes>::from(text));
                    if let Some(from) = from {
                        response.headers_mut().insert("x-seen-from", from);
                    }
                    served.fetch_add(1, Ordering::SeqCst);
                    Ok::<_, hyper::Error>(response)
                }
            });
            let server = hyper::server::conn::http1::Builder::new();
            let _end = server.serve_connection(TokioIo::new(stream), service).await;
        })
        .await
    }

    /// Sends each byte back until the client has ended.
    async fn echo(number: u128) -> Self {
        Self::start(number, |mut stream, _, served| async move {
            let (mut from, mut to) = stream.split();
            let _end = tokio::io::copy(&mut from, &mut to).await;
            let _end = to.shutdown().await;
            served.fetch_add(1, Ordering::SeqCst);
        })
        .await
    }

    async fn start<F, T>(number: u128, serve: F) -> Self
    where
        F: Fn(TcpStream, u128, Arc<AtomicUsize>) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::<AtomicUsize>::default();
        let (end, mut ended) = watch::channel(false);
        let done = Arc::clone(&served);
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (stream, _) = accepted.unwrap();
                        connections.spawn(serve(stream, number, Arc::clone(&done)));
                    }
                    // Connections are broken, not ended: as those of a process that is killed.
                    _end = ended.changed() => return,
                }
            }
        });
        Self { number, port, served, end }
    }

    fn endpoint(&self, app: &str, service_port: u16) -> Endpoint {
        endpoint(app, self.number, "127.0.0.1", self.port, service_port)
    }

    fn kill(&self) {
        self.end.send_replace(true);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A balancer with the one port of one app.
struct Front {
    balancer: Balancer,
    counters: Arc<Counters>,
    port: u16,
}

const APP: &str = "/shop";

impl Front {
    fn new(http: bool) -> Self {
        Self::with(http, ProxyLimits::default())
    }

    fn with(http: bool, limits: ProxyLimits) -> Self {
        let counters = Arc::new(Counters::default());
        let bind = "127.0.0.1".parse().unwrap();
        let balancer = Balancer::alone(bind, limits, Arc::clone(&counters));
        let port = free_port();
        balancer.set_ports(ports(APP, port, http));
        Self { balancer, counters, port }
    }

    fn lead_to(&self, endpoints: impl IntoIterator<Item = Endpoint>) {
        self.balancer.set_endpoints(&id(APP), endpoints.into_iter().collect());
    }

    /// Waits until the port is open.
    async fn connect(&self) -> TcpStream {
        connect(self.port).await
    }

    async fn client(&self) -> SendRequest<Full<Bytes>> {
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(self.connect().await)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

fn ports(app: &str, port: u16, http: bool) -> BTreeMap<PathId, Vec<ServicePort>> {
    BTreeMap::from([(id(app), vec![ServicePort { port, name: None, http }])])
}

async fn connect(port: u16) -> TcpStream {
    loop {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => return stream,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", "shop").body(Full::default()).unwrap()
}

fn post(path: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    Request::post(path).header("host", "shop").body(Full::from(body)).unwrap()
}

async fn ask(client: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> (StatusCode, String) {
    client.ready().await.unwrap();
    let response = client.send_request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn echoed(port: u16, text: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(text).await?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await?;
    assert_eq!(back, text);
    stream.shutdown().await?;
    match stream.read(&mut back).await? {
        0 => Ok(()),
        _ => Err(io::Error::other("more than was sent")),
    }
}

/// Replaces servers one by one, as a rolling update does: the new one is added, the old one takes no more requests, and ends
/// once nothing is under way there.
async fn roll<S, T>(front: &Front, mut servers: Vec<Server>, rounds: u128, start: S) -> Vec<Server>
where
    S: Fn(u128) -> T,
    T: Future<Output = Server>,
{
    for number in 0..rounds {
        let new = start(1_000 + number).await;
        let old = servers.remove(0);
        servers.push(new);
        let served =
            |servers: &[Server]| servers.iter().map(|one| one.served.load(Ordering::SeqCst)).sum::<usize>();
        let before = served(&servers);
        let both = |accepts| {
            let drained = Endpoint { accepts, ..old.endpoint(APP, front.port) };
            servers.iter().map(|one| one.endpoint(APP, front.port)).chain([drained]).collect::<Vec<_>>()
        };
        front.lead_to(both(true));
        front.lead_to(both(false));
        // At least some requests meet each state, and the old one's last are answered.
        while served(&servers) < before + 50 || front.balancer.draining(front.port) != Some(0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        old.kill();
        front.lead_to(servers.iter().map(|one| one.endpoint(APP, front.port)));
    }
    servers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_http_request_fails_while_all_instances_are_replaced() {
    let front = Front::new(true);
    let servers = vec![Server::http(1).await, Server::http(2).await, Server::http(3).await];
    front.lead_to(servers.iter().map(|one| one.endpoint(APP, front.port)));
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..8 {
        let mut client = front.client().await;
        let done = Arc::clone(&done);
        clients.spawn(async move {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let request = if number % 2 == 0 { get("/x") } else { post("/x", vec![b'x'; 5_000]) };
                let (status, text) = ask(&mut client, request).await;
                assert_eq!(status, StatusCode::OK, "{text}");
                count += 1;
            }
            count
        });
    }

    let _last = roll(&front, servers, 9, Server::http).await;

    done.store(true, Ordering::Relaxed);
    let counts = clients.join_all().await;
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(front.counters.proxy_requests.get(), counts.iter().sum::<u64>());
    assert_eq!((front.counters.proxy_failed.get(), front.counters.proxy_unserved.get()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_fails_while_all_instances_are_replaced() {
    let front = Front::new(false);
    let servers = vec![Server::echo(1).await, Server::echo(2).await, Server::echo(3).await];
    front.lead_to(servers.iter().map(|one| one.endpoint(APP, front.port)));
    drop(front.connect().await);
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (done, port) = (Arc::clone(&done), front.port);
        clients.spawn(async move {
            let mut count = 0_u64;
            while !done.load(Ordering::Relaxed) {
                echoed(port, &[b'x'; 3_000]).await.unwrap();
                count += 1;
            }
            count
        });
    }

    let _last = roll(&front, servers, 9, Server::echo).await;

    done.store(true, Ordering::Relaxed);
    let counts = clients.join_all().await;
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!((front.counters.proxy_failed.get(), front.counters.proxy_unserved.get()), (0, 0));
}

#[tokio::test]
async fn requests_of_one_connection_go_to_all_instances() {
    let front = Front::new(true);
    let servers = [Server::http(1).await, Server::http(2).await];
    front.lead_to(servers.iter().map(|one| one.endpoint(APP, front.port)));
    let mut client = front.client().await;
    for _ in 0..20 {
        let (status, text) = ask(&mut client, get("/path")).await;
        assert_eq!(status, StatusCode::OK);
        assert!(text == "1 /path 0" || text == "2 /path 0", "{text}");
    }
    for server in &servers {
        assert_eq!(server.served.load(Ordering::SeqCst), 10);
    }
    client.ready().await.unwrap();
    let response = client.send_request(get("/")).await.unwrap();
    assert_eq!(response.headers()["x-seen-from"], "127.0.0.1");
}

#[tokio::test]
async fn one_that_cannot_be_reached_is_passed_over() {
    let dead = |port| endpoint(APP, 9, "127.0.0.1", free_port(), port);
    let front = Front::new(true);
    let server = Server::http(1).await;
    front.lead_to([dead(front.port), server.endpoint(APP, front.port)]);
    let mut client = front.client().await;
    for _ in 0..4 {
        assert_eq!(ask(&mut client, post("/", vec![1])).await, (StatusCode::OK, "1 / 1".to_owned()));
    }
    let front = Front::new(false);
    let server = Server::echo(1).await;
    front.lead_to([dead(front.port), server.endpoint(APP, front.port)]);
    drop(front.connect().await);
    for _ in 0..4 {
        echoed(front.port, b"hello").await.unwrap();
    }
}

#[tokio::test]
async fn a_request_that_may_be_sent_twice_is_when_its_instance_breaks_off_and_others_are_not() {
    let front = Front::new(true);
    // Accepts, reads, and breaks off without a word.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broken = endpoint(APP, 9, "127.0.0.1", listener.local_addr().unwrap().port(), front.port);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _read = stream.read(&mut [0; 1_024]).await;
        }
    });
    front.lead_to([broken.clone()]);
    let mut client = front.client().await;
    let (status, text) = ask(&mut client, post("/", vec![1])).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY, "{text}");
    let server = Server::http(1).await;
    for _ in 0..8 {
        // Each time as if it had not failed before.
        front.lead_to([]);
        front.lead_to([broken.clone(), server.endpoint(APP, front.port)]);
        assert_eq!(ask(&mut client, get("/")).await, (StatusCode::OK, "1 / 0".to_owned()));
    }
}

#[tokio::test]
async fn without_an_instance_the_answer_is_503_and_says_why() {
    let front = Front::new(true);
    let mut client = front.client().await;
    let (status, text) = ask(&mut client, get("/")).await;
    assert_eq!(
        (status, text.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "no instance of /shop takes requests now\n")
    );
    front.lead_to([endpoint(APP, 9, "127.0.0.1", free_port(), front.port)]);
    let (status, text) = ask(&mut client, get("/")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("can be reached"), "{text}");
    let request = Request::builder().method(Method::CONNECT).uri("a:1").body(Full::default()).unwrap();
    assert_eq!(ask(&mut client, request).await.0, StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test]
async fn a_connection_at_a_drained_instance_goes_on_until_the_drain_is_over() {
    let limits = ProxyLimits { drain: Duration::from_millis(200), ..ProxyLimits::default() };
    let front = Front::with(false, limits);
    let server = Server::echo(1).await;
    front.lead_to([server.endpoint(APP, front.port)]);
    let mut stream = front.connect().await;
    let mut back = [0; 5];
    stream.write_all(b"hello").await.unwrap();
    stream.read_exact(&mut back).await.unwrap();

    front.lead_to([Endpoint { accepts: false, ..server.endpoint(APP, front.port) }]);

    stream.write_all(b"still").await.unwrap();
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"still");
    let mut refused = connect(front.port).await;
    assert_eq!(refused.read(&mut back).await.unwrap(), 0, "nobody takes new ones");
    // It ends by itself, whichever way the connection is broken off.
    let end = stream.read(&mut back).await;
    assert!(end.as_ref().map_or(true, |length| *length == 0), "{end:?}");
    assert_eq!(front.counters.proxy_cut.get(), 1);
}

#[tokio::test]
async fn a_client_that_changes_the_protocol_speaks_with_its_instance() {
    let front = Front::new(true);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    front.lead_to([endpoint(APP, 1, "127.0.0.1", listener.local_addr().unwrap().port(), front.port)]);
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4_096];
        let length = stream.read(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..length]).to_ascii_lowercase();
        assert!(head.contains("connection: upgrade") && head.contains("upgrade: websocket"), "{head}");
        let answer =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhi";
        stream.write_all(answer).await.unwrap();
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.unwrap();
        said
    });
    let mut client = front.connect().await;
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\nhi") {
        let byte = client.read_u8().await.unwrap();
        seen.push(byte);
    }
    assert!(seen.starts_with(b"HTTP/1.1 101 "));
    client.write_all(b"ping").await.unwrap();
    assert_eq!(&server.await.unwrap(), b"ping");
}

#[tokio::test]
async fn a_port_that_two_apps_want_stays_with_its_owner_and_both_are_told() {
    let front = Front::new(true);
    let mut wanted = ports(APP, front.port, true);
    wanted.extend(ports("/a-newcomer", front.port, false));
    front.balancer.set_ports(wanted);
    let problems = front.balancer.problems();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].app, id("/a-newcomer"));
    assert!(problems[0].reason.contains("is taken by /shop"), "{}", problems[0].reason);

    // Once the owner goes it is the other's.
    let server = Server::echo(1).await;
    front.balancer.set_endpoints(&id("/a-newcomer"), Arc::new([server.endpoint("/a-newcomer", front.port)]));
    front.balancer.set_ports(ports("/a-newcomer", front.port, false));
    assert_eq!((front.balancer.problems(), front.balancer.accepting(front.port)), (vec![], Some(1)));
    while echoed(front.port, b"hello").await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_port_that_something_else_has_is_reported_until_it_is_free() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let balancer = Balancer::alone("127.0.0.1".parse().unwrap(), ProxyLimits::default(), Arc::default());
    balancer.set_ports(ports(APP, port, false));
    while balancer.problems().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(balancer.problems()[0].reason.starts_with(&format!("cannot listen on 127.0.0.1:{port}: ")));
    drop(taken);
    drop(connect(port).await);
    assert_eq!(balancer.problems(), []);
}

#[tokio::test]
async fn a_port_closes_with_its_app_and_stays_while_earlier_instances_have_it() {
    let front = Front::new(true);
    let server = Server::http(1).await;
    front.lead_to([server.endpoint(APP, front.port)]);
    drop(front.connect().await);
    // A new version has another port; instances of the old one are still there.
    let other = free_port();
    front.balancer.set_ports(ports(APP, other, true));
    assert_eq!((front.balancer.accepting(front.port), front.balancer.accepting(other)), (Some(1), Some(0)));
    front.lead_to([]);
    assert_eq!((front.balancer.accepting(front.port), front.balancer.accepting(other)), (None, Some(0)));
    front.balancer.set_ports(BTreeMap::new());
    assert_eq!(front.balancer.accepting(other), None);
    while front.counters.proxy_ports.get() > 0 {
        tokio::task::yield_now().await;
    }
}

/// Bytes of every request are bounded and what is no HTTP harms nobody.
#[tokio::test]
async fn a_client_that_sends_nonsense_is_answered_400_or_431() {
    let front = Front::new(true);
    for (sent, status) in [
        (b"nonsense\r\n\r\n".to_vec(), "400"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "400"),
        ([b"GET / HTTP/1.1\r\nhost: a\r\nx: ".to_vec(), vec![b'x'; 100_000]].concat(), "431"),
        (
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_vec(),
            "",
        ),
    ] {
        let mut client = front.connect().await;
        // It may be closed before all is sent.
        let _sent = client.write_all(&sent).await;
        let mut head = [0; 12];
        if client.read_exact(&mut head).await.is_ok() && !status.is_empty() {
            assert_eq!(std::str::from_utf8(&head[9..]).unwrap(), status);
        }
    }
}
