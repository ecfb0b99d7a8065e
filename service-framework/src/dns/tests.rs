use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::Instant;

use super::answer::Over;
use super::limit::Limit;
use super::*;
use crate::made_up::{endpoint, id};

fn zone() -> Zone {
    let directory = Directory::new("lonja");
    let at = |number: u128, port| endpoint("/prod/db", number, &format!("10.0.0.{number}"), port, 0);
    directory.set(&id("/prod/db"), &[at(1, 31_001), at(2, 31_002)]);
    directory.set(&id("/idle"), &[]);
    let many: Vec<_> =
        (1..=200).map(|number| endpoint("/many", number, &format!("10.0.1.{number}"), 1, 0)).collect();
    directory.set(&id("/many"), &many);
    let (directory, hosts) = (Arc::new(directory), Arc::default());
    Zone { directory, hosts, ttl: Duration::from_secs(5), counters: Arc::default() }
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::query();
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    query
}

fn ask(zone: &Zone, query: &Message, over: Over) -> Message {
    let packet = zone.answer(&query.to_vec().unwrap(), over).unwrap();
    let answer = Message::from_vec(&packet).unwrap();
    assert_eq!(answer.metadata.id, query.metadata.id);
    answer
}

fn addresses(message: &Message) -> Vec<IpAddr> {
    let all = message.answers.iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        _ => None,
    });
    all.collect()
}

#[test]
fn an_app_has_the_addresses_of_its_agents() {
    let zone = zone();
    let answer = ask(&zone, &query("DB.prod.lonja.", RecordType::A), Over::Udp);
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.metadata.authoritative && !answer.metadata.recursion_available);
    let mut found = addresses(&answer);
    found.sort();
    assert_eq!(found, ["10.0.0.1".parse::<IpAddr>().unwrap(), "10.0.0.2".parse().unwrap()]);
    assert!(answer.answers.iter().all(|record| record.ttl == 5));
    assert_eq!(answer.answers[0].name.to_ascii(), "DB.prod.lonja.", "as it was asked for");
}

#[test]
fn successive_answers_begin_elsewhere() {
    let zone = zone();
    let mut first: Vec<IpAddr> = (0..64)
        .map(|_| addresses(&ask(&zone, &query("db.prod.lonja.", RecordType::A), Over::Udp))[0])
        .collect();
    first.sort();
    first.dedup();
    assert_eq!(first.len(), 2);
}

#[test]
fn ports_come_with_names_that_lead_to_addresses() {
    let zone = zone();
    for name in ["_web._tcp.db.prod.lonja.", "_db.prod._tcp.lonja."] {
        let answer = ask(&zone, &query(name, RecordType::SRV), Over::Udp);
        assert_eq!(answer.answers.len(), 2, "{name}");
        for record in &answer.answers {
            let RData::SRV(service) = &record.data else { panic!("{record}") };
            let brought = answer.additionals.iter().find(|one| one.name == service.target).unwrap();
            let asked = query(&service.target.to_ascii(), RecordType::A);
            assert_eq!(ask(&zone, &asked, Over::Udp).answers[0].data, brought.data);
            let RData::A(address) = &brought.data else { panic!("{brought}") };
            assert_eq!(service.port, 31_000 + u16::from(address.0.octets()[3]));
        }
    }
}

#[test]
fn no_such_name_and_no_such_record_are_told_apart_and_both_say_for_how_long() {
    let zone = zone();
    let cases = [
        ("nobody.lonja.", RecordType::A, ResponseCode::NXDomain),
        ("idle.lonja.", RecordType::A, ResponseCode::NoError),
        ("db.prod.lonja.", RecordType::AAAA, ResponseCode::NoError),
        ("db.prod.lonja.", RecordType::TXT, ResponseCode::NoError),
        ("prod.lonja.", RecordType::A, ResponseCode::NoError),
        ("lonja.", RecordType::A, ResponseCode::NoError),
    ];
    for (name, kind, code) in cases {
        let answer = ask(&zone, &query(name, kind), Over::Udp);
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (code, 0), "{name} {kind}");
        let RData::SOA(soa) = &answer.authorities[0].data else { panic!("{name} {kind}") };
        assert_eq!((soa.minimum, answer.authorities[0].name.to_ascii().as_str()), (5, "lonja."));
    }
    assert_eq!(ask(&zone, &query("lonja.", RecordType::SOA), Over::Udp).answers.len(), 1);
    assert_eq!(ask(&zone, &query("lonja.", RecordType::NS), Over::Udp).answers.len(), 1);
}

#[test]
fn what_is_not_ours_is_refused() {
    let zone = zone();
    for (name, kind) in [
        ("example.com.", RecordType::A),
        (".", RecordType::NS),
        ("xlonja.", RecordType::A),
        ("lonja.", RecordType::AXFR),
    ] {
        let answer = ask(&zone, &query(name, kind), Over::Udp);
        assert_eq!(answer.metadata.response_code, ResponseCode::Refused, "{name}");
        assert!(!answer.metadata.authoritative);
    }
    let mut chaos = query("db.prod.lonja.", RecordType::A);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(ask(&zone, &chaos, Over::Udp).metadata.response_code, ResponseCode::Refused);
}

#[test]
fn what_does_not_fit_sends_the_client_to_tcp() {
    let zone = zone();
    let mut asked = query("many.lonja.", RecordType::A);
    let answer = ask(&zone, &asked, Over::Udp);
    assert!(answer.metadata.truncation && answer.answers.is_empty());
    let mut edns = Edns::new();
    edns.set_max_payload(65_000);
    asked.set_edns(edns);
    let packet = zone.answer(&asked.to_vec().unwrap(), Over::Udp).unwrap();
    assert!(packet.len() <= 1_232);
    let answer = Message::from_vec(&packet).unwrap();
    assert!(answer.metadata.truncation && answer.edns.is_some());
    let answer = ask(&zone, &asked, Over::Tcp);
    assert!(!answer.metadata.truncation);
    assert_eq!(answer.answers.len(), 200);
}

#[test]
fn an_answer_over_tcp_is_cut_to_what_a_message_holds() {
    let zone = zone();
    let many: Vec<_> = (0..5_000)
        .map(|number| {
            let address = Ipv4Addr::from(0x0a00_0000 + u32::try_from(number).unwrap());
            endpoint("/crowd", number, &address.to_string(), 1, 0)
        })
        .collect();
    zone.directory.set(&id("/crowd"), &many);
    assert_eq!(ask(&zone, &query("crowd.lonja.", RecordType::A), Over::Tcp).answers.len(), 2_000);
    let ports = ask(&zone, &query("_web._tcp.crowd.lonja.", RecordType::SRV), Over::Tcp);
    assert!((400..2_000).contains(&ports.answers.len()), "{}", ports.answers.len());
}

#[test]
fn later_versions_of_edns_and_other_kinds_of_question_are_declined() {
    let zone = zone();
    let mut asked = query("db.prod.lonja.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    asked.set_edns(edns);
    // Two of its names share this number.
    assert_eq!(u16::from(ask(&zone, &asked, Over::Udp).metadata.response_code), 16);
    let mut two = query("db.prod.lonja.", RecordType::A);
    two.add_query(Query::query(Name::from_ascii("x.lonja.").unwrap(), RecordType::A));
    assert_eq!(ask(&zone, &two, Over::Udp).metadata.response_code, ResponseCode::FormErr);
    let mut notify = query("db.prod.lonja.", RecordType::A);
    notify.metadata.op_code = hickory_proto::op::OpCode::Notify;
    assert_eq!(ask(&zone, &notify, Over::Udp).metadata.response_code, ResponseCode::NotImp);
}

#[test]
fn an_answer_is_not_answered() {
    let zone = zone();
    let answer = Message::response(7, hickory_proto::op::OpCode::Query);
    assert_eq!(zone.answer(&answer.to_vec().unwrap(), Over::Udp), None);
    assert_eq!(zone.answer(&[], Over::Udp), None);
    let formerr = zone.answer(&[0, 9, 1, 0, 0, 9, 0, 0, 0, 0, 0, 0, 63], Over::Udp).unwrap();
    let formerr = Message::from_vec(&formerr).unwrap();
    assert_eq!((formerr.metadata.id, formerr.metadata.response_code), (9, ResponseCode::FormErr));
}

#[test]
fn a_source_that_asks_too_much_is_left_unanswered_until_it_slows_down() {
    let mut limit = Limit::new(10);
    let (one, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    let start = Instant::now();
    assert_eq!((0..100).filter(|_| limit.allows(start, one)).count(), 20);
    assert!(limit.allows(start, other));
    assert_eq!((0..100).filter(|_| limit.allows(start + Duration::from_millis(500), one)).count(), 5);
    // However many sources are made up, they are forgotten again.
    for address in 0..50_000_u32 {
        limit.allows(start, Ipv4Addr::from(address).into());
    }
}

#[tokio::test]
async fn both_kinds_of_socket_answer() {
    let server = NameServer::bind("127.0.0.1:0".parse().unwrap(), 1_000, zone()).await.unwrap();
    let address = server.address().unwrap();
    let running = tokio::spawn(server.run());

    let asked = query("db.prod.lonja.", RecordType::A).to_vec().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    udp.send_to(&asked, address).await.unwrap();
    let mut answer = [0; 1_500];
    let length = udp.recv(&mut answer).await.unwrap();
    assert_eq!(addresses(&Message::from_vec(&answer[..length]).unwrap()).len(), 2);

    let mut tcp = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        tcp.write_u16(u16::try_from(asked.len()).unwrap()).await.unwrap();
        tcp.write_all(&asked).await.unwrap();
        let mut answer = vec![0; usize::from(tcp.read_u16().await.unwrap())];
        tcp.read_exact(&mut answer).await.unwrap();
        assert_eq!(addresses(&Message::from_vec(&answer).unwrap()).len(), 2);
    }
    running.abort();
}

proptest! {
    /// Whatever comes, nothing breaks, and what is said is a message of bounded size.
    #[test]
    fn no_packet_does_harm(packet in proptest::collection::vec(any::<u8>(), 0..600)) {
        let zone = zone();
        if let Some(answer) = zone.answer(&packet, Over::Udp) {
            prop_assert!(answer.len() <= 1_232);
            prop_assert!(Message::from_vec(&answer).is_ok());
        }
    }

    /// The same for what looks almost like a query.
    #[test]
    fn no_damaged_query_does_harm(
        name in "[a-zA-Z_.0-9-]{0,40}",
        kind in any::<u16>(),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..8),
    ) {
        let zone = zone();
        let name = Name::from_ascii(format!("{name}.lonja.")).unwrap_or_else(|_| Name::root());
        let mut asked = query("lonja.", RecordType::from(kind));
        asked.queries[0].set_name(name);
        asked.set_edns(Edns::new());
        let mut packet = asked.to_vec().unwrap();
        let length = packet.len();
        for (at, byte) in changes {
            packet[at % length] = byte;
        }
        for over in [Over::Udp, Over::Tcp] {
            if let Some(answer) = zone.answer(&packet, over) {
                prop_assert!(Message::from_vec(&answer).is_ok());
            }
        }
    }
}
