"""What the scenarios have in common: waiting for something, never for a time, and the plain API to set things up."""

import json
import time
import urllib.error
import urllib.request

PATIENCE = 120.0
"""Seconds: how long anything may take that happens within a moment on a quiet machine."""


def eventually(what, question, patience=PATIENCE):
    """Asks until the answer is neither None nor False, and returns it."""
    started = time.monotonic()
    while True:
        answer = question()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() - started > patience:
            raise SystemExit(f"{what}: not within {patience:.0f} s")
        time.sleep(0.1)


def check(holds, what):
    """Ends the scenario unless this holds."""
    if not holds:
        raise SystemExit(f"this does not hold: {what}")


def step(what):
    print(f"  {what}", flush=True)


def api(url, method, path, body=None):
    """One request; the status and the JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, method=method, headers={"Content-Type": "application/json"})
    # The cluster is reached directly, whatever proxies there are for the rest.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as response:
            status, text = response.status, response.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    return status, json.loads(text) if text else None


def remove_all(url):
    """Removes what this or an earlier run left, and waits until it is gone."""
    status, _ = api(url, "DELETE", "/v2/groups/clients?force=true")
    if status == 404:
        return

    def gone():
        _, apps = api(url, "GET", "/v2/apps?embed=apps.counts")
        _, deployments = api(url, "GET", "/v2/deployments")
        ours = [app for app in apps["apps"] if app["id"].startswith("/clients/")]
        return not ours and not deployments

    eventually("what was left is gone", gone)
