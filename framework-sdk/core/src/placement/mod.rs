//! Ready-made ways to place tasks on offers.
//!
//! Two levels. [`fit`] and [`first_fit`] take the first place that will do. For more, say what a task asks for
//! ([`Ask`]), see each machine as a [`Room`], and let a [`Scorer`] say which is best: the policies of [`policies`] are
//! scorers, and so is your own. A [`Picker`] keeps the scores of a whole fleet, and a
//! [`Placer`] is a whole scheduler made of one. All of it is plain computation on numbers that offers hold, so it is the same in
//! production, in tests and in the simulator.

mod ask;
mod compose;
mod decision;
mod fit;
mod own_tasks;
mod picker;
mod room;
mod scorer;

pub mod gang;

pub mod placer;

pub mod policies;

pub mod predicate;

pub use ask::{Ask, Gpus};
pub use compose::{By, Lexicographic, Weighted, by};
pub use decision::{Decision, MAX_WISHES, NotTogether, Options, Placed, Placement, Ports, Wanted};
pub use fit::{first_fit, fit, fit_on};
pub use gang::Gangs;
pub use own_tasks::{MAX_AGENTS, MAX_TASKS as MAX_OWN_TASKS, MAX_TRACKED, OwnTasks};
pub use picker::Picker;
pub use placer::Placer;
pub use room::{Room, Spec};
pub use scorer::{Cluster, Place, Scorer};
