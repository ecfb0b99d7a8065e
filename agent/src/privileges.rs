//! Which of what a task asks of the kernel an agent grants it.
//!
//! Invariants
//! - A task never holds a capability beyond the profile's that the operator has not allowed by name.
//! - What is not granted is refused by its name; nothing is left out in silence.
//!
//! Source: Mesos agent, `--effective_capabilities`, `--bounding_capabilities`; isolators `linux/capabilities` and
//! `posix/rlimits`.

use lonja_model::privileges::{CapabilitySet, Privileges, Rlimit};

use crate::supervisor::{Confinement, ProcessLimit};

/// What the operator lets tasks ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Capabilities beyond those of the profile that tasks may ask for; they get them only if they do.
    pub capabilities: CapabilitySet,
    /// Limits of each process in place of the usual ones.
    pub rlimits: Vec<Rlimit>,
}

impl Grants {
    /// The confinement of a task: `profile`'s, with what it asks for. Errors: what it may not have, and what to do.
    pub(crate) fn confine(&self, profile: Confinement, asked: &Privileges) -> Result<Confinement, String> {
        let mut confinement = profile;
        if let Some(bounding) = confinement.bounding {
            let granted = bounding.union(self.capabilities);
            for (what, set) in [("bounding", asked.bounding), ("effective", asked.effective)] {
                refuse_beyond(what, set.unwrap_or_default().difference(granted))?;
            }
        }
        if let Some(bounding) = asked.bounding.or(asked.effective) {
            confinement.bounding = Some(bounding);
        }
        if let (Some(effective), Some(bounding)) = (asked.effective, confinement.bounding) {
            let beyond = effective.difference(bounding);
            if !beyond.is_empty() {
                return Err(format!(
                    "effective capability {beyond} is not among the bounding ones; add it there"
                ));
            }
            confinement.effective = Some(effective);
        }
        for limit in self.rlimits.iter().chain(&asked.rlimits) {
            confinement.limit(ProcessLimit::asked_for(limit));
        }
        Ok(confinement)
    }
}

fn refuse_beyond(what: &str, beyond: CapabilitySet) -> Result<(), String> {
    if beyond.is_empty() {
        return Ok(());
    }
    let plural = if beyond.iter().count() > 1 { "capabilities" } else { "capability" };
    Err(format!(
        "this agent does not let tasks have the {what} {plural} {beyond}; ask for less, or start the agent with \
         --allow-capability"
    ))
}

#[cfg(test)]
mod tests {
    use lonja_model::privileges::Capability;

    use super::*;

    fn asking(bounding: &[Capability]) -> Privileges {
        Privileges { bounding: Some(CapabilitySet::of(bounding)), ..Privileges::default() }
    }

    #[test]
    fn what_is_not_granted_is_refused_by_name() {
        let why = Grants::default().confine(Confinement::standard(), &asking(&[Capability::SYS_ADMIN]));
        let why = why.unwrap_err();
        assert!(why.contains("SYS_ADMIN") && why.contains("--allow-capability"), "{why}");
        let why = Grants::default().confine(Confinement::hardened(), &asking(&[Capability::CHOWN]));
        assert!(why.unwrap_err().contains("CHOWN"));
    }

    #[test]
    fn a_granted_capability_is_held_only_if_asked_for() {
        let grants = Grants { capabilities: CapabilitySet::of(&[Capability::NET_RAW]), ..Grants::default() };
        let without = grants.confine(Confinement::standard(), &Privileges::default()).unwrap();
        assert_eq!(without, Confinement::standard());
        let with = grants.confine(Confinement::standard(), &asking(&[Capability::NET_RAW])).unwrap();
        assert_eq!(with.bounding, Some(CapabilitySet::of(&[Capability::NET_RAW])));
    }

    #[test]
    fn effective_capabilities_lie_within_the_bounding_ones() {
        let mut asked = asking(&[Capability::CHOWN]);
        asked.effective = Some(CapabilitySet::of(&[Capability::KILL]));
        let why = Grants::default().confine(Confinement::standard(), &asked).unwrap_err();
        assert!(why.contains("KILL"), "{why}");
        asked.bounding = None;
        let confinement = Grants::default().confine(Confinement::standard(), &asked).unwrap();
        assert_eq!(confinement.bounding, asked.effective);
    }

    #[test]
    fn a_tasks_limit_replaces_the_agents_and_that_the_usual_one() {
        let limit = |text: &str| -> Rlimit { text.parse().unwrap() };
        let grants = Grants { rlimits: vec![limit("NOFILE=100"), limit("CORE=1")], ..Grants::default() };
        let asked = Privileges { rlimits: vec![limit("NOFILE=200")], ..Privileges::default() };
        let confinement = grants.confine(Confinement::standard(), &asked).unwrap();
        let limits: Vec<String> = confinement.rlimits.iter().map(ToString::to_string).collect();
        assert!(limits.contains(&"NOFILE=200:200".to_owned()), "{limits:?}");
        assert!(limits.contains(&"CORE=1:1".to_owned()), "{limits:?}");
        assert_eq!(limits.len(), 3);
    }
}
