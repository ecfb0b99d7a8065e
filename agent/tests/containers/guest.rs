//! The same checks on a kernel that has control groups v2 alone, in an emulated machine.
//!
//! The machine boots this very program from memory, with the libraries that it is linked to, under a shell of busybox.
//! What it says on its serial line is what the checks report. `tests/guest/prepare` gets kernel and busybox.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use lonja_agent::launcher::Launcher;
use tokio::process::Command;

/// What is checked in the guest: all that rests on control groups.
const CHECKS: &str = "limits:: ends:: spares::a_launch spares::limits spares::a_container running::output \
                      leftovers::what leftovers::the_tasks together::siblings_share together::many";

/// The fewest checks that must have passed there.
const LEAST: usize = 20;

/// How long the guest may take; 10 s where nothing else runs.
const PATIENCE: Duration = Duration::from_secs(120);

pub async fn everything_holds_on_control_groups_v2_alone(_: &Launcher) -> Result<(), String> {
    let parts = parts_folder();
    prepare(&parts).await?;
    let scratch = tempfile::tempdir().unwrap();
    let image = scratch.path().join("image");
    write_image(&parts, scratch.path(), &image).unwrap();

    let started = Instant::now();
    let said = boot(&parts.join("kernel"), &image).await;

    let failed: Vec<&str> = said.lines().filter(|line| line.contains("FAILED")).collect();
    assert!(said.contains("guest: checks ended with status 0"), "{failed:#?}\n{said}");
    let passed = said.lines().filter(|line| line.starts_with("test ") && line.contains("... ok"));
    let (skipped, passed): (Vec<&str>, Vec<&str>) = passed.partition(|line| line.contains("(skip"));
    assert!(passed.len() >= LEAST, "only {} passed, and {skipped:#?} did not run", passed.len());
    println!(
        "in the guest {} checks passed, {} could not run, in {:?}",
        passed.len(),
        skipped.len(),
        started.elapsed()
    );
    if std::env::var_os("LONJA_GUEST_SAYS").is_some() {
        println!("{said}");
    }
    Ok(())
}

/// Beside the build's other results, so that it is got once.
fn parts_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let target = program.ancestors().nth(3).unwrap();
    target.join("guest")
}

async fn prepare(parts: &Path) -> Result<(), String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guest/prepare");
    let prepared = Command::new(script).arg(parts).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let prepared = prepared.map_err(|error| format!("needs the v2 guest: {script}: {error}"))?;
    if prepared.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&prepared.stderr);
    Err(format!("needs the v2 guest: {}", said.lines().last().unwrap_or("no reason given")))
}

/// Runs the machine to its end and returns what it said.
async fn boot(kernel: &Path, image: &Path) -> String {
    let mut machine = Command::new("qemu-system-x86_64");
    machine
        .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-m", "1024", "-smp", "2"])
        .args(["-nodefaults", "-nographic", "-serial", "stdio", "-no-reboot"])
        .args(["-append", "console=ttyS0 quiet panic=-1"])
        .args([Path::new("-kernel"), kernel, Path::new("-initrd"), image])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    // Into a file, to have what it said also when it does not come to its end.
    let said = image.with_file_name("said");
    let file = fs::File::create(&said).unwrap();
    machine.stdout(file.try_clone().unwrap()).stderr(file);
    let mut running = machine.spawn().unwrap();
    let ended = tokio::time::timeout(PATIENCE, running.wait()).await;
    drop(running);
    let said = String::from_utf8_lossy(&fs::read(said).unwrap()).into_owned();
    match ended {
        Ok(ended) => format!("{said}\n{}", ended.unwrap()),
        Err(_) => format!("{said}\nit took more than {PATIENCE:?}"),
    }
}

/// The guest's initial file system.
fn write_image(parts: &Path, scratch: &Path, image: &Path) -> io::Result<()> {
    let program = without_symbols(scratch)?;
    let mut archive = Archive::new(fs::File::create(image)?);
    for folder in ["bin", "etc", "lib64"] {
        archive.folder(folder)?;
    }
    archive.file("init", &fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guest/init"))?, 0o755)?;
    archive.file("bin/busybox", &fs::read(parts.join("busybox"))?, 0o755)?;
    archive.file("loop.ko", &fs::read(parts.join("loop.ko"))?, 0o644)?;
    archive.file("containers", &fs::read(program)?, 0o755)?;
    archive.file("etc/checks", CHECKS.as_bytes(), 0o644)?;
    let users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n";
    archive.file("etc/passwd", users.as_bytes(), 0o644)?;
    archive.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n", 0o644)?;
    let mut folders = std::collections::BTreeSet::from([PathBuf::from("lib64")]);
    for library in libraries()? {
        let inside = library.strip_prefix("/").unwrap_or(&library).to_owned();
        let missing: Vec<_> =
            inside.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).collect();
        for folder in missing.into_iter().rev() {
            if folders.insert(folder.to_owned()) {
                archive.folder(&folder.to_string_lossy())?;
            }
        }
        archive.file(&inside.to_string_lossy(), &fs::read(&library)?, 0o755)?;
        let name = library.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("ld-linux") && inside.parent() != Some(Path::new("lib64")) {
            archive.link(&format!("lib64/{name}"), &library.to_string_lossy())?;
        }
    }
    if !folders.contains(Path::new("lib")) {
        archive.link("lib", "usr/lib")?;
    }
    archive.finish()
}

/// This program; smaller where there is a tool for that.
fn without_symbols(scratch: &Path) -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let stripped = scratch.join("containers");
    let done = std::process::Command::new("strip").arg("-o").arg(&stripped).arg(&program).status();
    Ok(if done.is_ok_and(|status| status.success()) { stripped } else { program })
}

/// The shared libraries that this process runs on, the loader among them.
fn libraries() -> io::Result<Vec<PathBuf>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let paths = maps.lines().filter_map(|line| line.split_once('/').map(|(_, path)| format!("/{path}")));
    let mut libraries: Vec<PathBuf> = paths.filter(|path| path.contains(".so")).map(PathBuf::from).collect();
    libraries.sort();
    libraries.dedup();
    Ok(libraries)
}

/// An archive as the kernel unpacks it at boot. Source: Linux `Documentation/driver-api/early-userspace/buffer-format.rst`.
struct Archive {
    file: io::BufWriter<fs::File>,
    entries: u32,
}

impl Archive {
    fn new(file: fs::File) -> Self {
        Self { file: io::BufWriter::new(file), entries: 0 }
    }

    fn folder(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, &[], 0o040_755)
    }

    fn file(&mut self, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
        self.entry(name, content, 0o100_000 | mode)
    }

    fn link(&mut self, name: &str, to: &str) -> io::Result<()> {
        self.entry(name, to.as_bytes(), 0o120_777)
    }

    fn entry(&mut self, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
        self.entries += 1;
        let (size, name_size) = (content.len(), name.len() + 1);
        let header = format!(
            "070701{:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{size:08x}{:08x}{:08x}{:08x}{:08x}{name_size:08x}{:08x}",
            self.entries, 0, 0, 1, 0, 0, 0, 0, 0, 0
        );
        self.padded(&[header.as_bytes(), name.as_bytes(), b"\0"].concat())?;
        self.padded(content)
    }

    /// Everything begins at a multiple of four.
    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.write_all(&[0; 3][..bytes.len().next_multiple_of(4) - bytes.len()])
    }

    fn finish(mut self) -> io::Result<()> {
        self.entry("TRAILER!!!", &[], 0)?;
        self.file.flush()
    }
}
