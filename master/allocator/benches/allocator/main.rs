//! How long the allocator takes: `cargo bench -p lonja-allocator`, or with part of a name for some.
//!
//! Every bench has the size of its cluster in its name and the goal in its comment; the table that divan prints
//! has the medians. Only deciding is measured: what it takes to bring the cluster back into the state before is
//! not. Goals: `README.md`, section "Figures". Shapes that are named after Mesos' benchmarks have their sizes.

mod cluster;
mod filters;
mod full_pass;
mod incremental;
mod multi_framework;
mod quota;
mod storms;

fn main() {
    divan::main();
}
