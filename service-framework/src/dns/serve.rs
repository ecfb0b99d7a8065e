//! The sockets of the name server.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::answer::Over;
use super::limit::Limit;
use super::{DnsError, Zone};

/// The longest query that is read, in bytes. A name has 255, and what else queries carry is short.
const QUERY_BYTES: usize = 4_096;

/// Connections at once.
const CONNECTIONS: usize = 256;

/// A connection on which nothing comes, or that takes nothing, for so long is closed.
const SILENCE: Duration = Duration::from_secs(10);

/// A name server that listens.
pub(crate) struct NameServer {
    udp: UdpSocket,
    tcp: TcpListener,
    zone: Zone,
    limit: Arc<Mutex<Limit>>,
}

impl NameServer {
    /// Listens over UDP and TCP; with port 0 on the same free one for both. `rate`: packets a second from each source.
    /// Errors: the address cannot be had.
    pub(crate) async fn bind(address: SocketAddr, rate: u32, zone: Zone) -> Result<Self, DnsError> {
        let failed = |source| DnsError { address, source };
        let mut tries = 0;
        loop {
            let udp = UdpSocket::bind(address).await.map_err(failed)?;
            let bound = udp.local_addr().map_err(failed)?;
            match TcpListener::bind(bound).await {
                Ok(tcp) => {
                    return Ok(Self { udp, tcp, zone, limit: Arc::new(Mutex::new(Limit::new(rate))) });
                }
                // A port that is free for one may not be for the other.
                Err(_) if address.port() == 0 && tries < 16 => tries += 1,
                Err(source) => return Err(failed(source)),
            }
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// Answers. Does not end.
    pub(crate) async fn run(self) {
        let zone = Arc::new(self.zone);
        tokio::join!(datagrams(&self.udp, &zone, &self.limit), streams(&self.tcp, &zone, &self.limit));
    }
}

fn is_allowed(limit: &Mutex<Limit>, zone: &Zone, from: IpAddr) -> bool {
    let allowed = limit.lock().unwrap_or_else(PoisonError::into_inner).allows(Instant::now(), from);
    zone.counters.dns_limited.add(u64::from(!allowed));
    allowed
}

async fn datagrams(socket: &UdpSocket, zone: &Zone, limit: &Mutex<Limit>) {
    let mut packet = [0; QUERY_BYTES];
    loop {
        let (length, from) = match socket.recv_from(&mut packet).await {
            Ok(received) => received,
            Err(error) => {
                // Such as an earlier answer that reached nobody.
                tracing::debug!(%error, "the name server received nothing");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        // A packet from port 0 can have no answer.
        if from.port() == 0 || !is_allowed(limit, zone, from.ip()) {
            continue;
        }
        let asked = packet.get(..length).unwrap_or_default();
        if let Some(answer) = zone.answer(asked, Over::Udp) {
            // Should it not be sent, the client asks again.
            let _sent = socket.send_to(&answer, from).await;
        }
    }
}

async fn streams(listener: &TcpListener, zone: &Arc<Zone>, limit: &Arc<Mutex<Limit>>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = tokio::task::JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let (zone, limit) = (Arc::clone(zone), Arc::clone(limit));
                open.spawn(async move {
                    let _end = converse(stream, from.ip(), &zone, &limit).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the name server cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Answers one query after the other until the client has gone, is silent, or asks too much.
async fn converse(mut stream: TcpStream, from: IpAddr, zone: &Zone, limit: &Mutex<Limit>) -> io::Result<()> {
    loop {
        let query = tokio::time::timeout(SILENCE, read_query(&mut stream)).await??;
        if !is_allowed(limit, zone, from) {
            return Ok(());
        }
        let Some(answer) = zone.answer(&query, Over::Tcp) else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let mut framed = Vec::with_capacity(answer.len() + 2);
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&answer);
        tokio::time::timeout(SILENCE, stream.write_all(&framed)).await??;
    }
}

async fn read_query(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUERY_BYTES {
        return Err(io::Error::other("longer than any query"));
    }
    let mut query = vec![0; length];
    stream.read_exact(&mut query).await?;
    Ok(query)
}
