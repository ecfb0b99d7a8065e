//! A network with a loopback and nothing else.

use super::super::report::{Failure, FailureReason};
use super::super::sys;
use super::super::task::plain;

/// Brings the loopback up in this process's network namespace, which is new.
pub(in super::super) fn bring_up() -> Result<(), Failure> {
    sys::loopback_up().map_err(|error| {
        let message = format!("cannot bring up the container's loopback: {}", plain(&error));
        Failure::new(FailureReason::Namespace, message)
    })
}
