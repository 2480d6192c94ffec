"""A user's Python session on the test cluster, led step by step by a test."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.daemons import wait_until
from tests.cluster.machine import VENV
from tests.cluster.sites import CommandLine
from tests.cluster.users import ClusterUser

PYTHON = f"{VENV}/bin/python"

UNTIL_KNOWN = """\
def until_known(cluster):
    # workers may be there before the queue was asked where they are
    while not all(job.node for job in cluster.jobs):
        time.sleep(0.2)

"""

# What every session begins with: `tell` prints a value, `pause` waits for the test.
HEAD = (
    """\
import json, os, sys, time
import pangeo_hpc
from pangeo_hpc.errors import PangeoHpcError

def tell(value):
    print("@" + json.dumps(value, default=str), flush=True)

def pause():
    sys.stdin.readline()

def error_of(action, *arguments, **options):
    try:
        action(*arguments, **options)
    except PangeoHpcError as error:
        return [type(error).__name__, str(error)]
    return None

"""
    + UNTIL_KNOWN
)


class Session:
    """A running session; `told` is the next value it tells, `go` lets it go on."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.said: list[str] = []

    def told(self) -> Any:
        """Return the next value."""
        stdout, stderr = self.process.stdout, self.process.stderr
        assert stdout and stderr
        for line in stdout:
            if line.startswith("@"):
                return json.loads(line[1:])
            self.said.append(line)
        raise AssertionError(f"it ended: {''.join(self.said)}{stderr.read()}")

    def go(self) -> None:
        """Let it go on."""
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def end(self) -> str:
        """Let it end well, and return what it said beside."""
        _, said = self.process.communicate(timeout=240)
        assert self.process.returncode == 0, said
        return said


@contextmanager
def session(
    cli: CommandLine, site: Path, text: str, variables: Mapping[str, str] | None = None
) -> Iterator[Session]:
    """Run a session until the test has ended."""
    script = cli.script("session.py", HEAD + text)
    environment = {"PANGEO_HPC_SITE": str(site), **(variables or {})}
    process = cli.user.popen([PYTHON, str(script)], env=environment, cwd=cli.here, stdin=-1)
    try:
        yield Session(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def jobs_of(user: ClusterUser, *more: str) -> dict[str, str]:
    """Return the user's jobs, each element of an array by itself, and their states."""
    words = ["squeue", "--noheader", "--me", "--array", "--format=%i %T", *more]
    return dict(row.split() for row in user.run(words).stdout.splitlines())


def all_gone(user: ClusterUser, seconds: float) -> None:
    """Fail if the user's jobs do not go by themselves; a second try does not meet them."""
    if wait_until(lambda: not jobs_of(user), seconds, every=0.5):
        return
    left = jobs_of(user)
    user.run(["scancel", "--me"])
    wait_until(lambda: not jobs_of(user), 60, every=0.5)
    raise AssertionError(f"jobs are left: {left}")
