"""The part of every cluster that knows what it has cost: `cluster.report`."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, cast

from pangeo_hpc.dask.accounts import Accounts
from pangeo_hpc.dask.part import Base
from pangeo_hpc.dask.place import announce
from pangeo_hpc.dask.report import Report, Unit, report_of
from pangeo_hpc.schedulers.base import JobStatus

if TYPE_CHECKING:
    from pangeo_hpc.dask.cluster import WorkerCluster


class Costs(Base):
    """Counts the core-hours of a cluster.

    `cores_per_thread` is how many cores, as the batch system counts them, one thread of a worker
    takes, and `cores_per_unit` how many a unit has, None for what its threads take.
    """

    cores_per_thread: int = 1
    cores_per_unit: int | None = None

    @cached_property
    def accounts(self) -> Accounts:
        """Return the accounts, which the scheduler keeps."""
        return Accounts(cast("WorkerCluster", self))

    def report(self, *, ask: bool = True) -> Report:
        """Return what the workers have cost up to now, for each job and in all.

        Core-hours are those that the jobs had from their start to their end: busy, idle, or lost
        with tasks that failed, were broken off, or whose results were lost. Without `ask` it is
        what was known last, and the batch system is left alone.
        """
        return self._report({job.worker: job for job in self.jobs} if ask else self.states())

    def _report(self, jobs: Mapping[str, JobStatus]) -> Report:
        accounts = dict(self.accounts.units)
        cores = self.cores_per_unit
        if cores is None:
            cores = self.workers_per_unit * self.threads_per_worker * self.cores_per_thread
        names = dict.fromkeys([*jobs, *accounts])
        units = [
            Unit(name=name, cores=cores, status=jobs.get(name), account=accounts.get(name))
            for name in names
        ]
        return report_of(self.name, units, cores_per_thread=self.cores_per_thread)

    def _say_costs(self) -> None:
        """Tell the person in one line, at the end, if there were workers; nobody is asked."""
        report = self._report(self.states())
        if report.total.requested > 0:
            announce(report.line())
