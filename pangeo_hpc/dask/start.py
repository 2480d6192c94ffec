"""Start a Dask cluster where it belongs: in this allocation, on this machine, or as batch jobs."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pangeo_hpc import jobs
from pangeo_hpc.dask.link import tell_dashboard
from pangeo_hpc.dask.office import Office
from pangeo_hpc.dask.place import Where, announce, choose, in_notebook
from pangeo_hpc.errors import UsageError, WorkerJobFailed
from pangeo_hpc.site import Site

if TYPE_CHECKING:
    from pangeo_hpc.dask.cluster import WorkerCluster

# Seconds for workers on nodes that we have already.
_PATIENCE = 180.0


def start_cluster(
    node_type: str | None = None,
    *,
    workers: int | None = None,
    where: Where | None = None,
    site: Site | str | Path | None = None,
    cores: int | str | None = None,
    memory: int | str | None = None,
    walltime: timedelta | str | None = None,
    account: str | None = None,
    options: Mapping[str, str] | None = None,
    environment: str | None = None,
    name: str | None = None,
) -> "WorkerCluster":
    """Start a Dask cluster and return it: a context manager, with `get_client` and `scale`.

    The workers fill the allocation that this process has, or are programs of this machine on a
    `local` site, or else batch jobs of a node type; `where` says it outright. `workers` counts
    worker processes: without it, they fill the allocation or the machine, or one job. `cores` and
    `memory` are per job, or of the machine for local workers. All connections use TLS with a key
    of this cluster's own. Raise RequestRefused or UsageError before anything is started,
    SubmitRefused if the scheduler says no, and WorkerJobFailed if workers that should be there at
    once end.
    """
    ask = jobs.Ask(
        node_type=node_type,
        cores=cores,
        memory=memory,
        walltime=walltime,
        account=account,
        options=dict(options or {}),
    )
    if workers is not None and workers < 0:
        raise UsageError(f"{workers} is not a number of workers", hint="give 0 or more")
    office = Office.open(site, ask, environment, name or "dask")
    choice = choose(where, office.kind, office.here, notebook=in_notebook())
    starters = {"jobs": office.on_jobs, "local": office.on_this_machine, "allocation": office.fill}
    cluster, number = starters[choice.where](workers, choice.why)
    tell_dashboard(cluster.folder)
    return _scaled(cluster, number, wait=choice.where != "jobs")


def _scaled(cluster: "WorkerCluster", number: int, *, wait: bool) -> "WorkerCluster":
    """Return a cluster with its first workers, or close it and raise why it has none.

    If only some of them come, in a job that was waited for, the work goes on with these.
    """
    from distributed.exceptions import WorkerStartTimeoutError

    try:
        cluster.scale(number)
        if wait and number:
            cluster.wait_for_workers(number, _PATIENCE)
    except WorkerStartTimeoutError as error:
        text = f"{error.available_workers} of {number} workers came within {_PATIENCE:.0f} s"
        if error.available_workers:
            announce(f"only {text}; see {cluster.folder}/*.log")
            return cluster
        cluster.close()
        hint = f"their output: {cluster.folder}/*.log; can they reach {cluster.scheduler_address}?"
        raise WorkerJobFailed(text, hint=hint) from None
    except BaseException:
        cluster.close()
        raise
    return cluster
