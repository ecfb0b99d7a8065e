//! How many of one kind of thing may be under way: looks at tasks, fetches of files.
//!
//! Invariants
//! - No more than all places are taken, and of them no more than half, rounded up, by one framework.
//! - Who waits is served in order of arrival, among those of its framework and then among all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use lonja_model::FrameworkId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of places. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    of_each: usize,
    frameworks: Arc<Mutex<BTreeMap<FrameworkId, Weak<Semaphore>>>>,
}

/// A place that is taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _of_all: Option<OwnedSemaphorePermit>,
    _of_framework: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(crate) fn new(number: usize) -> Self {
        let all = Arc::new(Semaphore::new(number));
        Self { all, of_each: number.div_ceil(2), frameworks: Arc::default() }
    }

    /// Waits for a place.
    pub(crate) async fn take(&self, framework: &FrameworkId) -> Place {
        let own = self.of(framework);
        // They are never closed; were they, nothing would be left to bound.
        let _of_framework = own.acquire_owned().await.ok();
        let _of_all = self.all.clone().acquire_owned().await.ok();
        Place { _of_all, _of_framework }
    }

    /// The places of one framework; they are there as long as one of them is taken or waited for.
    fn of(&self, framework: &FrameworkId) -> Arc<Semaphore> {
        let mut frameworks = self.frameworks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = frameworks.get(framework).and_then(Weak::upgrade) {
            return own;
        }
        frameworks.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.of_each));
        frameworks.insert(framework.clone(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn one_framework_leaves_half_of_the_places_to_others() {
        let places = Places::new(4);
        let framework = |name: &str| FrameworkId::new(name).unwrap();
        let try_take = |name: &str| places.take(&framework(name)).now_or_never();
        let mut greedy: Vec<_> = (0..9).filter_map(|_| try_take("greedy")).collect();
        assert_eq!(greedy.len(), 2);
        let others: Vec<_> = ["a", "b", "c"].into_iter().filter_map(try_take).collect();
        assert_eq!(others.len(), 2, "all are taken");
        drop(others);
        assert!(try_take("greedy").is_none());
        greedy.pop();
        assert!(try_take("greedy").is_some());
        drop(greedy);
        assert!(try_take("other").is_some());
        assert_eq!(places.frameworks.lock().unwrap().len(), 1, "those who left are forgotten");
    }
}
