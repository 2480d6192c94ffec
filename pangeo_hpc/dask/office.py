"""What is known before a cluster is started, and from it a cluster that has no workers yet."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pangeo_hpc import allocation, envs, files, jobs, private
from pangeo_hpc.allocation import Allocation
from pangeo_hpc.dask import sweep
from pangeo_hpc.dask.command import WorkerCommand, environment_of, variables_of
from pangeo_hpc.dask.nodes import candidates, may_span, sockets_of
from pangeo_hpc.dask.place import address_of, announce
from pangeo_hpc.dask.security import VALID, make_keys
from pangeo_hpc.dask.shape import Shape, shape_of
from pangeo_hpc.errors import SchedulerError, UsageError
from pangeo_hpc.jobs.plan import NAME
from pangeo_hpc.machine import numa_nodes, this_machine
from pangeo_hpc.run import converse, run
from pangeo_hpc.schedulers import registry
from pangeo_hpc.schedulers.base import JobRequest, Node, Scheduler, SchedulerOptions
from pangeo_hpc.server.boards import CLUSTERS
from pangeo_hpc.site import NodeType, Person, Site, current_person, load_site
from pangeo_hpc.units import parse_memory

if TYPE_CHECKING:
    from pangeo_hpc.dask.cluster import WorkerCluster

    # A cluster, and how many workers it is to have.
    Begun = tuple[WorkerCluster, int]


@dataclass(frozen=True, kw_only=True)
class Office:
    """All that is known before anything is started.

    `node` is the node type asked for, or the default one, and `kind` its batch system; `here` is
    the job that this process runs in.
    """

    site: Site
    person: Person
    ask: jobs.Ask
    node: NodeType
    kind: str
    here: Allocation | None
    environment: envs.Environment
    name: str

    @classmethod
    def open(
        cls, site: Site | str | Path | None, ask: jobs.Ask, environment: str | None, name: str
    ) -> "Office":
        """Look everything up. Raise SiteError, UnknownName or UsageError if it is not there."""
        if not NAME.fullmatch(name):
            hint = "use letters, digits, dot, dash and underscore, at most 60, a letter first"
            raise UsageError(f"{name!r} cannot be the name of a cluster", hint=hint)
        found = site if isinstance(site, Site) else load_site(site)
        node, person = found.node_type(ask.node_type), current_person()
        return cls(
            site=found,
            person=person,
            ask=ask,
            node=node,
            kind=found.scheduler_of(node)[1].type,
            here=allocation.current(),
            environment=environment_of(found, environment, person),
            name=name,
        )

    def on_jobs(self, workers: int | None, why: str) -> "Begun":
        """Return a cluster whose workers will be batch jobs."""
        from pangeo_hpc.dask.desk import Desk
        from pangeo_hpc.dask.jobs_cluster import JobsCluster

        # every limit of the site is checked before anything exists
        probe = jobs.plan(
            self.site, self.ask, name=self.name, command=("true",), use="dask", person=self.person
        )
        scheduler = jobs.scheduler_of(self.site, self.node.name, self.person)
        nodes = self._nodes(scheduler, probe)
        shape = self.shape(probe.cores, probe.memory, numa_nodes=sockets_of(probe, nodes))
        # an interface that is missing is told before there are keys to remove
        host = address_of(self.node.interface, towards=[node.name for node in nodes[:1]])
        folder = self.folder()
        desk = Desk(
            site=self.site,
            person=self.person,
            ask=self.ask,
            name=self.name,
            folder=folder,
            command=self.command(folder, shape, interface=self.node.interface),
            scheduler=scheduler,
            limit=self.node.max_jobs,
        )
        number = shape.processes if workers is None else workers
        count = -(-number // shape.processes)
        many = f"{count} {self.kind} {'job' if count == 1 else 'jobs'}"
        announce(f"Dask workers are {many} of node type {self.node.name}, {shape} each ({why})")
        cluster = JobsCluster(name=folder.name, folder=folder, desk=desk, host=host, request=probe)
        return cluster, number

    def _nodes(self, scheduler: Scheduler, probe: JobRequest) -> tuple[Node, ...]:
        """Return the nodes for workers, where something depends on them; asked once.

        Login nodes have several networks: without an interface that the site names, the way to a
        node is by one that nodes share. Large jobs are cut by the sockets of a node, unless the
        site says how.
        """
        if self.node.interface is not None and (self.node.dask or not may_span(probe)):
            return ()
        try:
            return candidates(probe, converse(scheduler.nodes(), run))
        except SchedulerError:
            return ()

    def on_this_machine(self, workers: int | None, why: str) -> "Begun":
        """Return a cluster whose workers will be programs that fill what we have here."""
        from pangeo_hpc.dask.local_cluster import LOOPBACK, LocalCluster

        cores, memory = self.ours()
        shape = self.shape(
            cores, memory, workers=workers, numa_nodes=len(numa_nodes()), scheduler_too=True
        )
        one = Shape(1, shape.threads, shape.memory)
        number = shape.processes if workers is None else workers
        announce(f"Dask workers are programs of this machine: {shape} ({why})")
        folder = self.folder()
        command = self.command(folder, one, host=LOOPBACK)
        cluster = LocalCluster(name=folder.name, folder=folder, command=command)
        return cluster, number

    def fill(self, workers: int | None, why: str) -> "Begun":
        """Return a cluster whose workers will be on all nodes of the job we are in."""
        from pangeo_hpc.dask.allocation_cluster import AllocationCluster

        here = self.here
        if here is None or (len(here.nodes) == 1 and workers is not None):
            return self.on_this_machine(workers, why)
        cores, memory = self.ours()
        # what client and scheduler need is left on their own node only: see node.py
        shape = self.shape(cores, memory, numa_nodes=len(numa_nodes()))
        interface = self.node.interface if self.ask.node_type else None
        host = address_of(interface, towards=here.nodes[1:])
        folder = self.folder()
        count = len(here.nodes)
        announce(f"Dask workers fill job {here.job_id}, {shape} on each of {count} nodes ({why})")
        cluster = AllocationCluster(
            name=folder.name,
            folder=folder,
            command=replace(
                self.command(folder, shape, interface=interface), first=os.uname().nodename
            ),
            host=host,
            allocation=here,
            scheduler=self.scheduler_of(here),
            cores=cores,
            memory=memory,
        )
        cluster.cores_per_thread = self.node.threads_per_core
        number = cluster.workers_per_unit if workers is None else workers
        return cluster, number

    def ours(self) -> tuple[int, int]:
        """Return the cores and the bytes of this machine that workers may take."""
        machine = this_machine()
        most_cores, most_memory = machine.cores, machine.memory
        if self.here is not None:
            most_cores = self.here.cores or most_cores
            most_memory = min(self.here.memory or most_memory, most_memory)
        elif self.kind == "local" or self.ask.node_type:
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
        numa_nodes: int = 1,
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
            numa_nodes=numa_nodes,
            scheduler_too=scheduler_too,
        )

    def folder(self) -> Path:
        """Make the private folder of a new cluster; those of long ago go."""
        home = self.site.user_state_path(self.person) / CLUSTERS
        with files.refusals(home):
            private.ensure_directory(home)
            sweep.remove_old(home, VALID.days)
            sweep.sweep(home)
            folder = private.ensure_directory(home / jobs.with_nonce(self.name))
        sweep.own(folder)
        files.write_json(folder / "site.json", self.site.dump(), mode=0o600)
        return folder

    def command(
        self, folder: Path, shape: Shape, *, interface: str | None = None, host: str | None = None
    ) -> WorkerCommand:
        """Return how the workers of a new cluster are started."""
        environment, disk = self.environment, self.node.local_disk
        return WorkerCommand(
            python=environment.python,
            keys=make_keys(folder / sweep.KEYS),
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


def _parsed(what: str, parse: Callable[[int | str], int], value: int | str) -> int:
    try:
        return parse(value)
    except ValueError as error:
        raise UsageError(f"{what}: {error}") from error


def _bytes(memory: int | str) -> int:
    return memory if isinstance(memory, int) else parse_memory(memory)
