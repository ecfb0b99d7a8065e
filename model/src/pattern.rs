//! One regular expression over an attribute, as master and frameworks understand it: bounded in size, linear in time,
//! and of the whole text.
//!
//! A pattern comes from a peer, so that it may be a bomb. It cannot be one here:
//! - it has at most [`MAX_PATTERN_BYTES`] bytes and nests at most [`MAX_NESTING`] deep;
//! - its program has at most [`MAX_PROGRAM_BYTES`]: `a{1000}{1000}` is refused before it is built;
//! - it is matched by automata in time linear in the text: `(a+)+$` is a pattern like any other.
//!
//! The language is what RE2, which Mesos uses, and the engine here have in common; where they would read one pattern
//! differently it is read as RE2 does (`\d`, `\s`, `\w` and `\b` mean ASCII; `\<` is a `<`), or refused (classes of
//! Unicode such as `\pL`, and all flags but `i`, `m`, `s` and `U`). One difference remains: within brackets a `[`, and
//! `&&`, `--` and `~~`, are literal only after a backslash.
//!
//! Source: RE2, syntax; Mesos, master flags `offer_constraints_re2_max_mem` (4096 bytes) and
//! `offer_constraints_re2_max_program_size` (100 instructions).

use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1024;

/// The deepest nesting of groups, repetitions and classes.
pub const MAX_NESTING: u32 = 50;

/// The largest program of a pattern, in bytes. An instruction takes about 40 bytes here where RE2 has 8, so that this
/// is the class of pattern that Mesos lets through with its 4096 bytes: some hundred instructions. `.` and negated
/// classes take some twenty each, for they match characters of one to four bytes.
///
/// Measured: to compile a pattern takes 50 to 450 microseconds and, once used, 10 to 20 KiB; to judge an agent by it
/// some 50 nanoseconds.
pub const MAX_PROGRAM_BYTES: usize = 16 << 10;

/// What matching may remember of the states it has been through, in bytes; beyond it begins to forget. The text
/// is short, so that little is lost.
const MAX_CACHE_BYTES: usize = 32 << 10;

/// A compiled pattern. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Errors: what is wrong with it, in words and in one line.
    pub fn compile(text: &str) -> Result<Self, String> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(format!("it has {} bytes, more than {MAX_PATTERN_BYTES}; shorten it", text.len()));
        }
        let text = translate(text)?;
        // On its own first: `a)(b` makes sense in the middle of another pattern only.
        build(&text)?;
        build(&format!(r"\A(?:{text})\z")).map(Self)
    }

    /// Does it match all of `text`? Linear in its length.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

fn build(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(text)
        .size_limit(MAX_PROGRAM_BYTES)
        .dfa_size_limit(MAX_CACHE_BYTES)
        .nest_limit(MAX_NESTING)
        .build();
    built.map_err(|error| {
        if let regex::Error::CompiledTooBig(limit) = error {
            return format!(
                "its program would have more than {limit} bytes; ask for fewer repetitions or alternatives"
            );
        }
        // Several lines that draw the place; the last one says what is wrong.
        let drawn = error.to_string();
        drawn.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

/// The pattern as the engine must be told it for it to mean what it means to RE2. Errors: what RE2 does not know.
fn translate(pattern: &str) -> Result<String, String> {
    let mut translated = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    // How many brackets are open.
    let mut classes = 0_u32;
    while let Some(c) = rest.next() {
        match c {
            '\\' => escape(&mut translated, rest.next(), classes > 0)?,
            '[' => {
                classes += 1;
                translated.push(c);
                open_class(&mut translated, &mut rest);
            }
            ']' => {
                classes = classes.saturating_sub(1);
                translated.push(c);
            }
            '(' if classes == 0 && rest.peek() == Some(&'?') => {
                check_flags(rest.clone())?;
                translated.push(c);
            }
            _ => translated.push(c),
        }
    }
    Ok(translated)
}

/// After an opening bracket, and after its `^`, a closing one is literal.
fn open_class(translated: &mut String, rest: &mut Peekable<Chars<'_>>) {
    translated.extend(rest.next_if_eq(&'^'));
    translated.extend(rest.next_if_eq(&']'));
}

fn escape(translated: &mut String, escaped: Option<char>, in_class: bool) -> Result<(), String> {
    match escaped {
        Some('d') => translated.push_str("[0-9]"),
        Some('D') => translated.push_str("[^0-9]"),
        Some('s') => translated.push_str(r"[\t\n\f\r ]"),
        Some('S') => translated.push_str(r"[^\t\n\f\r ]"),
        Some('w') => translated.push_str("[0-9A-Za-z_]"),
        Some('W') => translated.push_str("[^0-9A-Za-z_]"),
        Some('b') if !in_class => translated.push_str(r"(?-u:\b)"),
        Some('B') if !in_class => translated.push_str(r"(?-u:\B)"),
        Some(literal @ ('<' | '>')) => translated.push(literal),
        Some('p' | 'P') => {
            return Err("classes of Unicode such as \\pL are not taken; list the characters".to_owned());
        }
        other => {
            translated.push('\\');
            translated.extend(other);
        }
    }
    Ok(())
}

/// What stands after `(`: of flags only those that RE2 has.
fn check_flags(rest: Peekable<Chars<'_>>) -> Result<(), String> {
    let flags = rest.skip(1).take_while(|c| c.is_ascii_alphabetic() || *c == '-');
    // `(?P<name>`: not a flag.
    let mut foreign = flags.filter(|c| !matches!(c, 'i' | 'm' | 's' | 'U' | 'P' | '-'));
    match foreign.next() {
        Some(flag) => Err(format!("the flag {flag} is not taken; the flags are i, m, s and U")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::compile(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}")).matches(text)
    }

    fn refusal(pattern: &str) -> String {
        let why = Pattern::compile(pattern).err().unwrap_or_else(|| panic!("{pattern} was taken"));
        assert!(!why.contains('\n') && why.len() < 300, "{why}");
        why
    }

    #[test]
    fn a_pattern_is_of_the_whole_text() {
        assert!(matches("r[0-9]", "r1"));
        for more in ["r12", "xr1", "r1\n", "\nr1", ""] {
            assert!(!matches("r[0-9]", more), "{more:?}");
        }
        assert!(matches("a|bc", "bc") && !matches("a|bc", "ac"), "the whole of one alternative");
        assert!(matches("(?i)RACK", "rack") && matches("a.*", "a") && matches("", ""));
    }

    #[test]
    fn a_pattern_is_read_as_re2_reads_it() {
        assert!(matches(r"\d+\w\s", "12_ ") && !matches(r"\d", "٣") && !matches(r"\w", "é"));
        assert!(matches(r"[\d-]+", "1-2") && matches(r"[^\D]", "7") && matches(r"[\w.]+", "a.b"));
        assert!(matches(r"a\b.*", "a b") && !matches(r"a\b.*", "ab") && matches(r"\<\>", "<>"));
        assert!(matches(r"[]\d]+", "]1") && matches(r"[[:alpha:]]+", "abc") && matches(r"\\d", "\\d"));
        assert!(matches("(?P<name>a)(?:b)", "ab") && matches("é.", "éü"));
        assert!(refusal(r"\pL+").contains("Unicode"));
        assert!(refusal("(?x)a # comment").contains("flag x") && refusal("(?-u:a)").contains("flag u"));
        assert!(matches("[(?x)]", "x"), "no flags within brackets");
    }

    #[test]
    fn nonsense_is_refused_in_one_line() {
        assert_eq!(refusal("(a"), "unclosed group");
        assert_eq!(refusal("a)(b"), "unopened group");
        assert_eq!(refusal(r"(a)\1"), "backreferences are not supported");
        for bad in ["[a", "*", "a**{", "(?=a)", r"\", "[z-a]", r"[\b]", r"a{2,1}"] {
            refusal(bad);
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_built() {
        for bomb in
            ["a{1000}{1000}", "((a{100}){100}){100}", "(((a*)*){99})*{99999}", "[a-z]{9999}", "(?i)x{9999}"]
        {
            let why = refusal(bomb);
            assert!(why.contains("program") || why.contains("large") || why.contains("repetition"), "{why}");
        }
        assert!(refusal(&"a".repeat(1 << 20)).contains("1048576 bytes"));
        assert!(
            refusal(&"(".repeat(1_000)).contains("nest") || refusal(&"(".repeat(1_000)).contains("unclosed")
        );
        let deep = format!("{}a{}", "(".repeat(400), ")".repeat(400));
        assert!(refusal(&deep).contains("nest"), "{}", refusal(&deep));
    }

    #[test]
    fn a_pattern_that_blows_up_elsewhere_is_matched_in_linear_time() {
        let text = format!("{}!", "a".repeat(5_000));
        for pattern in ["(a+)+$", "(a|a)*b", "(a*)*b", "(.*a){12}b"] {
            assert!(!matches(pattern, &text), "{pattern}");
        }
    }

    proptest! {
        /// Whatever is taken means itself: a text without a meaning of its own matches itself and nothing else.
        #[test]
        fn an_escaped_text_matches_itself(text in "[a-z0-9.*+?()|{}^$ -]{0,20}", other in "[a-z.]{0,4}") {
            let pattern = regex::escape(&text);
            prop_assert!(matches(&pattern, &text));
            prop_assert_eq!(matches(&pattern, &other), text == other);
        }

        #[test]
        fn no_pattern_harms_the_compiler(pattern in r"(?s)([a-c0-9\\\[\]()?*+{},|^$.:P<>xib&~-]|.){0,24}", text in ".{0,8}") {
            if let Ok(pattern) = Pattern::compile(&pattern) {
                pattern.matches(&text);
            }
        }
    }
}
