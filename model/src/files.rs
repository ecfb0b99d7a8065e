//! Files that come with a task: what is fetched for it, what it alone may read, where its volumes come from.
//!
//! Invariants
//! - A [`Uri`] that exists can be asked for: its scheme is served, it names no password, and its file has a name
//!   that stays in the sandbox.
//! - What is secret is never shown: [`SecretBytes`] has no text form but dots.
//!
//! Source: Mesos v1 `CommandInfo.URI`, `Secret`, `Volume.Source`; the kinds of schemes are `docs/isolation.md`, "Files".

use std::fmt;
use std::str::FromStr;

/// The longest secret, in bytes.
pub const LONGEST_SECRET: usize = 64 << 10;

/// A file to bring into the sandbox before the program starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    value: String,
    output_file: Option<String>,
    /// Made executable, and then not unpacked.
    pub executable: bool,
    /// Unpacked beside itself if its name is that of an archive.
    pub extract: bool,
    /// Kept on the agent for the next task of the same user.
    pub cache: bool,
    /// What its content must be.
    pub sha256: Option<Sha256>,
}

/// The kinds of places that files are fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `file:///path`, or just the path: a file of the agent's host.
    File,
    /// `http://` or `https://`.
    Http,
}

/// Why a text is no URI to fetch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUri {
    /// Another scheme, or none.
    #[error("{0:?} does not begin with http://, https:// or file:///; files are fetched from there only")]
    Scheme(String),
    /// Nobody to ask.
    #[error("names no host; write http://HOST/PATH")]
    NoHost,
    /// A user or a password in the address, which would be shown in listings and logs.
    #[error("holds a user or password before the host; use a signed link or a secret instead")]
    Credentials,
    /// A control character, or a path of the host with `..`.
    #[error("holds a control character or a `..`; take it out")]
    Character,
    /// No name is left for the file.
    #[error("ends without a file name; set output_file")]
    NoName,
    /// The output file is not below the sandbox.
    #[error(
        "{0:?} is not a relative path of plain names below the sandbox; leave out `..`, `.` and a slash at either end"
    )]
    OutputFile(String),
}

impl Uri {
    /// Fetches `value`, and unpacks it if it is an archive, as Mesos does without further word.
    ///
    /// Errors: no scheme that is served, no host, a password, and no file name. One that ends without a name is for
    /// [`Uri::saved_as`].
    pub fn new(value: impl Into<String>) -> Result<Self, InvalidUri> {
        let uri = Self::unnamed(value.into())?;
        if uri.own_name().is_none() {
            return Err(InvalidUri::NoName);
        }
        Ok(uri)
    }

    /// The same, saved as `output_file`, a path below the sandbox.
    pub fn saved_as(value: impl Into<String>, output_file: impl Into<String>) -> Result<Self, InvalidUri> {
        let output_file = output_file.into();
        let plain = |name: &str| !matches!(name, "" | "." | "..") && name.len() <= 255;
        if output_file.contains(|c: char| c.is_control()) || !output_file.split('/').all(plain) {
            return Err(InvalidUri::OutputFile(output_file.chars().take(128).collect()));
        }
        Ok(Self { output_file: Some(output_file), ..Self::unnamed(value.into())? })
    }

    fn unnamed(value: String) -> Result<Self, InvalidUri> {
        if value.contains(|c: char| c.is_control()) {
            return Err(InvalidUri::Character);
        }
        let uri =
            Self { value, output_file: None, executable: false, extract: true, cache: false, sha256: None };
        match uri.parts() {
            Some((Scheme::File, _, path)) if path.split('/').any(|name| name == "..") => {
                Err(InvalidUri::Character)
            }
            Some((Scheme::File, ..)) => Ok(uri),
            Some((Scheme::Http, "", _)) => Err(InvalidUri::NoHost),
            Some((Scheme::Http, host, _)) if host.contains('@') => Err(InvalidUri::Credentials),
            Some((Scheme::Http, ..)) => Ok(uri),
            None => Err(InvalidUri::Scheme(uri.value.chars().take(64).collect())),
        }
    }

    /// Scheme, host with port, and the path from its first slash on, without query and fragment.
    fn parts(&self) -> Option<(Scheme, &str, &str)> {
        if self.value.starts_with('/') {
            return Some((Scheme::File, "", &self.value));
        }
        let (scheme, rest) = self.value.split_once("://")?;
        if scheme.eq_ignore_ascii_case("file") {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            return path.starts_with('/').then_some((Scheme::File, "", path));
        }
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let slash = rest.find('/').unwrap_or(rest.len());
        Some((Scheme::Http, &rest[..slash], &rest[slash..]))
    }

    /// As it was given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Where it is to be saved, if that was said.
    pub fn output_file(&self) -> Option<&str> {
        self.output_file.as_deref()
    }

    /// Where it is.
    pub fn scheme(&self) -> Scheme {
        self.parts().map_or(Scheme::File, |(scheme, ..)| scheme)
    }

    /// The path on the host of one with [`Scheme::File`], else the path at its server.
    pub fn path(&self) -> &str {
        self.parts().map_or("", |(.., path)| path)
    }

    /// Where it is saved, below the sandbox.
    pub fn file_name(&self) -> &str {
        self.output_file().or_else(|| self.own_name()).unwrap_or("fetched")
    }

    fn own_name(&self) -> Option<&str> {
        let name = self.path().rsplit('/').next()?;
        (!matches!(name, "" | "." | "..") && name.len() <= 255).then_some(name)
    }

    /// For people: without what stands behind `?`, which is where signed links keep their secret.
    pub fn shown(&self) -> String {
        if self.scheme() == Scheme::File {
            return self.value.clone();
        }
        let cut = self.value.find(['?', '#']).unwrap_or(self.value.len());
        let dots = if cut < self.value.len() { "?..." } else { "" };
        format!("{}{dots}", &self.value[..cut])
    }
}

/// A SHA-256 checksum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a SHA-256 checksum; give 64 hexadecimal digits")]
pub struct InvalidChecksum;

impl FromStr for Sha256 {
    type Err = InvalidChecksum;

    fn from_str(text: &str) -> Result<Self, InvalidChecksum> {
        let text = text.strip_prefix("sha256:").unwrap_or(text);
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidChecksum);
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(2 * index..2 * index + 2).ok_or(InvalidChecksum)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| InvalidChecksum)?;
        }
        Ok(Self(bytes))
    }
}

/// Bytes that nobody but their task reads.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Makes `bytes` secret. `None`: there are more than [`LONGEST_SECRET`].
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= LONGEST_SECRET).then_some(Self(bytes))
    }

    /// The bytes themselves, for whoever hands them to the task.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

/// Something that only its task may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// Here it is.
    Value(SecretBytes),
    /// The agent's store of secrets has it.
    Reference {
        /// Its name there.
        name: String,
        /// Which part of it, where a secret has several.
        key: Option<String>,
    },
}

impl Secret {
    /// From now on it has no bytes: for those who keep only what was asked for.
    pub fn forget(&mut self) {
        if let Self::Value(bytes) = self {
            bytes.0 = Vec::new();
        }
    }
}

/// Where a volume comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeSource {
    /// A path of the agent's host, absolute and without `..`.
    Host(String),
    /// A path below the task's own sandbox, relative and without `..`; a folder is made if nothing is there.
    Sandbox(String),
    /// A file in memory with a secret, for the task's user alone.
    Secret(Secret),
    /// An empty folder in memory, which counts as the task's memory.
    Tmpfs {
        /// The most it may hold, in bytes; `None`: as much as the task's memory.
        size: Option<u64>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_the_end_of_its_path() {
        let table = [
            ("http://h/a/b.tgz", "b.tgz"),
            ("https://h:8443/a/b?sig=x/y#z", "b"),
            ("HTTP://h/a b", "a b"),
            ("http://h/-o", "-o"),
            ("file:///etc/motd", "motd"),
            ("file://localhost/etc/motd", "motd"),
            ("/etc/with?mark", "with?mark"),
        ];
        for (value, name) in table {
            assert_eq!(Uri::new(value).unwrap().file_name(), name, "{value}");
        }
        assert_eq!(Uri::saved_as("http://h/", "a/b c").unwrap().file_name(), "a/b c");
    }

    #[test]
    fn what_cannot_be_fetched_is_refused_with_what_to_do() {
        let table = [
            ("ftp://h/a", "http://, https:// or file:///"),
            ("gopher://h/a", "http://, https:// or file:///"),
            ("relative", "http://, https:// or file:///"),
            ("file://elsewhere/a", "http://, https:// or file:///"),
            ("http:///a", "names no host"),
            ("http://u:p@h/a", "user or password"),
            ("http://h/", "set output_file"),
            ("http://h", "set output_file"),
            ("http://h/..", "set output_file"),
            ("http://h/a\nb", "control character"),
            ("file:///a/../etc/shadow", "`..`"),
        ];
        for (value, expected) in table {
            let refused = Uri::new(value).unwrap_err().to_string();
            assert!(refused.contains(expected), "{value}: {refused}");
        }
    }

    #[test]
    fn an_output_file_stays_below_the_sandbox() {
        for name in ["", "/abs", "../../x", "a/../../x", "a/", "a//b", ".", "a/./b", "a\0b", &"n".repeat(256)]
        {
            assert!(Uri::saved_as("http://h/a", name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn what_signed_links_and_secrets_hold_is_not_shown() {
        let uri = Uri::new("https://h/a?signature=abc").unwrap();
        assert_eq!(uri.shown(), "https://h/a?...");
        let secret = Secret::Value(SecretBytes::new(b"hunter2".to_vec()).unwrap());
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert_eq!(SecretBytes::new(vec![0; LONGEST_SECRET + 1]), None);
    }

    #[test]
    fn a_checksum_is_64_digits() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let sum: Sha256 = format!("sha256:{}", text.to_uppercase()).parse().unwrap();
        assert_eq!(sum.to_string(), text);
        for bad in ["", "abc", &text[1..], &format!("{}é", &text[2..])] {
            assert_eq!(bad.parse::<Sha256>(), Err(InvalidChecksum));
        }
    }
}
