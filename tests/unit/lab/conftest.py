"""A site whose labs are jobs of a scheduler made of words."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from pangeo_hpc.jobs import Ask
from pangeo_hpc.lab.launch import Wanted
from pangeo_hpc.run import Command, Result
from pangeo_hpc.schedulers.slurm_parse import QUEUE_WIDTHS
from pangeo_hpc.site import Person, Site, load_site
from tests.unit.alpha import alpha

SHARED = """\
    interface: ib0
    setup: ["module use /apps"]
  other: {cores: 1, memory: 1 GiB, walltime: "01:00:00"}
"""
MORE = """\
login_hosts: [login1.alpha.example, login2.alpha.example]
scratch:
  scratch: {path: "/scratch/{user}"}
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    path = tmp_path / "alpha.yaml"
    path.write_text(alpha(tmp_path / "state", shared=SHARED, more=MORE))
    return load_site(path, environ={"HOME": str(tmp_path), "PATH": ""})


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person("alice", 1001, 1001, "science", tmp_path)


class Queue:
    """Answers as Slurm's commands do, and notes what it was asked."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.jobs: dict[str, str] = {}
        self.refuses = ""
        self._numbers: Iterator[int] = itertools.count(1)

    def __call__(self, command: Command) -> Result:
        self.commands.append(command)
        program = Path(command.argv[0]).name
        if program == "sbatch":
            if self.refuses:
                return Result(command.argv, 1, stderr=f"sbatch: error: {self.refuses}")
            number = str(next(self._numbers))
            self.jobs[number] = "PENDING"
            return Result(command.argv, 0, stdout=f"{number}\n")
        if program == "scancel":
            self.jobs.update(dict.fromkeys(self.jobs, "CANCELLED"))
        if program == "squeue":
            return Result(command.argv, 0, stdout="".join(map(_row, self.jobs.items())))
        return Result(command.argv, 0)

    def submitted(self) -> int:
        """Return how many jobs were handed in."""
        return sum(Path(command.argv[0]).name == "sbatch" for command in self.commands)


def _row(job: tuple[str, str]) -> str:
    plain = {"JobArrayID": job[0], "State": job[1], "exit_code": "0", "RestartCnt": "0"}
    cells = (f"{plain.get(name, ''):<{width}}|" for name, width in QUEUE_WIDTHS.items())
    return "".join(cells) + "\n"


@pytest.fixture
def queue() -> Queue:
    return Queue()


def wanted(name: str = "lab", environment: str | None = None, **ask: object) -> Wanted:
    """Return what a user asks for."""
    return Wanted(ask=Ask(**ask), name=name, environment=environment)  # type: ignore[arg-type]
