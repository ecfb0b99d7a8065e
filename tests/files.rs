//! Looking into sandboxes through the agent's doors, and what a task can put in the way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use lonja_tests::{Cluster, eventually, needs_root, stderr, stdout};
use serde_json::Value;

/// What the task leaves in its sandbox.
const SCRIPT: &str = "echo inside > plain; mkdir folder; echo deep > folder/deep; \
    ln -s /etc/passwd absolute; ln -s ../../../../instance relative; ln -s plain here; ln -s / top; \
    ln -s /proc/self/environ magic; mkfifo pipe; truncate -s 1T hole; echo ready > ready; sleep 1000";

struct Place {
    cluster: Cluster,
    run: lonja_tests::Running,
    task: String,
    directory: String,
}

impl Place {
    fn new() -> Self {
        let cluster = Cluster::start(&[]);
        let run = cluster.spawn_run(&["--", "sh", "-c", SCRIPT]);
        let task = cluster.task_in("TASK_RUNNING")["id"].as_str().unwrap().to_owned();
        eventually("the files are there", || {
            cluster.lonja(&["files", &task, "ready"]).status.success().then_some(())
        });
        let state = body(&cluster.agent.as_ref().unwrap().get("/state"));
        let state: Value = serde_json::from_str(&state).unwrap();
        let directory = state["tasks"][0]["directory"].as_str().unwrap().to_owned();
        Self { cluster, run, task, directory }
    }

    /// Status and body of an answer of the agent.
    fn get(&self, path: &str) -> (u32, String) {
        let answer = self.cluster.agent.as_ref().unwrap().get(path);
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body(&answer))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = self.run.kill();
        let _status = self.run.wait();
    }
}

fn body(answer: &str) -> String {
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

#[test]
fn a_task_s_files_are_listed_printed_and_downloaded() {
    if needs_root() {
        return;
    }
    let place = Place::new();
    let names: Vec<Value> = place.cluster.done(&["files", &place.task]);
    let names: Vec<&str> = names.iter().map(|file| file["path"].as_str().unwrap()).collect();
    for name in ["absolute", "folder", "hole", "here", "pipe", "plain", "stderr", "stdout"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let lonja =
        |arguments: &[&str]| place.cluster.lonja(&[&["files", place.task.as_str()], arguments].concat());
    assert_eq!(stdout(&lonja(&["folder/deep", "--cat"])), "deep\n");
    assert_eq!(stdout(&lonja(&["here", "--cat"])), "inside\n", "a link that stays inside");

    let all = place.cluster.path("all");
    let output = lonja(&["--download", &all]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(format!("{all}/folder/deep")).unwrap(), "deep\n");
    assert!(stderr(&output).contains("pipe is left out"), "{}", stderr(&output));
    let hole = std::fs::metadata(format!("{all}/hole")).unwrap();
    assert_eq!(hole.len(), 1 << 40);
    assert!(std::os::unix::fs::MetadataExt::blocks(&hole) < 1_000, "a hole stays a hole");
    assert!(!std::path::Path::new(&format!("{all}/absolute")).exists());
    assert_eq!(
        lonja(&["plain", "--download", &format!("{all}/plain")]).status.code(),
        Some(1),
        "nothing is replaced"
    );
}

#[test]
fn no_path_leads_out_blocks_or_explodes() {
    if needs_root() {
        return;
    }
    let place = Place::new();
    let directory = &place.directory;
    // What is asked for below the sandbox, and what is answered to browse, read and download.
    let table = [
        ("/..", [400, 400, 400]),
        ("/../../../../instance", [400, 400, 400]),
        ("/%2e%2e/%2e%2e/x", [400, 400, 400]),
        ("/%252e%252e/x", [404, 404, 404]),
        ("/a%00b", [400, 400, 400]),
        ("/absolute", [404, 404, 404]),
        ("/relative", [404, 404, 404]),
        ("/top/etc/passwd", [404, 404, 404]),
        ("/top/etc", [404, 404, 404]),
        ("/magic", [404, 404, 404]),
        ("/missing", [404, 404, 404]),
        ("/pipe", [200, 400, 400]),
        ("/folder", [200, 400, 400]),
        ("/plain", [200, 200, 200]),
        ("/here", [200, 200, 200]),
        ("/hole", [200, 200, 0]),
    ];
    for (path, expected) in table {
        for (door, expected) in ["browse", "read", "download"].into_iter().zip(expected) {
            if expected == 0 {
                continue;
            }
            let (status, said) = place.get(&format!("/files/{door}?path={directory}{path}&offset=0"));
            assert_eq!(status, expected, "{door} {path}: {said}");
            assert!(!said.contains("root:x:0"), "{door} {path} shows the host's files");
        }
    }
    for path in ["/etc", "/", "", "/framework/f/executor/t/latest", "/framework/..", "%ff"] {
        let (status, said) = place.get(&format!("/files/browse?path={path}"));
        assert!(status == 404 || status == 400, "{path}: {status} {said}");
    }
    for query in ["", "path", "path=%zz", "path=a&path=b"] {
        assert!(matches!(place.get(&format!("/files/read?{query}")).0, 400 | 404), "{query}");
    }
    assert_eq!(place.get(&format!("/files/read?path={directory}/plain&offset=x")).0, 400);
}

#[test]
fn programs_that_read_mesos_read_our_files() {
    if needs_root() {
        return;
    }
    let place = Place::new();
    let json = |path: &str| -> Value { serde_json::from_str(&place.get(path).1).unwrap() };
    let directory = &place.directory;

    let listed = json(&format!("/files/browse?path={directory}/folder"));
    assert_eq!(listed[0]["path"], format!("{directory}/folder/deep"));
    assert_eq!((&listed[0]["mode"], &listed[0]["size"]), (&"-rw-r--r--".into(), &5.into()));
    let task = place.cluster.task_in("TASK_RUNNING");
    let framework = task["framework_id"].as_str().unwrap();
    let named = format!("/framework/{framework}/executor/{}/latest", place.task);
    assert_eq!(json(&format!("/files/read?path={named}/plain&offset=0&length=3"))["data"], "ins");
    assert_eq!(json(&format!("/files/read?path={named}/plain"))["offset"], 7, "how large it is");
    let end = (1_u64 << 40) - 3;
    assert_eq!(json(&format!("/files/read?path={named}/hole&offset={end}"))["data"], "\0\0\0");
    assert_eq!(place.get(&format!("/files/download?path={named}/plain")).1, "inside\n");

    // A terabyte of nothing: whoever stops reading gets no more of it.
    let mut stream = TcpStream::connect(place.cluster.agent.as_ref().unwrap().address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET /files/download?path={named}/hole HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut some = vec![0; 300_000];
    stream.read_exact(&mut some).unwrap();
    assert!(String::from_utf8_lossy(&some[..400]).contains("1099511627776"));
    drop(stream);
    assert_eq!(place.get("/health").0, 200);
}
