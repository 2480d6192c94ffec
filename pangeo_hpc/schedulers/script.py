"""The job script: one shape for every scheduler, the hub, Dask and the workflow."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from pangeo_hpc.schedulers.base import JobRequest

# An array of one may be a single job to a scheduler, which has no index then.
_INDEX = (
    'export PANGEO_HPC_INDEX="${SLURM_ARRAY_TASK_ID:-'
    '${PBS_ARRAY_INDEX:-${PANGEO_LOCALQUEUE_INDEX:-0}}}"'
)


def render(directives: Sequence[str], request: JobRequest) -> str:
    """Return the job script: the header, the site's setup, then the command as it is.

    The script runs under a login shell, so that `module` works; it keeps its exit status in
    `request.exit_file`, since not every scheduler remembers it. Setup lines come first and a
    failing one ends the job with its own status.
    """
    lines = [
        "#!/bin/bash -l",
        f"# made by {request.made_by}; edit the site YAML or the request instead of this file",
        *directives,
        "",
    ]
    if request.array is not None:
        lines.append(_INDEX)
    if request.exit_file:
        lines += _keep_status(request.exit_file)
    seconds = int(request.walltime.total_seconds())
    lines.append(f"export PANGEO_HPC_ENDS=$(($(date +%s) + {seconds}))")
    lines += [f"export {name}={shlex.quote(value)}" for name, value in request.environment.items()]
    lines += guarded(request.setup)
    if request.working_directory:
        lines.append(f"cd {shlex.quote(str(request.working_directory))} || exit 1")
    lines += ["", *_run(request.command)]
    return "\n".join(lines) + "\n"


def guarded(setup: Iterable[str]) -> list[str]:
    """Return setup lines that end the script with their own status if they fail."""
    return [f"{line} || exit $?" if _is_simple(line) else line for line in setup]


def _run(command: Sequence[str]) -> list[str]:
    """Return the lines that run the command and end with its status, whatever signals come.

    A shell that dies of SIGTERM before its child would note a wrong status, so it waits. A warning
    by ``--signal=B:USR1`` reaches only the shell, so it is handed on.
    """
    return [
        "trap : TERM",
        f"{shlex.join(command)} &",
        "child=$!",
        "trap 'kill -USR1 \"$child\"' USR1",
        "trap 'kill -USR2 \"$child\"' USR2",
        'while wait "$child"; status=$?; kill -0 "$child" 2>/dev/null; do :; done',
        'exit "$status"',
    ]


def _keep_status(path: Path) -> list[str]:
    target, partial = _indexed(str(path)), _indexed(f"{path}.partial")
    return [
        "pangeo_ended() {",
        "  status=$?",
        f"  printf '%s\\n' \"$status\" > {partial} && mv -f {partial} {target}",
        '  exit "$status"',
        "}",
        "trap pangeo_ended EXIT",
    ]


def _indexed(path: str) -> str:
    """Return a path as a word of the shell, the index of an element put in by the shell."""
    parts = (shlex.quote(part) if part else "" for part in path.split("{index}"))
    return '"$PANGEO_HPC_INDEX"'.join(parts)


def _is_simple(line: str) -> bool:
    """Tell whether a setup line is one plain command, to which a guard can be added."""
    return not any(mark in line for mark in "#;&|(){}<>`\\\"'")
