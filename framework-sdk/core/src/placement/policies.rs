//! Placement policies.
