"""Several units at work at once, as many as fit in memory: on a Dask cluster, or in threads."""

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from pangeo_hpc.machine import this_machine
from pangeo_hpc.workflow.writing.shared import keep_here, keep_there
from pangeo_hpc.workflow.writing.work import Job, Work

# What computing, packing and compressing a unit takes, in its own size; and the part of the memory
# that is ours to fill.
_COPIES, _SHARE = 3, 0.5
# A write of the operating system's or of Zarr waits for the disk: that long others can compute.
_AHEAD = 1
# So many where memory allows: at the end of a unit most cores would have nothing to do.
_AT_LEAST = 2


class Flight:
    """Units that were started and are not finished.

    Use as a context: when left, what still runs is given up.
    """

    def __init__(self) -> None:
        self._client, self._get = _scheduler()
        self._cores = this_machine().cores
        # of this process; workers have limits of their own
        self._memory = _free_memory()
        self._done: queue.SimpleQueue[tuple[Job, BaseException | None]] = queue.SimpleQueue()
        self._pool: ThreadPoolExecutor | None = None
        self._futures: dict[str, list[Any]] = {}
        self._kept: list[Any] = []
        self.jobs: dict[str, Job] = {}
        self.most = 0

    def __enter__(self) -> "Flight":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        for futures in self._futures.values():
            if self._client is not None:
                with suppress(Exception):
                    self._client.cancel(futures)

    def has_room(self, job: Job) -> bool:
        """Tell whether one more unit fits, in memory and in what the cores can do."""
        if not self.jobs:
            return True
        if not self._concurrent:
            return False
        flying = [*self.jobs.values(), job]
        threads, memory = self._resources(job)
        ahead = sum(each.files for each in self.jobs.values())
        needed = sum(_COPIES * each.bytes + 2 * each.source for each in flying)
        return needed <= _SHARE * memory and (
            ahead < threads + _AHEAD or len(self.jobs) < _AT_LEAST
        )

    def prepare(self, work: Work) -> None:
        """Compute what most units need before the first of them, where it can be kept."""
        if self._client is not None and any(job.remote for job in work.jobs):
            _, memory = self._resources(work.jobs[0])
            self._kept = keep_there(work, memory, self._client)
        elif self._client is None and self._get is None:
            keep_here(work, self._memory, self._in_threads(work.jobs[0]))

    def start(self, work: Work, job: Job) -> None:
        """Begin a unit; its end is told by `wait`."""
        self.jobs[job.key] = job
        self.most = max(self.most, len(self.jobs))
        parts = (1 if job.remote else 0) + (1 if job.local else 0)
        ended = _Countdown(max(1, parts), lambda error: self._done.put((job, error)))
        if not parts:
            ended(None)
        client = self._client
        if job.remote and client is not None:
            self._start_remote(client, work, job, ended)
        elif job.remote:
            self._start_here(work, job.remote, ended, job)
        if job.local:
            self._start_here(work, job.local, ended, job)

    def wait(self) -> tuple[Job, BaseException | None]:
        """Return the next unit that has ended, and why it failed if it did."""
        job, error = self._done.get()
        del self.jobs[job.key]
        self._futures.pop(job.key, None)
        return job, error

    @property
    def _concurrent(self) -> bool:
        return self._client is not None or self._get is None

    def _resources(self, job: Job) -> tuple[int, int]:
        """Return threads and memory that a unit can have: of the workers, or of this process."""
        if self._client is None or not job.remote:
            return self._cores, self._memory
        workers = self._client.scheduler_info(**_all_workers(self._client)).get("workers", {})
        threads = sum(int(each["nthreads"]) for each in workers.values())
        memory = sum(int(each["memory_limit"] or 0) for each in workers.values())
        return threads, memory or self._memory

    def _in_threads(self, job: Job) -> Callable[[Any, list[Any]], Any]:
        import dask.threaded

        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads(job), thread_name_prefix="unit")
        return partial(dask.threaded.get, pool=self._pool)

    def _threads(self, job: Job) -> int:
        """Return how many threads of ours may work on files of this size at once."""
        one = _COPIES * job.bytes / max(1, job.files) + 2 * job.source
        return max(1, min(self._cores, int(_SHARE * self._memory / max(1.0, one))))

    def _start_remote(
        self, client: Any, work: Work, job: Job, ended: Callable[[BaseException | None], None]
    ) -> None:
        futures = client.get(work.tasks(job.remote), job.remote, sync=False)
        self._futures[job.key] = futures
        together = _Countdown(len(futures), ended)
        for future in futures:
            future.add_done_callback(lambda each: together(_error_of(each)))

    def _start_here(
        self, work: Work, keys: list[Any], ended: Callable[[BaseException | None], None], job: Job
    ) -> None:
        tasks = work.tasks(keys)
        get = self._get or self._in_threads(job)

        def work_on() -> None:
            try:
                get(tasks, keys)
            except BaseException as error:  # noqa: BLE001, it is raised where units are awaited
                ended(error)
            else:
                ended(None)

        if self._get is None:
            threading.Thread(target=work_on, name=f"unit {job.key}", daemon=True).start()
        else:
            work_on()


class _Countdown:
    """Calls once all have ended, with the first error."""

    def __init__(self, number: int, call: Callable[[BaseException | None], None]) -> None:
        self._left, self._call = number, call
        self._error: BaseException | None = None
        self._lock = threading.Lock()

    def __call__(self, error: BaseException | None) -> None:
        with self._lock:
            self._left -= 1
            self._error = self._error or error
            last = self._left == 0
        if last:
            self._call(self._error)


def _scheduler() -> tuple[Any, Any]:
    """Return the client of a cluster, or another way to compute that is set; two None: threads."""
    import dask.base
    import dask.threaded

    get = dask.base.get_scheduler()
    client = getattr(get, "__self__", None)
    if client is not None and hasattr(client, "scheduler_info"):
        return client, None
    return None, None if get is dask.threaded.get else get


def _all_workers(client: Any) -> dict[str, int]:
    """Return how to ask for all workers: newer versions of distributed tell of a few only."""
    import inspect

    known = inspect.signature(client.scheduler_info).parameters
    return {"n_workers": -1} if "n_workers" in known else {}


def _error_of(future: Any) -> BaseException | None:
    if future.status == "finished":
        return None
    if future.status == "error":
        error: BaseException = future.exception()
        return error
    return RuntimeError(f"Dask gave a task up: {future.key} is {future.status}")


def _free_memory() -> int:
    """Return the bytes that this process may still take, its own included."""
    import psutil

    mine = psutil.Process(os.getpid()).memory_info().rss
    return min(this_machine().memory, int(psutil.virtual_memory().available) + int(mine))
