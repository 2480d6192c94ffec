"""Results come back exactly, whatever they are kept as, and pickles only from where it is safe."""

import dataclasses
import os
import struct
import warnings
from collections import OrderedDict, namedtuple
from datetime import datetime
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from pangeo_hpc.errors import NotAllowed, RunBusy, UsageError
from pangeo_hpc.workflow.lease import Fence
from pangeo_hpc.workflow.mapping import exactly, private
from pangeo_hpc.workflow.mapping import items as mapping_items
from pangeo_hpc.workflow.mapping.kept import Kept, Place

KEYS = st.text(max_size=3) | st.integers() | st.just("$tuple")
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(
            st.text(max_size=3) | st.integers() | st.just("$tuple"), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    run = tmp_path / "run"
    results = run / "maps" / "members" / "results"
    (run / "leases").mkdir(parents=True)
    results.mkdir(parents=True)
    return Place(run, results, results, "0123abcd", Fence(run / "leases", 1))


def there_and_back(place: Place, value: Any) -> tuple[str, Any]:
    kept = place.keep(value, "member/1")
    kept = Kept.load(kept.dump())
    assert kept.is_there()
    return kept.kind, place.load(kept)


def same(left: Any, right: Any) -> bool:
    """Equal in types and bits, NaN included."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return len(left) == len(right) and all(
            same(a, b) for pair in zip(left.items(), right.items(), strict=True) for a, b in [pair]
        )
    return bool(left == right)


@given(PLAIN)
def test_plain_values_come_back_exactly(value: Any) -> None:
    """Tuples stay tuples, NaN and -0.0 stay what they are, keys keep their types and order."""
    assert same(exactly.loads(exactly.dumps(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        np.float32(0.1),
        np.float64("nan"),
        np.int64(-3),
        np.uint8(255),
        np.bool_(True),
        np.complex64(1 + 2j),
        np.datetime64("2001-02-03T04:05", "m"),
        np.timedelta64(3, "D"),
        np.longdouble("1.1"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_of_numpy_come_back_exactly(place: Place, value: Any) -> None:
    """The type and every bit."""
    kind, back = there_and_back(place, {"value": (value,)})
    assert kind == "json"
    (found,) = back["value"]
    assert type(found) is type(value)
    assert found.dtype == value.dtype
    assert found.tobytes() == value.tobytes()


Point = namedtuple("Point", "x y")


class Color(Enum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [
        Point(1, 2),
        OrderedDict(a=1),
        Color.RED,
        {1, 2},
        b"bytes",
        datetime(2001, 1, 1),  # noqa: DTZ001
        10**5000,
        np.arange(4).reshape(2, 2),
        pd.Series([1, 2]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_anything_else_is_pickled(place: Place, value: Any) -> None:
    """Subclasses of what JSON knows would come back as something else."""
    kind, back = there_and_back(place, value)
    assert kind == "pickle"
    assert type(back) is type(value)
    assert np.all(back == value)


def test_long_texts_are_files(place: Place) -> None:
    """The ledger's entries stay small."""
    value = [float(n) for n in range(20_000)]
    kept = place.keep(value, "member")
    assert kept.kind == "json"
    assert kept.path is not None
    assert place.load(kept) == value
    assert Path(kept.path).name.startswith("member-0123abcd-1-")


def dataset() -> xr.Dataset:
    values = np.arange(24.0).reshape(4, 6)
    values[1, 2] = np.nan
    time = xr.date_range("2000-01-01", periods=4, freq="MS", calendar="noleap", use_cftime=True)
    return xr.Dataset(
        {
            "tas": (("time", "x"), values.astype("f4"), {"units": "K"}),
            "when": (("time",), np.array(["2001-01-01", "NaT"] * 2, "M8[ns]")),
            "age": (("time",), np.array([1, 2, 3, 4], "m8[ns]")),
            "mask": (("x",), np.arange(6) % 2 == 0),
            "count": ((), np.int16(3)),
        },
        {"time": time, "lon": (("x",), np.arange(6))},
        {"title": "a test", "members": [1, 2]},
    )


@pytest.mark.parametrize("lazy", [False, True])
def test_datasets_are_zarr(place: Place, lazy: bool) -> None:
    """With coordinates, attributes, calendars and types; a Dask-backed one is computed."""
    ds = dataset()
    kind, back = there_and_back(place, ds.chunk() if lazy else ds)
    assert kind == "dataset"
    xr.testing.assert_identical(back.load(), dataset())
    assert {n: v.dtype for n, v in back.variables.items()} == {
        n: v.dtype for n, v in ds.variables.items()
    }


@pytest.mark.parametrize("name", [None, "tas"])
def test_arrays_are_zarr(place: Place, name: str | None) -> None:
    """With their name, or without one."""
    kind, back = there_and_back(place, dataset().tas.rename(name))
    assert kind == "array"
    xr.testing.assert_identical(back.load(), dataset().tas.rename(name))


def test_what_zarr_would_change_is_pickled(place: Place) -> None:
    """Packing of the source is forgotten, and what the format does not know is not forced."""
    packed = dataset()
    packed.tas.encoding = {"dtype": "int16", "scale_factor": 10.0}
    kind, back = there_and_back(place, packed)
    assert kind == "dataset"
    xr.testing.assert_identical(back.load(), dataset())
    stacked = dataset().stack(both=("time", "x"))
    odd = dataset().assign_attrs(who={1, 2})
    for each in (stacked, odd):
        kind, back = there_and_back(place, each)
        assert kind == "pickle"
        xr.testing.assert_identical(back, each)
    assert [path.suffix for path in place.results.iterdir()].count(".partial") == 0


def test_tables_are_parquet(place: Place) -> None:
    """With index, types and names; one that Parquet would change is pickled."""
    index = pd.date_range("2001-01-01", periods=3, name="day")
    table = pd.DataFrame({"t": [1.5, np.nan, 2.0], "n": pd.array([1, None, 3], "Int32")}, index)
    for value, wanted in (
        (table, "table"),
        (table.assign(kind=pd.Categorical(["a", "b", "a"])), "table"),
        (pd.DataFrame({"odd": [{1}, {2}]}), "pickle"),
        (pd.DataFrame({"mixed": [1, "a"]}), "pickle"),
    ):
        kind, back = there_and_back(place, value)
        assert kind == wanted
        pd.testing.assert_frame_equal(back, value, check_exact=True)


def test_a_lazy_dataset_is_computed_where_it_is_kept(place: Place) -> None:
    """Its values are computed once, though they are compared with what was written."""
    calls = []

    def count(block: Any) -> Any:
        calls.append(1)
        return block

    array = da.zeros(3, chunks=3).map_blocks(count, dtype="f8", meta=np.zeros(0))
    there_and_back(place, xr.Dataset({"a": ("x", array)}))
    assert len(calls) == 1


def test_a_stale_attempt_keeps_nothing(place: Place) -> None:
    """The fence is looked at before a result gets its name."""
    (place.run / "leases" / "0002.json").write_text("{}")
    for value in (dataset(), {1}, pd.DataFrame({"a": [1]})):
        with pytest.raises(RunBusy):
            place.keep(value, "member")
    assert list(place.results.iterdir()) == []


class Trap:
    """What would run if its pickle were loaded."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("trapped",)


@pytest.mark.parametrize("case", ["folder", "parent", "file", "link", "linked", "outside", "owner"])
def test_a_pickle_that_others_could_have_written_is_not_loaded(
    place: Place, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading a pickle runs it: every folder and the file have to be of the user alone."""
    monkeypatch.chdir(place.run)
    kept = place.keep(Trap(), "member")
    path = Path(str(kept.path))
    if case == "folder":
        path.parent.chmod(0o770)
    elif case == "parent":
        (place.run / "maps").chmod(0o707)
    elif case == "file":
        path.chmod(0o620)
    elif case == "link":
        path.rename(place.run / "elsewhere")
        path.symlink_to(place.run / "elsewhere")
    elif case == "linked":
        (place.run / "maps").rename(place.run / "others")
        (place.run / "maps").symlink_to(place.run / "others")
    elif case == "outside":
        kept = dataclasses.replace(kept, path=str(place.run.parent / "x.pickle"))
    else:
        monkeypatch.setattr(private.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(NotAllowed, match="not loaded") as told:
        place.load(kept)
    assert told.value.hint
    assert not Path("trapped").exists()


def test_a_pickle_that_was_changed_is_not_loaded(place: Place) -> None:
    """The ledger knows its digest."""
    kept = place.keep({1, 2}, "member")
    Path(str(kept.path)).write_bytes(b"other bytes")
    with pytest.raises(UsageError, match="is not what was written there"):
        place.load(kept)


@dataclasses.dataclass
class Member:
    """An item as users write them."""

    model: str
    run: int
    weights: dict[str, float]


@pytest.mark.parametrize(
    "value",
    [
        Path("a/b.nc"),
        ("tas", 1990, 0.5),
        Member("alpha", 1, {"b": 1.0, "a": 2.0}),
        Point(1, 2),
        slice(0, 10),
        {"x": {"u", "v", "w"}},
        np.datetime64("2000-01-01"),
        np.arange(3.0),
        pd.Timestamp("2000-01-01"),
        xr.Dataset({"a": ("x", [1, 2])}),
        Color.RED,
        datetime(2001, 1, 1),  # noqa: DTZ001
    ],
    ids=lambda value: type(value).__name__,
)
def test_items_are_known_by_their_value(value: Any, tmp_path: Path) -> None:
    """The same in a process with another hash seed, and different for what differs."""
    import pickle
    import subprocess
    import sys

    program = (
        "import pickle, sys; from pangeo_hpc.workflow.mapping.items import digest_of;"
        "print(digest_of(pickle.load(open(sys.argv[1], 'rb'))))"
    )
    file = tmp_path / "value"
    module = sys.modules[__name__]
    if type(value).__module__ == __name__:
        pytest.skip("of this file alone") if module is None else None
        assert mapping_items.digest_of(value) == mapping_items.digest_of(
            dataclasses.replace(value) if dataclasses.is_dataclass(value) else value
        )
        return
    file.write_bytes(pickle.dumps(value))
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == mapping_items.digest_of(value)


def test_items_that_differ_have_different_digests() -> None:
    """Types count, too."""
    values = [1, 1.0, True, "1", b"1", (1,), [1], {1}, {1: 1}, Path("1"), None, Point(1, 1), (1, 1)]
    values += [np.int64(1), np.float64(1), Member("a", 1, {}), Member("a", 2, {})]
    assert len({mapping_items.digest_of(each) for each in values}) == len(values)


class Nameless:
    pass


class Vague:
    def __repr__(self) -> str:
        return "Vague()"


def test_items_known_by_nothing_are_refused() -> None:
    """An address is another one in the next attempt; what says too little is told apart by hand."""
    for odd in (Nameless(), lambda: 1, (1, Nameless()), SimpleNamespace(a=Nameless())):
        with pytest.raises(UsageError, match="which says nothing that lasts") as told:
            mapping_items.known([odd], None)
        assert "item_key=" in str(told.value.hint)
    with pytest.raises(UsageError, match=r"differ and are both known as Vague\(\)"):
        mapping_items.known([Vague(), Vague()], None)
    with pytest.raises(UsageError, match="differ and are both known as 1"):
        mapping_items.known(["a", "b"], lambda item: 1)
    found = mapping_items.known([Nameless(), Nameless()], iter([1, 2]).__next__ and id)
    assert len({item.digest for item in found}) == 2


def test_nothing_is_warned_of(place: Place) -> None:
    """Zarr's words on what its format has and the standard has not are none of a user's."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        there_and_back(place, dataset().assign(names=("x", list("abcdef"))))
    assert [str(each.message) for each in told] == []
