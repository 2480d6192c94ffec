"""The one command line of Dask workers, wherever they run, and what surrounds it."""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pangeo_hpc import envs, scratch
from pangeo_hpc.dask import disk
from pangeo_hpc.dask.drain_worker import DRAINS
from pangeo_hpc.dask.pinning import PROCESSES
from pangeo_hpc.dask.security import Keys
from pangeo_hpc.dask.shape import FIRST, WHOLE, Shape
from pangeo_hpc.dask.watch import SPILL
from pangeo_hpc.site import Person, Site, expand

# A signal may come to this shell alone, or to the workers too, who do not mind to hear it twice.
_PASS_ON = (
    "child=$!",
    "trap 'kill -TERM \"$child\" 2>/dev/null' TERM USR1 USR2",
    'while wait "$child"; status=$?; kill -0 "$child" 2>/dev/null; do :; done',
    'exit "$status"',
)
# What modules, conda and users set, by which packages find their libraries and data: never secrets.
_CARRIED = (
    "LD_LIBRARY_PATH", "CONDA_PREFIX", "PYTHONNOUSERSITE", "PROJ_DATA", "PROJ_LIB", "GDAL_DATA",
    "GDAL_DRIVER_PATH", "ESMFMKFILE", "UDUNITS2_XML_PATH", "HDF5_PLUGIN_PATH",
    "HDF5_USE_FILE_LOCKING", "CARTOPY_DATA_DIR", "ECCODES_DEFINITION_PATH", "ECCODES_DIR",
)  # fmt: skip

# Seconds a worker may take to start. A scheduler that is not there is noticed sooner: see watch.py.
_DEATH_TIMEOUT = 120


@dataclass(frozen=True, kw_only=True)
class WorkerCommand:
    """How the workers of one cluster are started.

    `setup` are shell lines of the environment; `local_disk` is a directory for spilled data, in
    which shell variables are still to be expanded on the node. `first` is the host of client and
    scheduler, where workers run beside them.
    """

    python: Path
    keys: Keys
    shape: Shape
    setup: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    interface: str | None = None
    host: str | None = None
    local_disk: str | None = None
    first: str | None = None

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
        words = [str(self.python), "-m", "pangeo_hpc.dask.node", address]
        for option, value in options.items():
            if value is not None:
                words += [option, str(value)]
        return (*words, "--nanny", "--no-dashboard")

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables of the workers' programs; none of them is secret."""
        told = {
            WHOLE: self.shape.whole and str(self.shape.whole),
            FIRST: self.first,
            PROCESSES: str(self.shape.processes) if self.shape.processes > 1 else None,
        }
        return {
            **self.variables,
            **{name: value for name, value in told.items() if value},
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
        return (
            *disk.shell(self.local_disk),
            f'{SPILL}="$(mktemp -d "$pangeo_disk/dask-XXXXXXXX")" || exit 1',
            f'export {SPILL} DASK_TEMPORARY_DIRECTORY="${SPILL}"',
            f"trap 'rm -rf \"${SPILL}\"' EXIT",
            "trap : TERM  # the directory goes when the workers have ended",
        )


def make_spill(local_disk: str | None) -> dict[str, str]:
    """Make a private directory for spilled data on this machine; return the variables for it."""
    words = ["/bin/bash", "-c", disk.find_script(local_disk)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    place, kind, *_ = [*done.stdout.split("\n"), "", ""]
    spill = tempfile.mkdtemp(prefix="dask-", dir=place or None)
    return {SPILL: spill, disk.KIND: kind, "DASK_TEMPORARY_DIRECTORY": spill}


def _exports(variables: Mapping[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def environment_of(site: Site, name: str | None, person: Person) -> envs.Environment:
    """Return the environment of the workers: the named one, else that of this very process.

    Client and workers have to agree on their packages. Where the running Python is that of an
    environment of the site, or of somebody's overlay over one, its modules come with it.
    """
    if name is not None:
        return envs.resolve(site, name, person)
    for own in dict.fromkeys((sys.prefix, sys.base_prefix)):
        for entry in site.environments.values():
            if entry.prefix is None:
                continue
            prefix = Path(expand(str(entry.prefix), f"environments.{entry.name}.prefix", person))
            if prefix.resolve() == Path(own).resolve():
                found = envs.resolve(site, entry.name, person)
                return found if own == sys.prefix else _over(found)
    return envs.Environment(envs.CURRENT, Path(sys.executable))


def _over(base: envs.Environment) -> envs.Environment:
    """Return the environment of this process, an overlay over an environment of the site."""
    first = f'export PATH={shlex.quote(str(Path(sys.prefix) / "bin"))}:"$PATH"'
    return replace(base, python=Path(sys.executable), setup=(*base.setup, first))


def variables_of(
    site: Site, person: Person, environment: envs.Environment, site_file: Path
) -> dict[str, str]:
    """Return what workers are told besides Dask's own settings.

    Those that run this process's Python also find and load what it does.
    """
    told = {
        **environment.variables,
        **scratch.variable(site, person),
        "PANGEO_HPC_SITE": str(site_file),
    }
    if environment.python == Path(sys.executable):
        told |= {name: os.environ[name] for name in _CARRIED if name in os.environ}
        path = [entry for entry in (_script_folder(), os.environ.get("PYTHONPATH")) if entry]
        if path:
            told["PYTHONPATH"] = os.pathsep.join(path)
    return told


def _script_folder() -> str | None:
    """Return the folder that a script finds its own modules in, None where it has none."""
    if sys.flags.safe_path or sys.flags.isolated or not sys.path:
        return None
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    first = Path(sys.path[0]).absolute()
    if main and Path(main).absolute().parent != first:
        return None
    ours = any(first.is_relative_to(place) for place in (sys.prefix, sys.base_prefix, "/usr"))
    return None if ours or not first.is_dir() else str(first)
