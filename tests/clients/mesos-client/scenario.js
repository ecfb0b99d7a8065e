// @dcos/mesos-client (npm): the operator's stream of events from its full state on, and calls that agree with what else is told.
"use strict";

require("./xhr.js");
const http = require("http");
const { request, stream } = require("@dcos/mesos-client");
const { api, check, eventually, restart, run, state, step } = require("../common.js");

const url = process.argv[2];

/// What the operator's stream said since it was opened.
class Watch {
    constructor() {
        this.events = [];
        this.error = null;
        this.ended = false;
        this.subscription = stream({ type: "SUBSCRIBE" }, `${url}/api/v1`).subscribe(
            (record) => this.events.push(JSON.parse(record)),
            (error) => {
                this.error = error;
                this.ended = true;
            },
            () => (this.ended = true),
        );
    }

    of(type) {
        return this.events.filter((event) => event.type === type).map((event) => event[type.toLowerCase()]);
    }

    async begun() {
        await eventually("SUBSCRIBED comes", () => this.ended || this.of("SUBSCRIBED").length === 1);
        check(!this.ended, `the stream is open: ${JSON.stringify(this.error)}`);
        check(this.events[0].type === "SUBSCRIBED", `SUBSCRIBED is first: ${this.events[0].type}`);
        await eventually("a heartbeat follows", () => this.events.length > 1);
        check(this.events[1].type === "HEARTBEAT", `a heartbeat is second: ${this.events[1].type}`);
        return this.of("SUBSCRIBED")[0];
    }
}

/// One call of an operator, by the client.
function call(type) {
    return new Promise((resolve, reject) => {
        const failed = (error) => reject(new Error(`${type}: ${JSON.stringify(error)}`));
        request({ type }, `${url}/api/v1`).subscribe((answer) => resolve(JSON.parse(answer)), failed);
    });
}

/// A framework of its own, so that there is something to see: its stream, and calls on it.
class Framework {
    constructor(id) {
        this.id = id;
        this.events = [];
        this.acknowledged = new Set();
    }

    subscribe() {
        const info = { user: "root", name: "clients mesos-client", failover_timeout: 3600, roles: ["*"] };
        info.capabilities = [{ type: "MULTI_ROLE" }];
        const body = { type: "SUBSCRIBE", subscribe: { framework_info: info } };
        if (this.id) body.framework_id = info.id = { value: this.id };
        return new Promise((resolve, reject) => {
            const headers = { "content-type": "application/json", accept: "application/json" };
            const options = { method: "POST", headers, agent: false };
            const opened = http.request(new URL("/api/v1/scheduler", url), options, (response) => {
                this.stream = response.headers["mesos-stream-id"];
                let text = "";
                response.setEncoding("utf8");
                response.on("aborted", () => {});
                response.on("data", (part) => {
                    for (text += part; ; ) {
                        const [length, rest] = [parseInt(text, 10), text.slice(text.indexOf("\n") + 1)];
                        if (!text.includes("\n") || rest.length < length) return;
                        text = rest.slice(length);
                        const event = JSON.parse(rest.slice(0, length));
                        this.take(event);
                        if (event.type === "SUBSCRIBED") resolve();
                    }
                });
            });
            opened.on("error", reject);
            opened.end(JSON.stringify(body));
        });
    }

    take(event) {
        this.events.push(event);
        if (event.type === "SUBSCRIBED") this.id = event.subscribed.framework_id.value;
        const status = event.type === "UPDATE" ? event.update.status : {};
        if (status.uuid) {
            const { agent_id, task_id, uuid } = status;
            this.send({ type: "ACKNOWLEDGE", acknowledge: { agent_id, task_id, uuid } });
        }
    }

    send(body) {
        return new Promise((resolve, reject) => {
            const headers = { "content-type": "application/json", "mesos-stream-id": this.stream };
            const options = { method: "POST", headers, agent: false };
            const sent = http.request(new URL("/api/v1/scheduler", url), options, (response) => {
                response.resume();
                response.on("end", () => resolve(response.statusCode));
            });
            sent.on("error", reject);
            sent.end(JSON.stringify({ framework_id: { value: this.id }, ...body }));
        });
    }

    async launch(id) {
        const offers = () => this.events.filter((event) => event.type === "OFFERS").flatMap((event) => event.offers.offers);
        const offer = await eventually("an offer", () => offers().pop());
        const scalar = (name, value) => ({ name, type: "SCALAR", scalar: { value } });
        const task = { name: id, task_id: { value: id }, agent_id: offer.agent_id, command: { value: "exec sleep 1000" } };
        task.resources = [scalar("cpus", 0.1), scalar("mem", 32)];
        const operations = [{ type: "LAUNCH", launch: { task_infos: [task] } }];
        const status = await this.send({ type: "ACCEPT", accept: { offer_ids: [offer.id], operations } });
        check(status === 202, `ACCEPT: ${status}`);
    }
}

/// What two accounts of the cluster have to agree in: who is there, and which task is in which state.
function ofApi(said) {
    const tasks = [...said.get_tasks.tasks, ...said.get_tasks.completed_tasks];
    return JSON.stringify({
        agents: said.get_agents.agents.map((agent) => agent.agent_info.id.value).sort(),
        frameworks: said.get_frameworks.frameworks.map((one) => one.framework_info.id.value).sort(),
        tasks: tasks.map((task) => `${task.task_id.value} ${task.state}`).sort(),
    });
}

function ofState(said) {
    const completed = said.frameworks.concat(said.completed_frameworks).flatMap((one) => one.completed_tasks);
    const tasks = said.frameworks.flatMap((one) => one.tasks).concat(completed);
    return JSON.stringify({
        agents: said.slaves.map((agent) => agent.id).sort(),
        frameworks: said.frameworks.map((one) => one.id).sort(),
        tasks: tasks.map((task) => `${task.id} ${task.state}`).sort(),
    });
}

/// Asked both until they agree: something may happen in between.
async function agree(what) {
    await eventually(what, async () => ofApi((await call("GET_STATE")).get_state) === ofState(await state(url)));
}

async function main() {
    step("the stream begins with all there is");
    const watch = new Watch();
    const subscribed = await watch.begun();
    const slaves = (await state(url)).slaves.map((slave) => slave.id).sort();
    const agents = subscribed.get_state.get_agents.agents.map((agent) => agent.agent_info.id.value).sort();
    check(agents.length > 0 && `${agents}` === `${slaves}`, `it has the agents of /state: ${agents}, ${slaves}`);
    check(subscribed.heartbeat_interval_seconds > 0, "it says how often heartbeats come");

    step("a framework and its task come");
    const framework = new Framework();
    await framework.subscribe();
    await eventually("FRAMEWORK_ADDED", () =>
        watch.of("FRAMEWORK_ADDED").some((event) => event.framework.framework_info.id.value === framework.id),
    );
    const task = `seen-${Date.now()}`;
    await framework.launch(task);
    await eventually("TASK_ADDED", () => watch.of("TASK_ADDED").some((event) => event.task.task_id.value === task));
    const updates = () => watch.of("TASK_UPDATED").filter((event) => event.status.task_id.value === task);
    await eventually("TASK_UPDATED: it runs", () => updates().some((event) => event.state === "TASK_RUNNING"));
    const order = watch.events.map((event) => event.type);
    check(order.indexOf("TASK_ADDED") < order.indexOf("TASK_UPDATED"), "a task is added before it is updated");
    await agree("GET_STATE agrees with /state");

    step("who comes later sees it at once");
    const later = new Watch();
    const known = (await later.begun()).get_state.get_tasks.tasks.map((each) => `${each.task_id.value} ${each.state}`);
    check(known.includes(`${task} TASK_RUNNING`), `its state has the task: ${known}`);
    later.subscription.unsubscribe();

    let watching = watch;
    if (restart("the master is killed and comes back under it")) {
        await eventually("the stream ends", () => watch.ended);
        await eventually("the master is back", async () => (await api(url, "GET", "/health")).status === 200);
        watching = new Watch();
        await watching.begun();
        await framework.subscribe();
        await eventually("the task is known again", async () => {
            const { get_tasks } = await call("GET_TASKS");
            return get_tasks.tasks.some((each) => each.task_id.value === task && each.state === "TASK_RUNNING");
        });
        await agree("GET_STATE agrees with /state");
    }

    step("other calls");
    check((await call("GET_HEALTH")).get_health.healthy === true, "it is healthy");
    const version = (await call("GET_VERSION")).get_version.version_info.version;
    check(version === (await api(url, "GET", "/version")).body.version, `GET_VERSION agrees with /version: ${version}`);
    check((await call("GET_FLAGS")).get_flags.flags.length > 0, "there are flags");
    check((await call("GET_AGENTS")).get_agents.agents.length === agents.length, "the agents");
    check((await call("GET_MASTER")).get_master.master_info.port === Number(new URL(url).port), "the master's port");
    const refused = await call("NO_SUCH_CALL").catch((error) => error);
    check(refused instanceof Error && /501|400/.test(refused.message), `what there is not is refused: ${refused.message}`);

    step("they go");
    await framework.send({ type: "KILL", kill: { task_id: { value: task } } });
    await eventually("TASK_UPDATED: it was killed", () =>
        watching.of("TASK_UPDATED").some((event) => event.status.task_id.value === task && event.state === "TASK_KILLED"),
    );
    const gone = await framework.send({ type: "TEARDOWN" });
    check(gone === 202, `TEARDOWN: ${gone}`);
    await eventually("FRAMEWORK_REMOVED", () =>
        watching.of("FRAMEWORK_REMOVED").some((event) => event.framework_info.id.value === framework.id),
    );
    await agree("GET_STATE agrees with /state");
    watching.subscription.unsubscribe();
}

run(main);
