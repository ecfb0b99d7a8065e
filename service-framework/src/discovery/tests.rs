use std::sync::Arc;

use lonja_sdk::store::MemoryStore;
use lonja_sdk::{Driver, FrameworkOptions};
use lonja_services_core::{Codec, Config, Kept};
use tokio::net::UdpSocket;

use super::*;

/// Nothing is kept in these tests.
struct Nothing;

impl Codec for Nothing {
    fn write(&self, _kept: &Kept) -> Vec<u8> {
        Vec::new()
    }

    fn read(&self, key: &str, _bytes: &[u8]) -> Result<Kept, String> {
        Err(format!("{key} was never written"))
    }
}

/// Services without a master, and a way to them.
fn services() -> (Link<Services>, tokio::task::JoinHandle<()>) {
    let state = MemoryStore::new().state();
    let services = Services::restore(Config::default(), Arc::new(Nothing), 1, &state).unwrap();
    let (driver, link) = Driver::new("127.0.0.1:1", FrameworkOptions::named("services")).interactive();
    let run = tokio::spawn(async move { drop(driver.run(services).await) });
    (link, run)
}

#[tokio::test]
async fn names_are_answered_once_the_services_were_looked_at() {
    let (link, run) = services();
    let config = NetConfig {
        dns: Some("127.0.0.1:0".parse().unwrap()),
        proxy: Some("127.0.0.1".parse().unwrap()),
        ..NetConfig::default()
    };
    let discovery = Discovery::start(link, config).await.unwrap();

    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // Who serves the zone `lonja`?
    let asked = b"\x00\x07\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05lonja\x00\x00\x06\x00\x01";
    client.send_to(asked, discovery.dns_address().unwrap()).await.unwrap();
    let mut answer = [0; 512];
    let length = client.recv(&mut answer).await.unwrap();
    assert_eq!((&answer[..2], answer[7]), (&b"\x00\x07"[..], 1), "{length} bytes with one answer");
    assert_eq!(discovery.balancer().unwrap().problems(), []);
    assert_eq!(discovery.counters().dns_answered.get(), 1);
    let figures = discovery.counters().figures();
    assert!(figures.iter().any(|figure| figure.name == "dns_queries" && figure.value == 1));

    discovery.stop().await;
    run.abort();
}

#[tokio::test]
async fn a_name_server_that_cannot_listen_and_a_zone_that_is_none_say_so() {
    let (link, run) = services();
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dns = Some(taken.local_addr().unwrap());
    let error = Discovery::start(link.clone(), NetConfig { dns, ..NetConfig::default() }).await.unwrap_err();
    assert!(error.to_string().contains("--dns-listen"), "{error}");
    for zone in ["", ".", "a..b", "a b"] {
        let config = NetConfig { zone: zone.to_owned(), ..NetConfig::default() };
        assert!(matches!(Discovery::start(link.clone(), config).await, Err(NetError::Zone(_))), "{zone}");
    }
    run.abort();
}

#[tokio::test]
async fn the_work_ends_when_it_is_told_to() {
    let (link, run) = services();
    Discovery::start(link, NetConfig::default()).await.unwrap().stop().await;
    run.abort();
}
