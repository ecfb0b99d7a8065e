//! What every stored entry has in common: a key, bytes, and the ways in which bytes can fail to be one.

use super::refusal::Refusal;

/// The form of entry that this version writes, and the highest that it reads.
pub(super) const FORMAT: u32 = 1;

/// A change for the store: the value that is to stand at a key, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChange {
    /// Where; begins with what kind of entry it is, such as `agent/`. At most 600 bytes.
    pub key: Vec<u8>,
    /// What; `None`: nothing any more.
    pub value: Option<Vec<u8>>,
}

/// Why stored bytes are no entry. The store is not to be used then, and not to be written to: it is
/// damaged, or of another version.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unreadable {
    /// No entry at all.
    #[error("the stored entry is damaged: {0}; restore the work dir from a copy")]
    Damaged(#[from] prost::DecodeError),
    /// Written by a later version.
    #[error(
        "the stored entry has form {0}, this version reads up to {FORMAT}; run the version that wrote it"
    )]
    Newer(u32),
    /// Well formed, but not a value of the model.
    #[error("the stored entry makes no sense: {0}")]
    Refused(#[from] Refusal),
}

/// Refuses entries of later versions.
pub(super) fn check_format(format: u32) -> Result<(), Unreadable> {
    if format > FORMAT { Err(Unreadable::Newer(format)) } else { Ok(()) }
}
