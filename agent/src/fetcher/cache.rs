//! What was fetched and is kept for the next task.
//!
//! A kept file is named by who fetched it and from where, so that what one user's server says is never given to
//! another user. The folder is the agent's alone; tasks get copies, made by a process that opens the file once and
//! checks its checksum before anything is made of it.
//!
//! Invariants
//! - Files that can be had from here take no more room than was allowed; those used least recently go first. One that
//!   is in use goes from the disk when its last user is done. What is just coming in comes on top.
//! - Whoever asks for a file that is just coming waits for it; it comes once. When nobody waits any more, it is given up.
//! - Nothing is kept over a restart.
//!
//! Source: Mesos, `FetcherProcess::Cache`; INV-43.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lonja_model::files::{Sha256, Uri};
use tokio::sync::watch;

use super::job::Fetched;
use crate::supervisor::TaskUser;

/// Who fetched what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// `None`: the agent's own user.
    uid: Option<u32>,
    uri: String,
    sha256: Option<Sha256>,
}

impl Key {
    pub(super) fn of(uri: &Uri, user: Option<&TaskUser>) -> Self {
        Self { uid: user.map(|user| user.uid), uri: uri.value().to_owned(), sha256: uri.sha256 }
    }
}

/// A kept file. It is there for as long as this is held.
#[derive(Debug)]
pub(super) struct CachedFile {
    path: PathBuf,
    fetched: Fetched,
}

impl CachedFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn sha256(&self) -> String {
        self.fetched.sha256.clone()
    }
}

impl Drop for CachedFile {
    fn drop(&mut self) {
        // Gone already: somebody tidied up; whatever stays goes with the next start.
        let _gone = fs::remove_file(&self.path);
    }
}

/// What becomes of a file that is coming.
type Arrival = Option<Result<Arc<CachedFile>, String>>;

/// All kept files of one agent.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    size: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: BTreeMap<Key, Kept>,
    coming: BTreeMap<Key, Arc<watch::Sender<Arrival>>>,
    used: u64,
    /// Counts uses and names files.
    clock: u64,
}

#[derive(Debug)]
struct Kept {
    file: Arc<CachedFile>,
    used_at: u64,
}

impl State {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn remove(&mut self, key: &Key) {
        if let Some(kept) = self.kept.remove(key) {
            self.used = self.used.saturating_sub(kept.file.fetched.bytes);
        }
    }

    /// Keeps the file if it fits at all, in place of those used least recently.
    fn keep(&mut self, key: Key, file: &Arc<CachedFile>, size: u64) {
        let bytes = file.fetched.bytes;
        if bytes > size {
            return;
        }
        self.remove(&key);
        while self.used > size - bytes {
            let Some(oldest) = self.kept.iter().min_by_key(|(_, kept)| kept.used_at) else { break };
            let oldest = oldest.0.clone();
            self.remove(&oldest);
        }
        self.used += bytes;
        let used_at = self.tick();
        self.kept.insert(key, Kept { file: Arc::clone(file), used_at });
    }
}

impl Cache {
    /// An empty cache in this folder, which nobody else may use; what is in it goes.
    pub(super) fn new(folder: &Path, size: u64) -> io::Result<Self> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::DirBuilder::new().mode(0o700).create(folder)?,
        }
        Ok(Self { folder: folder.to_owned(), size, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Throws a file away, so that the next who asks fetches it anew.
    pub(super) fn evict(&self, key: &Key) {
        self.state().remove(key);
    }

    /// The kept file, or the one that `download` writes to the empty file whose path it gets. Errors: what `download`
    /// says.
    pub(super) async fn get<D, F>(self: &Arc<Self>, key: Key, download: D) -> Result<Arc<CachedFile>, String>
    where
        D: FnOnce(PathBuf) -> F + Send + 'static,
        F: Future<Output = Result<Fetched, String>> + Send + 'static,
    {
        let mut arrival = {
            let mut state = self.state();
            let now = state.tick();
            if let Some(kept) = state.kept.get_mut(&key) {
                kept.used_at = now;
                return Ok(Arc::clone(&kept.file));
            }
            match state.coming.get(&key) {
                Some(coming) => coming.subscribe(),
                None => {
                    let (sender, arrival) = watch::channel(None);
                    let sender = Arc::new(sender);
                    state.coming.insert(key.clone(), Arc::clone(&sender));
                    let path = self.folder.join(now.to_string());
                    tokio::spawn(Arc::clone(self).bring(key, path, sender, download));
                    arrival
                }
            }
        };
        let arrived = arrival.wait_for(Option::is_some).await.map(|arrived| arrived.clone());
        match arrived {
            Ok(Some(arrived)) => arrived,
            Ok(None) | Err(_) => Err("the fetch was given up".to_owned()),
        }
    }

    async fn bring<D, F>(
        self: Arc<Self>,
        key: Key,
        path: PathBuf,
        sender: Arc<watch::Sender<Arrival>>,
        download: D,
    ) where
        D: FnOnce(PathBuf) -> F,
        F: Future<Output = Result<Fetched, String>>,
    {
        let making = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        if let Err(error) = making {
            let why = format!("cannot make a file of the cache: {error}");
            self.state().coming.remove(&key);
            sender.send_replace(Some(Err(why)));
            return;
        }
        // Whatever happens from here on, the file goes with the last who holds it.
        let mut file =
            CachedFile { path: path.clone(), fetched: Fetched { bytes: 0, sha256: String::new() } };
        let mut download = std::pin::pin!(download(path));
        let fetched = loop {
            tokio::select! {
                fetched = &mut download => break fetched,
                () = sender.closed() => {
                    let mut state = self.state();
                    // Somebody may have come just now.
                    if sender.receiver_count() == 0 {
                        state.coming.remove(&key);
                        return;
                    }
                }
            }
        };
        let mut state = self.state();
        state.coming.remove(&key);
        let arrived = fetched.map(|fetched| {
            file.fetched = fetched;
            let file = Arc::new(file);
            state.keep(key, &file, self.size);
            file
        });
        drop(state);
        sender.send_replace(Some(arrived));
    }
}

#[cfg(test)]
mod tests;
