// An executor as a framework ships it, with the Executor of mesos-framework (npm): its tasks run until they are killed or told to
// finish, and what is said to it comes back.
"use strict";

const crypto = require("crypto");
const { Executor } = require("mesos-framework");

const tasks = new Set();
const unconfirmed = new Map();

function update(task, state) {
    const uuid = crypto.randomBytes(16).toString("base64");
    unconfirmed.set(uuid, state);
    executor.update({ task_id: { value: task }, state, uuid, source: "SOURCE_EXECUTOR", timestamp: Date.now() / 1000 });
}

function end(task, state) {
    if (tasks.delete(task)) update(task, state);
}

const executor = new Executor({
    handlers: {
        SUBSCRIBED: function (subscribed) {
            console.log(`subscribed at ${subscribed.agent_info.id.value}`);
        },
        LAUNCH: function (launch) {
            const task = launch.task.task_id.value;
            tasks.add(task);
            update(task, "TASK_STARTING");
            update(task, "TASK_RUNNING");
        },
        KILL: function (kill) {
            end(kill.task_id.value, "TASK_KILLED");
        },
        ACKNOWLEDGED: function (acknowledged) {
            unconfirmed.delete(acknowledged.uuid);
        },
        MESSAGE: function (message) {
            const said = Buffer.from(message.data, "base64").toString();
            if (said.startsWith("finish ")) end(said.slice("finish ".length), "TASK_FINISHED");
            else executor.message(`${said}: ${tasks.size} tasks, ${unconfirmed.size} unconfirmed`);
        },
        ERROR: function (error) {
            console.error(error.message);
        },
        SHUTDOWN: function (_) {
            process.exit(0);
        },
    },
});
executor.on("error", (error) => console.error(error.message || error));
executor.on("sent_subscribe", () => console.log("asked to subscribe"));
executor.subscribe();
