//! What a task can put in the way of those who look into its sandbox.

use super::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A sandbox with a secret beside it.
fn place() -> (tempfile::TempDir, OwnedFd) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    fs::create_dir_all(dir.path().join("sandbox/inner")).unwrap();
    fs::write(dir.path().join("sandbox/inner/file"), "inside").unwrap();
    let root = fs::File::open(dir.path().join("sandbox")).unwrap().into();
    (dir, root)
}

fn text(root: &OwnedFd, path: &str) -> Result<String, String> {
    read(root, path, 0, LARGEST_PIECE)
        .map(|piece| String::from_utf8(piece.data).unwrap())
        .map_err(|error| error.to_string())
}

#[test]
fn every_way_out_is_closed_and_says_so() {
    let (dir, root) = place();
    let sandbox = dir.path().join("sandbox");
    let link = |to: &Path, name: &str| symlink(to, sandbox.join(name)).unwrap();
    link(Path::new("../secret"), "relative");
    link(&dir.path().join("secret"), "absolute");
    link(Path::new("/"), "rootlink");
    link(Path::new("/proc/self/root"), "magic");
    link(Path::new("/proc/self/fd"), "fds");
    link(Path::new("loop"), "loop");
    link(Path::new("inner/../../secret"), "winding");
    nix::unistd::mkfifo(&sandbox.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(sandbox.join("socket")).unwrap();
    let long = "x/".repeat(3_000);
    let name = "n".repeat(300);
    let table: [(&str, &str); 18] = [
        ("../secret", "contains '..'"),
        ("inner/../../secret", "contains '..'"),
        ("inner/..", "contains '..'"),
        ("/../secret", "contains '..'"),
        ("a\0b", "contains a NUL byte"),
        (&long, "longer than"),
        (&name, "is not there"),
        ("relative", "is not there"),
        ("absolute", "is not there"),
        ("winding", "is not there"),
        ("rootlink/etc/passwd", "is not there"),
        ("magic/etc/passwd", "is not there"),
        ("fds/0", "is not there"),
        ("loop", "is not there"),
        ("missing", "is not there"),
        ("inner/file/more", "is not there"),
        ("fifo", "is a FIFO"),
        ("socket", "is a socket"),
    ];
    for (path, said) in table {
        let refused = text(&root, path).unwrap_err();
        assert!(refused.contains(said), "{path:?}: {refused}");
        if !said.starts_with("is a ") {
            assert!(list(&root, path).is_err(), "{path:?} is listed");
        }
    }
    // %2e%2e reaches us as two dots, or, undecoded, as the name of a file that is not there.
    assert!(text(&root, "%2e%2e/secret").unwrap_err().contains("is not there"));
    assert!(text(&root, "inner").unwrap_err().contains("is a folder"));
}

#[test]
fn what_is_inside_is_read_also_through_links_that_stay_inside() {
    let (dir, root) = place();
    symlink("inner/file", dir.path().join("sandbox/here")).unwrap();
    symlink("../inner", dir.path().join("sandbox/inner/round")).unwrap();

    for path in ["inner/file", "/inner/file", "//inner//./file", "here", "inner/round/round/file"] {
        assert_eq!(text(&root, path), Ok("inside".to_owned()), "{path}");
    }
    let listed =
        |path| list(&root, path).unwrap().entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>();
    assert_eq!(listed(""), ["here", "inner"]);
    assert_eq!(listed("/inner/"), ["file", "round"]);
    assert_eq!(listed("inner/file"), ["file"]);
    let link = &list(&root, "").unwrap().entries[0];
    assert!(mode_text(link.mode).starts_with('l'), "a link is listed as itself");
}

#[test]
fn a_device_is_refused_and_not_opened() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("skipped: needs root");
    }
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    let (dir, root) = place();
    let zero = dir.path().join("sandbox/zero");
    mknod(&zero, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 5)).unwrap();

    assert!(text(&root, "zero").unwrap_err().contains("is a device"));
    assert_eq!(list(&root, "").unwrap().entries.len(), 2);

    // A second name for a file of another user's.
    let sandbox = dir.path().join("sandbox");
    nix::unistd::chown(&sandbox, Some(1000.into()), Some(1000.into())).unwrap();
    fs::hard_link(dir.path().join("secret"), sandbox.join("linked")).unwrap();
    assert!(text(&root, "linked").unwrap_err().contains("another user's file"));
}

#[test]
fn a_hole_of_a_terabyte_is_read_a_piece_at_a_time() {
    let (dir, root) = place();
    let hole = fs::File::create(dir.path().join("sandbox/hole")).unwrap();
    hole.set_len(1 << 40).unwrap();

    let piece = read(&root, "hole", (1 << 40) - 10, usize::MAX).unwrap();
    assert_eq!((piece.data.len(), piece.size), (10, 1 << 40));
    assert_eq!(read(&root, "hole", 0, usize::MAX).unwrap().data.len(), LARGEST_PIECE);
    for beyond in [1 << 40, u64::MAX, i64::MAX as u64] {
        assert!(read(&root, "hole", beyond, 10).unwrap().data.is_empty());
    }
}

#[test]
fn a_listing_has_an_end() {
    let (dir, root) = place();
    for number in 0..MOST_ENTRIES + 5 {
        fs::write(dir.path().join("sandbox/inner").join(number.to_string()), "").unwrap();
    }

    let listing = list(&root, "inner").unwrap();

    assert!(listing.truncated);
    assert_eq!(listing.entries.len(), MOST_ENTRIES);
}

/// Ten thousand looks while somebody swaps a folder for a link that leads out.
#[test]
fn swaps_under_our_hands_lead_nobody_out() {
    let (dir, root) = place();
    let sandbox = dir.path().join("sandbox");
    fs::create_dir(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("outside/file"), "secret").unwrap();
    symlink(dir.path().join("outside"), sandbox.join("other")).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            while !done.load(Ordering::Relaxed) {
                let (one, other) = (sandbox.join("inner"), sandbox.join("other"));
                rustix::fs::renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, other, flags).unwrap();
            }
        });
        let seen: std::collections::BTreeSet<_> =
            (0..10_000).map(|_| text(&root, "inner/file").ok()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(!seen.contains(&Some("secret".to_owned())), "{seen:?}");
    });
}

#[test]
fn modes_are_written_as_ls_does() {
    for (mode, text) in [
        (0o100_644, "-rw-r--r--"),
        (0o040_750, "drwxr-x---"),
        (0o041_777, "drwxrwxrwt"),
        (0o104_755, "-rwsr-xr-x"),
        (0o102_644, "-rw-r-Sr--"),
        (0o120_777, "lrwxrwxrwx"),
        (0o010_600, "prw-------"),
    ] {
        assert_eq!(mode_text(mode), text);
    }
}
