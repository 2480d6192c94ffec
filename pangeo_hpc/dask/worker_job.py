"""One worker job as dask-jobqueue sees it."""

from typing import Any

import dask
from distributed.core import Status

from pangeo_hpc.dask import undo
from pangeo_hpc.dask.desk import Desk
from pangeo_hpc.schedulers.base import JobRequest
from pangeo_hpc.schedulers.script import render

undo.dask_jobqueue()
from dask_jobqueue.core import Job  # noqa: E402

# dask-jobqueue wants a section in Dask's configuration. Ours says nothing: the site YAML does.
SECTION = "pangeo-hpc"
_NOTHING: dict[str, object] = {
    "name": SECTION, "cores": None, "memory": None, "processes": None, "python": None,
    "interface": None, "death-timeout": None, "local-directory": None, "extra": None,
    "worker-command": "distributed.cli.dask_worker", "worker-extra-args": [], "job-extra": None,
    "job-extra-directives": [], "env-extra": None, "job-script-prologue": [],
    "header-skip": None, "job-directives-skip": [], "log-directory": None, "shebang": None,
    "shared-temp-directory": None, "scheduler-options": {},
}  # fmt: skip
dask.config.update_defaults({"jobqueue": {SECTION: _NOTHING}})


class WorkerJob(Job):
    """One batch job of Dask workers, submitted and cancelled by its cluster."""

    config_name = SECTION

    def __init__(self, scheduler: str, name: str, *, desk: Desk, **options: Any) -> None:
        super().__init__(scheduler=scheduler, name=name, **options)
        self.desk = desk

    @property
    def request(self) -> JobRequest:
        """Return the request of this job; each call gives its name a new nonce."""
        return self.desk.request(self.scheduler, self.name)

    def job_script(self) -> str:
        """Return the script, whose header is the batch system's for this request."""
        request = self.request
        return render(self.desk.scheduler.directives(request), request)

    def took(self, job_id: str | None) -> None:
        """Note that the batch system has this job."""
        self.job_id = job_id
        self.status = Status.running

    def gone(self) -> None:
        """Note that the job has ended, or was cancelled."""
        self.status = Status.closed
        self._event_finished.set()

    async def close(self) -> None:
        """Cancel nothing: the cluster does, for many jobs at once."""
        self.gone()
