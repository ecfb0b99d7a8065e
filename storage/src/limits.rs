//! How large keys, values and batches may be.
//!
//! The same for every backend, so that data moves between them; etcd's own limits are settings.

use crate::entry::Key;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1 << 10;

/// The largest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 16 << 20;

/// The most that the keys and values of one batch come to, in bytes. An agent may have to write all that it keeps at once:
/// what that comes to at most it holds against this number when it is compiled.
pub const MAX_BATCH_BYTES: usize = 256 << 20;

/// Something is larger than a store takes. Nothing was changed. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitExceeded {
    /// A key above [`MAX_KEY_BYTES`].
    #[error("a key of {size} bytes is over the limit of {MAX_KEY_BYTES} bytes: use a shorter key")]
    Key {
        /// The key's length.
        size: usize,
    },
    /// A value above [`MAX_VALUE_BYTES`].
    #[error(
        "the value of {size} bytes at key \"{key}\" is over the limit of {MAX_VALUE_BYTES} bytes: \
         split it over several keys"
    )]
    Value {
        /// Where it was to stand.
        key: Key,
        /// The value's length.
        size: usize,
    },
    /// A batch above [`MAX_BATCH_BYTES`].
    #[error("a batch of {size} bytes is over the limit of {MAX_BATCH_BYTES} bytes: commit it in parts")]
    Batch {
        /// All keys and values together.
        size: usize,
    },
}
