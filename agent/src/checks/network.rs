//! Sockets that belong to a task's network namespace.
//!
//! A socket belongs to the namespace that its thread was in when it was made, for as long as it lives. So a thread of
//! its own enters the task's namespace, makes the socket, and ends: it is used from here, and no other thread of the
//! agent is ever anywhere else.
//!
//! Source: network_namespaces(7), setns(2).

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;

use lonja_agent_core::CheckResult;
use lonja_model::check::Family;
use tokio::net::{TcpSocket, TcpStream};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    /// The agent cannot go where the task is; nothing is said about the task.
    #[error("cannot enter the task's network namespace: {0}; an agent that is not root cannot")]
    Namespace(#[source] io::Error),
    /// Nobody listens.
    #[error("the connection was refused")]
    Refused,
    /// Anything else.
    #[error("cannot connect: {0}")]
    Other(#[source] io::Error),
}

impl NoConnection {
    /// What it means for a look at a task.
    pub(super) fn result(self) -> CheckResult {
        match self {
            Self::Namespace(_) => {
                tracing::warn!(error = %self, "a task cannot be looked at");
                CheckResult::NotBegun(self.to_string())
            }
            Self::Refused | Self::Other(_) => CheckResult::Failed(self.to_string()),
        }
    }
}

/// A task's loopback address.
pub(super) fn loopback(family: Family, port: u16) -> SocketAddr {
    let address = match family {
        Family::IPv4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::IPv6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(address, port)
}

/// Does a connection to the task open?
pub(super) async fn opens(pid: u32, family: Family, port: u16) -> CheckResult {
    match connect(pid, family, port).await {
        Ok(_stream) => CheckResult::Connected(true),
        Err(NoConnection::Refused) => CheckResult::Connected(false),
        Err(error) => error.result(),
    }
}

/// Connects to the task whose process is `pid`.
pub(super) async fn connect(pid: u32, family: Family, port: u16) -> Result<TcpStream, NoConnection> {
    let make = move || match family {
        Family::IPv4 => TcpSocket::new_v4(),
        Family::IPv6 => TcpSocket::new_v6(),
    };
    let socket = match foreign_namespace(pid).map_err(NoConnection::Namespace)? {
        None => make(),
        Some(namespace) => {
            let (sender, made) = tokio::sync::oneshot::channel();
            let spawned = std::thread::Builder::new().name("check-socket".to_owned()).spawn(move || {
                // Whoever waited may have left.
                let _left = sender.send(enter(&namespace).map(|()| make()));
            });
            spawned.map_err(NoConnection::Namespace)?;
            let made =
                made.await.map_err(|_| NoConnection::Namespace(io::Error::other("the thread ended")))?;
            made.map_err(NoConnection::Namespace)?
        }
    };
    let socket = socket.map_err(NoConnection::Other)?;
    socket.connect(loopback(family, port)).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => NoConnection::Refused,
        _ => NoConnection::Other(error),
    })
}

/// The network namespace of a process, unless it is the agent's own.
pub(super) fn foreign_namespace(pid: u32) -> io::Result<Option<File>> {
    let own = std::fs::metadata("/proc/self/ns/net")?;
    let theirs = File::open(format!("/proc/{pid}/ns/net"))?;
    let is_own = theirs.metadata().map(|theirs| (theirs.dev(), theirs.ino()) == (own.dev(), own.ino()))?;
    Ok((!is_own).then_some(theirs))
}

/// Moves the calling thread, which is to end soon, into a network namespace.
pub(super) fn enter(namespace: &File) -> io::Result<()> {
    Ok(nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)?)
}
