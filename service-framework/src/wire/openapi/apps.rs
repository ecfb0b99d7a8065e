//! Schemas of apps, jobs and groups, and of what they share with pods.

use serde_json::{Value, json};

use super::schema::{
    about, any_of, choice, count, deprecated, flag, fraction, integer, list, map, named, number, object,
    port, seconds, server, some_seconds, text, time, words,
};

const PATH_ID: &str = "A path such as /prod/web: segments of lower case letters, digits, hyphens and dots.";

/// All of them by name.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("App", app()),
        ("AppUpdate", without_required(app())),
        ("Job", job()),
        ("GroupUpdate", group_update()),
        ("Container", container()),
        ("PortMapping", port_mapping()),
        ("HealthCheck", health_check()),
        ("Check", check()),
        ("ReadinessCheck", readiness_check()),
    ];
    all.extend(shared());
    all.extend(policies());
    all
}

fn without_required(mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("required");
    }
    schema
}

/// The fields of an app but for its id.
fn app_fields() -> Vec<(&'static str, Value)> {
    let mut fields = vec![
        ("cmd", about(words(), "A line for the shell; or args.")),
        ("args", about(list(text()), "A program and its arguments; or cmd.")),
        ("instances", count()),
        ("cpus", number(0.001)),
        ("mem", about(number(0.0), "MiB.")),
        ("disk", about(number(0.0), "MiB.")),
        ("gpus", count()),
        ("resourceLimits", named("ResourceLimits")),
        ("executor", json!({ "type": "string", "pattern": "(//cmd|/[a-z]{1,8}|)" })),
        ("executorResources", named("ExecutorResources")),
        ("user", words()),
        ("env", map(named("EnvValue"))),
        ("labels", map(text())),
        ("constraints", list(named("Constraint"))),
        ("acceptedResourceRoles", list(words())),
        ("role", words()),
        ("backoffSeconds", seconds()),
        ("backoffFactor", json!({ "type": "number", "minimum": 1, "maximum": 1_000_000 })),
        ("maxLaunchDelaySeconds", seconds()),
        ("container", named("Container")),
        ("networks", list(named("Network"))),
        ("portDefinitions", list(named("PortDefinition"))),
        ("requirePorts", flag()),
        ("fetch", list(named("Fetch"))),
        ("healthChecks", list(named("HealthCheck"))),
        ("check", named("Check")),
        ("readinessChecks", json!({ "type": "array", "items": named("ReadinessCheck"), "maxItems": 1 })),
        ("dependencies", list(named("PathId"))),
        ("upgradeStrategy", named("UpgradeStrategy")),
        ("killSelection", named("KillSelection")),
        ("unreachableStrategy", named("UnreachableStrategy")),
        ("taskKillGracePeriodSeconds", seconds()),
        ("secrets", map(object(&[("source", words())], &["source"]))),
        ("tty", flag()),
    ];
    fields.extend(other_app_fields());
    fields
}

/// What is without effect, Lonja's own, deprecated, or set by the server.
fn other_app_fields() -> Vec<(&'static str, Value)> {
    let discovered = object(
        &[
            ("number", port()),
            ("name", named("Name")),
            ("protocol", named("Protocol")),
            ("labels", map(text())),
        ],
        &["number"],
    );
    let address = object(
        &[
            ("networkName", words()),
            ("labels", map(text())),
            ("discovery", object(&[("ports", list(discovered))], &[])),
        ],
        &[],
    );
    let residency = object(
        &[
            ("relaunchEscalationTimeoutSeconds", integer(0, 1 << 40)),
            ("taskLostBehavior", choice(&["WAIT_FOREVER", "RELAUNCH_AFTER_TIMEOUT"])),
        ],
        &[],
    );
    vec![
        ("residency", about(residency, "Accepted, without effect.")),
        ("placement", named("Placement")),
        ("rollout", named("Rollout")),
        ("autoscale", named("Autoscale")),
        ("uris", deprecated(list(json!({ "type": "string", "minLength": 1, "maxLength": 1024 })))),
        ("ports", deprecated(list(port()))),
        ("ipAddress", deprecated(address)),
        ("version", server(time())),
        ("versionInfo", server(object(&[("lastScalingAt", time()), ("lastConfigChangeAt", time())], &[]))),
    ]
}

fn app() -> Value {
    let mut fields = vec![("id", named("PathId"))];
    fields.extend(app_fields());
    object(&fields, &["id"])
}

fn job() -> Value {
    let schedule = object(
        &[
            (
                "cron",
                about(
                    json!({ "type": "string", "minLength": 1, "maxLength": 1024 }),
                    "Five fields, as in crontab; UTC.",
                ),
            ),
            ("suspended", flag()),
            ("startingDeadlineSeconds", seconds()),
        ],
        &["cron"],
    );
    object(
        &[
            ("id", named("PathId")),
            ("run", object(&app_fields(), &[])),
            ("schedule", schedule),
            ("concurrency", choice(&["allow", "forbid", "replace"])),
            ("retries", integer(0, 1_000)),
            ("retryDelaySeconds", seconds()),
            ("maxRunTimeSeconds", some_seconds()),
            ("history", integer(0, 1_000)),
        ],
        &["id", "run"],
    )
}

fn group_update() -> Value {
    object(
        &[
            ("id", named("PathId")),
            ("apps", list(named("App"))),
            ("groups", list(named("GroupUpdate"))),
            (
                "pods",
                about(
                    json!({ "type": "array", "items": {}, "maxItems": 0 }),
                    "Pods cannot be changed by a group.",
                ),
            ),
            ("dependencies", list(named("PathId"))),
            ("enforceRole", flag()),
            ("scaleBy", json!({ "type": "number", "minimum": 0, "maximum": 1_000_000 })),
            ("version", time()),
        ],
        &[],
    )
}

fn container() -> Value {
    let parameter = object(&[("key", words()), ("value", text())], &["key", "value"]);
    let docker = object(
        &[
            ("image", words()),
            ("forcePullImage", flag()),
            ("privileged", flag()),
            ("parameters", list(parameter)),
            ("pullConfig", named("PullConfig")),
            ("network", deprecated(choice(&["HOST", "BRIDGE", "USER"]))),
            ("portMappings", deprecated(list(named("PortMapping")))),
            ("credential", deprecated(about(json!({}), "Refused: use pullConfig."))),
        ],
        &["image"],
    );
    object(
        &[
            ("type", choice(&["DOCKER", "MESOS"])),
            ("docker", docker),
            ("volumes", list(volume())),
            ("portMappings", list(named("PortMapping"))),
            ("linuxInfo", named("LinuxInfo")),
        ],
        &[],
    )
}

fn volume() -> Value {
    let external = object(
        &[
            ("name", words()),
            ("provider", choice(&["dvdi", "csi"])),
            ("size", integer(1, 1 << 40)),
            ("shared", flag()),
            ("options", map(text())),
        ],
        &["name", "provider", "options"],
    );
    let path = json!({ "type": "string", "minLength": 1, "maxLength": 1024 });
    let of = |name: &'static str, kind: Value| {
        let fields = [("containerPath", path.clone()), ("mode", choice(&["RO", "RW"])), (name, kind)];
        object(&fields, &["containerPath", name])
    };
    any_of(&[
        of("hostPath", words()),
        of("persistent", named("Persistent")),
        of("external", external),
        of("secret", words()),
    ])
}

fn port_mapping() -> Value {
    object(
        &[
            ("containerPort", port()),
            ("hostPort", port()),
            ("servicePort", port()),
            ("protocol", named("Protocol")),
            ("name", named("Name")),
            ("labels", map(text())),
            ("networkNames", list(text())),
        ],
        &[],
    )
}

/// From look to look, and the like.
pub(super) fn pace() -> Vec<(&'static str, Value)> {
    vec![("intervalSeconds", some_seconds()), ("timeoutSeconds", some_seconds()), ("delaySeconds", seconds())]
}

/// When failures count.
pub(super) fn patience() -> Vec<(&'static str, Value)> {
    vec![("gracePeriodSeconds", seconds()), ("maxConsecutiveFailures", count())]
}

fn health_check() -> Value {
    let protocols = ["HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_HTTP", "MESOS_HTTPS", "MESOS_TCP"];
    let mut fields = vec![
        ("protocol", choice(&protocols)),
        ("path", text()),
        ("command", object(&[("value", words())], &["value"])),
        ("port", port()),
        ("portIndex", count()),
        ("ipProtocol", choice(&["IPv4", "IPv6"])),
        ("ignoreHttp1xx", deprecated(flag())),
    ];
    fields.extend(pace());
    fields.extend(patience());
    object(&fields, &[])
}

fn check() -> Value {
    let http = object(
        &[("port", port()), ("portIndex", count()), ("path", text()), ("scheme", choice(&["HTTP", "HTTPS"]))],
        &[],
    );
    let tcp = object(&[("port", port()), ("portIndex", count())], &[]);
    let exec = object(&[("command", named("Command"))], &["command"]);
    let of = |name: &'static str, kind: Value| {
        let mut fields = vec![(name, kind)];
        fields.extend(pace());
        object(&fields, &[name])
    };
    any_of(&[of("http", http), of("tcp", tcp), of("exec", exec)])
}

fn readiness_check() -> Value {
    let statuses = json!({ "type": "array", "items": integer(100, 999), "minItems": 1, "maxItems": super::super::MAX_ELEMENTS });
    object(
        &[
            ("name", words()),
            ("protocol", choice(&["HTTP", "HTTPS"])),
            ("path", words()),
            ("portName", words()),
            ("intervalSeconds", some_seconds()),
            ("timeoutSeconds", some_seconds()),
            ("httpStatusCodesForReady", statuses),
            ("preserveLastResponse", flag()),
        ],
        &[],
    )
}

/// Parts of apps and pods.
fn shared() -> Vec<(&'static str, Value)> {
    let limit = any_of(&[number(0.0), choice(&["unlimited"])]);
    let seccomp = any_of(&[
        object(&[("profileName", words())], &["profileName"]),
        object(&[("unconfined", json!({ "type": "boolean", "enum": [true] }))], &["unconfined"]),
    ]);
    let ipc = object(&[("mode", choice(&["PRIVATE", "SHARE_PARENT"])), ("shmSize", count())], &["mode"]);
    let disk = json!({ "type": "array", "items": text(), "minItems": 3, "maxItems": 3 });
    let persistent = object(
        &[
            ("type", choice(&["root", "path", "mount"])),
            ("size", about(number(0.001), "MiB.")),
            ("maxSize", number(0.001)),
            ("profileName", words()),
            ("constraints", list(disk)),
        ],
        &["size"],
    );
    let fetch = object(
        &[
            ("uri", json!({ "type": "string", "minLength": 1, "maxLength": 1024 })),
            ("extract", flag()),
            ("executable", flag()),
            ("cache", flag()),
            ("destPath", words()),
        ],
        &["uri"],
    );
    let definition = object(
        &[
            ("port", port()),
            ("protocol", named("Protocol")),
            ("name", named("Name")),
            ("labels", map(text())),
        ],
        &[],
    );
    let network = object(
        &[
            ("mode", choice(&["host", "container", "container/bridge"])),
            ("name", words()),
            ("labels", map(text())),
        ],
        &[],
    );
    let secret = object(&[("secret", words())], &["secret"]);
    let command = any_of(&[
        object(&[("shell", words())], &["shell"]),
        object(
            &[(
                "argv",
                json!({ "type": "array", "items": text(), "minItems": 1, "maxItems": super::super::MAX_ELEMENTS }),
            )],
            &["argv"],
        ),
    ]);
    let segment = "[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?";
    vec![
        (
            "PathId",
            json!({ "type": "string", "description": PATH_ID, "pattern": format!("(/?{segment}(/{segment}){{0,2}})") }),
        ),
        ("Name", json!({ "type": "string", "pattern": "([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)" })),
        ("Protocol", choice(&["tcp", "udp", "udp,tcp"])),
        ("EnvValue", any_of(&[text(), secret.clone()])),
        ("PullConfig", secret),
        ("Command", command),
        ("Network", network),
        ("PortDefinition", definition),
        ("Fetch", fetch),
        ("Persistent", persistent),
        ("LinuxInfo", object(&[("seccomp", seccomp), ("ipcInfo", ipc)], &[])),
        ("ResourceLimits", object(&[("cpus", limit.clone()), ("mem", limit)], &[])),
        (
            "ExecutorResources",
            object(&[("cpus", number(0.1)), ("mem", number(32.0)), ("disk", number(10.0))], &[]),
        ),
    ]
}

/// Where instances run, and how they change.
fn policies() -> Vec<(&'static str, Value)> {
    let constraint = json!({
        "type": "array", "items": text(), "minItems": 2, "maxItems": 3,
        "description": "[field, operator, value]; operators are UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER and IS."
    });
    let times = object(&[("inactiveAfterSeconds", seconds()), ("expungeAfterSeconds", seconds())], &[]);
    let affinity = object(
        &[("app", named("PathId")), ("field", words()), ("near", flag()), ("required", flag())],
        &["app"],
    );
    let rollout = object(
        &[
            ("strategy", choice(&["rolling", "canary", "blueGreen", "blue-green"])),
            ("canaryFraction", fraction()),
            ("promoteAfterSeconds", seconds()),
            ("progressDeadlineSeconds", some_seconds()),
            ("maxFailures", count()),
            ("autoRollback", flag()),
        ],
        &[],
    );
    let url = json!({ "type": "string", "minLength": 1, "maxLength": 1024 });
    let query = json!({ "type": "string", "minLength": 1, "maxLength": 4096 });
    let autoscale = object(
        &[
            ("minimum", count()),
            ("maximum", count()),
            ("cpu", flag()),
            ("memory", flag()),
            ("prometheus", object(&[("server", url), ("query", query)], &["server", "query"])),
            ("target", json!({ "type": "number", "minimum": 0, "maximum": 1e12 })),
            ("cooldownSeconds", seconds()),
            ("stabilisationSeconds", seconds()),
        ],
        &["maximum", "target"],
    );
    let strategy = choice(&["spread", "binpack", "random"]);
    vec![
        ("Constraint", constraint),
        (
            "UpgradeStrategy",
            object(&[("minimumHealthCapacity", fraction()), ("maximumOverCapacity", fraction())], &[]),
        ),
        ("KillSelection", choice(&["YOUNGEST_FIRST", "OLDEST_FIRST"])),
        ("UnreachableStrategy", any_of(&[choice(&["disabled"]), times])),
        (
            "Placement",
            about(object(&[("strategy", strategy), ("affinity", list(affinity))], &[]), "Lonja's own."),
        ),
        ("Rollout", about(rollout, "Lonja's own.")),
        ("Autoscale", about(autoscale, "Lonja's own.")),
    ]
}
