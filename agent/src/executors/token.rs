//! The token that lets a custom executor in.
//!
//! It is the name of the executor's container and a code over it that only this agent can make: HMAC-SHA-256 with a key
//! of 256 random bits, kept in the work dir for its owner alone. So it needs no place in the checkpoint, survives a
//! restart of the agent, and is worth nothing once the container is no more: names are never used twice.
//!
//! Invariants
//! - No token is ever logged, and none can be printed.
//!
//! Source: RFC 2104; Mesos, executor authentication (which names framework, executor and container).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use lonja_model::ContainerId;
use sha2::{Digest, Sha256};

/// Bytes of a key, and of a code.
const SIZE: usize = 32;

/// The block of the hash, in bytes.
const BLOCK: usize = 64;

/// What the code is made for, so that no other use of the key could ever make the same.
const PURPOSE: &[u8] = b"lonja executor 1\0";

/// What this agent's tokens are made with.
pub(crate) struct TokenKey([u8; SIZE]);

/// One executor's token.
pub(crate) struct Token(String);

impl Token {
    /// The token itself, for the executor's environment.
    pub(crate) fn reveal(self) -> String {
        self.0
    }
}

impl TokenKey {
    /// The key in this work dir, made if there is none. Errors: it cannot be read or written, or is damaged.
    pub(crate) fn open(work_dir: &Path) -> io::Result<Self> {
        let path = work_dir.join("executor_key");
        match File::open(&path) {
            Ok(mut file) => {
                let mut key = [0; SIZE];
                file.read_exact(&mut key)?;
                Ok(Self(key))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(work_dir, &path),
            Err(error) => Err(error),
        }
    }

    fn make(work_dir: &Path, path: &Path) -> io::Result<Self> {
        let mut key = [0; SIZE];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        let temporary = work_dir.join("executor_key.new");
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&key)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(work_dir)?.sync_all()?;
        Ok(Self(key))
    }

    /// The token of the executor in this container.
    pub(crate) fn token(&self, container: &ContainerId) -> Token {
        let mut token = format!("{container}.");
        for byte in self.code(container.as_str()) {
            token.push_str(&format!("{byte:02x}"));
        }
        Token(token)
    }

    /// The container that this token was made for; `None`: it is none of ours. In constant time for codes of the right
    /// length.
    pub(crate) fn container(&self, token: &str) -> Option<ContainerId> {
        let (container, code) = token.rsplit_once('.')?;
        let container = ContainerId::new(container).ok()?;
        let given = parse(code)?;
        let made = self.code(container.as_str());
        let difference = given.iter().zip(made).fold(0, |all, (given, made)| all | (given ^ made));
        (std::hint::black_box(difference) == 0).then_some(container)
    }

    fn code(&self, container: &str) -> [u8; SIZE] {
        let (mut inner, mut outer) = ([0x36; BLOCK], [0x5c; BLOCK]);
        for (index, byte) in self.0.iter().enumerate() {
            inner[index] ^= byte;
            outer[index] ^= byte;
        }
        let inner =
            Sha256::new().chain_update(inner).chain_update(PURPOSE).chain_update(container).finalize();
        Sha256::new().chain_update(outer).chain_update(inner).finalize().into()
    }
}

fn parse(code: &str) -> Option<[u8; SIZE]> {
    let digits = code.as_bytes();
    if digits.len() != 2 * SIZE || !code.is_ascii() {
        return None;
    }
    let mut bytes = [0; SIZE];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let digit = |index: usize| char::from(*pair.get(index)?).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn container(name: &str) -> ContainerId {
        ContainerId::new(name).unwrap()
    }

    #[test]
    fn a_token_names_its_container_over_restarts_and_no_other() {
        let work_dir = tempfile::tempdir().unwrap();
        let key = TokenKey::open(work_dir.path()).unwrap();
        let token = key.token(&container("c1")).reveal();
        let again = TokenKey::open(work_dir.path()).unwrap();
        assert_eq!(again.container(&token), Some(container("c1")));

        let other = tempfile::tempdir().unwrap();
        assert_eq!(TokenKey::open(other.path()).unwrap().container(&token), None);
        assert_eq!(key.container(&token.replace("c1.", "c2.")), None);
    }

    #[test]
    fn what_is_not_a_token_is_not_taken_for_one() {
        let key = TokenKey([7; SIZE]);
        let token = key.token(&container("c1")).reveal();
        let mut flipped = token.clone();
        let last = if flipped.pop() == Some('0') { '1' } else { '0' };
        flipped.push(last);
        for bad in ["", ".", "c1", "c1.", "c1.zz", &token[..token.len() - 2], &flipped, &format!("{token}00")]
        {
            assert_eq!(key.container(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_key_is_for_its_owner_alone() {
        let work_dir = tempfile::tempdir().unwrap();
        let _key = TokenKey::open(work_dir.path()).unwrap();
        let mode = std::fs::metadata(work_dir.path().join("executor_key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
