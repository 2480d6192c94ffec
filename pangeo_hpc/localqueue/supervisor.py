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
from dataclasses import replace
from types import FrameType

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.localqueue import cores, trees
from pangeo_hpc.localqueue.launch import daemon_of, start_daemon
from pangeo_hpc.localqueue.pulse import wake
from pangeo_hpc.localqueue.records import Element, Standing
from pangeo_hpc.localqueue.script import start_script
from pangeo_hpc.localqueue.settings import Settings
from pangeo_hpc.localqueue.settle import begin, end_leftovers, marks, node_failed
from pangeo_hpc.localqueue.store import Store
from pangeo_hpc.localqueue.verdict import Cause, over_memory, over_walltime, verdict
from pangeo_hpc.processes import ProcessId, identify
from pangeo_hpc.schedulers.base import JobState

_LOG = logging.getLogger(__name__)
# A young tree, and one that is being ended, are looked at more often, in seconds.
_SOON, _ENDING_SAMPLE = 0.05, 0.1
# How long the end of a job waits for room on a full disk, in seconds.
_PATIENCE = 3600.0
# A queue whose folder is missing for so long was removed; its jobs are ended, in seconds.
_REMOVED = 5.0


def supervise(
    store: Store, wanted: str, settings: Settings, environ: Mapping[str, str]
) -> JobState | None:
    """Run one element from its start to its end; return None if it was not to be started."""
    element = begin(store, wanted, settings.capacity(), time.time(), cores.pick)
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
        self.cause: Cause | None = None
        self.kill_at = 0.0
        self.peak = 0
        self.pause = min(_SOON, settings.sample)
        self.status: int | None = None
        self.script: subprocess.Popen[bytes] | None = None
        self.deadline = time.monotonic() + element.job.walltime
        self.told_to_end = False
        self.revived = False
        self.complaint = ""
        self.seen_at = time.monotonic()
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
            cores.hold(tree, self.element.standing.cores)
            self._revive_daemon()
            self._sleep()
        if self.revived:
            end_leftovers(marks(self.store, self.element), None)
        return self._finish(*verdict(self.cause, self.status))

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGTERM:
            self.told_to_end = True

    def _start(self) -> None:
        """Start the script, and write down that it runs. Raise OSError if that is not possible."""
        started = time.time()
        # only the script: a daemon that we start is to see the whole machine
        with cores.held_to(self.element.standing.cores):
            self.script = start_script(self.store, self.element, started)
        trees.sacrifice(self.script.pid)
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
            self._begin_end(over_memory(used, limit))
        elif self._cancelled():
            self._begin_end(Cause(JobState.CANCELLED, "cancelled", wait))
        elif self.told_to_end:
            self._begin_end(Cause(JobState.NODE_FAIL, "the machine ended it (SIGTERM)", wait))
        elif self.status is not None and any(trees.is_here(who) for who in tree):
            self._begin_end(Cause(None, "", wait))
        elif time.monotonic() > self.deadline:
            self._begin_end(over_walltime(self.element.job.walltime, wait))

    def _cancelled(self) -> bool:
        """Tell whether somebody wants the job ended, or took its whole queue away."""
        try:
            if self.store.cancel_requested(self.element):
                return True
            if self.store.root.exists():
                self.seen_at = time.monotonic()
        except OSError as error:
            self._complain(error)  # the file system does not answer; that is no order
            self.seen_at = time.monotonic()
        return time.monotonic() - self.seen_at > _REMOVED

    def _begin_end(self, cause: Cause) -> None:
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

    def _finish(self, state: JobState, reason: str) -> JobState:
        """Write the last word; on a full disk, wait for room."""
        code = None if self.status is None else os.waitstatus_to_exitcode(self.status)
        last = replace(
            self.element.standing,
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            memory_used=self.peak or None,
        )
        now = time.time()
        if state is JobState.NODE_FAIL:
            last = node_failed(self.element.now(last), reason, now)
        else:
            last = last.end(state, reason, now=now)
        until, pause = time.monotonic() + _PATIENCE, 0.5
        while not self._write(last) and self.store.root.exists() and time.monotonic() < until:
            time.sleep(pause)
            pause = min(pause * 2, 30.0)
        self._revive_daemon(patience=20.0)
        return last.state

    def _write(self, standing: Standing) -> bool:
        """Write where the job stands, and tell whether that worked; it is watched either way."""
        self.element = self.element.now(standing)
        try:
            self.store.write(self.element, standing)
        except (OSError, PangeoHpcError) as error:
            self._complain(error)
            return False
        return True

    def _revive_daemon(self, patience: float = 0.5) -> None:
        """Start another daemon if it was killed, so that waiting jobs need no living user."""
        if daemon_of(self.store):
            return
        try:
            with self.store.locked(timeout=patience):
                others = (e for e in self.store.active() if not e.standing.state.ended)
                if daemon_of(self.store) or not any(others):
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
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        """Log what went wrong, once as long as it stays the same."""
        if str(error) != self.complaint:
            self.complaint = str(error)
            _LOG.warning("job %s: %s", self.element.id, error)
