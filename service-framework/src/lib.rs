//! The bundled framework for long-running services, in the manner of Marathon.
//!
//! The daemon around `lonja-services-core`: [`start`] brings it up in the calling process; the binary, tests and `lonja dev`
//! all use it. It is a framework like any other: it reaches the master through `lonja-sdk`, and has no private way into it.
//!
//! ```text
//!   REST ─► api ─┐                 ┌─► lonja-sdk's driver ─► master
//!                ├─► Services ─────┤
//!   SSE ◄─ events┘  (the core)     └─► the store in the work dir
//! ```
//!
//! Reading order: [`wire`] is what goes over the wire, `api` the routes, `events` the stream of events, [`daemon`] what holds
//! all together.

pub mod wire;

mod api;
mod events;
mod metrics;

#[cfg(test)]
mod made_up;

mod probing;
mod usage;

mod directory;
pub mod discovery;
pub mod dns;
pub mod proxy;

pub mod daemon;

pub use lonja_services_core::Config as CoreConfig;

pub use daemon::{Running, ServicesConfig, ServicesError, Stopper, start};
