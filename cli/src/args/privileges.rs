//! What a task of `lonja run` may ask of the kernel.

use anyhow::{Context, bail};
use clap::Args;
use lonja_agent::supervisor::Confinement;
use lonja_model::privileges::{Capability, CapabilitySet, Privileges, Rlimit};
use lonja_model::profile::Profile;

/// Capabilities and limits of each process.
#[derive(Debug, Args)]
pub(crate) struct RunPrivileges {
    /// A capability beyond those of its profile, such as NET_RAW, or ALL; the agent must allow it
    /// (--allow-capability). Root in it has it from the start, and another user none. May be given more than once.
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// A capability that nothing in it may have, such as CHOWN, or ALL: then only what --cap-add names. May be given more
    /// than once.
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
    /// A limit of each of its processes, such as NOFILE=1024:4096, in the units of setrlimit(2). May be given more
    /// than once.
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<Rlimit>,
}

impl RunPrivileges {
    /// What is asked for, on top of what a task of this profile has. A task that names no profile is taken to have the
    /// usual one, since which one its agent gives it is not known here; a stricter agent refuses it with the names.
    pub(crate) fn asked(&self, profile: Option<Profile>) -> anyhow::Result<Privileges> {
        for (index, limit) in self.ulimit.iter().enumerate() {
            if self.ulimit[..index].iter().any(|other| other.kind() == limit.kind()) {
                bail!("--ulimit names {} twice; one limit of a kind holds", limit.kind());
            }
        }
        let bounding = if self.cap_add.is_empty() && self.cap_drop.is_empty() {
            None
        } else {
            Some(self.bounding(profile.unwrap_or_default())?)
        };
        Ok(Privileges { bounding, effective: None, rlimits: self.ulimit.clone() })
    }

    fn bounding(&self, profile: Profile) -> anyhow::Result<CapabilitySet> {
        let usual = match profile {
            Profile::Host => None,
            Profile::Default => Confinement::standard().bounding,
            Profile::Hardened => Confinement::hardened().bounding,
        };
        let (added, adds_all) = named("--cap-add", &self.cap_add)?;
        let (dropped, drops_all) = named("--cap-drop", &self.cap_drop)?;
        let both = added.intersection(dropped);
        if !both.is_empty() {
            bail!("--cap-add and --cap-drop both name {both}; leave one out");
        }
        let base = match (adds_all, drops_all) {
            (true, true) => bail!("--cap-add and --cap-drop both name ALL; leave one out"),
            (true, false) => CapabilitySet::full(),
            (false, true) => CapabilitySet::EMPTY,
            (false, false) => usual.unwrap_or(CapabilitySet::full()),
        };
        Ok(base.union(added).difference(dropped))
    }
}

/// The capabilities with these names, and whether `ALL` is among them.
fn named(flag: &str, names: &[String]) -> anyhow::Result<(CapabilitySet, bool)> {
    let (all, names): (Vec<&String>, Vec<&String>) =
        names.iter().partition(|name| name.eq_ignore_ascii_case("all"));
    let read = |name: &&String| name.parse().context(flag.to_owned());
    let set: Vec<Capability> = names.iter().map(read).collect::<anyhow::Result<_>>()?;
    Ok((set.into_iter().collect(), !all.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(add: &[&str], drop: &[&str]) -> RunPrivileges {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        RunPrivileges { cap_add: owned(add), cap_drop: owned(drop), ulimit: Vec::new() }
    }

    fn bounding(add: &[&str], drop: &[&str], profile: Option<Profile>) -> CapabilitySet {
        asking(add, drop).asked(profile).unwrap().bounding.unwrap()
    }

    #[test]
    fn what_is_added_and_dropped_counts_from_the_profile() {
        let usual = Confinement::standard().bounding.unwrap();
        assert_eq!(asking(&[], &[]).asked(None).unwrap().bounding, None);
        let without = bounding(&[], &["chown", "CAP_KILL"], None);
        assert_eq!(usual.difference(without), CapabilitySet::of(&[Capability::CHOWN, Capability::KILL]));
        let raw = CapabilitySet::of(&[Capability::NET_RAW]);
        assert_eq!(bounding(&["NET_RAW"], &[], None), usual.union(raw));
        assert_eq!(bounding(&["NET_RAW"], &["all"], None), raw);
        assert_eq!(bounding(&["NET_RAW"], &[], Some(Profile::Hardened)), raw);
        assert_eq!(bounding(&[], &["NET_RAW"], Some(Profile::Host)), CapabilitySet::full().difference(raw));
        assert_eq!(bounding(&["ALL"], &["NET_RAW"], None), CapabilitySet::full().difference(raw));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_name() {
        let why = |add: &[&str], drop: &[&str]| format!("{:#}", asking(add, drop).asked(None).unwrap_err());
        assert!(why(&["CHOWN"], &["CHOWN"]).contains("both name CHOWN"));
        assert!(why(&["ALL"], &["all"]).contains("leave one out"));
        assert!(why(&[], &["EVERYTHING"]).starts_with("--cap-drop: 'EVERYTHING' is no capability"));
        let limit = |text: &str| text.parse::<Rlimit>().unwrap();
        let twice = RunPrivileges { ulimit: vec![limit("CORE=1"), limit("core=2")], ..asking(&[], &[]) };
        assert!(twice.asked(None).unwrap_err().to_string().contains("CORE twice"));
    }
}
