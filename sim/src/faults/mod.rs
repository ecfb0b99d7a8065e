//! What goes wrong, drawn from the seed before the run, and over when the world calms down.
//!
//! Reading order: `kills`, `network`, `clocks`.

pub(crate) mod clocks;
pub(crate) mod kills;
pub(crate) mod network;

use crate::random::Random;
use crate::world::Node;

/// A node that something is to happen to; the master more often than it would by its number.
fn any_node(random: &mut Random, agents: usize, frameworks: usize) -> Node {
    match random.below(10) {
        0..3 => Node::Master,
        3..7 => Node::Agent(random.index(agents)),
        _ => Node::Framework(random.index(frameworks)),
    }
}
