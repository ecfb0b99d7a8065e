"""avmesos: ten tasks, five of them killed, reconciliation, SUPPRESS and REVIVE, a scheduler that fails over, a master that does,
TEARDOWN."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from common import check, eventually, step
from mesos import Framework, command_task, framework_of, live_tasks, restart, state

from avmesos.client import MesosClient

URL = sys.argv[1]
NAME = "clients avmesos"
# How long it waits before it connects anew; of its own accord 10 s.
MesosClient.WAIT_TIME = 0.5


def launch_ten(framework):
    step("ten tasks; two more that name a Docker image end, and say why")
    offer = framework.offer(cpus=1.2, mem=400)
    agent = offer.get_offer()["agent_id"]["value"]
    tasks = [command_task(f"ten-{number}", agent, "exec sleep 1000") for number in range(10)]
    docker = [command_task(f"docker-{number}", agent, "exec sleep 1000") for number in range(2)]
    for task in docker:
        task["container"] = {"type": "DOCKER", "docker": {"image": "clients.invalid/nothing", "network": "BRIDGE"}}
    offer.accept(tasks + docker)
    ids = [task["task_id"]["value"] for task in tasks]
    framework.reach(ids, "TASK_RUNNING")

    def ended():
        ends = [s for s in framework.updates if s["state"] in ("TASK_FAILED", "TASK_ERROR")]
        return {s["task_id"]["value"]: s.get("message") for s in ends}

    wanted = {task["task_id"]["value"] for task in docker}
    framework.eventually("the tasks with an image end", lambda: wanted <= ended().keys())
    check(all(ended()[task] for task in wanted), f"each end has a message: {ended()}")
    check(set(ended()) == wanted, f"and no other task ended: {ended()}")
    check(live_tasks(URL, framework.id) == dict.fromkeys(ids, "TASK_RUNNING"), f"/state agrees: {live_tasks(URL, framework.id)}")
    return agent, ids


def kill_five(framework, agent, ids):
    step("five are killed")
    killed, kept = ids[:5], ids[5:]
    for task in killed:
        framework.driver.kill(agent, task)
    framework.reach(killed, "TASK_KILLED")
    # A task that has ended is kept until its end is acknowledged.
    framework.eventually("all is acknowledged", lambda: set(live_tasks(URL, framework.id)) == set(kept))
    for task in ids:
        check(len(framework.of(task)) <= 3, f"three updates of a task at most: {framework.of(task)}")

    step("reconciled, the killed are lost and the others run")
    framework.updates.clear()
    reconcile(framework, agent, kept, "TASK_RUNNING")
    reconcile(framework, agent, killed, "TASK_LOST")
    return kept


def reconcile(framework, agent, tasks, wanted):
    question = [{"task_id": {"value": task}, "agent_id": {"value": agent}} for task in tasks]

    def answered():
        if all(framework.reconciled(task)[-1:] == [wanted] for task in tasks):
            return True
        # Silence is an answer: a framework asks again.
        framework.driver.reconcile(question)
        return False

    framework.eventually(f"reconciliation finds {len(tasks)} tasks {wanted}", answered)


def suppress(framework, agent, kept):
    step("suppressed there is no offer, revived there is one")
    framework.driver.suppress()
    eventually("it has no offer", lambda: no_offers(framework))
    # What a task leaves would be offered at once.
    framework.driver.kill(agent, kept[0])
    framework.reach(kept[:1], "TASK_KILLED")
    for _ in range(3):
        framework.updates.clear()
        reconcile(framework, agent, kept[1:], "TASK_RUNNING")
    check(not framework.offers and not framework_of(URL, framework.id)["offers"], "nothing is offered while suppressed")
    framework.driver.revive()
    framework.offer(cpus=0.5, mem=64).decline({"filters": {"refuse_seconds": 3600}})
    return kept[1:]


def no_offers(framework):
    while framework.offers:
        framework.offers.pop().decline({"filters": {"refuse_seconds": 0}})
    framework.poke()
    return not framework_of(URL, framework.id)["offers"]


def used():
    """What tasks have of each agent."""
    return {slave["id"]: slave["used_resources"]["cpus"] for slave in state(URL)["slaves"]}


def main():
    before = used()
    first = Framework(MesosClient, URL, NAME)
    first.start()
    eventually("it is subscribed", lambda: first.subscribed == 1)
    agent, ids = launch_ten(first)
    kept = kill_five(first, agent, ids)
    kept = suppress(first, agent, kept)

    step("another scheduler takes over with the framework's id")
    first.leave()
    second = Framework(MesosClient, URL, NAME, framework_id=first.id)
    second.start()
    eventually("it is subscribed", lambda: second.subscribed == 1)
    check(second.id == first.id, f"it is the same framework: {first.id}, {second.id}")
    first.join(60)
    check(not first.is_alive(), "the first one's stream has ended")
    reconcile(second, agent, kept, "TASK_RUNNING")
    check(live_tasks(URL, second.id) == dict.fromkeys(kept, "TASK_RUNNING"), "its tasks run on")

    if restart("the master is killed and comes back under it"):
        eventually("it is subscribed again", lambda: second.subscribed >= 2)
        check(second.id == first.id, f"it is the same framework: {first.id}, {second.id}")
        second.updates.clear()
        reconcile(second, agent, kept, "TASK_RUNNING")
        # And there is work for it again.
        offer = second.offer(cpus=0.2, mem=64)
        more = command_task("after", offer.get_offer()["agent_id"]["value"], "exec sleep 1000")
        offer.accept([more])
        kept = [*kept, more["task_id"]["value"]]
        second.reach(kept[-1:], "TASK_RUNNING")
    check(not second.errors, f"no error came: {second.errors}")

    step("torn down, nothing is left")
    second.tear_down()
    eventually("it has completed", lambda: second.id in [one["id"] for one in state(URL)["completed_frameworks"]])
    eventually("its tasks have ended", lambda: not live_tasks(URL, second.id))
    eventually("all that they had is free", lambda: used() == before)


main()
