//! Readers of traces: what they take, and the exact words in which they refuse.

use std::collections::BTreeSet;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::time::Duration;

use lonja_model::resources::Scalar;
use lonja_sdk_core::placement::{Gpus, Room};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::lab::Arrival;

const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\nn0,32000,262144,0,\nn1,96000,393216,8,G2\n";
const POD_HEADER: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,\
                          deletion_time,scheduled_time\n";
const MACHINES: &str = "name,cpus,mem_mib\nm,4,1024\n";
const TASKS: &str = "name,at_s,cpus,mem_mib\nt,0,1,64\n";

fn read_texts(files: &Files, texts: &[(&str, &str)]) -> Result<Workload, TraceError> {
    read(files, "test", |name| {
        let found = texts.iter().find(|(file, _)| *file == name);
        found.map(|(_, text)| Cursor::new(text.as_bytes().to_vec())).ok_or(io::ErrorKind::NotFound.into())
    })
}

fn openb(nodes: &str, pods: &str) -> Result<Workload, TraceError> {
    let files = Files {
        format: Format::Openb2023,
        machines: "nodes.csv".into(),
        tasks: "pods.csv".into(),
        frameworks: None,
    };
    read_texts(&files, &[("nodes.csv", nodes), ("pods.csv", pods)])
}

fn general(machines: &str, tasks: &str, frameworks: Option<&str>) -> Result<Workload, TraceError> {
    let mut texts = vec![("machines.csv", machines), ("tasks.csv", tasks)];
    texts.extend(frameworks.map(|text| ("frameworks.csv", text)));
    let files = choose(texts.iter().map(|(name, _)| *name), None).unwrap();
    read_texts(&files, &texts)
}

fn pods(rows: &str) -> Result<Workload, TraceError> {
    openb(NODES, &format!("{POD_HEADER}{rows}\n"))
}

fn error(read: Result<Workload, TraceError>) -> String {
    read.expect_err("it is malformed").to_string()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_openb_task_arrives_when_it_was_created_and_runs_until_it_was_deleted() {
    let workload = pods(
        "b,12000,16384,1,460,,LS,Running,500,900,510\n\
         a,1000,0,0,0,,BE,Pending,100,100,\n\
         c,2000,64,8,1000,G2|V100|G2,LS,Failed,700,,800",
    )
    .unwrap();

    let seen: Vec<_> = workload
        .arrivals
        .iter()
        .map(|task| (task.name.as_str(), task.at, task.runs, task.ask.need.gpus))
        .collect();
    assert_eq!(
        seen,
        [
            ("a", secs(0), Some(secs(0)), Gpus::None),
            ("b", secs(400), Some(secs(400)), Gpus::Share(460)),
            ("c", secs(600), None, Gpus::Whole(8)),
        ]
    );
    assert_eq!(workload.arrivals[1].ask.need.cpus, Scalar::from_units(12).unwrap());
    assert_eq!(workload.arrivals[1].ask.need.mem, Scalar::from_units(16_384).unwrap());
    assert_eq!(workload.arrivals[2].ask.models, BTreeSet::from(["G2".to_owned(), "V100".to_owned()]));
    assert_eq!((workload.lasts, workload.source.as_str()), (secs(800), "test"));
    assert_eq!(workload.frameworks.len(), 1);
}

#[test]
fn an_openb_machine_has_its_gpus_device_by_device_and_their_model() {
    let workload = pods("a,1,1,0,0,,,,0,1,").unwrap();

    let rooms: Vec<Room> =
        workload.machines.iter().map(|machine| Room::new(&machine.total, &machine.attributes)).collect();
    assert_eq!((rooms[0].devices.len(), rooms[0].model.clone()), (0, None));
    assert_eq!((rooms[1].whole_devices(), rooms[1].model.as_deref()), (8, Some("G2")));
    assert_eq!(workload.machines[1].total.to_string().matches(":1000").count(), 8);
}

#[test]
fn openb_refusals_say_file_line_field_found_and_expected() {
    let cases = [
        (
            "a,x,1,0,0,,,,0,1,",
            "pods.csv:2: cpu_milli: found \"x\", expected a whole number from 0 to 2251799813685247",
        ),
        (
            "a,1.5,1,0,0,,,,0,1,",
            "pods.csv:2: cpu_milli: found \"1.5\", expected a whole number from 0 to 2251799813685247",
        ),
        (
            "a,1,-1,0,0,,,,0,1,",
            "pods.csv:2: memory_mib: found \"-1\", expected a whole number from 0 to 2251799813685",
        ),
        ("a,1,1,,0,,,,0,1,", "pods.csv:2: num_gpu: found \"\", expected a whole number from 0 to 1024"),
        ("a,1,1,0,5,,,,0,1,", "pods.csv:2: gpu_milli: found \"5\", expected 0, as num_gpu is 0"),
        (
            "a,1,1,1,0,,,,0,1,",
            "pods.csv:2: gpu_milli: found \"0\", expected a whole number from 1 to 1000, as num_gpu is 1",
        ),
        (
            "a,1,1,1,1001,,,,0,1,",
            "pods.csv:2: gpu_milli: found \"1001\", expected a whole number from 1 to 1000, as num_gpu is 1",
        ),
        ("a,1,1,2,500,,,,0,1,", "pods.csv:2: gpu_milli: found \"500\", expected 1000, as num_gpu is above 1"),
        (
            "a,1,1,9999,1000,,,,0,1,",
            "pods.csv:2: num_gpu: found \"9999\", expected a whole number from 0 to 1024",
        ),
        (
            "a,1,1,1,500,A||B,,,0,1,",
            "pods.csv:2: gpu_spec: found \"A||B\", expected models of GPU with one `|` between two of them",
        ),
        (
            "a,1,1,0,0,,,,,1,",
            "pods.csv:2: creation_time: found \"\", expected the seconds at which it was created",
        ),
        (
            "a,1,1,0,0,,,,9,1,",
            "pods.csv:2: deletion_time: found \"1\", expected no time before creation_time, 9",
        ),
        (
            "a,1,1,0,0,,,,0,1e3,",
            "pods.csv:2: deletion_time: found \"1e3\", expected seconds from 0 to 1000000000 with up to nine decimals",
        ),
        (",1,1,0,0,,,,0,1,", "pods.csv:2: name: found \"\", expected another name: an id must not be empty"),
        ("a,1,1", "pods.csv:2: row: found \"a,1,1\", expected 11 fields as in the header, not 3"),
        (
            "a,1,1,0,0,,,,0,1,\nb,1,1,0,0,,,,0,1,\na,1,1,0,0,,,,0,1,",
            "pods.csv:4: name: found \"a\", expected another name: line 2 has this one",
        ),
        ("", "pods.csv:2: row: found \"\", expected at least one row below the header"),
    ];
    for (rows, expected) in cases {
        let found = error(pods(rows));
        assert_eq!(found, expected, "{rows}");
    }
}

#[test]
fn nodes_are_refused_in_the_same_words() {
    let cases = [
        ("", "nodes.csv:1: header: found \"\", expected a header with sn,cpu_milli,memory_mib,gpu,model"),
        ("sn,cpus\n", "nodes.csv:1: header: found \"cpus\", expected only sn,cpu_milli,memory_mib,gpu,model"),
        ("sn,sn\n", "nodes.csv:1: header: found \"sn\", expected each column once"),
        (
            "sn,cpu_milli\n",
            "nodes.csv:1: header: found \"sn,cpu_milli\", expected the column memory_mib as well",
        ),
        (
            "sn,cpu_milli,memory_mib,gpu,model\nn,1,1,2000,A\n",
            "nodes.csv:2: gpu: found \"2000\", expected a whole number from 0 to 1024",
        ),
        (
            "sn,cpu_milli,memory_mib,gpu,model\na/b,1,1,2,A\n",
            "nodes.csv:2: sn: found \"a/b\", expected another name: an id must not contain '/'",
        ),
        (
            "sn,cpu_milli,memory_mib,gpu,model\n\n",
            "nodes.csv:2: row: found \"\", expected at least one row below the header",
        ),
    ];
    for (nodes, expected) in cases {
        assert_eq!(error(openb(nodes, &format!("{POD_HEADER}a,1,1,0,0,,,,0,1,\n"))), expected, "{nodes}");
    }
}

#[test]
fn columns_stand_in_any_order_and_those_left_out_have_defaults() {
    let machines = "gpus,mem_mib,name,cpus,count,gpu_model\n2,1024,big,4.5,2,T4\n,512,small,2,,\n";
    let tasks = "\u{feff}cpus,name,at_s,mem_mib,count,gpus,gpu_models,runs_s,framework\r\n\
                 0.5,\"b,\"\"x\"\"\",1.25,64,1,0.54,A10|T4,10,web\r\n\
                 1,a,0,128,2,2,,,\r\n";

    let workload = general(machines, tasks, Some("name,weight\nweb,2.5\n")).unwrap();

    let names: Vec<&str> = workload.machines.iter().map(|machine| machine.name.as_str()).collect();
    assert_eq!(names, ["big-1", "big-2", "small"]);
    assert_eq!(workload.machines[2].total, "cpus:2;mem:512".parse().unwrap());
    let names: Vec<&str> = workload.arrivals.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["a-1", "a-2", "b,\"x\""]);
    let weights: Vec<_> =
        workload.frameworks.iter().map(|tenant| (tenant.name.as_str(), tenant.weight)).collect();
    assert_eq!(weights, [("web", 2500), ("default", 1000)]);
    let [first, _, last] = &workload.arrivals[..] else { panic!("three tasks") };
    assert_eq!((first.framework, first.runs, first.ask.need.gpus), (1, None, Gpus::Whole(2)));
    assert_eq!((last.framework, last.runs, last.ask.need.gpus), (0, Some(secs(10)), Gpus::Share(540)));
    assert_eq!(last.at, Duration::from_millis(1250));
    assert_eq!(workload.lasts, Duration::from_millis(11_250));
}

#[test]
fn a_run_without_ends_lasts_an_hour_behind_its_last_arrival() {
    let workload = general(MACHINES, "name,at_s,cpus,mem_mib\nt,5,1,64\n", None).unwrap();
    assert_eq!(workload.lasts, secs(3605));
}

#[test]
fn general_refusals_say_file_line_field_found_and_expected() {
    let head = "name,at_s,runs_s,cpus,mem_mib,gpus,gpu_models,framework,count\n";
    let number = "a number from 0 to 2251799813685.247 with up to three decimals";
    let gpus = "a whole number from 0 to 1024, or a part of one below 1 in thousandths";
    let seconds = "seconds from 0 to 1000000000 with up to nine decimals";
    let cases = [
        ("t,,,1,1,,,,", "at_s: found \"\", expected seconds from the beginning of the run".to_owned()),
        ("t,-1,,1,1,,,,", format!("at_s: found \"-1\", expected {seconds}")),
        ("t,1000000000,,1,1,,,,", format!("at_s: found \"1000000000\", expected {seconds}")),
        ("t,0,1.0000000001,1,1,,,,", format!("runs_s: found \"1.0000000001\", expected {seconds}")),
        ("t,0,.5,1,1,,,,", format!("runs_s: found \".5\", expected {seconds}")),
        ("t,0,,1,,,,,", format!("mem_mib: found \"\", expected {number}")),
        ("t,0,,NaN,1,,,,", format!("cpus: found \"NaN\", expected {number}")),
        ("t,0,,0.0001,1,,,,", format!("cpus: found \"0.0001\", expected {number}")),
        ("t,0,,1,9999999999999,,,,", format!("mem_mib: found \"9999999999999\", expected {number}")),
        ("t,0,,1,1,1.5,,,", format!("gpus: found \"1.5\", expected {gpus}")),
        ("t,0,,1,1,0.0005,,,", format!("gpus: found \"0.0005\", expected {gpus}")),
        ("t,0,,1,1,70000000,,,", format!("gpus: found \"70000000\", expected {gpus}")),
        ("t,0,,0,0,,,,", "row: found \"t,0,,0,0,,,,\", expected cpus, mem_mib, disk_mib or gpus above 0: a task asks for something".to_owned()),
        ("t,0,,1,1,,,,0", "count: found \"0\", expected a whole number from 1 to 10000000".to_owned()),
        ("\"t,0,,1,1,,,,", "row: found \"\\\"t,0,,1,1,,,,\", expected a quote that closes on its line".to_owned()),
        ("\"t\"x,0,,1,1,,,,", "row: found \"\\\"t\\\"x,0,,1,1,,,,\", expected a comma behind the closing quote".to_owned()),
        ("t\"x\",0,,1,1,,,,", "row: found \"t\\\"x\\\",0,,1,1,,,,\", expected a field with a quote to stand in quotes, its own quotes doubled".to_owned()),
        ("t,0,,1,1,,,,,", "row: found \"t,0,,1,1,,,,,\", expected 9 fields as in the header, not 10".to_owned()),
    ];
    for (row, expected) in cases {
        let found = error(general(MACHINES, &format!("{head}{row}\n"), None));
        assert_eq!(found, format!("tasks.csv:2: {expected}"), "{row}");
    }
    let framework = error(general(MACHINES, &format!("{head}t,0,,1,1,,,a//b,\n"), None));
    assert!(
        framework.starts_with("tasks.csv:2: framework: found \"a//b\", expected the name of a role: "),
        "{framework}"
    );
    let long = error(general(MACHINES, &format!("{head}{},0,,1,1,,,,\n", "n".repeat(300)), None));
    let found = "n".repeat(64);
    assert_eq!(
        long,
        format!(
            "tasks.csv:2: name: found \"{found}\", expected another name: an id has at most 255 bytes, this one has 300"
        )
    );
}

#[test]
fn frameworks_stand_once_and_weigh_something() {
    let cases = [
        (
            "a,0",
            "frameworks.csv:2: weight: found \"0\", expected a weight above 0 and up to 1000000 with up to three decimals; 1 is usual",
        ),
        (
            "a,",
            "frameworks.csv:2: weight: found \"\", expected a weight above 0 and up to 1000000 with up to three decimals; 1 is usual",
        ),
        ("a,1\na,2", "frameworks.csv:3: name: found \"a\", expected each framework once"),
    ];
    for (rows, expected) in cases {
        assert_eq!(error(general(MACHINES, TASKS, Some(&format!("name,weight\n{rows}\n")))), expected);
    }
}

#[test]
fn what_is_too_long_is_refused_before_it_is_held() {
    let field = format!("name,at_s,cpus,mem_mib\n{},0,1,64\n", "x".repeat(MOST_FIELD_BYTES + 1));
    assert_eq!(
        error(general(MACHINES, &field, None)),
        "tasks.csv:2: a field of more bytes; at most 1024 are read"
    );
    let line = format!("name,at_s,cpus,mem_mib\n{}", "x".repeat(5 * MOST_LINE_BYTES));
    assert_eq!(
        error(general(MACHINES, &line, None)),
        "tasks.csv:2: a line of more bytes; at most 65536 are read"
    );
    let header = "x".repeat(5 * MOST_LINE_BYTES);
    assert_eq!(
        error(general(&header, TASKS, None)),
        "machines.csv:1: a line of more bytes; at most 65536 are read"
    );
    let machines = "name,cpus,mem_mib,count\na,1,1,1\nb,1,1,10000000\n";
    assert_eq!(
        error(general(machines, TASKS, None)),
        "machines.csv:3: more machines; at most 10000000 are read"
    );
}

#[test]
fn bytes_that_are_no_text_and_files_that_cannot_be_read_are_named() {
    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let files = choose(["machines.csv", "tasks.csv"], None).unwrap();
    let bytes = |_: &str| Ok(Cursor::new(b"name,cpus,mem_mib\n\xff\xfe,1,1\n".to_vec()));
    let broken = |_: &str| Ok(io::BufReader::new(Broken));
    let missing = |_: &str| Err::<Cursor<Vec<u8>>, _>(io::ErrorKind::NotFound.into());

    let found = error(read(&files, "test", bytes));
    assert_eq!(found, "machines.csv:2: row: found \"\u{fffd}\u{fffd},1,1\", expected UTF-8");
    assert_eq!(error(read(&files, "test", broken)), "machines.csv:1: cannot be read");
    assert_eq!(error(read(&files, "test", missing)), "machines.csv:0: cannot be read");
}

#[test]
fn the_names_of_the_files_say_which_trace_it_is() {
    let nodes = "openb_node_list_all_node.csv";
    let (default, spec) = ("openb_pod_list_default.csv", "openb_pod_list_gpuspec33.csv");
    let tasks = |names: &[&str], list| {
        choose(names.iter().copied(), list).map(|files| files.tasks).map_err(|error| error.to_string())
    };
    assert_eq!(tasks(&[spec, nodes, default, "README.md"], None).unwrap(), default);
    assert_eq!(tasks(&[spec, nodes, default], Some("gpuspec33")).unwrap(), spec);
    assert_eq!(tasks(&[spec, nodes], None).unwrap(), spec);
    assert_eq!(tasks(&["machines.csv", "tasks.csv"], None).unwrap(), "tasks.csv");

    let refused = |names: &[&str], list, begins: &str| {
        let found = tasks(names, list).unwrap_err();
        assert!(found.starts_with(begins), "{found}");
    };
    refused(&[spec, nodes, default], Some("x"), "no list of tasks \"x\"; there are default, gpuspec33");
    refused(
        &[nodes, spec, "openb_pod_list_a.csv"],
        None,
        "no list of tasks \"default\"; there are a, gpuspec33",
    );
    refused(
        &["machines.csv", "tasks.csv"],
        Some("x"),
        "no list of tasks \"x\"; a folder with tasks.csv has only",
    );
    refused(&[], None, "no trace; expected machines.csv and tasks.csv, or openb_node_list_all_node.csv");
    refused(&["tasks.csv"], None, "tasks.csv without machines.csv; ");
    refused(&["machines.csv"], None, "machines.csv without tasks.csv; ");
    refused(&[nodes], None, "machines of openb without a list of tasks; ");
    refused(&[default], None, "lists of tasks of openb without its machines; ");
    refused(&[default, nodes, "machines.csv", "tasks.csv"], None, "two traces in one folder; ");
}

/// A workload as the general format can hold it.
fn any_workload() -> impl Strategy<Value = Workload> {
    let name = "[a-z,\"][ -~&&[^/\\\\]]{0,6}[a-z]";
    let gpus = prop_oneof![
        Just(String::new()),
        (1..1000u16).prop_map(|part| format!("0.{part:03}")),
        Just("3".into())
    ];
    let task = (name, 0..5000u64, proptest::option::of(0..9_000_000_000u64), 1..64_000u64, gpus, 0..3usize);
    let machine = (1..9_000u64, 0..9_000u64, 0..3u16, "[A-Z0-9,]{0,3}");
    (vec(task, 1..20), vec(machine, 1..6)).prop_map(|(tasks, machines)| {
        let mut text = "name,cpus,mem_mib,gpus,gpu_model\n".to_owned();
        for (number, (cpus, mem, gpus, model)) in machines.iter().enumerate() {
            let cpus = Scalar::from_thousandths(*cpus).unwrap();
            text.push_str(&format!("m{number},{cpus},{mem},{gpus},\"{model}\"\n"));
        }
        let mut rows = "name,at_s,runs_s,cpus,mem_mib,gpus,gpu_models,framework\n".to_owned();
        for (number, (name, at, runs, cpus, gpus, framework)) in tasks.iter().enumerate() {
            let runs = runs.map(|nanos| format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000));
            let (name, runs) = (name.replace('"', "\"\""), runs.unwrap_or_default());
            let cpus = Scalar::from_thousandths(*cpus).unwrap();
            let row = format!("\"{number}{name}\",{at}.5,{runs},{cpus},7,{gpus},A|B,f{framework}\n");
            rows.push_str(&row);
        }
        general(&text, &rows, Some("name,weight\nf2,0.5\nf0,1\nf1,7\n")).unwrap()
    })
}

proptest! {
    /// What is written is read as it was.
    #[test]
    fn the_general_format_keeps_everything(workload in any_workload()) {
        let text = |write: fn(&Workload, &mut Vec<u8>) -> io::Result<()>| {
            let mut bytes = Vec::new();
            write(&workload, &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let machines = text(|workload, out| write_machines(workload, out));
        let tasks = text(|workload, out| write_tasks(workload, out));
        let frameworks = text(|workload, out| write_frameworks(workload, out));
        prop_assert_eq!(general(&machines, &tasks, Some(&frameworks)).unwrap(), workload);
    }

    /// No bytes make the readers panic.
    #[test]
    fn whatever_stands_there_is_read_or_refused(machines in "[a-z0-9,.\"\n|_ -]{0,80}", tasks in "\\PC{0,80}") {
        let _ = general(&machines, &tasks, None);
        let _ = general(MACHINES, &format!("name,at_s,runs_s,cpus,mem_mib,gpus\n{machines}"), None);
        let _ = openb(NODES, &format!("{POD_HEADER}{machines}"));
    }
}

/// The published trace, if the folder of traces is known.
fn published(list: &str) -> Option<Workload> {
    let Some(folder) = std::env::var_os("LONJA_TRACES") else {
        // Past the capture of the test harness, which shows nothing of a test that passes.
        let said = writeln!(io::stderr(), "skipped: LONJA_TRACES is not set");
        said.expect("there is a place for complaints");
        return None;
    };
    let folder = PathBuf::from(folder).join("openb-2023");
    let names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("LONJA_TRACES holds no openb-2023: {error}"))
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let files = choose(names.iter().map(String::as_str), Some(list)).unwrap();
    let open = |name: &str| std::fs::File::open(folder.join(name)).map(io::BufReader::new);
    Some(read(&files, "openb-2023", open).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn the_published_trace_has_what_its_paper_says() {
    let (Some(default), Some(spec)) = (published("default"), published("gpuspec33")) else { return };

    assert_eq!((default.machines.len(), default.arrivals.len()), (1523, 8152));
    let rooms = default.machines.iter().map(|machine| Room::new(&machine.total, &machine.attributes));
    let rooms: Vec<Room> = rooms.filter(|room| room.spec.devices > 0).collect();
    let cpus: u64 = rooms.iter().map(|room| room.cpus.thousandths()).sum();
    let gpus: u64 = rooms.iter().map(Room::free_gpus).sum();
    assert_eq!((rooms.len(), cpus, gpus), (1213, 107_018_000, 6_212_000));
    assert!(rooms.iter().all(|room| room.model.is_some()));
    assert_eq!(default.lasts, secs(12_902_960));
    assert!(default.arrivals.is_sorted_by_key(|arrival| arrival.at));
    assert!(default.arrivals.iter().all(|arrival| arrival.runs.is_some()));

    let bound = |arrival: &&Arrival| !arrival.ask.models.is_empty();
    assert_eq!(default.arrivals.iter().filter(bound).count(), 0);
    assert_eq!(spec.arrivals.iter().filter(bound).count(), 8152 - 5764);
}
