"""All outputs of a run, and the results of its maps, beside those of its replay."""

from collections.abc import Iterator
from pathlib import Path

from pangeo_hpc.workflow.mapping.kept import Kept, same_table
from pangeo_hpc.workflow.mapping.ledger import results
from pangeo_hpc.workflow.replays.compare import Comparison, compare
from pangeo_hpc.workflow.replays.redirect import Redirect
from pangeo_hpc.workflow.report.facts import outputs
from pangeo_hpc.workflow.runs import RunFolder


def compare_outputs(run: RunFolder, replay: RunFolder) -> Iterator[Comparison]:
    """Compare a run's outputs with those of its replay, one after another.

    Copies on object stores are left out.
    """
    redirect = Redirect.of(replay.path)
    for output in outputs(run, None):
        path = str(output["path"])
        if output.get("map"):
            yield compare_map(run.path, replay.path, str(output["map"]))
        elif "://" not in path:
            yield compare(Path(path), redirect.output(Path(path)))


def compare_map(run: Path, replay: Path, name: str) -> Comparison:
    """Return how the results of a map differ from those in the folder of a replay, item by item.

    Datasets are compared by their values, tables by their cells, all else by what was kept of it.
    """
    found = Comparison(run / "maps" / name, replay / "maps" / name)
    ours, theirs = results(run, name), results(replay, name)
    for item, (label, kept) in ours.items():
        if item not in theirs:
            found.differs.append(f"item {label} is missing in the replay")
            continue
        values, differs = _apart(kept, theirs[item][1])
        found.values += values
        found.differs += [f"item {label}: {text}" for text in differs]
    new = [label for item, (label, _) in theirs.items() if item not in ours]
    found.differs += [f"item {label} is new in the replay" for label in new]
    return found


def _apart(one: Kept, two: Kept) -> tuple[int, list[str]]:
    """Return how many values two results have, and what differs in them."""
    if one.kind != two.kind:
        return 0, [f"kept as {one.kind}, replayed as {two.kind}"]
    if one.path is None or two.path is None:
        # of a longer text there is a file
        same = one.text == two.text and one.path == two.path
        return 1, [] if same else ["another value"]
    paths = Path(one.path), Path(two.path)
    if one.kind == "table" and all(path.is_dir() for path in paths):
        return same_table(*paths)
    found = compare(*paths)
    return found.values if one.kind in ("dataset", "array") else 1, found.differs
