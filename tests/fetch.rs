//! Files that come with tasks: fetched, secret, in memory. Each test has a web server of its own, on loopback.

mod server;

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use lonja_tests::{Cluster, eventually, needs_root, stderr, stdout};
use server::{Answer, Server};

const RESOURCES: &str = "cpus:4;mem:2048";

/// A cluster whose agent has these settings.
fn cluster(settings: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::without_agent(&[]);
    cluster.start_agent_in(RESOURCES, settings);
    cluster
}

const LOOPBACK: (&str, &str) = ("LONJA_AGENT_FETCH_ALLOW", "127.0.0.0/8");

fn run(cluster: &Cluster, arguments: &[&str]) -> Output {
    cluster.spawn_run(arguments).wait_with_output().unwrap()
}

/// What a task that cannot be launched is told.
fn refused(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = run(cluster, &[arguments, &["--", "true"]].concat());
    assert_eq!(output.status.code(), Some(125), "{arguments:?}: {}", stderr(&output));
    stderr(&output)
}

/// Fetching processes of this agent that are alive.
fn fetchers(agent: i32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
    let of_agent = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        stat.contains("(lonja-fetcher)") && rest.split(' ').nth(1) == Some(&agent.to_string())
    };
    pids.filter(of_agent).collect()
}

fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(6);
    header.set_mode(0o4755);
    tar.append_data(&mut header, "folder/inner", &b"inner\n"[..]).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

/// An archive with one symbolic link.
fn with_link(name: &str, target: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, name, target).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn files_are_there_before_the_program_and_belong_to_its_user() {
    if needs_root() {
        return;
    }
    let server = Server::start();
    server.serve("/a.tar.gz", Answer::bytes(archive()));
    server.serve("/tool", Answer::text("#!/bin/sh\necho tool\n"));
    server.serve("/plain%20name", Answer::text("plain\n"));
    server.serve("/first", Answer::redirect("/second?signature=hidden"));
    server.serve("/second?signature=hidden", Answer::text("second\n"));
    let cluster = cluster(&[LOOPBACK]);
    let (archive, tool) = (server.url("/a.tar.gz"), server.url("/tool"));
    let (plain, first) = (format!("{}=in/-o name", server.url("/plain name")), server.url("/first"));
    let script = "./tool; cat 'in/-o name' first folder/inner; \
                  stat -c '%U %a %n' tool folder folder/inner a.tar.gz; cat stderr";
    let flags = ["--user", "nobody", "--fetch", &archive, "--fetch-executable", &tool, "--fetch", &plain];
    let output = run(&cluster, &[&flags[..], &["--fetch", &first, "--", "sh", "-c", script]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    let expected = "tool\nplain\nsecond\ninner\nnobody 755 tool\nnobody 755 folder\nnobody 755 folder/inner\n\
                    nobody 644 a.tar.gz\n";
    assert!(said.starts_with(expected), "{said}");
    assert!(said.contains(&format!("fetch: {archive}: ")) && !said.contains("hidden"), "{said}");
}

#[test]
fn what_only_the_agents_host_can_reach_is_not_fetched() {
    if needs_root() {
        return;
    }
    let cluster = cluster(&[]);
    let port = cluster.agent.as_ref().unwrap().address().port();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "0x7f.1", "2130706433"] {
        let said = refused(&cluster, &["--fetch", &format!("http://{host}:{port}/state")]);
        assert!(said.contains("--fetch-allow"), "{host}: {said}");
    }
    for host in ["169.254.169.254", "10.0.0.1", "192.168.0.1", "[fe80::1]", "[fd00::1]"] {
        let said = refused(&cluster, &["--fetch", &format!("http://{host}/latest/meta-data")]);
        assert!(said.contains("--fetch-allow") && said.contains("TASK_FAILED"), "{host}: {said}");
    }
    let said = refused(&cluster, &["--fetch", "file:///etc/shadow"]);
    assert!(said.contains("--allow-host-path"), "{said}");
}

#[test]
fn a_redirect_leads_nowhere_that_was_not_allowed() {
    if needs_root() {
        return;
    }
    let server = Server::start();
    let cluster = cluster(&[LOOPBACK]);
    for (to, expected) in [
        ("http://169.254.169.254/latest", "--fetch-allow"),
        ("http://[::1]/a", "--fetch-allow"),
        ("//10.0.0.1/a", "--fetch-allow"),
        ("file:///etc/shadow", "which is not followed"),
        ("gopher://127.0.0.1/a", "which is not followed"),
        ("http://user:password@127.0.0.1/a", "which is not followed"),
        ("/again", "redirects more than"),
    ] {
        server.serve("/again", Answer::redirect(to));
        let said = refused(&cluster, &["--fetch", &server.url("/again")]);
        assert!(said.contains(expected), "{to}: {said}");
    }
}

#[test]
fn a_file_that_is_not_right_fails_the_task_and_says_why() {
    if needs_root() {
        return;
    }
    let server = Server::start();
    server.serve("/text", Answer::text("text"));
    server.serve("/short", Answer::text("text").promising(100));
    server.serve("/bad.tar.gz", Answer::text("no archive"));
    server.serve("/logs.tar.gz", Answer::bytes(with_link("stdout", "elsewhere")));
    server.serve("/large", Answer::bytes(vec![0; 2 << 20]));
    let cluster = cluster(&[LOOPBACK, ("LONJA_AGENT_FETCH_LIMIT", "1MiB")]);
    let checked = format!("{}#sha256={}", server.url("/text"), "0".repeat(64));
    let url = |path: &str| server.url(path);
    for (uri, expected) in [
        (url("/none"), "the server answered 404"),
        (checked, "its SHA-256 checksum is 982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"),
        (url("/short"), "/short: "),
        (url("/bad.tar.gz"), "/bad.tar.gz: "),
        (url("/large"), "more than 1048576 bytes"),
        (url("/logs.tar.gz"), "cannot open"),
        ("http://nosuch.invalid/a".to_owned(), "host not found"),
        ("http://127.0.0.1:1/a".to_owned(), "refused"),
    ] {
        let said = refused(&cluster, &["--fetch", &uri]);
        assert!(said.contains("TASK_FAILED") && said.contains(expected), "{uri}: {said}");
    }
}

#[test]
fn a_kill_ends_a_fetch() {
    if needs_root() {
        return;
    }
    let server = Server::start();
    server.serve("/slow", Answer::text("begun").stalling());
    let cluster = cluster(&[LOOPBACK]);
    let agent = cluster.agent.as_ref().unwrap().pid().as_raw();
    let slow = server.url("/slow");
    let mut running = cluster.spawn_run(&["--user", "nobody", "--fetch", &slow, "--", "true"]);
    let task = cluster.task_in("TASK_STARTING");
    eventually("the fetch begins", || (server.hits("/slow") == 1).then_some(()));
    let [child] = fetchers(agent)[..] else { panic!("one process fetches") };
    let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid;
    let uids = format!("Uid:\t{nobody}\t{nobody}\t{nobody}\t{nobody}");
    for line in [&uids, "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.lines().any(|found| found == line), "{line}: {status}");
    }

    let id = task["id"].as_str().unwrap();
    let _answer = cluster.lonja(&["kill", id]);

    cluster.task_in("TASK_KILLED");
    eventually("the fetching process ends", || fetchers(agent).is_empty().then_some(()));
    let _status = running.wait();
}

#[test]
fn a_fetch_ends_with_its_agent_and_leaves_no_half_container() {
    if needs_root() {
        return;
    }
    let server = Server::start();
    server.serve("/slow", Answer::text("begun").stalling());
    let mut cluster = cluster(&[LOOPBACK]);
    let agent = cluster.agent.as_ref().unwrap().pid().as_raw();
    let mut running = cluster.spawn_run(&["--fetch", &server.url("/slow"), "--", "true"]);
    cluster.task_in("TASK_STARTING");
    eventually("the fetch begins", || (server.hits("/slow") == 1).then_some(()));
    let child = fetchers(agent)[0];

    cluster.agent.take().unwrap().kill9();

    let is_gone = || {
        let name = std::fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        (name.trim() != "lonja-fetcher").then_some(())
    };
    eventually("the fetching process ends", is_gone);
    cluster.start_agent_in(RESOURCES, &[LOOPBACK]);
    eventually("the task is given up", || {
        let ended = |task: &serde_json::Value| {
            ["TASK_DROPPED", "TASK_FAILED", "TASK_LOST"].contains(&task["state"].as_str().unwrap_or(""))
        };
        cluster.list("tasks").iter().any(ended).then_some(())
    });
    let runs = std::fs::read_dir(cluster.path("agent/run")).unwrap().count();
    assert_eq!(runs, 0, "no run directory is left");
    let _status = running.wait();
}

#[test]
fn what_is_kept_is_fetched_once_for_each_user() {
    if needs_root() {
        return;
    }
    let server = Server::start();
    server.serve("/kept", Answer::text("first\n"));
    let cluster = cluster(&[LOOPBACK]);
    let kept = server.url("/kept");
    let read = |user: &str| {
        let output = run(&cluster, &["--user", user, "--fetch-cached", &kept, "--", "cat", "kept"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    let instances = ["--instances", "4", "--fetch-cached", &kept, "--", "cat", "kept"];
    assert_eq!(run(&cluster, &instances).status.code(), Some(0));
    assert_eq!(server.hits("/kept"), 1, "concurrent fetches are one");
    server.serve("/kept", Answer::text("second\n"));
    assert_eq!(read("root"), "first\n");
    assert_eq!(read("nobody"), "second\n", "another user does not get what the first was given");
    assert_eq!(server.hits("/kept"), 2);

    // What lies there is neither trusted nor followed.
    let folder = cluster.path("agent/fetch-cache");
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for file in std::fs::read_dir(&folder).unwrap().flatten() {
        std::fs::write(file.path(), "third\n").unwrap();
    }
    assert_eq!(read("root"), "second\n");
    for file in std::fs::read_dir(&folder).unwrap().flatten() {
        std::fs::remove_file(file.path()).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", file.path()).unwrap();
    }
    let output = run(&cluster, &["--fetch-cached", &kept, "--", "cat", "kept"]);
    let said = stdout(&output) + &stderr(&output);
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    assert!(host.trim().is_empty() || !said.contains(host.trim()), "{said}");
}

#[test]
fn secrets_reach_their_task_and_nobody_else() {
    if needs_root() {
        return;
    }
    let store = tempfile::tempdir().unwrap();
    std::fs::set_permissions(store.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(store.path().join("stored"), "stored-hunter2").unwrap();
    let file = store.path().join("mine");
    std::fs::write(&file, "brought-hunter2").unwrap();
    let store = store.path().to_str().unwrap();
    let cluster = cluster(&[("LONJA_AGENT_SECRETS_DIR", store)]);
    let mine = format!("mine={}", file.display());
    let script = "cat secrets/mine secrets/stored; echo; echo $TOKEN; stat -c '%U %a' secrets/mine; \
                  (echo x > secrets/mine) 2>&1; stat -f -c %T secrets/mine; sleep 1000";
    let token = format!("TOKEN={}", file.display());
    let flags = ["--user", "nobody", "--secret", &mine, "--secret", "stored", "--secret-env", &token];
    let child = cluster.spawn_run(&[&flags[..], &["--", "sh", "-c", script]].concat());
    let task = cluster.task_in("TASK_RUNNING");
    let id = task["id"].as_str().unwrap();
    let said = eventually("the task says it", || {
        let said = stdout(&cluster.lonja(&["logs", id]));
        said.contains("ramfs").then_some(said)
    });
    assert!(said.starts_with("brought-hunter2stored-hunter2\nbrought-hunter2\nnobody 400\n"), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");

    // Listings and whoever is on the agent's host as somebody else.
    let shown =
        cluster.master.as_ref().unwrap().get("/state") + &cluster.agent.as_ref().unwrap().get("/state");
    let listed = stdout(&cluster.lonja(&["tasks", "-o", "json"]));
    assert!(!(shown + &listed).contains("hunter2"));
    let mut open_to_others = Vec::new();
    readable_by_others(std::path::Path::new(&cluster.path("agent")), &mut open_to_others);
    for path in open_to_others {
        let bytes = std::fs::read(&path).unwrap_or_default();
        let found = bytes.windows(7).any(|part| part == b"hunter2");
        assert!(!found || path.ends_with("stdout"), "{}", path.display());
    }
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    for process in processes {
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&command).contains("hunter2"), "{}", process.path().display());
    }
    let _answer = cluster.lonja(&["kill", id]);
    let _output = child.wait_with_output();

    let said = refused(&cluster, &["--secret", "missing"]);
    assert!(said.contains("secret \"missing\": is not in this agent's store"), "{said}");
}

/// Plain files below a folder that others than its owner may read.
fn readable_by_others(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    let mode =
        |path: &std::path::Path| std::fs::symlink_metadata(path).map_or(0, |meta| meta.permissions().mode());
    if mode(folder) & 0o011 == 0 {
        return;
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            readable_by_others(&path, found);
        } else if mode(&path) & 0o044 != 0 {
            found.push(path);
        }
    }
}

#[test]
fn folders_in_memory_hold_what_they_were_made_for() {
    if needs_root() {
        return;
    }
    let cluster = cluster(&[]);
    let script = "stat -f -c %T scratch; touch scratch/mine; stat -c '%U %a' scratch scratch/mine; \
                  head -c 3145728 /dev/zero > scratch/much 2>/dev/null || echo full; \
                  cp /bin/true scratch/t 2>/dev/null; rm scratch/much; cp /bin/true scratch/t; \
                  scratch/t 2>/dev/null || echo no programs";
    let flags = ["--user", "nobody", "--tmpfs", "scratch:1MiB", "--", "sh", "-c", script];
    let output = run(&cluster, &flags);
    assert_eq!(stdout(&output), "tmpfs\nnobody 1777\nnobody 644\nfull\nno programs\n", "{}", stderr(&output));
}

#[test]
fn files_beyond_a_tasks_disk_are_not_fetched_to_their_end_where_disks_are_only_measured() {
    if needs_root() {
        return;
    }
    let server = Server::start();
    server.serve("/large", Answer::bytes(vec![7; 3 << 20]));
    server.serve("/small", Answer::bytes(vec![7; 1 << 20]));
    let mut cluster = Cluster::without_agent(&[]);
    let settings = [LOOPBACK, ("LONJA_AGENT_DISK_LIMIT", "poll")];
    cluster.start_agent_in("cpus:4;mem:2048;disk:100", &settings);
    let (large, small) = (server.url("/large"), server.url("/small"));

    let said = refused(&cluster, &["--disk", "2", "--fetch", &large]);
    assert!(said.contains("more than 2097152 bytes, which is its disk limit"), "{said}");
    let output = run(&cluster, &["--disk", "2", "--fetch", &small, "--", "true"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
