//! From a packet to its answer, without sockets.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, NS, SOA, SRV};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::Zone;
use crate::directory::{Found, Records};

/// The most bytes of an answer over UDP. Source: the DNS flag day of 2020.
pub(super) const UDP_BYTES: usize = 1_232;

/// What a client without EDNS takes, in bytes.
const PLAIN_BYTES: usize = 512;

/// The most records of one answer.
const MOST_RECORDS: usize = 2_000;

/// Up to so many ports, an answer brings their addresses along.
const MOST_WITH_ADDRESSES: usize = 32;

/// Successive answers begin at different records.
static TURN: AtomicUsize = AtomicUsize::new(0);

/// What came over which kind of connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Udp,
    Tcp,
}

impl Zone {
    /// The answer to a packet; none: it deserves none, being no query.
    pub(super) fn answer(&self, packet: &[u8], over: Over) -> Option<Vec<u8>> {
        self.counters.dns_queries.add(1);
        let query = match Message::from_vec(packet) {
            Ok(query) if query.metadata.message_type == MessageType::Query => query,
            Ok(_) => {
                self.counters.dns_malformed.add(1);
                return None;
            }
            Err(_) => {
                self.counters.dns_malformed.add(1);
                return malformed(packet);
            }
        };
        let answer = self.respond(&query);
        let most = match over {
            Over::Tcp => usize::from(u16::MAX),
            Over::Udp if query.edns.is_none() => PLAIN_BYTES,
            Over::Udp => usize::from(query.max_payload()).clamp(PLAIN_BYTES, UDP_BYTES),
        };
        self.fit(answer, most, over)
    }

    fn respond(&self, query: &Message) -> Message {
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.metadata = Metadata::response_from_request(&query.metadata);
        answer.metadata.recursion_available = false;
        answer.metadata.authentic_data = false;
        answer.add_queries(query.queries.iter().take(1).cloned());
        if query.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_BYTES as u16);
            answer.set_edns(edns);
        }
        answer.metadata.response_code = self.fill(query, &mut answer);
        let count = match answer.metadata.response_code {
            ResponseCode::NoError if answer.answers.is_empty() => &self.counters.dns_no_data,
            ResponseCode::NoError => &self.counters.dns_answered,
            ResponseCode::NXDomain => &self.counters.dns_no_name,
            ResponseCode::FormErr => &self.counters.dns_malformed,
            _ => &self.counters.dns_refused,
        };
        count.add(1);
        answer
    }

    fn fill(&self, query: &Message, answer: &mut Message) -> ResponseCode {
        if query.metadata.op_code != OpCode::Query {
            return ResponseCode::NotImp;
        }
        if query.version() > 0 {
            return ResponseCode::BADVERS;
        }
        let [question] = query.queries.as_slice() else { return ResponseCode::FormErr };
        let labels: Vec<&[u8]> = question.name().iter().collect();
        let zone = self.directory.zone();
        let is_ours = question.query_class() == DNSClass::IN
            && labels.len() >= zone.len()
            && labels
                .iter()
                .rev()
                .zip(zone.iter().rev())
                .all(|(label, zone)| label.eq_ignore_ascii_case(zone.as_bytes()));
        let transfer = matches!(question.query_type(), RecordType::AXFR | RecordType::IXFR);
        if !is_ours || transfer {
            return ResponseCode::Refused;
        }
        answer.metadata.authoritative = true;
        let own = labels.len() - zone.len();
        let found = self.directory.find(labels.iter().take(own).copied());
        let Found::Records(found) = found else {
            answer.authorities.extend(self.start_of_authority());
            return ResponseCode::NXDomain;
        };
        let name = question.name().clone();
        self.answers(answer, &name, question.query_type(), &found, own == 0);
        if answer.answers.is_empty() {
            answer.authorities.extend(self.start_of_authority());
        }
        ResponseCode::NoError
    }

    fn answers(
        &self,
        answer: &mut Message,
        name: &Name,
        asked: RecordType,
        found: &[Arc<Records>],
        is_zone: bool,
    ) {
        let any = asked == RecordType::ANY;
        let mut records: Vec<Record> = Vec::new();
        if asked == RecordType::A || asked == RecordType::AAAA || any {
            let hosts = found.iter().flat_map(|one| &one.hosts);
            let mut addresses: Vec<IpAddr> = hosts.flat_map(|host| self.hosts.addresses(host)).collect();
            addresses.sort_unstable();
            addresses.dedup();
            let records_of = addresses.into_iter().map(|address| self.address(name.clone(), address));
            records.extend(records_of.filter(|record| any || record.record_type() == asked));
        }
        if asked == RecordType::SRV || any {
            self.ports(answer, name, found, &mut records);
        }
        if is_zone && (asked == RecordType::SOA || any) {
            records.extend(self.start_of_authority());
        }
        if is_zone && (asked == RecordType::NS || any) {
            records.extend(self.server_name().map(|server| self.record(name.clone(), RData::NS(NS(server)))));
        }
        if !records.is_empty() {
            let begin = TURN.fetch_add(1, Ordering::Relaxed) % records.len();
            records.rotate_left(begin);
            records.truncate(MOST_RECORDS);
        }
        answer.answers = records;
    }

    fn ports(&self, answer: &mut Message, name: &Name, found: &[Arc<Records>], records: &mut Vec<Record>) {
        let targets: Vec<_> = found.iter().flat_map(|one| &one.targets).collect();
        let with_addresses = targets.len() <= MOST_WITH_ADDRESSES;
        for target in targets {
            let addresses = self.hosts.addresses(&target.host);
            // A port without an address leads nowhere.
            let (false, Ok(at)) = (addresses.is_empty(), Name::from_ascii(format!("{}.", target.name)))
            else {
                continue;
            };
            if with_addresses {
                let own = addresses.into_iter().map(|address| self.address(at.clone(), address));
                for record in own {
                    if !answer.additionals.contains(&record) {
                        answer.additionals.push(record);
                    }
                }
            }
            // All alike: none is preferred, and none heavier than another.
            records.push(self.record(name.clone(), RData::SRV(SRV::new(0, 1, target.port, at))));
        }
    }

    fn address(&self, name: Name, address: IpAddr) -> Record {
        match address {
            IpAddr::V4(address) => self.record(name, RData::A(A(address))),
            IpAddr::V6(address) => self.record(name, RData::AAAA(AAAA(address))),
        }
    }

    fn record(&self, name: Name, data: RData) -> Record {
        Record::from_rdata(name, self.ttl_seconds(), data)
    }

    fn ttl_seconds(&self) -> u32 {
        u32::try_from(self.ttl.as_secs()).unwrap_or(u32::MAX)
    }

    fn zone_name(&self) -> Option<Name> {
        Name::from_ascii(format!("{}.", self.directory.zone().join("."))).ok()
    }

    fn server_name(&self) -> Option<Name> {
        Name::from_ascii(format!("ns.{}.", self.directory.zone().join("."))).ok()
    }

    /// The record that says how long "there is nothing" may be kept.
    fn start_of_authority(&self) -> Option<Record> {
        let contact = Name::from_ascii(format!("hostmaster.{}.", self.directory.zone().join("."))).ok()?;
        let ttl = self.ttl_seconds();
        let soa = SOA::new(self.server_name()?, contact, self.directory.serial(), 60, 60, 3_600, ttl);
        Some(self.record(self.zone_name()?, RData::SOA(soa)))
    }

    /// The packet; over UDP without records and with the bit that sends clients to TCP if they do not fit; over TCP with as
    /// many as fit.
    fn fit(&self, mut answer: Message, most: usize, over: Over) -> Option<Vec<u8>> {
        loop {
            if let Some(packet) = answer.to_vec().ok().filter(|packet| packet.len() <= most) {
                return Some(packet);
            }
            if !answer.additionals.is_empty() {
                answer.additionals.clear();
            } else if over == Over::Udp {
                self.counters.dns_truncated.add(1);
                return answer.truncate().to_vec().ok().filter(|packet| packet.len() <= most);
            } else if answer.answers.is_empty() {
                return None;
            } else {
                answer.answers.truncate(answer.answers.len() / 2);
            }
        }
    }
}

/// What is said to something that cannot be read, if it has a head and is no answer itself.
fn malformed(packet: &[u8]) -> Option<Vec<u8>> {
    let (&[high, low], flags) = (packet.first_chunk::<2>()?, packet.get(2)?);
    if packet.len() < 12 || flags & 0x80 != 0 {
        return None;
    }
    let id = u16::from_be_bytes([high, low]);
    Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok()
}
