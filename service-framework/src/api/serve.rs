//! Connections: how many, how long, and from where.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::http::Extensions;
use lonja_serve::{Bounds, Ends};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::events::Hub;

/// What clients may have. They are scripts and browsers, which connect again when they have to.
const BOUNDS: Bounds = Bounds {
    connections: 4_096,
    streams: None,
    begins_within: Duration::from_secs(30),
    head_within: Duration::from_secs(30),
    read_within: Duration::from_secs(30),
    stop_within: Duration::from_secs(5),
};

/// From where a request comes.
pub(crate) fn from(extensions: &Extensions) -> SocketAddr {
    extensions.get::<Ends>().map_or_else(nowhere, |ends| ends.remote)
}

/// The address of a request of which none is known.
pub(crate) fn nowhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
}

/// Serves until asked to stop.
pub(crate) async fn serve(listener: TcpListener, router: Router, hub: Hub, stop: watch::Receiver<bool>) {
    let mut stopping = stop.clone();
    let end_streams = async {
        asked(&mut stopping).await;
        // Streams have no end of their own.
        hub.close();
    };
    tokio::join!(lonja_serve::serve(listener, router, BOUNDS, stop), end_streams);
}

/// Resolves when the server is asked to stop.
pub(crate) async fn asked(stop: &mut watch::Receiver<bool>) {
    // An error: nobody is left to ask.
    let _stopping = stop.wait_for(|stop| *stop).await;
}
