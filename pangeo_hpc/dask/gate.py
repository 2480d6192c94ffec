"""A few programs of the batch system at once, whatever number of clusters this process has."""

import threading

from pangeo_hpc.run import Command, Result, run

# A login node has a limit on processes.
AT_ONCE = 4

_gate = threading.BoundedSemaphore(AT_ONCE)


def gently(command: Command) -> Result:
    """Run a program as soon as there are less than a few others."""
    with _gate:
        return run(command)
