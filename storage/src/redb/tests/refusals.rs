//! Data dirs that are not ours to open: each refused by its own variant, with words that help.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::tempdir;

use super::{OURS, open};
use crate::redb::{OpenError, RedbStore, StoreIdentity};
use crate::{Batch, Key, Revision, Store};

fn refusal(dir: &Path, identity: StoreIdentity) -> OpenError {
    match RedbStore::open(dir, identity) {
        Err(error) => error,
        Ok(_) => panic!("{} was opened", dir.display()),
    }
}

#[tokio::test]
async fn a_missing_data_dir_is_made_for_its_owner_alone() {
    let place = tempdir().unwrap();
    let dir = place.path().join("work/master");

    open(&dir).commit(Batch::new().put("a", *b"1")).await.unwrap();

    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for file in ["LOCK", "test.redb", "test.acknowledged"] {
        assert_eq!(fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 3);
}

#[test]
fn a_data_dir_in_use_is_refused_with_the_holders_pid() {
    let dir = tempdir().unwrap();
    let held = open(dir.path());

    let error = refusal(dir.path(), OURS);
    assert!(matches!(error, OpenError::Locked { holder: Some(pid), .. } if pid == std::process::id()));
    let text = error.to_string();
    assert!(text.contains(&dir.path().display().to_string()) && text.contains("stop that process"), "{text}");

    drop(held);
    open(dir.path());
}

#[test]
fn a_database_that_a_stranger_has_open_is_refused() {
    let dir = tempdir().unwrap();
    drop(open(dir.path()));
    let stranger = ::redb::Database::open(dir.path().join("test.redb")).unwrap();

    assert!(matches!(refusal(dir.path(), OURS), OpenError::Locked { holder: None, .. }));

    drop(stranger);
    open(dir.path());
}

#[test]
fn another_daemons_data_is_refused() {
    let dir = tempdir().unwrap();
    drop(open(dir.path()));

    let other = StoreIdentity { kind: "agent", format: 1 };
    let error = refusal(dir.path(), other);
    assert!(matches!(&error, OpenError::OtherKind { found, .. } if found == "test"), "{error}");

    // Also when its file was renamed to fit.
    fs::rename(dir.path().join("test.redb"), dir.path().join("agent.redb")).unwrap();
    let error = refusal(dir.path(), other);
    assert!(matches!(&error, OpenError::OtherKind { found, .. } if found == "test"), "{error}");
    assert!(error.to_string().contains("choose another work dir"));
}

#[test]
fn another_format_is_refused_whether_newer_or_older() {
    let dir = tempdir().unwrap();
    drop(RedbStore::open(dir.path(), StoreIdentity { kind: "test", format: 5 }).unwrap());

    let older_release = refusal(dir.path(), StoreIdentity { kind: "test", format: 4 });
    assert!(matches!(older_release, OpenError::NewerFormat { found: 5, wanted: 4, .. }));
    assert!(older_release.to_string().contains("run the newer release"));
    let newer_release = refusal(dir.path(), StoreIdentity { kind: "test", format: 6 });
    assert!(matches!(newer_release, OpenError::OlderFormat { found: 5, wanted: 6, .. }));
    RedbStore::open(dir.path(), StoreIdentity { kind: "test", format: 5 }).unwrap();
}

#[test]
fn a_kind_that_cannot_name_a_file_is_refused() {
    let dir = tempdir().unwrap();
    for kind in ["", "../master", "Master", "a-kind-that-is-longer-than-32-letters"] {
        assert!(matches!(refusal(dir.path(), StoreIdentity { kind, format: 1 }), OpenError::InvalidKind(_)));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let random: Vec<u8> =
        (0..40_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for content in [&b""[..], b"x", b"redb", &random] {
        let dir = tempdir().unwrap();
        fs::write(dir.path().join("test.redb"), content).unwrap();

        assert!(matches!(refusal(dir.path(), OURS), OpenError::NotADatabase { .. }));
        assert_eq!(fs::read(dir.path().join("test.redb")).unwrap(), content);
    }
}

#[test]
fn a_database_without_our_identity_is_refused() {
    let dir = tempdir().unwrap();
    drop(::redb::Database::create(dir.path().join("test.redb")).unwrap());

    let error = refusal(dir.path(), OURS);
    assert!(error.to_string().contains("without our identity record"), "{error}");
}

#[test]
fn links_and_folders_in_place_of_files_are_refused() {
    let elsewhere = tempdir().unwrap();
    drop(open(elsewhere.path()));
    for name in ["LOCK", "test.redb", "test.acknowledged"] {
        let dir = tempdir().unwrap();
        symlink(elsewhere.path().join(name), dir.path().join(name)).unwrap();
        assert!(matches!(refusal(dir.path(), OURS), OpenError::SymbolicLink { .. }), "{name}");

        let dir = tempdir().unwrap();
        fs::create_dir(dir.path().join(name)).unwrap();
        assert!(matches!(refusal(dir.path(), OURS), OpenError::NotADatabase { .. }), "{name}");
    }
    // The data dir itself may be reached by a link.
    let link = elsewhere.path().join("link");
    symlink(elsewhere.path(), &link).unwrap();
    drop(open(&link));
}

#[test]
fn a_path_that_is_no_directory_is_refused() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();

    assert!(matches!(refusal(&file, OURS), OpenError::NotADirectory { .. }));
    assert!(matches!(refusal(&file.join("below"), OURS), OpenError::NotADirectory { .. }));
}

#[test]
fn a_denied_path_is_refused_as_such() {
    // Root is denied little; that errors of this kind become this variant holds for everyone.
    let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let error = OpenError::io(Path::new("/work"), "open", denied);
    assert!(matches!(error, OpenError::NoPermission { .. }));
    assert_eq!(
        error.to_string(),
        "no permission to open /work: give this user the right, or choose another work dir"
    );

    let dir = tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(dir.path().join("probe"), "").is_err() {
        assert!(matches!(refusal(dir.path(), OURS), OpenError::NoPermission { .. }));
    }
}

#[tokio::test]
async fn a_creation_that_a_crash_cut_short_is_done_again() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("test.redb.new"), b"half a database").unwrap();

    let store = open(dir.path());

    assert_eq!(store.scan(&Key::empty()).await.unwrap().revision, Revision::ZERO);
    assert!(!dir.path().join("test.redb.new").exists());
}

#[tokio::test]
async fn a_database_older_than_what_was_acknowledged_is_refused() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    store.commit(Batch::new().put("a", *b"1")).await.unwrap();
    drop(store);
    let database = dir.path().join("test.redb");
    let old = fs::read(&database).unwrap();
    let store = open(dir.path());
    store.commit(Batch::new().put("a", *b"2")).await.unwrap();
    drop(store);

    fs::write(&database, old).unwrap();
    let error = refusal(dir.path(), OURS);
    assert!(matches!(error, OpenError::LostRevisions { found: Revision(1), acknowledged: Revision(2), .. }));
    fs::remove_file(&database).unwrap();
    let error = refusal(dir.path(), OURS);
    assert!(matches!(error, OpenError::LostRevisions { found: Revision(0), .. }));

    // What the message says to do to accept the loss.
    fs::remove_file(dir.path().join("test.acknowledged")).unwrap();
    open(dir.path());
}

#[tokio::test]
async fn a_damaged_acknowledgement_does_not_keep_a_sound_database_shut() {
    let dir = tempdir().unwrap();
    open(dir.path()).commit(Batch::new().put("a", *b"1")).await.unwrap();
    for damage in [&b""[..], &[0; 58], b"lonja-acknowledged 99999999999999999999 0000000000000000\n"] {
        fs::write(dir.path().join("test.acknowledged"), damage).unwrap();
        assert_eq!(open(dir.path()).scan(&Key::empty()).await.unwrap().revision, Revision(1));
    }
}
