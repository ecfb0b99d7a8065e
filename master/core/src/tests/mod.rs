//! The master's rules, each by name; and properties over any sequence of steps.

mod checks;
mod conversion_fixture;
mod conversion_properties;
mod conversions;
mod departures;
mod descriptions;
mod draining;
mod failover;
mod feedback;
mod fixture;
mod forged_duties;
mod forged_faults;
mod frameworks;
mod groups;
mod inverse_offers;
mod launches;
mod liveness;
mod maintenance;
mod maintenance_steps;
mod offers;
mod operator_conversions;
mod properties;
mod quotas;
mod requests;
mod rescinds;
mod shared_volumes;
