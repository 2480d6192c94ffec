"""A real queue in a folder of its own, with every process of it ended when the test is over."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pangeo_hpc.localqueue.store import Store
from pangeo_hpc.processes import ProcessId
from pangeo_hpc.run import converse
from pangeo_hpc.schedulers.base import JobRequest, JobState, JobStatus, SchedulerOptions
from pangeo_hpc.schedulers.local import Local, package_environment, program
from pangeo_hpc.schedulers.script import render

LONGEST = 30.0


class RealQueue:
    """A queue of two cores and 4 GiB."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "queue"
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.environment = {
            # the login shells of jobs shall not read the profile of whoever runs the tests
            "HOME": str(self.home),
            "PANGEO_LOCALQUEUE_TOTAL_CORES": "2",
            "PANGEO_LOCALQUEUE_TOTAL_MEMORY": "4 GiB",
            "PANGEO_LOCALQUEUE_KILL_WAIT": "1 second",
            "PANGEO_LOCALQUEUE_SAMPLE": "0.2 seconds",
        }

    @property
    def scheduler(self) -> Local:
        return Local(SchedulerOptions(state=self.root, environment=self.environment))

    @property
    def store(self) -> Store:
        return Store(self.root)

    def argv(self, verb: str, *arguments: str) -> list[str]:
        return [*program(sys.executable), verb, "--state", str(self.root), *arguments]

    def call(self, verb: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.argv(verb, *arguments),
            env=self.variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )

    @property
    def variables(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"]} | package_environment() | self.environment

    def write(self, body: str, name: str = "job.sh") -> Path:
        path = self.folder / name
        path.write_text(body if body.startswith("#!") else f"#!/bin/bash\n{body}\n")
        return path

    def submit(self, body: str, *options: str, name: str = "job.sh") -> str:
        done = self.call("submit", *options, str(self.write(body, name)))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def submit_request(self, request: JobRequest) -> str:
        script = self.write(render(self.scheduler.directives(request), request))
        return converse(self.scheduler.submit(script, request))

    def answer(self, verb: str, *arguments: str) -> Any:
        done = self.call(verb, *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def states(self, *ids: str) -> dict[str, JobStatus]:
        return converse(self.scheduler.status(ids))

    def status(self, job_id: str) -> JobStatus:
        return self.states(job_id)[job_id]

    def wait(self, job_id: str, *wanted: JobState) -> JobStatus:
        """Wait for one of some states, or for any end; a command sees to it that all goes on."""
        status = self.status(job_id)

        def there() -> bool:
            state = self.state_on_disk(job_id)
            return state in wanted if wanted else state.ended

        while not (status.state in wanted if wanted else status.state.ended):
            until(there, f"{job_id} to be {wanted or 'ended'}")
            status = self.status(job_id)
        return status

    def state_on_disk(self, job_id: str) -> JobState:
        """Return a state without a command, which would start the daemon and settle things."""
        return self.store.look(job_id)[0].standing.state

    def wait_on_disk(self, job_id: str, state: JobState) -> None:
        until(lambda: self.state_on_disk(job_id) is state, f"{job_id} to be {state}")

    def output(self, job_id: str) -> str:
        return (self.folder / f"local-{job_id}.out").read_text()

    def daemon(self) -> ProcessId | None:
        from pangeo_hpc.localqueue.launch import daemon_of

        return daemon_of(self.store)

    def supervisor(self, job_id: str) -> int:
        who = self.store.look(job_id)[0].standing.supervisor
        assert who is not None
        return who.pid

    def kill_daemon(self) -> None:
        daemon = self.daemon()
        if daemon:
            os.kill(daemon.pid, signal.SIGKILL)
            until(lambda: self.daemon() != daemon, "the daemon to be gone")

    def processes(self) -> list[psutil.Process]:
        """Return every process that belongs to this queue: its programs and its jobs."""
        found, mark = [], str(self.root)
        for process in psutil.process_iter():
            try:
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                ours = any(mark in word for word in process.cmdline())
                if ours or process.environ().get("PANGEO_LOCALQUEUE_STATE") == mark:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def jobs_processes(self) -> list[psutil.Process]:
        return [p for p in self.processes() if "pangeo_hpc.localqueue" not in _cmdline(p)]

    def freeze(self) -> None:
        """Stop every process where it is, so that none sees another end."""
        frozen: set[psutil.Process] = set()
        while moving := set(self.processes()) - frozen:
            for process in moving:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
            frozen |= moving

    def end_everything(self) -> None:
        deadline = time.monotonic() + LONGEST
        while left := self.processes():
            # programs first, or they start others
            for process in sorted(left, key=lambda p: "supervise" in _cmdline(p)):
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            assert time.monotonic() < deadline, f"cannot be ended: {left}"
            time.sleep(0.02)


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def until(ask: Callable[[], Any], what: str, longest: float = LONGEST) -> Any:
    """Ask again and again until the answer is true."""
    deadline = time.monotonic() + longest
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.03)
    return answer


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[RealQueue]:
    made = RealQueue(tmp_path)
    try:
        yield made
    finally:
        made.end_everything()
