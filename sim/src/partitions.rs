//! What silence may bring about, and what not.

use std::collections::BTreeMap;

use lonja_model::Timestamp;

use crate::world::Node;

/// What is known of silence.
#[derive(Debug, Default)]
pub(crate) struct Partitions {
    disturbed: BTreeMap<Node, Timestamp>,
}

impl Partitions {
    /// Something has befallen `node` or its link.
    pub(crate) fn disturbs(&mut self, node: Node, now: Timestamp) {
        self.disturbed.insert(node, now);
    }
}
