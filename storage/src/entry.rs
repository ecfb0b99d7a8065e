//! The words of a store: keys, values, revisions, batches.
//!
//! Plain data; the rules about them stand with [`crate::Store`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::limits::{LimitExceeded, MAX_BATCH_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES};

/// How often the whole store has changed: 0 when new, one more with each committed batch that writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of a store that was never written.
    pub const ZERO: Revision = Revision(0);

    /// The revision of the next batch. At a million batches a second, 64 bits last 580,000 years.
    pub(crate) fn next(self) -> Revision {
        Revision(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A name in a store: bytes, ordered as bytes. Namespaces are prefixes by convention: `agents/7`.
///
/// At most [`MAX_KEY_BYTES`] long where it is used; a longer one is refused there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// The key of no bytes: the prefix of all keys.
    pub fn empty() -> Key {
        Key(Arc::from([]))
    }

    /// This key's bytes followed by `part`, with nothing between.
    pub fn join(&self, part: impl AsRef<[u8]>) -> Key {
        Key([&self.0, part.as_ref()].concat().into())
    }

    /// Whether the key lies below `prefix`; every key lies below itself and below the empty key.
    pub fn starts_with(&self, prefix: &Key) -> bool {
        self.0.starts_with(&prefix.0)
    }

    /// What follows `prefix` in this key, or `None` when the key does not lie below it.
    pub fn strip_prefix(&self, prefix: &Key) -> Option<&[u8]> {
        self.0.strip_prefix(prefix.as_bytes())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn check(&self) -> Result<(), LimitExceeded> {
        if self.0.len() > MAX_KEY_BYTES {
            return Err(LimitExceeded::Key { size: self.0.len() });
        }
        Ok(())
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Key {
        Key(bytes.into())
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Key {
        Key(text.as_bytes().into())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Key {
        Key(text.into_bytes().into())
    }
}

impl From<Vec<u8>> for Key {
    fn from(bytes: Vec<u8>) -> Key {
        Key(bytes.into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(formatter)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{self}\"")
    }
}

/// What stands at a key: bytes, shared and cheap to clone. At most [`MAX_VALUE_BYTES`] long.
pub type Value = Arc<[u8]>;

/// A value and the revision of the batch that last wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The bytes.
    pub value: Value,
    /// Demand this one in [`Batch::expect`] to write only what one has read.
    pub revision: Revision,
}

/// One consistent read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The store's revision at that moment: the one to watch from.
    pub revision: Revision,
    /// In key order.
    pub entries: Vec<(Key, Versioned)>,
}

/// One key's new state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// The value it now has; `None` when it was deleted.
    pub value: Option<Value>,
    /// The batch that did it; all changes of one batch share it and come in key order.
    pub revision: Revision,
}

/// Writes that happen together, and the conditions under which they do.
///
/// A key written twice keeps the last write. Conditions speak of the state before the batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    pub(crate) conditions: Vec<(Key, Option<Revision>)>,
    pub(crate) writes: BTreeMap<Key, Option<Value>>,
}

impl Batch {
    /// A batch that does nothing.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Refuses the batch unless `key` was last written at `revision`; `None`: unless it is absent.
    #[must_use]
    pub fn expect(mut self, key: impl Into<Key>, revision: Option<Revision>) -> Batch {
        self.conditions.push((key.into(), revision));
        self
    }

    /// Sets `key` to `value`.
    #[must_use]
    pub fn put(mut self, key: impl Into<Key>, value: impl Into<Value>) -> Batch {
        self.writes.insert(key.into(), Some(value.into()));
        self
    }

    /// Removes `key`; no error when it is absent.
    #[must_use]
    pub fn delete(mut self, key: impl Into<Key>) -> Batch {
        self.writes.insert(key.into(), None);
        self
    }

    /// Whether the batch has neither conditions nor writes.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty() && self.writes.is_empty()
    }

    /// The bytes of all keys and values, which count against [`MAX_BATCH_BYTES`].
    pub fn size_bytes(&self) -> usize {
        let conditions: usize = self.conditions.iter().map(|(key, _)| key.as_bytes().len()).sum();
        let writes = self.writes.iter().map(|(key, value)| {
            key.as_bytes().len().saturating_add(value.as_ref().map_or(0, |value| value.len()))
        });
        writes.fold(conditions, usize::saturating_add)
    }

    pub(crate) fn check(&self) -> Result<(), LimitExceeded> {
        self.conditions.iter().try_for_each(|(key, _)| key.check())?;
        for (key, value) in &self.writes {
            key.check()?;
            let size = value.as_ref().map_or(0, |value| value.len());
            if size > MAX_VALUE_BYTES {
                return Err(LimitExceeded::Value { key: key.clone(), size });
            }
        }
        let size = self.size_bytes();
        if size > MAX_BATCH_BYTES {
            return Err(LimitExceeded::Batch { size });
        }
        Ok(())
    }
}
