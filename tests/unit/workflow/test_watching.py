from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pangeo_hpc.errors import SchedulerUnreachable, SiteNotFound
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.workflow import watching
from pangeo_hpc.workflow.holder import Holder
from pangeo_hpc.workflow.runs import RunFolder
from pangeo_hpc.workflow.watching import Watch

SITE = SimpleNamespace(
    scheduler="main",
    schedulers={
        "pbs": SimpleNamespace(type="pbs"),
        "other": SimpleNamespace(type="slurm"),
        "main": SimpleNamespace(type="slurm"),
    },
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note which scheduler is asked for what; every job runs."""
    calls: list[Any] = []

    def status(scheduler: Any, ids: list[str], *, exit_files: Any, runner: Any) -> Any:
        calls.append((scheduler, ids, exit_files))
        return {ids[0]: JobStatus(id=ids[0], state=JobState.RUNNING)}

    monkeypatch.setattr(watching.jobs, "scheduler_named", lambda site, key, person: key)
    monkeypatch.setattr(watching.jobs, "status", status)
    return calls


def test_the_holders_own_scheduler_is_asked_and_seldom(
    folder: Path, me: Holder, asked: list[Any]
) -> None:
    """The site's default one of its kind; a second question soon after gets the same answer."""
    watch = Watch(RunFolder(folder), lambda: SITE)  # type: ignore[arg-type, return-value]
    holder = replace(me, job_id="41", scheduler="slurm", attempt=3)
    assert watch(holder) is JobState.RUNNING
    assert watch(holder) is JobState.RUNNING
    assert asked == [("main", ["41"], {"41": folder / "attempts" / "0003" / "exit"})]
    assert watch(replace(holder, job_id="7.pbs", scheduler="pbs", attempt=None)) is not None
    assert asked[1] == ("pbs", ["7.pbs"], {})


def test_no_answer_is_none(
    folder: Path, me: Holder, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a job, a scheduler of its kind, an answer, or a site, nobody can tell."""
    watch = Watch(RunFolder(folder), lambda: SITE)  # type: ignore[arg-type, return-value]
    assert watch(me) is None
    assert watch(replace(me, job_id="1", scheduler="local")) is None
    assert asked == []

    def silent(*_: Any, **__: Any) -> Any:
        raise SchedulerUnreachable("no answer within 30 s")

    monkeypatch.setattr(watching.jobs, "status", silent)
    assert watch(replace(me, job_id="2", scheduler="slurm")) is None

    def homeless() -> Any:
        raise SiteNotFound("no site")

    assert Watch(RunFolder(folder), homeless)(replace(me, job_id="1", scheduler="slurm")) is None


def test_one_of_several_must_know_it(
    folder: Path, me: Holder, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two schedulers of a kind, one that never heard of the job does not make it gone."""
    known = {"other": JobState.RUNNING}

    def status(scheduler: Any, ids: list[str], **_: Any) -> Any:
        asked.append(scheduler)
        return {ids[0]: JobStatus(id=ids[0], state=known.get(scheduler, JobState.LOST))}

    monkeypatch.setattr(watching.jobs, "status", status)
    holder = replace(me, job_id="41", scheduler="slurm")
    watch = Watch(RunFolder(folder), lambda: SITE)  # type: ignore[arg-type, return-value]
    assert watch(holder) is JobState.RUNNING
    assert asked == ["main", "other"]
    known.clear()
    assert watch(replace(holder, job_id="42")) is None
    # the only one of its kind is believed
    assert watch(replace(holder, job_id="43", scheduler="pbs")) is JobState.LOST
