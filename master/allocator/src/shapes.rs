//! What agents are made of, kept once for all that are alike.
//!
//! A cluster has many agents of few kinds. What follows from an agent's total is made once and shared, so that a pass
//! over many agents reads the same few lines of memory again and again.

use std::sync::Arc;

use lonja_model::Resources;
use lonja_model::resources::Resource;

use crate::amounts::{Kind, Kinds, part};
use crate::eligibility::GPUS;
use crate::quotas::is_limited;

/// A few amounts in thousandths that many may share. See [`crate::amounts::Parts`].
pub(crate) type SharedParts = Arc<[(Kind, u64)]>;

/// All that follows from a total.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    pub(crate) total: Resources,
    /// Amounts of all of it.
    pub(crate) size: SharedParts,
    /// Amounts of what is unreserved and not revocable in it.
    pub(crate) open: SharedParts,
    /// Is all of it anyone's, for good, and no volume?
    pub(crate) is_plain: bool,
    pub(crate) has_gpus: bool,
}

impl Shape {
    fn new(total: Resources, kinds: &mut Kinds) -> Self {
        let size: SharedParts = kinds.parts(&total, |_| true).into();
        let open = kinds.parts(&total, is_limited).into();
        let has_gpus = kinds.find(GPUS).is_some_and(|gpus| part(&size, gpus) > 0);
        let is_plain = total.iter().all(is_plain);
        Self { total, size, open, is_plain, has_gpus }
    }
}

/// Is it anyone's, for good, and no volume?
pub(crate) fn is_plain(resource: &Resource) -> bool {
    let metadata = resource.metadata();
    metadata.reservations.is_empty() && !metadata.revocable && metadata.disk.is_none()
}

/// How many shapes are remembered, to be found again.
const MOST: usize = 16;

/// The shapes that were asked for last.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    recent: Vec<Arc<Shape>>,
    /// Which gives way next.
    oldest: usize,
}

impl Shapes {
    pub(crate) fn of(&mut self, total: Resources, kinds: &mut Kinds) -> Arc<Shape> {
        if let Some(known) = self.recent.iter().find(|known| known.total == total) {
            return known.clone();
        }
        let shape = Arc::new(Shape::new(total, kinds));
        if self.recent.len() < MOST {
            self.recent.push(shape.clone());
        } else {
            self.recent[self.oldest] = shape.clone();
            self.oldest = (self.oldest + 1) % MOST;
        }
        shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::resources;

    #[test]
    fn equal_totals_have_one_shape_and_others_their_own() {
        let (mut shapes, mut kinds) = (Shapes::default(), Kinds::default());
        let first = shapes.of(resources("cpus:4;cpus(web):2"), &mut kinds);
        assert_eq!((first.is_plain, part(&first.size, 0), part(&first.open, 0)), (false, 6_000, 4_000));
        for count in 1..MOST {
            shapes.of(resources(&format!("cpus:{}", count * 10)), &mut kinds);
        }
        assert!(Arc::ptr_eq(&first, &shapes.of(resources("cpus:4;cpus(web):2"), &mut kinds)));
        shapes.of(resources("gpus:{0:1000}"), &mut kinds);
        let again = shapes.of(resources("cpus:4;cpus(web):2"), &mut kinds);
        assert!(!Arc::ptr_eq(&first, &again) && again.total == first.total);
    }
}
