//! `lonja sim run`, as people call it: what is wrong with what they ask for is said before anything runs.

use std::process::{Command, Output};

fn sim_run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lonja"));
    command.args(["sim", "run"]).args(arguments).env_remove("LONJA_TRACES");
    command.output().expect("lonja starts")
}

#[test]
fn input_of_no_use_ends_with_1_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    for (arguments, said) in [
        (
            vec!["no-such-trace", "--policy", "fgd"],
            "repository alibaba/clusterdata on GitHub, folder cluster-trace-gpu",
        ),
        (vec!["--policy", "fgd"], "set LONJA_TRACES to a folder of traces"),
        (vec!["--policy", "fgd", "--traces", "/no/such/folder"], "/no/such/folder: no such folder"),
        (
            vec![folder, "--policy", "best"],
            "there is no policy \"best\"; there are random, spread, binpack, ",
        ),
        (vec![folder, "--policy", "fgd", "--agents", "0"], "--agents 0: without machines there is nothing"),
        (vec![folder, "--policy", "fgd", "--seed", "0x5"], "--seed 0x5: a seed is a number from 0 to "),
        (vec![folder, "--policy", "fgd", "--seeds", "some"], "--seeds some: write how many seeds"),
        (vec![folder, "--policy", "fgd", "--out", folder], "is a folder; name a file in it"),
        (vec![folder, "--policy", "fgd", "--machine", "cpus:4"], "--machine is for generators"),
    ] {
        let output = sim_run(&arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.starts_with("error: ") && stderr.contains(said), "{arguments:?}: {stderr}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{arguments:?}");
    }
}

#[test]
fn flags_that_there_are_not_end_with_2() {
    assert_eq!(sim_run(&["x", "--policy", "fgd", "--colour"]).status.code(), Some(2));
    assert_eq!(sim_run(&["x"]).status.code(), Some(2), "a policy must be named");
}
