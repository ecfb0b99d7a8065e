//! Compiles the schema: a pure-Rust compiler reads the `.proto` files, so that no `protoc` is needed, and
//! the Rust types go to the build folder, not into git.
#![allow(clippy::print_stdout, reason = "a build script speaks to cargo on standard output")]

mod sizes;
mod tables;

use std::error::Error;

use tonic_prost_build::Config;

const SCHEMA: [&str; 16] = [
    "mesos/v1/mesos.proto",
    "mesos/v1/scheduler/scheduler.proto",
    "mesos/v1/executor/executor.proto",
    "mesos/v1/allocator/allocator.proto",
    "mesos/v1/maintenance/maintenance.proto",
    "mesos/v1/quota/quota.proto",
    "mesos/v1/master/master.proto",
    "mesos/v1/agent/agent.proto",
    "lonja/v1/scheduler.proto",
    "lonja/v1/agent_link.proto",
    "lonja/v1/executors.proto",
    "lonja/v1/operator.proto",
    "lonja/v1/agent_api.proto",
    "lonja/v1/agent_sessions.proto",
    "lonja/registry/v1/registry.proto",
    "lonja/checkpoint/v1/checkpoint.proto",
];

/// Rare and large parts of what comes in great numbers: of a message of a few bytes that holds many of them, each
/// would take kilobytes.
const BOXED: [&str; 7] = [
    ".mesos.v1.Offer.Operation.grow_volume",
    ".mesos.v1.Offer.Operation.launch_group",
    ".mesos.v1.Offer.Operation.shrink_volume",
    ".mesos.v1.Offer.Operation.create_disk",
    ".mesos.v1.Offer.Operation.destroy_disk",
    ".lonja.v1.ApplyOperation.operation",
    ".lonja.v1.OperationUpdate.operation",
];

fn main() -> Result<(), Box<dyn Error>> {
    for folder in ["mesos", "lonja"] {
        println!("cargo::rerun-if-changed={folder}");
    }
    let descriptors = protox::compile(SCHEMA, ["."])?;
    tables::write(&descriptors, &BOXED)?;
    // Every message knows its name, by which its table is found.
    let mut names = Config::new();
    names.enable_type_names();
    let mut configuration =
        tonic_prost_build::configure().emit_rerun_if_changed(false).codec_path("crate::codec::Bounded");
    for path in BOXED {
        configuration = configuration.boxed(path);
    }
    configuration
        // Sorted, so that equal messages are equal bytes.
        .btree_map(".")
        // The clients get no `connect(address)` of their own: two services have a method of that name, and a
        // caller sets time-outs on its channel anyway.
        .build_transport(false)
        // `google.protobuf.Duration` is all that is needed of them; not worth a dependency.
        .compile_well_known_types(true)
        .compile_fds_with_config(descriptors, names)?;
    Ok(())
}
