//! Typed names.
//!
//! An id is text chosen by whoever creates the thing: the master names agents, frameworks and offers,
//! a framework names its tasks, an agent names containers. The types keep them apart; cloning one is cheap.
//!
//! Invariants
//! - 1 to 255 bytes; no control character, no `/`, no `\`; not `.` and not `..`. So an id can be a file
//!   name and a log field as it stands.
//!
//! Source: Mesos v1, validation of task ids; applied to every id alike.

use std::fmt;
use std::sync::Arc;

/// The longest id, in bytes.
pub const MAX_ID_BYTES: usize = 255;

/// Why a text cannot be an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// No text at all.
    #[error("an id must not be empty")]
    Empty,
    /// Over [`MAX_ID_BYTES`].
    #[error("an id has at most {MAX_ID_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    /// A control character, `/` or `\`.
    #[error("an id must not contain {0:?}")]
    Character(char),
    /// `.` or `..`, which are folders to every file system.
    #[error("an id must not be {0:?}")]
    Reserved(String),
}

fn check_id(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    if text.len() > MAX_ID_BYTES {
        return Err(InvalidId::TooLong(text.len()));
    }
    // Nearly every id is plain; to look at its bytes is enough then.
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'\\'))
        && let Some(character) = text.chars().find(|c| c.is_control() || matches!(c, '/' | '\\'))
    {
        return Err(InvalidId::Character(character));
    }
    if text == "." || text == ".." {
        return Err(InvalidId::Reserved(text.to_owned()));
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id that `text` spells. Errors: [`InvalidId`].
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                check_id(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }
    };
}

id! {
    /// One agent, for as long as the registry remembers it. Never reused, not even once gone.
    AgentId
}
id! {
    /// One framework, over all its subscriptions. Never reused.
    FrameworkId
}
id! {
    /// One offer. Never used again, not even by the next leader.
    OfferId
}
id! {
    /// One task, chosen by its framework and unique within it while the task is known.
    TaskId
}
id! {
    /// One executor, chosen by its framework and unique within it on one agent.
    ExecutorId
}
id! {
    /// One container, chosen by its agent, for one run of one task.
    ContainerId
}
id! {
    /// A provider of resources other than the agent itself, such as a storage plugin.
    ResourceProviderId
}

id! {
    /// One operation on resources, chosen by its framework, which asks for news of it by giving an id.
    OperationId
}

/// One operation on resources, over all its deliveries: 16 bytes drawn by the master.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationUuid(pub [u8; 16]);

impl fmt::Display for OperationUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for OperationUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperationUuid({self})")
    }
}

/// One status update, over all its deliveries: 16 bytes drawn by whoever made the update.
/// A framework acknowledges an update by repeating it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpdateId(pub [u8; 16]);

impl fmt::Display for UpdateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for UpdateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpdateId({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_is_a_plain_file_name() {
        assert!(TaskId::new("web.1-ä").is_ok());
        assert_eq!(TaskId::new(""), Err(InvalidId::Empty));
        assert_eq!(TaskId::new("a/b"), Err(InvalidId::Character('/')));
        assert_eq!(TaskId::new("a\nb"), Err(InvalidId::Character('\n')));
        assert_eq!(TaskId::new(".."), Err(InvalidId::Reserved("..".into())));
        assert_eq!(TaskId::new("x".repeat(256)), Err(InvalidId::TooLong(256)));
        assert!(TaskId::new("x".repeat(255)).is_ok());
    }

    #[test]
    fn an_update_id_prints_as_32_digits() {
        assert_eq!(UpdateId([0xab; 16]).to_string(), "ab".repeat(16));
        assert_eq!(format!("{:?}", TaskId::new("t1").unwrap()), "TaskId(t1)");
    }

    proptest! {
        #[test]
        fn an_id_is_one_path_component(text in r"(?s)([a-z./\\]|.){0,12}") {
            let path = std::path::Path::new(&text);
            match TaskId::new(&text) {
                Ok(id) => {
                    prop_assert_eq!(path.file_name(), Some(std::ffi::OsStr::new(id.as_str())));
                    prop_assert_eq!(id.to_string().parse(), Ok(id));
                }
                Err(error) => prop_assert!(error.to_string().starts_with("an id ")),
            }
        }
    }
}
