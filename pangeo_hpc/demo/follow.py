"""Follow the demo's job from the queue to its end, and show how far it is."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from pangeo_hpc import files, jobs
from pangeo_hpc.demo.timeline import Timeline
from pangeo_hpc.errors import Exit, JobFailed, PangeoHpcError, StoppedInTime
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.workflow.runs import RunFolder

# Seconds between looks at the run's own files, and the longest time between questions to the
# scheduler, which serves others too.
LOOK, ASK = 0.25, 5.0
# Where the job tells when it had its Python and its workers.
MARKS = "demo.json"

Say = Callable[[str], object]
Bar = Callable[[str, int, int], object]


def marks_of(folder: RunFolder, job: jobs.Job) -> dict[str, datetime]:
    """Return when a job had its Python (`script`) and its workers (`dask`), once it has both."""
    try:
        marks = files.read_json(folder.path / MARKS)
    except (FileNotFoundError, ValueError):
        return {}
    if marks.get("attempt") != str(int(job.folder.name)):
        return {}
    return {name: datetime.fromisoformat(marks[name]) for name in ("script", "dask")}


class Follower:
    """One job of the demo, while somebody watches; `ask` gives its state."""

    def __init__(
        self,
        folder: RunFolder,
        job: jobs.Job,
        ask: Callable[[], JobStatus],
        *,
        say: Say,
        bar: Bar,
    ) -> None:
        self._folder, self._job, self._ask = folder, job, ask
        self._say, self._bar = say, bar
        self._pause = LOOK
        self._ready, self._done = False, 0

    def to_the_end(self) -> JobStatus:
        """Return the state in which the job ended."""
        # the pause between questions is ours, since we look at the run's files meanwhile
        return jobs.wait(self._ask_later, on_change=self._changed, longest=0.0)

    def _ask_later(self) -> JobStatus:
        deadline = time.monotonic() + self._pause
        while time.monotonic() < deadline:
            if self._look():
                break
            time.sleep(LOOK)
        self._pause = min(self._pause * 1.5, ASK)
        return self._ask()

    def _look(self) -> bool:
        """Show what the job has written since the last look; tell whether just now all is there."""
        marks = marks_of(self._folder, self._job)
        if marks and not self._ready:
            self._ready = True
            self._say("the job has its Dask workers and computes")
        progress = self._folder.progress
        if not marks or progress is None:
            return False
        if datetime.fromisoformat(progress["updated"]) < marks["dask"].replace(microsecond=0):
            # what an earlier job left
            return False
        done, total = int(progress["done"]), int(progress["total"])
        if done == self._done:
            return False
        if not self._done:
            self._say(f"the first units are on scratch: {done} of {total}")
        self._done = done
        if done < total:
            self._bar("units written", done, total)
            return False
        self._say(f"all {done} units are on scratch; the job ends")
        self._pause = LOOK
        return True

    def _changed(self, status: JobStatus) -> None:
        self._pause = LOOK
        state = status.state
        if state.waiting:
            reason = f" ({status.reason})" if status.reason else ""
            start = status.estimated_start
            expected = f", expected to start at {start.astimezone():%H:%M}" if start else ""
            self._say(f"job {status.id} waits in the queue{reason}{expected}")
        elif not state.ended:
            where = f" on {', '.join(status.nodes)}" if status.nodes else ""
            reason = f" ({status.reason})" if state is JobState.UNKNOWN and status.reason else ""
            self._say(f"job {status.id} is {state}{where}{reason}")


def moments(folder: RunFolder, job: jobs.Job, status: JobStatus, timeline: Timeline) -> None:
    """Add to a timeline what the scheduler, the job and the ledger know of an ended job."""
    if status.started is not None:
        timeline.reach("started", status.started)
    marks = marks_of(folder, job)
    for stage, moment in marks.items():
        timeline.reach(stage, moment)
    try:
        outputs = files.read_json(folder.path / "outputs.json")
    except (FileNotFoundError, ValueError):
        outputs = {"seconds": None, "outputs": []}
    first = [each["seconds_to_first_unit"] for each in outputs["outputs"]]
    for stage, seconds in (("first_unit", first[0] if first else None),
                           ("last_unit", outputs["seconds"])):  # fmt: skip
        # seconds since the script opened its run
        if marks and seconds is not None:
            timeline.reach(stage, marks["script"] + timedelta(seconds=seconds))
    timeline.reach("ended", status.ended)


def refuse_failure(status: JobStatus, folder: RunFolder, output: Path) -> None:
    """Raise JobFailed with the job's last words, or StoppedInTime, unless it completed."""
    if status.state is JobState.COMPLETED:
        return
    if status.exit_code == Exit.RUN_AGAIN:
        text = f"job {status.id} stopped before the end of its walltime"
        raise StoppedInTime(text, hint="run the same command again: it goes on")
    raise _failure(status, folder, output)


def _failure(status: JobStatus, folder: RunFolder, output: Path) -> PangeoHpcError:
    what = str(status.state)
    if status.exit_code is not None:
        what += f", exit code {status.exit_code}"
    if status.reason not in ("", "None", str(status.state)):
        what += f" ({status.reason})"
    lines = tail(output)
    said = "".join(f"\n  {line}" for line in lines) if lines else " nothing"
    text = f"job {status.id or folder.name} ended: {what}; its last words:{said}"
    hint = f"all it printed: pangeo-hpc runs logs {folder.name}"
    return JobFailed(text, hint=hint)


def tail(path: Path, lines: int = 15) -> list[str]:
    """Return the last lines of what a job printed; none if there is nothing."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - (1 << 14)))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []
