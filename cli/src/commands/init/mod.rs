//! `lonja init`: a crate with a scheduler and its tests, to be made one's own.
//!
//! The files of the template lie in `cli/template`, as they are written but for the crate's name and where the SDK is. An
//! end-to-end test makes a crate and runs its tests.

mod name;
mod sdk;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::args::Init;
use crate::output;
use sdk::Sdk;

/// The crate's name in the template, as packages and as modules are called.
const NAME: [&str; 2] = ["my-scheduler", "my_scheduler"];

/// What stands in the template for where the SDK is.
const REQUIREMENT: &str = "{ sdk";

/// The template: each file's path and text.
const TEMPLATE: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../../template/Cargo.toml.template")),
    (".gitignore", include_str!("../../../template/gitignore.template")),
    ("src/lib.rs", include_str!("../../../template/src/lib.rs")),
    ("src/main.rs", include_str!("../../../template/src/main.rs")),
    ("tests/faults.rs", include_str!("../../../template/tests/faults.rs")),
];

/// Makes the crate in a new folder and says what to do next.
pub(crate) fn run(init: &Init) -> anyhow::Result<ExitCode> {
    if let Some(why) = name::wrong_with(&init.name) {
        bail!("{:?} is no name for a crate: {why}", init.name);
    }
    let here = std::env::current_dir().context("the working directory is gone")?;
    let own = std::env::current_exe().and_then(|own| own.canonicalize()).ok();
    let from: Vec<PathBuf> = [Some(here.clone()), own].into_iter().flatten().collect();
    let sdk = Sdk::find(init.sdk.as_deref(), &from, env!("CARGO_PKG_VERSION"))?;
    let folder = here.join(&init.name);
    if let Err(error) = fs::create_dir(&folder) {
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                bail!("{} is there already, and nothing in it was touched; choose another name", init.name)
            }
            _ => return Err(error).with_context(|| format!("cannot make {}", folder.display())),
        }
    }
    if let Err(error) = write(&folder, &init.name, &sdk) {
        // It was made just now, so nothing of anybody else is in it.
        let _left = fs::remove_dir_all(&folder);
        return Err(error);
    }
    output::print_lines(&next_steps(&init.name, &sdk));
    if let Some(warning) = warning(&init.name, &sdk) {
        output::warn(&warning);
    }
    Ok(ExitCode::SUCCESS)
}

fn write(folder: &Path, name: &str, sdk: &Sdk) -> anyhow::Result<()> {
    let requirement = format!("{{ {}", sdk.requirement()?);
    for (path, text) in TEMPLATE {
        let mut text = named(text, name);
        if *path == "Cargo.toml" {
            text = text.replace(REQUIREMENT, &requirement);
        }
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Sdk::Folder { lock: Some(lock), .. } = sdk {
        let copied = fs::copy(lock, folder.join("Cargo.lock"));
        copied.with_context(|| format!("cannot copy {}", lock.display()))?;
    }
    Ok(())
}

/// The text with the crate's name in place of the template's. In one pass: what was put in is not looked at again, since
/// a name may hold the template's own.
fn named(text: &str, name: &str) -> String {
    let module = name.replace('-', "_");
    let parts: Vec<String> = text.split(NAME[0]).map(|part| part.replace(NAME[1], &module)).collect();
    parts.join(name)
}

fn next_steps(name: &str, sdk: &Sdk) -> Vec<String> {
    let from = match sdk {
        Sdk::Folder { sdk, lock: Some(_) } => {
            format!("lonja-sdk is taken from {}, other crates in the versions it has", sdk.display())
        }
        Sdk::Folder { sdk, lock: None } => format!("lonja-sdk is taken from {}", sdk.display()),
        Sdk::Published { version } => format!("lonja-sdk {version} is taken from where crates are published"),
    };
    vec![
        format!("made {name}: a scheduler that keeps three tasks running, with its tests"),
        from,
        "next:".to_owned(),
        format!("  cd {name}"),
        "  cargo test                   the scheduler on a cluster in virtual time whose parts fail"
            .to_owned(),
        "  lonja dev & cargo run        the same scheduler on a real one".to_owned(),
        "  src/lib.rs                   is where your rule goes; docs/sdk-guide.md leads through it"
            .to_owned(),
    ]
}

/// What does not work as it was written: releases of the SDK are not published, so only a folder of it will do.
fn warning(name: &str, sdk: &Sdk) -> Option<String> {
    let Sdk::Published { version } = sdk else { return None };
    Some(format!(
        "no folder of the SDK was found upward from here or from this program, so {name}/Cargo.toml asks for lonja-sdk \
         {version} as a published crate; if cargo finds none of that name, remove {name} and make it again from a checkout \
         of Lonja: lonja init {name} --sdk PATH"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_crate_without_a_folder_of_the_sdk_is_warned_of_with_the_command_that_helps() {
        let folder = Sdk::Folder { sdk: "/lonja/framework-sdk".into(), lock: None };
        let published = Sdk::Published { version: "9.9.9".to_owned() };

        let warned = warning("mine", &published).unwrap();

        assert_eq!(warning("mine", &folder), None);
        assert!(warned.contains("lonja init mine --sdk PATH"), "{warned}");
    }

    #[test]
    fn all_that_stands_for_something_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let sdk = Sdk::Published { version: "9.9.9".to_owned() };

        write(folder.path(), "gang-of-four", &sdk).unwrap();

        for (path, _) in TEMPLATE {
            let text = fs::read_to_string(folder.path().join(path)).unwrap();
            assert!(!NAME.iter().any(|name| text.contains(name)), "{path}");
        }
        let manifest: toml::Table =
            fs::read_to_string(folder.path().join("Cargo.toml")).unwrap().parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("gang-of-four"));
        assert_eq!(manifest["dependencies"]["lonja-sdk"]["version"].as_str(), Some("9.9.9"));
        assert_eq!(manifest["dev-dependencies"]["lonja-sdk"]["features"][0].as_str(), Some("testing"));
    }

    #[test]
    fn a_name_that_holds_the_templates_own_stays_as_it_is() {
        for name in ["my_scheduler2", "my-scheduler-2", "not-my_scheduler", "my-scheduler-my_scheduler"] {
            let module = name.replace('-', "_");
            assert_eq!(
                named("package my-scheduler\nuse my_scheduler::Keeper; // my-scheduler\n", name),
                format!("package {name}\nuse {module}::Keeper; // {name}\n")
            );
            // All that the template says of itself is said of this name, and as often.
            for (path, text) in TEMPLATE {
                let plain = named(text, "x");
                assert!(!NAME.iter().any(|own| plain.contains(own)), "{path}");
                let grown = NAME.iter().map(|own| text.matches(own).count()).sum::<usize>();
                let expected = plain.len() + grown * (name.len() - 1);
                assert_eq!(named(text, name).len(), expected, "{path} for {name}");
            }
        }
    }
}
