//! Pods that are wrong.

use super::Row;

pub(super) const FORMS: &[Row] = &[
    (r#"{"id": null}"#, "/id", "is missing"),
    (r#"{"id": "/a_b"}"#, "/id", "lower case"),
    (r#"{"containers": null}"#, "/containers", "is missing"),
    (r#"{"containers": {}}"#, "/containers", "must be a list"),
    (r#"{"containers": [{}]}"#, "/containers(0)/name", "is missing"),
    (r#"{"containers": [{"name": "A"}]}"#, "/containers(0)/name", "lower case"),
    (r#"{"containers": [{"name": "a", "exec": {}}]}"#, "/containers(0)/exec/command", "is missing"),
    (
        r#"{"containers": [{"name": "a", "exec": {"command": {"shell": "x", "argv": ["x"]}}}]}"#,
        "/containers(0)/exec/command",
        "exactly one of",
    ),
    (
        r#"{"containers": [{"name": "a", "resources": {"cpus": 0}}]}"#,
        "/containers(0)/resources/cpus",
        "must be from 0.001",
    ),
    (r#"{"containers": [{"name": "a", "image": {"id": "i"}}]}"#, "/containers(0)/image/kind", "is missing"),
    (
        r#"{"containers": [{"name": "a", "image": {"kind": "APPC", "id": "i"}}]}"#,
        "/containers(0)/image/kind",
        "DOCKER",
    ),
    (
        r#"{"containers": [{"name": "a", "endpoints": [{}]}]}"#,
        "/containers(0)/endpoints(0)/name",
        "is missing",
    ),
    (
        r#"{"containers": [{"name": "a", "endpoints": [{"name": "e", "containerPort": 0}]}]}"#,
        "/containers(0)/endpoints(0)/containerPort",
        "from 1 to 65535",
    ),
    (
        r#"{"containers": [{"name": "a", "endpoints": [{"name": "e", "protocol": ["tcp", "tcp"]}]}]}"#,
        "/containers(0)/endpoints(0)/protocol",
        "twice",
    ),
    (r#"{"containers": [{"name": "a", "healthCheck": {}}]}"#, "/containers(0)/healthCheck", "exactly one of"),
    (
        r#"{"containers": [{"name": "a", "healthCheck": {"http": {}}}]}"#,
        "/containers(0)/healthCheck/http/endpoint",
        "is missing",
    ),
    (
        r#"{"containers": [{"name": "a", "check": {"tcp": {"endpoint": 1}}}]}"#,
        "/containers(0)/check/tcp/endpoint",
        "must be a string",
    ),
    (
        r#"{"containers": [{"name": "a", "volumeMounts": [{"name": "v"}]}]}"#,
        "/containers(0)/volumeMounts(0)/mountPath",
        "is missing",
    ),
    (
        r#"{"containers": [{"name": "a", "artifacts": [{}]}]}"#,
        "/containers(0)/artifacts(0)/uri",
        "is missing",
    ),
    (
        r#"{"containers": [{"name": "a", "lifecycle": {"killGracePeriodSeconds": -1}}]}"#,
        "/containers(0)/lifecycle/killGracePeriodSeconds",
        "must be from 0",
    ),
    (r#"{"user": ""}"#, "/user", "must have 1"),
    (r#"{"volumes": [{"name": "v", "host": "/a", "secret": "s"}]}"#, "/volumes(0)", "at most one of"),
    (r#"{"volumes": [{}]}"#, "/volumes(0)/name", "is missing"),
    (r#"{"scaling": {"kind": "auto"}}"#, "/scaling/kind", "fixed"),
    (r#"{"scaling": {"instances": -1}}"#, "/scaling/instances", "must be from 0"),
    (r#"{"scaling": 3}"#, "/scaling", "an object"),
    (
        r#"{"scheduling": {"backoff": {"backoffFactor": 0.5}}}"#,
        "/scheduling/backoff/backoffFactor",
        "must be from 1",
    ),
    (
        r#"{"scheduling": {"upgrade": {"minimumHealthCapacity": 2}}}"#,
        "/scheduling/upgrade/minimumHealthCapacity",
        "from 0 to 1",
    ),
    (
        r#"{"scheduling": {"placement": {"constraints": [["a", "UNIQUE"]]}}}"#,
        "/scheduling/placement/constraints(0)",
        "an object",
    ),
    (
        r#"{"scheduling": {"placement": {"constraints": [{"fieldName": "a"}]}}}"#,
        "/scheduling/placement/constraints(0)/operator",
        "is missing",
    ),
    (
        r#"{"scheduling": {"placement": {"constraints": [{"fieldName": "a", "operator": "MAX_PER", "value": 1}]}}}"#,
        "/scheduling/placement/constraints(0)/value",
        "must be a string",
    ),
    (r#"{"scheduling": {"killSelection": "x"}}"#, "/scheduling/killSelection", "YOUNGEST_FIRST"),
    (r#"{"scheduling": {"unreachableStrategy": 5}}"#, "/scheduling/unreachableStrategy", "\"disabled\""),
    (r#"{"executorResources": {"cpus": 0.05}}"#, "/executorResources/cpus", "must be from 0.1"),
    (r#"{"legacySharedCgroups": "true"}"#, "/legacySharedCgroups", "true or false"),
];

pub(super) const MEANINGS: &[Row] = &[
    (
        r#"{"containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "endpoints": [{"name": "e"}], "healthCheck": {"http": {"endpoint": "e", "path": "/ a"}}}]}"#,
        "/containers(0)/healthCheck/http/path",
        "without spaces",
    ),
    (r#"{"id": "/"}"#, "/id", "must not be the root"),
    (r#"{"containers": []}"#, "/containers", "one container at least"),
    (r#"{"containers": [{"name": "a"}]}"#, "/containers(0)/exec", "nothing to run"),
    (
        r#"{"containers": [{"name": "a", "exec": {"command": {"shell": "x"}}}, {"name": "a", "exec": {"command": {"shell": "x"}}}]}"#,
        "/containers(1)/name",
        "is there twice",
    ),
    (
        r#"{"containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "resources": {"cpus": 2}, "resourceLimits": {"cpus": 1}}]}"#,
        "/containers(0)/resourceLimits/cpus",
        "at least the cpus",
    ),
    (
        r#"{"legacySharedCgroups": true, "containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "resourceLimits": {"cpus": 5}}]}"#,
        "/containers(0)/resourceLimits",
        "legacySharedCgroups",
    ),
    (
        r#"{"containers": [{"name": "a", "image": {"kind": "DOCKER", "id": "i", "pullConfig": {"secret": "s"}}}]}"#,
        "/containers(0)/image/pullConfig/secret",
        "not in secrets",
    ),
    (
        r#"{"containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "environment": {"A": {"secret": "s"}}}]}"#,
        "/containers(0)/environment(A)",
        "not in secrets",
    ),
    (r#"{"environment": {"A": {"secret": "s"}}}"#, "/environment(A)", "not in secrets"),
    (
        r#"{"containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "healthCheck": {"tcp": {"endpoint": "e"}}}]}"#,
        "/containers(0)/healthCheck/tcp/endpoint",
        "no endpoint of this container",
    ),
    (
        r#"{"containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "check": {"http": {"endpoint": "e"}}}]}"#,
        "/containers(0)/check/http/endpoint",
        "no endpoint of this container",
    ),
    (
        r#"{"containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "healthCheck": {"exec": {"command": {"shell": "y"}}, "timeoutSeconds": 60}}]}"#,
        "/containers(0)/healthCheck/timeoutSeconds",
        "less than intervalSeconds",
    ),
    (
        r#"{"containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "endpoints": [{"name": "e", "containerPort": 80}]}]}"#,
        "/containers(0)/endpoints(0)/containerPort",
        "host network",
    ),
    (
        r#"{"networks": [{"mode": "container/bridge"}], "containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "endpoints": [{"name": "e"}]}]}"#,
        "/containers(0)/endpoints(0)/containerPort",
        "is missing",
    ),
    (
        r#"{"containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "endpoints": [{"name": "e"}, {"name": "e"}]}]}"#,
        "/containers(0)/endpoints(1)/name",
        "is there twice",
    ),
    (
        r#"{"containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "endpoints": [{"name": "e", "hostPort": 80}, {"name": "f", "hostPort": 80}]}]}"#,
        "/containers(0)/endpoints(1)/hostPort",
        "must differ in the pod",
    ),
    (
        r#"{"networks": [{"name": "n"}], "containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "endpoints": [{"name": "e", "containerPort": 80, "networkNames": ["m"]}]}]}"#,
        "/containers(0)/endpoints(0)/networkNames(0)",
        "not in networks",
    ),
    (
        r#"{"networks": [{"name": "n"}, {"name": "m"}], "containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "endpoints": [{"name": "e", "containerPort": 80, "hostPort": 0}]}]}"#,
        "/containers(0)/endpoints(0)/networkNames",
        "exactly one network",
    ),
    (r#"{"volumes": [{"name": "v"}]}"#, "/volumes(0)/name", "mounted by no container"),
    (
        r#"{"containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}"#,
        "/containers(0)/volumeMounts(0)/name",
        "not in volumes",
    ),
    (
        r#"{"volumes": [{"name": "v"}, {"name": "v"}], "containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}"#,
        "/volumes(1)/name",
        "is there twice",
    ),
    (
        r#"{"volumes": [{"name": "v", "secret": "s"}], "containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}"#,
        "/volumes(0)/secret",
        "not in secrets",
    ),
    (r#"{"networks": [{"mode": "host"}, {"mode": "host"}]}"#, "/networks", "one of the host"),
    (r#"{"linuxInfo": {"seccomp": {"unconfined": true}}}"#, "/linuxInfo/seccomp", "of a container alone"),
    (
        r#"{"scheduling": {"unreachableStrategy": {"inactiveAfterSeconds": 5}}}"#,
        "/scheduling/unreachableStrategy/inactiveAfterSeconds",
        "not be more than",
    ),
    (
        r#"{"scheduling": {"placement": {"constraints": [{"fieldName": "a", "operator": "NEAR"}]}}}"#,
        "/scheduling/placement/constraints(0)",
        "one of UNIQUE",
    ),
    (
        r#"{"scheduling": {"placement": {"acceptedResourceRoles": ["other"]}}}"#,
        "/scheduling/placement/acceptedResourceRoles",
        "holds other",
    ),
    (
        r#"{"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}, "scaling": {"instances": 2}}"#,
        "/scaling/instances",
        "1 at most",
    ),
    (
        r#"{"role": "*", "volumes": [{"name": "v", "persistent": {"size": 1}}], "containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "volumeMounts": [{"name": "v", "mountPath": "v"}]}]}"#,
        "/role",
        "must not be *",
    ),
    (
        r#"{"scheduling": {"upgrade": {"maximumOverCapacity": 1}}, "volumes": [{"name": "v", "persistent": {"size": 1}}], "containers": [{"name": "a", "exec": {"command": {"shell": "x"}}, "volumeMounts": [{"name": "v", "mountPath": "v"}]}]}"#,
        "/scheduling/upgrade/maximumOverCapacity",
        "must be 0",
    ),
];
