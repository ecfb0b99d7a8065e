//! Sandboxes on images, and what is left of them.

use super::*;

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

struct Place {
    dir: tempfile::TempDir,
    disks: Disks,
}

impl Place {
    /// `None`: this host has not what images need.
    fn with_images() -> Option<Self> {
        if !is_root() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let settings = DiskSettings { means: DiskMeans::Loop, ..DiskSettings::default() };
        match Disks::open(&dir.path().canonicalize().unwrap(), settings) {
            Ok(disks) => Some(Self { dir, disks }),
            Err(error) => {
                eprintln!("skipped: needs loop devices and e2fsprogs ({error})");
                None
            }
        }
    }

    fn sandbox(&self, name: &str) -> PathBuf {
        let task = self.dir.path().canonicalize().unwrap().join("sandboxes/f/t");
        fs::create_dir_all(&task).unwrap();
        task.join(name)
    }

    fn mounts(&self) -> usize {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts.matches(self.dir.path().to_str().unwrap()).count()
    }

    fn loops(&self) -> usize {
        let devices = fs::read_dir("/sys/block").unwrap().flatten();
        let files =
            devices.filter_map(|device| fs::read_to_string(device.path().join("loop/backing_file")).ok());
        files.filter(|file| file.starts_with(self.dir.path().to_str().unwrap())).count()
    }

    /// The kernel frees a device a moment after its last user has gone.
    fn nothing_is_left(&self) {
        let started = std::time::Instant::now();
        while (self.mounts(), self.loops()) != (0, 0) {
            assert!(started.elapsed().as_secs() < 10, "{} mounts, {} loops", self.mounts(), self.loops());
            std::thread::yield_now();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Also after a failed check.
        let _gone = self.disks.sweep(&[], &[]);
    }
}

fn read(root: &OwnedFd, name: &str) -> String {
    let file = rustix::fs::openat(root, name, rustix::fs::OFlags::RDONLY, Mode::empty())
        .map(fs::File::from)
        .unwrap();
    io::read_to_string(file).unwrap()
}

#[test]
fn a_sandbox_with_an_image_is_full_when_it_is_full_and_leaves_nothing() {
    let Some(place) = Place::with_images() else { return };
    let sandbox = place.sandbox("c1");
    place.disks.create(&sandbox, Some(4 << 20), Some((1000, 1000))).unwrap();
    assert_eq!((place.mounts(), place.loops()), (1, 1));
    assert_eq!(fs::read_dir(&sandbox).unwrap().count(), 0);

    let error = fs::write(sandbox.join("large"), vec![1; 5 << 20]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    fs::write(sandbox.join("large"), "small").unwrap();
    let used = place.disks.used_at_once(&sandbox).unwrap();
    assert!(used > 0 && used < 4 << 20, "{used}");

    place.disks.release(&sandbox).unwrap();
    place.nothing_is_left();
    assert_eq!(fs::read_dir(&sandbox).unwrap().count(), 0, "the files are in the image");

    let root = place.disks.open_root(&sandbox).unwrap();
    let again = place.disks.open_root(&sandbox).unwrap();
    assert_eq!((read(&root, "large"), read(&again, "large")), ("small".to_owned(), "small".to_owned()));
    assert_eq!((place.mounts(), place.loops()), (0, 1), "one device for all who read, mounted nowhere");
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    let refused = rustix::fs::openat(&root, "new", flags, Mode::RWXU).unwrap_err();
    assert_eq!(refused, rustix::io::Errno::ROFS);
    drop((root, again));
    place.nothing_is_left();

    place.disks.remove(&sandbox).unwrap();
    assert!(!sandbox.exists());
    assert_eq!(fs::read_dir(place.dir.path().join("disks")).unwrap().count(), 0);
}

#[test]
fn after_a_restart_the_mounts_of_the_living_are_there_and_those_of_the_dead_are_not() {
    let Some(place) = Place::with_images() else { return };
    let (living, dead) = (place.sandbox("living"), place.sandbox("dead"));
    for sandbox in [&living, &dead] {
        place.disks.create(sandbox, Some(2 << 20), None).unwrap();
        fs::write(sandbox.join("file"), "data").unwrap();
    }
    fs::write(place.dir.path().join("disks/orphan.ext4"), "").unwrap();
    // Somebody reads while it is taken off, as the container's own mount namespace would.
    let held = fs::File::open(living.join("file")).unwrap();
    image::detach(&living).unwrap();

    place.disks.sweep(std::slice::from_ref(&living), &[living.clone(), dead.clone()]).unwrap();
    place.disks.find_again(&living).unwrap();
    place.disks.find_again(&living).unwrap();

    assert_eq!(place.mounts(), 1);
    assert_eq!(fs::read_to_string(living.join("file")).unwrap(), "data");
    assert!(!dead.join("file").exists() && !place.dir.path().join("disks/orphan.ext4").exists());
    drop(held);
    for sandbox in [&living, &dead] {
        place.disks.remove(sandbox).unwrap();
    }
    place.nothing_is_left();
}

#[test]
fn an_image_that_cannot_be_made_fails_the_launch_and_leaves_no_file() {
    let Some(place) = Place::with_images() else { return };
    let sandbox = place.sandbox("c1");
    let broken = Disks {
        work_dir: place.disks.work_dir.clone(),
        images: place.disks.images.clone(),
        means: Means::Images { maker: "/bin/false".into() },
        settings: DiskSettings::default(),
    };

    let error = broken.create(&sandbox, Some(2 << 20), None).unwrap_err().to_string();

    assert!(error.contains("/bin/false failed"), "{error}");
    assert_eq!(fs::read_dir(place.dir.path().join("disks")).unwrap().count(), 0);
    place.nothing_is_left();
}

#[test]
fn a_means_that_is_not_there_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |means| {
        let settings = DiskSettings { means, ..DiskSettings::default() };
        Disks::open(dir.path(), settings).err().map(|error| error.to_string())
    };
    for (means, name) in [(DiskMeans::Btrfs, "btrfs"), (DiskMeans::Project, "project")] {
        // A host that has it is fine as well.
        if let Some(said) = refused(means) {
            assert!(said.starts_with(&format!("--disk-limit {name}: ")), "{said}");
        }
    }
    assert_eq!((refused(DiskMeans::Poll), refused(DiskMeans::None)), (None, None));
}

#[test]
fn below_the_floor_nothing_is_launched() {
    let dir = tempfile::tempdir().unwrap();
    let with_floor = |floor_bytes| {
        let settings = DiskSettings { means: DiskMeans::Poll, floor_bytes, ..DiskSettings::default() };
        Disks::open(dir.path(), settings).unwrap().has_room()
    };

    assert_eq!(with_floor(0), Ok(()));
    assert_eq!(with_floor(1), Ok(()));
    let refused = with_floor(u64::MAX).unwrap_err();
    assert!(refused.contains("--disk-floor"), "{refused}");
}

#[test]
fn a_mount_point_with_blanks_is_read_as_it_is() {
    let line = br"36 35 98:0 / /mnt/a\040b\134c rw - ext4 /dev/loop0 rw";
    assert_eq!(mount_point(line), Some(PathBuf::from("/mnt/a b\\c")));
    assert_eq!(mount_point(b""), None);
}

/// A btrfs file system of its own, gone when dropped.
struct Btrfs(tempfile::TempDir);

impl Btrfs {
    fn make() -> Option<Self> {
        if !is_root() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let (image, at) = (dir.path().join("image"), dir.path().join("at"));
        fs::create_dir(&at).unwrap();
        fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
        let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
            let output = std::process::Command::new(program).args(arguments).output();
            output.is_ok_and(|output| output.status.success())
        };
        let made = run("mkfs.btrfs", &["-q".as_ref(), image.as_ref()])
            && run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), at.as_ref()]);
        if !made {
            eprintln!("skipped: needs btrfs");
        }
        made.then_some(Self(dir))
    }

    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap().join("at")
    }
}

impl Drop for Btrfs {
    fn drop(&mut self) {
        let _busy = rustix::mount::unmount(self.0.path().join("at"), rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_btrfs_sandbox_is_held_to_its_quota_and_removed_with_the_subvolumes_inside() {
    let Some(btrfs) = Btrfs::make() else { return };
    let with = |means| Disks::open(&btrfs.path(), DiskSettings { means, ..DiskSettings::default() });
    assert_eq!(with(DiskMeans::Auto).unwrap().how(), "measuring", "quotas are not turned on unasked");
    let disks = with(DiskMeans::Btrfs).unwrap();
    assert_eq!(with(DiskMeans::Auto).unwrap().how(), "btrfs quotas", "once they are on they are used");
    let (held, free) = (btrfs.path().join("held"), btrfs.path().join("free"));
    disks.create(&held, Some(4 << 20), Some((1000, 1000))).unwrap();
    disks.create(&free, None, None).unwrap();

    // Data that cannot be told to take no room.
    let random = |length: usize| {
        let mut data = vec![0; length];
        io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut data).unwrap();
        data
    };
    let written = fs::write(held.join("large"), random(8 << 20))
        .and_then(|()| fs::File::open(held.join("large")).unwrap().sync_all());
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
    fs::write(free.join("large"), random(8 << 20)).unwrap();

    // What was deleted counts until it is committed.
    fs::remove_file(held.join("large")).unwrap();
    rustix::fs::syncfs(quota::open(&held).unwrap()).unwrap();
    fs::create_dir(held.join("folder")).unwrap();
    kernel::create_subvolume(quota::open(&held.join("folder")).unwrap().as_fd(), b"inner").unwrap();
    fs::create_dir_all(held.join("folder/inner/deep/er")).unwrap();
    fs::write(held.join("folder/inner/deep/er/file"), random(1 << 20)).unwrap();
    rustix::fs::syncfs(quota::open(&held).unwrap()).unwrap();
    assert!(disks.measure(&held, u64::MAX).unwrap().bytes >= 1 << 20, "what is in subvolumes counts");
    for sandbox in [&held, &free] {
        disks.remove(sandbox).unwrap();
        assert!(!sandbox.exists());
    }
}
