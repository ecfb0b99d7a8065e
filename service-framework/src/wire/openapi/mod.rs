//! The API as an OpenAPI document.
//!
//! Invariants
//! - The schemas of apps, pods, jobs and groups have exactly the fields that are read: a test compares them with what the
//!   reader asks for.
//!
//! Source: OpenAPI 3.1; the routes are Marathon's, and what is Lonja's own says so.

mod apps;
mod pods;
mod replies;
mod routes;
mod schema;

use serde_json::{Map, Value, json};

/// The whole document.
pub fn openapi() -> Value {
    let all = apps::schemas().into_iter().chain(pods::schemas()).chain(replies::schemas());
    let schemas: Map<String, Value> = all.map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lonja services",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Long-running services. Ids of apps, pods, jobs and groups stand in paths as they are, with their \
                            slashes. Every route answers with and without a slash at its end.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" }
        },
        "paths": routes::paths(),
        "components": { "schemas": schemas }
    })
}
