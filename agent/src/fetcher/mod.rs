//! Files that are brought into a sandbox before its task starts.
//!
//! What comes from a stranger's server, and what is packed in a stranger's archive, is handled by a process of its own
//! for each task: [`run_child`], this same program under another name. It becomes the task's user, gives up every
//! capability, sees of the host no more than the sandbox and how names are resolved, and ends with the agent.
//! Here stays what decides: from where, how much, what is kept for the next task (`cache`).
//!
//! Invariants
//! - Nothing of the task runs before all its files are there; one that is not fails the task with its URI and why.
//! - No framework takes more than half of the places, and nobody waits for one for longer than a fetch may take.
//! - A fetch that is given up, or whose agent dies, leaves no process.
//! - No address is spoken to that was not allowed after its name was resolved, redirects included.
//! - Nothing is written but beneath the sandbox, by no other user than the task's (INV-43).
//! - What stands behind `?` in a URI, where signed links keep their secret, is not shown.
//!
//! Source: Mesos, fetcher and its cache; docs/isolation.md, "Files".

mod addresses;
mod authorities;
mod cache;
mod child;
mod job;
mod process;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lonja_model::FrameworkId;
use lonja_model::files::{Scheme, Uri};

use crate::config::HostPaths;
use crate::places::{Place, Places};
use crate::supervisor::{TaskUser, resolve_user};
use cache::{Cache, CachedFile, Key};
use job::{Destination, Item, Job, Kind, Origin, Report};

pub use addresses::{AddressRange, Addresses, InvalidRange};
pub use authorities::Authorities;
pub use child::run_child;
pub use job::CHILD_ARGUMENT;

/// Fetches that go on at once; more wait.
const AT_ONCE: usize = 16;

/// From where files are fetched, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetching {
    /// Which addresses beside the public ones may be spoken to.
    pub addresses: Addresses,
    /// How much is kept for later tasks, in bytes; 0: nothing.
    pub cache_size: u64,
    /// The most that one task may fetch and unpack, in bytes.
    pub most_bytes: u64,
    /// How long the files of one task may take.
    pub timeout: Duration,
    /// Whom to believe when servers say who they are; `None`: those that come with this program.
    pub authorities: Option<Arc<Authorities>>,
}

impl Default for Fetching {
    fn default() -> Self {
        Self {
            addresses: Addresses::default(),
            cache_size: 2 << 30,
            most_bytes: 16 << 30,
            timeout: Duration::from_secs(600),
            authorities: None,
        }
    }
}

/// Fetches for one agent. Clones share all there is.
#[derive(Clone)]
pub(crate) struct Fetcher {
    settings: Fetching,
    host_paths: HostPaths,
    cache: Arc<Cache>,
    places: Places,
}

impl Fetcher {
    /// What an earlier agent kept is thrown away: its checksums went with it. Errors: the folder cannot be made.
    pub(crate) fn new(settings: Fetching, host_paths: HostPaths, work_dir: &Path) -> std::io::Result<Self> {
        let cache = Arc::new(Cache::new(&work_dir.join("fetch-cache"), settings.cache_size)?);
        Ok(Self { settings, host_paths, cache, places: Places::new(AT_ONCE) })
    }

    /// Brings files into the sandbox of a framework's task. Dropped before it is done, it ends the process that does it. Errors: which of them
    /// cannot be had, and why, for people.
    ///
    /// `disk`: the most that the task may have on its disk, in bytes.
    pub(crate) async fn fetch(
        &self,
        framework: &FrameworkId,
        uris: &[Uri],
        sandbox: &Path,
        user: Option<&str>,
        disk: Option<u64>,
    ) -> Result<(), String> {
        let user = tokio::task::block_in_place(|| resolve_user(user)).map_err(|failure| failure.message)?;
        let fetched = self.fetch_as(framework, uris, sandbox, user.as_ref(), disk).await;
        if let Err(message) = &fetched {
            let line = format!("fetch: {message}\n");
            tokio::task::block_in_place(|| job::note(sandbox, user.as_ref(), &line));
        }
        fetched
    }

    async fn fetch_as(
        &self,
        framework: &FrameworkId,
        uris: &[Uri],
        sandbox: &Path,
        user: Option<&TaskUser>,
        disk: Option<u64>,
    ) -> Result<(), String> {
        let kinds = uris.iter().map(Kind::of).collect::<Vec<_>>();
        let mut retried = false;
        loop {
            // Held until the child has ended: what nobody holds may go from the disk.
            let mut held = Vec::new();
            let mut items = Vec::with_capacity(uris.len());
            for (uri, kind) in uris.iter().zip(&kinds) {
                let file = self.cached(framework, uri, user).await?;
                let origin = match &file {
                    Some(file) => Origin::Cached { path: file.path().to_owned(), sha256: file.sha256() },
                    None => self.origin(uri)?,
                };
                items.push(Item::new(uri, origin, Destination::in_sandbox(uri, *kind, file.is_none())));
                held.push(file);
            }
            let job = self.job(Some(sandbox), user, items).within(disk);
            match self.run(framework, &job).await? {
                Report::Done(_) => return Ok(()),
                // What was kept is not what it was: once more, from its server.
                Report::Failed { damaged: Some(index), message } if !retried && index < uris.len() => {
                    tracing::warn!(%message, "a kept file is damaged, and is fetched anew");
                    self.cache.evict(&Key::of(&uris[index], user));
                    retried = true;
                }
                Report::Failed { message, .. } => return Err(message),
            }
        }
    }

    fn origin(&self, uri: &Uri) -> Result<Origin, String> {
        match uri.scheme() {
            Scheme::Http => Ok(Origin::Web(uri.value().to_owned())),
            Scheme::File => {
                let admitted = self.host_paths.admit(Path::new(uri.path()));
                let admitted = admitted.map_err(|why| format!("{}: {why}", uri.shown()))?;
                Ok(Origin::Host { path: admitted.path, identity: admitted.identity })
            }
        }
    }

    /// The file as it is kept for this user, fetched first if nobody did; `None`: it is not to be kept.
    async fn cached(
        &self,
        framework: &FrameworkId,
        uri: &Uri,
        user: Option<&TaskUser>,
    ) -> Result<Option<Arc<CachedFile>>, String> {
        // A file of the host is there already.
        if !uri.cache || self.settings.cache_size == 0 || uri.scheme() == Scheme::File {
            return Ok(None);
        }
        let key = Key::of(uri, user);
        let (framework, uri, user, fetcher) = (framework.clone(), uri.clone(), user.cloned(), self.clone());
        let download = move |path: PathBuf| async move {
            let origin = Origin::Web(uri.value().to_owned());
            let item = Item::new(&uri, origin, Destination::Cache { path });
            let mut job = fetcher.job(None, user.as_ref(), vec![item]);
            job.most_bytes = job.most_bytes.min(fetcher.settings.cache_size);
            match fetcher.run(&framework, &job).await? {
                Report::Done(fetched) => fetched.into_iter().next().ok_or_else(|| "nothing came".to_owned()),
                Report::Failed { message, .. } => Err(message),
            }
        };
        self.cache.get(key, download).await.map(Some)
    }

    fn job(&self, sandbox: Option<&Path>, user: Option<&TaskUser>, items: Vec<Item>) -> Job {
        Job {
            sandbox: sandbox.map(Path::to_owned),
            user: user.cloned(),
            items,
            addresses: self.settings.addresses.clone(),
            most_bytes: self.settings.most_bytes,
            most_is_disk: false,
            seconds: self.settings.timeout.as_secs().max(1),
            authorities: self.settings.authorities.as_deref().cloned(),
        }
    }

    /// Waits for a place. Errors: none became free in the time that a fetch may take.
    async fn place(&self, framework: &FrameworkId) -> Result<Place, String> {
        let timeout = self.settings.timeout;
        let place = tokio::time::timeout(timeout, self.places.take(framework)).await;
        place.map_err(|_| {
            format!("no place among the fetches of this agent became free in {timeout:?}; try again later")
        })
    }

    async fn run(&self, framework: &FrameworkId, job: &Job) -> Result<Report, String> {
        let _place = self.place(framework).await?;
        let timeout = self.settings.timeout;
        let ended = tokio::time::timeout(timeout, process::run(job)).await;
        ended.unwrap_or_else(|_| Err(format!("{} took more than {timeout:?}", job.shown())))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_framework_that_fetches_much_holds_up_no_other_and_nobody_waits_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Fetching { timeout: Duration::from_millis(1), ..Fetching::default() };
        let fetcher = Fetcher::new(settings, HostPaths::Below(Vec::new()), dir.path()).unwrap();
        let framework = |name: &str| FrameworkId::new(name).unwrap();
        let (greedy, other) = (framework("greedy"), framework("other"));
        let taken: Vec<_> = (0..AT_ONCE).filter_map(|_| fetcher.place(&greedy).now_or_never()).collect();

        assert!(fetcher.place(&other).now_or_never().is_some_and(|place| place.is_ok()));
        let refused = fetcher.place(&greedy).await;
        assert!(refused.is_err_and(|message| message.contains("no place")));
        drop(taken);
    }
}
