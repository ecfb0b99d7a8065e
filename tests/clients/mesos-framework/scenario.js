// mesos-framework (npm): its scheduler keeps as many tasks alive as it was told to, also under a master that is killed; its executor runs
// tasks of a framework that ships it.
"use strict";

require("./shim.js");
const { execFileSync } = require("child_process");
const fs = require("fs");
const http = require("http");
const os = require("os");
const path = require("path");
const { Mesos, Scheduler } = require("mesos-framework");
const { Failed, check, eventually, restart, run, state, step } = require("../common.js");

const url = process.argv[2];
const mesos = Mesos.getMesos();
const scratch = fs.mkdtempSync(path.join(process.env.SCRATCH || os.tmpdir(), "mesos-framework-"));
process.on("exit", () => fs.rmSync(scratch, { recursive: true, force: true }));

/// As its examples/commandScheduler.js has it, without ZooKeeper.
function scheduler(name, options) {
    const { hostname, port } = new URL(url);
    const made = new Scheduler({
        masterUrl: hostname,
        port,
        frameworkName: name,
        useZk: false,
        // A heartbeat comes every 15 s; of its own accord it gives up after 10.
        masterConnectionTimeout: 60,
        exponentialBackoffMinimum: 1,
        exponentialBackoffMaximum: 2,
        logging: { path: scratch, fileName: `${name}.log`, level: process.env.LONJA_CLIENTS_LOG || "none" },
        ...options,
    });
    made.on("error", (error) => {
        const message = error.message || `${error}`;
        // It does not connect again by itself where nobody listened.
        if (message.includes("ECONNREFUSED") && !made.mesosStreamId) setTimeout(() => made.subscribe(), 200);
        // What a lost connection brings.
        else if (!/ECONNRE|socket hang up|connection was closed|stream was destroyed/.test(message)) made.failure = message;
    });
    made.subscriptions = 0;
    made.on("subscribed", () => (made.subscriptions += 1));
    made.once("ready", () => made.subscribe());
    return made;
}

const frameworkOf = async (made) => (await state(url)).frameworks.find((one) => one.id === made.frameworkId);

async function running(made) {
    const framework = await frameworkOf(made);
    return framework.tasks.filter((task) => task.state === "TASK_RUNNING").map((task) => task.id);
}

const alive = (made, number) =>
    eventually(`${number} tasks run`, async () => {
        if (made.failure) throw new Failed(made.failure);
        const found = await running(made);
        return found.length === number && made.launchedTasks.length === number && found.sort();
    });

/// TEARDOWN. Of its own accord it subscribes again when the stream ends: its examples end their process here.
async function tearDown(made) {
    check(!made.failure, `no error came: ${made.failure}`);
    made.subscribe = () => {};
    made.teardown();
    await eventually("it has completed", async () =>
        (await state(url)).completed_frameworks.some((one) => one.id === made.frameworkId),
    );
}

async function keepsAlive() {
    step("its scheduler keeps 3 tasks alive");
    const command = new mesos.CommandInfo(null, null, true, "test -n \"$HOST\" && test -n \"$PORT0\" && exec sleep 1000", null, null);
    const made = scheduler("clients-mesos-framework", {
        restartStates: ["TASK_FAILED", "TASK_KILLED", "TASK_LOST", "TASK_ERROR", "TASK_FINISHED"],
        tasks: {
            sleepProcesses: {
                priority: 1,
                instances: 3,
                commandInfo: command,
                resources: { cpus: 0.1, mem: 32, ports: 1, disk: 0 },
            },
        },
    });
    await eventually("it is subscribed", () => made.subscriptions === 1);
    const before = await alive(made, 3);
    const id = made.frameworkId;

    step("a killed one is replaced");
    const victim = made.launchedTasks.find((task) => task.taskId === before[0]);
    made.kill(victim.taskId, victim.runtimeInfo.agentId);
    await eventually("it is gone", async () => !(await running(made)).includes(victim.taskId));
    const after = await alive(made, 3);
    check(after.filter((task) => before.includes(task)).length === 2, `the others stay: ${before}; ${after}`);

    if (restart("the master is killed and comes back under it")) {
        await eventually("it is subscribed again", () => made.subscriptions >= 2);
        check(made.frameworkId === id, `it is the same framework: ${id}, ${made.frameworkId}`);
        const found = await alive(made, 3);
        check(`${found}` === `${after}`, `its tasks run on: ${after}; ${found}`);
        made.kill(found[0], made.launchedTasks.find((task) => task.taskId === found[0]).runtimeInfo.agentId);
        await eventually("one is killed", async () => !(await running(made)).includes(found[0]));
        await alive(made, 3);
    }
    await tearDown(made);
}

/// What executors are fetched from: one archive with the script and all that it needs.
function archive() {
    const modules = path.resolve(require.resolve("mesos-framework"), "../..");
    const file = path.join(scratch, "executor.tar.gz");
    execFileSync("tar", ["-czf", file, "-C", __dirname, "executor.js", "-C", path.dirname(modules), path.basename(modules)]);
    return new Promise((resolve) => {
        const server = http.createServer((_, response) => fs.createReadStream(file).pipe(response));
        server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${server.address().port}/executor.tar.gz`));
    });
}

const scalar = (name, value) => new mesos.Resource({ name, type: "SCALAR", scalar: { value } });

function executorInfo(made, uri) {
    return {
        executor_id: { value: "node" },
        framework_id: { value: made.frameworkId },
        command: { shell: true, value: "exec node executor.js", uris: [{ value: uri, extract: true }] },
        resources: [scalar("cpus", 0.2), scalar("mem", 128)],
    };
}

async function itsExecutor() {
    step("its executor is fetched, subscribes, and runs two tasks");
    const uri = await archive();
    const offers = [];
    const updates = [];
    const made = scheduler("clients-mesos-framework-executor", {
        tasks: {},
        handlers: {
            OFFERS: function (event) {
                offers.push(...event.offers);
            },
        },
    });
    made.on("update", (update) => updates.push(update.status));
    const messages = [];
    made.on("message", (message) => messages.push(message));
    const offer = await eventually("an offer", () => offers.shift());
    const agent = offer.agent_id.value;
    const info = executorInfo(made, uri);
    const task = (id) => ({ name: id, task_id: { value: id }, agent_id: { value: agent }, executor: info });
    const both = ["first", "second"].map((id) => ({ ...task(id), resources: [scalar("cpus", 0.1), scalar("mem", 32)] }));
    // Made of plain objects, as its own accept() has them from the schema.
    made.accept([offer.id], { type: "LAUNCH", launch: { task_infos: both } }, null);
    const reached = (id, wanted) =>
        eventually(`${id} reaches ${wanted}`, () => {
            const told = updates.filter((status) => status.task_id.value === id);
            const ended = told.find((status) => ["TASK_FAILED", "TASK_ERROR", "TASK_LOST"].includes(status.state));
            if (made.failure || ended) throw new Failed(made.failure || `${id}: ${ended.state}: ${ended.message}`);
            return told.some((status) => status.state === wanted);
        });
    await reached("first", "TASK_RUNNING");
    await reached("second", "TASK_RUNNING");
    const { executors } = await frameworkOf(made);
    check(executors.some((one) => one.executor_id === "node" && one.slave_id === agent), `/state has it: ${JSON.stringify(executors)}`);

    step("messages go both ways, a task finishes and one is killed");
    const says = async (wanted) =>
        eventually(`it says: ${wanted}`, () => {
            // Messages may be lost: ask again.
            made.message(agent, "node", "how is it");
            return messages.some((message) => message.data === `how is it: ${wanted}`);
        });
    await says("2 tasks, 0 unconfirmed");
    made.message(agent, "node", "finish first");
    await reached("first", "TASK_FINISHED");
    made.kill("second", agent);
    await reached("second", "TASK_KILLED");
    await says("0 tasks, 0 unconfirmed");
    await tearDown(made);
}

async function main() {
    await keepsAlive();
    await itsExecutor().catch((error) => {
        if (!error.message.includes("--fetch-allow")) throw error;
        step("left out: its executor, which agents fetch from here only with LONJA_AGENT_FETCH_ALLOW=127.0.0.0/8");
    });
}

run(main);
