"""One output while its units are written: what is left to do, the ledger, the end."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.errors import PangeoHpcError, StoppedInTime, UsageError
from pangeo_hpc.workflow.attempt import Attempt, Written
from pangeo_hpc.workflow.deadline import Pace
from pangeo_hpc.workflow.origin import (
    COMPLETE,
    DIGESTS,
    JOBS,
    KEPT,
    STATE,
    UNFINISHED,
    attributes,
    is_complete,
)
from pangeo_hpc.workflow.writing import template
from pangeo_hpc.workflow.writing.digest import Digest
from pangeo_hpc.workflow.writing.encoded import encode
from pangeo_hpc.workflow.writing.flight import Flight
from pangeo_hpc.workflow.writing.layout import COORDINATES, GATHERED, Unit
from pangeo_hpc.workflow.writing.ledger import Ledger
from pangeo_hpc.workflow.writing.parts import Part
from pangeo_hpc.workflow.writing.presence import incomplete
from pangeo_hpc.workflow.writing.store import DurableStore, survey
from pangeo_hpc.workflow.writing.work import Job, Work, piece


class Output:
    """The units of one output, in this attempt."""

    def __init__(
        self,
        attempt: Attempt,
        ledger: Ledger,
        parts: Sequence[Part],
        target: Path,
        digest: Digest,
        *,
        keeps: bool,
    ) -> None:
        """Look what is there. With `keeps`, units with another digest than ours stay."""
        self.attempt, self.ledger, self.parts, self.target = attempt, ledger, parts, target
        self.digest, self._keeps = digest, keeps
        self.store = DurableStore.at(target, attempt.lease.fence)
        self.pieces = template.pieces(target, str(ledger.token))
        ledger.sweep()
        self.done = ledger.finished()
        gone = incomplete(parts, target, self.pieces, self.done)
        ledger.forget(gone)
        for key in gone:
            del self.done[key]
            if not key.endswith(GATHERED):
                self._say(f"{key} is no longer there, and is written again")
        # the template is no measure of what computing takes
        self.pace = Pace(e["seconds"] for e in self.done.values() if e.get("stop") is not None)

    def write_units(self, result: Written) -> None:
        """Compute and write what is missing, as many units at once as fit in memory."""
        todo = [(part, unit) for part in self.parts for unit in part.layout.units()]
        again = [part for part in self.parts if not self._is_done(part, part.layout.coordinates)]
        result.units = len(todo) + len(again)
        todo = [(part, unit) for part, unit in todo if not self._is_done(part, unit)]
        # an output that grows comes here twice
        result.skipped = result.units - len(todo) - len(again) - result.written
        self._begin(bool(todo or again))
        self.attempt.progress.begin(self.target.name, result.skipped, result.units)
        try:
            for part in again:
                self._stop_in_time(result)
                self._write_coordinates(part)
                self._count(result)
            with Flight() as flight:
                for part in self.parts:
                    self._fly(flight, part, [u for p, u in todo if p is part], result)
                self._land(flight, result, all_of_them=True)
        finally:
            self.attempt.progress.end(self.target.name)

    def finish(self) -> int:
        """Put small variables together, consolidate, and mark the store complete.

        Return its bytes.
        """
        for part in self.parts:
            self._gather(part)
        if not is_complete(self.target):
            entries = self.ledger.finished().values()
            jobs = sorted({str(entry["job"]) for entry in entries if entry["job"]})
            digests = sorted({str(entry["digest"]) for entry in entries})
            template.consolidate(self.target, self.attempt.lease)
            told = {JOBS: ", ".join(jobs), DIGESTS: ", ".join(digests), STATE: COMPLETE}
            template.tell(self.target, told, self.attempt.lease)
        template.sweep_pieces(self.target, str(self.ledger.token))
        return survey(self.target)[1]

    def _begin(self, anything: bool) -> None:
        """Mark a store unfinished before anything of it changes."""
        kept = [e for e in self.done.values() if e["digest"] != self.digest.text]
        count = sum(1 for entry in kept if entry.get("stop") is not None)
        note = f"{count} units were made by an earlier script, environment or input"
        told = {KEPT: note if kept and self.attempt.keep else ""}
        if told[KEPT] == attributes(self.target).get(KEPT, ""):
            told = {}
        if is_complete(self.target) and (anything or told):
            told[STATE] = UNFINISHED
        if told:
            template.tell(self.target, told, self.attempt.lease)

    def _is_done(self, part: Part, unit: Unit) -> bool:
        entry = self.done.get(part.key(unit))
        if entry is None or int(entry.get("stop") or 0) < unit.stop:
            return False
        # where an output grows, each of its steps stays as it was made
        return self._keeps or entry["digest"] == self.digest.text

    def _fly(self, flight: Flight, part: Part, todo: Sequence[Unit], result: Written) -> None:
        if not todo:
            return
        had = {unit.key: self._had(part, unit) for unit in todo}
        for unit in todo:
            if unit.along and had[unit.key] < part.offset:
                text = f"steps {had[unit.key]} to {unit.stop} along {unit.along} are not there yet"
                text += f", and what is given begins with step {part.offset}"
                raise UsageError(text, hint="give these steps too, before the new ones")
        with template.stable():
            work = Work(part, todo, had, self.store, self.pieces)
        for job in work.jobs:
            while not flight.has_room(job):
                self._land(flight, result)
            self._stop_in_time(result, flight)
            if job is work.jobs[0]:
                flight.prepare(work)
            if job.key in self.done and not had[job.unit.key] > job.unit.start:
                # what it has is about to be overwritten
                self.ledger.forget([job.key])
            job.began = time.monotonic()
            self.attempt.lease.begun(self._work_on(job))
            flight.start(work, job)

    def _had(self, part: Part, unit: Unit) -> int:
        """Return up to which step a unit is there already."""
        entry = self.done.get(part.key(unit))
        if entry is None or part.layout.append is None:
            return unit.start
        return int(entry.get("stop") or unit.start)

    def _land(self, flight: Flight, result: Written, *, all_of_them: bool = False) -> None:
        """Note the next unit that has ended, or all that are at work.

        A unit that fails does not keep the others at work from being noted.
        """
        failed: BaseException | None = None
        while flight.jobs:
            job, error = flight.wait()
            if error is None:
                self._note(job, result)
            elif isinstance(error, PangeoHpcError) or failed is None:
                failed = error
            if failed is None and not all_of_them:
                return
        if failed is not None:
            raise failed

    def _note(self, job: Job, result: Written) -> None:
        seconds = time.monotonic() - job.began
        facts = {
            "start": job.unit.start,
            "stop": job.unit.stop,
            "seconds": round(seconds, 3),
            "bytes": job.bytes,
        }
        self.done[job.key] = self.ledger.commit(job.key, self.digest, facts)
        self.attempt.lease.done(self._work_on(job))
        self.pace.add(seconds)
        self._count(result, seconds)

    def _work_on(self, job: Job) -> str:
        """Return how a unit is called where it is at work, also for the attempts after us."""
        return f"{job.key} of {self.target.name}"

    def _count(self, result: Written, seconds: float = 0.0) -> None:
        result.written += 1
        result.first_unit = result.first_unit or time.monotonic()
        self.attempt.progress.unit(self.target.name, seconds)

    def _stop_in_time(self, result: Written, flight: Flight | None = None) -> None:
        why = self.attempt.signals.asked or self.attempt.deadline.too_late(self.pace)
        if why:
            if flight is not None:
                # those at work began when there was time enough for them
                self._land(flight, result, all_of_them=True)
            done = result.skipped + result.written
            text = (
                f"run {self.attempt.folder.name} stopped in time: {done} of {result.units} units "
                f"of {self.target.name} are written, {why}"
            )
            raise StoppedInTime(text, hint="run it again to go on")
        self.attempt.lease.check()

    def _write_coordinates(self, part: Part) -> None:
        """Write the early variables again, as purged files or another script demand it."""
        self.ledger.forget([part.key(COORDINATES)])
        layout = part.layout
        ds = template.loaded(part.ds, layout)
        variables = {name: ds.variables[name] for name in layout.early}
        with template.stable(), files.refusals(self.target):
            for data, array in encode(variables, self.store, part).values():
                array[...] = data
        self.commit_coordinates(part, layout.length)

    def commit_coordinates(self, part: Part, length: int) -> None:
        """Note that the early variables are there, up to a length."""
        key = part.key(COORDINATES)
        self.done[key] = self.ledger.commit(key, self.digest, {"length": length})

    def _gather(self, part: Part) -> None:
        """Put together the variables that were kept in pieces, one file each."""
        layout, key = part.layout, part.key(GATHERED)
        if not layout.gathered:
            return
        found = {
            (part.key(unit), name): path
            for unit in layout.units()
            if unit.along
            for name in layout.gathered
            if (path := self.pieces / piece(part.key(unit), name)).exists()
        }
        if key in self.done and not found:
            return
        import numpy as np

        for name in layout.gathered:
            array = self._array(part, name)
            axis = part.ds.variables[name].dims.index(layout.along)
            values = array[...] if key in self.done else np.empty(array.shape, array.dtype)
            for unit in layout.units():
                kept = found.get((part.key(unit), name))
                if kept is not None:
                    place = [slice(None)] * array.ndim
                    place[axis] = slice(unit.start, unit.stop)
                    values[tuple(place)] = np.load(kept, allow_pickle=False)
            self.attempt.lease.check()
            with template.stable(), files.refusals(self.target):
                array[...] = values
        self.done[key] = self.ledger.commit(key, self.digest, {})

    def _array(self, part: Part, name: str) -> Any:
        import zarr

        config = {"write_empty_chunks": True}
        return zarr.open_array(
            self.store, path=part.path(name), mode="r+", zarr_format=3, config=config
        )

    def _say(self, text: str) -> None:
        self.attempt.progress.say(f"{self.target.name}: {text}")


def stale(entries: Mapping[str, Mapping[str, Any]], digest: Digest) -> dict[str, list[str]]:
    """Return the units that were made by something else, by its digest."""
    found: dict[str, list[str]] = {}
    for key, entry in entries.items():
        if entry["digest"] != digest.text and not key.endswith(GATHERED):
            found.setdefault(str(entry["digest"]), []).append(key)
    return found
