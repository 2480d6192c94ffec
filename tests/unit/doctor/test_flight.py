"""Canaries are sent at once, followed with one question, and never left behind."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc.doctor import canary as program
from pangeo_hpc.doctor import flight as flights
from pangeo_hpc.doctor.facts import Outcome
from pangeo_hpc.doctor.flight import Flight, fly
from pangeo_hpc.errors import Problem, RequestRefused, SchedulerUnreachable, SubmitRefused
from pangeo_hpc.run import Command, Result
from pangeo_hpc.schedulers.base import JobRequest, JobState, JobStatus


@dataclass
class Words:
    """A scheduler whose jobs do what a test says, by the name of their folder."""

    does: dict[str, str]
    asked: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)
    looks: int = 0
    unreachable: int = 0
    interrupt: bool = False

    def directives(self, request: JobRequest) -> tuple[str, ...]:
        return (f"#WORDS --name={request.name}",)

    def submit(self, script: Path, request: JobRequest) -> Iterator[Command]:
        self.asked.append("submit")
        yield Command(("true",))
        act = self.does[script.parent.name]
        if act == "refused":
            raise SubmitRefused("no such queue", hint="correct it")
        self.folders[request.name] = script.parent
        if act == "interrupted":
            raise KeyboardInterrupt
        return request.name

    def status(self, ids: Collection[str]) -> Iterator[Command]:
        self.asked.append("status")
        yield Command(("true",))
        if self.unreachable:
            self.unreachable -= 1
            raise SchedulerUnreachable("no answer")
        self.looks += 1
        if self.interrupt and self.looks > 1:
            raise KeyboardInterrupt
        return {i: JobStatus(id=i, state=self.state(i)) for i in ids}

    def state(self, job_id: str) -> JobState:
        folder = self.folders[job_id]
        act = self.does[folder.name]
        if act == "waits":
            return JobState.PENDING
        if act == "hangs":
            return JobState.RUNNING
        if act == "reports" and not (folder / program.REPORT).exists():
            (folder / program.HELLO).write_text(json.dumps({"time": 0}))
            if not (folder / program.ANSWER).exists():
                return JobState.RUNNING
            (folder / program.REPORT).write_text(json.dumps({"host": "n1"}))
        return JobState.COMPLETED

    def history(self, ids: Collection[str]) -> Iterator[Command]:
        yield Command(("true",))
        return {}

    def find(self, name: str, user: str) -> Iterator[Command]:
        self.asked.append("find")
        yield Command(("true",))
        return (name,) if name in self.folders else ()

    def cancel(self, ids: Collection[str]) -> Iterator[Command]:
        yield Command(("true",))
        self.cancelled += ids
        return {}


def quick(command: Command) -> Result:
    return Result(command.argv, 0)


def request(folder: Path) -> JobRequest:
    return JobRequest(
        name=f"doctor-{folder.name}",
        command=("true",),
        cores=2,
        walltime=timedelta(minutes=5),
        exit_file=folder / "exit",
    )


def refuse(folder: Path) -> JobRequest:
    raise RequestRefused([Problem("account", "it is needed", "give it"), Problem("", "and more")])


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("_LOOK", 0.01), ("_ASK", 0.02), ("_LONGEST_ASK", 0.05), ("_STILL", 0.1)):
        monkeypatch.setattr(flights, name, seconds)


def flock(folder: Path, does: dict[str, str], **more: Any) -> tuple[Words, list[Flight]]:
    scheduler = Words(does, **more)
    birds = [
        Flight(
            node_type=name,
            folder=folder / name,
            ask={"places": {}},
            plan=refuse if act == "unplanned" else request,
            scheduler=scheduler,  # type: ignore[arg-type]
            user="alice",
            patience=0.3,
        )
        for name, act in does.items()
    ]
    return scheduler, birds


def test_what_becomes_of_them(tmp_path: Path) -> None:
    """Each outcome at once; only what may still be in a queue is cancelled."""
    does = {"a": "reports", "b": "waits", "c": "refused", "d": "unplanned", "e": "ends"}
    scheduler, birds = flock(tmp_path, does)
    said: list[str] = []
    found = fly(birds, say=said.append, runner=quick)
    assert {name: bird.outcome for name, bird in found.items()} == {
        "a": Outcome.REPORTED,
        "b": Outcome.WAITED,
        "c": Outcome.REFUSED,
        "d": Outcome.REFUSED,
        "e": Outcome.NO_TRACE,
    }
    assert scheduler.cancelled == ["doctor-b"]
    assert [failure.text for failure in found["d"].failures] == [
        "account: it is needed",
        "and more",
    ]
    assert found["c"].failures[0].hint == "correct it"
    assert found["a"].report == {"host": "n1"}
    assert "canary b: job doctor-b is pending" in said
    assert any(line.startswith("after ") for line in said)


def test_all_are_sent_before_any_is_followed(tmp_path: Path) -> None:
    """One question asks about all of them."""
    scheduler, birds = flock(tmp_path, dict.fromkeys("abc", "reports"))
    fly(birds, say=lambda _: None, runner=quick)
    assert scheduler.asked[:4] == ["submit", "submit", "submit", "status"]
    assert scheduler.asked.count("status") < 10


def test_no_answer_is_no_news(tmp_path: Path) -> None:
    """A scheduler that is silent for a while ends no canary."""
    _, birds = flock(tmp_path, {"a": "reports"}, unreachable=2)
    assert fly(birds, say=lambda _: None, runner=quick)["a"].outcome is Outcome.REPORTED


def test_interrupted_while_they_fly(tmp_path: Path) -> None:
    """Ctrl-C takes all of them back."""
    scheduler, birds = flock(tmp_path, {"a": "waits", "b": "hangs"}, interrupt=True)
    with pytest.raises(KeyboardInterrupt):
        fly(birds, say=lambda _: None, runner=quick)
    assert scheduler.cancelled == ["doctor-a", "doctor-b"]


def test_interrupted_while_one_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job whose id never reached us is found by its name, and taken back."""
    monkeypatch.setattr(import_module("pangeo_hpc.jobs.submit"), "_ON_ITS_WAY", 0.0)
    scheduler, birds = flock(tmp_path, {"a": "waits", "b": "interrupted", "c": "waits"})
    with pytest.raises(KeyboardInterrupt):
        fly(birds, say=lambda _: None, runner=quick)
    assert scheduler.cancelled == ["doctor-a", "doctor-b"]
    assert scheduler.asked.count("submit") == 2


def test_one_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A canary that began is given its walltime, then it is cancelled."""
    monkeypatch.setattr(flights, "BRIEF", timedelta(seconds=-60))
    scheduler, birds = flock(tmp_path, {"a": "hangs"})
    assert fly(birds, say=lambda _: None, runner=quick)["a"].outcome is Outcome.UNFINISHED
    assert scheduler.cancelled == ["doctor-a"]
