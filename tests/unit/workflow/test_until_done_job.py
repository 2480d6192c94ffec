"""What an attempt of a chain finds at its beginning, where nodes may not ask the scheduler."""

from pathlib import Path

import pytest

from pangeo_hpc.jobs import Job
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.workflow.runs import RunFolder
from pangeo_hpc.workflow.until_done import job as program
from pangeo_hpc.workflow.until_done.decide import Limits, Standing
from pangeo_hpc.workflow.until_done.record import Chain, begin


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A chain of two attempts, the first of which has begun; we are in the second."""
    run = RunFolder(folder)
    for _ in range(2):
        number, place = run.new_attempt()
        request = {"scheduler": "x", "node_type": "x", "cores": 1, "nodes": 1, "walltime": 60}
        Job(name="c", folder=place, id=str(number), state="taken", request=request).write()
    begin(run.attempt(1), "1")
    (run.attempt(2) / "ahead").touch()
    Chain(limits=Limits(), began="now", numbers=(1, 2), told={}).write(run)
    monkeypatch.setenv("PANGEO_HPC_RUN", str(folder))
    monkeypatch.setenv("PANGEO_HPC_ATTEMPT", "2")
    monkeypatch.setenv("PANGEO_HPC_ENDS", "1795719679")
    # nodes without commands, and without a site
    monkeypatch.setattr(program, "_site", lambda: (_ for _ in ()).throw(OSError("nothing here")))
    return run


def test_it_goes_on_after_a_kill(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    """Without any word of the scheduler, an attempt that left no exit status is followed."""
    assert program.main() == 0
    assert capsys.readouterr().out == "1795719679\n"
    assert (run.attempt(2) / "begun").exists()


def test_it_finds_the_end(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    """After an error nothing begins, and why is told and noted."""
    (run.attempt(1) / "exit").write_text("1\n")
    assert program.main() == program.OVER
    assert "failed: attempt 1 failed with exit code 1" in capsys.readouterr().err
    assert not (run.attempt(2) / "begun").exists()
    chain = Chain.read(run)
    assert chain is not None
    assert chain.over is not None
    assert chain.over.standing is Standing.FAILED


def test_a_requeued_attempt_goes_on(run: RunFolder) -> None:
    """What has begun is not asked again whether it should."""
    begin(run.attempt(2), "2")
    (run.attempt(1) / "exit").write_text("1\n")
    assert program.main() == 0


def test_it_never_runs_beside_another(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a scheduler started it too early, it says so and leaves the other alone."""
    status = JobStatus(id="1", state=JobState.RUNNING)
    monkeypatch.setattr(program, "_known", lambda before: [status for _ in before])
    assert program.main() == 4
    assert "job 1, which this one follows, still runs" in capsys.readouterr().err
    assert not (run.attempt(2) / "begun").exists()
