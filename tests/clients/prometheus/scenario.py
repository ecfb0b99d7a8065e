"""Prometheus' discovery: a target for each port of each instance, with the labels of its app; after a scale; after its end."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from common import api, check, eventually, remove_all, step

URL, PROMETHEUS = sys.argv[1:]
ID = "/clients/prometheus"
APP = {
    "id": ID,
    "cmd": "exec sleep 1000",
    "cpus": 0.05,
    "mem": 16,
    "instances": 2,
    "labels": {"team": "harbour"},
    "portDefinitions": [
        {"port": 0, "name": "http", "protocol": "tcp", "labels": {"metrics": "/metrics"}},
        {"port": 0, "name": "admin", "protocol": "tcp"},
    ],
}


def targets():
    try:
        status, answer = api(PROMETHEUS, "GET", "/api/v1/targets?state=active")
    except OSError:
        # It has not come up yet.
        return None
    if status != 200:
        return None
    labels = [target["discoveredLabels"] for target in answer["data"]["activeTargets"]]
    return [found for found in labels if found.get("__meta_marathon_app") == ID]


def reach(number):
    def question():
        found = targets()
        return found if found is not None and len(found) == number else None

    return eventually(f"{number} targets", question)


def main():
    remove_all(URL)
    step("2 instances with 2 ports each are 4 targets")
    status, answer = api(URL, "POST", "/v2/apps", APP)
    check(status == 201, f"the app is created: {status} {answer}")
    found = reach(4)
    for label in ("__meta_marathon_task", "__meta_marathon_port_index"):
        check(all(target.get(label) for target in found), f"each target has {label}: {found}")
    check(len({target["__meta_marathon_task"] for target in found}) == 2, f"they are of 2 tasks: {found}")
    check(len({target["__address__"] for target in found}) == 4, f"each has an address of its own: {found}")
    labelled = [t for t in found if t.get("__meta_marathon_port_definition_label_metrics") == "/metrics"]
    check(len(labelled) == 2 and all(t["__meta_marathon_port_index"] == "0" for t in labelled), f"of the first port: {found}")
    check(all(t.get("__meta_marathon_app_label_team") == "harbour" for t in found), f"the app's label: {found}")

    step("scaled to 3 they are 6")
    api(URL, "PUT", f"/v2/apps{ID}", {"instances": 3})
    reach(6)

    step("deleted there is none")
    api(URL, "DELETE", f"/v2/apps{ID}")
    reach(0)
    remove_all(URL)


main()
