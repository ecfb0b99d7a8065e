// marathon-event-bus-client (npm): the events that were asked for and no other; and again after the services restarted.
"use strict";

const { execSync } = require("child_process");
const http = require("http");
const MarathonEventBusClient = require("marathon-event-bus-client");

const url = new URL(process.argv[2]);
const restart = process.env.LONJA_CLIENTS_RESTART;
const app = "/clients/event-bus";
const types = ["deployment_info", "deployment_success", "deployment_failed", "status_update_event"];
const patience = 120000;
const seen = new Map();

function api(method, path, body) {
    return new Promise((resolve, reject) => {
        const options = { method, headers: { "content-type": "application/json" } };
        const request = http.request(new URL(path, url), options, (response) => {
            let text = "";
            response.on("data", (part) => (text += part));
            response.on("end", () => resolve({ status: response.statusCode, body: text ? JSON.parse(text) : null }));
        });
        request.on("error", reject);
        request.end(body === undefined ? undefined : JSON.stringify(body));
    });
}

async function eventually(what, question) {
    const started = Date.now();
    for (;;) {
        const answer = await Promise.resolve(question()).catch(() => false);
        if (answer) return answer;
        if (Date.now() - started > patience) throw new Error(`${what}: not within ${patience / 1000} s`);
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
}

const settled = () =>
    eventually("no deployment is under way", async () => (await api("GET", "/v2/deployments")).body.length === 0);

async function create() {
    const body = { id: app, cmd: "exec sleep 1000", cpus: 0.05, mem: 16, instances: 1 };
    const answer = await api("POST", "/v2/apps", body);
    if (answer.status !== 201) throw new Error(`POST /v2/apps: ${answer.status} ${JSON.stringify(answer.body)}`);
    await settled();
}

async function remove() {
    const answer = await api("DELETE", `/v2/apps${app}`);
    if (answer.status !== 200 && answer.status !== 404) throw new Error(`DELETE /v2/apps${app}: ${answer.status}`);
    await settled();
}

async function main() {
    await remove();
    const handlers = {};
    for (const type of types) {
        handlers[type] = (name, data) => {
            if (name !== type || data.eventType !== type) throw new Error(`${name} with ${data.eventType} came as ${type}`);
            seen.set(name, (seen.get(name) || 0) + 1);
        };
    }
    const client = new MarathonEventBusClient({
        marathonHost: url.hostname,
        marathonPort: url.port,
        // The client itself filters nothing out: it asks for what it names here.
        marathonUri: `/v2/events?${types.map((type) => `event_type=${type}`).join("&")}`,
        eventTypes: types,
        handlers,
    });
    let attached = 0;
    client.on("subscribed", () => (attached += 1));
    client.on("error", () => {});
    client.subscribe();
    // What is not asked for must not come: the client's own source would hand it to this.
    const others = ["instance_changed_event", "event_stream_attached", "group_change_success", "api_post_event"];
    let unasked = null;
    for (const type of others) client.es.addEventListener(type, () => (unasked = type));
    await eventually("it is attached", () => attached === 1);

    console.log("  the events of an app that comes");
    await create();
    const wanted = ["deployment_info", "deployment_success", "status_update_event"];
    await eventually("each type that happens arrives", () => wanted.every((type) => seen.has(type)));

    if (restart) {
        console.log("  the services are killed and come back");
        execSync(restart, { stdio: "inherit" });
        await eventually("it is attached again", () => attached >= 2);
        await eventually("the services are back", async () => (await api("GET", "/v2/info")).status === 200);
        seen.clear();
    } else {
        console.log("  left out: a restart of the services (LONJA_CLIENTS_RESTART)");
        seen.clear();
    }

    console.log("  the events of an app that goes");
    await remove();
    await eventually("each type that happens arrives", () => wanted.every((type) => seen.has(type)));

    console.log("  a deployment that is given up");
    const waits = { id: app, cmd: "exec sleep 1000", cpus: 1000000, mem: 16, instances: 1 };
    const answer = await api("POST", "/v2/apps", waits);
    await api("DELETE", `/v2/deployments/${answer.body.deployments[0].id}?force=true`);
    await eventually("deployment_failed arrives", () => seen.has("deployment_failed"));
    await remove();
    if (unasked !== null) throw new Error(`${unasked} was not asked for and came`);
    client.unsubscribe();
}

main().then(
    () => process.exit(0),
    (error) => {
        console.error(`this does not hold: ${error.message}`);
        process.exit(1);
    },
);
