"""However a script ends, its workers end: real scripts, as users write them, without a guard."""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pangeo_hpc.dask import sweep
from pangeo_hpc.server.boards import DIRECTORY
from pangeo_hpc.site import Site

SCRIPT = """
import os, sys, time
import pangeo_hpc

cluster = pangeo_hpc.start_cluster(site={site!r}, workers={workers}, name="orphan")
client = cluster.get_client()
print(cluster.folder, flush=True)
assert client.submit(sum, [1, 2]).result() == 3
{end}
"""
ENDS = {
    "by itself": ("", 0),
    "exception": ("raise RuntimeError('boom')", 1),
    "exit": ("sys.exit(7)", 7),
    "interrupted": ("os.kill(os.getpid(), 2); time.sleep(5)", -2),
}
# A task that holds the interpreter cannot hear anything; another has started a program.
BUSY = """
def hold():
    import ctypes
    ctypes.PyDLL(None).sleep(120)
def start(folder):
    import subprocess
    subprocess.run(["sh", "-c", "sleep 120; exit 0", folder])
tasks = [client.submit(hold), client.submit(start, str(cluster.folder))]
time.sleep(1)
os.kill(os.getpid(), 9)
"""
# Killed while the workers are still on their way.
EARLY = "cluster.scale(2); os.kill(os.getpid(), 9)"


def run(site: Site, tmp_path: Path, end: str, workers: int = 2) -> tuple[int, str, str]:
    """Return the exit code, the cluster's folder, and what the script said on stderr."""
    script = tmp_path / "script.py"
    path = str(tmp_path / "site.yaml")
    script.write_text(SCRIPT.format(site=path, end=end, workers=workers))
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        folder = process.stdout.readline().strip()
        _, err = process.communicate(timeout=60)
    assert folder, err
    return process.returncode, folder, err


def left(folder: str) -> list[psutil.Process]:
    """Return the processes that still have to do with a cluster."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        ours = any(folder in word for word in process.info["cmdline"] or ())
        if ours and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
            with suppress(psutil.NoSuchProcess):
                found += process.children(recursive=True)
    return found


def seconds_until_none(folder: str, limit: float) -> float:
    started = time.monotonic()
    while left(folder) and time.monotonic() - started < limit:
        time.sleep(0.1)
    assert left(folder) == []
    return time.monotonic() - started


@pytest.mark.parametrize("name", ENDS)
def test_ends_with_its_script(site: Site, tmp_path: Path, name: str) -> None:
    """A script may end as it likes without closing anything: nothing is left behind it."""
    end, code = ENDS[name]
    got, folder, err = run(site, tmp_path, end)
    assert got == code, err
    assert left(folder) == []
    assert not (Path(folder) / "tls").exists()
    assert "CommClosed" not in err
    assert "distributed" not in err


def test_killed(site: Site, tmp_path: Path) -> None:
    """After kill -9 busy workers end, with what their tasks started and their spilled data."""
    code, folder, _ = run(site, tmp_path, BUSY)
    assert code == -9
    assert seconds_until_none(folder, 30) < 20
    swept(folder, tmp_path)


@pytest.mark.slow
def test_killed_before_workers_came(site: Site, tmp_path: Path) -> None:
    """A worker that never finds its scheduler ends within a minute of its start."""
    code, folder, _ = run(site, tmp_path, EARLY, workers=1)
    assert code == -9
    assert seconds_until_none(folder, 90) < 60
    swept(folder, tmp_path)


def swept(folder: str, tmp_path: Path) -> None:
    """Check that the killed process itself left keys and its dashboard, for the next to remove."""
    (place,) = (tmp_path / "tmp").iterdir()
    assert place.name.startswith(DIRECTORY)
    assert sweep.sweep(Path(folder).parent) == [Path(folder)]
    assert not place.exists()
    assert not (Path(folder) / "tls").exists()
