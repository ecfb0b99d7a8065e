//! What the daemon is told at start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How long open requests may take when the master stops.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The largest message a peer may send, in bytes.
pub(crate) const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// The largest message that is sent, in bytes: a listing of a large cluster is long.
pub const MAX_REPLY_BYTES: usize = 256 << 20;

/// The settings of one master.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0: a free one.
    pub listen: SocketAddr,
    /// The name that others reach it by; `None`: its address.
    pub hostname: Option<String>,
    /// Where the registry is kept.
    pub store: StoreKind,
    /// The settings of the core. Its hostname and port are taken from above.
    pub core: lonja_master_core::Config,
}

/// Where bytes are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Nowhere: gone with the process. For trials.
    Memory,
    /// In a file below this folder.
    WorkDir(PathBuf),
}
