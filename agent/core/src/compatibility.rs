//! May an agent come back as what it says it is now?
//!
//! Frameworks have made plans for what an agent was; one that returns with less, or as another, breaks
//! them. So the daemon asks here before it starts (INV-31). Tasks keep running either way.
//!
//! Source: Mesos, `--reconfiguration_policy`: `equal`, `additive`.

use std::fmt;

use lonja_model::agent::AgentInfo;
use lonja_model::resources::Resources;

use crate::total::rebase;

/// How far an agent may change between two starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Not at all.
    #[default]
    Equal,
    /// It may have more resources, more attributes, and a domain where it had none.
    Additive,
    /// As it likes: for a cluster of one's own, where nobody else made plans.
    Any,
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
            Self::Any => "any",
        })
    }
}

/// May an agent that registered as `old` come back as `new`? The port may change always, and ids are not
/// looked at. Errors: [`Incompatible`].
pub fn compatible(old: &AgentInfo, new: &AgentInfo, policy: Policy) -> Result<(), Incompatible> {
    if policy == Policy::Any {
        return Ok(());
    }
    let additive = policy == Policy::Additive;
    let mut differences = Vec::new();
    if old.hostname != new.hostname {
        differences.push(format!("host name was {}, is {}", old.hostname, new.hostname));
    }
    // What can be taken back at any time was never promised.
    let promised = |info: &AgentInfo| info.resources.filter(|resource| !resource.metadata().revocable);
    let (had, has) = (promised(old), promised(new));
    if had != has && !(additive && has.contains(&had)) {
        differences.push(format!("resources were {had}, are {has}"));
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

/// What an agent has that comes back with the settings of `new` after it had `total`, checkpointed; `None`: nothing
/// was reserved or stored. Errors: [`Incompatible`], whatever the policy: data and promises are at stake.
pub fn keeps_ground(
    new: &AgentInfo,
    total: Option<&Resources>,
    policy: Policy,
) -> Result<Resources, Incompatible> {
    let Some(total) = total else { return Ok(new.resources.clone()) };
    rebase(&new.resources, total).map_err(|lost| {
        let has = &new.resources;
        let losing = |made: String| format!("{made} was made here, and there is nothing under it in {has}");
        Incompatible { policy, differences: lost.into_iter().map(losing).collect() }
    })
}

#[cfg(test)]
mod tests {
    use lonja_model::agent::Domain;
    use lonja_model::attributes::Attributes;

    use super::*;
    use crate::fixture::*;

    fn with_attributes(attributes: &str) -> AgentInfo {
        AgentInfo { attributes: Attributes::parse(attributes).unwrap(), ..agent_info("cpus:4") }
    }

    #[test]
    fn the_same_agent_may_come_back_on_another_port() {
        let old = agent_info("cpus:4;mem:100");
        let new = AgentInfo { port: 7, ..old.clone() };
        assert_eq!(compatible(&old, &new, Policy::Equal), Ok(()));
    }

    #[test]
    fn growth_is_allowed_by_policy_only() {
        let (old, new) = (agent_info("cpus:4"), agent_info("cpus:8;mem:100"));
        assert!(compatible(&old, &new, Policy::Equal).is_err());
        assert_eq!(compatible(&old, &new, Policy::Additive), Ok(()));
        let (old, new) = (with_attributes("rack:r1"), with_attributes("rack:r1;ssd:yes"));
        assert!(compatible(&old, &new, Policy::Equal).is_err());
        assert_eq!(compatible(&old, &new, Policy::Additive), Ok(()));
        let new = AgentInfo {
            domain: Some(Domain { region: "r".into(), zone: "z".into() }),
            ..agent_info("cpus:4")
        };
        assert!(compatible(&agent_info("cpus:4"), &new, Policy::Equal).is_err());
        assert_eq!(compatible(&agent_info("cpus:4"), &new, Policy::Additive), Ok(()));
    }

    #[test]
    fn what_can_be_taken_back_may_change() {
        let with = |spare: &str| {
            let spare = with_metadata(&resources(spare), |metadata| metadata.revocable = true);
            let resources = resources("cpus:4").checked_add(&spare).unwrap();
            AgentInfo { resources, ..agent_info("") }
        };
        assert_eq!(compatible(&with("cpus:2"), &with("cpus:1;mem:5"), Policy::Equal), Ok(()));
        assert_eq!(compatible(&with("cpus:2"), &agent_info("cpus:4"), Policy::Equal), Ok(()));
    }

    #[test]
    fn no_policy_takes_the_ground_from_under_a_volume() {
        let stage = agent("cpus:4;disk:100").with_volume("disk:50", false);
        let total = stage.agent.total();
        let kept = keeps_ground(&agent_info("cpus:1;disk:60"), Some(total), Policy::Any).unwrap();
        assert_eq!(kept.scalar("disk").whole_units(), 60);
        let refused = keeps_ground(&agent_info("cpus:9;disk:40"), Some(total), Policy::Any).unwrap_err();
        let what = "disk(DYNAMIC,eng)[v1]:50 was made here, and there is nothing under it in cpus:9;disk:40";
        assert_eq!(refused.differences, [what]);
        assert_eq!(keeps_ground(&agent_info("cpus:1"), None, Policy::Equal), Ok(resources("cpus:1")));
    }

    #[test]
    fn every_difference_is_listed() {
        let old = with_attributes("rack:r1");
        let new = AgentInfo { hostname: "other".into(), ..agent_info("cpus:2") };
        for policy in [Policy::Equal, Policy::Additive] {
            let refused = compatible(&old, &new, policy).unwrap_err();
            assert_eq!(
                refused.differences,
                [
                    "host name was host, is other",
                    "resources were cpus:4, are cpus:2",
                    "attributes were rack:r1, are ",
                ]
            );
            assert!(refused.to_string().contains("empty work dir"));
        }
    }
}
