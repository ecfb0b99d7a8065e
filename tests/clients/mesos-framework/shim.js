// Node of today tells of an answer that was cut off by `aborted` and `close`; up to Node 12 `end` followed, by which mesos-framework 0.5.3
// sees that its stream is gone.
"use strict";

const http = require("http");

const request = http.request;

http.request = function (...asked) {
    const made = request.apply(http, asked);
    made.on("response", (response) => response.on("aborted", () => response.emit("end")));
    return made;
};
