"""Start the script of a job as a batch system would: its own session, directory and variables."""

import os
import pwd
import socket
import subprocess
from pathlib import Path

from pangeo_hpc.localqueue.header import interpreter
from pangeo_hpc.localqueue.records import Element
from pangeo_hpc.localqueue.settings import PREFIX
from pangeo_hpc.localqueue.settle import marks
from pangeo_hpc.localqueue.store import Store


def start_script(store: Store, element: Element, started: float) -> subprocess.Popen[bytes]:
    """Start the stored copy of a script, its output into the job's file.

    Raise OSError if directory, output or interpreter cannot be had.
    """
    job = element.job
    spool = store.script(job)
    content = spool.read_bytes()
    directory = Path(job.directory)
    directory.stat()
    output = element.output
    before = os.umask(job.umask)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("ab" if element.standing.restarts else "wb") as stream:
            return subprocess.Popen(
                [*interpreter(content), str(spool)],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=_environment(store, element, started),
                start_new_session=True,
            )
    finally:
        os.umask(before)


def _environment(store: Store, element: Element, started: float) -> dict[str, str]:
    """Return what a job finds in its environment; nothing of the daemon's goes there."""
    job = element.job
    me = pwd.getpwuid(os.geteuid())
    told = {
        "JOBNAME": job.name,
        "CORES": str(job.cores),
        "MEMORY": str(job.memory),
        "STARTED": str(int(started)),
        "ENDS": str(int(started + job.walltime)),
        "RESTARTS": str(element.standing.restarts),
        "NODE": socket.gethostname(),
    }
    if element.index is not None:
        told["INDEX"] = str(element.index)
    return {
        "HOME": job.home,
        "USER": me.pw_name,
        "LOGNAME": me.pw_name,
        "SHELL": me.pw_shell or "/bin/sh",
        "PATH": job.path or os.defpath,
        "OMP_NUM_THREADS": str(job.cores),
        **dict(mark.split("=", 1) for mark in marks(store, element)),
        **{PREFIX + name: value for name, value in told.items()},
    }
