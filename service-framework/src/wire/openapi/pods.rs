//! Schemas of pods.

use serde_json::{Value, json};

use super::apps::{pace, patience};
use super::schema::{
    any_of, choice, count, flag, integer, list, map, named, number, object, port, seconds, server, text,
    time, words,
};

/// All of them by name.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![("Pod", pod()), ("PodContainer", container()), ("Endpoint", endpoint())]
}

fn pod() -> Value {
    let ipc = object(&[("mode", choice(&["PRIVATE", "SHARE_PARENT"])), ("shmSize", count())], &["mode"]);
    object(
        &[
            ("id", named("PathId")),
            ("labels", map(text())),
            ("environment", map(named("EnvValue"))),
            ("secrets", map(object(&[("source", words())], &["source"]))),
            ("user", words()),
            ("role", words()),
            ("version", server(time())),
            ("containers", list(named("PodContainer"))),
            ("volumes", list(volume())),
            ("networks", list(named("Network"))),
            ("scaling", object(&[("kind", choice(&["fixed"])), ("instances", count())], &[])),
            ("scheduling", scheduling()),
            ("executorResources", named("ExecutorResources")),
            ("linuxInfo", object(&[("ipcInfo", ipc)], &[])),
            ("legacySharedCgroups", flag()),
        ],
        &["id", "containers"],
    )
}

fn scheduling() -> Value {
    let factor = json!({ "type": "number", "minimum": 1, "maximum": 1_000_000 });
    let backoff =
        object(&[("backoff", seconds()), ("backoffFactor", factor), ("maxLaunchDelay", seconds())], &[]);
    let constraint =
        object(&[("fieldName", text()), ("operator", text()), ("value", text())], &["fieldName", "operator"]);
    let placement = object(
        &[
            ("constraints", list(constraint)),
            ("acceptedResourceRoles", list(words())),
            ("strategy", choice(&["spread", "binpack", "random"])),
        ],
        &[],
    );
    object(
        &[
            ("backoff", backoff),
            ("upgrade", named("UpgradeStrategy")),
            ("placement", placement),
            ("killSelection", named("KillSelection")),
            ("unreachableStrategy", named("UnreachableStrategy")),
            ("rollout", named("Rollout")),
        ],
        &[],
    )
}

fn volume() -> Value {
    let of = |name: &'static str, kind: Value| object(&[("name", words()), (name, kind)], &["name", name]);
    any_of(&[
        object(&[("name", words())], &["name"]),
        of("host", words()),
        of("persistent", named("Persistent")),
        of("secret", words()),
    ])
}

fn container() -> Value {
    let exec = object(&[("command", named("Command")), ("overrideEntrypoint", flag())], &["command"]);
    let resources = object(
        &[("cpus", number(0.001)), ("mem", number(0.0)), ("disk", number(0.0)), ("gpus", count())],
        &[],
    );
    let image = object(
        &[
            ("kind", choice(&["DOCKER"])),
            ("id", words()),
            ("forcePull", flag()),
            ("pullConfig", named("PullConfig")),
            ("labels", map(text())),
        ],
        &["kind", "id"],
    );
    let path = json!({ "type": "string", "minLength": 1, "maxLength": 1024 });
    let mount =
        object(&[("name", words()), ("mountPath", path), ("readOnly", flag())], &["name", "mountPath"]);
    object(
        &[
            ("name", named("Name")),
            ("exec", exec),
            ("resources", resources),
            ("resourceLimits", named("ResourceLimits")),
            ("endpoints", list(named("Endpoint"))),
            ("image", image),
            ("environment", map(named("EnvValue"))),
            ("user", words()),
            ("healthCheck", check(true)),
            ("check", check(false)),
            ("volumeMounts", list(mount)),
            ("artifacts", list(named("Fetch"))),
            ("labels", map(text())),
            ("lifecycle", object(&[("killGracePeriodSeconds", number(0.0))], &[])),
            ("linuxInfo", named("LinuxInfo")),
            ("tty", flag()),
        ],
        &["name"],
    )
}

fn endpoint() -> Value {
    let protocols = json!({ "type": "array", "items": named("Protocol"), "uniqueItems": true });
    object(
        &[
            ("name", named("Name")),
            ("containerPort", integer(1, 65_535)),
            ("hostPort", port()),
            ("protocol", any_of(&[named("Protocol"), protocols])),
            ("labels", map(text())),
            ("networkNames", list(text())),
        ],
        &["name"],
    )
}

fn check(ends: bool) -> Value {
    let scheme = choice(&["HTTP", "HTTPS"]);
    let http = object(&[("endpoint", named("Name")), ("path", text()), ("scheme", scheme)], &["endpoint"]);
    let tcp = object(&[("endpoint", named("Name"))], &["endpoint"]);
    let exec = object(&[("command", named("Command"))], &["command"]);
    let of = |name: &'static str, kind: Value| {
        let mut fields = vec![(name, kind)];
        fields.extend(pace());
        if ends {
            fields.extend(patience());
        }
        object(&fields, &[name])
    };
    any_of(&[of("http", http), of("tcp", tcp), of("exec", exec)])
}
