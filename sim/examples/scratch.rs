#![allow(missing_docs, clippy::print_stdout)]
use lonja_sim::{Options, fuzz_with};
use std::time::Duration;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let n = |i: usize, d: u64| a.get(i).and_then(|x| x.parse().ok()).unwrap_or(d);
    let small = n(5, 0) > 0;
    let faults = a.get(4).map_or("all", |x| x).parse().unwrap();
    let mut o = Options { first_seed: n(1, 1), seeds: n(2, 100), duration: Duration::from_secs(n(3, 3600)), faults, ..Options::default() };
    if small { o.agents = Some(3); o.frameworks = Some(2); o.jobs = Some(12); }
    let began = std::time::Instant::now();
    let report = fuzz_with(&o, |r| r.failed < n(6, 3));
    println!("{report}");
    for f in &report.failures { println!("{f}\n"); }
    println!("{:?}", report.activity.disk_faults);
    println!("{:?}", report.activity.told);
    if a.len() > 7 { for (name, p) in report.activity.steps.iter() { println!("{:>8} {:>6} {name}", p.passed, p.killed); } }
    println!("{:.1} s, {:.0} cluster-hours/s", began.elapsed().as_secs_f64(), report.virtual_hours() / began.elapsed().as_secs_f64());
}
