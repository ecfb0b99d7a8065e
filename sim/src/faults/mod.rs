//! What goes wrong, drawn from the seed before the run, and over when the world calms down.
//!
//! Reading order: `kills`.

pub(crate) mod kills;
