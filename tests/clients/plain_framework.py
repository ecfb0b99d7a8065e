"""A framework that speaks plain HTTP, for scenarios whose clients launch nothing themselves."""

import http.client
import json
import threading
import urllib.parse

from common import check, eventually


class PlainFramework(threading.Thread):
    """Reads its stream in a thread of its own and acknowledges whatever asks for it."""

    def __init__(self, url, name):
        super().__init__(daemon=True)
        self.address = urllib.parse.urlsplit(url).netloc
        self.name, self.id, self.stream = name, None, None
        self.offers, self.updates = [], []
        self.start()
        eventually("it is subscribed", lambda: self.id)

    def run(self):
        info = {"user": "root", "name": self.name}
        connection, answer = self.post({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}})
        self.stream = answer.getheader("Mesos-Stream-Id")
        while length := answer.readline():
            self.take(json.loads(answer.read(int(length))))
        connection.close()

    def take(self, event):
        if event["type"] == "SUBSCRIBED":
            self.id = event["subscribed"]["framework_id"]["value"]
        elif event["type"] == "OFFERS":
            self.offers.extend(event["offers"]["offers"])
        elif event["type"] == "UPDATE":
            status = event["update"]["status"]
            if "uuid" in status:
                self.call("ACKNOWLEDGE", acknowledge={key: status[key] for key in ("agent_id", "task_id", "uuid")})
            self.updates.append(status)

    def post(self, body):
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.stream:
            headers["Mesos-Stream-Id"] = self.stream
        connection = http.client.HTTPConnection(self.address)
        connection.request("POST", "/api/v1/scheduler", json.dumps(body), headers)
        return connection, connection.getresponse()

    def call(self, kind, **what):
        connection, answer = self.post({"type": kind, "framework_id": {"value": self.id}, **what})
        text = answer.read()
        connection.close()
        check(answer.status == 202, f"{kind} is accepted: {answer.status} {text}")

    def launch(self, tasks):
        """Launches these on one agent and waits until they run; the agent's id."""
        offer = eventually("an offer", lambda: self.offers.pop() if self.offers else None)
        for task in tasks:
            task["agent_id"] = offer["agent_id"]
        operations = [{"type": "LAUNCH", "launch": {"task_infos": tasks}}]
        self.call("ACCEPT", accept={"offer_ids": [offer["id"]], "operations": operations})
        for task in tasks:
            eventually(f"{task['name']} runs", lambda task=task: "TASK_RUNNING" in self.told_of(task))
        return offer["agent_id"]["value"]

    def told_of(self, task):
        states = [status["state"] for status in self.updates if status["task_id"] == task["task_id"]]
        ends = [status for status in self.updates if status["task_id"] == task["task_id"] and status["state"] in ENDS]
        check(not ends, f"{task['name']} runs: {ends}")
        return states


ENDS = ("TASK_FAILED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED", "TASK_FINISHED")
