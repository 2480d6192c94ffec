"""Write a dataset to Zarr unit by unit, such that a later attempt goes on where this one stops."""

import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc.errors import Problem, RequestRefused, UsageError
from pangeo_hpc.workflow.attempt import Attempt, Written
from pangeo_hpc.workflow.origin import describe
from pangeo_hpc.workflow.writing import template
from pangeo_hpc.workflow.writing.digest import Digest, changes, digest, shown
from pangeo_hpc.workflow.writing.growable import growable
from pangeo_hpc.workflow.writing.growing import Growing, check_first
from pangeo_hpc.workflow.writing.layout import COORDINATES, GATHERED, Asked
from pangeo_hpc.workflow.writing.ledger import FORMAT, Ledger, differences, plain
from pangeo_hpc.workflow.writing.output import Output, stale
from pangeo_hpc.workflow.writing.parts import (
    Part,
    asked_otherwise,
    known_parts,
    new_parts,
    nodes,
    split,
    structure,
)
from pangeo_hpc.workflow.writing.presence import lacks_metadata

if TYPE_CHECKING:
    import xarray as xr


def write(
    attempt: Attempt,
    data: "xr.Dataset | xr.DataArray | xr.DataTree",
    target: Path,
    asked: Asked,
    *,
    group: str | None = None,
    key: str | None = None,
) -> Written:
    """Write a dataset to a Zarr store, without the units that are there already.

    Raise UsageError if the store is not of this run or is laid out otherwise, RequestRefused for
    what cannot be written so, StoppedInTime before the walltime ends, and RunBusy if another
    attempt took the run over.
    """
    began = time.monotonic()
    groups = nodes(data)
    wishes = split(asked, groups)
    if asked.append:
        check_first(groups[""], asked.append)
    place = _place(target, group)
    now = digest(attempt.script, attempt.code, attempt.inputs, key)
    result = Written(place, 0)
    writing = _Writing(attempt, groups, wishes, place, asked.append, now, result)
    attempt.lease.check()
    if group is not None:
        template.parents(target, group)
    writing.go()
    if group is not None:
        # readers of a group look for it at the root
        template.consolidate(target, attempt.lease)
    result.complete = True
    result.seconds = time.monotonic() - began
    return result


class _Writing:
    """One call: go on with the output that is there, or begin it."""

    def __init__(
        self,
        attempt: Attempt,
        groups: "Mapping[str, xr.Dataset]",
        asked: Mapping[str, Asked],
        target: Path,
        append: str | None,
        now: Digest,
        result: Written,
    ) -> None:
        self._attempt, self._groups, self._asked = attempt, groups, asked
        self._target, self._append, self._now, self._result = target, append, now, result
        self._ledger = Ledger(attempt.folder, target, attempt.lease)
        self._structure = plain(structure(groups, asked, append))

    def go(self) -> None:
        """Write all that is to be written, and finish the output."""
        if self._ledger.token is not None:
            template.sweep(self._target, self._ledger.token)
        parts = self._known() if self._is_ours() else None
        if parts is not None and lacks_metadata(self._target, parts):
            self._say("its metadata is no longer whole; it is made again")
            self._start_over(parts)
        elif parts is None:
            parts = new_parts(self._groups, self._asked)
            self._start_over(parts)
        elif self._append is None and self._all_stale():
            self._start_over(parts)
        if self._append is None:
            self._result.bytes = self._write(parts).finish()
        else:
            self._grow(parts[0])

    def _grow(self, part: Part) -> None:
        """Finish the record as it is, then add what is new."""
        growing = Growing(self._attempt, self._ledger, part, self._target)
        output = self._write([growing.current()])
        if growing.grows:
            # readers see a record that is whole before it grows
            output.finish()
            growing.extend(output.commit_coordinates)
            output = self._write([growing.part])
        self._result.bytes = output.finish()

    def _write(self, parts: Sequence[Part]) -> Output:
        attempt = self._attempt
        if self._result not in attempt.outputs:
            attempt.outputs.append(self._result)
        keeps = attempt.keep or self._append is not None
        output = Output(attempt, self._ledger, parts, self._target, self._now, keeps=keeps)
        output.write_units(self._result)
        return output

    def _is_ours(self) -> bool:
        """Tell whether the store that is there is ours to complete; if not, it may be made anew.

        Raise UsageError where a store is in the way.
        """
        there, begun = template.mark(self._target), self._ledger.template
        forced = self._attempt.forced
        if forced is not None and begun.get("forced") != forced:
            return False
        if there is None or (there == begun.get("replaces") and not self._ledger.finished()):
            # never made, removed since, or its making was interrupted
            return False
        if there != self._ledger.token:
            told = "somebody replaced it" if begun else "this run did not write it"
            text = f"{self._target} is there already, and {told}"
            raise UsageError(text, hint="remove it, write elsewhere, or start over with --force")
        return True

    def _known(self) -> list[Part]:
        """Return the parts with the layout they were begun with.

        Raise UsageError if it does not fit what is to be written now.
        """
        begun = self._ledger.template
        if begun.get("format") != FORMAT:
            text = f"{self._target} was begun by an earlier version of pangeo-hpc"
            raise UsageError(text, hint="start over with --force")
        grown = None
        if self._append is not None:
            grown = growable(begun["structure"], begun["layouts"], self._append)
        begun = {**begun, **(grown or {})}
        told = differences(begun["structure"], self._structure)
        parts: list[Part] = []
        if not told:
            parts = known_parts(self._groups, self._asked, begun["layouts"])
            told = list(asked_otherwise(parts))
        if told:
            text = "\n".join((f"{self._target} was begun as something else:", *told))
            hint = "start over with --force, or give the run another --name and output"
            raise UsageError(text, hint=hint)
        if grown:
            self._ledger.change(**grown)
        return parts

    def _all_stale(self) -> bool:
        """Tell whether nothing that is there is of use any more, and say what has changed."""
        entries = self._ledger.finished()
        old = stale(entries, self._now)
        if not old:
            return False
        units = [key for keys in old.values() for key in keys if not key.endswith(COORDINATES)]
        told = [
            each
            for made in old
            for each in changes(self._ledger.made_by(made), self._now, self._attempt.script)
        ]
        text = shown(list(dict.fromkeys(told)))
        if self._attempt.keep:
            self._say(f"{text}; {_units(len(units))} kept")
            return False
        self._say(f"{text}; {_units(len(units))} done again")
        fresh = [k for k in entries if not k.endswith(GATHERED)]
        return len(fresh) == sum(len(keys) for keys in old.values())

    def _start_over(self, parts: Sequence[Part]) -> None:
        attempt, ledger = self._attempt, self._ledger
        began = time.monotonic()
        if ledger.token is not None:
            template.sweep_pieces(self._target, ledger.token)
        token = secrets.token_hex(8)
        ledger.begin(
            token,
            self._target,
            structure=self._structure,
            layouts={part.group: part.layout.dump() for part in parts},
            forced=attempt.forced,
            replaces=template.mark(self._target),
        )
        told = describe(attempt.record, attempt.code, attempt.lease.holder)
        template.create(parts, self._target, token=token, told=told, lease=attempt.lease)
        for part in parts:
            facts: dict[str, Any] = {"seconds": round(time.monotonic() - began, 3)}
            if self._append is not None:
                facts["length"] = part.layout.length
            ledger.commit(part.key(COORDINATES), self._now, facts)

    def _say(self, text: str) -> None:
        self._attempt.progress.say(f"{self._target.name}: {text}")


def _place(target: Path, group: str | None) -> Path:
    """Return where a group is. Raise RequestRefused for what is no name of a group."""
    if group is None:
        return target
    names = group.strip("/").split("/")
    if any(name in ("", ".", "..") or name.startswith("__") for name in names):
        raise RequestRefused([Problem("group", f"{group!r} is no name of a group in Zarr")])
    return target.joinpath(*names)


def _units(number: int) -> str:
    return "1 unit made before is" if number == 1 else f"{number} units made before are"
