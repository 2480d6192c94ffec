"""One process per running job: it starts the script, watches its whole tree, and ends it.

Orphans of the tree return to it (`PR_SET_CHILD_SUBREAPER`), so that nothing escapes by forking
twice, and the job has ended only when nothing of it is left.
"""

import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import FrameType

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.localqueue import trees
from pangeo_hpc.localqueue.launch import daemon_of, start_daemon
from pangeo_hpc.localqueue.pulse import wake
from pangeo_hpc.localqueue.records import Element, Standing
from pangeo_hpc.localqueue.script import start_script
from pangeo_hpc.localqueue.settings import Settings
from pangeo_hpc.localqueue.settle import begin, end_leftovers, marks, node_failed
from pangeo_hpc.localqueue.store import Store
from pangeo_hpc.processes import ProcessId, identify
from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.units import format_memory, format_walltime

_LOG = logging.getLogger(__name__)
# A young tree, and one that is being ended, are looked at more often, in seconds.
_SOON, _ENDING_SAMPLE = 0.05, 0.1
# How long the end of a job waits for room on a full disk, in seconds.
_PATIENCE = 3600.0


@dataclass(frozen=True)
class _Cause:
    """Why a tree is being ended, and how long after SIGTERM it is killed."""

    state: JobState | None
    reason: str
    grace: float


def supervise(
    store: Store, wanted: str, settings: Settings, environ: Mapping[str, str]
) -> JobState | None:
    """Run one element from its start to its end; return None if it was not to be started."""
    element = begin(store, wanted, settings.capacity(), time.time())
    if element is None:
        return None
    supervisor = _Supervisor(store, element, settings, environ)
    state = supervisor.run()
    wake(store)
    return state


class _Supervisor:
    def __init__(
        self, store: Store, element: Element, settings: Settings, environ: Mapping[str, str]
    ) -> None:
        self.store = store
        self.element = element
        self.settings = settings
        self.environ = environ
        self.cause: _Cause | None = None
        self.kill_at = 0.0
        self.peak = 0
        self.pause = min(_SOON, settings.sample)
        self.status: int | None = None
        self.script: subprocess.Popen[bytes] | None = None
        self.deadline = time.monotonic() + element.job.walltime
        self.told_to_end = False
        self.revived = False
        self._awake, waker = os.pipe()
        for descriptor in (self._awake, waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, self._note)
        signal.signal(signal.SIGTERM, self._note)

    def run(self) -> JobState:
        """Start the script and watch it until nothing of it is left."""
        trees.adopt_orphans(True)
        if self.store.cancel_requested(self.element):
            return self._finish(JobState.CANCELLED, "cancelled before it started")
        try:
            self._start()
        except OSError as error:
            where = f" {error.filename}" if error.filename else ""
            return self._finish(JobState.FAILED, f"cannot start:{where} {error.strerror}")
        while self._reap():
            tree = trees.descendants([os.getpid()])
            self._judge(tree)
            self._signal(tree)
            self._revive_daemon()
            self._sleep()
        if self.revived:
            end_leftovers(marks(self.store, self.element), None)
        return self._finish(*self._verdict())

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGTERM:
            self.told_to_end = True

    def _start(self) -> None:
        """Start the script, and write down that it runs. Raise OSError if that is not possible."""
        started = time.time()
        self.script = start_script(self.store, self.element, started)
        self.deadline = time.monotonic() + self.element.job.walltime
        self._write(
            replace(
                self.element.standing,
                state=JobState.RUNNING,
                started=started,
                script=identify(self.script.pid),
            )
        )

    def _reap(self) -> bool:
        """Take leave of children that have ended; tell whether any are left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if self.script and pid == self.script.pid:
                self.status = status
                self.script.returncode = os.waitstatus_to_exitcode(status)

    def _judge(self, tree: list[ProcessId]) -> None:
        """Decide whether the tree is to be ended."""
        used = trees.memory(tree, above=self.peak)
        self.peak = max(self.peak, used)
        limit, wait = self.element.job.memory, self.settings.kill_wait
        if used > limit:
            words = f"used {format_memory(used)} of {format_memory(limit)}"
            self._begin_end(_Cause(JobState.OUT_OF_MEMORY, words, 0.0))
        elif self.store.cancel_requested(self.element):
            self._begin_end(_Cause(JobState.CANCELLED, "cancelled", wait))
        elif self.told_to_end:
            self._begin_end(_Cause(JobState.NODE_FAIL, "the machine ended it (SIGTERM)", wait))
        elif self.status is not None and any(trees.is_here(who) for who in tree):
            self._begin_end(_Cause(None, "", wait))
        elif time.monotonic() > self.deadline:
            words = f"ran for longer than {_time(self.element.job.walltime)}"
            self._begin_end(_Cause(JobState.TIMEOUT, words, wait))

    def _begin_end(self, cause: _Cause) -> None:
        """Begin to end the tree, once; going over memory later only hastens it."""
        if self.cause is None:
            self.cause = cause
            self.kill_at = time.monotonic() + cause.grace
            if cause.grace > 0:
                for who in trees.descendants([os.getpid()]):
                    trees.send(who, signal.SIGTERM)
                    trees.send(who, signal.SIGCONT)
            self._write(replace(self.element.standing, state=JobState.ENDING, reason=cause.reason))
        elif cause.grace == 0:
            self.kill_at = time.monotonic()

    def _signal(self, tree: list[ProcessId]) -> None:
        """Kill what is left when the grace is over."""
        if self.cause is not None and time.monotonic() >= self.kill_at:
            for who in tree:
                trees.send(who, signal.SIGKILL)

    def _sleep(self) -> None:
        """Wait for a child to end or a signal, but not past the next sample."""
        pause = _ENDING_SAMPLE
        if self.cause is None:
            pause = min(self.pause, max(0.0, self.deadline - time.monotonic()) + 0.01)
            self.pause = min(self.pause * 2, self.settings.sample)
        ready, _, _ = select.select([self._awake], [], [], pause)
        if ready:
            os.read(self._awake, 4096)

    def _verdict(self) -> tuple[JobState, str]:
        """Return how the job ended, and why."""
        if self.cause is not None and self.cause.state is not None:
            return self.cause.state, self.cause.reason
        code = os.waitstatus_to_exitcode(self.status) if self.status is not None else 1
        if code == 0:
            return JobState.COMPLETED, ""
        if code < 0:
            return JobState.FAILED, f"ended by {_signal_name(-code)}"
        return JobState.FAILED, f"exit status {code}"

    def _finish(self, state: JobState, reason: str) -> JobState:
        """Write the last word; on a full disk, wait for room."""
        code = None if self.status is None else os.waitstatus_to_exitcode(self.status)
        last = replace(
            self.element.standing,
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            memory_used=self.peak if self.script else None,
        )
        now = time.time()
        if state is JobState.NODE_FAIL:
            last = node_failed(self.element.now(last), reason, now)
        else:
            last = last.end(state, reason, now=now)
        until, pause = time.monotonic() + _PATIENCE, 0.5
        while not self._write(last) and time.monotonic() < until:
            time.sleep(pause)
            pause = min(pause * 2, 30.0)
        return last.state

    def _write(self, standing: Standing) -> bool:
        """Write where the job stands, and tell whether that worked; it is watched either way."""
        self.element = self.element.now(standing)
        try:
            self.store.write(self.element, standing)
        except (OSError, PangeoHpcError) as error:
            _LOG.warning("job %s: %s", self.element.id, error)
            return False
        return True

    def _revive_daemon(self) -> None:
        """Start another daemon if it was killed, so that waiting jobs need no living user."""
        if daemon_of(self.store):
            return
        try:
            with self.store.locked(timeout=0.5):
                if daemon_of(self.store):
                    return
                # The daemon must not come back to us; what slips away from the job meanwhile
                # is found by its marks in the end.
                self.revived = True
                trees.adopt_orphans(False)
                try:
                    start_daemon(self.store, self.settings, self.environ)
                finally:
                    trees.adopt_orphans(True)
        except (OSError, PangeoHpcError) as error:
            _LOG.warning("no daemon could be started: %s", error)


def _time(seconds: float) -> str:
    return format_walltime(timedelta(seconds=seconds))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
