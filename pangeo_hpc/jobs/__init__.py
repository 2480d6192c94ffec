"""From what a user asks to a running job, on any scheduler.

`plan` decides, and refuses what the site does not allow; `submit` acts; `status`, `wait` and
`cancel` follow. Hub, Dask, workflow and command line all come through here.
"""

from pangeo_hpc.jobs.follow import HISTORY_DELAY, cancel, status, status_of, wait
from pangeo_hpc.jobs.plan import Ask, plan, scheduler_named, scheduler_of
from pangeo_hpc.jobs.record import Job
from pangeo_hpc.jobs.several import alone, sparingly, statuses
from pangeo_hpc.jobs.submit import recover, submit, with_nonce

__all__ = [
    "HISTORY_DELAY",
    "Ask",
    "Job",
    "alone",
    "cancel",
    "plan",
    "recover",
    "scheduler_named",
    "scheduler_of",
    "sparingly",
    "status",
    "status_of",
    "statuses",
    "submit",
    "wait",
    "with_nonce",
]
