//! Why a task was not placed, as its framework tells the master.
//!
//! Counts and words only: for people, never for decisions. Bounded, since it comes from outside.

use std::collections::BTreeSet;

use crate::AgentId;

/// Tasks that one framework can tell of at once.
pub const MAX_UNPLACED: usize = 100;

/// Reasons told of one task; what is beyond is left out, the least frequent first.
pub const MAX_REASONS: usize = 16;

/// The longest text of any field, in bytes.
pub const MAX_WORDS_BYTES: usize = 256;

/// All words of one report together, in bytes.
pub const MAX_REPORT_BYTES: usize = 64 << 10;

/// One task that its framework wants to run and has no place for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unplaced {
    /// The task, by the id it will have or by a name of the framework's own.
    pub task: String,
    /// How many offers were looked at.
    pub offers: u64,
    /// Why not, with how many offers each reason stood against; the most frequent first. An offer counts for the first
    /// reason that was found.
    pub reasons: Vec<(String, u64)>,
    /// The offer that was nearest to being taken.
    pub nearest: Option<NearMiss>,
}

/// An offer that would nearly have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// Of which agent.
    pub agent: AgentId,
    /// Its host's name.
    pub hostname: String,
    /// What stood in the way, such as `mem: wants 2048, 1536 free`.
    pub why: String,
}

impl Unplaced {
    /// A task of which no offer has been looked at.
    pub fn new(task: impl Into<String>) -> Self {
        Self { task: task.into(), ..Self::default() }
    }

    /// All its words together, in bytes.
    pub fn bytes(&self) -> usize {
        let reasons: usize = self.reasons.iter().map(|(reason, _)| reason.len()).sum();
        let nearest = self.nearest.as_ref();
        let nearest =
            nearest.map_or(0, |near| near.agent.as_str().len() + near.hostname.len() + near.why.len());
        self.task.len() + reasons + nearest
    }

    /// The same within the bounds: long texts are cut, and of the reasons the most frequent are kept, those in front.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        cut(&mut self.task);
        self.reasons.sort_by_key(|(_, offers)| std::cmp::Reverse(*offers));
        self.reasons.truncate(MAX_REASONS);
        self.reasons.iter_mut().for_each(|(reason, _)| cut(reason));
        if let Some(near) = &mut self.nearest {
            cut(&mut near.hostname);
            cut(&mut near.why);
        }
        self
    }

    fn check(&self, index: usize) -> Result<(), InvalidReport> {
        let at = |field: &str| format!("tasks[{index}].{field}");
        if self.task.is_empty() {
            return Err(InvalidReport::NoName(at("task")));
        }
        fits(&self.task, || at("task"))?;
        if self.reasons.len() > MAX_REASONS {
            let (field, count) = (at("reasons"), self.reasons.len());
            return Err(InvalidReport::TooMany { field, count, most: MAX_REASONS });
        }
        for (number, (reason, _)) in self.reasons.iter().enumerate() {
            fits(reason, || at(&format!("reasons[{number}].why")))?;
        }
        let Some(near) = &self.nearest else { return Ok(()) };
        fits(&near.hostname, || at("nearest.hostname"))?;
        fits(&near.why, || at("nearest.why"))
    }
}

/// Why a report of unplaced tasks is not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReport {
    /// A task that cannot be asked for.
    #[error("{0} is empty; give the id the task will have, or a name")]
    NoName(String),
    /// Of two words on one task nobody could tell which holds.
    #[error("{field} names {task:?} a second time; say each task once")]
    Twice {
        /// Where.
        field: String,
        /// Which task.
        task: String,
    },
    /// A list that is too long.
    #[error("{field} holds {count} entries, at most {most} are taken; send fewer")]
    TooMany {
        /// Which list.
        field: String,
        /// As it came.
        count: usize,
        /// The most.
        most: usize,
    },
    /// A text that is too long. In bytes.
    #[error("{field} has {bytes} bytes, at most {most} are taken; send less")]
    TooLong {
        /// Which text.
        field: String,
        /// As it came.
        bytes: usize,
        /// The most.
        most: usize,
    },
}

impl InvalidReport {
    /// The path of the field at fault, such as `tasks[2].reasons[0].why`.
    pub fn field(&self) -> &str {
        match self {
            Self::NoName(field)
            | Self::Twice { field, .. }
            | Self::TooMany { field, .. }
            | Self::TooLong { field, .. } => field,
        }
    }
}

/// Is this report within the bounds, with each task named once? Errors: the first field that is at fault.
pub fn check(tasks: &[Unplaced]) -> Result<(), InvalidReport> {
    if tasks.len() > MAX_UNPLACED {
        let (field, count) = ("tasks".to_owned(), tasks.len());
        return Err(InvalidReport::TooMany { field, count, most: MAX_UNPLACED });
    }
    let (mut named, mut bytes) = (BTreeSet::new(), 0);
    for (index, task) in tasks.iter().enumerate() {
        task.check(index)?;
        if !named.insert(&task.task) {
            let field = format!("tasks[{index}].task");
            return Err(InvalidReport::Twice { field, task: task.task.clone() });
        }
        bytes += task.bytes();
    }
    if bytes > MAX_REPORT_BYTES {
        return Err(InvalidReport::TooLong { field: "tasks".to_owned(), bytes, most: MAX_REPORT_BYTES });
    }
    Ok(())
}

fn fits(text: &str, field: impl FnOnce() -> String) -> Result<(), InvalidReport> {
    let (bytes, most) = (text.len(), MAX_WORDS_BYTES);
    if bytes > most { Err(InvalidReport::TooLong { field: field(), bytes, most }) } else { Ok(()) }
}

/// Cuts a text that is too long between two characters.
fn cut(text: &mut String) {
    let end = (0..=MAX_WORDS_BYTES).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wordy() -> Unplaced {
        let near =
            NearMiss { agent: AgentId::new("a").unwrap(), hostname: "ä".repeat(200), why: "mem".to_owned() };
        Unplaced {
            task: "t".repeat(300),
            offers: 20,
            reasons: (0..20).map(|number| (format!("reason {number}"), number)).collect(),
            nearest: Some(near),
        }
    }

    #[test]
    fn what_is_trimmed_is_within_the_bounds_and_keeps_what_is_most_frequent() {
        assert!(check(&[wordy()]).is_err());
        let trimmed = wordy().trimmed();
        assert_eq!(check(std::slice::from_ref(&trimmed)), Ok(()));
        assert_eq!(trimmed.reasons.first(), Some(&("reason 19".to_owned(), 19)));
        assert_eq!(trimmed.nearest.unwrap().hostname, "ä".repeat(128));
    }

    #[test]
    fn what_is_over_its_bounds_is_refused_by_its_path() {
        let field = |tasks: &[Unplaced]| check(tasks).unwrap_err().field().to_owned();
        assert_eq!(field(&[Unplaced::new("")]), "tasks[0].task");
        assert_eq!(field(&[Unplaced::new("a"), Unplaced::new("a")]), "tasks[1].task");
        let many: Vec<_> = (0..=MAX_UNPLACED).map(|number| Unplaced::new(number.to_string())).collect();
        assert_eq!(field(&many), "tasks");
        let reasons = vec![("x".repeat(MAX_WORDS_BYTES + 1), 1)];
        assert_eq!(field(&[Unplaced { reasons, ..Unplaced::new("a") }]), "tasks[0].reasons[0].why");
        let reasons = vec![("x".repeat(MAX_WORDS_BYTES), 1); MAX_REASONS];
        let full = |number: u32| Unplaced { reasons: reasons.clone(), ..Unplaced::new(number.to_string()) };
        assert_eq!(field(&(0..100).map(full).collect::<Vec<_>>()), "tasks");
    }
}
