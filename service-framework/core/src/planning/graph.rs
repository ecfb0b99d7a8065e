//! Who is to run before whom.
//!
//! That all of one group depends on all of another would be a product of edges. Two nodes of each group keep the graph as
//! small as what is written down: what is in a group follows its `Begin`, which follows what the group depends on, and the
//! `End` of a group follows all that is in it.
//!
//! Invariants
//! - Every cycle passes through an app or pod, so that groups without any are no part of one.

use std::collections::BTreeMap;

use super::tree::Tree;
use crate::definition::RunSpec;
use crate::groups::Group;
use crate::path_id::PathId;

/// What the graph is made of.
pub(super) trait Wanted {
    fn spec(&self, id: &PathId) -> Option<&RunSpec>;
    fn group(&self, id: &PathId) -> Option<&Group>;
    /// The names of all apps and pods below a group.
    fn names_below(&self, group: &PathId) -> Vec<PathId>;
}

impl<T: Tree + ?Sized> Wanted for T {
    fn spec(&self, id: &PathId) -> Option<&RunSpec> {
        Tree::spec(self, id)
    }

    fn group(&self, id: &PathId) -> Option<&Group> {
        Tree::group(self, id)
    }

    fn names_below(&self, group: &PathId) -> Vec<PathId> {
        self.specs_below(group).map(|(id, _)| id.clone()).collect()
    }
}

/// Things that would each have to run before itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dependencies are cyclic: {}", .0.iter().map(PathId::as_str).collect::<Vec<_>>().join(" -> "))]
pub struct Cycle(pub Vec<PathId>);

/// A part of the graph.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    /// An app or pod.
    Spec(PathId),
    /// What comes before all that is in a group.
    Begin(PathId),
    /// All that is in a group.
    End(PathId),
}

/// How many apps and pods stand in a row below each of these and what they depend on: 0 for what depends on nothing.
/// Errors: one cycle that is reached from them. O((nodes + edges reached) log nodes).
///
/// Source: the longest path of Marathon's dependency graph.
pub fn layers<'a>(
    tree: &dyn Tree,
    of: impl IntoIterator<Item = &'a PathId>,
) -> Result<BTreeMap<PathId, usize>, Cycle> {
    let nodes = of.into_iter().cloned().map(Node::Spec).collect();
    depths(tree, nodes)
}

/// A node that is being looked at, and what is left to look at below it.
struct Frame {
    node: Node,
    below: Vec<Node>,
    depth: usize,
}

/// As [`layers`], from any nodes.
pub(super) fn depths<W: Wanted + ?Sized>(
    wanted: &W,
    roots: Vec<Node>,
) -> Result<BTreeMap<PathId, usize>, Cycle> {
    // None: on the way down.
    let mut known: BTreeMap<Node, Option<usize>> = BTreeMap::new();
    for root in roots {
        let mut stack = Vec::new();
        enter(wanted, root, &mut known, &mut stack)?;
        while let Some(frame) = stack.last_mut() {
            if let Some(next) = frame.below.pop() {
                match known.get(&next) {
                    Some(Some(depth)) => frame.depth = frame.depth.max(above(&next, *depth)),
                    Some(None) | None => enter(wanted, next, &mut known, &mut stack)?,
                }
                continue;
            }
            let Some(done) = stack.pop() else { break };
            if let Some(parent) = stack.last_mut() {
                parent.depth = parent.depth.max(above(&done.node, done.depth));
            }
            known.insert(done.node, Some(done.depth));
        }
    }
    let of_specs = known.into_iter().filter_map(|(node, depth)| match node {
        Node::Spec(id) => Some((id, depth?)),
        Node::Begin(_) | Node::End(_) => None,
    });
    Ok(of_specs.collect())
}

/// Where what depends on this node stands at least.
fn above(node: &Node, depth: usize) -> usize {
    match node {
        Node::Spec(_) => depth + 1,
        Node::Begin(_) | Node::End(_) => depth,
    }
}

/// Goes down into a node, unless it is known.
fn enter<W: Wanted + ?Sized>(
    wanted: &W,
    node: Node,
    known: &mut BTreeMap<Node, Option<usize>>,
    stack: &mut Vec<Frame>,
) -> Result<(), Cycle> {
    match known.get(&node) {
        Some(Some(_)) => return Ok(()),
        Some(None) => return Err(cycle(stack, &node)),
        None => {}
    }
    known.insert(node.clone(), None);
    stack.push(Frame { below: successors(wanted, &node), node, depth: 0 });
    Ok(())
}

/// The apps and pods on the way from a node back to itself.
fn cycle(stack: &[Frame], node: &Node) -> Cycle {
    let way = stack.iter().skip_while(|frame| frame.node != *node);
    let mut names: Vec<PathId> = way
        .filter_map(|frame| match &frame.node {
            Node::Spec(id) => Some(id.clone()),
            Node::Begin(_) | Node::End(_) => None,
        })
        .collect();
    names.extend(names.first().cloned());
    Cycle(names)
}

/// What comes directly before a node.
fn successors<W: Wanted + ?Sized>(wanted: &W, node: &Node) -> Vec<Node> {
    let target = |id: &PathId| {
        if wanted.spec(id).is_some() {
            Some(Node::Spec(id.clone()))
        } else {
            wanted.group(id).map(|_| Node::End(id.clone()))
        }
    };
    let (id, dependencies) = match node {
        Node::End(group) => return wanted.names_below(group).into_iter().map(Node::Spec).collect(),
        Node::Spec(id) => (id, wanted.spec(id).map(RunSpec::dependencies)),
        Node::Begin(id) => (id, wanted.group(id).map(|group| group.dependencies.as_slice())),
    };
    let own = dependencies.unwrap_or_default().iter().filter_map(target);
    own.chain(id.parent().map(Node::Begin)).collect()
}
