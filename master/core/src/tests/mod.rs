//! The master's rules, each by name; and properties over any sequence of steps.

mod descriptions;
mod draining;
mod failover;
mod fixture;
mod forged_duties;
mod frameworks;
mod inverse_offers;
mod launches;
mod liveness;
mod maintenance;
mod maintenance_steps;
mod offers;
mod properties;
mod quotas;
