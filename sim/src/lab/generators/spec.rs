//! The words for a generator: `poisson:rate=10,mean=300s`.
//!
//! A name, a colon, and parameters with commas between them; each parameter may stand once. What a generator does not
//! know is refused with what it knows.

use std::time::Duration;

use lonja_model::resources::Scalar;
use lonja_sdk_core::placement::Gpus;

use crate::lab::amounts;
use crate::random::Random;

/// Characters of the words that an error repeats.
const SHOWN: usize = 64;
/// Bytes of all the words.
const MOST_BYTES: usize = 4096;
/// Values between which one parameter lets the lot decide.
const MOST_CHOICES: usize = 64;
/// The longest time: 31 years, as in traces.
const LONGEST_SECONDS: f64 = 1e9;

/// Why words for a workload are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWords {
    /// No generator of this name.
    #[error("no generator {name:?}; there are {known}")]
    UnknownGenerator {
        /// What was asked for, cut to 64 characters.
        name: String,
        /// The names of the generators.
        known: String,
    },
    /// The generator has no such parameter.
    #[error("{generator}: no parameter {name:?}; there are {known}")]
    UnknownParameter {
        /// The generator.
        generator: &'static str,
        /// What was asked for, cut to 64 characters.
        name: String,
        /// The names of its parameters.
        known: String,
    },
    /// A parameter with a value that it cannot have.
    #[error("{of}: {parameter}: found {found:?}, expected {expected}")]
    Parameter {
        /// Whose: a generator, or `framework-mix`.
        of: &'static str,
        /// The parameter.
        parameter: String,
        /// What stands there, cut to 64 characters.
        found: String,
        /// What could stand there.
        expected: String,
    },
    /// The machines cannot be so.
    #[error("{what}: found {found:?}, expected {expected}")]
    Machines {
        /// Their number, or what each has.
        what: &'static str,
        /// What was asked for, cut to 64 characters.
        found: String,
        /// What it could be.
        expected: String,
    },
}

/// The beginning of `text`, enough to know it again.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// The parameters of one generator.
pub(super) struct Parameters<'w> {
    generator: &'static str,
    given: Vec<(&'w str, &'w str)>,
}

impl<'w> Parameters<'w> {
    /// Cuts the words behind the generator's name. `known`: its parameters.
    pub(super) fn parse(
        generator: &'static str,
        words: &'w str,
        known: &[&str],
    ) -> Result<Self, InvalidWords> {
        let mut all = Self { generator, given: Vec::new() };
        if words.len() > MOST_BYTES {
            return Err(all.wrong("words", words, &format!("at most {MOST_BYTES} bytes")));
        }
        for item in words.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            let (name, value) = (name.trim(), value.trim());
            if !known.contains(&name) {
                let (name, known) = (shown(name), known.join(", "));
                return Err(InvalidWords::UnknownParameter { generator, name, known });
            }
            if value.is_empty() {
                return Err(all.wrong(name, item, &format!("{name}=VALUE")));
            }
            if all.text(name).is_some() {
                return Err(all.wrong(name, value, "each parameter once"));
            }
            all.given.push((name, value));
        }
        Ok(all)
    }

    /// That a parameter holds something else than it should.
    pub(super) fn wrong(&self, parameter: &str, found: &str, expected: &str) -> InvalidWords {
        let (parameter, found, expected) = (parameter.to_owned(), shown(found), expected.to_owned());
        InvalidWords::Parameter { of: self.generator, parameter, found, expected }
    }

    /// What stands for `name`, if it is given.
    pub(super) fn text(&self, name: &str) -> Option<&'w str> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, value)| *value)
    }

    /// A whole number from `least` to `most`.
    pub(super) fn count(&self, name: &str, least: usize, most: usize) -> Result<Option<usize>, InvalidWords> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let count = text.parse().ok().filter(|count| (least..=most).contains(count));
        let expected = || format!("a whole number from {least} to {most}");
        count.map(Some).ok_or_else(|| self.wrong(name, text, &expected()))
    }

    /// A number above 0 and up to `most`.
    pub(super) fn number(&self, name: &str, most: f64) -> Result<Option<f64>, InvalidWords> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = decimal(text).filter(|number| *number > 0.0 && *number <= most);
        number.map(Some).ok_or_else(|| self.wrong(name, text, &format!("a number above 0, up to {most}")))
    }

    /// A time above 0: a number with its unit.
    pub(super) fn time(&self, name: &str, usual: Duration) -> Result<Duration, InvalidWords> {
        let Some(text) = self.text(name) else { return Ok(usual) };
        let expected = "a time above 0 with its unit (ms, s, m, h or d), such as 300s, up to 31 years";
        time(text).filter(|time| !time.is_zero()).ok_or_else(|| self.wrong(name, text, expected))
    }

    /// One amount or several with `|` between them, of which the lot takes one.
    pub(super) fn amounts(&self, name: &str, usual: &str) -> Result<Choice<Scalar>, InvalidWords> {
        let expected = "a number with up to three decimals, or several with `|` between them";
        self.choice(name, usual, expected, amounts::scalar)
    }

    /// What a task asks of GPUs, or several with `|` between them, of which the lot takes one.
    pub(super) fn gpus(&self, name: &str) -> Result<Choice<Gpus>, InvalidWords> {
        let expected = "a whole number up to 1024 or a part of one below 1, or several with `|` between them";
        self.choice(name, "0", expected, amounts::gpus)
    }

    fn choice<T>(
        &self,
        name: &str,
        usual: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Choice<T>, InvalidWords> {
        let text = self.text(name).unwrap_or(usual);
        let choices: Option<Vec<T>> = text.split('|').map(|one| parse(one.trim())).collect();
        let choices = choices.filter(|choices| (1..=MOST_CHOICES).contains(&choices.len()));
        choices.map(Choice).ok_or_else(|| self.wrong(name, text, expected))
    }
}

/// Values of which the lot takes one, each as often as the others. At least one.
#[derive(Clone, Debug)]
pub(super) struct Choice<T>(Vec<T>);

impl<T: Copy> Choice<T> {
    /// One of them. Draws nothing if there is only one.
    pub(super) fn draw(&self, random: &mut Random) -> T {
        if self.0.len() == 1 { self.0[0] } else { self.0[random.index(self.0.len())] }
    }

    pub(super) fn all(&self) -> &[T] {
        &self.0
    }
}

/// A number in decimal digits: no sign, no exponent, no `inf`.
pub(super) fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| plain)
}

/// A time such as `300s`, `1.5h` or `250ms`; at most 31 years.
fn time(text: &str) -> Option<Duration> {
    let unit = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let seconds = decimal(number.trim())? * seconds;
    (seconds <= LONGEST_SECONDS).then(|| Duration::from_secs_f64(seconds))
}
