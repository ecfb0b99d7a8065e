//! What is wrong with a trace.

use std::fmt;
use std::io;

/// Characters of what was found that an error repeats.
const SHOWN: usize = 64;

/// A place in a file of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name within the trace.
    pub file: String,
    /// The line, from 1 on; the header is line 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The text is not what the format says: mend the file.
    #[error("{place}: {field}: found {found:?}, expected {expected}")]
    Malformed {
        /// Where.
        place: Place,
        /// The column; `header` or `row` if it is about a whole line.
        field: String,
        /// What stands there, cut to 64 characters.
        found: String,
        /// What could stand there.
        expected: String,
    },
    /// More than is read: split the trace, or leave out what is not needed.
    #[error("{place}: {what}; at most {most} are read")]
    TooMuch {
        /// Where the bound was passed.
        place: Place,
        /// What there is too much of.
        what: &'static str,
        /// How much is read.
        most: usize,
    },
    /// The file could not be opened or read on.
    #[error("{place}: cannot be read")]
    Unreadable {
        /// Where reading ended; line 0: it could not be opened.
        place: Place,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder holds no trace of a known format: name another one.
    #[error("{found}; expected {expected}")]
    NoTrace {
        /// What is there, or is not.
        found: String,
        /// The files that make a trace.
        expected: &'static str,
    },
    /// The trace has no such list of tasks: name one that it has.
    #[error("no list of tasks {name:?}; {there_are}")]
    NoSuchList {
        /// What was asked for, cut to 64 characters.
        name: String,
        /// The lists that there are.
        there_are: String,
    },
}

/// The beginning of `text`, enough to know it again.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
