//! Definitions that are taken, and how they are shown: defaults filled in, old fields turned into those of today.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use lonja_services::wire::{self, Defaults, Rejected};
use lonja_services_core::PathId;
use lonja_services_core::definition::{App, Version, VersionInfo};
use serde_json::{Value, json};

fn defaults() -> Defaults {
    Defaults { role: "*".to_owned() }
}

fn read(value: &Value, base: Option<&App>) -> Result<App, Rejected> {
    let id = base.map(|base| base.id.clone());
    wire::app(value, id.as_ref(), base, &PathId::root(), &defaults())
}

fn app(value: &Value) -> App {
    read(value, None).unwrap_or_else(|rejected| panic!("{value}: {rejected:?}"))
}

/// What is shown of an app beyond the defaults of all apps.
fn beyond_defaults(app: &App) -> Value {
    let bare = read(&json!({ "id": app.id.as_str(), "cmd": "x" }), None).unwrap();
    let bare = wire::show_app(&bare);
    let mut shown = wire::show_app(app);
    shown.as_object_mut().unwrap().retain(|name, value| bare.get(name) != Some(value));
    shown
}

/// The example of Marathon's own reference.
#[test]
fn an_app_is_shown_as_marathon_shows_it() {
    let mut app = app(&json!({
        "id": "/prod/web", "cmd": "./run $PORT0", "cpus": 0.5, "instances": 2, "labels": {"HAPROXY_GROUP": "external"},
        "portDefinitions": [{"port": 10000, "name": "default"}]
    }));
    let version = wire::parse_version("2026-01-02T03:04:05.678Z").unwrap();
    app.version = VersionInfo { version, last_scaling: Version(0), last_config: version };
    let expected = json!({
        "id": "/prod/web", "backoffFactor": 1.15, "backoffSeconds": 1, "cmd": "./run $PORT0", "cpus": 0.5, "disk": 0,
        "executor": "", "instances": 2, "labels": {"HAPROXY_GROUP": "external"}, "maxLaunchDelaySeconds": 300, "mem": 128,
        "gpus": 0, "networks": [{"mode": "host"}],
        "portDefinitions": [{"port": 10000, "name": "default", "protocol": "tcp"}], "requirePorts": false,
        "upgradeStrategy": {"maximumOverCapacity": 1, "minimumHealthCapacity": 1},
        "version": "2026-01-02T03:04:05.678Z",
        "versionInfo": {"lastScalingAt": "1970-01-01T00:00:00.000Z", "lastConfigChangeAt": "2026-01-02T03:04:05.678Z"},
        "killSelection": "YOUNGEST_FIRST",
        "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0}, "role": "*"
    });
    assert_eq!(wire::show_app(&app), expected);
}

/// Marathon's balancers look for the number, and take none to be a fault.
#[test]
fn a_health_check_without_a_port_looks_at_the_first() {
    let shown = |definition: Value| {
        let shown = wire::show_app(&app(&definition))["healthChecks"].clone();
        let ports = shown.as_array().unwrap().iter().map(|check| check["portIndex"].clone());
        ports.collect::<Vec<Value>>()
    };
    let checks =
        json!([{}, { "protocol": "TCP" }, { "port": 8080 }, { "portIndex": 0, "protocol": "MESOS_TCP" }]);
    let expected = [json!(0), json!(0), Value::Null, json!(0)];
    let ports = json!([{ "port": 0 }, { "port": 0 }]);
    let mapped = json!({ "type": "MESOS", "portMappings": [{ "containerPort": 0 }, { "containerPort": 0 }] });
    for more in [
        json!({}),
        json!({ "portDefinitions": ports }),
        json!({ "ports": [0, 0] }),
        json!({ "networks": [{ "mode": "container/bridge" }], "container": mapped }),
    ] {
        let mut definition = json!({ "id": "/a", "cmd": "x", "healthChecks": checks });
        definition.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(shown(definition), expected, "{more}");
    }
    let command = json!([{ "protocol": "COMMAND", "command": { "value": "true" } }]);
    assert_eq!(shown(json!({ "id": "/a", "cmd": "x", "healthChecks": command })), [Value::Null]);

    let base = app(&json!({ "id": "/a", "cmd": "x", "portDefinitions": [{ "port": 1 }, { "port": 2 }] }));
    let updated = read(&json!({ "healthChecks": [{}] }), Some(&base)).unwrap();
    assert_eq!(wire::show_app(&updated)["healthChecks"][0]["portIndex"], 0);
}

/// Each: what is sent beside an id and a command, and what is shown beyond the defaults.
#[test]
fn defaults_depend_on_what_else_is_said() {
    let row = |sent: Value, shown: Value| {
        let mut document = json!({ "id": "/a", "cmd": "x" });
        document.as_object_mut().unwrap().extend(sent.as_object().unwrap().clone());
        let mut expected = shown;
        expected["cmd"] = json!("x");
        let mut found = beyond_defaults(&app(&document));
        found["cmd"] = json!("x");
        assert_eq!(found, expected, "{sent}");
    };
    row(json!({}), json!({}));
    row(json!({ "unknown": {"a": 1}, "version": "nonsense", "env": null }), json!({}));
    row(json!({ "cpus": 2.0, "mem": 128.0, "instances": 3.0 }), json!({ "cpus": 2, "instances": 3 }));
    row(json!({ "portDefinitions": [] }), json!({ "portDefinitions": [] }));
    let mapping = json!({ "containerPort": 0, "servicePort": 0, "protocol": "tcp", "name": "default" });
    let mut bridged = mapping.clone();
    bridged["hostPort"] = json!(0);
    row(
        json!({ "networks": [{"mode": "container/bridge"}] }),
        json!({
            "networks": [{"mode": "container/bridge"}],
            "container": {"type": "MESOS", "volumes": [], "portMappings": [bridged]}
        }),
    );
    row(
        json!({ "networks": [{"name": "blue"}] }),
        json!({
            "networks": [{"mode": "container", "name": "blue"}],
            "container": {"type": "MESOS", "volumes": [], "portMappings": [mapping]}
        }),
    );
    row(
        json!({ "container": {"docker": {"image": "i"}} }),
        json!({ "container": {
            "type": "DOCKER", "volumes": [],
            "docker": {"image": "i", "forcePullImage": false, "privileged": false, "parameters": []}
        }}),
    );
    let volume = json!({ "containerPath": "data", "mode": "RW", "persistent": {"type": "root", "size": 10} });
    row(
        json!({ "role": "db", "container": {"type": "MESOS", "volumes": [{"containerPath": "data", "persistent": {"size": 10}}]} }),
        json!({
            "role": "db", "container": {"type": "MESOS", "volumes": [volume]}, "unreachableStrategy": "disabled",
            "upgradeStrategy": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0}
        }),
    );
    row(
        json!({ "labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"} }),
        json!({
            "labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"},
            "upgradeStrategy": {"minimumHealthCapacity": 0, "maximumOverCapacity": 0}
        }),
    );
    row(json!({ "placement": {"strategy": "spread"}, "rollout": {"strategy": "rolling"} }), json!({}));
    row(
        json!({ "rollout": {"strategy": "canary"}, "autoscale": {"cpu": true, "maximum": 4, "target": 0.6} }),
        json!({
            "rollout": {"strategy": "canary", "canaryFraction": 0.1, "autoRollback": false},
            "autoscale": {"cpu": true, "minimum": 1, "maximum": 4, "target": 0.6, "cooldownSeconds": 180,
                          "stabilisationSeconds": 300}
        }),
    );
}

#[test]
fn old_fields_become_those_of_today() {
    let shown = |sent: Value| wire::show_app(&app(&sent));
    let old = shown(
        json!({ "id": "/a", "cmd": "x", "uris": ["http://h/a.tgz", "http://h/b.jar"], "ports": [8080, 0] }),
    );
    let file = |uri: &str, extract: bool| json!({ "uri": uri, "extract": extract, "executable": false, "cache": false });
    assert_eq!(old["fetch"], json!([file("http://h/a.tgz", true), file("http://h/b.jar", false)]));
    assert_eq!(
        old["portDefinitions"],
        json!([{"port": 8080, "protocol": "tcp"}, {"port": 0, "protocol": "tcp"}])
    );
    let old = shown(json!({
        "id": "/a", "ports": [10001], "container": {"type": "DOCKER", "docker": {
            "image": "i", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]}}
    }));
    assert_eq!(old["networks"], json!([{"mode": "container/bridge"}]));
    assert_eq!(
        old["container"]["portMappings"],
        json!([{"containerPort": 80, "hostPort": 0, "servicePort": 10001, "protocol": "tcp"}])
    );
    let old = shown(json!({
        "id": "/a", "cmd": "x", "ipAddress": {
            "networkName": "blue", "labels": {"a": "b"}, "discovery": {"ports": [{"number": 80, "name": "http", "protocol": "tcp"}]}}
    }));
    assert_eq!(old["networks"], json!([{"mode": "container", "name": "blue", "labels": {"a": "b"}}]));
    assert_eq!(old["container"]["portMappings"][0]["containerPort"], 80);
    for gone in ["uris", "ports", "ipAddress"] {
        assert!(old.get(gone).is_none());
    }
}

#[test]
fn an_update_keeps_what_it_does_not_name_and_replaces_the_rest_wholly() {
    let base = app(&json!({
        "id": "/prod/web", "cmd": "old", "cpus": 2, "env": {"A": "1", "B": "2"}, "labels": {"a": "b"},
        "resourceLimits": {"cpus": 4}
    }));
    let new = read(&json!({ "id": "/other", "env": {"C": "3"}, "instances": 5 }), Some(&base)).unwrap();
    let shown = beyond_defaults(&new);
    assert_eq!(
        shown,
        json!({
            "cmd": "old", "cpus": 2, "env": {"C": "3"}, "labels": {"a": "b"}, "instances": 5, "resourceLimits": {"cpus": 4}
        })
    );
    assert_eq!(new.id, base.id);
    let by_args = read(&json!({ "args": ["new"] }), Some(&base)).unwrap();
    assert_eq!((by_args.cmd, by_args.args), (None, vec!["new".to_owned()]));
}

#[test]
fn an_update_to_another_network_leaves_the_old_ports_behind() {
    let host = app(&json!({ "id": "/a", "cmd": "x", "portDefinitions": [{"port": 8080}] }));
    let bridged = read(&json!({ "networks": [{"mode": "container/bridge"}] }), Some(&host)).unwrap();
    assert_eq!(bridged.port_definitions, None);
    assert_eq!(bridged.service_ports(), [0]);
    let back = read(&json!({ "networks": [{"mode": "host"}] }), Some(&bridged)).unwrap();
    assert_eq!(
        wire::show_app(&back)["portDefinitions"],
        json!([{"port": 0, "name": "default", "protocol": "tcp"}])
    );
    assert_eq!(back.container.and_then(|container| container.port_mappings), None);
}

#[test]
fn an_app_that_gets_or_loses_its_volumes_gets_the_defaults_of_its_kind() {
    let plain = app(&json!({ "id": "/a", "cmd": "x", "role": "db" }));
    let volumes = json!({ "type": "MESOS", "volumes": [{"containerPath": "d", "persistent": {"size": 1}}] });
    let resident = read(&json!({ "container": volumes }), Some(&plain)).unwrap();
    assert_eq!(wire::show_app(&resident)["unreachableStrategy"], "disabled");
    let again = read(&json!({ "container": {"type": "MESOS"} }), Some(&resident)).unwrap();
    assert_eq!(wire::show_app(&again)["upgradeStrategy"]["maximumOverCapacity"], 1);
    let chosen = read(
        &json!({ "upgradeStrategy": {"minimumHealthCapacity": 0.2, "maximumOverCapacity": 0} }),
        Some(&plain),
    );
    let kept = read(&json!({ "container": volumes }), Some(&chosen.unwrap())).unwrap();
    assert_eq!(wire::show_app(&kept)["upgradeStrategy"]["minimumHealthCapacity"], 0.2);
}

#[test]
fn ids_of_dependencies_are_relative_to_the_group() {
    let app =
        app(&json!({ "id": "/prod/shop/web", "cmd": "x", "dependencies": ["db", "../cache", "/auth"] }));
    let ids: Vec<&str> = app.dependencies.iter().map(PathId::as_str).collect();
    assert_eq!(ids, ["/prod/shop/db", "/prod/cache", "/auth"]);
}

#[test]
fn a_pod_is_shown_with_its_defaults() {
    let pod = json!({
        "id": "/pod", "containers": [{"name": "web", "exec": {"command": {"shell": "serve"}}, "endpoints": [{"name": "http", "hostPort": 0}],
        "healthCheck": {"http": {"endpoint": "http", "path": "/"}}}]
    });
    let pod = wire::pod(&pod, None, &defaults()).unwrap();
    let expected = json!({
        "id": "/pod", "version": "1970-01-01T00:00:00.000Z", "role": "*", "networks": [{"mode": "host"}],
        "containers": [{
            "name": "web", "exec": {"command": {"shell": "serve"}},
            "resources": {"cpus": 1, "mem": 128, "disk": 0, "gpus": 0},
            "endpoints": [{"name": "http", "hostPort": 0}],
            "healthCheck": {
                "http": {"endpoint": "http", "path": "/", "scheme": "HTTP"}, "gracePeriodSeconds": 300, "intervalSeconds": 60,
                "timeoutSeconds": 20, "maxConsecutiveFailures": 3, "delaySeconds": 15
            }
        }],
        "scaling": {"kind": "fixed", "instances": 1},
        "scheduling": {
            "backoff": {"backoff": 1, "backoffFactor": 1.15, "maxLaunchDelay": 300},
            "upgrade": {"minimumHealthCapacity": 1, "maximumOverCapacity": 1}, "placement": {"constraints": []},
            "killSelection": "YOUNGEST_FIRST", "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0}
        },
        "executorResources": {"cpus": 0.1, "mem": 32, "disk": 10}
    });
    assert_eq!(wire::show_pod(&pod), expected);
}

#[test]
fn a_job_is_shown_with_its_defaults_and_without_ports() {
    let job = json!({ "id": "/nightly", "run": {"cmd": "x"}, "schedule": {"cron": "0 4 * * *"} });
    let shown = wire::show_job(&wire::job(&job, None, &defaults()).unwrap());
    assert_eq!(shown["run"]["portDefinitions"], json!([]));
    assert_eq!(shown["schedule"], json!({ "cron": "0 4 * * *", "suspended": false }));
    assert_eq!((&shown["concurrency"], &shown["history"]), (&json!("allow"), &json!(10)));
    assert!(shown["run"].get("id").is_none() && shown["run"].get("version").is_none());
}

#[test]
fn an_update_of_a_group_finds_its_ids_by_where_they_stand() {
    let update = json!({
        "apps": [{"id": "web", "cmd": "x", "dependencies": ["db/main"]}],
        "groups": [{"id": "db", "apps": [{"id": "main", "cmd": "y"}], "dependencies": ["cache"]}], "enforceRole": true
    });
    let id = PathId::absolute("/shop").unwrap();
    let role = |id: &PathId| Defaults { role: id.top_group().unwrap_or("*").to_owned() };
    let update = wire::group_update(&update, Some(&id), &PathId::root(), role).unwrap();
    let web = &update.apps.as_ref().unwrap()[0];
    assert_eq!(
        (web.id.as_str(), web.role.as_str(), web.dependencies[0].as_str()),
        ("/shop/web", "shop", "/shop/db/main")
    );
    let inner = &update.groups.as_ref().unwrap()[0];
    assert_eq!(inner.apps.as_ref().unwrap()[0].id.as_str(), "/shop/db/main");
    assert_eq!(inner.dependencies.as_ref().unwrap()[0].as_str(), "/shop/cache");
    assert_eq!((update.enforce_role, inner.enforce_role), (Some(true), None));
}

#[test]
fn a_strategy_may_be_written_as_people_write_it() {
    for name in ["blueGreen", "blue-green"] {
        let app = app(&json!({ "id": "/web", "cmd": "x", "rollout": { "strategy": name } }));
        assert_eq!(wire::show_app(&app)["rollout"]["strategy"], "blueGreen");
        assert!(wire::strategy(name).is_some());
    }
}
