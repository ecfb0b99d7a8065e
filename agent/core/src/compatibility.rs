//! May an agent come back as what it says it is now?
//!
//! Frameworks have made plans for what an agent was; one that returns with less, or as another, breaks
//! them. So the daemon asks here before it starts (INV-31). Tasks keep running either way.
//!
//! Source: Mesos, `--reconfiguration_policy`: `equal`, `additive`.

use std::fmt;

use lonja_model::agent::AgentInfo;

/// How far an agent may change between two starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Not at all.
    #[default]
    Equal,
    /// It may have more resources, more attributes, and a domain where it had none.
    Additive,
}

/// Why an agent may not come back as it is. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this agent has changed since it registered, beyond the policy `{policy}`: {}. Start it as it was, or \
     drain it and start it on an empty work dir", .differences.join("; ")
)]
pub struct Incompatible {
    /// What was allowed.
    pub policy: Policy,
    /// Each difference that was not, such as `resources were cpus:4, are cpus:2`; never empty.
    pub differences: Vec<String>,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "equal",
            Self::Additive => "additive",
        })
    }
}

/// May an agent that registered as `old` come back as `new`? The port may change always, and ids are not
/// looked at. Errors: [`Incompatible`].
pub fn compatible(old: &AgentInfo, new: &AgentInfo, policy: Policy) -> Result<(), Incompatible> {
    let additive = policy == Policy::Additive;
    let mut differences = Vec::new();
    if old.hostname != new.hostname {
        differences.push(format!("host name was {}, is {}", old.hostname, new.hostname));
    }
    if old.resources != new.resources && !(additive && new.resources.contains(&old.resources)) {
        differences.push(format!("resources were {}, are {}", old.resources, new.resources));
    }
    let kept = || old.attributes.0.iter().all(|attribute| new.attributes.0.contains(attribute));
    if old.attributes != new.attributes && !(additive && kept()) {
        differences.push(format!("attributes were {}, are {}", old.attributes, new.attributes));
    }
    if old.domain != new.domain && !(additive && old.domain.is_none()) {
        let show = |info: &AgentInfo| match &info.domain {
            Some(domain) => format!("{}/{}", domain.region, domain.zone),
            None => "none".to_owned(),
        };
        differences.push(format!("domain was {}, is {}", show(old), show(new)));
    }
    if differences.is_empty() { Ok(()) } else { Err(Incompatible { policy, differences }) }
}
