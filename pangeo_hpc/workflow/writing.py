"""Write a dataset to Zarr unit by unit, such that a later attempt goes on where this one stops."""

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc.errors import StoppedInTime, UsageError
from pangeo_hpc.workflow import template
from pangeo_hpc.workflow.attempt import Attempt, Written
from pangeo_hpc.workflow.deadline import Pace
from pangeo_hpc.workflow.grid import aligned
from pangeo_hpc.workflow.layout import COORDINATES, Layout, Unit, decide
from pangeo_hpc.workflow.ledger import Ledger, differences, plain
from pangeo_hpc.workflow.origin import (
    COMPLETE,
    JOBS,
    STATE,
    UNFINISHED,
    describe,
    identity,
    is_complete,
)
from pangeo_hpc.workflow.presence import incomplete, lacks_metadata
from pangeo_hpc.workflow.reduce.shared import hold
from pangeo_hpc.workflow.store import DurableStore, survey

if TYPE_CHECKING:
    import xarray as xr


def write(
    attempt: Attempt,
    ds: "xr.Dataset",
    target: Path,
    *,
    along: str | None,
    unit: int | None,
    encoding: Mapping[str, Mapping[str, Any]] | None,
    key: str | None,
) -> Written:
    """Write a dataset to a Zarr store, without the units that are there already.

    Raise UsageError if the store is not of this run or was begun from something else, StoppedInTime
    before the walltime ends, and RunBusy if another attempt took the run over.
    """
    began = time.monotonic()
    ds = template.without_storage(ds)
    layout = decide(ds, along=along, unit=unit, encoding=encoding)
    now = identity(ds, layout, encoding or {}, code=attempt.code, inputs=attempt.inputs, key=key)
    ledger = Ledger(attempt.folder, target, attempt.lease)
    attempt.lease.check()
    if ledger.token is not None:
        template.sweep(target, ledger.token)
    goes_on = _goes_on(attempt, ledger, target, now)
    if goes_on and lacks_metadata(target, layout):
        attempt.progress.say(f"{target.name}: its metadata is no longer whole; it is made again")
        goes_on = False
    if not goes_on:
        _start_over(attempt, ledger, ds, layout, target, encoding or {}, now)
    output = _Output(attempt, ledger, ds, layout, target)
    result = output.write_units()
    result.bytes = output.finish()
    result.complete = True
    result.seconds = time.monotonic() - began
    return result


def _goes_on(attempt: Attempt, ledger: Ledger, target: Path, now: Mapping[str, Any]) -> bool:
    """Tell whether the store that is there is ours to complete; if not, it may be made anew.

    Raise UsageError where a store is in the way.
    """
    there, begun = template.mark(target), ledger.template
    if attempt.forced is not None and begun.get("forced") != attempt.forced:
        return False
    if there is None or (there == begun.get("replaces") and not ledger.finished()):
        # never made, removed since, or its making was interrupted
        return False
    if there != ledger.token:
        told = "somebody replaced it" if begun else "this run did not write it"
        text = f"{target} is there already, and {told}"
        raise UsageError(text, hint="remove it, write elsewhere, or start over with --force")
    changed = differences(begun["identity"], plain(now))
    if changed:
        text = "\n".join((f"{target} was begun from something else:", *changed))
        hint = "start over with --force, or give the run another --name and output"
        raise UsageError(text, hint=hint)
    return True


def _start_over(
    attempt: Attempt,
    ledger: Ledger,
    ds: "xr.Dataset",
    layout: Layout,
    target: Path,
    encoding: Mapping[str, Mapping[str, Any]],
    now: Mapping[str, Any],
) -> None:
    began = time.monotonic()
    token = secrets.token_hex(8)
    there = template.mark(target)
    ledger.begin(token, target, now, forced=attempt.forced, replaces=there)
    template.create(
        template.loaded(ds, layout),
        layout,
        target,
        token=token,
        told=describe(attempt.record, attempt.code, attempt.lease.holder),
        encoding=encoding,
        lease=attempt.lease,
    )
    ledger.commit(COORDINATES, {"seconds": round(time.monotonic() - began, 3)})


class _Output:
    """One output while its units are written."""

    def __init__(
        self, attempt: Attempt, ledger: Ledger, ds: "xr.Dataset", layout: Layout, target: Path
    ) -> None:
        self.attempt, self.ledger, self.ds = attempt, ledger, ds
        self.layout, self.target = layout, target
        self.store = DurableStore.at(target, attempt.lease.fence)
        self.done = ledger.finished()
        for key in incomplete(ds, target, layout, self.done):
            del self.done[key]
            ledger.forget(key)
            attempt.progress.say(f"{target.name}: {key} is no longer there, and is written again")
        # the template is no measure of what computing takes
        self.pace = Pace(e["seconds"] for key, e in self.done.items() if key != COORDINATES)

    def write_units(self) -> Written:
        """Compute and write what is missing, one unit after another."""
        name = self.target.name
        units = [u for u in self.layout.units() if u.key != COORDINATES or u.key not in self.done]
        todo = [unit for unit in units if unit.key not in self.done]
        result = Written(self.target, len(units), skipped=len(units) - len(todo))
        self.attempt.outputs.append(result)
        if todo and is_complete(self.target):
            self._tell({STATE: UNFINISHED})
        self.attempt.progress.begin(name, result.skipped, result.units)
        try:
            if todo:
                self.ds = hold(self.ds)
            for unit in todo:
                self._stop_in_time(result)
                seconds = self._write(unit)
                result.written += 1
                result.first_unit = result.first_unit or time.monotonic()
                self.pace.add(seconds)
                self.attempt.progress.unit(name, seconds)
        finally:
            self.attempt.progress.end(name)
        return result

    def finish(self) -> int:
        """Mark the store complete and consolidate its metadata; return its bytes."""
        if not is_complete(self.target):
            entries = self.ledger.finished().values()
            jobs = sorted({str(entry["job"]) for entry in entries if entry["job"]})
            self.attempt.lease.check()
            self._tell({JOBS: ", ".join(jobs), STATE: COMPLETE})
        return survey(self.target)[1]

    def _tell(self, told: Mapping[str, str]) -> None:
        """Change the store's attributes, and with them the consolidated metadata."""
        import zarr

        with template.stable():
            group = zarr.open_group(self.store, mode="r+", zarr_format=3, use_consolidated=False)
            group.update_attributes({key: value for key, value in told.items() if value})
            zarr.consolidate_metadata(self.store, zarr_format=3)

    def _stop_in_time(self, result: Written) -> None:
        why = self.attempt.signals.asked or self.attempt.deadline.too_late(self.pace)
        if why:
            done = result.skipped + result.written
            text = (
                f"run {self.attempt.folder.name} stopped in time: {done} of {result.units} units "
                f"of {self.target.name} are written, {why}"
            )
            raise StoppedInTime(text, hint="run it again to go on")
        self.attempt.lease.check()

    def _write(self, unit: Unit) -> float:
        """Compute and write one unit, and note it; return its seconds."""
        import xarray as xr

        began = time.monotonic()
        ds = template.loaded(self.ds, self.layout) if unit.key == COORDINATES else self.ds
        parts = {}
        for name in unit.names:
            part = ds.variables[name].isel(unit.region or {})
            grid = self.layout.grids.get(name)
            parts[name] = aligned(part, grid) if grid else part
        with template.stable():
            xr.Dataset(parts).to_zarr(
                self.store,
                mode="r+",
                region=unit.region,
                consolidated=False,
                write_empty_chunks=True,
            )
        seconds = time.monotonic() - began
        self.ledger.commit(
            unit.key, {"start": unit.start, "stop": unit.stop, "seconds": round(seconds, 3)}
        )
        return seconds
