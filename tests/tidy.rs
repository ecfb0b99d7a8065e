//! The house rules that no compiler checks, each a test that says what to do.
//!
//! Arrows between the crates, purity of the cores, the map, and what must not be left lying about. The rules
//! are argued for in `docs/design.md` and `CONTRIBUTING.md`; a rule that is in the way is changed there and
//! here, in a commit of its own.

#[path = "tidy/workspace.rs"]
mod workspace;

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};
use workspace::{Kind, Package, modules, packages, quoted, read, root_manifest, section, text_files, top};

/// Who may stand on whom: a crate, what it may name, and what only its tests may name besides.
const ARROWS: &[(&str, &[&str], &[&str])] = &[
    ("lonja-model", &[], &[]),
    ("lonja-proto", &["lonja-model"], &[]),
    ("lonja-storage", &[], &[]),
    ("lonja-serve", &[], &[]),
    ("lonja-allocator", &["lonja-model"], &[]),
    ("lonja-master-core", &["lonja-model", "lonja-allocator"], &[]),
    (
        "lonja-master",
        &["lonja-model", "lonja-master-core", "lonja-proto", "lonja-storage", "lonja-serve"],
        &[],
    ),
    ("lonja-agent-core", &["lonja-model"], &[]),
    ("lonja-agent", &["lonja-model", "lonja-agent-core", "lonja-proto", "lonja-storage", "lonja-serve"], &[]),
    ("lonja-sdk-core", &["lonja-model"], &[]),
    // The simulator only by the feature `testing`: see `the_sdk_takes_the_simulator_for_tests_only`.
    ("lonja-sdk", &["lonja-model", "lonja-sdk-core", "lonja-proto", "lonja-sim", "lonja-storage"], &[]),
    ("lonja-services-core", &["lonja-model", "lonja-sdk-core"], &[]),
    ("lonja-services", &["lonja-model", "lonja-services-core", "lonja-sdk", "lonja-serve"], &[]),
    (
        "lonja-sim",
        &["lonja-model", "lonja-allocator", "lonja-master-core", "lonja-agent-core", "lonja-sdk-core"],
        &[],
    ),
    (
        "lonja",
        &[
            "lonja-model",
            "lonja-proto",
            "lonja-storage",
            "lonja-master",
            "lonja-agent",
            "lonja-sdk",
            "lonja-services",
            "lonja-sim",
        ],
        &[],
    ),
    ("lonja-examples", &["lonja-sdk"], &[]),
    ("lonja-tests", &[], &["lonja-model", "lonja-proto", "lonja-sdk", "lonja"]),
];

/// The pure crates.
const CORES: &[&str] = &[
    "lonja-model",
    "lonja-allocator",
    "lonja-master-core",
    "lonja-agent-core",
    "lonja-sdk-core",
    "lonja-services-core",
];

/// All that a core may take from outside, and what its tests may.
const CORES_MAY_USE: &[&str] = &["thiserror", "regex"];
const TESTS_OF_CORES_MAY_USE: &[&str] = &["divan", "proptest"];

/// Lines of Rust in one file: said aloud above the first, refused above the second.
const LONG: usize = 500;
const TOO_LONG: usize = 700;

/// Fails with every breach at once, and with what to do about them.
#[track_caller]
fn expect_none(breaches: &[String], what_to_do: &str) {
    assert!(breaches.is_empty(), "\n  {}\n\nWhat to do: {what_to_do}\n", breaches.join("\n  "));
}

fn is_ours(name: &str) -> bool {
    name == "lonja" || name.starts_with("lonja-")
}

fn cores() -> Vec<Package> {
    packages().into_iter().filter(|package| CORES.contains(&package.name.as_str())).collect()
}

#[test]
fn crates_depend_along_the_arrows() {
    let mut breaches = Vec::new();
    for package in packages() {
        let Some((_, normal, dev)) = ARROWS.iter().find(|(name, ..)| *name == package.name) else {
            breaches.push(format!("{} is not in the table ARROWS", package.name));
            continue;
        };
        for (kind, allowed) in [(Kind::Normal, normal.to_vec()), (Kind::Dev, [*normal, *dev].concat())] {
            let named = package.dependencies(kind).into_iter().map(|dependency| dependency.name);
            let wrong = named.filter(|name| is_ours(name) && !allowed.contains(&name.as_str()));
            breaches.extend(wrong.map(|name| format!("{} -> {name}", package.name)));
        }
    }
    expect_none(
        &breaches,
        "go through a crate that may know both, or move the code. Only if the architecture itself changes: \
         the table ARROWS in tests/tidy.rs and the arrows in ARCHITECTURE.md, in one commit.",
    );
}

#[test]
fn the_sdk_takes_the_simulator_for_tests_only() {
    let sdk = packages().into_iter().find(|package| package.name == "lonja-sdk").expect("there is an SDK");
    let breaches: Vec<String> = sdk
        .dependencies(Kind::Normal)
        .iter()
        .filter(|dependency| dependency.name == "lonja-sim" && !dependency.optional)
        .map(|_| "lonja-sdk -> lonja-sim without `optional = true`".to_owned())
        .collect();
    expect_none(
        &breaches,
        "turn it on by the feature `testing`: a production scheduler carries no simulator.",
    );
}

#[test]
fn a_schedulers_tests_need_no_network_stack() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let tree = std::process::Command::new(cargo)
        .args([
            "tree",
            "--offline",
            "--locked",
            "-p",
            "lonja-sdk",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
        ])
        .args(["--no-default-features", "--features", "testing"])
        .current_dir(top())
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    assert!(tree.contains("lonja-sim "), "{tree}");
    let stack = ["tonic", "tokio", "hyper", "h2", "lonja-proto", "lonja-storage"];
    let breaches: Vec<String> = tree
        .lines()
        .filter(|line| line.split(' ').next().is_some_and(|name| stack.contains(&name)))
        .map(|line| format!("lonja-sdk with `testing` alone -> {line}"))
        .collect();
    expect_none(
        &breaches,
        "what speaks to a master hangs on the SDK's feature `driver`; a scheduler is tested without it.",
    );
}

#[test]
fn the_sdk_shows_no_types_of_the_wire() {
    let wire = ["tonic::", "prost::", "lonja_proto::", "lonja_storage::", "hyper::"];
    let mut breaches = Vec::new();
    for file in
        text_files().iter().filter(|file| file.is_rust() && file.path.starts_with("framework-sdk/src/"))
    {
        let shown = |line: &str| {
            let line = line.trim_start();
            let public =
                line.starts_with("pub ") || line.starts_with("#[source]") || line.starts_with("#[from]");
            public && wire.iter().any(|name| line.contains(name))
        };
        breaches.extend(file.lines().filter(|(_, line)| shown(line)).map(|(place, _)| place));
    }
    expect_none(
        &breaches,
        "users of the SDK would depend on how the wire is made: wrap it in a type of ours, or its text in an error.",
    );
}

#[test]
fn cores_use_nothing_that_does_io_or_knows_the_time() {
    let mut breaches = Vec::new();
    for core in cores() {
        for (kind, allowed) in [(Kind::Normal, CORES_MAY_USE), (Kind::Dev, TESTS_OF_CORES_MAY_USE)] {
            for dependency in core.dependencies(kind) {
                let name = dependency.name.as_str();
                // Generators for other crates' tests hang on a feature, as `testing` of the model.
                let for_tests = dependency.optional && TESTS_OF_CORES_MAY_USE.contains(&name);
                let known = CORES_MAY_USE.contains(&name) || allowed.contains(&name);
                if !is_ours(name) && !known && !for_tests {
                    breaches.push(format!("{} uses {name}", core.name));
                }
                if dependency.features.contains("clock") {
                    breaches.push(format!("{} turns on the feature `clock` of {name}", core.name));
                }
            }
        }
    }
    expect_none(
        &breaches,
        "time, randomness and I/O belong to the shell: take `now`, a seed or an event instead (docs/design.md, \
         D2). A crate of plain values may join CORES_MAY_USE in tests/tidy.rs, argued for in its commit.",
    );
}

#[test]
fn the_clippy_bans_of_all_cores_are_equal() {
    let texts: Vec<(String, String)> = cores()
        .iter()
        .map(|core| (core.folder.clone(), read(&format!("{}/clippy.toml", core.folder))))
        .collect();
    let (first, wanted) = &texts[0];
    let differ = texts.iter().filter(|(_, text)| text != wanted);
    let breaches: Vec<String> =
        differ.map(|(folder, _)| format!("{folder}/clippy.toml differs from {first}/clippy.toml")).collect();
    expect_none(&breaches, "change one and copy it to every core: Clippy reads only the nearest file.");
}

#[test]
fn the_lints_of_all_cores_are_equal_and_no_weaker_than_the_workspaces() {
    let wanted = flat_lints(&root_manifest()["workspace"]["lints"]);
    let cores = cores();
    let first = flat_lints(&cores[0].manifest["lints"]);
    let mut breaches = Vec::new();
    for core in &cores {
        let lints = flat_lints(&core.manifest["lints"]);
        if lints != first {
            breaches.push(format!("{}/Cargo.toml: [lints] differs from {}'s", core.folder, cores[0].folder));
        }
        for (lint, level) in &wanted {
            if lints.get(lint).is_none_or(|own| own < level) {
                breaches.push(format!("{}/Cargo.toml: {lint} is weaker than the workspace's", core.folder));
            }
        }
    }
    expect_none(
        &breaches,
        "cores carry one table, equal in all and at least as strict as [workspace.lints].",
    );
}

#[test]
fn every_other_crate_has_the_workspaces_lints() {
    let inherits = |package: &Package| {
        let flag = package.manifest.get("lints").and_then(|lints| lints.get("workspace"));
        flag.and_then(Value::as_bool) == Some(true)
    };
    let breaches: Vec<String> = packages()
        .iter()
        .filter(|package| !CORES.contains(&package.name.as_str()) && !inherits(package))
        .map(|package| format!("{}/Cargo.toml", package.folder))
        .collect();
    expect_none(&breaches, "add `[lints]` with `workspace = true`.");
}

/// Lints by name, each with its level as a number: allow, warn, deny, forbid.
fn flat_lints(tools: &Value) -> BTreeMap<String, usize> {
    let mut flat = BTreeMap::new();
    for (tool, lints) in tools.as_table().into_iter().flatten() {
        for (lint, level) in lints.as_table().into_iter().flatten() {
            let level = level.as_str().or_else(|| level.get("level").and_then(Value::as_str));
            let rank = ["allow", "warn", "deny", "forbid"].iter().position(|name| Some(*name) == level);
            flat.insert(
                format!("{tool}.{lint}"),
                rank.unwrap_or_else(|| panic!("{tool}.{lint} has no level")),
            );
        }
    }
    flat
}

#[test]
fn the_map_names_every_crate_and_every_top_level_module() {
    let map = read("ARCHITECTURE.md");
    let mut breaches = Vec::new();
    for package in packages() {
        let Some(own) = section(&map, &format!("`{}`", package.name)) else {
            breaches.push(format!("no heading of ARCHITECTURE.md holds `{}`", package.name));
            continue;
        };
        let listed = own.split("\n\n").find(|paragraph| paragraph.trim_start().starts_with("Modules:"));
        let listed = listed.map(quoted).unwrap_or_default();
        let real = package.crate_root().map(|root| modules(&root.text)).unwrap_or_default();
        let missing = real.difference(&listed).map(|name| format!("{}: `{name}` is missing", package.name));
        breaches.extend(missing);
        let stale = listed.difference(&real).map(|name| format!("{}: `{name}` is no module", package.name));
        breaches.extend(stale);
    }
    expect_none(
        &breaches,
        "in the crate's section of ARCHITECTURE.md one paragraph starts with `Modules:` and has each module of \
         the crate root in backticks, and nothing else in backticks; say in a word or two what it knows.",
    );
}

#[test]
fn every_dependency_is_argued_for_and_used() {
    let root = root_manifest();
    let entries = root["workspace"]["dependencies"].as_table().expect("a table");
    let outside: BTreeSet<&str> = entries.keys().map(String::as_str).filter(|name| !is_ours(name)).collect();
    let design = read("docs/design.md");
    let argued = quoted(section(&design, "Dependencies").unwrap_or_default());
    let mut used = BTreeSet::new();
    let mut breaches = Vec::new();
    for package in packages() {
        for dependency in [Kind::Normal, Kind::Dev].iter().flat_map(|kind| package.dependencies(*kind)) {
            if !dependency.inherited {
                breaches
                    .push(format!("{}/Cargo.toml: {} has its own version", package.folder, dependency.name));
            }
            used.insert(dependency.name);
        }
    }
    let silent = outside.iter().filter(|name| !argued.contains(**name));
    breaches
        .extend(silent.map(|name| format!("docs/design.md, section Dependencies, does not name `{name}`")));
    let unused = outside.iter().filter(|name| !used.contains(**name));
    breaches.extend(unused.map(|name| format!("no crate uses {name}")));
    expect_none(
        &breaches,
        "versions stand in the root Cargo.toml, once, and crates say `NAME.workspace = true`; what is there is \
         used, and docs/design.md says why it and what was refused.",
    );
}

#[test]
fn there_is_one_binary() {
    let mut found = Vec::new();
    for package in packages() {
        let listed = package.manifest.get("bin").and_then(Value::as_array).into_iter().flatten();
        let listed: Vec<&str> = listed.filter_map(|bin| bin.get("name")?.as_str()).collect();
        if listed.is_empty() && top().join(&package.folder).join("src/main.rs").exists() {
            found.push(package.name.clone());
        }
        if top().join(&package.folder).join("src/bin").exists() {
            found.push(format!("{}/src/bin", package.folder));
        }
        found.extend(listed.into_iter().map(str::to_owned));
    }
    assert_eq!(
        found,
        ["lonja"],
        "one binary is every daemon and the command line: make it a subcommand of cli/"
    );
}

#[test]
fn the_lock_file_is_there_and_names_the_public_registry_only() {
    let lock: Table = read("Cargo.lock").parse().expect("Cargo.lock is TOML");
    let packages = lock["package"].as_array().expect("packages are a list");
    let foreign = packages.iter().filter_map(|package| {
        let source = package.get("source")?.as_str()?;
        let public = source == "registry+https://github.com/rust-lang/crates.io-index";
        (!public).then(|| format!("{} from {source}", package["name"]))
    });
    let breaches: Vec<String> = foreign.collect();
    expect_none(
        &breaches,
        "use a published version: what has no version number cannot be built again later.",
    );
}

#[test]
fn nothing_unfinished_is_left() {
    // Put together here, so that this file does not find itself.
    let marks = [["FIX", "ME"].concat(), ["X", "XX"].concat(), ["HA", "CK"].concat()];
    let calls = [["to", "do!("].concat(), ["unimple", "mented!("].concat()];
    let mut breaches = Vec::new();
    for file in text_files() {
        for (place, line) in file.lines() {
            let marked = words(line).any(|word| marks.iter().any(|mark| mark == word));
            if marked || file.is_rust() && calls.iter().any(|call| line.contains(call)) {
                breaches.push(format!("{place}: {}", line.trim()));
            }
        }
    }
    expect_none(&breaches, "finish it, or say what is missing in README.md and refuse it with an error.");
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|mark: char| !(mark.is_alphanumeric() || mark == '_'))
}

#[test]
fn no_test_is_switched_off() {
    let mut breaches = Vec::new();
    for file in text_files().iter().filter(|file| file.is_rust()) {
        let off = file.lines().filter(|(_, line)| line.trim_start().starts_with("#[ignore"));
        breaches.extend(off.map(|(place, _)| place));
    }
    expect_none(
        &breaches,
        "repair the test or remove it. One that needs what a host may lack prints `skipped: WHY` and returns, \
         and its line is in .ci/known-skips.",
    );
}

#[test]
fn files_are_short() {
    let mut breaches = Vec::new();
    for file in text_files().iter().filter(|file| file.is_rust()) {
        let lines = file.text.lines().count();
        if lines > TOO_LONG {
            breaches.push(format!("{}: {lines} lines", file.path));
        } else if lines > LONG {
            println!("long: {}: {lines} lines", file.path);
        }
    }
    expect_none(&breaches, "split it by what its parts know; above 500 lines it is time to think of it.");
}

#[test]
fn no_path_of_one_machine_is_written_down() {
    let homes = ["work", "root", "home"].map(|name| format!("/{name}/"));
    let mut breaches = Vec::new();
    for file in text_files() {
        for (place, line) in file.lines() {
            let absolute = |home: &String| {
                line.match_indices(home.as_str()).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    before.is_none_or(|mark| !(mark.is_alphanumeric() || "._-/~}".contains(mark)))
                })
            };
            if homes.iter().any(absolute) {
                breaches.push(format!("{place}: {}", line.trim()));
            }
        }
    }
    expect_none(
        &breaches,
        "name files from the top of the project, and others by `~`, `$HOME` or a parameter.",
    );
}

#[test]
fn what_is_cited_exists() {
    let design = read("docs/design.md");
    let decisions: BTreeSet<&str> = words(&design).filter(|word| is_numbered(word, 'D')).collect();
    let list = top().join("docs/invariants.md");
    let invariants = list.exists().then(|| read("docs/invariants.md"));
    let listed: BTreeSet<String> =
        invariants.iter().flat_map(|text| invariants_in(text)).map(|(name, _)| name).collect();
    let mut breaches = Vec::new();
    for file in text_files() {
        for (place, line) in file.lines() {
            for (name, well_formed) in invariants_in(line) {
                if !well_formed || invariants.is_some() && !listed.contains(&name) {
                    breaches.push(format!("{place}: {name} is not in docs/invariants.md"));
                }
            }
            if line.contains("docs/design.md") {
                let cited = words(line).filter(|word| is_numbered(word, 'D') && !decisions.contains(word));
                breaches.extend(cited.map(|name| format!("{place}: {name} is not in docs/design.md")));
            }
        }
    }
    expect_none(&breaches, "cite one that exists, or add it there first, with the test that checks it.");
}

fn is_numbered(word: &str, letter: char) -> bool {
    word.strip_prefix(letter)
        .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|mark| mark.is_ascii_digit()))
}

/// The invariants that a text cites, each with whether it is cited by a number; `INV-n` stands for any.
fn invariants_in(text: &str) -> Vec<(String, bool)> {
    let prefix = ["INV", "-"].concat();
    let cited = text.match_indices(&prefix).map(|(at, _)| {
        let rest = &text[at + prefix.len()..];
        let end = rest.find(|mark: char| !mark.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let number = rest[..end].strip_prefix('M').unwrap_or(&rest[..end]);
        let numbered = !number.is_empty() && number.chars().all(|mark| mark.is_ascii_digit());
        (format!("{prefix}{}", &rest[..end]), numbered)
    });
    cited.filter(|(name, _)| *name != format!("{prefix}n")).collect()
}
