"""mesoshttp: three updates a task, each acknowledged; and the same after the master was killed under it."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from common import check, eventually, step
from mesos import Framework, command_task, framework_of, metric, restart, state

from mesoshttp.client import MesosClient

URL = sys.argv[1]
ACKNOWLEDGED, REFUSED = "master/valid_status_update_acknowledgements", "master/invalid_status_update_acknowledgements"
# How long it waits before it connects anew; of its own accord 10 s.
MesosClient.WAIT_TIME = 0.5


def ten_that_finish(framework, name):
    before = {each: metric(URL, each) for each in (ACKNOWLEDGED, REFUSED)}
    offer = framework.offer(cpus=1, mem=320)
    agent = offer.get_offer()["agent_id"]["value"]
    tasks = [command_task(f"{name}-{number}", agent, "sleep 1") for number in range(10)]
    offer.accept(tasks)
    ids = [task["task_id"]["value"] for task in tasks]
    framework.reach(ids, "TASK_FINISHED")
    for task in ids:
        told = framework.of(task)
        check(told == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"], f"each task has three updates: {told}")
    framework.eventually("each is acknowledged", lambda: metric(URL, ACKNOWLEDGED) - before[ACKNOWLEDGED] >= 30)
    # What comes again before it was acknowledged may be acknowledged twice, and the second time be too late.
    twice = len(framework.updates) - len({s["uuid"] for s in framework.updates if "uuid" in s})
    check(metric(URL, REFUSED) - before[REFUSED] <= twice, "no acknowledgement was wrong")
    # Only then the master is done with a task.
    completed = lambda: {task["id"] for task in framework_of(URL, framework.id)["completed_tasks"]}  # noqa: E731
    eventually("all of them have completed", lambda: set(ids) <= completed())


def main():
    framework = Framework(MesosClient, URL, "clients mesoshttp")
    framework.start()
    eventually("it is subscribed", lambda: framework.subscribed == 1)
    own = framework.id
    step("ten tasks finish with three updates each, and each is acknowledged")
    ten_that_finish(framework, "finish")

    step("one runs on")
    offer = framework.offer(cpus=0.1, mem=32)
    agent = offer.get_offer()["agent_id"]["value"]
    lasting = command_task("lasting", agent, "exec sleep 1000")
    offer.accept([lasting])
    framework.reach([lasting["task_id"]["value"]], "TASK_RUNNING")

    if restart("the master is killed and comes back under it"):
        eventually("it is subscribed again", lambda: framework.subscribed >= 2)
        check(framework.id == own, f"it is the same framework: {own}, {framework.id}")
        check(framework.lost >= 1, "it was told that the master had gone")
        ten_that_finish(framework, "again")

    step("killed, and torn down")
    framework.driver.kill(agent, lasting["task_id"]["value"])
    framework.reach([lasting["task_id"]["value"]], "TASK_KILLED")
    check(not framework.errors, f"no error came: {framework.errors}")
    framework.tear_down()
    eventually("it has completed", lambda: framework.id in [one["id"] for one in state(URL)["completed_frameworks"]])
    framework.join(60)
    check(not framework.is_alive(), "its stream has ended")


main()
