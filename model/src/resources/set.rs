//! Sets of named items, such as disks.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Named items, each there or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set(BTreeSet<Arc<str>>);

impl Set {
    /// The items, doubles taken once.
    pub fn new<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Self {
        Self(items.into_iter().map(|item| Arc::from(item.as_ref())).collect())
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|item| &**item)
    }

    /// Is there no item?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many items.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Is all of `part` in `self`?
    pub fn contains(&self, part: &Self) -> bool {
        part.0.is_subset(&self.0)
    }

    /// The union, or an item that both hold.
    pub fn disjoint_union(&self, other: &Self) -> Result<Self, Arc<str>> {
        match self.0.intersection(&other.0).next() {
            Some(twice) => Err(twice.clone()),
            None => Ok(Self(self.0.union(&other.0).cloned().collect())),
        }
    }

    /// What is left without `part`; `None` unless all of `part` is in `self`.
    pub fn checked_sub(&self, part: &Self) -> Option<Self> {
        self.contains(part).then(|| Self(self.0.difference(&part.0).cloned().collect()))
    }
}

/// Writes an item so that it can be read back: in quotes if it holds a character with a meaning.
pub(super) fn write_item(f: &mut fmt::Formatter<'_>, item: &str) -> fmt::Result {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !",:;(){}\"\\".contains(c);
    if !item.is_empty() && item.chars().all(plain) {
        return f.write_str(item);
    }
    f.write_str("\"")?;
    for c in item.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, item) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            write_item(f, item)?;
        }
        f.write_str("}")
    }
}
