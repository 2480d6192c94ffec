"""The one command line of Dask workers, wherever they run, and what surrounds it."""

import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pangeo_hpc import envs, scratch
from pangeo_hpc.dask.drain_worker import DRAINS
from pangeo_hpc.dask.security import Keys
from pangeo_hpc.dask.shape import Shape
from pangeo_hpc.dask.watch import SPILL
from pangeo_hpc.site import Person, Site, expand

# A signal may come to this shell alone, or to the workers too, who do not mind to hear it twice.
_PASS_ON = (
    "child=$!",
    "trap 'kill -TERM \"$child\" 2>/dev/null' TERM USR1 USR2",
    'while wait "$child"; status=$?; kill -0 "$child" 2>/dev/null; do :; done',
    'exit "$status"',
)

# Seconds a worker may take to start. A scheduler that is not there is noticed sooner: see watch.py.
_DEATH_TIMEOUT = 120


@dataclass(frozen=True, kw_only=True)
class WorkerCommand:
    """How the workers of one cluster are started.

    `setup` are shell lines of the environment; `local_disk` is a directory for spilled data, in
    which shell variables are still to be expanded on the node.
    """

    python: Path
    keys: Keys
    shape: Shape
    setup: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    interface: str | None = None
    host: str | None = None
    local_disk: str | None = None

    def argv(self, address: str, name: str | None = None) -> tuple[str, ...]:
        """Return the program and its arguments: paths of keys, never keys."""
        shape = self.shape
        options = {
            "--nworkers": shape.processes,
            "--nthreads": shape.threads,
            "--memory-limit": shape.memory or 0,
            "--name": name,
            "--host": self.host,
            "--interface": self.interface,
            "--protocol": "tls",
            "--tls-ca-file": self.keys.certificate,
            "--tls-cert": self.keys.certificate,
            "--tls-key": self.keys.key,
            "--death-timeout": _DEATH_TIMEOUT,
            "--worker-class": "pangeo_hpc.dask.servers.Worker",
            "--preload-nanny": "pangeo_hpc.dask.watch",
            "--preload": "pangeo_hpc.dask.drain_worker",
        }
        words = [str(self.python), "-m", "distributed.cli.dask_worker", address]
        for option, value in options.items():
            if value is not None:
                words += [option, str(value)]
        return (*words, "--nanny", "--no-dashboard")

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables of the workers' programs; none of them is secret."""
        return {
            **self.variables,
            # the command line has options for a worker's own keys only; its tasks are clients too
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT": str(self.keys.certificate),
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": str(self.keys.key),
        }

    def script(self, address: str, *, in_job_script: bool = False) -> str:
        """Return the shell script that starts workers and removes what they spilled.

        Its arguments are more options. `in_job_script` leaves out the environment, which the job
        script has set up already.
        """
        lines = [] if in_job_script else [*_exports(self.environment), *self.setup]
        if in_job_script:
            lines.append(f"export {DRAINS}=1  # they leave before their job ends")
        command = f'{shlex.join(self.argv(address))} "$@" &'
        return "\n".join(["#!/bin/bash", *lines, *self._spill(), command, *_PASS_ON]) + "\n"

    def _spill(self) -> tuple[str, ...]:
        """Return the shell lines that make a private directory for spilled data.

        Whoever can write there runs code as the user, since spilled data are pickles: a directory
        of a known name in /tmp, which is Dask's default, can be made by somebody else first.
        """
        temporary = "${TMPDIR:-/tmp}"
        return (
            f'pangeo_disk="{self.local_disk or temporary}"',
            f'[ -d "$pangeo_disk" ] && [ -w "$pangeo_disk" ] || pangeo_disk="{temporary}"',
            f'{SPILL}="$(mktemp -d "$pangeo_disk/dask-XXXXXXXX")" || exit 1',
            f'export {SPILL} DASK_TEMPORARY_DIRECTORY="${SPILL}"',
            f"trap 'rm -rf \"${SPILL}\"' EXIT",
            "trap : TERM  # the directory goes when the workers have ended",
        )


def make_spill(local_disk: str | None) -> dict[str, str]:
    """Make a private directory for spilled data on this machine; return the variables for it."""
    place = os.path.expandvars(local_disk) if local_disk else None
    usable = place if place and os.access(place, os.W_OK | os.X_OK) else None
    spill = tempfile.mkdtemp(prefix="dask-", dir=usable)
    return {SPILL: spill, "DASK_TEMPORARY_DIRECTORY": spill}


def _exports(variables: Mapping[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def environment_of(site: Site, name: str | None, person: Person) -> envs.Environment:
    """Return the environment of the workers: the named one, else that of this very process.

    Client and workers have to agree on their packages. Where the running Python is that of an
    environment of the site, its modules come with it.
    """
    if name is not None:
        return envs.resolve(site, name, person)
    for entry in site.environments.values():
        if entry.prefix is None:
            continue
        prefix = Path(expand(str(entry.prefix), f"environments.{entry.name}.prefix", person))
        if prefix.resolve() == Path(sys.prefix).resolve():
            return envs.resolve(site, entry.name, person)
    return envs.Environment(envs.CURRENT, Path(sys.executable))


def variables_of(
    site: Site, person: Person, environment: envs.Environment, site_file: Path
) -> dict[str, str]:
    """Return what workers are told besides Dask's own settings."""
    told = {
        **environment.variables,
        **scratch.variable(site, person),
        "PANGEO_HPC_SITE": str(site_file),
    }
    path = os.environ.get("PYTHONPATH")
    if path and environment.name == envs.CURRENT:
        told["PYTHONPATH"] = path
    return told
