"""Writing where it is not possible ends with one clear error, and never with a broken output."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from pangeo_hpc import files
from pangeo_hpc.errors import Exit, NotAllowed, RequestRefused, UsageError
from tests.unit.workflow.conftest import Begin, put
from tests.unit.workflow.test_writing import FILES, opened, small


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "your quota is used up"),
        (errno.EACCES, "check who owns"),
    ],
)
@pytest.mark.parametrize("at", [1, 4, 9])
def test_refused_in_the_middle(
    attempt: Begin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    text: str,
    at: int,
) -> None:
    """Wherever it happens, of store or ledger: exit code 5, and the next attempt ends it."""
    sync, seen = os.fsync, [0]

    def full(descriptor: int) -> None:
        seen[0] += 1
        if seen[0] >= 10 * at:
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    with attempt() as now, monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(NotAllowed, match=text) as caught:
            put(now, small(length=60), tmp_path / "out.zarr", encoding=FILES)
        assert caught.value.exit_code == Exit.NOT_ALLOWED
    with attempt() as now:
        put(now, small(length=60), tmp_path / "out.zarr", encoding=FILES)
    np.testing.assert_array_equal(opened(tmp_path / "out.zarr").tas, small(length=60).tas)


def test_something_else_is_in_the_way(attempt: Begin, tmp_path: Path) -> None:
    """A file, a link to nowhere, a file where a folder has to be: each is named and stays."""
    (tmp_path / "file.zarr").write_text("precious")
    (tmp_path / "link.zarr").symlink_to(tmp_path / "nowhere")
    with attempt() as now:
        for name in ("file.zarr", "link.zarr"):
            with pytest.raises(UsageError, match=f"{name} is there already, and is no Zarr store"):
                put(now, small(), tmp_path / name)
        with pytest.raises(NotAllowed, match=r"file\.zarr cannot be used"):
            put(now, small(), tmp_path / "file.zarr" / "out.zarr")
    assert (tmp_path / "file.zarr").read_text() == "precious"


def test_everything_wrong_at_once(attempt: Begin, tmp_path: Path) -> None:
    """Names, dimensions and encodings in one message, before anything is written."""
    ds: Any = xr.Dataset({3: ("x", np.zeros(2)), "a": ("x", np.zeros(2))})
    with attempt() as now, pytest.raises(RequestRefused) as caught:
        put(now, ds, tmp_path / "out.zarr", along="y", encoding={"b": {}, "a": {"chnks": 3}})
    paths = [problem.path for problem in caught.value.problems]
    assert paths == ["3", "along", "encoding.b", "encoding.a.chnks"]
    assert caught.value.exit_code == Exit.USAGE
    assert not (tmp_path / "out.zarr").exists()
    assert not (tmp_path / "runs" / "climatology" / "ledger").exists()


def test_an_output_of_an_earlier_version_is_told(attempt: Begin, tmp_path: Path) -> None:
    """Its ledger says less than we need to go on."""
    target = tmp_path / "out.zarr"
    with attempt() as now:
        put(now, small(), target)
        (ledger,) = now.folder.glob("ledger/*/template.json")
        files.write_json(ledger, {**files.read_json(ledger), "format": 1})
        with pytest.raises(UsageError, match="begun by an earlier version"):
            put(now, small(), target)
