"""What the machine says about itself: its scheduler, its filesystems, its conda."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pangeo_hpc.detect.mounts import Mount, scratch_mounts
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.run import Conversation, Runner, converse, run
from pangeo_hpc.schedulers import registry
from pangeo_hpc.schedulers.base import Account, Node, Queue, Scheduler, SchedulerOptions
from pangeo_hpc.site import Person, current_person

T = TypeVar("T")

# The command that tells which batch system is here, in the order in which they are looked for.
_PROGRAMS = {"slurm": "sbatch", "pbs": "qsub"}


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Answers of a machine; `missing` says in words what could not be asked.

    `kind` is the batch system, ``local`` where there is none.
    """

    kind: str
    host: str
    person: Person
    version: tuple[int, ...] = ()
    queues: tuple[Queue, ...] = ()
    nodes: tuple[Node, ...] = ()
    accounts: tuple[Account, ...] = ()
    mounts: tuple[Mount, ...] = ()
    conda: Path | None = None
    prefix: Path = Path(sys.prefix)
    missing: tuple[str, ...] = ()


def find_scheduler(environ: Mapping[str, str]) -> str:
    """Return the batch system whose commands are on PATH, or ``local``."""
    path = environ.get("PATH", os.defpath)
    for kind, program in _PROGRAMS.items():
        if shutil.which(program, path=path):
            return kind
    return "local"


def survey_machine(
    environ: Mapping[str, str] | None = None,
    *,
    scheduler: Scheduler | None = None,
    person: Person | None = None,
    runner: Runner = run,
    mounts: str | None = None,
) -> Survey:
    """Ask this machine; `scheduler` and the text of /proc/mounts can be given instead.

    Raise SchedulerError if there is a scheduler that does not tell its queues.
    """
    ours = os.environ if environ is None else environ
    who = person or current_person(ours)
    kind = scheduler.kind if scheduler else find_scheduler(ours)
    table = Path("/proc/mounts").read_text() if mounts is None else mounts
    conda = ours.get("CONDA_PREFIX")
    common = {
        "host": platform.node(),
        "person": who,
        "mounts": scratch_mounts(table, who, ours),
        "conda": Path(conda) if conda else None,
    }
    if kind == "local":
        return Survey(kind=kind, **common)  # type: ignore[arg-type]
    speaker = scheduler or registry.make(kind, SchedulerOptions())
    missing: list[str] = []

    def ask(what: str, talk: Callable[[], Conversation[tuple[T, ...]]]) -> tuple[T, ...]:
        try:
            return converse(talk(), runner)
        except PangeoHpcError as error:
            missing.append(f"{what} could not be asked: {error.text}")
            return ()

    return Survey(
        kind=kind,
        queues=converse(speaker.queues(), runner),
        nodes=ask("nodes", speaker.nodes),
        accounts=ask("accounts", lambda: speaker.accounts(who.user)),
        version=ask("the version", speaker.version),
        missing=tuple(missing),
        **common,  # type: ignore[arg-type]
    )
