"""The worker program: looks around on its node, then is `dask worker` with what it found.

What holds for a node is known only there: its interfaces, the memory that a job really has, the way
to the scheduler. What cannot work ends here, in words, before anybody waits for it.
"""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence

from pangeo_hpc.allocation import current
from pangeo_hpc.dask.place import check_interface
from pangeo_hpc.dask.shape import FIRST, WHOLE, share_of
from pangeo_hpc.dask.watch import SPILL
from pangeo_hpc.errors import PangeoHpcError, WorkerJobFailed
from pangeo_hpc.machine import this_machine

# Seconds to find the scheduler.
_CONNECT = 30.0


def main(argv: Sequence[str]) -> None:
    """Check, adapt and run. `argv` is that of `dask worker`, all options as two words."""
    words = list(argv)
    # Slurm's --signal=USR1 warns all steps of a job: it is meant for the script, which has workers
    # finish what they are at. It is inherited by the processes that nannies start.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        check_interface(option(words, "--interface"))
        asyncio.run(check_scheduler(words))
    except PangeoHpcError as error:
        # workers would have removed it at their end
        shutil.rmtree(os.environ.get(SPILL, ""), ignore_errors=True)
        sys.stderr.write(f"pangeo-hpc: {error}\n")
        raise SystemExit(int(error.exit_code)) from None
    limit = memory_limit(int(option(words, "--nworkers") or 1), os.environ)
    if limit is not None:
        words[words.index("--memory-limit") + 1] = str(limit)

    from distributed.cli.dask_worker import main as dask_worker

    dask_worker(words)


def option(words: Sequence[str], name: str) -> str | None:
    """Return the value of an option, None where it is not given."""
    return words[words.index(name) + 1] if name in words else None


async def check_scheduler(words: Sequence[str]) -> None:
    """Raise WorkerJobFailed if the scheduler cannot be reached from this host."""
    from distributed.comm.core import connect
    from distributed.security import Security

    ca, certificate, key = (option(words, f"--tls-{n}") for n in ("ca-file", "cert", "key"))
    security = Security(tls_ca_file=ca, tls_worker_cert=certificate, tls_worker_key=key)
    try:
        arguments = security.get_connection_args("worker")
        comm = await connect(words[0], timeout=_CONNECT, **arguments)
    except (OSError, TimeoutError) as error:
        cause = error.__cause__ or error
        text = f"{os.uname().nodename} cannot reach the scheduler at {words[0]}: {cause}"
        hint = (
            "if its program still runs, set `interface` of the node type to a network that the "
            "nodes and the host of the scheduler share"
        )
        raise WorkerJobFailed(text, hint=hint) from error
    comm.abort()


def memory_limit(
    processes: int,
    environ: Mapping[str, str],
    real: int | None = None,
    here: str | None = None,
) -> int | None:
    """Return the bytes for each worker process on this node, None if nobody told any.

    A job may have less than was asked for: its cgroup and its batch system know. `real` is what
    this process may use, `here` the name of this host.
    """
    told = environ.get(WHOLE, "")
    if not told.isdecimal():
        return None
    amounts = [int(told), this_machine().memory if real is None else real]
    job = current(environ)
    if job is not None and job.memory:
        amounts.append(job.memory)
    first = environ.get(FIRST) == (here or os.uname().nodename)
    return share_of(min(amounts), processes, scheduler_too=first)


if __name__ == "__main__":
    main(sys.argv[1:])
