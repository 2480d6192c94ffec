"""A run folder, attempts in it, and scripts that are really started and killed."""

import io
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

import pangeo_hpc
from pangeo_hpc.workflow import lease
from pangeo_hpc.workflow.attempt import Attempt, Written
from pangeo_hpc.workflow.deadline import Deadline
from pangeo_hpc.workflow.ending import Signals
from pangeo_hpc.workflow.holder import Holder, myself
from pangeo_hpc.workflow.progress import Progress
from pangeo_hpc.workflow.writing.layout import Asked
from pangeo_hpc.workflow.writing.write import write

ROOT = Path(pangeo_hpc.__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder as `runs.open_run` makes it."""
    path = tmp_path / "runs" / "climatology"
    path.mkdir(parents=True)
    record = {"format": 1, "name": "climatology", "site": "here", "script": "c.py", "arguments": []}
    (path / "run.json").write_text(json.dumps(record))
    return path


@pytest.fixture
def me() -> Holder:
    return myself(None, None)


def nobody_knows(_holder: Holder) -> None:
    return None


Begin = Callable[..., AbstractContextManager[Attempt]]


def begin_in(folder: Path) -> Begin:
    """Return what begins an attempt of a run in this process; it gives the run back at its end."""

    @contextmanager
    def begin(
        *,
        code: str | None = "code 1",
        inputs: dict[str, str] | None = None,
        forced: str | None = None,
        keep: bool = False,
        deadline: Deadline | None = None,
    ) -> Iterator[Attempt]:
        held = lease.take(folder, myself(None, None), nobody_knows, patience=0)
        limit = deadline or Deadline(None)
        try:
            yield Attempt(
                folder=folder,
                record=json.loads((folder / "run.json").read_text()),
                lease=held,
                deadline=limit,
                signals=Signals(folder.name, limit),
                progress=Progress(folder, io.StringIO()),
                code=code,
                inputs=inputs or {},
                forced=forced,
                keep=keep,
            )
        finally:
            held.release()

    return begin


@pytest.fixture
def attempt(folder: Path) -> Begin:
    """Begin an attempt of the run in this process."""
    return begin_in(folder)


def put(
    attempt: Attempt,
    ds: Any,
    target: Path,
    *,
    along: str | None = None,
    unit: int | None = None,
    encoding: Any = None,
    key: str | None = None,
    append: str | None = None,
    group: str | None = None,
) -> Written:
    """Write a dataset with the choices of `Run.write_zarr`."""
    asked = Asked(along=along, unit=unit, encoding=encoding or {}, append=append)
    return write(attempt, ds, target, asked, group=group, key=key)


def stamps(store: Path) -> dict[str, tuple[int, int]]:
    """Inode and modification time of each data file: they tell whether it was written again."""
    return {
        path.relative_to(store).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in store.rglob("c/**/*")
        if path.is_file() and not path.name.endswith(".partial")
    }


class Scripts:
    """Starts scripts of a run as processes of their own."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(ROOT)]),
            "PANGEO_HPC_RUN": str(folder),
            "PANGEO_SCRATCH": str(scratch),
            "PYTHONWARNINGS": "error",
        }

    def write(self, text: str) -> Path:
        path = self.folder.parent / "script.py"
        path.write_text(textwrap.dedent(text))
        return path

    def start(self, path: Path, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, str(path)],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, path: Path, **environment: str) -> tuple[int, str, str]:
        """Run a script to its end; return its exit code, what it said, and what it complained."""
        with self.start(path, **environment) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, out, err


@pytest.fixture
def scripts(folder: Path, tmp_path: Path) -> Scripts:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Scripts(folder, scratch)
