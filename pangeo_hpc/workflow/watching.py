"""Ask the scheduler about the job that holds a run."""

import time
from collections.abc import Callable

from pangeo_hpc import jobs
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.site import Site, current_person
from pangeo_hpc.workflow.holder import Holder
from pangeo_hpc.workflow.runs import RunFolder

# A scheduler that has just been asked is not asked again.
SELDOM = 15.0


class Watch:
    """Tells the state of a holder's job; None where nobody can, as on nodes without commands."""

    def __init__(
        self, folder: RunFolder, load: Callable[[], Site], *, runner: Runner = run
    ) -> None:
        self._folder = folder
        self._load = load
        self._runner = runner
        self._asked: dict[str, tuple[float, JobState | None]] = {}

    def __call__(self, holder: Holder) -> JobState | None:
        """Return the state of a holder's job."""
        if holder.job_id is None:
            return None
        then, answer = self._asked.get(holder.job_id, (0.0, None))
        if not then or time.monotonic() - then > SELDOM:
            try:
                answer = self._ask(holder, holder.job_id)
            except PangeoHpcError:
                answer = None
            self._asked[holder.job_id] = (time.monotonic(), answer)
        return answer

    def _ask(self, holder: Holder, job_id: str) -> JobState | None:
        site = self._load()
        keys = [key for key, entry in site.schedulers.items() if entry.type == holder.scheduler]
        if not keys:
            return None
        exits = {}
        if holder.attempt is not None:
            exits[job_id] = self._folder.attempt(holder.attempt) / "exit"
        for key in sorted(keys, key=lambda name: name != site.scheduler):
            scheduler = jobs.scheduler_named(site, key, current_person())
            found = jobs.status(scheduler, [job_id], exit_files=exits, runner=self._runner)
            state = found[job_id].state if job_id in found else JobState.LOST
            if state is not JobState.LOST or len(keys) == 1:
                return state
        # of several schedulers of one kind none knows it, or the one that would did not say
        return None
