"""shpkpr: deploy twice, a deployment that never gets well, details of an app, and of one that is not there."""

import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from common import api, check, remove_all, step

URL = sys.argv[1]
GOOD = "touch ready; exec sleep {}"


def shpkpr(*arguments):
    command = ["shpkpr", *arguments, "--marathon-url", URL]
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    return ended.returncode, ended.stdout + ended.stderr


def deploy(command, instances, *more):
    pairs = [f"COMMAND={command}", f"INSTANCES={instances}"]
    return shpkpr("apps", "deploy", "-t", "app.json.tmpl", "--template-dir", HERE, *more, *pairs)


def healthy():
    _, answer = api(URL, "GET", "/v2/apps/clients/shpkpr")
    return answer["app"]["tasksHealthy"], answer["app"]["cmd"]


def main():
    remove_all(URL)
    step("deployed, and it waits until the tasks run")
    status, said = deploy(GOOD.format(1001), 2)
    check(status == 0 and healthy() == (2, GOOD.format(1001)), f"created: {status} {said} {healthy()}")
    status, said = deploy(GOOD.format(1002), 3)
    check(status == 0 and healthy() == (3, GOOD.format(1002)), f"updated: {status} {said} {healthy()}")

    step("what never gets well ends with an error that names the deployment")
    status, said = deploy("exec sleep 1003", 3, "--timeout", "30")
    named = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", said)
    check(status != 0 and named and "Timed out" in said, f"it gave up: {status} {said}")
    _, running = api(URL, "GET", "/v2/deployments")
    check([one["id"] for one in running] == [named.group(0)], f"{named.group(0)} is under way still: {running}")
    status, said = deploy(GOOD.format(1004), 3)
    check(status != 0 and named.group(0) in said, f"another is refused and names it: {status} {said}")
    status, said = deploy(GOOD.format(1004), 3, "--force")
    check(status == 0 and healthy()[1] == GOOD.format(1004), f"forced: {status} {said} {healthy()}")

    step("details")
    status, said = shpkpr("apps", "show", "-a", "/clients/shpkpr")
    app = json.loads(said)
    check(status == 0 and app["tasksRunning"] == 3 and app["tasksHealthy"] == 3, f"it shows counts: {said}")
    check(len(app["tasks"]) == 3, f"and tasks: {said}")
    status, said = shpkpr("apps", "show", "-a", "/clients/nobody")
    check(status != 0 and "does not exist" in said, f"an unknown app is told of: {status} {said}")
    remove_all(URL)


main()
