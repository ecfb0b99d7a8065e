//! The generated types, module by module as the packages of the schema.
//!
//! Nothing here is checked: any combination of fields that the format allows is a value. They end at a
//! shell's door, where [`crate::convert`] turns them into `lonja_model` values or refuses them.
//!
//! Two habits of the generated code are worth knowing. A `required` field that is missing on the wire reads
//! as its default, so that an absent id is an empty one. An enum is a bare number, since a peer may send
//! one that this version does not know.

/// Compiles one package in; lints are off, as nobody edits what is generated.
macro_rules! package {
    ($name:literal) => {
        tonic::include_proto!($name);
    };
}

/// What the schema takes from Google's well-known types.
pub mod google {
    /// `Duration`.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
    pub mod protobuf {
        package!("google.protobuf");
    }
}

/// The Mesos v1 API.
pub mod mesos {
    /// Its vocabulary.
    #[allow(missing_docs, unreachable_pub, deprecated, clippy::all, clippy::pedantic, rustdoc::all)]
    pub mod v1 {
        package!("mesos.v1");

        /// What operators ask of an agent.
        pub mod agent {
            package!("mesos.v1.agent");
        }
        /// What frameworks say to requests to leave.
        pub mod allocator {
            package!("mesos.v1.allocator");
        }
        /// What executors and their agent say to each other.
        pub mod executor {
            package!("mesos.v1.executor");
        }
        /// When machines are out of use.
        pub mod maintenance {
            package!("mesos.v1.maintenance");
        }
        /// What operators ask of the master.
        pub mod master {
            package!("mesos.v1.master");
        }
        /// What a role is sure of, and what it may never exceed.
        pub mod quota {
            package!("mesos.v1.quota");
        }
        /// What frameworks and the master say to each other.
        pub mod scheduler {
            package!("mesos.v1.scheduler");
        }
    }
}

/// What is Lonja's own.
pub mod lonja {
    /// Services and their messages.
    #[allow(missing_docs, unreachable_pub, deprecated, clippy::all, clippy::pedantic, rustdoc::all)]
    pub mod v1 {
        package!("lonja.v1");
    }
    /// What the master stores.
    pub mod registry {
        /// First form.
        #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
        pub mod v1 {
            package!("lonja.registry.v1");
        }
    }
    /// What an agent stores.
    pub mod checkpoint {
        /// First form.
        #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
        pub mod v1 {
            package!("lonja.checkpoint.v1");
        }
    }
}
