//! Names of agent instances, containers and control groups, safe as one path component.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes; Linux allows 255 in a path component and temporary files add a suffix.
const LONGEST_NAME: usize = 200;

/// Why a text cannot name a container or an agent instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or more than 200 bytes.
    #[error("a name has 1 to {LONGEST_NAME} bytes, this one has {0}")]
    Length(usize),
    /// A character that could leave the directory or confuse a reader.
    #[error("name '{0}' may hold only letters, digits, '-', '_' and '.', and not start with '.'")]
    Character(String),
}

/// What every spare's group name starts with. A container's name has no `+`.
const SPARE: &str = "spare+";

fn check_group(name: &str) -> Result<(), NameError> {
    match name.strip_prefix(SPARE) {
        Some(rest) => check(rest),
        None => check(name),
    }
}

fn check(name: &str) -> Result<(), NameError> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(NameError::Length(name.len()));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.starts_with('.') || !name.bytes().all(allowed) {
        return Err(NameError::Character(name.escape_default().to_string()));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident by $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks the name. Errors: see [`NameError`].
            pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
                let name = name.into();
                $check(&name)?;
                Ok(Self(name))
            }

            /// The name as text; also the directory's name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

name! {
    /// One container on this host, for one run of one task. Never used twice.
    ContainerId by check
}
name! {
    /// One agent work directory. Names the agent's control groups, so that several agents share a host.
    InstanceId by check
}

name! {
    /// One container's control group below its agent instance: named like the container, or, when the
    /// group was there first, like the spare it was made for.
    GroupName by check_group
}

impl GroupName {
    /// The group of the spare with this number, made by the launcher of this name.
    pub(crate) fn spare(launcher: &str, number: u64) -> Result<Self, NameError> {
        Self::new(format!("{SPARE}{launcher}-{number}"))
    }

    /// Whether it was made for a spare, used or not.
    pub fn is_spare(&self) -> bool {
        self.0.starts_with(SPARE)
    }

    /// Whether it was made for a spare of the launcher of this name.
    pub(crate) fn is_spare_of(&self, launcher: &str) -> bool {
        let rest = self.0.strip_prefix(SPARE).and_then(|rest| rest.strip_prefix(launcher));
        rest.is_some_and(|rest| rest.starts_with('-'))
    }
}

impl From<ContainerId> for GroupName {
    fn from(container: ContainerId) -> Self {
        Self(container.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leaves_its_directory() {
        for bad in ["", ".", "..", "a/b", "a b", "é", "a\0", ".hidden"] {
            assert!(ContainerId::new(bad).is_err(), "{bad:?}");
        }
        assert!(ContainerId::new("x".repeat(201)).is_err());
        assert!(ContainerId::new("web.1_a-B").is_ok());
    }

    #[test]
    fn a_spares_group_is_told_from_a_containers_and_from_another_launchers() {
        let spare = GroupName::spare("12-345", 6).unwrap();

        assert!(spare.is_spare() && spare.is_spare_of("12-345"));
        assert!(!spare.is_spare_of("12-34"));
        assert!(ContainerId::new(spare.as_str()).is_err());
        assert!(!GroupName::from(ContainerId::new("spare-1").unwrap()).is_spare());
        assert!(GroupName::new("spare+../x").is_err());
    }
}
