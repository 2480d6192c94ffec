"""A run is killed at any moment, again and again, and ends as if nothing had happened."""

import random
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pangeo_hpc.machine import this_machine
from pangeo_hpc.workflow import lease
from tests.unit.workflow.conftest import Scripts, stamps

UNITS = 12

SCRIPT = """
    import os, sys, time
    import dask.array as da
    import numpy as np
    import xarray as xr
    from pangeo_hpc import workflow

    def compute(block, block_info=None):
        start = block_info[0]["array-location"][0][0]
        with open(sys.argv[0] + ".log", "a") as log:
            log.write(f"{start // 4}\\n")
        time.sleep(float(os.environ["PACE"]))
        return np.sqrt(block)

    values = np.arange(48 * 30.0).reshape(48, 5, 6)
    values[7] = np.nan
    names = np.array([f"member {i}" for i in range(48)], dtype=object)
    time_ = xr.date_range("2000-01-01", periods=48, freq="MS", use_cftime=True)
    ds = xr.Dataset(
        {
            "tas": (("time", "y", "x"), da.from_array(values, chunks=(4, 5, 6)).map_blocks(
                compute, dtype="f8", meta=np.zeros((0, 0, 0)))),
            "here": (("time", "y"), values[:, :, 0].astype("f4")),
            "when": (("time", "y"), np.datetime64("2001-01-01", "ns") + np.zeros((48, 5), "m8[h]")),
            "mean": (("time", "y"), da.from_array(values[:, :, 1], chunks=(4, 5))),
            "mask": (("y", "x"), da.ones((5, 6), dtype=bool)),
            "names": (("time",), names),
        },
        {"time": time_},
    )
    with workflow.start("climatology", cluster=False) as run:
        encoding = {
            "tas": {"chunks": (2, 5, 3), "shards": (4, 5, 6)},
            "here": {"chunks": (4, 5)},
            "when": {"chunks": (4, 5)},
        }
        run.write_zarr(ds, "out.zarr", encoding=encoding)
"""


def finished(folder: Path) -> list[int]:
    """Return the units that the ledger calls finished."""
    names = [path.stem for path in folder.glob("ledger/*/*/unit-*.json")]
    return sorted(int(name.removeprefix("unit-")) for name in names)


def computed(script: Path) -> Counter[int]:
    """Return how often each unit was computed."""
    log = Path(f"{script}.log")
    return Counter(int(line) for line in log.read_text().split()) if log.exists() else Counter()


def files_of(store: Path, units: list[int]) -> dict[str, tuple[int, int]]:
    """Return the inodes and times of the files of some units."""
    wanted = {f"{name}/c/{unit}/" for name in ("tas", "here", "when") for unit in units}
    return {key: stamp for key, stamp in stamps(store).items() if key.startswith(tuple(wanted))}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_kill_minus_nine_at_any_moment(scripts: Scripts, folder: Path, tmp_path: Path) -> None:
    """Finished units are neither computed nor written again, and every value is bit-equal."""
    path = scripts.write(SCRIPT)
    store = tmp_path / "scratch" / "out.zarr"
    chance = random.Random(20)
    kept: dict[str, tuple[int, int]] = {}
    counts: Counter[int] = Counter()
    done: list[int] = []
    kills = 0
    while kills < 6 and len(done) < UNITS:
        with scripts.start(path, PACE="0.06") as process:
            if kills:
                # let the next kill hit the writing, not the imports
                end = time.monotonic() + 60
                while computed(path) == counts and process.poll() is None:
                    assert time.monotonic() < end
                    time.sleep(0.002)
            time.sleep(chance.uniform(0.0, 0.15 if kills else 1.0))
            process.kill()
            process.communicate()
        kills += 1
        assert {unit: computed(path)[unit] for unit in done} == {u: counts[u] for u in done}
        assert files_of(store, done) == kept
        before, done, counts = counts, finished(folder), computed(path)
        kept = files_of(store, done)
        assert len(kept) == 3 * len(done)
        # what was at work is all that is lost: as many units as keep the cores busy
        lost = {unit for unit in counts if counts[unit] > before[unit]} - set(done)
        assert len(lost) <= max(2, this_machine().cores)
    assert kills > 4
    assert scripts.run(path, PACE="0")[0] == 0
    assert {unit: computed(path)[unit] for unit in done} == {unit: counts[unit] for unit in done}
    assert files_of(store, done) == kept
    assert finished(folder) == list(range(UNITS))
    assert not list(store.rglob("*.partial"))

    reference = tmp_path / "reference" / "climatology"
    reference.mkdir(parents=True)
    (reference / "run.json").write_text((folder / "run.json").read_text())
    other = Scripts(reference, tmp_path / "reference")
    assert other.run(path, PACE="0")[0] == 0
    with (
        xr.open_zarr(store, chunks=None) as ours,
        xr.open_zarr(tmp_path / "reference" / "out.zarr", chunks=None) as theirs,
    ):
        for name in theirs.variables:
            left, right = ours[name].values, theirs[name].values
            assert left.dtype == right.dtype
            if left.dtype.kind in "OT":
                np.testing.assert_array_equal(left, right)
            else:
                assert left.tobytes() == right.tobytes()
    _, last = lease.newest_holder(folder / "leases")
    assert last is not None
    # a kill may come before its attempt held the run
    assert 4 < last.number <= kills + 1
    assert last.released_at is not None
