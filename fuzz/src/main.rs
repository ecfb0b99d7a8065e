//! Gives the decoders of the project bytes that nobody meant, made from golden messages, for as long as it is told.
//!
//! It needs no instrumented build, so it runs on the stable toolchain: what an input led to is told by the words of its outcome, and an
//! input that led to new ones is kept and changed further.
//!
//! ```text
//! cargo run --release --manifest-path fuzz/Cargo.toml -- [--seconds 60] [--seed N] [--target NAME] [FILE]
//! ```
//! With a FILE it gives that one input to the target. Exit status 1: an input made a target panic, or took it over a second; the input is kept in
//! `fuzz/artifacts`.
#![allow(missing_docs, reason = "a program")]

mod targets;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs};

use targets::{TARGETS, Target};

/// One input may take this long.
const LONGEST: Duration = Duration::from_secs(1);

/// No input is longer. In bytes.
const LARGEST: usize = 64 << 10;

/// Inputs that are kept for a target.
const KEPT: usize = 4_096;

/// What parsers stumble over.
const WORDS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b",",
    b":",
    b"null",
    b"true",
    b"-1",
    b"1e308",
    b"0.1",
    b"18446744073709551616",
    b"\"Infinity\"",
    b"\"NaN\"",
    b"\\u0000",
    b"\\ud800",
    b"{\"value\":\"x\"}",
    b"\"type\":",
    b"\n",
    b"20\n",
    b"\xff\xff\xff\xff\x0f",
    b"\x0a\x00",
    b"\x80",
    b"*",
    b"(",
    b")",
    b";",
    b"-",
    b"../",
    b"a/b",
];

struct Options {
    seconds: u64,
    seed: u64,
    target: Option<String>,
    file: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    let chosen: Vec<&Target> = TARGETS
        .iter()
        .filter(|(name, _)| options.target.as_deref().is_none_or(|wanted| wanted == *name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("there is no such target; there are: {}", names.join(", "));
        return ExitCode::from(2);
    }
    if let Some(file) = &options.file {
        let bytes = fs::read(file).expect("the file can be read");
        for (name, target) in chosen {
            println!("{name}: {}", target(&bytes));
        }
        return ExitCode::SUCCESS;
    }
    println!("seed {}", options.seed);
    let share = Duration::from_secs(options.seconds) / u32::try_from(chosen.len()).expect("few");
    let (mut all, mut failed) = (0, false);
    for target in chosen {
        match drive(target, share, options.seed) {
            Ok((inputs, outcomes)) => {
                println!("{:<28} {inputs:>9} inputs, {outcomes:>5} outcomes", target.0);
                all += inputs;
            }
            Err(kept) => {
                println!("{}: FAILED; the input is in {}", target.0, kept.display());
                failed = true;
            }
        }
    }
    println!("{all} inputs");
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn options() -> Result<Options, String> {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut options = Options { seconds: 60, seed: now, target: None, file: None };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
        match argument.as_str() {
            "--seconds" => options.seconds = value()?.parse().map_err(|_| "--seconds wants a number")?,
            "--seed" => options.seed = value()?.parse().map_err(|_| "--seed wants a number")?,
            "--target" => options.target = Some(value()?),
            other if other.starts_with('-') => return Err(format!("there is no option {other}")),
            file => options.file = Some(file.into()),
        }
    }
    Ok(options)
}

/// Inputs and outcomes, or where the input is that was too much.
fn drive((name, target): &Target, share: Duration, seed: u64) -> Result<(u64, usize), PathBuf> {
    let mut draws = Draws(
        seed ^ name.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte))),
    );
    let mut corpus = golden();
    let mut outcomes = BTreeSet::new();
    let started = Instant::now();
    let mut inputs = 0;
    while started.elapsed() < share {
        let input = if inputs < corpus.len() as u64 {
            corpus[inputs as usize].clone()
        } else {
            changed(&corpus, &mut draws)
        };
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
        inputs += 1;
        match outcome {
            Ok(outcome) if began.elapsed() < LONGEST => {
                if outcomes.insert(words_of(&outcome)) && corpus.len() < KEPT {
                    corpus.push(input);
                }
            }
            _ => return Err(keep(name, &input)),
        }
    }
    Ok((inputs, outcomes.len()))
}

/// An outcome without its numbers and quoted parts, of which there are as many as inputs.
fn words_of(outcome: &str) -> String {
    let unquoted = outcome.split('"').step_by(2).collect::<Vec<_>>().join("");
    unquoted.chars().filter(|each| !each.is_ascii_digit()).take(200).collect()
}

fn keep(name: &str, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts");
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let file = folder.join(format!("{name}-{hash:016x}"));
    fs::create_dir_all(&folder).and_then(|()| fs::write(&file, input)).expect("the input can be kept");
    file
}

/// The golden messages of the wire, and a few texts.
fn golden() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/tests/golden");
    let mut files: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut corpus: Vec<Vec<u8>> = files.iter().filter_map(|file| fs::read(file).ok()).collect();
    for text in [
        "cpus:4;mem:1024;ports(eng):[31000-32000,40000-40001];disks:{a,b}",
        "\u{3}20\n{\"type\":\"HEARTBEAT\"}5\nhello",
        "text/html, application/*;q=0.5",
        r#"{"type":"UPDATE_QUOTA","update_quota":{"quota_configs":[{"role":"a","limits":{"cpus":{"value":1}}}]}}"#,
        r#"{"executor_id":{"value":"e"},"framework_id":{"value":"f"},"type":"UPDATE","update":{"status":{"task_id":{"value":"t"},"state":"TASK_RUNNING","source":"SOURCE_EXECUTOR","uuid":"AAAAAAAAAAAAAAAAAAAAAA=="}}}"#,
        r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":1.5},"reservations":[{"type":"DYNAMIC","role":"eng","principal":"p"}]}]"#,
    ] {
        corpus.push(text.as_bytes().to_vec());
    }
    corpus
}

/// One of the corpus, changed in a few places.
fn changed(corpus: &[Vec<u8>], draws: &mut Draws) -> Vec<u8> {
    let mut input = corpus[draws.below(corpus.len())].clone();
    for _ in 0..=draws.below(6) {
        let at = draws.below(input.len() + 1);
        match draws.below(8) {
            0 if at < input.len() => input[at] ^= 1 << draws.below(8),
            1 if at < input.len() => input[at] = draws.next() as u8,
            2 => input.truncate(at),
            3 => {
                let end = (at + draws.below(16)).min(input.len());
                input.drain(at..end);
            }
            4 => {
                let word = WORDS[draws.below(WORDS.len())];
                input.splice(at..at, word.iter().copied());
            }
            5 => {
                let end = (at + draws.below(64)).min(input.len());
                let part = input[at..end].to_vec();
                input.splice(at..at, part);
            }
            6 => {
                let other = &corpus[draws.below(corpus.len())];
                let from = draws.below(other.len() + 1);
                let end = (from + draws.below(256)).min(other.len());
                input.splice(at..at, other[from..end].iter().copied());
            }
            _ => {
                let word = WORDS[draws.below(WORDS.len())];
                let end = (at + word.len()).min(input.len());
                input.splice(at..end, word.iter().copied());
            }
        }
    }
    input.truncate(LARGEST);
    input
}

/// Numbers from a seed. Source: SplitMix64, Steele and others, 2014.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % (end.max(1) as u64)) as usize
    }
}
