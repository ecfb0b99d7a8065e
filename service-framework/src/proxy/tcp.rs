//! Balancing by connection: what comes in goes out, byte for byte.
//!
//! A connection that cannot be opened to one instance is opened to another; once one is open, it stays with its instance.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Shared;
use super::connect::{self, Unserved};
use super::pool::Pool;

/// Bytes that may be on their way in one direction.
const BUFFER: usize = 16 * 1024;

/// Serves one client.
pub(super) async fn serve(client: TcpStream, pool: &Pool, shared: &Arc<Shared>) {
    let (lease, server) = match connect::to_any(pool, shared, &mut Vec::new()).await {
        Ok(connected) => connected,
        Err(Unserved::Nobody) => return shared.counters.proxy_unserved.add(1),
        Err(Unserved::Unreachable) => return shared.counters.proxy_failed.add(1),
    };
    let cut = lease.cut();
    tokio::select! {
        // How it ended is between the two.
        _end = both_ways(client, server, shared.limits.silence) => {}
        () = cut => shared.counters.proxy_cut.add(1),
    }
    drop(lease);
}

/// Passes bytes on in both directions until both have ended, one breaks, or nothing passes for `silence`.
pub(super) async fn both_ways<A, B>(one: A, other: B, silence: Duration) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (from_one, to_one) = tokio::io::split(one);
    let (from_other, to_other) = tokio::io::split(other);
    let passed = AtomicU64::new(0);
    let both = async {
        tokio::try_join!(one_way(from_one, to_other, &passed), one_way(from_other, to_one, &passed))
    };
    let silent = async {
        let mut before = 0;
        loop {
            tokio::time::sleep(silence).await;
            let now = passed.load(Ordering::Relaxed);
            if now == before {
                return;
            }
            before = now;
        }
    };
    tokio::select! {
        end = both => end.map(|_| ()),
        () = silent => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    passed: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..length).unwrap_or_default()).await?;
        to.flush().await?;
        passed.fetch_add(1, Ordering::Relaxed);
    }
}
