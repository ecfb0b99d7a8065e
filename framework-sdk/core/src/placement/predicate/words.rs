//! Predicates as people read them.

use std::fmt;

use super::subject::listed;
use super::{Comparison, Leaf, Node, Predicate, Rule, Test};

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node() {
            Node::Always => f.write_str("anywhere"),
            Node::Leaf(leaf) => leaf.fmt(f),
            Node::All(of) => joined(f, of, ", and "),
            Node::Any(of) => joined(f, of, ", or "),
            Node::Not(of) => match of.node() {
                Node::Always => f.write_str("nowhere"),
                Node::Leaf(Leaf::Own { subject, tasks, rule: Rule::Present }) => {
                    write!(f, "{subject} has none of {tasks}")
                }
                Node::Leaf(leaf) => write!(f, "not {leaf}"),
                Node::All(_) | Node::Any(_) | Node::Not(_) => write!(f, "not ({of})"),
            },
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, of: &[Predicate], by: &str) -> fmt::Result {
    for (index, one) in of.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { by })?;
        match one.node() {
            Node::All(_) | Node::Any(_) => write!(f, "({one})")?,
            Node::Always | Node::Leaf(_) | Node::Not(_) => write!(f, "{one}")?,
        }
    }
    Ok(())
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Predicate({self})")
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Says { subject, test } => match test {
                Test::Exists => write!(f, "{subject} is told"),
                Test::In(values) if values.len() == 1 => write!(f, "{subject} is {}", listed(values)),
                Test::In(values) => write!(f, "{subject} is one of {}", listed(values)),
                Test::Like(like) => write!(f, "{subject} like {}", like.text),
                Test::Number(comparison, number) => {
                    let sign = match comparison {
                        Comparison::Below => "<",
                        Comparison::AtMost => "<=",
                        Comparison::AtLeast => ">=",
                        Comparison::Above => ">",
                    };
                    write!(f, "{subject} {sign} {number}")
                }
            },
            Self::Free { name, amount } => write!(f, "{name} free >= {amount}"),
            Self::Port(port) => write!(f, "port {port} free"),
            Self::Own { subject, tasks, rule } => match rule {
                Rule::Present => write!(f, "{subject} has {tasks}"),
                Rule::AtMost(most) => write!(f, "{subject} has at most {most} of {tasks}"),
                Rule::Skew { most, expected } => {
                    write!(f, "{subject} spreads {tasks} within {most}")?;
                    if expected.is_empty() { Ok(()) } else { write!(f, " over {}", listed(expected)) }
                }
                Rule::Together => write!(f, "{subject} has all of {tasks}"),
            },
        }
    }
}
