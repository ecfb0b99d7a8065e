//! The master's rules, each by name; and properties over any sequence of steps.

mod failover;
mod fixture;
mod frameworks;
mod launches;
mod liveness;
mod offers;
mod properties;
mod quotas;
