"""What keeps the workers' packages from being the client's."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed.core import Status

from pangeo_hpc.dask import disk
from pangeo_hpc.dask.same import (
    DIGEST_FILE,
    Imported,
    Packages,
    _digest,
    compare,
    here,
    installed,
    mismatch,
)
from pangeo_hpc.dask.same_check import TOLD, SameEnvironment

HAS = {"numpy": "2.1.0", "xarray": "2026.9.0", "pangeo-hpc": "0.1.0"}
CLIENT = Packages("3.11", "a" * 64, HAS, "/env/bin/python")

CASES = [
    # what the worker has instead, what is said
    ({}, []),
    ({"packages": {**HAS, "scipy": "1.16"}}, []),
    ({"packages": {**HAS, "pangeo-hpc": "0.1.9"}}, []),
    ({"packages": {**HAS, "numpy": "1.26.4"}}, ["numpy: client 2.1.0, worker 1.26.4"]),
    ({"packages": {**HAS, "pangeo-hpc": "0.2.0"}}, ["pangeo-hpc: client 0.1.0, worker 0.2.0"]),
    (
        {"packages": {"pangeo-hpc": "0.1.0", "numpy": "2.1.0"}},
        ["xarray: client 2026.9.0, worker not there"],
    ),
    ({"python": "3.12"}, ["Python: client 3.11, worker 3.12"]),
    ({"digest": "b" * 64}, ["environment: client aaaaaaaaaaaa, worker bbbbbbbbbbbb"]),
    ({"digest": None}, ["environment: client aaaaaaaaaaaa, worker not there"]),
]  # fmt: skip


@pytest.mark.parametrize(("other", "said"), CASES)
def test_compare(other: dict[str, Any], said: Sequence[str]) -> None:
    """All that differs is named; more packages on the worker do no harm."""
    worker = Packages(**{**CLIENT.dump(), **other})
    assert [str(each) for each in compare(CLIENT, worker)] == said


def test_what_only_a_client_needs() -> None:
    """A notebook's own packages may be missing, but not be others; no digest asks for none."""
    client = Packages("3.11", None, {"ipykernel": "7.0"})
    assert compare(client, Packages("3.11", "b" * 64)) == []
    assert compare(client, Packages("3.11", None, {"ipykernel": "6.0"}))


def test_the_error_says_what_to_do() -> None:
    """It names packages, both versions and both Pythons."""
    worker = Packages("3.11", CLIENT.digest, {**HAS, "numpy": "1.26.4"}, "/other/bin/python")
    error = mismatch(compare(CLIENT, worker), CLIENT, worker)
    assert "numpy: client 2.1.0, worker 1.26.4" in error.text
    assert error.hint is not None
    assert "/env/bin/python" in error.hint
    assert "/other/bin/python" in error.hint


def test_installed(tmp_path: Path) -> None:
    """What lies first on the path counts; names are compared as pip compares them."""
    for place, names in {
        "overlay": ["zarr-3.1.6.dist-info"],
        "base": ["zarr-2.0.dist-info", "Flox_Lib-0.9.egg-info", "old-1.0-py3.11.egg-info", "x.py"],
    }.items():
        for name in names:
            (tmp_path / place / name).mkdir(parents=True)
    path = [str(tmp_path / "nowhere"), str(tmp_path / "overlay"), str(tmp_path / "base")]
    assert installed(path) == {"zarr": "3.1.6", "flox-lib": "0.9", "old": "1.0"}


def test_only_what_is_imported_counts() -> None:
    """The client's list has what it has imported, and grows as it imports more."""
    modules: dict[str, Any] = {"yaml": 1, "yaml.nodes": 1, "json": 1, "my_own_module": 1}
    imported = Imported(modules)
    assert list(imported.packages().packages) == ["pyyaml"]
    assert not imported.stale
    modules["numpy"] = 1
    assert imported.stale
    assert list(imported.packages().packages) == ["numpy", "pyyaml"]


def test_digest(tmp_path: Path) -> None:
    """An environment may say which build of it this is."""
    assert _digest(str(tmp_path)) is None
    (tmp_path / DIGEST_FILE).write_text("abc\n")
    assert _digest(str(tmp_path)) == "abc"


class Cluster:
    """Stands for a cluster whose workers are there."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.errors: list[Exception] = []
        self.warn, self.give_up = self.said.append, self.errors.append
        self.worker_spec = {"u-0": {}, "u-1": {}, "u-2": {}}

    def _names(self, unit: str) -> set[str]:
        return {unit}

    async def _correct_state(self) -> None:
        pass

    def _look_for_hopeless(self) -> None:
        pass


class Scheduler:
    """Stands for a scheduler that has workers."""

    def __init__(self) -> None:
        self.workers: dict[str, Any] = {}
        self.paused: list[str] = []

    def add(
        self, name: str, packages: dict[str, str], kind: str = ""
    ) -> tuple[str, dict[str, Any]]:
        told = Packages(f"3.{sys.version_info.minor}", None, packages).dump()
        extra = {TOLD: {"packages": told, "spill": {"place": "/tmp", "kind": kind}}, "more": 1}
        self.workers[f"tls://{name}"] = SimpleNamespace(name=name, status=Status.running)
        return f"tls://{name}", extra

    def handle_worker_status_change(self, status: Any, worker: Any, _stimulus: str) -> None:
        worker.status = status
        if status == Status.paused:
            self.paused.append(worker.name)


@pytest.mark.anyio
async def test_workers_are_looked_at() -> None:
    """A worker with another version may not join, and is looked at again after an import."""
    modules: dict[str, Any] = {"yaml": 1}
    imported = Imported(modules)
    version = imported.packages().packages["pyyaml"]
    cluster, scheduler = Cluster(), Scheduler()
    plugin = SameEnvironment(cluster, imported, no_news)  # type: ignore[arg-type]
    worker, extra = scheduler.add("u-0", {"pyyaml": version, "numpy": "0.1"}, kind="tmpfs")
    assert plugin.refuse(worker, "u-0", extra) is None
    assert extra == {"more": 1}
    assert scheduler.paused == cluster.errors == []
    assert cluster.said == [disk.warning("tmpfs")]
    worker, extra = scheduler.add("u-1", {"pyyaml": "0.1"})
    assert "pyyaml" in str(plugin.refuse(worker, "u-1", extra))
    assert "pyyaml" in str(cluster.errors.pop())
    await all_of(plugin)
    assert list(cluster.worker_spec) == ["u-0", "u-2"]
    plugin.update_graph(scheduler)  # type: ignore[arg-type]
    assert scheduler.paused == []
    modules["numpy"] = 1
    assert "numpy" in imported.packages().packages  # asked by another cluster first
    plugin.update_graph(scheduler)  # type: ignore[arg-type]
    assert scheduler.paused == ["u-0"]
    await all_of(plugin)
    assert "numpy" in str(cluster.errors[0])
    assert list(cluster.worker_spec) == ["u-2"]


@pytest.mark.anyio
async def test_what_is_installed_later_is_there() -> None:
    """A worker that connected before the client installed a package is asked once more."""
    modules: dict[str, Any] = {}
    imported = Imported(modules)
    cluster, scheduler = Cluster(), Scheduler()

    async def ask(_: Any, address: str) -> Packages:
        assert address == "tls://u-0"
        return replace(here(), digest=imported.packages().digest)

    plugin = SameEnvironment(cluster, imported, ask)  # type: ignore[arg-type]
    worker, extra = scheduler.add("u-0", {})
    assert plugin.refuse(worker, "u-0", extra) is None
    modules["numpy"] = 1
    plugin.update_graph(scheduler)  # type: ignore[arg-type]
    assert scheduler.workers[worker].status == Status.paused
    await all_of(plugin)
    assert scheduler.workers[worker].status == Status.running
    assert cluster.errors == []
    assert "u-0" in cluster.worker_spec


async def no_news(_: Any, address: str) -> None:
    """Stand for workers that have nothing new to tell."""


async def all_of(plugin: SameEnvironment) -> None:
    while plugin._tasks:
        await asyncio.gather(*plugin._tasks)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
