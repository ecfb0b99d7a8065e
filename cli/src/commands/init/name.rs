//! What a crate may be called.

/// Words that no crate can have for its name: those of the language, and the crates that are always there.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    "lonja_sdk",
    "tokio",
    "build",
    "deps",
    "examples",
    "incremental",
];

/// The longest name.
const LONGEST: usize = 64;

/// Why `name` is no name for a crate, and what would be one; `None`: it is.
pub(super) fn wrong_with(name: &str) -> Option<String> {
    let first = name.chars().next();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if !first.is_some_and(|letter| letter.is_ascii_alphabetic()) {
        Some("it has to begin with a letter from a to z".to_owned())
    } else if let Some(letter) = name.chars().find(|letter| !plain(*letter)) {
        Some(format!("it holds {letter:?}; letters, digits, - and _ are allowed"))
    } else if name.len() > LONGEST {
        Some(format!("it is longer than {LONGEST} characters"))
    } else if TAKEN.contains(&name.replace('-', "_").to_lowercase().as_str()) {
        Some("that name is taken by the language or by a crate that is needed".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_cargo_takes() {
        for name in ["my-scheduler", "a", "Cron2", "x_y"] {
            assert_eq!(wrong_with(name), None, "{name}");
        }
        let long = "x".repeat(65);
        for name in
            ["", "2fast", "-x", "a b", "../up", "/abs", "a.b", "fn", "proc-macro", "lonja-sdk", "é", &long]
        {
            assert!(wrong_with(name).is_some(), "{name}");
        }
    }
}
