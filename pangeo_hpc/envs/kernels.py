"""Each environment of the site as a Jupyter kernel.

`kernels` decides, from the site alone, what there is to offer; `write` puts it into a directory for
`JUPYTER_PATH` and leaves out what does not work on this machine, with the reason. A kernel is
started by a small script that loads the environment first, as a job's head does.
"""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc._version import __version__
from pangeo_hpc.envs.resolve import CURRENT, Environment, resolve, running
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.run import Command, Runner, run
from pangeo_hpc.schedulers.script import guarded
from pangeo_hpc.site import Person, Site

# The name that notebooks of other places ask for; here it is the default environment.
PYTHON = "python3"
_WORKS = "import ipykernel.kernelapp"
# Seconds in which a kernel's environment has to load; slow file systems are given their time.
_PATIENCE = 90.0


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel to offer: the name that notebooks keep, and the script that starts it."""

    name: str
    display_name: str
    environment: str
    script: str

    def spec(self, launcher: Path) -> dict[str, Any]:
        """Return what stands in its `kernel.json`."""
        return {
            "argv": [str(launcher), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": self.display_name,
            "language": "python",
            "metadata": {"debugger": True, "pangeo_hpc": {"environment": self.environment}},
        }


@dataclass(frozen=True)
class LeftOut:
    """An environment that is not offered, and why."""

    environment: str
    reason: str


@dataclass(frozen=True)
class Offer:
    """The kernels that are there, the default one first, and what was left out."""

    kernels: tuple[Kernel, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def default(self) -> str | None:
        """Return the name of the kernel of new notebooks."""
        return self.kernels[0].name if self.kernels else None


def kernels(
    site: Site,
    person: Person,
    chosen: str | None = None,
    *,
    setup: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Offer:
    """Return a kernel for each environment of the site: the chosen, else the default one, first.

    `setup` are shell lines of the site, run before those of the environment; `variables` are told
    to every kernel. The first one is also offered as ``python3``, so that notebooks from elsewhere
    open in it. Nothing is looked at on this machine yet.
    """
    wanted = chosen or site.defaults.environment
    found: dict[str, Kernel] = {}
    left_out: list[LeftOut] = []
    first = None
    for environment in _environments(site, person, left_out.append):
        script = _script(environment, setup, variables or {})
        about = _description(site, environment.name)
        name = environment.name.lower() if site.environments else PYTHON
        if name in found:
            reason = f"environment {found[name].environment} has the same name but for capitals"
            left_out.append(LeftOut(environment.name, reason))
            continue
        found[name] = Kernel(
            name=name, display_name=about, environment=environment.name, script=script
        )
        is_wanted = environment.name == wanted
        if is_wanted or (wanted is None and _is_default(site, environment.name)):
            first = found[name]
    ordered = sorted(found.values(), key=lambda kernel: kernel is not first)
    return Offer(tuple(ordered), tuple(left_out))


def write(
    offer: Offer,
    folder: Path,
    *,
    environ: Mapping[str, str] | None = None,
    runner: Runner = run,
) -> Offer:
    """Write the kernels that work on this machine below a directory, and return which they are.

    The directory is one for `JUPYTER_PATH`. Each environment is started once to see whether it has
    a kernel, all of them at the same time; `environ` is what they get. One that is broken or
    missing is left out with its reason.
    """
    launchers = [_write_launcher(kernel, folder) for kernel in offer.kernels]
    with ThreadPoolExecutor(max_workers=4) as pool:
        reasons = list(pool.map(lambda path: _fault(path, environ or {}, runner), launchers))
    good, left_out = [], list(offer.left_out)
    for kernel, launcher, reason in zip(offer.kernels, launchers, reasons, strict=True):
        if reason is not None:
            left_out.append(LeftOut(kernel.environment, reason))
            continue
        good.append(kernel)
        _write_spec(kernel.name, kernel.spec(launcher), folder)
    if good and not any(kernel.name == PYTHON for kernel in good):
        # notebooks from elsewhere name this kernel; it must not be the server's own Python
        first = good[0]
        spec = first.spec(folder / "launchers" / first.name)
        spec["display_name"] = f"Python 3 ({first.environment})"
        _write_spec(PYTHON, spec, folder)
    return Offer(tuple(good), tuple(left_out))


def _environments(
    site: Site, person: Person, leave_out: Callable[[LeftOut], object]
) -> Iterable[Environment]:
    """Yield what the site names, or the running Python where it names none."""
    if not site.environments:
        yield running()
    for name in site.environments:
        try:
            yield resolve(site, name, person)
        except PangeoHpcError as error:
            leave_out(LeftOut(name, error.text))


def _is_default(site: Site, name: str) -> bool:
    return name == (site.environment().name if site.environments else CURRENT)


def _description(site: Site, name: str) -> str:
    if not site.environments:
        return "Python 3 (current)"
    about = site.environment(name).description
    return f"{name}: {about}" if about else name


def _script(environment: Environment, setup: Sequence[str], variables: Mapping[str, str]) -> str:
    """Return the script that loads an environment and becomes its Python."""
    told = {**variables, **environment.variables}
    python = shlex.quote(str(environment.python))
    missing = shlex.quote(f"{environment.python} is not there on")
    lines = [
        "#!/bin/bash -l",
        f"# made by pangeo-hpc {__version__}; edit the site YAML instead of this file",
        *guarded(setup),
        *guarded(environment.load),
        *(f"export {name}={shlex.quote(value)}" for name, value in told.items()),
        f'[ -x {python} ] || {{ echo {missing} "$(hostname)" >&2; exit 1; }}',
        f'exec {python} "$@"',
    ]
    return "\n".join(lines) + "\n"


def _write_launcher(kernel: Kernel, folder: Path) -> Path:
    path = files.make_directory(folder / "launchers", mode=0o700) / kernel.name
    files.write_atomic(path, kernel.script, mode=0o700)
    return path


def _write_spec(name: str, spec: Mapping[str, Any], folder: Path) -> None:
    place = files.make_directory(folder / "kernels" / name, mode=0o700)
    files.write_json(place / "kernel.json", spec, mode=0o600)


def _fault(launcher: Path, environ: Mapping[str, str], runner: Runner) -> str | None:
    """Return why a kernel cannot start on this machine, in one line; None if it can."""
    command = Command(
        (str(launcher), "-c", _WORKS), timeout=_PATIENCE, environment=environ, cwd=launcher.parent
    )
    try:
        result = runner(command)
    except PangeoHpcError as error:
        return error.text
    if result.returncode == 0:
        return None
    lines = result.words.strip().splitlines()
    return lines[-1].removeprefix(f"{launcher}: ") if lines else "it does not start"
