"""What the scenarios of Mesos' Python clients have in common: the cluster as it says it is, and a framework of their library."""

import os
import subprocess
import threading
import time
import uuid

from common import api, check, eventually, step

RESTART = os.environ.get("LONJA_CLIENTS_RESTART")
LIVE = ("TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING")


def state(url):
    """`/state`, as existing tools read it."""
    status, answer = api(url, "GET", "/state")
    check(status == 200, f"GET /state: {status}")
    return answer


def framework_of(url, framework_id):
    """One framework in `/state`, whether it has completed or not."""
    answer = state(url)
    found = [one for one in answer["frameworks"] + answer["completed_frameworks"] if one["id"] == framework_id]
    return found[0] if found else None


def live_tasks(url, framework_id):
    """The ids of a framework's tasks that have not ended, by what state they are in."""
    found = framework_of(url, framework_id)
    return {task["id"]: task["state"] for task in found["tasks"] if task["state"] in LIVE} if found else {}


def metric(url, name):
    status, answer = api(url, "GET", "/metrics/snapshot")
    check(status == 200 and name in answer, f"/metrics/snapshot has {name}: {status}")
    return answer[name]


def restart(what):
    """Kills the daemon under test and starts it again; `False`, and a line, where nobody said how."""
    if not RESTART:
        print(f"  left out: {what} (LONJA_CLIENTS_RESTART)", flush=True)
        return False
    step(what)
    subprocess.run(RESTART, shell=True, check=True, timeout=120)
    return True


def command_task(name, agent_id, command, cpus=0.1, mem=32):
    return {
        "name": name,
        "task_id": {"value": f"{name}-{uuid.uuid4().hex[:8]}"},
        "agent_id": {"value": agent_id},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": cpus}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": mem}},
        ],
        "command": {"value": command},
    }


class Framework(threading.Thread):
    """A framework as the README of avmesos and mesoshttp has it: the client's loop in a thread, callbacks for its events."""

    def __init__(self, library, url, name, framework_id=None):
        super().__init__(daemon=True)
        self.url = url
        self.client = library([url], frameworkName=name, frameworkId=framework_id, max_reconnect=100)
        self.client.set_failover_timeout(3600)
        self.driver, self.subscribed, self.offers, self.updates, self.errors = None, 0, [], [], []
        self.lost = 0
        self.client.on(library.SUBSCRIBED, self.on_subscribed)
        self.client.on(library.OFFERS, self.on_offers)
        self.client.on(library.UPDATE, self.on_update)
        self.client.on(library.ERROR, self.on_error)
        self.client.on(library.DISCONNECTED, self.on_disconnected)
        self.poked = 0.0

    def run(self):
        self.client.register()

    def on_subscribed(self, driver):
        self.driver, self.offers = driver, []
        self.subscribed += 1

    def on_offers(self, offers):
        self.offers.extend(offers)

    def on_update(self, update):
        self.updates.append(update["status"])

    def on_error(self, message):
        self.errors.append(message)

    def on_disconnected(self, _message):
        self.lost += 1

    @property
    def id(self):
        return self.client.frameworkId

    def eventually(self, what, question):
        """The client reads by lines, and the line of an event ends with the length of the next: it sees each when another
        comes. What it asks about a task that nobody has is answered, and so it need not wait for a heartbeat."""

        def asked():
            answer = question()
            if answer is None or answer is False:
                self.poke()
            return answer

        return eventually(what, asked)

    def poke(self):
        if self.driver and time.monotonic() - self.poked > 0.5:
            self.poked = time.monotonic()
            self.driver.reconcile([{"task_id": {"value": "nobody"}}])

    def of(self, task_id):
        """The states that a task's own updates told of, each update once: one that is not acknowledged in time comes again."""
        told = {status["uuid"]: status["state"] for status in self.updates if ours(status, task_id) and "uuid" in status}
        return list(told.values())

    def reconciled(self, task_id):
        """The states that questions about a task were answered with."""
        reason = "REASON_RECONCILIATION"
        return [s["state"] for s in self.updates if ours(s, task_id) and s.get("reason") == reason and "uuid" not in s]

    def offer(self, cpus, mem):
        """An offer that has room for this; the others are declined for no time at all."""

        def amount(offer, name):
            resources = offer.get_offer()["resources"]
            return sum(each["scalar"]["value"] for each in resources if each["name"] == name)

        def fits():
            while self.offers:
                offer = self.offers.pop(0)
                if amount(offer, "cpus") >= cpus and amount(offer, "mem") >= mem:
                    return offer
                offer.decline({"filters": {"refuse_seconds": 0}})
            return None

        return self.eventually(f"an offer with {cpus} cpus and {mem} MiB", fits)

    def reach(self, tasks, wanted):
        """Waits until each of these tasks has told of that state."""
        self.eventually(f"{len(tasks)} tasks reach {wanted}", lambda: all(wanted in self.of(task) for task in tasks))

    def leave(self):
        """Ends this scheduler as a crash would, and leaves the framework to whoever comes next."""
        self.client.disconnect_framework()

    def tear_down(self):
        """TEARDOWN, and the client's loop ends with the stream."""
        self.client.stop = True
        self.driver.tearDown()


def ours(status, task_id):
    return status["task_id"]["value"] == task_id
