"""marathon (thefactory/marathon-python): create, scale, kill, update, conflict, roll back, delete; and the events of it."""

import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from common import api, check, eventually, remove_all, step

from marathon import MarathonClient, MarathonHttpError, NotFoundError
from marathon.models import MarathonApp, MarathonHealthCheck

URL = sys.argv[1]
APP = "/clients/marathon"
# It is healthy only after a while: there is time to come in between.
SLOW = "sleep 3; touch ready; exec sleep {}"


class Events(threading.Thread):
    """All events of the stream, as the client reads it, in a thread of its own."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.seen, self.error = client, [], None
        self.attached = threading.Event()

    def run(self):
        try:
            for event in self.client.event_stream():
                self.attached.set()
                self.seen.append(event)
        except Exception as error:  # noqa: BLE001: whatever it is, the scenario is to say it
            self.error = error

    def ended_well(self, deployment):
        check(self.error is None, f"the event stream is read: {self.error!r}")
        return any(e.event_type == "deployment_success" and e.id == deployment for e in list(self.seen))


def incarnation(task_id):
    name, number = task_id.rsplit(".", 1)
    return name, int(number)


def main():
    client = MarathonClient(URL, timeout=60)
    remove_all(URL)
    events = Events(client)
    events.start()
    check(events.attached.wait(60), "the event stream begins")

    def settled():
        eventually("no deployment is under way", lambda: client.list_deployments() == [])

    def tasks(number, version=None):
        def all_run():
            found = client.get_app(APP, embed_tasks=True).tasks
            running = [task for task in found if task.state == "TASK_RUNNING" and (version is None or task.version == version)]
            return running if len(running) == number == len(found) else None

        return eventually(f"{number} tasks run", all_run)

    step("an app of 3 instances")
    health = MarathonHealthCheck(
        protocol="COMMAND", command="test -e ready", interval_seconds=1, timeout_seconds=5, grace_period_seconds=60,
        delay_seconds=0,
    )
    app = MarathonApp(cmd=SLOW.format(1001), cpus=0.05, mem=16, instances=3, health_checks=[health])
    created = client.create_app(APP, app)
    began = created.deployments[0].id
    settled()
    found = tasks(3)
    ports = {(task.host, port) for task in found for port in task.ports}
    check(len(ports) == 3, f"3 tasks have 3 distinct ports: {ports}")
    eventually("its deployment_success", lambda: events.ended_well(began))

    step("scaled to 5")
    scaled = client.scale_app(APP, instances=5)
    settled()
    found = tasks(5)
    eventually("its deployment_success", lambda: events.ended_well(scaled["deploymentId"]))

    step("one task is killed and comes back")
    victim, number = incarnation(found[0].id)
    client.kill_task(APP, found[0].id)

    def back():
        now = dict(incarnation(task.id) for task in client.list_tasks(APP) if task.state == "TASK_RUNNING")
        return len(now) == 5 and now.get(victim, 0) > number

    eventually("its instance runs as the next incarnation", back)

    step("an update replaces all")
    updated = client.update_app(APP, MarathonApp(cmd=SLOW.format(1002)))
    settled()
    tasks(5, client.get_app(APP).version)
    check(client.get_app(APP).cmd == SLOW.format(1002), "the app has the new command")
    eventually("its deployment_success", lambda: events.ended_well(updated["deploymentId"]))

    step("a second update during the first is refused")
    first = client.update_app(APP, MarathonApp(cmd=SLOW.format(1003)))["deploymentId"]
    try:
        client.update_app(APP, MarathonApp(cmd=SLOW.format(1004)))
        check(False, "a second update during the first raises")
    except MarathonHttpError as error:
        check(error.status_code == 409, f"it is a conflict: {error!r}")
    # The client drops what the answer says besides its message.
    status, answer = api(URL, "PUT", f"/v2/apps{APP}", {"cmd": SLOW.format(1004)})
    check(status == 409 and [{"id": first}] == answer["deployments"], f"the answer names deployment {first}: {answer}")

    step("the deployment is taken back")
    back = client.delete_deployment(first)
    settled()
    check(client.get_app(APP).cmd == SLOW.format(1002), "the app has the old command again")
    tasks(5)
    eventually("its deployment_success", lambda: events.ended_well(back["deploymentId"]))

    step("deleted")
    deleted = client.delete_app(APP)
    settled()
    eventually("its deployment_success", lambda: events.ended_well(deleted["deploymentId"]))
    try:
        client.get_app(APP)
        check(False, "get_app of what is not there raises")
    except NotFoundError:
        pass
    remove_all(URL)


main()
