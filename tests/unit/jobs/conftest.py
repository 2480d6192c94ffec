"""A small site and a scheduler made of words, which can be told to fail or lie."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc.errors import SchedulerUnreachable, SubmitRefused
from pangeo_hpc.run import Command, Result
from pangeo_hpc.schedulers.base import JobRequest, JobState, JobStatus, SchedulerOptions
from pangeo_hpc.site import Person, Site, load_site

SITE = """\
name: alpha
scheduler: slurm
user_state: {state}/{{user}}
node_types:
  compute:
    default: true
    queue: regular
    qos: normal
    constraint: cpu
    cores: 4
    max_cores: 8
    memory: 8 GiB
    max_memory: 16 GiB
    walltime: "01:00:00"
    max_walltime: "02:00:00"
    max_nodes: 4
    setup: ["module load gcc"]
    directives: ["--comment={{group}}"]
    options:
      reservation: {{directive: "--reservation={{value}}", pattern: "[A-Za-z0-9_-]+"}}
      storage:
        {{directive: "--lfs={{value}}", pattern: "[a-z0-9/+]+", default: "scratch/{{project}}"}}
  gpu: {{cores: 8, memory: 8 GiB, walltime: "01:00:00", gpus: 1, max_gpus: 4, gpu_type: a100,
        account: "{{account}}_g"}}
  fixed: {{cores: 1, memory: 1 GiB, walltime: "01:00:00", account: lab7, uses: [batch]}}
  charged: {{cores: 1, memory: 1 GiB, walltime: "01:00:00", account: required}}
  free: {{cores: 1, memory: 1 GiB, walltime: "01:00:00", account: none}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    path = tmp_path / "alpha.yaml"
    path.write_text(SITE.format(state=tmp_path / "state"))
    return load_site(path, environ={"HOME": str(tmp_path), "PATH": ""})


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person("alice", 1001, 1001, "science", tmp_path, project="p1", account="acc")


@dataclass
class Words:
    """A scheduler whose every answer is decided by the test; it notes what it was asked."""

    kind: str = "words"
    options: SchedulerOptions = field(default_factory=SchedulerOptions)
    jobs: dict[str, JobStatus] = field(default_factory=dict)
    past: dict[str, JobStatus] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    mood: str = "good"
    finds: int = 0

    def directives(self, request: JobRequest) -> tuple[str, ...]:
        return (f"#WORDS --name={request.name}",)

    def submit(self, script: Path, request: JobRequest) -> Iterator[Command]:
        self.asked.append("submit")
        yield Command(("true",))
        if self.mood == "refuses":
            raise SubmitRefused("words: no such queue")
        if self.mood == "absent":
            error = SchedulerUnreachable("words: nobody listens")
            error.unsent = True
            raise error
        if self.mood != "deaf":
            number = str(len(self.jobs) + 1)
            self.jobs[number] = JobStatus(id=number, state=JobState.PENDING, name=request.name)
        if self.mood in ("mumbles", "deaf"):
            raise SchedulerUnreachable("words: socket timed out")
        return number

    def status(self, ids: Collection[str]) -> Iterator[Command]:
        self.asked.append("status")
        yield Command(("true",))
        if self.mood == "down":
            raise SchedulerUnreachable("words: no answer")
        return {i: self.jobs[i] for i in ids if i in self.jobs}

    def history(self, ids: Collection[str]) -> Iterator[Command]:
        self.asked.append("history")
        yield Command(("true",))
        return {i: self.past[i] for i in ids if i in self.past}

    def find(self, name: str, user: str) -> Iterator[Command]:
        self.asked.append("find")
        self.finds += 1
        yield Command(("true",))
        if self.mood == "mumbles" and self.finds < 3:
            raise SchedulerUnreachable("words: still no answer")
        return tuple(i for i, job in self.jobs.items() if job.name == name)

    def cancel(self, ids: Collection[str]) -> Iterator[Command]:
        self.asked.append("cancel")
        yield Command(("true",))
        return {}


@pytest.fixture
def words() -> Any:
    return Words()


@pytest.fixture
def quick() -> Any:
    """A runner that starts nothing."""
    return lambda command: Result(command.argv, 0)
