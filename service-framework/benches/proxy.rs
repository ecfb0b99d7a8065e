//! What the balancer costs: requests a second through it beside straight to one instance.
//!
//! `cargo bench -p lonja-services --bench proxy`. Clients, balancer and instances share this host's cores, so the figures
//! compare ways and are no promise. Each client keeps one connection and sends its next request when it has its answer.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use lonja_services::discovery::Counters;
use lonja_services::proxy::{Balancer, ProxyLimits};
use lonja_services_core::PathId;
use lonja_services_core::event::{Endpoint, EndpointPort};
use lonja_services_core::instance::InstanceId;
use lonja_services_core::reaching::ServicePort;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const CLIENTS: usize = 32;
const INSTANCES: u128 = 4;
const MEASURED: Duration = Duration::from_secs(3);

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let app = PathId::absolute("/bench").unwrap();
        let mut endpoints = Vec::new();
        let (by_connection, by_request) = (free_port().await, free_port().await);
        for number in 0..INSTANCES {
            let port = instance().await;
            let leads = |service_port| EndpointPort { name: None, port, service_port, udp: false };
            endpoints.push(Endpoint {
                instance: InstanceId::new(&app, number),
                spec: app.clone(),
                host: HERE.to_string(),
                ports: vec![leads(by_connection), leads(by_request)],
                accepts: true,
            });
        }
        let direct = endpoints[0].ports[0].port;
        let balancer = Balancer::alone(HERE, ProxyLimits::default(), Arc::new(Counters::default()));
        let port = |port, http| ServicePort { port, name: None, http };
        let ports = vec![port(by_connection, false), port(by_request, true)];
        balancer.set_ports(BTreeMap::from([(app.clone(), ports)]));
        balancer.set_endpoints(&app, endpoints.into());
        println!("{CLIENTS} clients, {INSTANCES} instances, {MEASURED:?} each");
        for (way, port) in [("direct", direct), ("by connection", by_connection), ("by request", by_request)]
        {
            report(way, load(port).await);
        }
    });
}

fn report(way: &str, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    let at = |part: usize| latencies.get(latencies.len() * part / 100).copied().unwrap_or_default();
    let rate = latencies.len() as f64 / MEASURED.as_secs_f64();
    println!("proxy/{way:<14} {rate:>9.0} requests/s   median {:?}   p99 {:?}", at(50), at(99));
}

async fn free_port() -> u16 {
    TcpListener::bind((HERE, 0)).await.unwrap().local_addr().unwrap().port()
}

/// An instance that answers with 128 bytes.
async fn instance() -> u16 {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let answer = || Response::new(Full::new(Bytes::from_static(&[b'x'; 128])));
            let service = service_fn(move |_request| async move { Ok::<_, Infallible>(answer()) });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    port
}

/// How long each request took.
async fn load(port: u16) -> Vec<Duration> {
    let mut clients = JoinSet::new();
    let begin = Instant::now();
    for _ in 0..CLIENTS {
        clients.spawn(async move {
            let stream = loop {
                match TcpStream::connect((HERE, port)).await {
                    Ok(stream) => break stream,
                    Err(_) => tokio::task::yield_now().await,
                }
            };
            stream.set_nodelay(true).unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let mut latencies = Vec::new();
            while begin.elapsed() < MEASURED {
                let request = Request::get("/").header("host", "bench").body(Empty::<Bytes>::new()).unwrap();
                let start = Instant::now();
                sender.ready().await.unwrap();
                let response = sender.send_request(request).await.unwrap();
                assert!(response.status().is_success());
                response.into_body().collect().await.unwrap();
                latencies.push(start.elapsed());
            }
            latencies
        });
    }
    clients.join_all().await.concat()
}
