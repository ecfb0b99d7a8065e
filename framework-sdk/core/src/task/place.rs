//! Where a task may go.

use lonja_model::labels::Labels;

use super::Task;
use crate::placement::predicate::Predicate;

impl Task {
    /// It may go only where this holds, and what was said of it before. Looked at by a
    /// [`Placement`](crate::placement::Placement); who places tasks by other means asks [`Task::placed_by`].
    #[must_use]
    pub fn place(mut self, predicate: Predicate) -> Self {
        self.place = std::mem::take(&mut self.place) & predicate;
        self
    }

    /// Where it may go; without [`Task::place`], anywhere.
    pub fn placed_by(&self) -> &Predicate {
        &self.place
    }

    /// Its labels.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }
}
