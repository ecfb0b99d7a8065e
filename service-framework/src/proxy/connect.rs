//! A connection to some instance behind a port.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use lonja_services_core::instance::InstanceId;
use tokio::net::TcpStream;

use super::Shared;
use super::pool::{Backend, Lease, Pool};
use crate::directory::Host;

/// How long opening a connection may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Instances tried for one connection or request.
const TRIES: usize = 5;

/// Why nobody serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unserved {
    /// No instance takes requests.
    Nobody,
    /// None that does can be reached.
    Unreachable,
}

/// Opens a connection to the best instance that can be reached and is not in `tried`, which grows by those that cannot.
pub(super) async fn to_any(
    pool: &Pool,
    shared: &Shared,
    tried: &mut Vec<InstanceId>,
) -> Result<(Lease, TcpStream), Unserved> {
    loop {
        let lease = next(pool, tried)?;
        if let Some(stream) = open(&lease, shared, tried).await {
            return Ok((lease, stream));
        }
    }
}

/// The best instance that is not in `tried`. Errors: there is none, or enough were tried.
pub(super) fn next(pool: &Pool, tried: &[InstanceId]) -> Result<Lease, Unserved> {
    let chosen = if tried.len() < TRIES { pool.choose(tried) } else { None };
    chosen.ok_or(if tried.is_empty() { Unserved::Nobody } else { Unserved::Unreachable })
}

/// Opens a connection to this instance; one that cannot be reached is added to `tried`.
pub(super) async fn open(lease: &Lease, shared: &Shared, tried: &mut Vec<InstanceId>) -> Option<TcpStream> {
    let backend = lease.backend();
    match to(backend, shared).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::debug!(instance = %backend.instance, port = backend.port, %error, "an instance cannot be reached");
            backend.has_failed();
            shared.counters.proxy_retries.add(1);
            tried.push(backend.instance.clone());
            None
        }
    }
}

/// Opens a connection to this one.
async fn to(backend: &Backend, shared: &Shared) -> io::Result<TcpStream> {
    let opened = async {
        let known = shared.hosts.addresses(&backend.host);
        let stream = match &backend.host {
            Host::Name(name) if known.is_empty() => TcpStream::connect((&**name, backend.port)).await?,
            Host::Name(_) | Host::Address(_) => {
                let addresses: Vec<SocketAddr> =
                    known.into_iter().map(|address| (address, backend.port).into()).collect();
                TcpStream::connect(addresses.as_slice()).await?
            }
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    tokio::time::timeout(PATIENCE, opened).await?
}
