use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, Instant};

use lonja_model::labels::Labels;
use lonja_model::resources::{DiskSource, Metadata, Persistence, Reservation, ReservationKind};
use lonja_model::role::Role;

use super::*;

/// A work dir and another disk, both gone in the end.
struct Host {
    dir: tempfile::TempDir,
    volumes: Volumes,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["work", "disk"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let volumes = volumes_in(dir.path(), "here");
        Self { dir, volumes }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(below)
    }

    /// A volume on the work dir's disk.
    fn volume(&self, role: &str, id: &str) -> Resources {
        volume(role, id, None, false)
    }

    /// A volume on the other disk.
    fn elsewhere(&self, id: &str) -> Resources {
        volume("eng", id, Some(self.path("disk")), false)
    }
}

fn volumes_in(dir: &Path, instance: &str) -> Volumes {
    let dir = dir.canonicalize().unwrap();
    let other = plain_disk(Some(dir.join("disk")));
    Volumes::new(&dir.join("work"), InstanceId::new(instance).unwrap(), &Resources::of([other]).unwrap())
}

fn disk_on(root: Option<PathBuf>) -> Disk {
    let source = root.map(|root| DiskSource {
        kind: DiskSourceKind::Path { root: Some(root.to_str().unwrap().to_owned()) },
        id: None,
        metadata: Labels::default(),
        profile: None,
        vendor: None,
    });
    Disk { source, ..Disk::default() }
}

fn plain_disk(root: Option<PathBuf>) -> Resource {
    let metadata = Metadata { disk: Some(disk_on(root)), ..Metadata::default() };
    Resource::with_metadata("disk", ten(), metadata).unwrap()
}

fn ten() -> lonja_model::resources::Value {
    lonja_model::resources::Value::Scalar(lonja_model::resources::Scalar::from_units(10).unwrap())
}

fn volume(role: &str, id: &str, root: Option<PathBuf>, shared: bool) -> Resources {
    let kind = ReservationKind::Dynamic;
    let role = Role::new(role).unwrap();
    let reservations = vec![Reservation { kind, role, principal: None, labels: Labels::default() }];
    let persistence = Some(Persistence { id: id.to_owned(), principal: None });
    let disk = Disk { persistence, container_path: Some("data".to_owned()), ..disk_on(root) };
    let metadata = Metadata { reservations, disk: Some(disk), shared, ..Metadata::default() };
    Resources::of([Resource::with_metadata("disk", ten(), metadata).unwrap()]).unwrap()
}

fn only(resources: &Resources) -> &Resource {
    resources.iter().next().unwrap()
}

/// Waits until the thread that empties the trash has come so far.
fn eventually_gone(path: &Path) {
    let started = Instant::now();
    while fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
        assert!(started.elapsed() < Duration::from_secs(20), "{} is never emptied", path.display());
        std::thread::yield_now();
    }
}

#[test]
fn a_new_volume_is_an_empty_folder_that_only_the_agent_may_reach() {
    let host = Host::new();
    host.volumes.make(&host.volume("eng/web", "data")).unwrap();
    let path = host.path("work/volumes/roles/eng web/data");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
    for above in ["work/volumes", "work/volumes/roles", "work/volumes/roles/eng web"] {
        assert_eq!(fs::metadata(host.path(above)).unwrap().permissions().mode() & 0o777, 0o700, "{above}");
    }
    let mount = host.volumes.prepare(only(&host.volume("eng/web", "data")), None).unwrap();
    let source = VolumeSource::Host { path, identity: None };
    assert_eq!((mount.source, mount.container_path), (source, "data".into()));
    assert!(!mount.read_only);
}

#[test]
fn a_role_and_a_volume_never_share_a_folder() {
    let host = Host::new();
    let all = [host.volume("eng", "web"), host.volume("eng/web", "web"), host.volume("eng/web", "x")];
    all.iter().for_each(|volume| host.volumes.make(volume).unwrap());
    host.volumes.remove(&all[0]);
    for (volume, there) in all.iter().zip([false, true, true]) {
        assert_eq!(host.volumes.prepare(only(volume), None).is_ok(), there, "{volume}");
    }
}

#[test]
fn a_new_volume_never_shows_what_lay_there_before() {
    let host = Host::new();
    let volume = host.volume("eng", "data");
    host.volumes.make(&volume).unwrap();
    let path = host.path("work/volumes/roles/eng/data");
    fs::write(path.join("secret"), "of another").unwrap();
    host.volumes.make(&volume).unwrap();
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[test]
fn a_destroyed_volume_is_deleted_with_all_that_is_in_it() {
    let host = Host::new();
    let volume = host.volume("eng", "data");
    host.volumes.make(&volume).unwrap();
    let path = host.path("work/volumes/roles/eng/data");
    // Deeper than is deleted on the way.
    let mut deep = Folder::root(&path).unwrap();
    for _ in 0..200 {
        deep.make("d", 0o700).unwrap();
        deep = deep.open("d".as_ref()).unwrap();
    }
    fs::create_dir(path.join("shut")).unwrap();
    fs::set_permissions(path.join("shut"), fs::Permissions::from_mode(0o000)).unwrap();
    host.volumes.remove(&volume);
    assert!(!path.exists(), "it is out of the way at once");
    eventually_gone(&host.path("work/volumes/trash"));
}

#[test]
fn a_link_planted_in_a_volume_leads_nobody_out() {
    let host = Host::new();
    let volume = host.volume("eng", "data");
    host.volumes.make(&volume).unwrap();
    let (path, precious) = (host.path("work/volumes/roles/eng/data"), host.path("disk/precious"));
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "kept").unwrap();
    symlink(&precious, path.join("link")).unwrap();
    symlink("/", path.join("root")).unwrap();
    host.volumes.remove(&volume);
    eventually_gone(&host.path("work/volumes/trash"));
    assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "kept");
}

#[test]
fn a_link_in_the_place_of_a_folder_is_not_followed() {
    let host = Host::new();
    let precious = host.path("disk/precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "kept").unwrap();
    let volume = host.volume("eng", "data");
    host.volumes.make(&volume).unwrap();
    let path = host.path("work/volumes/roles/eng/data");
    fs::remove_dir(&path).unwrap();
    symlink(&precious, &path).unwrap();
    let refused = host.volumes.prepare(only(&volume), None).unwrap_err();
    assert!(refused.to_string().contains("work/volumes/roles/eng/data"), "{refused}");
    host.volumes.remove(&volume);
    assert!(fs::symlink_metadata(&path).is_err());
    symlink(&precious, host.path("work/volumes/roles/ops")).unwrap();
    let refused = host.volumes.make(&host.volume("ops", "data")).unwrap_err();
    assert!(refused.to_string().contains("roles/ops/data"), "{refused}");
    host.volumes.sweep(&Resources::new());
    eventually_gone(&host.path("work/volumes/trash"));
    assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "kept");
}

#[test]
fn a_link_in_the_middle_of_a_path_is_not_followed_either() {
    let host = Host::new();
    let precious = host.path("disk/precious");
    fs::create_dir_all(precious.join("roles/ops/data")).unwrap();
    fs::write(precious.join("roles/ops/data/file"), "kept").unwrap();
    host.volumes.make(&host.volume("eng", "data")).unwrap();
    let roles = host.path("work/volumes/roles");
    symlink(precious.join("roles/ops"), roles.join("ops")).unwrap();
    let volume = host.volume("ops", "data");
    assert!(host.volumes.prepare(only(&volume), None).is_err(), "the role is a link");
    fs::rename(host.path("work/volumes"), host.path("work/volumes.old")).unwrap();
    symlink(&precious, host.path("work/volumes")).unwrap();
    assert!(host.volumes.prepare(only(&volume), None).is_err(), "all of it is a link");
    assert!(host.volumes.make(&volume).is_err());
    host.volumes.remove(&volume);
    host.volumes.sweep(&Resources::new());
    assert_eq!(fs::read_to_string(precious.join("roles/ops/data/file")).unwrap(), "kept");
}

#[test]
fn at_the_start_folders_of_no_volume_go_and_nothing_else() {
    let host = Host::new();
    let (kept, orphan) = (host.volume("eng", "kept"), host.volume("eng", "orphan"));
    let (kept_there, orphan_there) = (host.elsewhere("kept"), host.elsewhere("orphan"));
    for volume in [&kept, &orphan, &kept_there, &orphan_there] {
        host.volumes.make(volume).unwrap();
    }
    let neighbour = volumes_in(host.dir.path(), "neighbour");
    neighbour.make(&host.elsewhere("theirs")).unwrap();
    fs::write(host.path("disk/file"), "not ours").unwrap();
    fs::write(host.path("work/volumes/roles/eng/kept/file"), "data").unwrap();

    host.volumes.sweep(&kept.checked_add(&kept_there).unwrap());

    for (volume, there) in [(&kept, true), (&orphan, false), (&kept_there, true), (&orphan_there, false)] {
        assert_eq!(host.volumes.prepare(only(volume), None).is_ok(), there, "{volume}");
    }
    assert!(neighbour.prepare(only(&host.elsewhere("theirs")), None).is_ok());
    assert!(host.path("disk/file").exists());
    assert_eq!(fs::read_to_string(host.path("work/volumes/roles/eng/kept/file")).unwrap(), "data");
}

#[test]
fn a_volume_whose_folder_is_lost_is_an_error_and_not_made_anew() {
    let host = Host::new();
    let volume = host.elsewhere("data");
    host.volumes.make(&volume).unwrap();
    fs::remove_dir_all(host.path("disk")).unwrap();
    host.volumes.sweep(&volume);
    let refused = host.volumes.prepare(only(&volume), None).unwrap_err();
    assert!(refused.to_string().contains("No such file"), "{refused}");
    assert!(host.volumes.make(&volume).is_err(), "nor on a disk that is not there");
    assert!(!host.path("disk").exists());
}

#[test]
fn of_several_volumes_all_are_made_or_none() {
    let host = Host::new();
    fs::remove_dir(host.path("disk")).unwrap();
    let both = host.volume("eng", "here").checked_add(&host.elsewhere("there")).unwrap();
    assert!(host.volumes.make(&both).is_err());
    assert!(!host.path("work/volumes/roles/eng/here").exists());
}

#[test]
fn a_volume_belongs_to_the_user_of_its_task_and_a_shared_one_to_all() {
    let host = Host::new();
    let (own, shared) = (host.volume("eng", "own"), volume("eng", "shared", None, true));
    host.volumes.make(&own).unwrap();
    host.volumes.make(&shared).unwrap();
    let path = |id: &str| host.path("work/volumes/roles/eng").join(id);
    assert_eq!(fs::metadata(path("shared")).unwrap().permissions().mode() & 0o7777, 0o1777);
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    for volume in [&own, &shared] {
        host.volumes.prepare(only(volume), Some("65534")).unwrap();
    }
    let owner = |id: &str| fs::metadata(path(id)).unwrap().uid();
    assert_eq!((owner("own"), owner("shared")), (65_534, 0));
}

#[test]
fn orders_are_answered_by_their_number() {
    let host = Host::new();
    let volumes = host.volume("eng", "data");
    let make = VolumeOrder::Make { number: 7, volumes: volumes.clone() };
    assert_eq!(host.volumes.carry_out(&make), Some((7, Ok(()))));
    assert_eq!(host.volumes.carry_out(&VolumeOrder::Remove(volumes.clone())), None);
    assert_eq!(host.volumes.carry_out(&VolumeOrder::Sweep { keep: Resources::new() }), None);
    let make = VolumeOrder::Make { number: 8, volumes: Resources::of([plain_disk(None)]).unwrap() };
    let Some((8, Err(refused))) = host.volumes.carry_out(&make) else { panic!() };
    assert!(refused.contains("is not a persistent volume"), "{refused}");
}
