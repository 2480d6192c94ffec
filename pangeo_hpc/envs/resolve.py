"""Find an environment of the site, and the shell lines that check it at the head of each job."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pangeo_hpc._version import __version__
from pangeo_hpc.errors import UnknownName, UsageError
from pangeo_hpc.site import Person, Site, expand

# The name of the running Python, where a site names no environments.
CURRENT = "current"

# What a job ends with when its environment cannot be used: the code of an invalid site.
BROKEN = 3


@dataclass(frozen=True)
class Environment:
    """An environment as jobs, Dask workers and kernels use it.

    `setup` are shell lines for the head of a job, run after the site's own: those of `load`, which
    make the environment usable, and then those that end the job in words if it cannot import this
    package.
    """

    name: str
    python: Path
    setup: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    load: tuple[str, ...] = ()


def running() -> Environment:
    """Return the Python that runs this process, as an environment."""
    python = Path(sys.executable)
    return Environment(CURRENT, python, _check(CURRENT, python))


def resolve(site: Site, name: str | None, person: Person) -> Environment:
    """Return an environment by name, or the site's default one.

    Raise UnknownName if the site has none of that name, and UsageError for one that has a `spec`
    but was not built.
    """
    wanted = name or site.defaults.environment
    if not site.environments:
        if wanted not in (None, CURRENT):
            hint = (
                f"this site names no environments; {CURRENT} is the Python that runs this command"
            )
            raise UnknownName(f"no environment named {wanted!r}", hint=hint)
        return running()
    entry = site.environment(wanted)
    if entry.prefix is None:
        text = f"environment {entry.name} has a spec but is not built"
        hint = "name an installed environment by `prefix:` in the site YAML"
        raise UsageError(text, hint=hint)
    prefix = Path(expand(str(entry.prefix), f"environments.{entry.name}.prefix", person))
    return _installed(entry.name, prefix, tuple(entry.modules))


def _installed(name: str, prefix: Path, modules: tuple[str, ...]) -> Environment:
    python = prefix / "bin" / "python"
    load = (
        *(f"module load {shlex.quote(module)}" for module in modules),
        f'export PATH={shlex.quote(str(prefix / "bin"))}:"$PATH"',
        _activate(prefix),
    )
    return Environment(
        name=name,
        python=python,
        setup=(*load, *_check(name, python)),
        # a user's own site-packages must not leak into an environment that others share
        variables={"PYTHONNOUSERSITE": "1"},
        load=load,
    )


def _activate(prefix: Path) -> str:
    """Return the line that runs what conda packages put there: PROJ and GDAL find their data so."""
    quoted = shlex.quote(str(prefix))
    return (
        f"if [ -d {quoted}/conda-meta ]; then export CONDA_PREFIX={quoted}; "
        f"for pangeo_script in {quoted}/etc/conda/activate.d/*.sh; do "
        '[ -r "$pangeo_script" ] && . "$pangeo_script"; done; unset pangeo_script; fi'
    )


def _check(name: str, python: Path) -> tuple[str, ...]:
    """Return the lines that end a job, in words, whose environment cannot be used."""
    minor = ".".join(__version__.split(".")[:2])
    quoted = shlex.quote(str(python))
    version = "pangeo_hpc.__version__"
    test = f"import pangeo_hpc; assert {version}.startswith('{minor}.'), 'it has ' + {version}"
    missing = shlex.quote(f"pangeo-hpc: environment {name}: {python} is not there on")
    broken = shlex.quote(
        f"pangeo-hpc: environment {name}: {python} cannot import pangeo_hpc {minor}:"
    )
    # of a traceback only the last line is for a user
    why = "\"${why##*$'\\n'}\""
    look = f"why=$({quoted} -c {shlex.quote(test)} 2>&1)"
    return (
        f'[ -x {quoted} ] || {{ echo {missing} "$(hostname)" >&2; exit {BROKEN}; }}',
        f"{look} || {{ echo {broken} {why} >&2; exit {BROKEN}; }}",
    )
