//! Apps whose values make no sense, alone or together.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    // Ids and programs.
    (r#"{"id": "/"}"#, "/id", "must not be the root"),
    (r#"{"id": ""}"#, "/id", "must not be the root"),
    (r#"{"id": "/web/restart"}"#, "/id", "must not end in restart"),
    (r#"{"id": "/web/tasks"}"#, "/id", "must not end in restart, tasks"),
    (r#"{"id": "/versions"}"#, "/id", "must not end in"),
    (r#"{"cmd": null}"#, "/", "one of cmd and args"),
    (r#"{"cmd": null, "args": []}"#, "/", "one of cmd and args"),
    (r#"{"args": ["serve"]}"#, "/", "not both"),
    (r#"{"cmd": null, "container": {"type": "MESOS"}}"#, "/", "an image that runs by itself"),
    // Environment and secrets.
    (r#"{"env": {"A": {"secret": "db"}}}"#, "/env(A)", "names the secret \"db\""),
    (r#"{"env": {"": "x"}}"#, "/env()", "must not be empty"),
    (r#"{"env": {"A=B": "x"}}"#, "/env(A=B)", "must not contain ="),
    // Resources.
    (r#"{"gpus": 1, "container": {"docker": {"image": "i"}}}"#, "/gpus", "type MESOS"),
    (r#"{"cpus": 2, "resourceLimits": {"cpus": 1}}"#, "/resourceLimits/cpus", "at least the cpus"),
    (r#"{"mem": 64, "resourceLimits": {"mem": 63.9}}"#, "/resourceLimits/mem", "at least the mem"),
    // Roles.
    (r#"{"acceptedResourceRoles": []}"#, "/acceptedResourceRoles", "must not be empty"),
    (r#"{"acceptedResourceRoles": ["other"]}"#, "/acceptedResourceRoles", "holds other"),
    (r#"{"acceptedResourceRoles": ["*", "web", "x"]}"#, "/acceptedResourceRoles", "the role \"web\" only"),
    (r#"{"role": "a/b"}"#, "/role", "without slashes"),
    (r#"{"role": "-a"}"#, "/role", "does not begin with a hyphen"),
    (r#"{"role": "a b"}"#, "/role", "without slashes and spaces"),
    // Constraints.
    (r#"{"constraints": [["hostname", "NEAR"]]}"#, "/constraints(0)", "UNIQUE, CLUSTER, GROUP_BY"),
    (r#"{"constraints": [["hostname", "unique"]]}"#, "/constraints(0)", "one of UNIQUE"),
    (r#"{"constraints": [["", "UNIQUE"]]}"#, "/constraints(0)", "must name a field"),
    (r#"{"constraints": [["hostname", "UNIQUE", "1"]]}"#, "/constraints(0)", "takes no value"),
    (
        r#"{"constraints": [["a", "UNIQUE"], ["rack", "GROUP_BY", "many"]]}"#,
        "/constraints(1)",
        "whole number above 0",
    ),
    (r#"{"constraints": [["rack", "GROUP_BY", "0"]]}"#, "/constraints(0)", "whole number above 0"),
    (r#"{"constraints": [["rack", "MAX_PER"]]}"#, "/constraints(0)", "needs a value"),
    (r#"{"constraints": [["rack", "MAX_PER", "-1"]]}"#, "/constraints(0)", "whole number above 0"),
    (r#"{"constraints": [["rack", "MAX_PER", "1.5"]]}"#, "/constraints(0)", "whole number above 0"),
    (r#"{"constraints": [["rack", "LIKE"]]}"#, "/constraints(0)", "needs a value"),
    (r#"{"constraints": [["rack", "LIKE", "("]]}"#, "/constraints(0)", "regular expression"),
    (r#"{"constraints": [["rack", "UNLIKE", "[a"]]}"#, "/constraints(0)", "regular expression"),
    (r#"{"constraints": [["rack", "UNLIKE", "a{1000}{1000}"]]}"#, "/constraints(0)", "regular expression"),
    (r#"{"constraints": [["rack", "IS"]]}"#, "/constraints(0)", "needs a value"),
    (r#"{"constraints": [["rack", "IS", "[1-2]"]]}"#, "/constraints(0)", "the value of IS"),
    // Paths of checks.
    (
        r#"{"healthChecks": [{"port": 1, "path": "x\r\nHost: evil"}]}"#,
        "/healthChecks(0)/path",
        "without spaces",
    ),
    (r#"{"healthChecks": [{"port": 1, "path": "/ a"}]}"#, "/healthChecks(0)/path", "without spaces"),
    (r#"{"healthChecks": [{"port": 1, "path": "/caf\u00e9"}]}"#, "/healthChecks(0)/path", "without spaces"),
    (r#"{"check": {"http": {"port": 1, "path": "/\na"}}}"#, "/check/http/path", "without spaces"),
    (
        r#"{"portDefinitions": [{"name": "http-api"}], "readinessChecks": [{"path": "/\ta"}]}"#,
        "/readinessChecks(0)/path",
        "without spaces",
    ),
    // Changes.
    (r#"{"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}, "instances": 2}"#, "/instances", "1 at most"),
    (
        r#"{"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}, "upgradeStrategy": {}}"#,
        "/upgradeStrategy",
        "both values 0",
    ),
    (
        r#"{"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}, "rollout": {"strategy": "blueGreen"}}"#,
        "/rollout/strategy",
        "must be rolling",
    ),
    (
        r#"{"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}, "autoscale": {"cpu": true, "maximum": 2, "target": 1}}"#,
        "/autoscale/maximum",
        "cannot be scaled",
    ),
    (
        r#"{"unreachableStrategy": {"inactiveAfterSeconds": 2, "expungeAfterSeconds": 1}}"#,
        "/unreachableStrategy/inactiveAfterSeconds",
        "not be more than",
    ),
    (
        r#"{"unreachableStrategy": {"inactiveAfterSeconds": 2}}"#,
        "/unreachableStrategy/inactiveAfterSeconds",
        "not be more than",
    ),
    (r#"{"rollout": {"strategy": "canary", "canaryFraction": 0}}"#, "/rollout/canaryFraction", "above 0"),
    (r#"{"rollout": {"canaryFraction": 0.5}}"#, "/rollout/canaryFraction", "strategy canary only"),
    (
        r#"{"rollout": {"strategy": "blueGreen", "canaryFraction": 0.5}}"#,
        "/rollout/canaryFraction",
        "strategy canary only",
    ),
    (
        r#"{"rollout": {"promoteAfterSeconds": 5}}"#,
        "/rollout/promoteAfterSeconds",
        "canary and blueGreen only",
    ),
    (r#"{"autoscale": {"maximum": 5, "target": 1}}"#, "/autoscale", "exactly one of cpu"),
    (
        r#"{"autoscale": {"cpu": true, "memory": true, "maximum": 5, "target": 1}}"#,
        "/autoscale",
        "exactly one of cpu",
    ),
    (
        r#"{"autoscale": {"cpu": true, "minimum": 6, "maximum": 5, "target": 1}}"#,
        "/autoscale/maximum",
        "less than minimum",
    ),
    (
        r#"{"autoscale": {"cpu": true, "maximum": 0, "target": 1, "minimum": 0}}"#,
        "/autoscale/maximum",
        "1 at least",
    ),
    (r#"{"autoscale": {"cpu": true, "maximum": 5, "target": 0}}"#, "/autoscale/target", "above 0"),
    (
        r#"{"autoscale": {"memory": true, "minimum": 0, "maximum": 5, "target": 1}}"#,
        "/autoscale/minimum",
        "set it to 1",
    ),
    (
        r#"{"autoscale": {"prometheus": {"server": "prom:9090", "query": "up"}, "maximum": 5, "target": 1}}"#,
        "/autoscale/prometheus/server",
        "http://",
    ),
    (
        r#"{"autoscale": {"prometheus": {"server": "https://prom:9090", "query": "up"}, "maximum": 5, "target": 1}}"#,
        "/autoscale/prometheus/server",
        "http://",
    ),
    (
        r#"{"autoscale": {"prometheus": {"server": "http:///query", "query": "up"}, "maximum": 5, "target": 1}}"#,
        "/autoscale/prometheus/server",
        "http://",
    ),
    // Networks.
    (r#"{"networks": [{"mode": "host"}, {"mode": "host"}]}"#, "/networks", "one of the host"),
    (
        r#"{"networks": [{"mode": "host"}, {"mode": "container", "name": "a"}]}"#,
        "/networks",
        "one of the host",
    ),
    (
        r#"{"networks": [{"mode": "container/bridge"}, {"mode": "container", "name": "a"}]}"#,
        "/networks",
        "one bridge",
    ),
    (r#"{"networks": [{"mode": "host", "name": "a"}]}"#, "/networks(0)/name", "mode host"),
    (r#"{"networks": [{"mode": "host", "labels": {"a": "b"}}]}"#, "/networks(0)/labels", "mode host"),
    (r#"{"networks": [{"mode": "container/bridge", "name": "a"}]}"#, "/networks(0)/name", "container/bridge"),
    (r#"{"networks": [{"mode": "container"}]}"#, "/networks(0)/name", "is missing"),
    (r#"{"networks": [{"name": "a"}, {"name": "a"}]}"#, "/networks(1)/name", "is there twice"),
    (
        r#"{"networks": [{"name": "a"}, {"name": "b"}], "container": {"docker": {"image": "i"}}}"#,
        "/networks",
        "one element at most",
    ),
    (
        r#"{"networks": [{"name": "a"}], "portDefinitions": [{"port": 80}]}"#,
        "/portDefinitions",
        "host network only",
    ),
    (
        r#"{"container": {"docker": {"image": "i"}, "portMappings": []}}"#,
        "/container/portMappings",
        "host network",
    ),
    // Ports.
    (r#"{"portDefinitions": [{"port": 80}, {"port": 80}]}"#, "/portDefinitions(1)/port", "is there twice"),
    (r#"{"portDefinitions": [{"name": "a"}, {"name": "a"}]}"#, "/portDefinitions(1)/name", "is there twice"),
    (
        r#"{"networks": [{"mode": "container/bridge"}], "container": {"type": "MESOS", "portMappings": [{"name": "a"}, {"name": "a"}]}}"#,
        "/container/portMappings(1)/name",
        "is there twice",
    ),
    (
        r#"{"networks": [{"mode": "container/bridge"}], "container": {"type": "MESOS", "portMappings": [{"hostPort": 80}, {"hostPort": 80}]}}"#,
        "/container/portMappings(1)/hostPort",
        "is there twice",
    ),
    (
        r#"{"networks": [{"mode": "container/bridge"}], "container": {"type": "MESOS", "portMappings": [{"hostPort": 80, "protocol": "udp,tcp"}, {"hostPort": 80, "protocol": "udp"}]}}"#,
        "/container/portMappings(1)/hostPort",
        "is there twice",
    ),
    (
        r#"{"networks": [{"mode": "container/bridge"}], "container": {"type": "MESOS", "portMappings": [{"servicePort": 80}, {"servicePort": 80}]}}"#,
        "/container/portMappings(1)/servicePort",
        "is there twice",
    ),
    (
        r#"{"networks": [{"name": "a"}], "container": {"type": "MESOS", "portMappings": [{"networkNames": ["b"]}]}}"#,
        "/container/portMappings(0)/networkNames(0)",
        "not in networks",
    ),
    (
        r#"{"networks": [{"name": "a"}, {"name": "b"}], "container": {"type": "MESOS", "portMappings": [{"hostPort": 0}]}}"#,
        "/container/portMappings(0)/networkNames",
        "exactly one network",
    ),
    // Containers.
    (r#"{"container": {}}"#, "/container/docker", "needs docker.image"),
    (
        r#"{"container": {"docker": {"image": "i", "credential": "x"}}}"#,
        "/container/docker/credential",
        "pullConfig",
    ),
    (
        r#"{"container": {"docker": {"image": "i", "pullConfig": {"secret": "s"}}}, "secrets": {"s": {"source": "s"}}}"#,
        "/container/docker/pullConfig",
        "type MESOS only",
    ),
    (
        r#"{"container": {"type": "MESOS", "docker": {"image": "i", "pullConfig": {"secret": "s"}}}}"#,
        "/container/docker/pullConfig/secret",
        "not in secrets",
    ),
    (
        r#"{"container": {"type": "MESOS", "docker": {"image": "i", "privileged": true}}}"#,
        "/container/docker/privileged",
        "type DOCKER only",
    ),
    (
        r#"{"container": {"type": "MESOS", "docker": {"image": "i", "parameters": [{"key": "a", "value": "b"}]}}}"#,
        "/container/docker/parameters",
        "type DOCKER only",
    ),
    (
        r#"{"container": {"docker": {"image": "i"}, "linuxInfo": {}}}"#,
        "/container/linuxInfo",
        "type MESOS only",
    ),
    (
        r#"{"container": {"type": "MESOS", "linuxInfo": {"seccomp": {}}}}"#,
        "/container/linuxInfo/seccomp",
        "not both",
    ),
    (
        r#"{"container": {"type": "MESOS", "linuxInfo": {"seccomp": {"profileName": "p", "unconfined": true}}}}"#,
        "/container/linuxInfo/seccomp",
        "not both",
    ),
    (
        r#"{"container": {"type": "MESOS", "linuxInfo": {"ipcInfo": {"mode": "SHARE_PARENT", "shmSize": 1}}}}"#,
        "/container/linuxInfo/ipcInfo/shmSize",
        "PRIVATE only",
    ),
    // Volumes.
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a/b", "persistent": {"size": 1}}]}}"#,
        "/container/volumes(0)/containerPath",
        "without slashes",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "..", "persistent": {"size": 1}}]}}"#,
        "/container/volumes(0)/containerPath",
        "without slashes",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "mode": "RO", "persistent": {"size": 1}}]}}"#,
        "/container/volumes(0)/mode",
        "must be RW",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "persistent": {"size": 1, "maxSize": 2}}]}}"#,
        "/container/volumes(0)/persistent/maxSize",
        "type mount only",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "persistent": {"type": "mount", "size": 2, "maxSize": 2}}]}}"#,
        "/container/volumes(0)/persistent/maxSize",
        "more than size",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "persistent": {"size": 1, "constraints": [["path", "LIKE", "x"]]}}]}}"#,
        "/container/volumes(0)/persistent/constraints",
        "type root",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "persistent": {"type": "path", "size": 1, "constraints": [["path", "IS", "x"]]}}]}}"#,
        "/container/volumes(0)/persistent/constraints(0)",
        "LIKE",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "persistent": {"type": "path", "size": 1, "constraints": [["path", "LIKE", "("]]}}]}}"#,
        "/container/volumes(0)/persistent/constraints(0)",
        "regular expression",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "persistent": {"type": "root", "profileName": "fast", "size": 1}}]}}"#,
        "/container/volumes(0)/persistent/profileName",
        "type root",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "persistent": {"size": 1}}]}, "upgradeStrategy": {"maximumOverCapacity": 0.5}}"#,
        "/upgradeStrategy/maximumOverCapacity",
        "must be 0",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "persistent": {"size": 1}}]}, "unreachableStrategy": {}}"#,
        "/unreachableStrategy",
        "must be \"disabled\"",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "persistent": {"size": 1}}]}, "role": "*"}"#,
        "/role",
        "must not be *",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "persistent": {"size": 1}}]}, "acceptedResourceRoles": ["web"]}"#,
        "/acceptedResourceRoles",
        "must be [\"*\"]",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "persistent": {"size": 1}}]}, "rollout": {"strategy": "canary"}}"#,
        "/rollout/strategy",
        "must be rolling",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "secret": "s"}]}}"#,
        "/container/volumes(0)/secret",
        "not in secrets",
    ),
    (
        r#"{"container": {"docker": {"image": "i"}, "volumes": [{"containerPath": "a", "secret": "s"}]}, "secrets": {"s": {"source": "s"}}}"#,
        "/container/volumes(0)/secret",
        "type MESOS only",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "hostPath": "/a"}, {"containerPath": "a", "hostPath": "/b"}]}}"#,
        "/container/volumes(1)/containerPath",
        "is there twice",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "external": {"name": "v", "provider": "nfs", "options": {}}}]}}"#,
        "/container/volumes(0)/external/provider",
        "dvdi or csi",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "external": {"name": "v", "provider": "dvdi", "options": {}}}]}}"#,
        "/container/volumes(0)/external/options",
        "dvdi/driver",
    ),
    (
        r#"{"instances": 2, "container": {"type": "MESOS", "volumes": [{"containerPath": "a", "external": {"name": "v", "provider": "dvdi", "options": {"dvdi/driver": "rexray"}}}]}}"#,
        "/instances",
        "1 at most",
    ),
    (
        r#"{"container": {"docker": {"image": "i"}, "volumes": [{"containerPath": "a", "external": {"name": "v", "size": 5, "provider": "dvdi", "options": {"dvdi/driver": "rexray"}}}]}}"#,
        "/container/volumes(0)/external/size",
        "type DOCKER",
    ),
    (
        r#"{"container": {"type": "MESOS", "volumes": [{"containerPath": "a", "external": {"name": "v", "provider": "csi", "options": {}}}]}}"#,
        "/container/volumes(0)/external/options",
        "pluginName",
    ),
    (
        r#"{"container": {"docker": {"image": "i"}, "volumes": [{"containerPath": "a", "external": {"name": "v", "provider": "csi", "options": {"pluginName": "p", "capability": {}}}}]}}"#,
        "/container/volumes(0)/external/provider",
        "type MESOS",
    ),
    // Health checks.
    (
        r#"{"healthChecks": [{"portIndex": 1}]}"#,
        "/healthChecks(0)/portIndex",
        "less than the number of the app's ports, 1",
    ),
    (r#"{"healthChecks": [{}, {"portIndex": 9}]}"#, "/healthChecks(1)/portIndex", "less than the number"),
    (r#"{"healthChecks": [{"port": 0}]}"#, "/healthChecks(0)/port", "from 1 to 65535"),
    (
        r#"{"healthChecks": [{"port": 80, "portIndex": 0}]}"#,
        "/healthChecks(0)/port",
        "together with portIndex",
    ),
    (
        r#"{"portDefinitions": [], "healthChecks": [{}]}"#,
        "/healthChecks(0)",
        "exactly one port, and it has 0",
    ),
    (r#"{"healthChecks": [{"protocol": "COMMAND"}]}"#, "/healthChecks(0)/command", "is missing"),
    (
        r#"{"healthChecks": [{"protocol": "HTTP", "command": {"value": "true"}}]}"#,
        "/healthChecks(0)/command",
        "COMMAND only",
    ),
    (
        r#"{"healthChecks": [{"protocol": "COMMAND", "command": {"value": "true"}, "portIndex": 0}]}"#,
        "/healthChecks(0)/portIndex",
        "looks at no port",
    ),
    (
        r#"{"healthChecks": [{"protocol": "COMMAND", "command": {"value": "true"}, "path": "/"}]}"#,
        "/healthChecks(0)/path",
        "COMMAND",
    ),
    (
        r#"{"healthChecks": [{"protocol": "MESOS_HTTP"}, {"protocol": "MESOS_TCP"}]}"#,
        "/healthChecks",
        "one check at most",
    ),
    (r#"{"healthChecks": [{"ipProtocol": "IPv6"}]}"#, "/healthChecks(0)/ipProtocol", "type DOCKER"),
    (
        r#"{"healthChecks": [{"protocol": "MESOS_TCP", "ipProtocol": "IPv6"}]}"#,
        "/healthChecks(0)/ipProtocol",
        "type DOCKER",
    ),
    // Checks and readiness.
    (r#"{"check": {"tcp": {"portIndex": 3}}}"#, "/check/tcp/portIndex", "less than the number"),
    (r#"{"check": {"http": {"port": 0}}}"#, "/check/http/port", "from 1 to 65535"),
    (
        r#"{"check": {"exec": {"command": {"shell": "true"}}}, "container": {"docker": {"image": "i"}}}"#,
        "/check",
        "type MESOS",
    ),
    (r#"{"readinessChecks": [{}]}"#, "/readinessChecks(0)/portName", "there are default"),
    (
        r#"{"portDefinitions": [{"port": 0}], "readinessChecks": [{"portName": "api"}]}"#,
        "/readinessChecks(0)/portName",
        "no port has a name",
    ),
    (
        r#"{"readinessChecks": [{"portName": "default", "timeoutSeconds": 30}]}"#,
        "/readinessChecks(0)/timeoutSeconds",
        "less than intervalSeconds",
    ),
    // Dependencies.
    (r#"{"dependencies": ["web"]}"#, "/dependencies(0)", "on itself"),
    (r#"{"dependencies": ["/shop"]}"#, "/dependencies(0)", "a group that it is in"),
    (r#"{"placement": {"affinity": [{"app": "web"}]}}"#, "/placement/affinity(0)/app", "must be another app"),
    // Deprecated fields.
    (r#"{"uris": ["http://a"], "fetch": [{"uri": "http://a"}]}"#, "/uris", "together with fetch"),
    (r#"{"ports": [80], "portDefinitions": [{"port": 81}]}"#, "/ports", "not equal"),
    (r#"{"ipAddress": {}, "networks": [{"mode": "host"}]}"#, "/ipAddress", "together with networks"),
    (
        r#"{"container": {"docker": {"image": "i", "network": "BRIDGE"}}, "networks": [{"mode": "host"}]}"#,
        "/container/docker/network",
        "together with networks",
    ),
    (r#"{"container": {"docker": {"image": "i", "network": "USER"}}}"#, "/networks(0)/name", "is missing"),
    (
        r#"{"container": {"docker": {"image": "i", "network": "BRIDGE", "portMappings": []}, "portMappings": []}}"#,
        "/container/docker/portMappings",
        "together with container.portMappings",
    ),
];
