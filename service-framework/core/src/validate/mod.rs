//! What is wrong with definitions, each fault with the path of its field.
//!
//! A definition is looked at alone here; what is wrong between definitions is seen where changes are planned.
//!
//! Source: Marathon's validation rules.

mod app;
mod checks;
mod container;
mod network;
mod pod;
mod warnings;

pub use app::{app, job};
pub use pod::pod;
pub use warnings::warnings;

/// Something wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Which, such as `/healthChecks(0)/portIndex`; `/`: the whole.
    pub path: String,
    /// What is wrong, and what would do.
    pub message: String,
}

impl Fault {
    /// A fault of the field at `path`.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// The faults that are found.
#[derive(Debug, Default)]
struct Found(Vec<Fault>);

impl Found {
    /// Notes a fault if something is wrong.
    fn when(&mut self, wrong: bool, path: impl Into<String>, message: impl Into<String>) {
        if wrong {
            self.0.push(Fault::at(path, message));
        }
    }

    /// Notes a fault of each that has been there before.
    fn twice<T: Ord>(&mut self, each: impl IntoIterator<Item = (String, T)>, message: &str) {
        let mut seen = std::collections::BTreeSet::new();
        for (path, one) in each {
            if !seen.insert(one) {
                self.0.push(Fault::at(path, message));
            }
        }
    }
}
