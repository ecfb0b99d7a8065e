//! Label selectors: `env==prod, tier in (a,b), canary`.
//!
//! All terms must hold, and all demand that the label is there, `!=` and `notin` too.
//!
//! Source: Marathon's label selectors.

use std::collections::BTreeMap;

/// The longest selector, in bytes.
const MAX_BYTES: usize = 8 << 10;

/// What labels must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    key: String,
    /// None: that it is there is enough. True: one of these; false: none of these.
    values: Option<(bool, Vec<String>)>,
}

impl Selector {
    /// Reads one. Errors: what is wrong, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!(
                "the label selector has {} bytes, at most {MAX_BYTES} are taken",
                text.len()
            ));
        }
        let mut reader = Reader { rest: text };
        let mut terms = vec![reader.term()?];
        while !reader.at_end() {
            reader.expect(",")?;
            terms.push(reader.term()?);
        }
        Ok(Self(terms))
    }

    /// Do these labels satisfy it?
    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|term| match (labels.get(&term.key), &term.values) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(value), Some((wanted, values))) => values.contains(value) == *wanted,
        })
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn at_end(&mut self) -> bool {
        self.skip();
        self.rest.is_empty()
    }

    fn takes(&mut self, token: &str) -> bool {
        self.skip();
        let Some(rest) = self.rest.strip_prefix(token) else { return false };
        self.rest = rest;
        true
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.takes(token) { Ok(()) } else { Err(self.wrong(&format!("'{token}'"))) }
    }

    fn wrong(&self, wanted: &str) -> String {
        let shown: String = self.rest.chars().take(32).collect();
        let found = if shown.is_empty() { "its end".to_owned() } else { format!("'{shown}'") };
        format!(
            "the label selector must have {wanted} where it has {found}; write, for example, env==prod, tier in (a,b)"
        )
    }

    /// A word: letters, digits, `_`, `.`, `-`; any other character with a backslash before it.
    fn word(&mut self) -> Result<String, String> {
        self.skip();
        let (mut word, mut taken) = (String::new(), 0);
        let mut letters = self.rest.char_indices();
        while let Some((at, letter)) = letters.next() {
            let (letter, end) = match letter {
                '\\' => match letters.next() {
                    Some((at, escaped)) => (escaped, at + escaped.len_utf8()),
                    None => break,
                },
                letter if letter.is_ascii_alphanumeric() || "_.-".contains(letter) => (letter, at + 1),
                _ => break,
            };
            word.push(letter);
            taken = end;
        }
        if word.is_empty() {
            return Err(self.wrong("a label or a value"));
        }
        self.rest = &self.rest[taken..];
        Ok(word)
    }

    fn term(&mut self) -> Result<Term, String> {
        let key = self.word()?;
        let values = if self.takes("==") {
            Some((true, vec![self.word()?]))
        } else if self.takes("!=") {
            Some((false, vec![self.word()?]))
        } else if self.at_end() || self.rest.starts_with(',') {
            None
        } else {
            let wanted = match self.word()?.as_str() {
                "in" => true,
                "notin" => false,
                other => {
                    return Err(format!(
                        "the label selector has '{other}' where ==, !=, in or notin belongs"
                    ));
                }
            };
            Some((wanted, self.values()?))
        };
        Ok(Term { key, values })
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        self.expect("(")?;
        let mut values = vec![self.word()?];
        while !self.takes(")") {
            self.expect(",")?;
            values.push(self.word()?);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> bool {
        let labels = [("env", "prod"), ("tier", "a b"), ("empty", "")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Selector::parse(text).unwrap_or_else(|why| panic!("{text}: {why}")).matches(&labels)
    }

    #[test]
    fn every_term_must_hold_and_demands_its_label() {
        for text in [
            "env",
            "env==prod",
            "env == prod, tier",
            "env!=dev",
            "env in (dev,prod)",
            "env notin (a, b)",
            r"tier==a\ b",
            "empty",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in [
            "absent",
            "absent!=x",
            "absent notin (x)",
            "env!=prod",
            "env,absent",
            "env notin (prod)",
            "env in (x)",
        ] {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn what_does_not_parse_is_refused_with_words() {
        for text in
            ["", "==x", "a=b", "a in", "a in ()", "a in (b", "a,,b", "a b c", "a(", "a,", "\\", "\u{fc}==x"]
        {
            assert!(Selector::parse(text).is_err_and(|why| !why.is_empty()), "{text}");
        }
    }
}
