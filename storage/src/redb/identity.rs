//! Whose data it is.

use std::path::Path;

use super::OpenError;

/// Which daemon's data a store holds, and in which format the daemon writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreIdentity {
    /// The owner, such as "master" or "agent". Names the file, so: lower case letters, digits and
    /// `-`, at most 32 of them.
    pub kind: &'static str,
    /// The number of the owner's encoding. A store of another number is refused.
    pub format: u32,
}

impl StoreIdentity {
    pub(super) fn check(self) -> Result<(), OpenError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.kind.is_empty() || self.kind.len() > 32 || !self.kind.bytes().all(plain) {
            return Err(OpenError::InvalidKind(self.kind.to_owned()));
        }
        Ok(())
    }

    /// Compares with what the file at `path` says of itself.
    pub(super) fn admit(self, kind: &str, format: u32, path: &Path) -> Result<(), OpenError> {
        let path = path.to_owned();
        let (found, wanted) = (format, self.format);
        if kind != self.kind {
            return Err(OpenError::OtherKind { path, found: kind.to_owned(), wanted: self.kind });
        }
        match found.cmp(&wanted) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(OpenError::NewerFormat { path, found, wanted }),
            std::cmp::Ordering::Less => Err(OpenError::OlderFormat { path, found, wanted }),
        }
    }
}
