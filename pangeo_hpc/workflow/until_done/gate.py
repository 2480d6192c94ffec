"""What a job begins with that follows runs computed until done: it ends unless they are complete.

``python -m pangeo_hpc.workflow.until_done.gate ATTEMPT FOLDER:NUMBER…``: the folder of our own
attempt, and for each run its folder and the first attempt that counts. It ends with 1 and leaves
the reason if one of them is not complete.
"""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pangeo_hpc.errors import Exit, PangeoHpcError
from pangeo_hpc.site import Person, Site, current_person, load_site
from pangeo_hpc.workflow.element import INDEX
from pangeo_hpc.workflow.runs import RunFolder
from pangeo_hpc.workflow.until_done.decide import Decision, Standing
from pangeo_hpc.workflow.until_done.followed import Followed, noted, standing
from pangeo_hpc.workflow.until_done.followers import refuse

# Seconds for a network filesystem to show what another node has just written.
PATIENCE = 10.0


def main(words: Sequence[str], *, patience: float = PATIENCE) -> int:
    """Look at each run, and tell the first that is not complete."""
    place = Path(words[0])
    if os.environ.get(INDEX):
        # an element of an array stands for an attempt of a run of its own
        place = (place / os.environ[INDEX]).resolve()
    site, person = _who(RunFolder(place.parent.parent))
    for word in words[1:]:
        folder, _, first = word.rpartition(":")
        followed = Followed(folder, int(first))
        decision = _look(followed, site, person, patience)
        if decision.standing is not Standing.COMPLETE:
            told = refuse(place, RunFolder(Path(folder)), decision)
            sys.stderr.write(f"{told}\n")
            return int(Exit.NO)
    return 0


def _look(
    followed: Followed, site: Site | None, person: Person | None, patience: float
) -> Decision:
    """Return how a run stands; what may not be to be seen yet is waited for."""
    until = time.monotonic() + patience
    while True:
        sure = noted(followed)
        decision = standing(followed, site, person)
        if decision.standing is Standing.COMPLETE or sure or time.monotonic() > until:
            return decision
        time.sleep(0.5)


def _who(mine: RunFolder) -> tuple[Site | None, Person | None]:
    """Return the site as our own run knows it: an array's job is not told."""
    with suppress(PangeoHpcError, OSError):
        return load_site(mine.site_file), current_person()
    return None, None


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
