"""What `--after` waits for, what it need not wait for, and what it refuses."""

import threading
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc import processes
from pangeo_hpc.cli.main import call
from pangeo_hpc.errors import RequestRefused
from pangeo_hpc.jobs import Job
from pangeo_hpc.run import Command, Result
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.schedulers.slurm_parse import HISTORY_COLUMNS, QUEUE_WIDTHS
from pangeo_hpc.site import Person, Site, current_person, load_site
from pangeo_hpc.workflow import after, follow, runs
from pangeo_hpc.workflow.holder import moment
from pangeo_hpc.workflow.until_done.decide import Decision, Limits, Standing
from pangeo_hpc.workflow.until_done.followed import NOTHING
from pangeo_hpc.workflow.until_done.record import Chain, begin, end

WAITS = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a script that waits for a file, and one that does not."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PANGEO_HPC_SITE", "local")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "waits.py").write_text(WAITS)
    (tmp_path / "fails.py").write_text("raise SystemExit(int(open('code').read()))\n")
    (tmp_path / "notes.py").write_text("import os\nprint('after', os.path.exists('go'))\n")
    return tmp_path


def where() -> tuple[Site, Person]:
    return load_site(), current_person()


def job_of(name: str) -> Job:
    return runs.RunFolder(runs.home(*where()) / name).jobs()[-1]


def resolved(*references: str) -> tuple[str, ...]:
    return after.resolve(*where(), references, node_type=None).succeeded


def problems(*references: str) -> list[str]:
    with pytest.raises(RequestRefused) as caught:
        resolved(*references)
    return [problem.text for problem in caught.value.problems]


def test_names_ids_and_several(place: Path) -> None:
    """A run is named, or its job; with commas or several times; each job is waited for once."""
    for name in ("first", "second"):
        assert call(["submit", "waits.py", "--name", name]) == 0
    one, two = job_of("first").id, job_of("second").id
    assert one is not None and two is not None
    assert resolved("first") == (one,)
    assert resolved("second,first", one) == (two, one)
    assert call(["submit", "notes.py", "--after", f"first,{two}"]) == 0
    script = (job_of("notes").folder / "job.sh").read_text()
    assert f"--after={one},{two}" in script
    (place / "go").touch()
    assert call(["runs", "wait", "notes"]) == 0
    assert job_of("notes").output.read_text() == "after True\n"
    # complete: nothing to wait for
    assert resolved("first", two) == ()


def test_what_never_succeeds_is_refused(place: Path) -> None:
    """A run that failed, one that stopped in time, names and ids that nobody knows, all at once."""
    for name, code in (("failed", 1), ("stopped", 75)):
        (place / "code").write_text(str(code))
        assert call(["submit", "fails.py", "--name", name, "--wait"]) == code
    told = problems("failed", "stopped,faild", "4711")
    assert told[0].startswith("run failed did not succeed (failed: exit status 1)")
    assert told[1] == "run stopped stopped in time and has work left"
    assert told[2].startswith("no run named 'faild'")
    assert told[3] == "there is no run '4711', and local knows no such job"
    assert call(["submit", "notes.py", "--after", "faild"]) == 2
    assert not (runs.home(*where()) / "notes").exists()


def test_a_run_in_no_job(place: Path) -> None:
    """A script that somebody just started has no job that a scheduler could wait for."""
    folder = runs.open_run(*where(), "here", script=place / "notes.py", arguments=[])
    _, attempt = folder.new_attempt()
    me = processes.identify()
    assert me is not None
    request = {"scheduler": None, "node_type": None, "process": asdict(me)}
    Job(name="here", folder=attempt, request=request, state="here", submitted="2026-01-01").write()
    assert problems("here") == ["run here has no job to wait for: it runs in none"]


def test_a_job_of_another_scheduler() -> None:
    """Each scheduler knows only its own jobs."""
    job = Job(name="x", folder=Path("x"), id="1", request={"scheduler": "casper"})
    alive = JobStatus(id="1", state=JobState.RUNNING)
    problem = after.fault("x", job, alive, "slurm")
    assert problem is not None
    assert problem.text == "run x is a job of casper, this one of slurm"
    assert after.fault("x", job, alive, "casper") is None
    assert after.fault("x", job, JobStatus(id="1", state=JobState.COMPLETED), "slurm") is None


def test_a_run_that_is_over_while_its_job_ends(place: Path) -> None:
    """Once it is known to be complete nothing waits for it, and `runs wait` waits for its job."""
    assert call(["submit", "waits.py", "--name", "long"]) == 0
    folder = runs.RunFolder(runs.home(*where()) / "long")
    Chain(limits=Limits(), began=moment(), numbers=(1,), told={}).write(folder)
    begin(folder.attempt(1), job_of("long").id)
    end(folder, Decision(Standing.COMPLETE))
    assert follow.follow(*where(), [job_of("long")])[0].state.ended is False
    assert after.resolve(*where(), ["long"], node_type=None) == NOTHING
    threading.Timer(0.5, (place / "go").touch).start()
    assert call(["runs", "wait", "long"]) == 0
    assert follow.follow(*where(), [job_of("long")])[0].state is JobState.COMPLETED
    assert resolved("long") == ()


SLURM = """
name: there
scheduler: slurm
schedulers: {{slurm: {{type: slurm, bin: {here}}}}}
user_state: "{here}/state/{{user}}"
node_types: {{one: {{cores: 1, memory: 1 GiB, walltime: "01:00:00"}}}}
"""


def row(columns: Iterable[str], **told: str) -> str:
    return "|".join(told.get(name, "") for name in columns) + "|\n"


@pytest.mark.parametrize(
    ("reason", "history", "first", "told"),
    [
        # what squeue and sacct say right after Slurm has dropped it (22.05)
        ("Dependency", "CANCELLED", "FAILED", "what it was to follow did not succeed"),
        ("None", "CANCELLED", "TIMEOUT", "what it was to follow did not succeed"),
        ("Dependency", "PENDING", "FAILED", "what it was to follow did not succeed"),
        ("Dependency", None, "NODE_FAIL", "what it was to follow did not succeed"),
        # a person did, whose name only the history knows
        ("Dependency", "CANCELLED by 1001", "FAILED", ""),
        ("Dependency", None, "RUNNING", ""),
        ("None", None, "COMPLETED", ""),
    ],
)
def test_dropped_in_vain_is_told_whoever_says_it(
    tmp_path: Path, reason: str, history: str | None, first: str, told: str
) -> None:
    """A job that Slurm dropped says so, though neither squeue nor sacct does; and goes on to."""
    (tmp_path / "site.yaml").write_text(SLURM.format(here=tmp_path))
    site, person = load_site(tmp_path / "site.yaml"), current_person()
    kept = {"scheduler": "slurm", "node_type": "one", "after": ["7"]}
    Job(name="x", folder=tmp_path, id="8", state="taken", request=kept).write()
    asked: list[str] = []

    def runner(command: Command) -> Result:
        program = Path(command.argv[0]).name
        asked.append(program)
        text = "\n"
        if program == "squeue":
            job = {"State": "CANCELLED", "Reason": reason}
            before = {"State": first, "Reason": "None", "NodeList": "node1"}
            rows = {"8": job, "7": before}
            text = "".join(
                row(QUEUE_WIDTHS, JobArrayID=i, exit_code="0", **each) for i, each in rows.items()
            )
        if program == "sacct" and history:
            text = row(HISTORY_COLUMNS, JobID="8", State=history, ExitCode="0:0")
        return Result(command.argv, 0, text, "")

    said = [
        follow.follow(site, person, [Job.read(tmp_path)], runner=runner)[0].reason for _ in range(2)
    ]
    before = len(asked)
    assert [words.partition(" (")[0] for words in said] == [told, told]
    # an end that is known is not asked for again
    follow.follow(site, person, [Job.read(tmp_path)], runner=runner)
    assert len(asked) == before


def test_a_notebook_needs_papermill(place: Path, monkeypatch: Any, capsys: Any) -> None:
    """If our own Python is to compute it and cannot, that is told before anything is submitted."""
    from tests.unit.workflow.test_notebooks import write

    write(place / "a.ipynb", "1")
    monkeypatch.setattr("pangeo_hpc.workflow.launch.find_spec", lambda _name: None)
    assert call(["submit", "a.ipynb"]) == 2
    said = capsys.readouterr().err
    assert "cannot compute notebooks: it has no papermill, no ipykernel" in said
    assert "pip install 'pangeo-hpc[notebooks]'" in said
    assert not runs.home(*where()).exists()


def test_a_notebook_job_without_papermill(place: Path, monkeypatch: Any, capsys: Any) -> None:
    """In another environment the job itself says so, and it is the reason of the run."""
    from pangeo_hpc.workflow.notebooks import job as notebook_job
    from tests.unit.workflow.test_notebooks import write

    path = write(place / "a.ipynb", "1")
    folder = runs.open_run(*where(), "a", script=path, arguments=[])
    number, attempt = folder.new_attempt()
    monkeypatch.setenv(runs.RUN, str(folder.path))
    monkeypatch.setenv(runs.ATTEMPT, str(number))
    monkeypatch.setattr(notebook_job, "find_spec", lambda _name: None)
    assert notebook_job.main([str(path)]) == 2
    assert "no papermill and no ipykernel" in capsys.readouterr().err
    assert "no papermill" in (attempt / follow.REASON).read_text()
    monkeypatch.delenv(runs.RUN)
    assert notebook_job.main([str(path)]) == 2
    assert "belongs to a run" in capsys.readouterr().err


def test_a_dry_run_of_a_notebook(place: Path, capsys: Any) -> None:
    """The job script runs the notebook by our program, its parameters quoted."""
    from tests.unit.workflow.test_notebooks import write

    write(place / "a.ipynb", "year = 1")
    assert call(["submit", "a.ipynb", "--dry-run", "--", "year=it's"]) == 0
    command = f"-m pangeo_hpc.workflow.notebooks.job {place}/a.ipynb"
    assert command in capsys.readouterr().out
