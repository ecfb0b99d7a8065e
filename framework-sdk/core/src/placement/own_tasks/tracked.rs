//! What is counted as tasks come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lonja_model::labels::Labels;

use super::MAX_TRACKED;
use crate::placement::predicate::{Census, LabelTest, Subject, Tasks};

/// All censuses that are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracked {
    groups: BTreeMap<Subject, Group>,
    /// Which censuses a task may be of, by a label that all of them ask for.
    by_test: BTreeMap<Option<LabelTest>, BTreeSet<(Subject, Tasks)>>,
    by_use: BTreeMap<u64, (Subject, Tasks)>,
    uses: u64,
}

/// All that is counted by one subject.
#[derive(Clone, Debug, Default)]
struct Group {
    /// The values there are, and of how many agents each.
    values: BTreeMap<Arc<str>, u32>,
    censuses: BTreeMap<Tasks, Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    census: Census,
    used: u64,
}

impl Tracked {
    pub(super) fn get(
        &self,
        subject: &Subject,
        tasks: &Tasks,
    ) -> Option<(&BTreeMap<Arc<str>, u32>, &Census)> {
        let group = self.groups.get(subject)?;
        Some((&group.values, &group.censuses.get(tasks)?.census))
    }

    /// It is asked for; `false` if it is not kept.
    pub(super) fn touch(&mut self, subject: &Subject, tasks: &Tasks) -> bool {
        let kept = self.groups.get_mut(subject).and_then(|group| group.censuses.get_mut(tasks));
        let Some(kept) = kept else { return false };
        self.uses += 1;
        if let Some(name) = self.by_use.remove(&kept.used) {
            self.by_use.insert(self.uses, name);
        }
        kept.used = self.uses;
        true
    }

    /// Are the values of this subject known?
    pub(super) fn has_values(&self, subject: &Subject) -> bool {
        self.groups.contains_key(subject)
    }

    pub(super) fn insert_values(&mut self, subject: &Subject, values: BTreeMap<Arc<str>, u32>) {
        self.groups.insert(subject.clone(), Group { values, censuses: BTreeMap::new() });
    }

    /// Keeps a census from now on; the values of its subject are known.
    pub(super) fn insert(&mut self, subject: &Subject, tasks: &Tasks, census: Census) {
        self.uses += 1;
        let Some(group) = self.groups.get_mut(subject) else { return };
        group.censuses.insert(tasks.clone(), Kept { census, used: self.uses });
        let name = (subject.clone(), tasks.clone());
        self.by_test.entry(tasks.first_test().cloned()).or_default().insert(name.clone());
        self.by_use.insert(self.uses, name);
        while self.by_use.len() > MAX_TRACKED {
            let Some((_, (subject, tasks))) = self.by_use.pop_first() else { return };
            self.forget(subject, tasks);
        }
    }

    fn forget(&mut self, subject: Subject, tasks: Tasks) {
        if let Some(group) = self.groups.get_mut(&subject) {
            group.censuses.remove(&tasks);
            if group.censuses.is_empty() {
                self.groups.remove(&subject);
            }
        }
        let test = tasks.first_test().cloned();
        if let Some(names) = self.by_test.get_mut(&test) {
            names.remove(&(subject, tasks));
            if names.is_empty() {
                self.by_test.remove(&test);
            }
        }
    }

    pub(super) fn add_agent(&mut self, value: impl Fn(&Subject) -> Option<Arc<str>>) {
        for (subject, group) in &mut self.groups {
            if let Some(value) = value(subject) {
                *group.values.entry(value).or_default() += 1;
            }
        }
    }

    pub(super) fn remove_agent(&mut self, value: impl Fn(&Subject) -> Option<Arc<str>>) {
        for (subject, group) in &mut self.groups {
            let Some(value) = value(subject) else { continue };
            let Some(count) = group.values.get_mut(&value) else { continue };
            *count -= 1;
            if *count == 0 {
                group.values.remove(&value);
            }
        }
    }

    pub(super) fn add_task(&mut self, labels: &Labels, value: impl Fn(&Subject) -> Option<Arc<str>>) {
        self.each_of(labels, |subject, census| {
            if let Some(value) = value(subject) {
                census.add(&value);
            }
        });
    }

    pub(super) fn remove_task(&mut self, labels: &Labels, value: impl Fn(&Subject) -> Option<Arc<str>>) {
        self.each_of(labels, |subject, census| {
            if let Some(value) = value(subject) {
                census.remove(&value);
            }
        });
    }

    /// Calls `f` with each census that a task with these labels is of.
    fn each_of(&mut self, labels: &Labels, mut f: impl FnMut(&Subject, &mut Census)) {
        if self.by_test.is_empty() {
            return;
        }
        for test in LabelTest::all_met_by(labels) {
            let Some(names) = self.by_test.get(&test) else { continue };
            for (subject, tasks) in names.iter().filter(|(_, tasks)| tasks.match_labels(labels)) {
                let group = self.groups.get_mut(subject);
                if let Some(kept) = group.and_then(|group| group.censuses.get_mut(tasks)) {
                    f(subject, &mut kept.census);
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Subject, &Tasks, &BTreeMap<Arc<str>, u32>, &Census)> {
        self.groups.iter().flat_map(|(subject, group)| {
            let each = group.censuses.iter();
            each.map(move |(tasks, kept)| (subject, tasks, &group.values, &kept.census))
        })
    }
}
