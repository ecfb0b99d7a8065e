//! An app, or a change of one, as flags describe it.
//!
//! Source: Marathon's app definition. Where the framework replaces a whole map, what is there already is kept here.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Usage;
use super::ids::rooted;
use crate::args::services::{Description, UpdateService};

/// How often health is checked, unless told otherwise: soon enough for somebody who looks on.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);

/// A new app. Errors: which flag, and what to do.
pub(super) fn new_app(name: &str, described: &Description, command: &[String]) -> Result<Value, Usage> {
    let mut app = fields(described, command)?;
    app.insert("id".to_owned(), json!(rooted(name)));
    let variables = pairs("--env", &described.env)?;
    let labels = pairs("--label", &described.label)?;
    for (field, pairs) in [("env", variables), ("labels", labels)] {
        if !pairs.is_empty() {
            app.insert(field.to_owned(), Value::Object(pairs));
        }
    }
    if let Some(image) = &described.image {
        app.insert("container".to_owned(), container(&Value::Null, image));
    }
    if !["cmd", "args", "container"].iter().any(|field| app.contains_key(*field)) {
        return Err(Usage("nothing to run: write --cmd LINE, -- CMD, or --image IMAGE".to_owned()));
    }
    Ok(Value::Object(app))
}

/// What of `before` is changed. Errors: which flag, and what to do; nothing is to be changed.
pub(super) fn changes(
    update: &UpdateService,
    from_file: Map<String, Value>,
    before: &Value,
) -> Result<Map<String, Value>, Usage> {
    let described = &update.description;
    let mut changes = from_file;
    changes.remove("id");
    changes.extend(fields(described, &update.command)?);
    let maps = [
        ("env", pairs("--env", &described.env)?, &update.unset_env),
        ("labels", pairs("--label", &described.label)?, &update.unset_label),
    ];
    for (field, set, unset) in maps {
        if set.is_empty() && unset.is_empty() {
            continue;
        }
        let known = changes.get(field).unwrap_or(&before[field]);
        let mut whole = known.as_object().cloned().unwrap_or_default();
        for name in unset {
            whole.remove(name);
        }
        whole.extend(set);
        changes.insert(field.to_owned(), Value::Object(whole));
    }
    if let Some(image) = &described.image {
        let known = changes.get("container").unwrap_or(&before["container"]);
        changes.insert("container".to_owned(), container(known, image));
    }
    if changes.is_empty() {
        return Err(Usage("nothing is to be changed: name what, such as --cmd, --cpus or --env".to_owned()));
    }
    Ok(changes)
}

/// The flags that stand for a whole field each.
fn fields(described: &Description, command: &[String]) -> Result<Map<String, Value>, Usage> {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    let list = |values: &[String]| (!values.is_empty()).then(|| json!(values));
    set("cmd", described.cmd.as_ref().map(|line| json!(line)));
    set("args", list(command));
    set("instances", described.instances.map(|instances| json!(instances)));
    set("cpus", described.cpus.map(|cpus| json!(cpus)));
    set("mem", described.mem.map(|mem| json!(mem)));
    set("disk", described.disk.map(|disk| json!(disk)));
    set("gpus", described.gpus.map(|gpus| json!(gpus)));
    set("user", described.user.as_ref().map(|user| json!(user)));
    set("role", described.role.as_ref().map(|role| json!(role)));
    set("dependencies", list(&described.depends_on.iter().map(|id| rooted(id)).collect::<Vec<_>>()));
    set("taskKillGracePeriodSeconds", seconds("--kill-grace", described.kill_grace)?);
    let files: Vec<Value> = described.fetch.iter().map(|uri| json!({ "uri": uri })).collect();
    set("fetch", (!files.is_empty()).then(|| json!(files)));
    let ports = described.port.iter().map(|text| port(text)).collect::<Result<Vec<_>, _>>()?;
    set("portDefinitions", (!ports.is_empty()).then(|| json!(ports)));
    let constraints =
        described.constraint.iter().map(|text| constraint(text)).collect::<Result<Vec<_>, _>>()?;
    set("constraints", (!constraints.is_empty()).then(|| json!(constraints)));
    set("healthChecks", health(described)?.map(|check| json!([check])));
    Ok(fields)
}

fn pairs(flag: &str, texts: &[String]) -> Result<Map<String, Value>, Usage> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), json!(value))),
        _ => Err(Usage(format!("{flag} {text}: write NAME=VALUE"))),
    };
    texts.iter().map(pair).collect()
}

fn container(before: &Value, image: &str) -> Value {
    let mut container = if before.is_object() { before.clone() } else { json!({ "type": "MESOS" }) };
    if !container["docker"].is_object() {
        container["docker"] = json!({});
    }
    container["docker"]["image"] = json!(image);
    container
}

/// `http`, `http:10080`, `dns:53/udp`.
fn port(text: &str) -> Result<Value, Usage> {
    let (rest, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (name, number) = rest.split_once(':').unwrap_or((rest, "0"));
    let number: Option<u16> = number.parse().ok();
    match number {
        Some(number) if !name.is_empty() && matches!(protocol, "tcp" | "udp" | "udp,tcp") => {
            Ok(json!({ "port": number, "name": name, "protocol": protocol }))
        }
        _ => Err(Usage(format!("--port {text}: write a name, such as http, http:10080 or dns:53/udp"))),
    }
}

/// `hostname:UNIQUE`, `zone:GROUP_BY:3`.
fn constraint(text: &str) -> Result<Vec<String>, Usage> {
    let parts: Vec<String> = text.splitn(3, ':').map(ToOwned::to_owned).collect();
    match parts.len() {
        2 | 3 if parts.iter().all(|part| !part.is_empty()) => Ok(parts),
        _ => {
            Err(Usage(format!("--constraint {text}: write, for example, hostname:UNIQUE or zone:GROUP_BY:3")))
        }
    }
}

fn seconds(flag: &str, time: Option<Duration>) -> Result<Option<Value>, Usage> {
    match time {
        Some(time) if time.subsec_nanos() > 0 => Err(Usage(format!("{flag}: whole seconds are expected"))),
        time => Ok(time.map(|time| json!(time.as_secs()))),
    }
}

fn health(described: &Description) -> Result<Option<Value>, Usage> {
    let mut check = match (&described.health_cmd, &described.health_http) {
        (Some(line), _) => json!({ "protocol": "COMMAND", "command": { "value": line } }),
        (_, Some(path)) if path.starts_with('/') => {
            json!({ "protocol": "MESOS_HTTP", "path": path, "portIndex": 0 })
        }
        (_, Some(path)) => return Err(Usage(format!("--health-http {path}: a path begins with /"))),
        _ if described.health_tcp => json!({ "protocol": "MESOS_TCP", "portIndex": 0 }),
        _ => return Ok(None),
    };
    let interval = described.health_interval.unwrap_or(HEALTH_INTERVAL);
    let interval = seconds("--health-interval", Some(interval))?.unwrap_or_default();
    (check["timeoutSeconds"], check["intervalSeconds"]) = (interval.clone(), interval);
    // The first look is at once: what is not up yet has its grace.
    check["delaySeconds"] = json!(0);
    if let Some(grace) = seconds("--health-grace", described.health_grace)? {
        check["gracePeriodSeconds"] = grace;
    }
    Ok(Some(check))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::services::{Service, ServiceCommand};
    use clap::{Args, FromArgMatches};

    fn command(arguments: &[&str]) -> ServiceCommand {
        let command = Service::augment_args(clap::Command::new("service"));
        let matches = command.try_get_matches_from([&["service"], arguments].concat()).unwrap();
        Service::from_arg_matches(&matches).unwrap().command
    }

    fn app(arguments: &[&str]) -> Result<Value, String> {
        let ServiceCommand::Run(run) = command(&[&["run", "--name", "shop/web"], arguments].concat()) else {
            panic!()
        };
        new_app("shop/web", &run.description, &run.command).map_err(|error| error.to_string())
    }

    fn change(arguments: &[&str], before: Value) -> Result<Value, String> {
        let ServiceCommand::Update(update) = command(&[&["update", "web"], arguments].concat()) else {
            panic!()
        };
        changes(&update, Map::new(), &before).map(Value::Object).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_make_an_app() {
        let flags =
            ["--instances", "3", "--cpus", "0.5", "--mem", "1GiB", "--port", "http", "--port", "dns:53/udp"];
        let more = [
            "--env",
            "A=b=c",
            "--constraint",
            "zone:GROUP_BY:3",
            "--health-http",
            "/ok",
            "--",
            "serve",
            "-v",
        ];
        let expected = json!({
            "id": "/shop/web", "args": ["serve", "-v"], "instances": 3, "cpus": 0.5, "mem": 1024.0,
            "portDefinitions": [{ "port": 0, "name": "http", "protocol": "tcp" }, { "port": 53, "name": "dns", "protocol": "udp" }],
            "env": { "A": "b=c" }, "constraints": [["zone", "GROUP_BY", "3"]],
            "healthChecks": [{ "protocol": "MESOS_HTTP", "path": "/ok", "portIndex": 0, "intervalSeconds": 5,
                               "timeoutSeconds": 5, "delaySeconds": 0 }],
        });
        assert_eq!(app(&[&flags[..], &more[..]].concat()), Ok(expected));
    }

    #[test]
    fn what_flags_cannot_mean_is_named() {
        for (arguments, expected) in [
            (&["--env", "A", "--cmd", "x"][..], "--env A"),
            (&["--port", ":80", "--cmd", "x"], "--port :80"),
            (&["--port", "a:70000", "--cmd", "x"], "--port a:70000"),
            (&["--constraint", "hostname", "--cmd", "x"], "--constraint hostname"),
            (&["--health-http", "ok", "--cmd", "x"], "begins with /"),
            (&["--kill-grace", "5ms", "--cmd", "x"], "--kill-grace"),
            (&["--cpus", "1"], "nothing to run"),
        ] {
            let error = app(arguments).unwrap_err();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let before = json!({ "env": { "A": "1", "B": "2" }, "labels": {},
                             "container": { "type": "DOCKER", "docker": { "image": "a:1", "forcePullImage": true } } });
        let changed = change(&["--env", "B=3", "--unset-env", "A", "--image", "a:2"], before.clone());
        let container = json!({ "type": "DOCKER", "docker": { "image": "a:2", "forcePullImage": true } });
        assert_eq!(changed, Ok(json!({ "env": { "B": "3" }, "container": container })));
        assert_eq!(change(&["--unset-label", "x"], before.clone()), Ok(json!({ "labels": {} })));
        assert!(change(&[], before).unwrap_err().contains("nothing is to be changed"));
    }
}
