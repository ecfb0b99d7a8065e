//! Where secrets are looked up that a task names and does not bring along.
//!
//! Invariants
//! - A name is one plain name: nothing outside the store is read for it, whatever links lie inside.
//! - No secret is ever part of an error.
//!
//! Source: Mesos, `SecretResolver`; docs/isolation.md, "Files".

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lonja_model::files::{LONGEST_SECRET, Secret, SecretBytes};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// A store of secrets. Blocks while it looks.
pub trait SecretResolver: std::fmt::Debug + Send + Sync {
    /// The secret of this name, or the part of it that `key` names.
    fn resolve(&self, name: &str, key: Option<&str>) -> Result<SecretBytes, SecretError>;
}

/// Why there is no secret. Each says which and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The agent has no store.
    #[error("secret {0:?}: this agent has no store of secrets; start it with --secrets-dir")]
    NoStore(String),
    /// It is not there.
    #[error("secret {0:?}: is not in this agent's store; put it there, readable by the agent only")]
    Missing(String),
    /// It is longer than a secret may be, or is no plain file.
    #[error("secret {0:?}: is no file of at most {LONGEST_SECRET} bytes")]
    Unfit(String),
    /// It cannot be read.
    #[error("secret {name:?}: cannot be read: {source}")]
    Read {
        /// Which.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A variable cannot hold it.
    #[error("secret for variable {0:?}: is not text without zero bytes; use it as a file")]
    NotText(String),
}

/// The secret itself, looked up where it is named.
pub(crate) fn reveal(
    secret: &Secret,
    store: Option<&dyn SecretResolver>,
) -> Result<SecretBytes, SecretError> {
    match (secret, store) {
        (Secret::Value(bytes), _) => Ok(bytes.clone()),
        (Secret::Reference { name, key }, Some(store)) => store.resolve(name, key.as_deref()),
        (Secret::Reference { name, .. }, None) => Err(SecretError::NoStore(name.clone())),
    }
}

/// The text of a secret variable.
pub(crate) fn reveal_text(
    variable: &str,
    secret: &Secret,
    store: Option<&dyn SecretResolver>,
) -> Result<String, SecretError> {
    let bytes = reveal(secret, store)?;
    let text = String::from_utf8(bytes.expose().to_vec()).ok().filter(|text| !text.contains('\0'));
    text.ok_or_else(|| SecretError::NotText(variable.to_owned()))
}

/// A folder with a file for each secret, `NAME`, or a folder with one for each of its keys, `NAME/KEY`.
#[derive(Debug)]
pub struct SecretsDir {
    root: OwnedFd,
}

/// Why a folder cannot be a store of secrets.
#[derive(Debug, thiserror::Error)]
pub enum SecretsDirError {
    /// It cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read it or write there.
    #[error("{} has mode {mode:o}: others than its owner may use it; say chmod 700", path.display())]
    Exposed {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

impl SecretsDir {
    /// Errors: it is not there, or not its owner's alone.
    pub fn open(path: &Path) -> Result<Self, SecretsDirError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let refuse = |source: io::Error| SecretsDirError::Open { path: path.to_owned(), source };
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| refuse(error.into()))?;
        let root = File::from(root);
        let mode = root.metadata().map_err(refuse)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SecretsDirError::Exposed { path: path.to_owned(), mode });
        }
        Ok(Self { root: root.into() })
    }
}

impl SecretResolver for SecretsDir {
    fn resolve(&self, name: &str, key: Option<&str>) -> Result<SecretBytes, SecretError> {
        let shown = key.map_or_else(|| name.to_owned(), |key| format!("{name}/{key}"));
        let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\0']);
        if ![Some(name), key].into_iter().flatten().all(is_plain) {
            return Err(SecretError::Missing(shown));
        }
        // Links inside the store may be followed, which is how some tools swap secrets at once; never out of it.
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        // A FIFO must not hold the agent up.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat2(&self.root, &shown, flags, Mode::empty(), resolve) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP) => {
                return Err(SecretError::Missing(shown));
            }
            other => {
                other.map_err(|error| SecretError::Read { name: shown.clone(), source: error.into() })?
            }
        };
        let refuse = |source| SecretError::Read { name: shown.clone(), source };
        let file = File::from(file);
        if !file.metadata().map_err(refuse)?.is_file() {
            return Err(SecretError::Unfit(shown));
        }
        let mut bytes = Vec::new();
        file.take(LONGEST_SECRET as u64 + 1).read_to_end(&mut bytes).map_err(refuse)?;
        SecretBytes::new(bytes).ok_or(SecretError::Unfit(shown))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn reference(name: &str, key: Option<&str>) -> Secret {
        Secret::Reference { name: name.to_owned(), key: key.map(ToOwned::to_owned) }
    }

    #[test]
    fn a_name_leads_to_its_own_file_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(dir.path().join("outside"), "host").unwrap();
        fs::write(root.join("token"), "t0k3n").unwrap();
        fs::create_dir(root.join("db")).unwrap();
        fs::write(root.join("db/password"), "hunter2").unwrap();
        fs::write(root.join(".hidden"), "h").unwrap();
        fs::write(root.join("large"), vec![0; LONGEST_SECRET + 1]).unwrap();
        symlink("token", root.join("alias")).unwrap();
        symlink("../outside", root.join("out")).unwrap();
        symlink(dir.path().join("outside"), root.join("absolute")).unwrap();
        nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let store = SecretsDir::open(&root).unwrap();
        let reveal = |name, key| {
            let found = super::reveal(&reference(name, key), Some(&store));
            found.map(|bytes| String::from_utf8(bytes.expose().to_vec()).unwrap()).map_err(|e| e.to_string())
        };

        assert_eq!(reveal("token", None).unwrap(), "t0k3n");
        assert_eq!(reveal("alias", None).unwrap(), "t0k3n");
        assert_eq!(reveal("db", Some("password")).unwrap(), "hunter2");
        for (name, key) in [
            ("none", None),
            ("../outside", None),
            ("db", Some("../../outside")),
            ("..", None),
            (".hidden", None),
            ("out", None),
            ("absolute", None),
            ("token", Some("x")),
            ("db", None),
            ("large", None),
            ("fifo", None),
        ] {
            let refused = reveal(name, key).unwrap_err();
            assert!(refused.starts_with("secret \"") && !refused.contains("host"), "{name}: {refused}");
        }
    }

    #[test]
    fn a_store_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o750)).unwrap();
        let refused = SecretsDir::open(dir.path()).unwrap_err().to_string();
        assert!(refused.ends_with("say chmod 700"), "{refused}");
    }

    #[test]
    fn without_a_store_only_values_are_known() {
        let refused = reveal(&reference("db", None), None).unwrap_err().to_string();
        assert!(refused.contains("--secrets-dir"), "{refused}");
        let value = Secret::Value(SecretBytes::new(vec![0]).unwrap());
        let refused = reveal_text("A", &value, None).unwrap_err().to_string();
        assert!(refused.contains("use it as a file"), "{refused}");
    }
}
