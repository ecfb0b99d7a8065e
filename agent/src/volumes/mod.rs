//! Persistent volumes: folders that outlive tasks, frameworks, agents and masters.
//!
//! ```text
//! <work dir>/volumes/             the disk of the work dir
//! <root>/lonja/<instance>/        a PATH or MOUNT disk; several agents may share one
//!     roles/<role>/<id>/          one volume; a role's `/` is written as a space, which no role contains
//!     trash/<random name>/        what was destroyed, until it is deleted
//! ```
//!
//! Invariants
//! - Only the innermost folder is ever a task's. All above belong to the agent, and nobody else may enter them:
//!   tasks see a volume only where it is mounted for them.
//! - No symbolic link is followed below a disk's root, whatever a task plants in its volume (INV-43).
//! - A new volume is empty: what lay under its name before goes to the trash first.
//! - What is destroyed goes by a rename first, so that no crash leaves half a volume under its name.
//! - Nothing is removed but folders in these places, and no folder of a volume that there is (INV-8).
//!
//! Source: Mesos, `paths::getPersistentVolumePath`, whose layout of roles this is. There a MOUNT disk is the volume;
//! here the volume is a folder on it, as on any other disk, so that it can be destroyed by a rename.

mod folder;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use lonja_agent_core::VolumeOrder;
use lonja_model::Resources;
use lonja_model::resources::{Disk, DiskSourceKind, Resource};

use crate::containerizer::{InstanceId, Volume, VolumeSource};
use folder::{Folder, Owner};

/// How many disks' trash may wait to be emptied.
const TRASH: usize = 1_024;

/// One disk that can hold volumes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Base {
    /// An existing folder, of the operator's choice.
    root: PathBuf,
    /// Ours below it.
    below: PathBuf,
}

/// The folder of one volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    base: Base,
    /// As a file name.
    role: String,
    id: String,
    shared: bool,
}

/// Why a volume cannot be made or used. The text names the path.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// It is not disk with a persistence id and a reservation, on something with folders.
    #[error("{0} is not a persistent volume on a disk with a file system")]
    NotVolume(String),
    /// The system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The volumes of one agent. Cheap to clone. Every method blocks.
#[derive(Clone, Debug)]
pub struct Volumes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    work_dir: PathBuf,
    instance: InstanceId,
    /// Disks of the settings, swept at the start even if no volume is left on them.
    disks: BTreeSet<Base>,
    /// Disks whose trash is to be emptied.
    trash: SyncSender<Base>,
}

impl Volumes {
    /// The volumes of the agent that has `work_dir`, which exists, is absolute and free of links, and `configured`
    /// resources.
    pub fn new(work_dir: &Path, instance: InstanceId, configured: &Resources) -> Self {
        let (work_dir, trash) = (work_dir.to_owned(), start_emptying());
        let mut inner = Inner { work_dir, instance, disks: BTreeSet::new(), trash };
        let disks = configured.iter().filter(|resource| resource.name() == "disk");
        let bases = disks.filter_map(|disk| inner.base_of(disk.metadata().disk.as_ref()));
        let disks: BTreeSet<Base> = bases.chain([inner.own_base()]).collect();
        inner.disks = disks;
        Self { inner: Arc::new(inner) }
    }

    /// Carries out one order; for `Make` what to answer, which names the path and the system's words.
    pub fn carry_out(&self, order: &VolumeOrder) -> Option<(u64, Result<(), String>)> {
        match order {
            VolumeOrder::Make { number, volumes } => {
                Some((*number, self.make(volumes).map_err(|error| error.to_string())))
            }
            VolumeOrder::Remove(volumes) => {
                self.remove(volumes);
                None
            }
            VolumeOrder::Sweep { keep } => {
                self.sweep(keep);
                None
            }
        }
    }

    /// Makes the folders of `volumes`, empty; they are there after a power loss too. All or none.
    pub fn make(&self, volumes: &Resources) -> Result<(), VolumeError> {
        let places: Vec<Place> =
            volumes.iter().map(|volume| self.inner.place_of(volume)).collect::<Result<_, _>>()?;
        for (index, place) in places.iter().enumerate() {
            if let Err(error) = place.make() {
                for made in &places[..=index] {
                    // What cannot be moved now goes when the agent starts again, or when the name is used again.
                    let _left = made.throw_away();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes the folders of `volumes` away, with all that is in them. Deleting goes on in the background.
    pub fn remove(&self, volumes: &Resources) {
        for volume in volumes.iter() {
            let removed = self.inner.place_of(volume).and_then(|place| {
                place.throw_away()?;
                self.empty_trash(place.base);
                Ok(())
            });
            if let Err(error) = removed {
                tracing::error!(%volume, %error, "a destroyed volume's folder stays until the agent's next start");
            }
        }
    }

    /// Takes away every folder in our places that is no volume of `keep`.
    pub fn sweep(&self, keep: &Resources) {
        let mut keep_by_base: BTreeMap<Base, BTreeSet<(String, String)>> =
            self.inner.disks.iter().map(|base| (base.clone(), BTreeSet::new())).collect();
        for volume in keep.iter() {
            match self.inner.place_of(volume).and_then(|place| place.open().map(|_| place)) {
                Ok(place) => {
                    keep_by_base.entry(place.base).or_default().insert((place.role, place.id));
                }
                Err(error) => {
                    tracing::error!(%volume, %error, "a volume's folder cannot be found: tasks that use it will fail");
                    // Whatever is wrong with it: what may be its data stays.
                    if let Ok(place) = self.inner.place_of(volume) {
                        keep_by_base.entry(place.base).or_default().insert((place.role, place.id));
                    }
                }
            }
        }
        for (base, keep) in keep_by_base {
            base.sweep(&keep);
            self.empty_trash(base);
        }
    }

    fn empty_trash(&self, base: Base) {
        // When too many wait already one of them is likely for the same disk; if not, the next start sees to it.
        let _later = self.inner.trash.try_send(base);
    }

    /// What to mount for a task that uses `volume` and runs as `user`; its folder belongs to that user from now on,
    /// unless it is shared.
    pub fn prepare(&self, volume: &Resource, user: Option<&str>) -> Result<Volume, VolumeError> {
        let place = self.inner.place_of(volume)?;
        let disk = volume.metadata().disk.as_ref();
        let container_path = disk.and_then(|disk| disk.container_path.clone()).unwrap_or_default();
        let folder = place.open()?;
        if !place.shared {
            let owner = Owner::of(user);
            folder.give_to(owner).map_err(|source| place.refuse("change the owner of", source))?;
        }
        let root = place.base.root.canonicalize();
        let root = root.map_err(|source| place.refuse("find", source))?;
        Ok(Volume {
            source: VolumeSource::Host { path: root.join(place.below_root()), identity: None },
            container_path: container_path.into(),
            read_only: disk.is_some_and(|disk| disk.read_only),
        })
    }
}

/// The persistent volumes among `resources`.
pub(crate) fn volumes_of(resources: &Resources) -> impl Iterator<Item = &Resource> {
    resources
        .iter()
        .filter(|resource| resource.metadata().disk.as_ref().is_some_and(|disk| disk.persistence.is_some()))
}

impl Inner {
    fn own_base(&self) -> Base {
        Base { root: self.work_dir.clone(), below: "volumes".into() }
    }

    /// Where the volumes on a disk are; `None`: it has no folders.
    fn base_of(&self, disk: Option<&Disk>) -> Option<Base> {
        let Some(source) = disk.and_then(|disk| disk.source.as_ref()) else { return Some(self.own_base()) };
        match &source.kind {
            DiskSourceKind::Path { root } | DiskSourceKind::Mount { root } => {
                let root = self.work_dir.join(root.as_ref()?);
                Some(Base { root, below: Path::new("lonja").join(self.instance.as_str()) })
            }
            DiskSourceKind::Block | DiskSourceKind::Raw => None,
        }
    }

    fn place_of(&self, volume: &Resource) -> Result<Place, VolumeError> {
        let refuse = || VolumeError::NotVolume(volume.to_string());
        let disk = volume.metadata().disk.as_ref();
        let persistence = disk.and_then(|disk| disk.persistence.as_ref()).ok_or_else(refuse)?;
        let role = volume.reserved_for().ok_or_else(refuse)?.as_str().replace('/', " ");
        let id = persistence.id.clone();
        // The model has seen to both; a path is not to rest on that.
        if [&role, &id].iter().any(|name| !folder::is_plain_name(name)) {
            return Err(refuse());
        }
        let base = self.base_of(disk).ok_or_else(refuse)?;
        Ok(Place { base, role, id, shared: volume.metadata().shared })
    }
}

impl Place {
    fn below_root(&self) -> PathBuf {
        self.base.below.join("roles").join(&self.role).join(&self.id)
    }

    fn refuse(&self, what: &'static str, source: io::Error) -> VolumeError {
        VolumeError::System { what, path: self.base.root.join(self.below_root()), source }
    }

    fn open(&self) -> Result<Folder, VolumeError> {
        let opened = Folder::root(&self.base.root).and_then(|root| root.open(&self.below_root()));
        opened.map_err(|source| self.refuse("open", source))
    }

    fn make(&self) -> Result<(), VolumeError> {
        self.throw_away()?;
        self.make_anew().map_err(|source| self.refuse("make", source))
    }

    fn make_anew(&self) -> io::Result<()> {
        let role =
            Folder::root(&self.base.root)?.make_all(&self.base.below.join("roles").join(&self.role))?;
        // For all users of a shared volume, as `/tmp` is: only those for whom it is mounted get there.
        role.make(&self.id, if self.shared { 0o1777 } else { 0o700 })
    }

    /// Moves the folder to the trash, if it is there.
    fn throw_away(&self) -> Result<(), VolumeError> {
        self.move_to_trash().map_err(|source| self.refuse("move to the trash", source))
    }

    fn move_to_trash(&self) -> io::Result<()> {
        let root = Folder::root(&self.base.root)?;
        let roles = self.base.below.join("roles");
        let role = match root.open(&roles.join(&self.role)) {
            Ok(role) => role,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let trash = root.make_all(&self.base.below.join("trash"))?;
        let name = uuid::Uuid::new_v4().simple().to_string();
        match role.move_to(&self.id, &trash, &name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        }
        drop(role);
        // Not empty: the role has other volumes.
        let _kept = root.open(&roles).and_then(|roles| roles.remove_empty(&self.role));
        Ok(())
    }
}

impl Base {
    /// Moves every volume folder that is not in `keep` (role, id) to the trash.
    fn sweep(&self, keep: &BTreeSet<(String, String)>) {
        let roles = Folder::root(&self.root).and_then(|root| root.open(&self.below.join("roles")));
        let roles = match roles {
            Ok(roles) => roles,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                tracing::error!(root = %self.root.display(), %error, "a disk's volumes cannot be looked at");
                return;
            }
        };
        for role in roles.names() {
            let Ok(folder) = roles.open(role.as_ref()) else { continue };
            for id in folder.names() {
                if keep.contains(&(role.clone(), id.clone())) {
                    continue;
                }
                let place = Place { base: self.clone(), role: role.clone(), id, shared: false };
                match place.throw_away() {
                    Ok(()) => {
                        tracing::info!(path = %place.below_root().display(), "a folder of no volume goes")
                    }
                    Err(error) => tracing::warn!(%error, "a folder of no volume stays"),
                }
            }
        }
    }

    /// Deletes what is in the trash. What cannot be deleted now is tried again with the next.
    fn empty_trash(&self) {
        let trash = Folder::root(&self.root).and_then(|root| root.open(&self.below.join("trash")));
        // No trash is an empty one.
        let Ok(trash) = trash else { return };
        for name in trash.names() {
            if let Err(error) = trash.delete(&name)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(name, %error, "a destroyed volume's files stay in the trash for now");
            }
        }
    }
}

/// Empties trash on a thread of its own, so that nobody waits for a large volume to be deleted. It ends with the
/// last sender.
fn start_emptying() -> SyncSender<Base> {
    let (sender, full) = std::sync::mpsc::sync_channel::<Base>(TRASH);
    std::thread::spawn(move || full.iter().for_each(|base| base.empty_trash()));
    sender
}

#[cfg(test)]
mod tests;
