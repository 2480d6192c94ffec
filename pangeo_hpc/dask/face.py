"""How a cluster shows itself in a notebook, and while somebody waits for its workers."""

from collections.abc import Sequence
from html import escape
from typing import Any

from dask.utils import format_bytes

from pangeo_hpc.dask import keeper
from pangeo_hpc.dask.part import Base
from pangeo_hpc.dask.table import JobsTable, WorkerJobStatus
from pangeo_hpc.dask.waiting import describe

# Rows of the table of jobs; `cluster.jobs` has all.
_MOST = 20


class Face(Base):
    """Shows a cluster: where its workers run, how many are here, its jobs, and buttons to scale.

    Nothing here asks the batch system: what is shown is what the cluster knows already.
    """

    # what the workers are, in words
    what: str = ""
    # the batch system whose words the reasons of waiting jobs are
    batch_system: str = ""
    may_scale: bool = True

    def known_jobs(self) -> Sequence[WorkerJobStatus]:
        """Return the batch jobs as they were last told of; nobody is asked."""
        return []

    def waiting_for(self, wanted: int) -> str:
        """Return one line for somebody who waits for so many workers, nothing if no job is why."""
        here = self.observed
        missing = [
            state
            for unit, state in self.states().items()
            if unit in self.worker_spec and here.isdisjoint(self._names(unit))
        ]
        return describe(self.batch_system, len(here), wanted, missing) if missing else ""

    def _scaling(self) -> str:
        """Return how the number of workers is chosen."""
        adaptive = self._adaptive
        if adaptive is None:
            return "by hand"
        if adaptive.error is not None:
            return f"adaptive scaling has ended: {adaptive.error.text}"
        most = "any number" if adaptive.maximum == float("inf") else f"{adaptive.maximum:.0f}"
        return f"adaptive, {adaptive.minimum} to {most} workers"

    def _facts(self) -> dict[str, str]:
        """Return what is said of the cluster, as HTML by title."""
        known = self.scheduler_info["workers"].values()
        workers = [worker for worker in known if worker["name"] != keeper.NAME]
        wanted = len(self.worker_spec) * self.workers_per_unit
        memory = sum(worker["memory_limit"] or 0 for worker in workers)
        facts = {
            "Workers": f"{len(workers)} of {wanted}, {escape(self.what)}",
            "Threads": str(sum(worker["nthreads"] for worker in workers)),
            "Memory": format_bytes(memory),
            "Scaling": escape(self._scaling()),
        }
        waiting = self.waiting_for(wanted)
        if waiting:
            facts["Waiting"] = escape(waiting)
        if self.gave_up is not None:
            facts["Given up"] = escape(self.gave_up.text.splitlines()[0])
        link = self.dashboard_link
        if link:
            facts["Dashboard"] = f'<a href="{escape(link)}" target="_blank">{escape(link)}</a>'
        return facts

    def _repr_html_(self, cluster_status: None = None) -> str:  # noqa: ARG002 - of the base class
        rows = "".join(
            f'<tr><th style="text-align: left">{title}</th>'
            f'<td style="text-align: left">{text}</td></tr>'
            for title, text in self._facts().items()
        )
        head = f"<h3>{type(self).__name__} {escape(self.name)}</h3>"
        return f"<div>{head}<table>{rows}</table>{self._jobs_html()}</div>"

    def _jobs_html(self) -> str:
        jobs = sorted(self.known_jobs(), key=lambda job: job.state.ended)
        if not jobs:
            return ""
        text = JobsTable(jobs[:_MOST])._repr_html_()
        more = len(jobs) - _MOST
        if more > 0:
            text += f"<p>and {more} more: <code>cluster.jobs</code></p>"
        live = sum(not job.state.ended for job in jobs)
        title = f"{live} of {len(jobs)} jobs are there"
        return f"<details><summary>{title}</summary>{text}</details>"

    def _widget(self) -> Any:
        """Return the same with buttons, or None where ipywidgets is missing."""
        try:
            from pangeo_hpc.dask.buttons import Buttons
        except ImportError:
            return None
        shown = getattr(self, "_buttons", None)
        if shown is None:
            shown = self._buttons = Buttons(self)
        return shown.box
