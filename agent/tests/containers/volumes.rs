//! Persistent volumes as tasks see them, and what tasks can do to them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lonja_agent::containerizer::{Containerizer, FailureReason, InstanceId, Volume};
use lonja_agent::launcher::Launcher;
use lonja_agent::volumes::Volumes;
use lonja_model::labels::Labels;
use lonja_model::resources::{
    Disk, Metadata, Persistence, Reservation, ReservationKind, Resource, Resources, Scalar, Value,
};
use lonja_model::role::Role;

use crate::host::{Host, eventually, name, need_root, read_fifo};

type Verdict = Result<(), String>;

/// A volume of role `eng` that is seen as `data`.
struct Kind {
    id: String,
    read_only: bool,
    shared: bool,
    container_path: &'static str,
}

fn kind(id: &str) -> Kind {
    Kind { id: id.to_owned(), read_only: false, shared: false, container_path: "data" }
}

fn volume(kind: &Kind) -> Resources {
    let layer = Reservation {
        kind: ReservationKind::Dynamic,
        role: Role::new("eng").unwrap(),
        principal: None,
        labels: Labels::default(),
    };
    let disk = Disk {
        persistence: Some(Persistence { id: kind.id.clone(), principal: None }),
        container_path: Some(kind.container_path.to_owned()),
        read_only: kind.read_only,
        source: None,
    };
    let metadata =
        Metadata { reservations: vec![layer], disk: Some(disk), shared: kind.shared, ..Metadata::default() };
    let size = Value::Scalar(Scalar::from_units(10).unwrap());
    Resources::of([Resource::with_metadata("disk", size, metadata).unwrap()]).unwrap()
}

fn volumes_of(host: &Host) -> Volumes {
    let work = host.dir.path().join("work").canonicalize().unwrap();
    Volumes::new(&work, host.instance.clone(), &Resources::new())
}

fn folder(host: &Host, id: &str) -> PathBuf {
    host.dir.path().join("work/volumes/roles/eng").join(id)
}

/// What a task that uses the volume has mounted.
fn mounted(volumes: &Volumes, kind: &Kind, user: Option<&str>) -> Vec<Volume> {
    volume(kind).iter().map(|volume| volumes.prepare(volume, user).unwrap()).collect()
}

pub async fn a_volume_outlives_its_tasks(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let volumes = volumes_of(&host);
    volumes.make(&volume(&kind("v1"))).unwrap();
    let mut first = host.spec("c1", "echo kept > data/file");
    first.volumes = mounted(&volumes, &kind("v1"), None);
    host.output(first).await;

    let mut second = host.spec("c2", "cat data/file; ls data");
    second.volumes = mounted(&volumes_of(&host), &kind("v1"), None);

    assert_eq!(host.output(second).await, "kept\nfile\n");
    assert!(!host.sandbox("c1").join("data/file").exists(), "it is not in the sandbox");
    host.assert_no_traces();
    Ok(())
}

pub async fn a_read_only_volume_cannot_be_written(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let volumes = volumes_of(&host);
    volumes.make(&volume(&kind("v1"))).unwrap();
    fs::write(folder(&host, "v1").join("file"), "here\n").unwrap();
    let mut spec = host.spec("c1", "cat data/file; echo x > data/file && echo written");
    spec.volumes = mounted(&volumes, &Kind { read_only: true, ..kind("v1") }, None);

    assert_eq!(host.output(spec).await, "here\n");
    assert!(host.log("c1", "stderr").contains("Read-only file system"));
    Ok(())
}

pub async fn a_shared_volume_is_used_by_two_tasks_at_once(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let volumes = volumes_of(&host);
    let shared = Kind { shared: true, ..kind("v1") };
    volumes.make(&volume(&shared)).unwrap();
    let fifo = host.make_fifo("c1");
    fs::set_permissions(&fifo, fs::Permissions::from_mode(0o666)).unwrap();
    let mut writer = host.spec("c1", "echo hello > data/word; echo ready > fifo; sleep 1000");
    let mut reader = host.spec("c2", "cat data/word; echo back > data/answer");
    if need_root().is_ok() {
        // Of two users, neither of whom is the agent's.
        (writer.user, reader.user) = (Some("nobody".into()), Some("daemon".into()));
        for id in ["c1", "c2"] {
            let user = if id == "c1" { "nobody" } else { "daemon" };
            let user = nix::unistd::User::from_name(user).unwrap().unwrap();
            nix::unistd::chown(&host.sandbox(id), Some(user.uid), Some(user.gid)).unwrap();
        }
    }
    writer.volumes = mounted(&volumes, &shared, writer.user.as_deref());
    reader.volumes = mounted(&volumes, &shared, reader.user.as_deref());

    host.start(writer).await;
    read_fifo(&fifo).await;
    assert_eq!(host.output(reader).await, "hello\n");
    host.containerizer.destroy(&name("c1")).await.unwrap();

    assert_eq!(fs::read_to_string(folder(&host, "v1").join("answer")).unwrap(), "back\n");
    host.assert_no_traces();
    Ok(())
}

pub async fn a_volume_belongs_to_the_tasks_user_who_cannot_reach_another(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let volumes = volumes_of(&host);
    volumes.make(&volume(&kind("own"))).unwrap();
    volumes.make(&volume(&kind("other"))).unwrap();
    let other = folder(&host, "other");
    fs::write(other.join("secret"), "secret\n").unwrap();
    let line = format!("echo mine > data/file && cat data/file; cat {}/secret", other.display());
    let mut spec = host.spec("c1", &line);
    spec.user = Some("nobody".into());
    spec.volumes = mounted(&volumes, &kind("own"), Some("nobody"));

    assert_eq!(host.output(spec).await, "mine\n");

    assert!(host.log("c1", "stderr").contains("No such file"), "only what is its own is there");
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    assert_eq!(fs::metadata(folder(&host, "own")).unwrap().uid(), nobody.uid.as_raw());
    Ok(())
}

pub async fn destroying_a_volume_deletes_its_data(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let volumes = volumes_of(&host);
    volumes.make(&volume(&kind("v1"))).unwrap();
    let mut spec = host.spec("c1", "mkdir -p data/a/b && echo x > data/a/b/c");
    spec.volumes = mounted(&volumes, &kind("v1"), None);
    host.output(spec).await;
    assert!(folder(&host, "v1").join("a/b/c").exists());

    volumes.remove(&volume(&kind("v1")));

    assert!(!folder(&host, "v1").exists());
    let trash = host.dir.path().join("work/volumes/trash");
    eventually("the trash is emptied", || fs::read_dir(&trash).unwrap().next().is_none()).await;
    Ok(())
}

pub async fn a_link_planted_by_a_task_leads_nobody_out(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let volumes = volumes_of(&host);
    let precious = host.dir.path().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "kept").unwrap();
    volumes.make(&volume(&kind("v1"))).unwrap();
    volumes.make(&volume(&kind("v2"))).unwrap();
    let mut spec = host.spec("c1", &format!("ln -s {} data/out; ln -s / data/root", precious.display()));
    spec.volumes = mounted(&volumes, &kind("v1"), None);
    host.output(spec).await;
    assert!(folder(&host, "v1").join("out").is_symlink());

    // A second volume is to be mounted where the link in the first one leads.
    let mut through = host.spec("c2", "true");
    let second = Kind { container_path: "data/out/in", ..kind("v2") };
    through.volumes = mounted(&volumes, &kind("v1"), None);
    through.volumes.extend(mounted(&volumes, &second, None));
    let failure = host.fail(through).await;
    assert_eq!(failure.reason, FailureReason::Volume);
    assert!(failure.message.contains("Not a directory"), "{failure}");

    // The folder itself becomes a link between the agent's look and the supervisor's.
    let mut swapped = host.spec("c3", "ls data");
    swapped.volumes = mounted(&volumes, &kind("v2"), None);
    fs::remove_dir(folder(&host, "v2")).unwrap();
    symlink(&precious, folder(&host, "v2")).unwrap();
    let failure = host.fail(swapped).await;
    assert_eq!(failure.reason, FailureReason::Volume);
    assert!(failure.message.contains("Too many levels of symbolic links"), "{failure}");

    volumes.remove(&volume(&kind("v1")));
    volumes.remove(&volume(&kind("v2")));
    let trash = host.dir.path().join("work/volumes/trash");
    eventually("the trash is emptied", || fs::read_dir(&trash).unwrap().next().is_none()).await;
    assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "kept");
    host.assert_no_traces();
    Ok(())
}

pub async fn a_container_path_that_leaves_the_sandbox_is_refused(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let volumes = volumes_of(&host);
    volumes.make(&volume(&kind("v1"))).unwrap();
    for (number, container_path) in ["../up", "a/../../up", ""].into_iter().enumerate() {
        let mut spec = host.spec(&format!("c{number}"), "true");
        spec.volumes = mounted(&volumes, &Kind { container_path, ..kind("v1") }, None);
        let failure = host.fail(spec).await;
        assert_eq!(failure.reason, FailureReason::InvalidSpec, "{failure}");
    }
    assert!(!host.dir.path().join("sandboxes/up").exists());
    Ok(())
}

/// Lines of this program when it is killed: far enough for each step to be hit.
const STEPS: usize = 40;

pub async fn killed_at_any_step_no_volume_is_lost_and_no_other_folder_stays(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let work = host.dir.path().join("work").canonicalize().unwrap();
    for lines in 0..STEPS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["as-volume-maker", work.to_str().unwrap(), host.instance.as_str()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        output.lines().take(lines + 1).for_each(|line| drop(line.unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();

        let volumes = volumes_of(&host);
        let kept = remembered(&work);
        volumes.sweep(&all_of(&kept));

        let mut there: Vec<String> = names_in(&work.join("volumes/roles/eng"));
        there.sort();
        assert_eq!(there, kept, "after {lines} lines");
        for id in &kept {
            let data = fs::read_to_string(folder(&host, id).join("file")).unwrap_or_default();
            assert!(data.is_empty() || data == *id, "the data of {id} is its own: {data}");
        }
    }
    Ok(())
}

/// Makes and destroys volumes without end, in the order of the daemon: a folder before it is remembered, forgotten
/// before its folder goes.
pub fn make_and_destroy(work: &Path, instance: &str) {
    let volumes = Volumes::new(work, InstanceId::new(instance).unwrap(), &Resources::new());
    let mut kept = remembered(work);
    let say = |step: &str, id: &str| {
        println!("{step} {id}");
        std::io::stdout().flush().unwrap();
    };
    volumes.sweep(&all_of(&kept));
    say("swept", "");
    for number in std::process::id().. {
        let id = format!("v{}", number % 7);
        if let Some(known) = kept.iter().position(|known| *known == id) {
            kept.remove(known);
            remember(work, &kept);
            say("forgotten", &id);
            volumes.remove(&volume(&kind(&id)));
            say("removed", &id);
        } else {
            volumes.make(&volume(&kind(&id))).unwrap();
            say("made", &id);
            kept.push(id.clone());
            kept.sort();
            remember(work, &kept);
            fs::write(work.join("volumes/roles/eng").join(&id).join("file"), &id).unwrap();
            say("remembered", &id);
        }
    }
}

fn remembered(work: &Path) -> Vec<String> {
    let text = fs::read_to_string(work.join("remembered")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn remember(work: &Path, ids: &[String]) {
    let temporary = work.join("remembered.new");
    fs::write(&temporary, ids.join("\n")).unwrap();
    fs::rename(temporary, work.join("remembered")).unwrap();
}

fn all_of(ids: &[String]) -> Resources {
    Resources::of(ids.iter().flat_map(|id| volume(&kind(id)).iter().cloned().collect::<Vec<_>>())).unwrap()
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}
