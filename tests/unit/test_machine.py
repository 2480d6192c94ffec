"""How large the machine is for us."""

from pathlib import Path

import pytest

from pangeo_hpc import machine, units


def test_this_machine() -> None:
    """There is at least a core and some memory."""
    here = machine.this_machine()
    assert here.cores >= 1
    assert here.memory > 64 * units.MIB


@pytest.mark.parametrize("version", [1, 2])
def test_cgroups_are_respected(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits of a container, or of a cgroup around ours, make the machine smaller."""
    if version == 2:
        lines, folder = "0::/user/me\n", tmp_path / "user"
        inner = folder / "me"
        inner.mkdir(parents=True)
        (inner / "cpu.max").write_text("max 100000\n")
        (inner / "memory.max").write_text("max\n")
        (folder / "cpu.max").write_text("150000 100000\n")
        (folder / "memory.max").write_text(f"{units.GIB}\n")
    else:
        lines = "4:cpu,cpuacct:/me\n3:memory:/me\n0::/\n"
        (tmp_path / "cpu,cpuacct/me").mkdir(parents=True)
        (tmp_path / "cpu,cpuacct/me/cpu.cfs_quota_us").write_text("150000\n")
        (tmp_path / "cpu,cpuacct/me/cpu.cfs_period_us").write_text("100000\n")
        (tmp_path / "memory/me").mkdir(parents=True)
        (tmp_path / "memory/me/memory.limit_in_bytes").write_text(f"{units.GIB}\n")
    read = Path.read_text

    def reading(path: Path) -> str:
        return lines if str(path) == "/proc/self/cgroup" else read(path)

    monkeypatch.setattr(Path, "read_text", reading)
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    assert machine.this_machine() == machine.Machine(1, units.GIB)


def test_numa_nodes(tmp_path: Path) -> None:
    """CPUs are told by NUMA node, of those that this process may use."""
    for number, cpus in enumerate(["0-3,8", "4-7,9", ""]):
        (tmp_path / f"node{number}").mkdir()
        (tmp_path / f"node{number}" / "cpulist").write_text(f"{cpus}\n")
    every = frozenset(range(10))
    assert machine.numa_nodes(tmp_path, every) == [{0, 1, 2, 3, 8}, {4, 5, 6, 7, 9}]
    assert machine.numa_nodes(tmp_path, frozenset({1, 2})) == [{1, 2}]
    assert machine.numa_nodes(tmp_path / "none", every) == [every]
    assert machine.numa_nodes(tmp_path, frozenset({1, 50})) == [{1, 50}]
