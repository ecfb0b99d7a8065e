//! Reading JSON values with the path of each: what is wrong is noted with its place, and reading goes on.
//!
//! Invariants
//! - A reading method that gives nothing has noted a fault; so a document without faults was read whole.
//! - Texts, lists, maps and the number of faults are bounded.
//!
//! Source of the paths: Marathon's error details, such as `/healthChecks(0)/portIndex` and `/env(NAME)`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use lonja_model::resources::Scalar;
use lonja_services_core::validate::Fault;
use serde_json::{Map, Value};

use super::Rejected;

/// The longest text of a field, in bytes.
pub const MAX_TEXT_BYTES: usize = 64 << 10;
/// The most elements of a list or a map.
pub const MAX_ELEMENTS: usize = 10_000;
/// The most faults that are told at once.
pub const MAX_FAULTS: usize = 100;
/// The longest duration, in seconds: a hundred years.
pub(crate) const MAX_SECONDS: u64 = 100 * 365 * 86_400;

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    types: RefCell<Vec<Fault>>,
    values: RefCell<Vec<Fault>>,
    /// Which fields were asked for, where somebody wants to know.
    asked: Option<RefCell<BTreeSet<String>>>,
}

impl Faults {
    /// As `default`, and remembers which fields are asked for.
    #[cfg(test)]
    pub(crate) fn recording() -> Self {
        Self { asked: Some(RefCell::default()), ..Self::default() }
    }

    /// The fields that were asked for, without numbers and names of elements: `/healthChecks()/path`.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> BTreeSet<String> {
        self.asked.as_ref().map(|asked| asked.borrow().clone()).unwrap_or_default()
    }

    /// Notes that a field's form is wrong.
    pub(crate) fn form(&self, path: &str, message: impl Into<String>) {
        Self::note(&self.types, path, message.into());
    }

    /// Notes that a field's meaning is wrong.
    pub(crate) fn meaning(&self, path: &str, message: impl Into<String>) {
        Self::note(&self.values, path, message.into());
    }

    fn note(list: &RefCell<Vec<Fault>>, path: &str, message: String) {
        let mut list = list.borrow_mut();
        if list.len() < MAX_FAULTS {
            list.push(Fault::at(if path.is_empty() { "/" } else { path }, message));
        }
    }

    /// What was read, if nothing is wrong with its form; `later` then says what else is wrong with it.
    pub(crate) fn settle<T>(
        self,
        read: Option<T>,
        later: impl FnOnce(&T) -> Vec<Fault>,
    ) -> Result<T, Rejected> {
        let types = self.types.into_inner();
        let Some(read) = read.filter(|_| types.is_empty()) else { return Err(Rejected::Types(types)) };
        let mut values = self.values.into_inner();
        values.extend(later(&read));
        values.truncate(MAX_FAULTS);
        if values.is_empty() { Ok(read) } else { Err(Rejected::Values(values)) }
    }
}

/// One value at its place.
#[derive(Clone, Debug)]
pub(crate) struct At<'a> {
    pub(crate) value: &'a Value,
    pub(crate) path: String,
    pub(crate) faults: &'a Faults,
}

/// The fields of one object.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    map: &'a Map<String, Value>,
    pub(crate) path: String,
    pub(crate) faults: &'a Faults,
}

impl<'a> At<'a> {
    /// The whole document.
    pub(crate) fn root(value: &'a Value, faults: &'a Faults) -> Self {
        Self { value, path: String::new(), faults }
    }

    /// Notes that its form is wrong.
    pub(crate) fn form<T>(&self, message: impl Into<String>) -> Option<T> {
        self.faults.form(&self.path, message);
        None
    }

    /// Notes that its meaning is wrong.
    pub(crate) fn meaning(&self, message: impl Into<String>) {
        self.faults.meaning(&self.path, message);
    }

    fn other_kind<T>(&self, wanted: &str) -> Option<T> {
        let found = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.form(format!("must be {wanted}, and is {found}"))
    }

    /// Its fields.
    pub(crate) fn object(&self) -> Option<Fields<'a>> {
        let Some(map) = self.value.as_object() else { return self.other_kind("an object") };
        Some(Fields { map, path: self.path.clone(), faults: self.faults })
    }

    /// A text.
    pub(crate) fn text(&self) -> Option<String> {
        let Some(text) = self.value.as_str() else { return self.other_kind("a string") };
        if text.len() > MAX_TEXT_BYTES {
            return self.form(format!("has {} bytes, at most {MAX_TEXT_BYTES} are taken", text.len()));
        }
        if text.contains('\0') {
            return self.form("must not contain the character of the code zero");
        }
        Some(text.to_owned())
    }

    /// A text of which nothing is asked: what a peer said once, and is kept.
    pub(crate) fn any_text(&self) -> Option<String> {
        self.value.as_str().map(str::to_owned).or_else(|| self.other_kind("a string"))
    }

    /// A text of at least one and at most `most` characters.
    pub(crate) fn text_within(&self, most: usize) -> Option<String> {
        let text = self.text()?;
        let length = text.chars().count();
        if length == 0 || length > most {
            return self.form(format!("must have 1 to {most} characters, and has {length}"));
        }
        Some(text)
    }

    /// A text that is not empty.
    pub(crate) fn words(&self) -> Option<String> {
        self.text_within(MAX_TEXT_BYTES)
    }

    /// True or false.
    pub(crate) fn flag(&self) -> Option<bool> {
        self.value.as_bool().or_else(|| self.other_kind("true or false"))
    }

    /// A number within a range.
    pub(crate) fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let Some(number) = self.value.as_f64().filter(|_| self.value.is_number()) else {
            return self.other_kind("a number");
        };
        if !range.contains(&number) {
            return self.form(out_of(number, *range.start(), *range.end()));
        }
        // Zero has one form.
        Some(if number == 0.0 { 0.0 } else { number })
    }

    /// A whole number within a range. `2.0` is one.
    pub(crate) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let Value::Number(number) = self.value else { return self.other_kind("a whole number") };
        let whole = number.as_u64().or_else(|| {
            let number = number.as_f64()?;
            // 2^53: above it doubles are no longer exact.
            (number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number))
                .then_some(number as u64)
        });
        match whole {
            Some(whole) if range.contains(&whole) => Some(whole),
            _ if number.as_f64().is_some_and(|number| number.fract() != 0.0) => {
                self.form(format!("must be a whole number, and is {number}"))
            }
            _ => self.form(out_of(number, range.start(), range.end())),
        }
    }

    /// A whole number that fits.
    pub(crate) fn count(&self) -> Option<u32> {
        self.integer(0..=u64::from(i32::MAX.unsigned_abs())).and_then(|count| u32::try_from(count).ok())
    }

    /// A port; 0 as well.
    pub(crate) fn port(&self) -> Option<u16> {
        self.integer(0..=u64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok())
    }

    /// An amount of a resource, at least `least` thousandths.
    pub(crate) fn amount(&self, least: u64) -> Option<Scalar> {
        let most = Scalar::MAX.to_f64();
        let number = self.number(0.0..=most)?;
        match Scalar::from_f64(number) {
            Ok(amount) if amount.thousandths() >= least => Some(amount),
            Ok(_) => self.form(out_of(number, least as f64 / 1000.0, most)),
            Err(error) => self.form(error.to_string()),
        }
    }

    /// A duration in whole seconds.
    pub(crate) fn seconds(&self) -> Option<Duration> {
        self.integer(0..=MAX_SECONDS).map(Duration::from_secs)
    }

    /// A duration in whole seconds, one at least.
    pub(crate) fn some_seconds(&self) -> Option<Duration> {
        self.integer(1..=MAX_SECONDS).map(Duration::from_secs)
    }

    /// One of these words.
    pub(crate) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.form(format!("must be one of {}, and is {:?}", known.join(", "), shortened(&text)))
        })
    }

    /// The elements of a list, each read by `read`. None if any is wrong.
    pub(crate) fn list<T>(&self, read: impl Fn(&At<'a>) -> Option<T>) -> Option<Vec<T>> {
        self.list_within(MAX_ELEMENTS, read)
    }

    /// As [`At::list`], of at most `most` elements.
    pub(crate) fn list_within<T>(&self, most: usize, read: impl Fn(&At<'a>) -> Option<T>) -> Option<Vec<T>> {
        let Some(elements) = self.value.as_array() else { return self.other_kind("a list") };
        if elements.len() > most {
            return self.form(format!("has {} elements, at most {most} are taken", elements.len()));
        }
        // All are read, so that all faults are told; only then one that is missing makes the list missing.
        let read: Vec<Option<T>> = elements
            .iter()
            .enumerate()
            .map(|(index, value)| {
                let path = if self.path.is_empty() { "/" } else { &self.path };
                read(&At { value, path: format!("{path}({index})"), faults: self.faults })
            })
            .collect();
        read.into_iter().collect()
    }

    /// The texts of a list.
    pub(crate) fn texts(&self) -> Option<Vec<String>> {
        self.list(At::text)
    }

    /// The values of a map, each read by `read`. None if any is wrong.
    pub(crate) fn map<T>(&self, read: impl Fn(&At<'a>) -> Option<T>) -> Option<BTreeMap<String, T>> {
        self.map_within(MAX_ELEMENTS, read)
    }

    /// As [`At::map`], of at most `most` entries.
    pub(crate) fn map_within<T>(
        &self,
        most: usize,
        read: impl Fn(&At<'a>) -> Option<T>,
    ) -> Option<BTreeMap<String, T>> {
        let Some(map) = self.value.as_object() else { return self.other_kind("an object") };
        if map.len() > most {
            return self.form(format!("has {} entries, at most {most} are taken", map.len()));
        }
        let read: Vec<Option<(String, T)>> = map
            .iter()
            .map(|(name, value)| {
                let path = format!("{}({})", self.path, shortened(name));
                let at = At { value, path, faults: self.faults };
                if name.len() > MAX_TEXT_BYTES || name.contains('\0') {
                    return at.form("the name is too long, or contains the character of the code zero");
                }
                read(&at).map(|value| (name.clone(), value))
            })
            .collect();
        read.into_iter().collect()
    }

    /// Texts by name.
    pub(crate) fn labels(&self) -> Option<BTreeMap<String, String>> {
        self.map(At::text)
    }
}

impl<'a> Fields<'a> {
    /// A field, unless it is absent or null.
    pub(crate) fn get(&self, name: &str) -> Option<At<'a>> {
        if let Some(asked) = &self.faults.asked {
            asked.borrow_mut().insert(format!("{}/{name}", bare(&self.path)));
        }
        let value = self.map.get(name).filter(|value| !value.is_null())?;
        Some(At { value, path: format!("{}/{name}", self.path), faults: self.faults })
    }

    /// A field that must be there.
    pub(crate) fn need(&self, name: &str) -> Option<At<'a>> {
        let found = self.get(name);
        if found.is_none() {
            self.faults.form(&format!("{}/{name}", self.path), "is missing; it must be given");
        }
        found
    }

    /// Is it there?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The field, or what it is when it is absent. None if it is wrong.
    pub(crate) fn or<T>(&self, name: &str, read: impl Fn(&At<'a>) -> Option<T>, absent: T) -> Option<T> {
        match self.get(name) {
            Some(at) => read(&at),
            None => Some(absent),
        }
    }

    /// The field, if it is there. None if it is wrong.
    pub(crate) fn maybe<T>(&self, name: &str, read: impl Fn(&At<'a>) -> Option<T>) -> Option<Option<T>> {
        match self.get(name) {
            Some(at) => read(&at).map(Some),
            None => Some(None),
        }
    }

    /// The path of one of its fields.
    pub(crate) fn path_of(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// Notes that the meaning of one of its fields is wrong.
    pub(crate) fn meaning(&self, name: &str, message: impl Into<String>) {
        self.faults.meaning(&self.path_of(name), message);
    }
}

fn out_of(
    number: impl std::fmt::Display,
    least: impl std::fmt::Display,
    most: impl std::fmt::Display,
) -> String {
    format!("must be from {least} to {most}, and is {number}")
}

/// A text for a message: its first 64 characters.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

/// A path without numbers and names of elements.
fn bare(path: &str) -> String {
    let mut inside = false;
    let mut bare = String::new();
    for letter in path.chars() {
        if letter == '(' {
            bare.push_str("()");
            inside = true;
        }
        if !inside {
            bare.push(letter);
        }
        if letter == ')' {
            inside = false;
        }
    }
    bare
}
