//! Names of agent instances and containers, safe as one path component.

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
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks the name. Errors: see [`NameError`].
            pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
                let name = name.into();
                check(&name)?;
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
    ContainerId
}
name! {
    /// One agent work directory. Names the agent's control groups, so that several agents share a host.
    InstanceId
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
}
