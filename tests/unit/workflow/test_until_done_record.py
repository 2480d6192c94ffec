"""What attempts of a chain became, as their files and their scheduler tell."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc.jobs import Job
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.workflow.holder import myself
from pangeo_hpc.workflow.runs import RunFolder
from pangeo_hpc.workflow.until_done import record
from pangeo_hpc.workflow.until_done.decide import Decision, Limits, Standing

START = datetime(2026, 1, 1, tzinfo=UTC)


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def stamp(path: Path, number: float) -> None:
    """Let a file be written at a minute."""
    os.utime(path, (minute(number).timestamp(),) * 2)


Attempt = Callable[..., Job]


@pytest.fixture
def run(folder: Path) -> RunFolder:
    return RunFolder(folder)


@pytest.fixture
def attempt(run: RunFolder) -> Attempt:
    """Add an attempt of four cores, begun and ended at minutes, with the pieces it finished."""

    def add(begun: float | None, *, code: int | None = None, ended: float = 0, ahead: bool = True,
            pieces: int = 0, entered: bool = True) -> Job:  # fmt: skip
        number, place = run.new_attempt()
        request = {"scheduler": "slurm", "node_type": "x", "cores": 2, "nodes": 2, "walltime": 3600}
        job = Job(name=f"c-{number}", folder=place, id=str(number), state="taken", request=request)
        job.write()
        if ahead:
            (place / "ahead").touch()
        if begun is not None:
            told = {"format": 1, "at": minute(begun).isoformat(), "job": job.id}
            (place / "begun").write_text(json.dumps(told))
            stamp(place / "begun", begun)
        if code is not None:
            job.exit_file.write_text(f"{code}\n")
            stamp(job.exit_file, ended)
        if begun is not None and entered:
            leases = run.path / "leases"
            leases.mkdir(exist_ok=True)
            at_work = {"unit-7 of out": minute(ended - 10).isoformat()}
            times = {"taken_at": minute(begun).isoformat(), "renewed_at": minute(ended).isoformat()}
            holder = replace(myself(None, number), number=number, at_work=at_work, **times)
            (leases / f"{number:04}.json").write_text(holder.dump())
        for piece in range(pieces):
            path = run.path / "ledger" / "out" / "token" / f"unit-{number}-{piece}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            stamp(path, (begun or 0) + 1)
        return job

    return add


def tried(run: RunFolder, *jobs: Job, status: JobStatus | None = None) -> list[Any]:
    return record.tried(run, [(job, status) for job in jobs], minute(600))


def test_what_each_attempt_gained_and_used(run: RunFolder, attempt: Attempt) -> None:
    """By its files alone: pieces noted while it was the newest, its exit code, its core-hours."""
    first = attempt(0, code=75, ended=30, pieces=3, ahead=False)
    second = attempt(100, ended=120, pieces=0)
    third = attempt(200, code=143, ended=230, pieces=2)
    waiting = attempt(None)
    told = tried(run, first, second, third, waiting)
    assert [each.number for each in told] == [1, 2, 3]
    assert [each.gained for each in told] == [3, 0, 2]
    assert [each.exit_code for each in told] == [75, None, 143]
    assert [each.state for each in told] == [JobState.FAILED, JobState.LOST, JobState.FAILED]
    # four cores for half an hour; of the killed one, until its last sign of life
    assert [round(each.core_hours, 3) for each in told] == [2.0, 1.333, 2.0]
    assert told[1].stuck == (("unit-7 of out", timedelta(minutes=10)),)


def test_the_scheduler_knows_better(run: RunFolder, attempt: Attempt) -> None:
    """Its state and its times count more; a job of which it says nothing is judged by its files."""
    job = attempt(0, ended=10)
    status = JobStatus(
        id="1", state=JobState.TIMEOUT, started=minute(-5), ended=minute(55), exit_code=None
    )
    (told,) = tried(run, job, status=status)
    assert (told.state, told.core_hours) == (JobState.TIMEOUT, 4.0)
    lost = JobStatus(id="1", state=JobState.LOST)
    assert round(tried(run, job, status=lost)[0].core_hours, 3) == 0.667


def test_a_script_without_a_run_keeps_no_pieces(run: RunFolder, attempt: Attempt) -> None:
    """Then nobody can say whether it made progress."""
    (told,) = tried(run, attempt(0, code=75, ended=5, entered=False))
    assert told.gained is None


def test_digests_and_drafts_are_no_pieces(run: RunFolder, attempt: Attempt) -> None:
    """Only what a later attempt need not do again counts."""
    job = attempt(0, code=75, ended=5)
    for name in ("token/.unit-1.json.1f.partial", "digests/ab.json", "failed/1.json"):
        path = run.path / "ledger" / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert tried(run, job)[0].gained == 0


def test_jobs_ahead_are_no_attempts_until_they_begin(run: RunFolder, attempt: Attempt) -> None:
    """Neither is one that found its chain at an end; one that could not even look is."""
    first, second = attempt(0, code=75, ended=5, ahead=False), attempt(None)
    over, broken = attempt(None, code=0), attempt(None, code=127)
    assert [job.id for job in run.jobs()] == [first.id]
    assert [record.began(job) for job in (first, second, over, broken)] == [
        True,
        False,
        False,
        True,
    ]
    assert record.is_ahead(second)
    assert [each.number for each in tried(run, first, second, over, broken)] == [1, 4]


def test_a_chain_is_remembered(run: RunFolder, attempt: Attempt) -> None:
    """Its end is noted once; before it, the jobs that wait count, and after it they do not."""
    assert record.Chain.read(run) is None
    assert record.followed(run, 1) == ()
    attempt(0, code=75, ended=5, ahead=False)
    attempt(None)
    limits = Limits(attempts=7, core_hours=2.5)
    chain = record.Chain(limits=limits, began="now", numbers=(1, 2), told={"environment": None})
    chain.write(run)
    assert record.Chain.read(run) == chain
    assert record.followed(run, 2) == (1,)
    assert record.followed(run, 3) == ()
    assert [job.id for job in record.waiting(run)] == ["2"]
    first = Decision(Standing.LEFT, "it is enough")
    assert record.end(run, first) == first
    assert record.end(run, Decision(Standing.FAILED, "no")) == first
    assert record.Chain.read(run) == replace(chain, over=first)
    assert record.waiting(run) == []


def test_nothing_waits_behind_a_complete_run(run: RunFolder, attempt: Attempt) -> None:
    """The scheduler drops such jobs, even where nobody noted the end."""
    attempt(0, code=0, ended=5, ahead=False)
    attempt(None)
    chain = record.Chain(limits=Limits(), began="now", numbers=(1, 2), told={})
    chain.write(run)
    assert record.waiting(run) == []
