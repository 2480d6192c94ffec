"""What a worker program finds out on its node before it starts."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pangeo_hpc.dask import node
from pangeo_hpc.dask.node import check_scheduler, memory_limit
from pangeo_hpc.dask.security import make_keys
from pangeo_hpc.dask.shape import FIRST, WHOLE, shape_of
from pangeo_hpc.dask.watch import SPILL
from pangeo_hpc.errors import WorkerJobFailed
from pangeo_hpc.units import MIB, gib


def limit(environ: dict[str, str], real: int, processes: int = 2, here: str = "c2") -> int:
    found = memory_limit(processes, environ, real, here)
    assert found is not None
    return found


def test_memory_is_what_the_job_really_has() -> None:
    """The least of what was asked for, the cgroup's limit and the batch system's word counts."""
    asked = {WHOLE: str(gib(16))}
    told = {**asked, "SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "8192"}
    assert limit(asked, gib(64)) == shape_of(2, gib(16)).memory
    assert limit(asked, gib(12)) == shape_of(2, gib(12), processes=2).memory
    assert limit(told, gib(64)) == shape_of(2, gib(8), processes=2).memory
    assert limit({**told, "SLURM_MEM_PER_NODE": "0"}, gib(64)) == limit(asked, gib(64))
    assert memory_limit(2, {}, gib(12)) is None


def test_the_first_node_keeps_some_for_the_script() -> None:
    """Beside client and scheduler workers have less, on the other nodes they do not."""
    asked = {WHOLE: str(gib(16)), FIRST: "c1"}
    assert limit(asked, gib(64), here="c2") == limit({WHOLE: str(gib(16))}, gib(64))
    assert limit(asked, gib(64), here="c1") < limit(asked, gib(64), here="c2") - 300 * MIB


def words(tmp_path: Path, port: int) -> list[str]:
    keys = make_keys(tmp_path / "tls")
    options = ["--tls-ca-file", keys.certificate, "--tls-cert", keys.certificate]
    return [f"tls://127.0.0.1:{port}", *map(str, [*options, "--tls-key", keys.key])]


def test_a_scheduler_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host, the address and the reason are said."""
    monkeypatch.setattr(node, "_CONNECT", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        port = taken.getsockname()[1]
        with pytest.raises(
            WorkerJobFailed, match=f"cannot reach the scheduler at .*:{port}: "
        ) as told:
            asyncio.run(check_scheduler(words(tmp_path, port)))
    assert os.uname().nodename in told.value.text
    assert "interface" in str(told.value.hint)


def test_an_interface_that_is_missing(tmp_path: Path) -> None:
    """The program ends with words before it looks for the scheduler, and leaves nothing."""
    argv = [*words(tmp_path, 1), "--interface", "ib9"]
    (spill := tmp_path / "spill").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "pangeo_hpc.dask.node", *argv],
        env={**os.environ, SPILL: str(spill)},
        capture_output=True,
        text=True,
    )
    assert not spill.exists()
    assert done.returncode == 2
    assert "has no network interface ib9" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
