//! Connections of HTTP/1.1 and HTTP/2 for every daemon that serves.
//!
//! Who connects is a stranger. It may send nothing, or send slowly, or not read what it asked for; it may be gone without a word.
//! None of that keeps a place for long, and there are so many places and no more.
//!
//! Invariants
//! - There are [`Bounds::connections`] connections at most; who comes after waits to be accepted.
//! - A connection that does not begin, is idle, or reads nothing for as long as its [`Bounds`] say is closed; and so is one whose
//!   other end is gone.
//!
//! What is served is no matter here, nor who may have it.

mod connections;
mod requests;
mod stalled;

pub use connections::{Accepting, Bounds, Ends, serve};
pub use stalled::Impatient;
