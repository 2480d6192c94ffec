"""Processes are known by pid and start time; memory is counted once. Real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pangeo_hpc.localqueue import trees
from pangeo_hpc.processes import identify
from pangeo_hpc.units import MIB
from tests.unit.localqueue.conftest import until


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        ["/bin/sleep", "65"], env={"MARK_A": "1", "MARK_B": "x y"}, start_new_session=True
    )
    try:
        until(lambda: b"sleep" in Path(f"/proc/{process.pid}/cmdline").read_bytes(), "sleep")
        yield process
    finally:
        process.kill()
        process.wait()


def test_only_the_very_process_is_signalled(sleeper: "subprocess.Popen[bytes]") -> None:
    """Another start time or another boot with the same pid is somebody else."""
    who = identify(sleeper.pid)
    assert who is not None and trees.is_here(who)
    for other in (replace(who, started=who.started - 1), replace(who, boot="another")):
        assert not trees.is_here(other)
        assert not trees.send(other, signal.SIGKILL)
    assert sleeper.poll() is None
    assert trees.send(who, signal.SIGTERM)
    assert sleeper.wait(timeout=10) == -signal.SIGTERM
    assert not trees.send(who, signal.SIGTERM)


def test_without_pidfds(
    sleeper: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old kernel has no pidfds; the look then comes right before the signal."""

    def missing(pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", missing)
    who = identify(sleeper.pid)
    assert who is not None
    assert not trees.send(replace(who, started=1), signal.SIGKILL)
    assert trees.send(who, signal.SIGTERM)
    assert sleeper.wait(timeout=10) == -signal.SIGTERM


def test_a_machine_with_another_name(sleeper: "subprocess.Popen[bytes]") -> None:
    """A laptop that changes its name still knows its processes."""
    who = identify(sleeper.pid)
    assert who is not None
    assert trees.is_here(replace(who, host="elsewhere"))


def test_marks_must_all_be_there(sleeper: "subprocess.Popen[bytes]") -> None:
    """Leftovers of a job carry all of its marks, whole."""
    who = identify(sleeper.pid)
    assert trees.of_job(["MARK_A=1", "MARK_B=x y"], None) == [who]
    assert trees.of_job(["MARK_A=1", "MARK_B=x"], None) == []
    assert trees.of_job(["ARK_A=1"], None) == []
    assert trees.of_job(["NO_SUCH=1"], who) == [who]
    assert who is not None
    assert trees.of_job(["NO_SUCH=1"], replace(who, started=1)) == []


@pytest.mark.parametrize("children_file", [True, False])
def test_a_tree(children_file: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """All descendants are found, with and without the kernel's list of children."""
    if not children_file:
        monkeypatch.setattr(trees, "_children", trees._children_by_search)
    line = "sleep 66 & (sleep 66; true) & wait"
    shell = subprocess.Popen(["/bin/sh", "-c", line], start_new_session=True)
    try:
        until(lambda: len(trees.descendants([shell.pid])) == 3, "three descendants")
        tree = trees.descendants([shell.pid])
        assert all(shell.pid in set(trees.ancestors(who.pid)) for who in tree)
        assert shell.pid in {who.pid for who in trees.descendants([os.getpid()])}
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()


def test_memory_of_files_does_not_count(tmp_path: Path) -> None:
    """A mapped file is the kernel's to drop; what was allocated counts."""
    data = tmp_path / "data"
    data.write_bytes(os.urandom(1) * (80 * MIB))
    line = (
        "import mmap, sys\n"
        f"f = open({str(data)!r}, 'rb'); m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)\n"
        "n = sum(m[i] for i in range(0, len(m), 4096)); held = bytearray(40 * 2**20)\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", line], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        who = identify(process.pid)
        assert who is not None
        exact = trees.memory([who])
        assert 40 * MIB < exact < 70 * MIB
        assert exact <= trees.memory([who], above=10**12) < 70 * MIB
    finally:
        process.kill()
        process.communicate()


def test_a_process_that_is_gone() -> None:
    """Who is gone has no memory, no children and gets no signal."""
    process = subprocess.Popen(["/bin/true"])
    who = identify(process.pid)
    process.wait()
    if who is not None:
        assert trees.memory([who]) == 0
        assert not trees.send(who, signal.SIGKILL)
        assert trees.descendants([who.pid]) == []
