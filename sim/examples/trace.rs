#![allow(missing_docs, clippy::print_stdout)]
use lonja_sim::{Options, replay};
use std::time::Duration;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let n = |i: usize, d: u64| a.get(i).and_then(|x| x.parse().ok()).unwrap_or(d);
    let faults = a.get(3).map_or("all", |x| x).parse().unwrap();
    let mut o = Options { first_seed: n(1, 1), duration: Duration::from_secs(n(2, 3600)), faults, ..Options::default() };
    if n(4, 0) > 0 { o.agents = Some(3); o.frameworks = Some(2); o.jobs = Some(12); }
    let out = replay(n(1, 1), &o, Box::new(|e| println!("{e}")));
    println!("{:?}", out.broken);
}
