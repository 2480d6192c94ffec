"""The program of a notebook's job: computes it in its run, and says how it ended.

``python -m pangeo_hpc.workflow.notebooks.job NOTEBOOK [name=value …]``, with a run's variables.
"""

import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from pangeo_hpc import files
from pangeo_hpc.errors import NotAllowed, PangeoHpcError, UsageError
from pangeo_hpc.workflow import runs
from pangeo_hpc.workflow.follow import REASON
from pangeo_hpc.workflow.notebooks import notebook as notebooks


def main(arguments: list[str]) -> int:
    """Compute a notebook and return its exit code; what went wrong is told and kept."""
    attempt = None
    try:
        attempt = _attempt()
        (attempt / REASON).unlink(missing_ok=True)
        return _compute(Path(arguments[0]), attempt, arguments[1:])
    except PangeoHpcError as error:
        sys.stderr.write(f"error: {error}\n")
        if attempt is not None:
            with suppress(NotAllowed):
                files.write_atomic(attempt / REASON, f"{error.text}\n")
        return int(error.exit_code)


def _compute(path: Path, attempt: Path, words: list[str]) -> int:
    lacking = [name for name in notebooks.NEEDED if find_spec(name) is None]
    if lacking:
        text = f"{sys.executable} has no {' and no '.join(lacking)}"
        raise UsageError(text, hint=notebooks.INSTALL)
    for warning in notebooks.check(path, words):
        sys.stderr.write(f"warning: {warning}\n")
    from pangeo_hpc.workflow.notebooks.execute import compute

    target = attempt / path.name
    sys.stderr.write(f"the executed notebook grows in {target}\n")
    ended = compute(path, target, notebooks.parameters(words))
    if ended.code:
        files.write_atomic(attempt / REASON, f"{ended.reason}\n")
        sys.stderr.write(f"{ended.traceback}\n" if ended.traceback else "")
        sys.stderr.write(f"notebook {path.name} ended at {ended.reason}\n")
    return ended.code


def _attempt() -> Path:
    """Return the folder of the attempt we are. Raise UsageError outside of any."""
    folder, number = runs.current(), os.environ.get(runs.ATTEMPT)
    if folder is None or not number:
        hint = "pangeo-hpc submit NB.ipynb, or in a job: pangeo-hpc run NB.ipynb"
        raise UsageError("this program belongs to a run", hint=hint)
    return folder.attempt(int(number))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
