"""Groups of an output: a whole tree at once, or one group after another."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pangeo_hpc.errors import RequestRefused, UsageError
from tests.unit.workflow.conftest import Begin, put, stamps
from tests.unit.workflow.test_writing import Broken, everything, failing_from, opened, small


def tree(inner: xr.Dataset | None = None) -> xr.DataTree:
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset({"scale": 3.5}, {"z": np.arange(6)}, {"title": "a tree"}),
            "/empty": xr.Dataset(),
            "/model/one": small() if inner is None else inner,
            "/model/two": everything(),
        }
    )


def test_every_node_of_a_tree_is_written(attempt: Begin, folder: Path, tmp_path: Path) -> None:
    """Values, attributes and groups without data; one ledger, of which each node has its units."""
    target = tmp_path / "tree.zarr"
    encoding = {"/model/one": {"tas": {"chunks": (3, 6)}}}
    with attempt() as now, pytest.raises(Broken):
        put(now, tree(failing_from(small(), 6)), target, along="time", encoding=encoding)
    assert set(stamps(target)) >= {"model/one/tas/c/0/0", "model/one/tas/c/1/0"}
    kept = stamps(target)["model/one/tas/c/0/0"]
    units = [*folder.glob("ledger/*/*/*unit-*.json"), *folder.glob("ledger/*/*/*static.json")]
    with attempt() as now:
        done = put(now, tree(), target, along="time", encoding=encoding)
    assert (done.units, done.skipped) == (4 + 5, len(units))
    assert len(units) in {2, 3}, "those before the failure, and what was in flight beside it"
    assert stamps(target)["model/one/tas/c/0/0"] == kept
    with xr.open_datatree(target, engine="zarr", chunks=None) as found:
        assert found.attrs["title"] == "a tree"
        assert found.attrs["pangeo_hpc_state"] == "complete"
        xr.testing.assert_equal(found.load(), tree().load())
    with attempt() as now:
        again = put(now, tree(), target)
    assert (again.written, again.skipped) == (0, 9)
    (target / "model/one/tas/c/2/0").unlink()
    with attempt() as now:
        assert put(now, tree(), target).written == 1


def test_a_tree_is_checked_as_a_whole(attempt: Begin, tmp_path: Path) -> None:
    """What is wrong in any group is told at once, and other groups are another output."""
    target = tmp_path / "tree.zarr"
    with attempt() as now:
        with pytest.raises(RequestRefused) as caught:
            put(now, tree(), target, along="q", append="t", encoding={"/no": {}, "/": {"a": {}}})
        paths = [problem.path for problem in caught.value.problems]
        assert paths == ["encoding./no", "append", "along", "encoding.a"]
        put(now, tree(), target)
        less = xr.DataTree.from_dict({"/model/one": small()})
        with pytest.raises(UsageError, match="variables.model/two/tas"):
            put(now, less, target)


def test_one_group_after_another(attempt: Begin, tmp_path: Path) -> None:
    """Each is an output of its own, with its own ledger, in one store."""
    target = tmp_path / "groups.zarr"
    with attempt() as now:
        put(now, small(), target, group="ssp1/tas")
        put(now, small(2.0), target, group="/ssp2")
        assert put(now, small(), target, group="ssp1/tas").skipped == 4
        with pytest.raises(RequestRefused, match="no name of a group"):
            put(now, small(), target, group="../other")
    for group, factor in (("ssp1/tas", 1.0), ("ssp2", 2.0)):
        with xr.open_zarr(target, group=group, chunks=None) as ds:
            xr.testing.assert_equal(ds.load(), small(factor).compute())
    with xr.open_datatree(target, engine="zarr", consolidated=False) as found:
        assert set(found.groups) == {"/", "/ssp1", "/ssp1/tas", "/ssp2"}
    with attempt() as now:
        put(now, small(), tmp_path / "whole.zarr")
        with pytest.raises(UsageError, match="would not know a new group"):
            put(now, small(), tmp_path / "whole.zarr", group="more")


def test_what_is_no_dataset_is_refused(attempt: Begin, tmp_path: Path) -> None:
    """With what to give instead."""
    array = xr.DataArray(np.zeros(3), dims="x", coords={"x": [1, 2, 3]})
    with attempt() as now:
        with pytest.raises(UsageError, match="the array has no name"):
            put(now, array, tmp_path / "a.zarr")
        with pytest.raises(UsageError, match="has the name of its coordinate x"):
            put(now, array.x, tmp_path / "a.zarr")
        with pytest.raises(UsageError, match="a ndarray is no dataset"):
            put(now, np.zeros(3), tmp_path / "a.zarr")
        put(now, array.rename("tas"), tmp_path / "a.zarr")
    np.testing.assert_array_equal(opened(tmp_path / "a.zarr").tas, np.zeros(3))
