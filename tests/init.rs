//! `lonja init`: what it writes compiles, passes its own tests, and takes nothing from the network.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lonja_tests::{lonja, stderr, stdout};

fn init(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(lonja());
    command.arg("init").args(arguments).current_dir(folder).stdin(Stdio::null());
    command.output().expect("the binary starts")
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the workspace").to_owned()
}

/// The folder with this build's artifacts: the crate's are put beside them, so that nothing is built twice.
fn target() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    own.ancestors().nth(3).expect("tests lie in TARGET/PROFILE/deps").to_owned()
}

/// How the workspace has its crates compiled, as cargo takes it by `--config`.
fn own_profiles() -> String {
    let manifest = std::fs::read_to_string(workspace().join("Cargo.toml")).expect("a workspace has one");
    let manifest: toml::Table = manifest.parse().expect("cargo has read it");
    let profiles = manifest.into_iter().filter(|(name, _)| name == "profile");
    profiles.collect::<toml::Table>().to_string()
}

#[test]
fn a_new_crate_compiles_and_passes_its_tests_offline() {
    let folder = tempfile::tempdir().unwrap();
    let sdk = workspace();

    let made = init(folder.path(), &["my-first", "--sdk", sdk.to_str().unwrap()]);
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(stdout(&made).contains("cd my-first\n"), "{}", stdout(&made));

    let crate_folder = folder.path().join("my-first");
    let mut test = Command::new(env!("CARGO"));
    // Compiled as this workspace is, so that what is there already is taken.
    let profiles = folder.path().join("profiles.toml");
    std::fs::write(&profiles, own_profiles()).unwrap();
    test.arg("--config")
        .arg(&profiles)
        .args(["test", "--offline", "--all-targets"])
        .current_dir(&crate_folder)
        .stdin(Stdio::null());
    test.env("CARGO_TARGET_DIR", target()).env("LONJA_TEST_SEEDS", "20");
    let tested = test.output().expect("cargo starts");
    let passed = stdout(&tested).matches("test result: ok").count();
    assert!(tested.status.success() && passed == 3, "{}{}", stdout(&tested), stderr(&tested));
    assert!(!stderr(&tested).contains("warning"), "{}", stderr(&tested));
}

/// As a newcomer has it who has put the binary on the path: no checkout is upward from it.
#[test]
fn without_a_folder_of_the_sdk_it_says_what_will_not_work_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let installed = folder.path().join("lonja");
    std::fs::copy(lonja(), &installed).unwrap();

    let mut command = Command::new(&installed);
    let made = command.args(["init", "mine"]).current_dir(folder.path()).output().expect("the binary starts");

    assert!(made.status.success(), "{}", stderr(&made));
    let said = stderr(&made);
    assert!(said.starts_with("warning: ") && said.contains("lonja init mine --sdk PATH"), "{said}");
    let manifest = std::fs::read_to_string(folder.path().join("mine/Cargo.toml")).unwrap();
    assert!(manifest.contains("version = \""), "{manifest}");
}

#[test]
fn the_template_is_written_as_cargo_would() {
    let files = ["src/lib.rs", "src/main.rs", "tests/faults.rs"];
    let files = files.map(|file| workspace().join("cli/template").join(file));
    // As in a folder without settings, which a new crate's is.
    let settings = ["--check", "--edition", "2024", "--config", "max_width=100,use_small_heuristics=Default"];
    let checked = Command::new("rustfmt").args(settings).args(files).output();
    let checked = checked.expect("rustfmt is there");
    assert!(checked.status.success(), "run rustfmt on cli/template: {}", stdout(&checked));
}

#[test]
fn nothing_that_is_there_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("taken")).unwrap();
    std::fs::write(folder.path().join("taken/Cargo.toml"), "mine").unwrap();

    let refused = init(folder.path(), &["taken"]);

    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("taken is there already"), "{}", stderr(&refused));
    assert_eq!(std::fs::read_to_string(folder.path().join("taken/Cargo.toml")).unwrap(), "mine");
}

#[test]
fn what_cannot_be_a_crate_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, said) in [
        (vec!["2fast"], "is no name for a crate"),
        (vec!["../up"], "is no name for a crate"),
        (vec!["fine", "--sdk", "nowhere"], "--sdk nowhere"),
    ] {
        let refused = init(folder.path(), &arguments);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&refused).contains(said), "{arguments:?}: {}", stderr(&refused));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
