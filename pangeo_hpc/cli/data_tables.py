"""How a planned conversion and the contents of a store are shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc.cli.context import Here
from pangeo_hpc.cli.output import Face

if TYPE_CHECKING:
    from pangeo_hpc.workflow.contents import ArrayFacts, Contents
    from pangeo_hpc.workflow.convert.adding import Addition
    from pangeo_hpc.workflow.convert.arrange import Part
    from pangeo_hpc.workflow.convert.prepare import Plan


def tell_plan(our: Here, plan: "Plan", where: Path) -> None:
    """Print what a conversion would do."""
    from pangeo_hpc.units import format_memory
    from pangeo_hpc.workflow.convert.arrange import show
    from pangeo_hpc.workflow.convert.assemble import shapes

    shape = shapes(plan.arrangement)
    parts = plan.arrangement.parts
    if our.face.json:
        our.face.data(
            {
                "path": str(where),
                "kind": str(plan.kind),
                "along": plan.arrangement.along,
                "steps": plan.arrangement.steps,
                "unit": plan.unit,
                "files": [_file(part) for part in parts],
                "gaps": [
                    {"after": show(gap.after), "before": show(gap.before), "steps": gap.steps}
                    for gap in plan.arrangement.gaps
                ],
                "overlaps": len(plan.arrangement.overlaps),
                "notes": plan.notes,
                "variables": {
                    name: {"dims": shape[name].dims, "shape": shape[name].lengths, **vars(cut)}
                    for name, cut in plan.cuts.items()
                },
            }
        )
        return
    our.face.out(f"{where}: {len(parts)} {plan.kind} files, joined along {plan.arrangement.along}")
    for note in plan.notes:
        our.face.out(f"note: {note}")
    rows = [
        (
            name,
            _lengths(shape[name].dims, shape[name].lengths),
            format_memory(shape[name].bytes),
            _times(cut.chunks),
            _times(cut.shards),
        )
        for name, cut in plan.cuts.items()
    ]
    our.face.table(("variable", "dimensions", "size", "chunks", "shards"), rows)


def tell_addition(our: Here, adding: "Addition", where: Path) -> None:
    """Print what would be added to a store, or that there is nothing to add."""
    from pangeo_hpc.workflow.convert.arrange import show

    found, along = adding.arrangement, adding.arrangement.along
    if our.face.json:
        there = {"steps": adding.steps, "first": show(adding.first), "last": show(adding.last)}
        told = {
            "path": str(where),
            "along": along,
            "there": {**there, "named": adding.known},
            "adds": found.steps,
            "files": [_file(part) for part in found.parts],
            "notes": adding.notes,
        }
        our.face.data(told)
        return
    our.face.out(
        f"{where}: {adding.steps} steps of {along}, from {show(adding.first)} to "
        f"{show(adding.last)}, are there"
    )
    for note in adding.notes:
        our.face.out(f"note: {note}")
    if not found.parts:
        our.face.out("nothing to add")
        return
    our.face.out(f"{found.steps} steps follow:")
    files = [_file(part) for part in found.parts]
    rows = [(each["path"], each["stop"] - each["start"], each["last"]) for each in files]
    our.face.table(("file", "steps", "until"), rows)


def tell_contents(face: Face, contents: "Contents") -> None:
    """Print what is in a store."""
    state = f", {contents.state}" if contents.state else ""
    whole = ", consolidated" if contents.consolidated else ""
    face.out(f"{contents.place}: {contents.kind}{whole}{state}")
    if contents.dims:
        face.out("dimensions: " + ", ".join(f"{dim} {n}" for dim, n in contents.dims.items()))
    if contents.groups:
        face.out("groups: " + ", ".join(contents.groups))
    columns = ("array", "dimensions", "type", "chunks", "shards", "compression", "size", "stored",
               "files")  # fmt: skip
    face.table(columns, [_row(each) for each in contents.arrays])
    for key, value in contents.attributes.items():
        face.out(f"{key}: {value}")


def _file(part: "Part") -> dict[str, Any]:
    """Return what is taken of a file, in plain words."""
    from pangeo_hpc.workflow.convert.arrange import show

    known = part.piece.values is not None
    return {
        "path": str(part.piece.path),
        "start": part.start,
        "stop": part.stop,
        "first": show(part.piece.first) if known else None,
        "last": show(part.piece.last) if known else None,
    }


def _row(each: "ArrayFacts") -> tuple[object, ...]:
    from pangeo_hpc.units import format_memory

    files = None if each.files is None else f"{each.files} of {each.most_files}"
    return (
        each.name,
        _lengths(each.dims, each.shape),
        each.dtype,
        _times(each.chunks),
        _times(each.shards),
        each.compression,
        format_memory(each.nbytes),
        None if each.stored is None else format_memory(each.stored),
        files,
    )


def _lengths(dims: tuple[str, ...], lengths: tuple[int, ...]) -> str:
    return ", ".join(f"{dim} {n}" for dim, n in zip(dims, lengths, strict=True))


def _times(sizes: tuple[int, ...] | None) -> str | None:
    return None if sizes is None else " x ".join(map(str, sizes))
