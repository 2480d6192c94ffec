"""Which Python runs the server: the one of this command, else that of the environment."""

import importlib.util
import json
from pathlib import Path

from pangeo_hpc import envs
from pangeo_hpc._version import __version__
from pangeo_hpc.errors import PangeoHpcError, UsageError
from pangeo_hpc.run import Command, Runner, run
from pangeo_hpc.site import Person, Site

NEEDED = ("jupyterlab", "jupyter_server")
_PROBE = """\
import importlib.util, json
found = importlib.util.find_spec
version = __import__("pangeo_hpc").__version__ if found("pangeo_hpc") else None
print(json.dumps({"missing": [n for n in %r if found(n) is None], "version": version}))
"""
_HINT = "install it beside pangeo-hpc: pip install 'pangeo-hpc[hub]'"


def choose(
    site: Site,
    person: Person,
    environment: str | None,
    *,
    here: bool | None = None,
    runner: Runner = run,
) -> envs.Environment:
    """Return the environment whose Python runs the server.

    That is the running Python if it has JupyterLab, else the one of the chosen environment, if it
    has JupyterLab and this package. Nothing heavy is imported to find out. `here` is for tests.
    Raise UsageError, naming what is missing, if neither has.
    """
    has = has_lab() if here is None else here
    try:
        chosen = envs.resolve(site, environment, person)
    except UsageError:
        if environment is not None or not has:
            raise
        # nobody asked for it: its kernel will be missing, and the server says why
        return envs.running()
    if has:
        return envs.running()
    text, fault = "the Python of this command has no JupyterLab", None
    if chosen.name != envs.CURRENT:
        fault = _fault(chosen.python, runner)
        if fault is None:
            return chosen
        text += f", and environment {chosen.name} cannot run it: {fault}"
    raise UsageError(text, hint=_HINT)


def has_lab() -> bool:
    """Tell whether the running Python has JupyterLab, without importing it."""
    return all(importlib.util.find_spec(name) is not None for name in NEEDED)


def _fault(python: Path, runner: Runner) -> str | None:
    """Return why a Python cannot run the server, None if it can."""
    command = Command((str(python), "-c", _PROBE % (NEEDED,)), timeout=60.0, cwd=Path("/"))
    try:
        result = runner(command)
    except PangeoHpcError:
        return f"{python} is not there"
    try:
        told = json.loads(result.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return result.words.splitlines()[-1]
    if told["missing"]:
        return f"it has no {' and no '.join(told['missing'])}"
    minor = __version__.rpartition(".")[0]
    if (told["version"] or "").rpartition(".")[0] != minor:
        have = f"has pangeo_hpc {told['version']}" if told["version"] else "has no pangeo_hpc"
        return f"it {have}, and {minor} is needed"
    return None
