//! Names of apps, pods, jobs and groups: paths in one tree.
//!
//! Invariants
//! - A [`PathId`] is absolute and in its shortest form: no `.`, no `..`, no slash at its end but for the root's own.
//!
//! Source: Marathon's path ids; `docs/services.md`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest id that is taken, in bytes. Marathon has no rule; what is longer is no name of anything.
pub const MAX_PATH_BYTES: usize = 180;

/// Words that are parts of the API's own paths, so that no app may end in one.
const RESERVED: [&str; 3] = ["restart", "tasks", "versions"];

/// The absolute path of an app, pod, job or group, such as `/prod/db`; `/` is the group of all. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(Arc<str>);

/// Why a text is no path id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPathId {
    /// A segment breaks the rule.
    #[error(
        "{shown:?} must consist of segments of lower case letters, digits, hyphens and dots, each beginning and ending with a \
         letter or digit"
    )]
    Segment {
        /// The id, cut to 64 characters.
        shown: String,
    },
    /// `..` leads above the root.
    #[error("{shown:?} leads above the root")]
    AboveRoot {
        /// The id, cut to 64 characters.
        shown: String,
    },
    /// Longer than [`MAX_PATH_BYTES`].
    #[error("the id has {0} bytes, at most {MAX_PATH_BYTES} are taken")]
    TooLong(usize),
}

impl PathId {
    /// The group of all.
    pub fn root() -> Self {
        Self(Arc::from("/"))
    }

    /// The absolute id that `text` means: with or without slashes at its beginning and end. Errors: as the type says.
    pub fn absolute(text: &str) -> Result<Self, InvalidPathId> {
        Self::root().resolve(text.trim_start_matches('/'))
    }

    /// What `text` means below this group: absolute if it begins with a slash, else relative to here, with `.` and `..`.
    /// Errors: as the type says.
    pub fn resolve(&self, text: &str) -> Result<Self, InvalidPathId> {
        let shown = || text.chars().take(64).collect::<String>();
        let base = if text.starts_with('/') { "/" } else { self.as_str() };
        let mut segments: Vec<&str> = base.split('/').filter(|one| !one.is_empty()).collect();
        for segment in text.split('/').filter(|one| !one.is_empty()) {
            match segment {
                "." => {}
                ".." => {
                    segments.pop().ok_or_else(|| InvalidPathId::AboveRoot { shown: shown() })?;
                }
                _ if is_segment(segment) => segments.push(segment),
                _ => return Err(InvalidPathId::Segment { shown: shown() }),
            }
        }
        let path = format!("/{}", segments.join("/"));
        if path.len() > MAX_PATH_BYTES {
            return Err(InvalidPathId::TooLong(path.len()));
        }
        Ok(Self(path.into()))
    }

    /// As text, with the slash at its beginning.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is it the group of all?
    pub fn is_root(&self) -> bool {
        self.as_str() == "/"
    }

    /// The group it is in; none for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let (parent, _) = self.0.rsplit_once('/')?;
        Some(if parent.is_empty() { Self::root() } else { Self(parent.into()) })
    }

    /// All groups it is in, the nearest first, the root last.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// Its segments, the outermost first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|one| !one.is_empty())
    }

    /// Its last segment; none for the root.
    pub fn last(&self) -> Option<&str> {
        self.segments().next_back()
    }

    /// The top-level group it is in; none for the root and what stands in it.
    pub fn top_group(&self) -> Option<&str> {
        let mut segments = self.segments();
        let first = segments.next()?;
        segments.next().map(|_| first)
    }

    /// Is it somewhere below this group?
    pub fn is_below(&self, group: &Self) -> bool {
        if group.is_root() {
            return !self.is_root();
        }
        self.0.strip_prefix(group.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The end of a range that begins with what is below this group, for a map that is ordered by ids.
    pub fn below_range(&self) -> (String, String) {
        if self.is_root() {
            ("/".to_owned(), "0".to_owned())
        } else {
            (format!("{self}/"), format!("{self}0"))
        }
    }

    /// May an app be called so? The API's own words would hide it.
    pub fn is_reserved(&self) -> bool {
        self.last().is_some_and(|last| RESERVED.contains(&last))
    }

    /// As ids of instances begin: `prod_db`.
    pub fn joined(&self) -> String {
        self.segments().collect::<Vec<_>>().join("_")
    }

    /// As names of tasks and of DNS are: `db.prod`.
    pub fn reversed(&self) -> String {
        self.segments().rev().collect::<Vec<_>>().join(".")
    }
}

fn is_segment(segment: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_outer = |byte: u8| is_inner(byte) && byte != b'-';
    segment.split('.').all(|part| {
        let bytes = part.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
        is_outer(*first) && is_outer(*last) && bytes.iter().all(|byte| is_inner(*byte))
    })
}

impl FromStr for PathId {
    type Err = InvalidPathId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::absolute(text)
    }
}

impl fmt::Display for PathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for PathId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> PathId {
        PathId::absolute(text).unwrap()
    }

    #[test]
    fn one_thing_has_one_id_however_it_is_written() {
        for text in ["/prod/db", "prod/db", "//prod/db", "/prod/db/", "/prod/./x/../db"] {
            assert_eq!(id(text).as_str(), "/prod/db", "{text}");
        }
        assert_eq!(id("/prod").resolve("db").unwrap(), id("/prod/db"));
        assert_eq!(id("/prod").resolve("../db").unwrap(), id("/db"));
        assert_eq!(id("/prod").resolve("/db").unwrap(), id("/db"));
        assert!(id("").is_root() && id("/").parent().is_none());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["/A", "/a_b", "/-a", "/a-", "/a b", "/a..b", "/\u{fc}", "/a/../.."] {
            assert!(PathId::absolute(text).is_err(), "{text}");
        }
        assert!(matches!(PathId::absolute(&"a".repeat(200)), Err(InvalidPathId::TooLong(201))));
    }

    #[test]
    fn a_group_knows_what_is_below_it() {
        assert!(id("/a/b").is_below(&id("/a")) && id("/a/b").is_below(&id("/")));
        assert!(!id("/ab").is_below(&id("/a")) && !id("/a").is_below(&id("/a")));
        let (from, to) = id("/a").below_range();
        assert!(
            "/a/b" >= from.as_str()
                && "/a/zz/y" < to.as_str()
                && "/ab" >= to.as_str()
                && "/a-b" < from.as_str()
        );
        assert_eq!(
            id("/a/b/c").ancestors().map(|one| one.to_string()).collect::<Vec<_>>(),
            ["/a/b", "/a", "/"]
        );
        assert_eq!(
            (id("/a/b").joined(), id("/a/b").reversed(), id("/a/b").top_group()),
            ("a_b".into(), "b.a".into(), Some("a"))
        );
        assert_eq!(id("/a").top_group(), None);
    }
}
