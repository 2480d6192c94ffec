"""All users' jobs of a kind of name, from one squeue, of which nobody can forge a row.

A job's owner can put line breaks into its name. Every column here has a fixed width, and the name's
is too narrow to hold a row: what a name breaks in two is no row any more.
"""

import re

from pangeo_hpc.schedulers.base import JobStatus
from pangeo_hpc.schedulers.slurm_text import state_of

_COLUMNS = {"JobArrayID": 64, "UserName": 64, "State": 32}


def columns(length: int) -> str:
    """Return the columns to ask for; one letter more than wanted shows that a name is longer."""
    widths = {**_COLUMNS, "Name": length + 1}
    return ",".join(f"{name}:{width}|" for name, width in widths.items())


def parse(text: str, prefix: str, length: int) -> dict[str, JobStatus]:
    """Return the jobs that have not ended, by id, with user, name and state."""
    cells = "".join(rf"([^|]{{{width}}})\|" for width in (*_COLUMNS.values(), length + 1))
    found: dict[str, JobStatus] = {}
    for line in text.splitlines():
        match = re.fullmatch(cells, line)
        if match is None:
            continue
        job_id, user, word, name = (cell.rstrip() for cell in match.groups())
        state = state_of(word)
        fits = name.startswith(prefix) and len(name) == length
        if fits and re.fullmatch(r"\d+", job_id) and not state.ended:
            found[job_id] = JobStatus(id=job_id, state=state, word=word, user=user, name=name)
    return found
