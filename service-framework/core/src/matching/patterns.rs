//! Regular expressions of constraints, each compiled once.

use std::collections::BTreeMap;
use std::sync::Arc;

use lonja_model::pattern::Pattern;

/// The most expressions that are kept compiled; beyond it all are forgotten and begun anew.
const MAX_KEPT: usize = 4_096;

/// Regular expressions by their text, each compiled once. Kept from one decision to the next. At most some 80 MiB.
#[derive(Clone, Debug, Default)]
pub struct Patterns(BTreeMap<Arc<str>, Shape>);

/// A compiled expression, or why it is none.
#[derive(Clone, Debug)]
pub(super) struct Shape(Result<Pattern, Arc<str>>);

impl Patterns {
    pub(super) fn get(&mut self, text: &str) -> Shape {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let shape = Shape(Pattern::compile(text).map_err(Arc::from));
        if self.0.len() >= MAX_KEPT {
            self.0.clear();
        }
        self.0.insert(text.into(), shape.clone());
        shape
    }
}

impl Shape {
    /// Does it match all of the text? None: it is no expression, and nobody knows.
    pub(super) fn matches(&self, text: &str) -> Option<bool> {
        self.0.as_ref().ok().map(|pattern| pattern.matches(text))
    }

    /// Why it is none.
    pub(super) fn fault(&self) -> Option<&str> {
        self.0.as_ref().err().map(|why| &**why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_of_the_whole_text_and_compiled_once() {
        let mut patterns = Patterns::default();
        assert_eq!(patterns.get("r[0-9]").matches("r1"), Some(true));
        assert_eq!(patterns.get("r[0-9]").matches("r12"), Some(false));
        assert_eq!((patterns.get("(a").matches("a"), patterns.0.len()), (None, 2));
        assert!(patterns.get("(a").fault().is_some());
    }
}
