"""Start a Dask cluster where it belongs: in this allocation, on this machine, or as batch jobs."""

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pangeo_hpc import allocation, files, jobs, private
from pangeo_hpc.allocation import Allocation
from pangeo_hpc.dask.command import WorkerCommand, environment_of, variables_of
from pangeo_hpc.dask.security import VALID, make_keys
from pangeo_hpc.dask.shape import Shape, shape_of
from pangeo_hpc.errors import UsageError, WorkerJobFailed
from pangeo_hpc.jobs.plan import NAME
from pangeo_hpc.schedulers import registry
from pangeo_hpc.schedulers.base import Scheduler, SchedulerOptions
from pangeo_hpc.site import NodeType, Person, Site, current_person, load_site
from pangeo_hpc.site.builtin import this_machine
from pangeo_hpc.units import parse_memory

if TYPE_CHECKING:
    from pangeo_hpc.dask.cluster import WorkerCluster

Where = Literal["jobs", "local", "allocation"]

# Set to 1, nothing is said about where the workers are.
QUIET = "PANGEO_HPC_QUIET"

# Seconds for workers on nodes that we have already.
_PATIENCE = 180.0


@dataclass(frozen=True)
class Choice:
    """Where workers run, and why."""

    where: Where
    why: str


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
    office = _Office.open(site, ask, environment, name or "dask")
    choice = choose(where, office.node_kind, office.here, notebook=_in_notebook())
    starters = {"jobs": office.on_jobs, "local": office.on_this_machine, "allocation": office.fill}
    return starters[choice.where](workers, choice.why)


def choose(
    where: Where | None, kind: str, here: Allocation | None, *, notebook: bool = False
) -> Choice:
    """Return where workers run.

    `kind` is the batch system of the node type, `here` the job this process runs in, `notebook`
    whether a person works in it. Raise UsageError for an allocation that is not there.
    """
    if where == "allocation" and here is None:
        hint = "leave `where` out, or run this in a job: pangeo-hpc submit, sbatch, qsub"
        raise UsageError("where='allocation', but this process is in no job", hint=hint)
    if where not in (None, "jobs", "local", "allocation"):
        hint = "jobs, local or allocation"
        raise UsageError(f"where={where!r} is no place for Dask workers", hint=hint)
    if where is not None:
        return Choice(where, "as asked")
    if here is not None and len(here.nodes) > 1:
        return Choice("allocation", f"this is job {here.job_id} on {len(here.nodes)} nodes")
    if kind == "local":
        return Choice("local", "the site has no batch system but this machine")
    if here is not None and not notebook:
        return Choice("local", f"this is job {here.job_id} on one node")
    why = "a notebook stays small" if here else "this is not a job"
    return Choice("jobs", why)


def announce(text: str, environ: Mapping[str, str] | None = None) -> None:
    """Tell the person in one line, on stderr; PANGEO_HPC_QUIET=1 keeps it silent."""
    if (os.environ if environ is None else environ).get(QUIET) != "1":
        sys.stderr.write(f"pangeo-hpc: {text}\n")


@dataclass(frozen=True, kw_only=True)
class _Office:
    """All that is known before anything is started."""

    site: Site
    person: Person
    ask: jobs.Ask
    node: NodeType
    node_kind: str
    here: Allocation | None
    environment: str | None
    name: str

    @classmethod
    def open(
        cls, site: Site | str | Path | None, ask: jobs.Ask, environment: str | None, name: str
    ) -> "_Office":
        if not NAME.fullmatch(name):
            hint = "use letters, digits, dot, dash and underscore, at most 60, a letter first"
            raise UsageError(f"{name!r} cannot be the name of a cluster", hint=hint)
        found = site if isinstance(site, Site) else load_site(site)
        node = found.node_type(ask.node_type)
        return cls(
            site=found,
            person=current_person(),
            ask=ask,
            node=node,
            node_kind=found.scheduler_of(node)[1].type,
            here=allocation.current(),
            environment=environment,
            name=name,
        )

    def on_jobs(self, workers: int | None, why: str) -> "WorkerCluster":
        """Start workers as batch jobs."""
        from pangeo_hpc.dask.jobs_cluster import Desk, JobsCluster

        # every limit of the site is checked before anything exists
        probe = jobs.plan(
            self.site, self.ask, name=self.name, command=("true",), use="dask", person=self.person
        )
        shape = self.shape(probe.cores, probe.memory)
        folder = self.folder()
        desk = Desk(
            site=self.site,
            person=self.person,
            ask=self.ask,
            name=self.name,
            folder=folder,
            command=self.command(folder, shape, interface=self.node.interface),
            scheduler=jobs.scheduler_of(self.site, self.node.name, self.person),
            limit=self.node.max_jobs,
        )
        number = shape.processes if workers is None else workers
        count = -(-number // shape.processes)
        many = f"{count} {self.node_kind} {'job' if count == 1 else 'jobs'}"
        announce(f"Dask workers are {many} of node type {self.node.name}, {shape} each ({why})")
        host = address_of(self.node.interface)
        cluster = JobsCluster(name=folder.name, folder=folder, desk=desk, host=host, request=probe)
        return _scaled(cluster, number, wait=False)

    def on_this_machine(self, workers: int | None, why: str) -> "WorkerCluster":
        """Start workers as programs of this machine, as large as what we have of it."""
        from pangeo_hpc.dask.local_cluster import LOOPBACK, LocalCluster

        cores, memory = self.ours()
        shape = self.shape(cores, memory, workers=workers, scheduler_too=True)
        one = Shape(1, shape.threads, shape.memory)
        number = shape.processes if workers is None else workers
        announce(f"Dask workers are programs of this machine: {shape} ({why})")
        folder = self.folder()
        command = self.command(folder, one, host=LOOPBACK)
        cluster = LocalCluster(name=folder.name, folder=folder, command=command)
        return _scaled(cluster, number, wait=True)

    def fill(self, workers: int | None, why: str) -> "WorkerCluster":
        """Start workers on all nodes of the job we are in."""
        from pangeo_hpc.dask.allocation_cluster import AllocationCluster

        here = self.here
        if here is None or (len(here.nodes) == 1 and workers is not None):
            return self.on_this_machine(workers, why)
        cores, memory = self.ours()
        shape = self.shape(cores, memory, scheduler_too=True)
        folder = self.folder()
        count = len(here.nodes)
        announce(f"Dask workers fill job {here.job_id}, {shape} on each of {count} nodes ({why})")
        interface = self.node.interface if self.ask.node_type else None
        cluster = AllocationCluster(
            name=folder.name,
            folder=folder,
            command=self.command(folder, shape, interface=interface),
            host=address_of(interface),
            allocation=here,
            scheduler=self.scheduler_of(here),
            cores=cores,
            memory=memory,
        )
        number = cluster.workers_per_unit if workers is None else workers
        return _scaled(cluster, number, wait=True)

    def ours(self) -> tuple[int, int]:
        """Return the cores and the bytes of this machine that workers may take."""
        machine = this_machine()
        most_cores, most_memory = machine.cores, machine.memory
        if self.here is not None:
            most_cores = self.here.cores or most_cores
            most_memory = self.here.memory or most_memory
        elif self.node_kind == "local" or self.ask.node_type:
            most_cores = min(most_cores, self.node.cores)
            most_memory = min(most_memory, self.node.memory)
        asked = self.ask
        cores = most_cores if asked.cores is None else _parsed("cores", int, asked.cores)
        bytes_ = most_memory
        if asked.memory is not None:
            bytes_ = _parsed("memory", _bytes, asked.memory)
        if cores < 1 or cores > most_cores or bytes_ > most_memory:
            text = f"{cores} cores and {bytes_ >> 20} MiB are not there for local workers"
            hint = f"there are {most_cores} cores and {most_memory >> 20} MiB"
            raise UsageError(text, hint=hint)
        return cores, bytes_

    def shape(
        self,
        cores: int,
        memory: int | None,
        *,
        workers: int | None = None,
        scheduler_too: bool = False,
    ) -> Shape:
        """Return the shape of workers, as the site says where that fits."""
        told = self.node.dask
        return shape_of(
            cores,
            memory,
            threads_per_core=self.node.threads_per_core,
            told=(told.processes, told.threads) if told else None,
            processes=workers,
            scheduler_too=scheduler_too,
        )

    def folder(self) -> Path:
        """Make the private folder of a new cluster; those of long ago go."""
        from pangeo_hpc.dask.cluster import remove_old

        home = self.site.user_state_path(self.person) / "clusters"
        with files.refusals(home):
            private.ensure_directory(home)
            remove_old(home, VALID.days)
            folder = private.ensure_directory(home / jobs.with_nonce(self.name))
        files.write_json(folder / "site.json", self.site.dump(), mode=0o600)
        return folder

    def command(
        self, folder: Path, shape: Shape, *, interface: str | None = None, host: str | None = None
    ) -> WorkerCommand:
        """Return how the workers of a new cluster are started."""
        environment = environment_of(self.site, self.environment, self.person)
        disk = self.node.local_disk
        return WorkerCommand(
            python=environment.python,
            keys=make_keys(folder / "tls"),
            shape=shape,
            setup=environment.setup,
            variables=variables_of(self.site, self.person, environment, folder / "site.json"),
            interface=interface,
            host=host,
            local_disk=disk.path if disk else None,
        )

    def scheduler_of(self, here: Allocation) -> Scheduler:
        """Return the batch system of the job we are in, with the site's options if it has them."""
        for key, entry in self.site.schedulers.items():
            if entry.type == here.scheduler:
                return jobs.scheduler_named(self.site, key, self.person)
        return registry.make(here.scheduler, SchedulerOptions())


def address_of(interface: str | None) -> str:
    """Return this host's address for workers: of an interface that it has, else of its route out.

    No packet is sent to find out.
    """
    import psutil

    every = psutil.net_if_addrs()
    for entry in every.get(interface or "", ()):
        if entry.family == socket.AF_INET:
            return str(entry.address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            pass
    addresses = [e.address for es in every.values() for e in es if e.family == socket.AF_INET]
    return next((a for a in addresses if not a.startswith("127.")), "127.0.0.1")


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


def _in_notebook() -> bool:
    """Tell whether a person works in this process; a notebook run as a job is a script."""
    return "ipykernel" in sys.modules and "PANGEO_HPC_RUN" not in os.environ


def _parsed(what: str, parse: Callable[[int | str], int], value: int | str) -> int:
    try:
        return parse(value)
    except ValueError as error:
        raise UsageError(f"{what}: {error}") from error


def _bytes(memory: int | str) -> int:
    return memory if isinstance(memory, int) else parse_memory(memory)
