"""Take a job into the queue, or refuse it with every reason at once."""

import os
import pwd
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pangeo_hpc.errors import NotAllowed, SubmitRefused, UsageError
from pangeo_hpc.localqueue.header import Wish, is_script, read_header
from pangeo_hpc.localqueue.records import Job
from pangeo_hpc.localqueue.store import Store
from pangeo_hpc.machine import Machine
from pangeo_hpc.schedulers.local_answers import QUEUE
from pangeo_hpc.units import GIB, MIB, format_memory

T = TypeVar("T")

_LARGEST_SCRIPT = 16 * MIB
_DEFAULTS = Wish(
    cores=1,
    walltime=3600.0,
    output="local-{id}.out",
    after=(),
    after_failure=(),
    after_end=(),
    nodes=1,
)


def read_script(path: Path) -> bytes:
    """Return a job script. Raise UsageError or NotAllowed if it cannot be one."""
    try:
        if path.stat().st_size > _LARGEST_SCRIPT:
            raise UsageError(f"{path} is larger than {format_memory(_LARGEST_SCRIPT)}")
        content = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise UsageError(f"{path} is not a script: {error.strerror}") from None
    except OSError as error:
        raise NotAllowed(f"{path} cannot be read: {error.strerror}") from None
    if not is_script(content):
        raise UsageError(f"{path} is not a script", hint="submit a text file that begins with #!")
    return content


def decide(
    script: bytes, path: Path, wish: Wish, capacity: Machine, environ: Mapping[str, str]
) -> Job:
    """Return the job that a script and the wishes of the command line make; its number is 0.

    Raise SubmitRefused, with every reason, if this machine can never run it.
    """
    wish = wish.over(read_header(script, path.name))
    if wish.exclusive and wish.memory is None:
        wish = replace(wish, memory=capacity.memory)
    wish = wish.over(replace(_DEFAULTS, memory=min(GIB, capacity.memory)))
    problems = _problems(wish, capacity)
    if problems:
        raise SubmitRefused("; ".join(problems), hint="ask for less, or use another machine")
    me = pwd.getpwuid(os.geteuid())
    return Job(
        number=0,
        name=wish.name or path.name,
        user=me.pw_name,
        cores=capacity.cores if wish.exclusive else _given(wish.cores),
        memory=_given(wish.memory),
        walltime=_given(wish.walltime),
        output=_output(wish),
        after=_given(wish.after),
        after_failure=_given(wish.after_failure),
        after_end=_given(wish.after_end),
        array=wish.array,
        requeue=bool(wish.requeue),
        directory=str(Path.cwd()),
        home=environ.get("HOME") or me.pw_dir,
        path=environ.get("PATH", os.defpath),
        umask=_umask(),
        submitted=time.time(),
    )


def take(store: Store, job: Job, script: bytes) -> Job:
    """Store a job under the next number; the caller holds the lock.

    Raise SubmitRefused if it is to follow jobs that the queue does not know.
    """
    unknown = [wanted for wanted in job.before if not store.look(wanted)]
    if unknown:
        text = f"after: this queue knows no job {', '.join(unknown)}"
        raise SubmitRefused(text, hint="ended jobs are forgotten after a while; leave them out")
    return store.submit(lambda number: replace(job, number=number), script)


def _problems(wish: Wish, capacity: Machine) -> list[str]:
    problems = []
    cores, memory, nodes = _given(wish.cores), _given(wish.memory), _given(wish.nodes)
    if cores > capacity.cores:
        problems.append(f"asks for {cores} cores, this machine has {capacity.cores}")
    if memory > capacity.memory:
        asked, there = format_memory(memory), format_memory(capacity.memory)
        problems.append(f"asks for {asked} of memory, this machine has {there}")
    if nodes > 1:
        problems.append(f"asks for {nodes} nodes, this queue has one machine")
    if wish.gpus:
        problems.append(f"asks for {wish.gpus} GPUs, this queue hands out none")
    if wish.queue not in (None, QUEUE):
        problems.append(f"no queue {wish.queue!r} here, only {QUEUE!r}")
    return problems


def _output(wish: Wish) -> str:
    """Return where the output goes; elements of an array never share a file."""
    output = _given(wish.output)
    alone = wish.array is None or "{index}" in output
    return output if alone else f"{output}.{{index}}"


def _given(value: T | None) -> T:
    """Return a value for which there is a default."""
    if value is None:
        message = "a wish without a default"
        raise AssertionError(message)
    return value


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
