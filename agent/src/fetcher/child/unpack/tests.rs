//! Archives that are meant badly, one line each; and what good ones leave.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use flate2::Compression;
use flate2::write::GzEncoder;
use zip::write::SimpleFileOptions;

use super::*;

/// An entry of a tar archive, by the bytes that stand in it.
#[derive(Clone)]
struct Entry {
    kind: u8,
    name: Vec<u8>,
    target: Vec<u8>,
    mode: u32,
    content: Vec<u8>,
}

fn entry(kind: u8, name: &str, target: &str) -> Entry {
    let (name, target) = (name.as_bytes().to_vec(), target.as_bytes().to_vec());
    Entry { kind, name, target, mode: 0o644, content: Vec::new() }
}

fn file(name: &str, content: &str) -> Entry {
    Entry { content: content.as_bytes().to_vec(), ..entry(b'0', name, "") }
}

fn tar_of(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let mut header = tar::Header::new_ustar();
        let block = header.as_mut_bytes();
        block[..entry.name.len()].copy_from_slice(&entry.name);
        block[157..157 + entry.target.len()].copy_from_slice(&entry.target);
        block[156] = entry.kind;
        header.set_mode(entry.mode);
        header.set_mtime(1_000_000_000);
        header.set_size(entry.content.len() as u64);
        header.set_cksum();
        bytes.extend(header.as_bytes());
        bytes.extend(&entry.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A folder to unpack into, inside another that has to stay as it is.
struct Place {
    outer: tempfile::TempDir,
    folder: Folder,
    budget: Budget,
}

impl Place {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("outside"), "untouched").unwrap();
        fs::create_dir(outer.path().join("sandbox")).unwrap();
        let folder = Folder::open(&outer.path().join("sandbox")).unwrap();
        Self { outer, folder, budget: Budget::new(1 << 30) }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.outer.path().join("sandbox").join(name)
    }

    fn unpack(&mut self, kind: Kind, archive: &[u8]) -> Result<String, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(archive).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let packed = archive.len() as u64;
        unpack(kind, file, packed, "archive.gz", &self.folder, &mut self.budget)
            .map_err(|error| error.to_string())
    }

    fn outside_is_untouched(&self) {
        let mut names: Vec<_> =
            fs::read_dir(self.outer.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["outside", "sandbox"]);
        assert_eq!(fs::read_to_string(self.outer.path().join("outside")).unwrap(), "untouched");
        assert_eq!(fs::metadata(self.outer.path().join("outside")).unwrap().nlink(), 1);
    }
}

#[test]
fn nothing_of_a_tar_archive_leaves_the_sandbox() {
    let out = "may lead out";
    let table: Vec<(&str, Vec<Entry>, &str)> = vec![
        ("climbs", vec![file("../outside", "x")], "leads out"),
        ("climbs from below", vec![file("a/../../outside", "x")], "leads out"),
        ("is absolute", vec![file("/tmp/outside", "x")], "absolute"),
        ("a folder climbs", vec![entry(b'5', "../d/", "")], "leads out"),
        ("an absolute folder", vec![entry(b'5', "/", "")], "absolute"),
        ("a link climbs", vec![entry(b'2', "l", "../outside")], out),
        ("a link is absolute", vec![entry(b'2', "l", "/etc/passwd")], out),
        ("a link climbs after it descended", vec![entry(b'2', "l", "a/../../outside")], out),
        (
            "a link climbs by another",
            vec![entry(b'2', "a/up", ".."), entry(b'2', "m", "a/up/../outside")],
            out,
        ),
        ("a link to nothing", vec![entry(b'2', "l", "")], out),
        (
            "a file through a link",
            vec![entry(b'5', "d/", ""), entry(b'2', "l", "d"), file("l/inner", "x")],
            "is a link or a file",
        ),
        ("a file over a link", vec![entry(b'2', "l", "d"), file("l", "x")], "is there already"),
        ("a folder over a link", vec![entry(b'2', "l", "d"), entry(b'5', "l/", "")], "is a link or a file"),
        ("a hard link climbs", vec![entry(b'1', "h", "../outside")], "leads out"),
        ("a hard link is absolute", vec![entry(b'1', "h", "/etc/passwd")], "absolute"),
        (
            "a hard link to a link",
            vec![file("d", "x"), entry(b'2', "l", "d"), entry(b'1', "h", "l")],
            "to no plain file",
        ),
        ("a name twice", vec![file("a", "x"), file("a", "y")], "is there already"),
        ("a name twice, written otherwise", vec![file("a", "x"), file("./a", "y")], "is there already"),
        ("a character device", vec![entry(b'3', "null", "")], "special file"),
        ("a block device", vec![entry(b'4', "sda", "")], "special file"),
        ("a FIFO", vec![entry(b'6', "fifo", "")], "special file"),
        ("too deep", vec![file(&"d/".repeat(49), "x"), file(&format!("{}x", "d/".repeat(49)), "x")], ""),
        ("no name", vec![file("", "x")], ""),
        ("no archive", vec![], ""),
    ];
    for (what, entries, expected) in table {
        for packed in [false, true] {
            let mut place = Place::new();
            let archive = tar_of(&entries);
            let done = match packed {
                false => place.unpack(Kind::Tar, &archive),
                true => place.unpack(Kind::TarGzip, &gzip(&archive)),
            };
            if !expected.is_empty() {
                let refused = done.unwrap_err();
                assert!(refused.contains(expected), "{what}: {refused}");
            }
            place.outside_is_untouched();
        }
    }
}

#[test]
fn no_power_and_nobodys_time_is_lost_in_an_archive() {
    let mut place = Place::new();
    let archive = tar_of(&[
        entry(b'5', "./", ""),
        Entry { mode: 0o7777, ..file("setuid", "x") },
        Entry { mode: 0o000, ..file("a/hidden", "x") },
        entry(b'2', "a/b/up", "../hidden"),
        entry(b'1', "second", "setuid"),
        file("-o name with 'quotes'", "x"),
    ]);
    assert_eq!(place.unpack(Kind::Tar, &archive).unwrap(), ", unpacked 6 entries");
    let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("setuid"), mode("a/hidden"), mode("a")), (0o755, 0o600, 0o755));
    assert_eq!(fs::metadata(place.path("setuid")).unwrap().mtime(), 1_000_000_000);
    assert_eq!(fs::read_to_string(place.path("a/b/up")).unwrap(), "x");
    assert_eq!(fs::metadata(place.path("second")).unwrap().nlink(), 2);
    assert!(place.path("-o name with 'quotes'").exists());
}

#[test]
fn a_bomb_is_stopped_whatever_it_is_packed_in() {
    let zeros = vec![0; 4 << 20];
    let bomb = gzip(&zeros);
    assert!(bomb.len() < 100_000);
    let mut place = Place::new();
    assert!(place.unpack(Kind::Gzip, &bomb).unwrap_err().contains("200 times its size"));
    let inside = tar_of(&[Entry { content: zeros.clone(), ..file("zeros", "") }]);
    let refused = Place::new().unpack(Kind::TarGzip, &gzip(&inside)).unwrap_err();
    assert!(refused.contains("200 times its size"), "{refused}");
    let zipped = zip_of(&[("zeros", 0o644, &zeros[..])]);
    let refused = Place::new().unpack(Kind::Zip, &zipped).unwrap_err();
    assert!(refused.contains("200 times its size"), "{refused}");

    let mut small = Place::new();
    small.budget = Budget::new(1000);
    let refused =
        small.unpack(Kind::Tar, &tar_of(&[file("a", &"x".repeat(600)), file("b", &"x".repeat(600))]));
    assert!(refused.unwrap_err().contains("more than 1000 bytes"));
}

fn bzip2_of(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz_of(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(6);
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// An xz archive whose block says that it looks back 1.5 GiB.
fn wanting_much() -> Vec<u8> {
    let mut archive = xz_of(b"x");
    let header = 12..12 + (usize::from(archive[12]) + 1) * 4;
    assert_eq!(archive[14], 0x21, "one filter, LZMA2");
    archive[16] = 37;
    let mut sum = flate2::Crc::new();
    sum.update(&archive[header.start..header.end - 4]);
    archive[header.end - 4..header.end].copy_from_slice(&sum.sum().to_le_bytes());
    archive
}

/// A tar archive, packed in each way that there is besides gzip.
fn packed(archive: &[u8]) -> [(Kind, Vec<u8>); 3] {
    [(Kind::TarBzip2, bzip2_of(archive)), (Kind::TarXz, xz_of(archive)), (Kind::TarZstd, zstd_of(archive))]
}

#[test]
fn an_archive_is_the_same_however_it_is_packed() {
    let content = "0123456789abcdef".repeat(20_000);
    let archive = tar_of(&[file("a/first", &content), entry(b'2', "link", "a/first"), file("second", "x")]);
    let half = archive.len() / 1024 * 512;
    for (kind, whole) in packed(&archive) {
        let mut place = Place::new();
        assert_eq!(place.unpack(kind, &whole).unwrap(), ", unpacked 3 entries", "{kind:?}");
        assert_eq!(fs::read_to_string(place.path("link")).unwrap(), content, "{kind:?}");
        let torn = &whole[..whole.len() - 9];
        assert!(Place::new().unpack(kind, torn).is_err(), "{kind:?}: torn");
        assert!(Place::new().unpack(kind, b"no archive").is_err(), "{kind:?}");
    }
    // As pbzip2, pixz and pzstd write them.
    let (first, second) = archive.split_at(half);
    for ((kind, first), (_, second)) in packed(first).into_iter().zip(packed(second)) {
        let mut place = Place::new();
        place.unpack(kind, &[first, second].concat()).unwrap();
        assert_eq!(fs::read_to_string(place.path("link")).unwrap(), content, "{kind:?} in two streams");
    }
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd_of(&archive)].concat();
    Place::new().unpack(Kind::TarZstd, &skippable).unwrap();
}

#[test]
fn a_changed_archive_is_noticed() {
    let content: String =
        (0..40_000_u32).map(|number| char::from(b'a' + (number * number % 23) as u8)).collect();
    for (kind, whole) in packed(&tar_of(&[file("a", &content)])) {
        for place in (20..whole.len()).step_by(whole.len() / 40 + 1) {
            let mut changed = whole.clone();
            changed[place] ^= 0x10;
            let mut unpacked = Place::new();
            let outcome = unpacked.unpack(kind, &changed);
            let is_same = || fs::read_to_string(unpacked.path("a")).is_ok_and(|found| found == content);
            assert!(outcome.is_err() || is_same(), "{kind:?} at {place}");
        }
    }
}

#[test]
fn a_bomb_in_any_other_packing_is_stopped_in_time_and_memory() {
    let zeros = vec![0; 8 << 20];
    for (kind, bomb) in packed(&tar_of(&[Entry { content: zeros.clone(), ..file("zeros", "") }])) {
        let refused = Place::new().unpack(kind, &bomb).unwrap_err();
        assert!(refused.contains("200 times its size"), "{kind:?}: {refused}");
    }
    let refused = Place::new().unpack(Kind::TarXz, &wanting_much()).unwrap_err();
    assert!(refused.to_lowercase().contains("memory"), "{refused}");
    // A frame that wants to look back 2 GiB: its header says so.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00];
    let refused = Place::new().unpack(Kind::TarZstd, &frame).unwrap_err();
    assert!(refused.to_lowercase().contains("window"), "{refused}");
}

#[test]
fn too_many_entries_are_not_made() {
    let mut place = Place::new();
    for _ in 0..199_999 {
        place.budget.entry().unwrap();
    }
    let refused = place.unpack(Kind::Tar, &tar_of(&[file("a", "x"), file("b", "x")])).unwrap_err();
    assert!(refused.contains("more than 200000 entries"), "{refused}");
    assert!(place.path("a").exists() && !place.path("b").exists());
}

/// A zip archive with entries of these names, modes with file types, and contents.
fn zip_of(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, mode, content) in entries {
        let options = SimpleFileOptions::default().unix_permissions(*mode & 0o7777);
        if mode & libc::S_IFMT == libc::S_IFLNK {
            archive.add_symlink(*name, String::from_utf8_lossy(content), options).unwrap();
        } else {
            archive.start_file(*name, options).unwrap();
            archive.write_all(content).unwrap();
        }
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn nothing_of_a_zip_archive_leaves_the_sandbox() {
    const LINK: u32 = libc::S_IFLNK | 0o777;
    type Entries = Vec<(&'static str, u32, &'static [u8])>;
    let table: [(&str, Entries, &str); 8] = [
        ("climbs", vec![("../outside", 0o644, b"x")], "leads out"),
        ("is absolute", vec![("/tmp/outside", 0o644, b"x")], "absolute"),
        ("a link climbs", vec![("l", LINK, b"../outside")], "may lead out"),
        ("a link is absolute", vec![("l", LINK, b"/etc/passwd")], "may lead out"),
        ("through a link", vec![("l", LINK, b"."), ("l/inner", 0o644, b"x")], "is a link or a file"),
        ("over a link", vec![("l", LINK, b"d"), ("./l", 0o644, b"x")], "is there already"),
        ("a folder climbs", vec![("../d/", 0o755, b"")], "leads out"),
        ("a zero byte", vec![("a\0b", 0o644, b"x")], ""),
    ];
    for (what, entries, expected) in table {
        let mut place = Place::new();
        let done = place.unpack(Kind::Zip, &zip_of(&entries));
        if !expected.is_empty() {
            let refused = done.unwrap_err();
            assert!(refused.contains(expected), "{what}: {refused}");
        }
        place.outside_is_untouched();
    }
    let mut place = Place::new();
    let good = zip_of(&[("d/f", 0o4755, b"content"), ("d/l", LINK, b"f")]);
    assert_eq!(place.unpack(Kind::Zip, &good).unwrap(), ", unpacked 2 entries");
    assert_eq!(fs::read_to_string(place.path("d/l")).unwrap(), "content");
    assert_eq!(fs::metadata(place.path("d/f")).unwrap().permissions().mode() & 0o7777, 0o755);
    let refused = Place::new().unpack(Kind::Zip, b"no archive").unwrap_err();
    assert!(refused.contains("no zip archive"), "{refused}");
}

#[test]
fn a_packed_file_loses_its_ending_and_takes_nobodys_place() {
    let mut place = Place::new();
    place.unpack(Kind::Gzip, &gzip(b"plain")).unwrap();
    assert_eq!(fs::read(place.path("archive")).unwrap(), b"plain");
    assert!(place.unpack(Kind::Gzip, &gzip(b"again")).unwrap_err().contains("is there already"));
    assert!(Place::new().unpack(Kind::Gzip, &gzip(b"torn")[..12]).is_err());
}

#[test]
fn a_link_that_is_swapped_in_meanwhile_leads_nobody_out() {
    // Another process of the same user, as one task of two on the same sandbox could be.
    let mut place = Place::new();
    let (sandbox, outer) = (place.path(""), place.outer.path().to_owned());
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let attacker = std::thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let _lost = fs::rename(sandbox.join("d"), sandbox.join("away"));
            let _lost = std::os::unix::fs::symlink(&outer, sandbox.join("d"));
            let _lost = fs::remove_file(sandbox.join("d"));
            let _lost = fs::rename(sandbox.join("away"), sandbox.join("d"));
        }
    });
    for round in 0..2_000 {
        let _refused = place.unpack(Kind::Tar, &tar_of(&[file(&format!("d/{round}"), "x")]));
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    attacker.join().unwrap();
    place.outside_is_untouched();
}
