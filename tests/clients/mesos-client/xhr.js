// XMLHttpRequest, as browsers have it and Node does not: as much of it as @dcos/connections uses.
"use strict";

const http = require("http");

class XMLHttpRequest {
    constructor() {
        Object.assign(this, { status: 0, statusText: "", response: "", responseType: "", timeout: 0 });
        Object.assign(this, { headers: {}, listeners: {}, request: null });
    }

    addEventListener(type, listener) {
        (this.listeners[type] = this.listeners[type] || []).push(listener);
    }

    fire(type) {
        for (const listener of this.listeners[type] || []) listener({ type, target: this });
    }

    open(method, url) {
        Object.assign(this, { method, url });
    }

    setRequestHeader(name, value) {
        this.headers[name] = value;
    }

    send(body) {
        const options = { method: this.method, headers: this.headers, agent: false };
        this.request = http.request(this.url, options, (response) => {
            Object.assign(this, { status: response.statusCode, statusText: response.statusMessage });
            response.setEncoding("utf8");
            response.on("data", (part) => {
                this.response += part;
                this.fire("progress");
            });
            response.on("end", () => this.fire("load"));
            response.on("aborted", () => this.fire("error"));
        });
        this.request.on("error", () => this.fire("error"));
        this.request.end(body);
    }

    abort() {
        this.listeners.error = [];
        this.request.destroy();
        this.fire("abort");
    }
}

global.XMLHttpRequest = XMLHttpRequest;
