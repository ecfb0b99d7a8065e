//! The bundled framework for long-running services, in the manner of Marathon.
//!
//! It will be the daemon around `lonja-services-core`: a REST interface with an event stream, and a store
//! for what was promised to its users. It is a framework like any other: it reaches the master through
//! `lonja-sdk`, and has no private way into it.
//!
//! It will import `lonja-services-core`, `lonja-sdk` and `lonja-storage`. At present it is empty, and
//! nothing uses it.
