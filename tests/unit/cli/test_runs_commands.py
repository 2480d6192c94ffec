"""`runs` speaks of the attempt a person means."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc import processes
from pangeo_hpc.cli.main import call
from pangeo_hpc.jobs import Job
from pangeo_hpc.site import current_person, load_site
from pangeo_hpc.workflow import runs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> runs.RunFolder:
    """A run of the local site in a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PANGEO_HPC_SITE", "local")
    site = load_site()
    script = tmp_path / "ndvi.py"
    return runs.open_run(site, current_person(), "ndvi", script=script, arguments=[])


def attempt(folder: runs.RunFolder, *, status: int | None = None, **known: Any) -> Job:
    """Add an attempt that this very process made, alive or ended with a status."""
    _, place = folder.new_attempt()
    me = processes.identify()
    assert me is not None
    request = {"scheduler": None, "node_type": None, "process": asdict(me)}
    request |= known.pop("request", {})
    made = {"name": "ndvi", "state": "here", "submitted": "2026-01-01T00:00:00+00:00"} | known
    job = Job(folder=place, request=request, **made)
    job.write()
    if status is not None:
        job.exit_file.write_text(f"{status}\n")
    return job


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = call([*words, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


def test_one_that_lives_counts_more(folder: runs.RunFolder, capsys: Any) -> None:
    """A later attempt that was turned away does not hide the one that computes."""
    attempt(folder)
    attempt(folder, status=4)
    _, found = told(capsys, "runs", "list")
    assert [(row["run"], row["state"]) for row in found["runs"]] == [("ndvi", "running")]
    assert call(["runs", "cancel", "ndvi"]) == 4
    assert "no job to cancel" in capsys.readouterr().err


def test_the_last_one_where_all_have_ended(folder: runs.RunFolder, capsys: Any) -> None:
    """Its exit code is the command's answer: 0, 1, or 75."""
    attempt(folder, status=1)
    attempt(folder, status=75)
    code, found = told(capsys, "runs", "wait", "ndvi")
    assert (code, found["exit_code"], found["state"]) == (75, 75, "failed")
    attempt(folder, status=0)
    assert told(capsys, "runs", "wait", "ndvi")[0] == 0


def test_a_job_id_means_that_job(folder: runs.RunFolder, capsys: Any) -> None:
    """Not the last job of the same run."""
    gone = {"request": {"scheduler": "renamed", "node_type": "x"}, "state": "taken"}
    first = attempt(folder, id="4711", **gone)
    first.output.write_text("first\n")
    second = attempt(folder, id="4720", **gone)
    second.output.write_text("second\n")
    assert call(["runs", "logs", "4711"]) == 0
    assert capsys.readouterr().out == "first\n"
    assert call(["runs", "logs", "ndvi"]) == 0
    assert capsys.readouterr().out == "second\n"


def test_a_scheduler_that_has_gone(folder: runs.RunFolder, capsys: Any) -> None:
    """One old run does not keep all the others from being listed."""
    attempt(folder, id="4711", request={"scheduler": "renamed", "node_type": "x"}, state="taken")
    _, found = told(capsys, "runs", "list")
    (row,) = found["runs"]
    assert (row["state"], "renamed" in row["reason"]) == ("unknown", True)


def test_nothing_to_wait_for(folder: runs.RunFolder, capsys: Any, tmp_path: Path) -> None:
    """`--after` a run that computes in no job is wrong use, before anything is submitted."""
    (tmp_path / "next.py").write_text("")
    attempt(folder)
    assert call(["submit", str(tmp_path / "next.py"), "--after", "ndvi"]) == 2
    assert "no job to wait for" in capsys.readouterr().err


def test_where_the_output_went(folder: runs.RunFolder, capsys: Any) -> None:
    """An attempt that nobody submitted printed where it was started."""
    attempt(folder, status=0)
    assert call(["runs", "logs", "ndvi"]) == 0
    assert "where it was started" in capsys.readouterr().err


def test_dry_run_as_json(folder: runs.RunFolder, capsys: Any, tmp_path: Path) -> None:
    """The script is one value of the document."""
    (tmp_path / "next.py").write_text("")
    _, found = told(capsys, "submit", str(tmp_path / "next.py"), "--dry-run")
    assert found["script"].startswith("#!/bin/bash")
