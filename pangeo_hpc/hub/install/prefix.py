"""Whether the installed package is fit to act as users: nobody else's to change, theirs to run."""

import os
from pathlib import Path

from pangeo_hpc.errors import NotAllowed
from pangeo_hpc.hub import owned
from pangeo_hpc.run import Command, Runner, run

# The account with the least rights: what it may read, every user may.
NOBODY = "nobody"
_PATH = "import sys; print(*sys.path, sep='\\n')"
_PROGRAM = "import pangeo_hpc.hub.job"


def check(python: Path, runner: Runner = run) -> None:
    """Raise NotAllowed if others could change what the program imports, or if users cannot run it.

    The latter can be tried by root only.
    """
    result = runner(Command((str(python), "-I", "-c", _PATH)))
    for line in result.stdout.splitlines():
        if line and Path(line).exists():
            owned.check(Path(line))
            owned.check_below(Path(line))
    if os.geteuid() != 0:
        return
    as_nobody = ("runuser", "-u", NOBODY, "--", str(python), "-I", "-c", _PROGRAM)
    tried = runner(Command(as_nobody, cwd=Path("/"), environment={"PATH": _ADMINS_PATH}))
    if tried.returncode != 0:
        text = f"users cannot run {python}: {tried.words}"
        hint = (
            "make the virtual environment with a Python that everybody may read, in a place that "
        )
        raise NotAllowed(text, hint=hint + "everybody may enter: /usr/bin/python3 -m venv DIR")


_ADMINS_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
