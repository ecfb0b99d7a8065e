"""avmesos-cli: its lists agree with /state, exec runs in a task's container, attach is at its terminal."""

import atexit
import os
import pty
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from common import check, eventually, step
from mesos import command_task, state
from plain_framework import PlainFramework

URL = sys.argv[1]
PATIENCE = 120


def mesos(*arguments, stdin=subprocess.DEVNULL, **more):
    ended = subprocess.run(["mesos-cli", *arguments], stdin=stdin, capture_output=True, timeout=PATIENCE, **more)
    return ended.returncode, ended.stdout.decode(), ended.stderr.decode()


def listed(*arguments):
    """The rows of a list, each as its words."""
    status, said, why = mesos(*arguments)
    check(status == 0, f"{' '.join(arguments)}: {status} {said} {why}")
    return sorted(tuple(line.split()) for line in said.splitlines()[1:])


def agree(what, told, known):
    """Asked both until they agree: something may happen in between."""
    seen = {}

    def same():
        seen.update(listed=told(), state=known(state(URL)))
        return seen["listed"] == seen["state"]

    try:
        eventually(f"{what} agree", same, patience=30)
    except SystemExit as why:
        raise SystemExit(f"{why}: {seen}") from None
    return seen["listed"]


def agents(known):
    return sorted((slave["id"], slave["hostname"], str(slave["active"])) for slave in known["slaves"])


def frameworks(known):
    # A column may be empty, and a name have several words.
    active = [one for one in known["frameworks"] if one["active"]]
    return sorted((one["id"], "True", *one["hostname"].split(), *one["name"].split()) for one in active)


def tasks(known):
    running = [task for one in known["frameworks"] for task in one["tasks"] if task["state"] == "TASK_RUNNING"]
    return sorted((task["id"], task["state"], task["framework_id"], *task["executor_id"].split()) for task in running)


def lists(framework):
    step("its lists agree with /state")
    check(agree("agents", lambda: listed("agent", "list"), agents), "there are agents")
    own = agree("frameworks", lambda: listed("framework", "list"), frameworks)
    check(framework.id in [row[0] for row in own], f"{framework.id} is one of them: {own}")
    own = agree("tasks", lambda: listed("task", "list"), tasks)
    check(len([row for row in own if row[2] == framework.id]) == 2, f"two are of {framework.id}: {own}")


def executes(task):
    step("exec runs in the task's container")
    status, said, why = mesos("task", "exec", task, "echo", "hi")
    check((status, said) == (0, "hi\n"), f"echo hi: {status} {said!r} {why!r}")
    status, said, why = mesos("task", "exec", task, "cat", "left")
    check((status, said) == (0, "by the task\n"), f"it sees the task's files: {status} {said!r} {why!r}")
    status, said, why = mesos("task", "exec", task, "cat", "nothing")
    check(status == 1 and not said and "nothing" in why, f"its end and stderr: {status} {said!r} {why!r}")
    with tempfile.TemporaryFile() as words:
        words.write(b"one\ntwo\n" * 1000)
        words.seek(0)
        status, said, why = mesos("task", "exec", "-i", task, "wc", "-l", stdin=words)
    check((status, said.strip()) == (0, "2000"), f"it reads what comes in: {status} {said!r} {why!r}")
    status, said, why = mesos("task", "exec", "nobody", "echo", "hi")
    check(status != 0 and "Unable to find running task" in why, f"a task that is not: {status} {said!r} {why!r}")


class Terminal:
    """The client at a terminal of its own, and so in a group of its own: it is ended with this one, however that ends."""

    all = []

    def __init__(self, *arguments):
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(["mesos-cli", *arguments], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        Terminal.all.append(self.process)
        os.close(theirs)
        os.set_blocking(self.ours, False)
        self.seen = b""

    def shows(self, wanted):
        def question():
            try:
                self.seen += os.read(self.ours, 65536)
            except (BlockingIOError, OSError):
                pass
            return wanted in self.seen

        try:
            eventually(f"{wanted!r} is shown", question)
        except SystemExit as why:
            raise SystemExit(f"{why}; it shows {self.seen!r}") from None

    def types(self, text):
        os.write(self.ours, text)

    def end(self):
        return self.process.wait(PATIENCE)


def leave_none():
    for process in Terminal.all:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def attaches(task, without):
    step("attach is at the task's terminal, and leaves it without ending it")
    terminal = Terminal("task", "attach", task)
    terminal.types(b"harbour\r")
    terminal.shows(b"heard harbour")
    terminal.types(b"\x10\x11")
    check(terminal.end() == 0, f"detached: {terminal.seen!r}")
    again = Terminal("task", "attach", task)
    again.types(b"again\r")
    again.shows(b"heard again")
    again.types(b"\x10\x11")
    check(again.end() == 0, f"detached: {again.seen!r}")
    none = Terminal("task", "attach", without)
    none.shows(b"launched without a TTY")
    check(none.end() != 0, "a task without a terminal cannot be attached to")

    step("exec with a terminal of its own")
    terminal = Terminal("task", "exec", "-i", "-t", without, "sh")
    terminal.types(b"tty && exit 7\r")
    terminal.shows(b"/dev/")
    check(terminal.end() == 7, f"its end: {terminal.seen!r}")


def main():
    atexit.register(leave_none)
    # So that what is registered is done.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ["MESOS_CLI_CONFIG"] = os.path.join(os.environ["SCRATCH"], "config.toml")
    with open(os.environ["MESOS_CLI_CONFIG"], "w", encoding="utf-8") as config:
        config.write(f'[master]\naddress = "{URL.removeprefix("http://")}"\n')
    framework = PlainFramework(URL, "clients-avmesos-cli")
    plain = command_task("plain", "", "echo by the task >left; exec sleep 1000")
    terminal = command_task("terminal", "", "while read -r word; do echo heard $word; done")
    terminal["container"] = {"type": "MESOS", "tty_info": {}}
    framework.launch([plain, terminal])
    lists(framework)
    executes(plain["task_id"]["value"])
    attaches(terminal["task_id"]["value"], plain["task_id"]["value"])
    framework.call("TEARDOWN")
    eventually("it has completed", lambda: framework.id in [one["id"] for one in state(URL)["completed_frameworks"]])


main()
