// What the scenarios in Node have in common: waiting for something, never for a time, and the plain API.
"use strict";

const { execSync } = require("child_process");
const http = require("http");

const patience = 120000;

/// One request; the status and what is answered, as JSON where it is.
function api(url, method, path, body) {
    return new Promise((resolve, reject) => {
        const options = { method, headers: { "content-type": "application/json" }, agent: false };
        const request = http.request(new URL(path, url), options, (response) => {
            let text = "";
            response.on("data", (part) => (text += part));
            response.on("end", () => {
                try {
                    resolve({ status: response.statusCode, body: text ? JSON.parse(text) : null });
                } catch (error) {
                    resolve({ status: response.statusCode, body: text });
                }
            });
        });
        request.on("error", reject);
        request.end(body === undefined ? undefined : JSON.stringify(body));
    });
}

/// What no waiting will mend.
class Failed extends Error {}

/// Asks until the answer is there, and returns it; an error is no answer yet, but for `Failed`.
async function eventually(what, question) {
    const started = Date.now();
    for (;;) {
        const answer = await Promise.resolve().then(question).catch((error) => {
            if (error instanceof Failed) throw error;
        });
        if (answer) return answer;
        if (Date.now() - started > patience) throw new Error(`${what}: not within ${patience / 1000} s`);
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
}

function check(holds, what) {
    if (!holds) throw new Error(what);
}

function step(what) {
    console.log(`  ${what}`);
}

/// Kills the daemon under test and starts it again; false, and a line, where nobody said how.
function restart(what) {
    const command = process.env.LONJA_CLIENTS_RESTART;
    if (!command) {
        step(`left out: ${what} (LONJA_CLIENTS_RESTART)`);
        return false;
    }
    step(what);
    execSync(command, { stdio: "inherit" });
    return true;
}

/// `/state` of a master, as existing tools read it.
async function state(url) {
    const answer = await api(url, "GET", "/state");
    check(answer.status === 200, `GET /state: ${answer.status}`);
    return answer.body;
}

/// Runs a scenario to its end.
function run(main) {
    main().then(
        () => process.exit(0),
        (error) => {
            console.error(`this does not hold: ${error.message}`);
            process.exit(1);
        },
    );
}

module.exports = { Failed, api, check, eventually, restart, run, state, step };
