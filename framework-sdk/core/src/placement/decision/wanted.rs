//! A task that waits for a place.

use std::collections::BTreeSet;
use std::sync::Arc;

use lonja_model::TaskId;

use crate::Task;
use crate::placement::Ask;
use crate::placement::predicate::{Leaf, Predicate};

/// The most wishes of one task ([`Wanted::prefer`]); what is beyond is not looked at.
pub const MAX_WISHES: usize = 4;

/// A task that waits for a place: what it asks for, where it may go, and where it would like to.
///
/// ```
/// use lonja_model::TaskId;
/// use lonja_sdk_core::Task;
/// use lonja_sdk_core::placement::Wanted;
/// use lonja_sdk_core::placement::predicate::{attribute, zone};
///
/// let task = Task::shell("serve")?.cpus(0.5)?.place(attribute("disk").is("ssd"));
/// let wanted = Wanted::new(TaskId::new("web-1")?, task)
///     .port(8080)
///     .prefer(zone().is("eu-1"), 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Wanted {
    pub(super) id: TaskId,
    pub(super) task: Arc<Task>,
    pub(super) kind: Arc<Kind>,
}

/// All that decides where tasks may go: equal kinds are looked at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    /// Its ports are all together.
    pub(super) ask: Ask,
    pub(super) place: Predicate,
    /// Asked for by number.
    pub(super) ports: BTreeSet<u64>,
    /// Each of them a [`Leaf::Port`].
    pub(super) port_leaves: Vec<Leaf>,
    pub(super) wishes: Vec<(Predicate, i32)>,
}

impl Wanted {
    /// The task as `id`, with what it says of its needs and its place ([`Task::place`]).
    pub fn new(id: TaskId, task: impl Into<Arc<Task>>) -> Self {
        let task = task.into();
        let place = task.placed_by().clone();
        let kind = Kind { ask: Ask::from(*task.need()), place, ..Kind::default() };
        Self { id, task, kind: Arc::new(kind) }
    }

    /// Where this holds, and what was said before.
    #[must_use]
    pub fn place(mut self, predicate: Predicate) -> Self {
        let kind = Arc::make_mut(&mut self.kind);
        kind.place = std::mem::take(&mut kind.place) & predicate;
        self
    }

    /// Rather where this holds: the scorer's score of such a place counts so much more (or less, below 0); those of the
    /// ready-made policies are from 0 to 100. At most [`MAX_WISHES`].
    #[must_use]
    pub fn prefer(mut self, predicate: Predicate, by: i32) -> Self {
        let kind = Arc::make_mut(&mut self.kind);
        if kind.wishes.len() < MAX_WISHES {
            kind.wishes.push((predicate, by));
        }
        self
    }

    /// On one of these models of GPU, by the agents' attribute `gpu_model`.
    #[must_use]
    pub fn models<T: Into<String>>(mut self, models: impl IntoIterator<Item = T>) -> Self {
        Arc::make_mut(&mut self.kind).ask.models = models.into_iter().map(Into::into).collect();
        self
    }

    /// With just this port, beside those that it asks for whichever they are.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        let kind = Arc::make_mut(&mut self.kind);
        if kind.ports.insert(u64::from(port)) {
            kind.ask.need.ports += 1;
            kind.port_leaves.push(Leaf::Port(u64::from(port)));
        }
        self
    }

    /// Its id.
    pub fn id(&self) -> &TaskId {
        &self.id
    }

    /// What it asks for, all its ports together.
    pub fn ask(&self) -> &Ask {
        &self.kind.ask
    }

    /// Where it may go.
    pub fn predicate(&self) -> &Predicate {
        &self.kind.place
    }
}
