"""Datasets of every kind, written by a process that is killed again and again."""

import json
import multiprocessing
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pangeo_hpc.workflow.writing import template
from tests.unit.workflow import killed
from tests.unit.workflow.conftest import stamps

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.unit.workflow.killed"])


def run(*words: Any) -> int | None:
    """Write in a process of its own; return its exit code."""
    process = FORKS.Process(target=killed.write, args=words)
    process.start()
    process.join(120)
    return process.exitcode


def ledger(folder: Path) -> dict[str, Any]:
    return {
        path.name: json.loads(path.read_text())
        for path in folder.glob("ledger/*/*/*.json")
        if path.parent.name != "digests"
    }


@pytest.mark.slow
@pytest.mark.timeout(400)
@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # a smaller example would take minutes to find
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(
    kinds=st.lists(st.sampled_from(killed.KINDS), min_size=1, max_size=7, unique=True),
    length=st.integers(1, 11),
    chunk=st.integers(1, 5),
    lazy=st.booleans(),
    unit=st.none() | st.integers(1, 4),
    files=st.booleans(),
    chance=st.randoms(use_true_random=False),
)
def test_killed_at_any_event_it_ends_as_plain_xarray_would(
    tmp_path_factory: pytest.TempPathFactory,
    kinds: list[str],
    length: int,
    chunk: int,
    lazy: bool,
    unit: int | None,
    files: bool,
    chance: random.Random,
) -> None:
    """Finished units stay, every value is bit-equal, and nothing is left over."""
    place = tmp_path_factory.mktemp("killed")
    folder = place / "runs" / "climatology"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"name": "climatology", "arguments": []}')
    target = place / "out.zarr"
    spec = (kinds, length, chunk, lazy)
    ds = killed.dataset(*spec)
    encoding = {}
    if files and unit:
        # files of their own, instead of one for all units
        encoding = {
            name: {"chunks": tuple(unit if dim == "t" else size for dim, size in v.sizes.items())}
            for name, v in ds.data_vars.items()
            if "t" in v.dims and v.size and v.dtype.kind not in "O"
        }
    options = {"unit": unit, "along": "t", "encoding": encoding}
    kept: dict[str, Any] = {}
    for _ in range(3):
        code = run(str(folder), str(target), spec, options, chance.randint(1, 60))
        assert code in (0, -signal.SIGKILL)
        entries, now = ledger(folder), stamps(target) if target.exists() else {}
        again = {key for key, entry in kept.items() if entries.get(key) != entry}
        assert not {key for key in again if key.startswith("unit")}
        kept = entries
    assert run(str(folder), str(target), spec, options, 0) == 0
    last = ledger(folder)
    assert {k: e for k, e in last.items() if k in kept and k.startswith("unit")} == {
        k: e for k, e in kept.items() if k.startswith("unit")
    }
    if code == 0:
        assert stamps(target) == now
    assert [*target.rglob("*.partial"), *folder.glob("ledger/**/*.partial")] == []
    assert [path.name for path in place.iterdir() if path.name.startswith(".")] == []
    compare(ds, target, place / "plain.zarr")


def compare(ds: xr.Dataset, target: Path, plain: Path) -> None:
    """Compare with what plain Xarray writes, bit by bit."""
    for variable in ds.variables.values():
        variable.encoding.pop("chunks", None)
    with template.stable():
        ds.compute().to_zarr(plain, zarr_format=3, consolidated=True)
    with (
        xr.open_zarr(target, chunks=None) as ours,
        xr.open_zarr(plain, chunks=None) as theirs,
    ):
        assert set(ours.variables) == set(theirs.variables)
        assert ours.attrs["pangeo_hpc_state"] == "complete"
        for name in theirs.variables:
            left, right = ours[name], theirs[name]
            assert (left.dims, left.dtype, left.attrs) == (right.dims, right.dtype, right.attrs)
            if left.dtype.kind in "OT":
                np.testing.assert_array_equal(left.values, right.values)
            else:
                assert left.values.tobytes() == right.values.tobytes()
