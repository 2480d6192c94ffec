"""Where workers run, why, and at which address they find the scheduler."""

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pangeo_hpc.allocation import Allocation
from pangeo_hpc.errors import UsageError

Where = Literal["jobs", "local", "allocation"]

# An address of documentation: the way to it is the way out.
_WORLD = "192.0.2.1"

# Set to 1, nothing is said about where the workers are.
QUIET = "PANGEO_HPC_QUIET"


@dataclass(frozen=True)
class Choice:
    """Where workers run, and why."""

    where: Where
    why: str


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


def quiet(environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether nothing is to be said."""
    return (os.environ if environ is None else environ).get(QUIET) == "1"


def announce(text: str, environ: Mapping[str, str] | None = None) -> None:
    """Tell the person in one line, on stderr; PANGEO_HPC_QUIET=1 keeps it silent."""
    if not quiet(environ):
        sys.stderr.write(f"pangeo-hpc: {text}\n")


def in_kernel() -> bool:
    """Tell whether this is a notebook's kernel; ipywidgets imports ipykernel anywhere."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def in_notebook() -> bool:
    """Tell whether a person works in this process; a notebook run as a job is a script."""
    return in_kernel() and "PANGEO_HPC_RUN" not in os.environ


def address_of(interface: str | None, towards: Sequence[str] = ()) -> str:
    """Return this host's address for workers.

    That is the one of an interface, where a site names it. Else the one that this host uses on the
    way to a node of `towards`, whose name resolves, or to the world; no packet is sent to find out.
    Raise UsageError for an interface that is not here.
    """
    import psutil

    check_interface(interface)
    every = psutil.net_if_addrs()
    for family in (socket.AF_INET, socket.AF_INET6):
        for entry in every.get(interface or "", ()):
            if entry.family == family:
                return str(entry.address)
    for host in (*towards, _WORLD):
        address = _route_to(host)
        if address is not None:
            return address
    addresses = [e.address for es in every.values() for e in es if e.family == socket.AF_INET]
    return next((a for a in addresses if not a.startswith("127.")), "127.0.0.1")


def _route_to(host: str) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return None


def check_interface(name: str | None) -> None:
    """Raise UsageError if this host has no network interface of that name with an address."""
    import psutil

    if name is None:
        return
    kinds = (socket.AF_INET, socket.AF_INET6)
    every = psutil.net_if_addrs()
    usable = [key for key, entries in every.items() if any(e.family in kinds for e in entries)]
    if name not in usable:
        text = f"{os.uname().nodename} has no network interface {name} with an address"
        hint = f"it has {', '.join(usable)}; the site YAML names one by `interface` of a node type"
        raise UsageError(text, hint=hint)
