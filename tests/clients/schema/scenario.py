"""After everything that the schema allows, and does not, was sent: the daemon answers, and all of it can be removed."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from common import api, check, eventually, step

URL = sys.argv[1]


def main():
    step("what came of it is removed")
    status, group = api(URL, "GET", "/v2/groups?embed=group.apps&embed=group.pods&embed=group.groups")
    check(status == 200 and group["id"] == "/", f"the group of all: {status} {group}")
    status, answer = api(URL, "DELETE", "/v2/groups?force=true")
    check(status == 200, f"everything is removed: {status} {answer}")
    eventually("nothing is left", lambda: api(URL, "GET", "/v2/apps") == (200, {"apps": []}))
    eventually("no deployment runs", lambda: api(URL, "GET", "/v2/deployments") == (200, []))


main()
