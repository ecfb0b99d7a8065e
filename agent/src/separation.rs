//! How strictly an agent keeps tasks apart from its host, and who says so.
//!
//! Invariants
//! - A task may ask for a stricter profile than the agent's, and never for a less strict one.
//!
//! Source: docs/isolation.md.

use lonja_model::profile::{Network, Profile};

use crate::isolation::{Enforcement, LimitKind};
use crate::supervisor::{self, Confinement, Filter, Isolation, Mould, Part};

/// What the operator says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Separation {
    /// The profile of tasks that name none, and the least strict one that a task may name.
    pub profile: Profile,
    /// The parts that are on in every profile but `host`.
    pub isolation: Isolation,
}

impl Separation {
    /// The profile of a task. Errors: it asks for a less strict one than it may have.
    pub(crate) fn profile(&self, asked: Option<Profile>) -> Result<Profile, String> {
        let profile = asked.unwrap_or(self.profile);
        if profile < self.profile {
            let least = self.profile;
            return Err(format!(
                "the task asks for profile '{profile}', and this agent allows none less strict than '{least}'; ask for \
                 '{least}', or start the agent with --profile {profile}"
            ));
        }
        Ok(profile)
    }

    /// What most containers are made of.
    pub(crate) fn mould(&self) -> Mould {
        Mould::new(self.profile, self.isolation.clone())
    }

    /// The confinement that goes with a profile, of which grants are made.
    pub(crate) fn confinement(&self, profile: Profile) -> Confinement {
        let mut confinement = match profile {
            Profile::Host => Confinement::host(),
            Profile::Default => Confinement::standard(),
            Profile::Hardened => Confinement::hardened(),
        };
        if !self.isolation.has(Part::SystemCalls) {
            confinement.filter = Filter::Off;
        }
        if !self.isolation.has(Part::Capabilities) {
            confinement.bounding = None;
            confinement.powerless_root = false;
        }
        if !self.isolation.has(Part::ProcessLimits) {
            confinement.rlimits.clear();
        }
        confinement
    }

    /// The names of the parts that the operator has left out, but those of [`Self::what_is_enforced`].
    pub fn left_out(&self) -> Vec<&'static str> {
        let others = self.isolation.missing().filter(|part| !matches!(part, Part::Root | Part::Users));
        others.map(Part::name).collect()
    }

    /// For each part of isolation whether it is on and can be had here.
    pub fn what_is_enforced(&self) -> Vec<Enforcement> {
        let root = rustix::process::geteuid().is_root();
        let off = |part: Part| (!self.isolation.has(part)).then(|| "left out of --isolation".to_owned());
        let host = (self.profile == Profile::Host).then(|| "the agent's --profile is 'host'".to_owned());
        let users = host.clone().or_else(|| off(Part::Users)).or_else(no_user_namespaces);
        // Who is not root has one of its own user alone: root inside is that user outside.
        let root_file_system = host.or_else(|| off(Part::Root));
        let root_file_system = root_file_system.or_else(|| if root { None } else { no_user_namespaces() });
        [(LimitKind::RootFileSystem, root_file_system), (LimitKind::Users, users)]
            .map(|(limit, not_enforced)| Enforcement { limit, not_enforced })
            .to_vec()
    }
}

fn no_user_namespaces() -> Option<String> {
    let most = std::fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    match most.trim().parse::<u64>() {
        Ok(0) => {
            Some("the kernel allows no user namespaces: raise /proc/sys/user/max_user_namespaces".to_owned())
        }
        Ok(_) => None,
        Err(_) => Some("the kernel has no user namespaces".to_owned()),
    }
}

/// The network of a container.
pub(crate) fn network(asked: Network) -> supervisor::Network {
    match asked {
        Network::Host => supervisor::Network::Host,
        Network::None => supervisor::Network::None,
    }
}

/// Whom a task runs as. In a container without root, who would be root is nobody.
pub(crate) fn user(profile: Profile, user: Option<String>) -> Option<String> {
    let agent_is_root = rustix::process::geteuid().is_root();
    if profile != Profile::Hardened || !agent_is_root {
        return user;
    }
    let is_root = match user.as_deref() {
        None | Some("root") => true,
        Some(name) => name.parse::<u32>() == Ok(0),
    };
    if is_root { Some("nobody".to_owned()) } else { user }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_may_ask_for_more_and_never_for_less() {
        let separation = Separation::default();
        assert_eq!(separation.profile(None), Ok(Profile::Default));
        assert_eq!(separation.profile(Some(Profile::Hardened)), Ok(Profile::Hardened));
        let refused = separation.profile(Some(Profile::Host)).unwrap_err();
        assert!(refused.contains("'host'") && refused.contains("'default'"), "{refused}");
    }

    #[test]
    fn what_is_off_is_said() {
        let isolation = "namespaces/pid,namespaces/mount,filesystem/root".parse().unwrap();
        let separation = Separation { isolation, ..Separation::default() };
        let enforced = separation.what_is_enforced();
        let users = enforced.iter().find(|one| one.limit == LimitKind::Users).unwrap();
        assert!(users.not_enforced.as_ref().unwrap().contains("--isolation"));
        assert_eq!(separation.confinement(Profile::Default).filter, Filter::Off);
        let left_out = separation.left_out();
        assert!(left_out.contains(&"seccomp") && left_out.contains(&"capabilities"), "{left_out:?}");
        assert!(Separation::default().left_out().is_empty());
    }
}
