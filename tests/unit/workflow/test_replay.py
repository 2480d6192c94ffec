"""A run is done again as it was, elsewhere, and compared bit by bit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from pangeo_hpc.workflow.replays.compare import compare, in_words
from pangeo_hpc.workflow.replays.redirect import Redirect
from tests.unit.workflow.told import SCRIPT, Here


def dataset(**attrs: str) -> xr.Dataset:
    values = np.array([[1.0, np.nan, 0.0], [2.0, 3.0, 4.0]])
    names = np.array(["a", "b"], dtype=object)
    variables = {"tas": (("t", "x"), values), "name": ("t", names)}
    return xr.Dataset(variables, {"t": [10, 20]}, attrs)


def put(ds: xr.Dataset, path: Path, **how: Any) -> Path:
    ds.to_zarr(path, zarr_format=3, consolidated=False, **how)
    return path


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return put(dataset(title="one", pangeo_hpc_id="1"), tmp_path / "a.zarr")


pytestmark = pytest.mark.filterwarnings(
    "ignore:(?s).*does not have a Zarr V3 specification", "ignore:(?s).*consolidated metadata"
)


def test_equal_stores(original: Path, tmp_path: Path) -> None:
    """NaN equals itself; other chunks, and the attributes that tell of the run, do not matter."""
    encoding = {"tas": {"chunks": (1, 1)}}
    other = dataset(title="one", pangeo_hpc_id="2")
    found = compare(original, put(other, tmp_path / "b.zarr", encoding=encoding))
    assert (found.equal, found.values) == (True, 10)
    assert in_words([found]) == "equal bit by bit: 1 output, 10 values"


def test_what_differs_is_told(original: Path, tmp_path: Path) -> None:
    """How many values, by how much, where first; a lost variable; another attribute or type."""
    ds = dataset(title="two")
    ds["tas"][1, 1] += 0.5
    ds["new"] = ds.t.astype("f4")
    ds["name"][0] = "c"
    found = compare(original, put(ds.drop_vars("t"), tmp_path / "b.zarr"))
    assert not found.equal
    assert "variable t is missing in the replay" in found.differs
    assert "variable new is new in the replay" in found.differs
    assert "attributes: other attributes: title" in found.differs
    assert "tas: 1 of 6 values differ, by up to 0.5; the first at (1, 1)" in found.differs
    assert "name: 1 of 2 values differ; the first at (0,)" in found.differs
    assert in_words([found]).startswith("1 of 1 outputs differ: ")


def test_a_bit_is_a_difference(original: Path, tmp_path: Path) -> None:
    """0.0 is not -0.0, and a 4-byte number is not an 8-byte one."""
    ds = dataset(title="one")
    ds["tas"][0, 2] = -0.0
    assert compare(original, put(ds, tmp_path / "b.zarr")).differs == [
        "tas: 1 of 6 values differ; the first at (0, 2)"
    ]
    ds = dataset(title="one")
    ds["tas"] = ds.tas.astype("f4")
    (told,) = compare(original, put(ds, tmp_path / "c.zarr")).differs
    assert told == "tas: ('t', 'x') (2, 3) float64, replayed ('t', 'x') (2, 3) float32"


def test_groups_files_and_what_is_gone(tmp_path: Path) -> None:
    """Groups of a store one by one; anything that is no store by its bytes."""
    for name in ("a.zarr", "b.zarr"):
        put(dataset(), tmp_path / name)
        put(dataset(), tmp_path / name, group="deep", mode="a")
    assert compare(tmp_path / "a.zarr", tmp_path / "b.zarr").values == 20
    put(dataset(), tmp_path / "b.zarr", group="more", mode="a")
    found = compare(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert found.differs == ["group more is new in the replay"]
    for name, text in (("a.csv", "1"), ("b.csv", "1"), ("c.csv", "2")):
        (tmp_path / name).write_text(text)
    assert compare(tmp_path / "a.csv", tmp_path / "b.csv").equal
    assert compare(tmp_path / "a.csv", tmp_path / "c.csv").differs == ["a.csv: other bytes"]
    assert not compare(tmp_path / "a.csv", tmp_path / "none.csv").equal
    assert in_words([]) == "there are no outputs to compare"


def test_where_outputs_go(tmp_path: Path) -> None:
    """Below the replay's own folder, wherever they were; inputs stay, but for its own outputs."""
    scratch = tmp_path / "scratch"
    again = Redirect(scratch, scratch / "replays" / "r")
    assert again.output(scratch / "a/b.zarr") == scratch / "replays/r/a/b.zarr"
    assert again.output(scratch / "replays/r/a/b.zarr") == scratch / "replays/r/a/b.zarr"
    assert again.output(Path("/data/c.zarr")) == scratch / "replays/r/absolute/data/c.zarr"
    assert again.input(scratch / "a/b.zarr") == scratch / "a/b.zarr"
    (scratch / "replays/r/a/b.zarr").mkdir(parents=True)
    assert again.input(scratch / "a/b.zarr") == scratch / "replays/r/a/b.zarr"
    assert Redirect().output(Path("/data/c.zarr")) == Path("/data/c.zarr")
    assert Redirect.of(tmp_path) == Redirect()


@pytest.fixture
def here(tmp_path: Path) -> Here:
    found = Here(tmp_path)
    found.put_input()
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_script_as_it_was(here: Here) -> None:
    """The kept script runs, though it was changed since, and it finds what it imports."""
    (here.project / "beside.py").write_text("FACTOR = 2\n")
    here.script.write_text(
        "import beside\n" + SCRIPT.replace("np.sqrt(block)", "block * beside.FACTOR")
    )
    here.commit()
    words = ("submit", "roots.py", "--wait", "--memory", "1GiB", "--", "out.zarr", "0")
    here(*words)
    here.script.write_text("raise SystemExit(9)\n")
    here.put_input(1.0)
    out, err = here("runs", "replay", "roots", "--dry-run")
    assert out.startswith("#!/bin/bash")
    assert f"export PYTHONPATH={here.project}" in out
    assert str(here.run("roots").attempt(1) / "script" / "roots.py") in out
    assert not list(here.folder.glob("state/*/runs/here/roots-replay-*"))
    told = ("roots.py: has changed since", "tas.zarr: ", "git: the script's")
    assert [each for each in told if each not in err] == []
    assert "environment: " not in err, "it is the one that ran"
    here.put_input()
    before = {p: p.stat().st_mtime_ns for p in (here.scratch / "out.zarr").rglob("*")}
    found = here.json("runs", "replay", "roots")
    assert (found["equal"], found["replay"]) == (True, "roots-replay-1")
    assert found["outputs"][0]["values"] > 0
    assert {p: p.stat().st_mtime_ns for p in (here.scratch / "out.zarr").rglob("*")} == before
    assert (here.scratch / "replays" / "roots-replay-1" / "out.zarr").is_dir()
    told = here.json("runs", "show", "roots-replay-1")
    assert told["replay"]["run"] == "roots"
    assert told["comparison"]["equal"]
    assert told["provenance"]["directory"] == str(here.project)
    # the original changes: the same replay is no longer equal to it
    values = xr.open_zarr(here.scratch / "out.zarr", chunks=None).load()
    values["tas"][0, 0, 0] += 1
    values.to_zarr(here.scratch / "out.zarr", mode="w", zarr_format=3, consolidated=False)
    out, _ = here("runs", "replay", "roots", "--compare", code=1)
    assert "1 of 1 outputs differ: tas: 1 of " in out
    out, err = here("runs", "replay", "roots", "--name", "roots", "--no-wait", code=2)
    assert "is no replay" in err


def test_what_cannot_be_replayed(here: Here) -> None:
    """An attempt that is not there, a run without a script, and a comparison with no replay."""
    here("run", "roots.py", "--", "out.zarr", "0")
    assert "has no attempt 7" in here("runs", "replay", "roots", "--attempt", "7", code=2)[1]
    assert "was never replayed" in here("runs", "replay", "roots", "--compare", code=2)[1]
    _, err = here("runs", "replay", "roots", "--dry-run")
    assert "ran in no job of ours; the replay asks for node type one" in err
    (here.run("roots").attempt(1) / "script" / "roots.py").unlink()
    assert "kept no script" in here("runs", "replay", "roots", code=2)[1]


MEMBERS = """
import sys
import numpy as np
import pandas as pd
import xarray as xr
from pangeo_hpc import workflow

def member(item):
    kinds = {
        "number": lambda: np.float32(0.1),
        "table": lambda: pd.DataFrame({"a": [1.5, np.nan]}),
        "series": lambda: xr.Dataset({"tas": ("t", np.arange(5.0))}),
        "set": lambda: {3},
    }
    return kinds[item]()

with workflow.start(cluster=False) as run:
    assert len(list(run.map(member, ["number", "table", "series", "set"], save="kept"))) == 4
    assert list(run.map(lambda item: item, [1])) == [1]
    run.write_zarr(member("series"), "series.zarr")
    print(run.stage_out("series.zarr", sys.argv[1], overwrite=True))
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_results_of_maps_are_compared(here: Here, tmp_path: Path) -> None:
    """Item by item, by their values, wherever they are kept. What was staged out stays as it is."""
    here.script.write_text(MEMBERS)
    here("submit", "roots.py", "--wait", "--", str(tmp_path / "archive"))
    copies = {p: p.stat().st_mtime_ns for p in (tmp_path / "archive").rglob("*")}
    found = here.json("runs", "replay", "roots")
    assert (found["equal"], len(found["outputs"])) == (True, 3)
    assert [each["values"] for each in found["outputs"]] == [1 + 2 + 5 + 1, 1, 5]
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "archive").rglob("*")} == copies != {}
    assert "a replay copies nothing to" in "".join(here("runs", "logs", "roots-replay-1"))
    again = here.run("roots-replay-1").path / "maps"
    entries = {json.loads(p.read_text())["label"]: p for p in again.glob("member/items/*.json")}
    series = Path(json.loads(entries["series"].read_text())["kept"]["path"])
    put(xr.Dataset({"tas": ("t", np.arange(5.0) * 2)}), series, mode="w")
    entries["number"].unlink()
    (lone,) = again.glob("lambda/items/*.json")
    lone.write_text(lone.read_text().replace('"text": "1"', '"text": "2"'))
    out, _ = here("runs", "replay", "roots", "--compare", code=1)
    assert "item number is missing in the replay" in out
    assert "item series: tas: 4 of 5 values differ, by up to 4; the first at (1,)" in out
    assert "lambda: item 1: another value" in out
