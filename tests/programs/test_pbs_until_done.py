"""A run that goes on until it is done on PBS, through programs that keep state, and lie."""

from collections import Counter
from pathlib import Path

import pytest

from pangeo_hpc.run import Command, run
from tests.programs.pbs_programs import install, tell
from tests.unit.workflow.test_until_done_local import STOPS, Here

pytestmark = pytest.mark.timeout(400)

PBS = """
name: here
scheduler: pbs
schedulers: {{pbs: {{type: pbs, bin: {programs}}}}}
user_state: "{here}/state/{{user}}"
node_types:
  one: {{queue: short, cores: 1, memory: 600 MiB, walltime: "00:10:00"}}
scratch: {{scratch: {{root: {here}, path: "{here}/scratch/{{user}}"}}}}
"""


@pytest.fixture
def here(tmp_path: Path) -> Here:
    made = Here(tmp_path)
    made.programs = install(tmp_path / "pbs")
    made.site.write_text(PBS.format(here=tmp_path, programs=made.programs))
    return made


def jobs(here: Here) -> list[str]:
    """Return what PBS ever took."""
    text = run(Command((str(here.programs / "qstat"), "-x", "-f"))).stdout
    return [line.split()[-1] for line in text.splitlines() if line.startswith("Job Id:")]


@pytest.mark.slow
def test_until_done_on_pbs(here):
    """Each answer of qsub is lost, and still each job is submitted once; each follows failures."""
    tell(here.programs, mute=["qsub"])
    words = ("submit", here.script(STOPS), "--until-done", "--attempts", "4", "--json")
    told = here.json(*words[:-1])
    assert told["jobs"] == [f"{number}.standin" for number in range(1, 5)] == jobs(here)
    assert "run script: complete: attempt 3 completed the run" in here("runs", "wait", "script")
    here.check()
    assert here.computed == Counter({**dict.fromkeys(range(6), 1), 4: 2})
    header = (here.run / "attempts/0003/job.sh").read_text()
    assert "#PBS -W depend=afternotok:1.standin:2.standin\n" in header
    text = run(Command((str(here.programs / "qstat"), "-x", "-f", "4.standin"))).stdout
    assert "job_state = F" in text
    assert "Exit_status" not in text


def test_nothing_is_submitted_twice_after_a_crash(here):
    """What a killed command had sent is found by its name, and not sent again."""
    tell(here.programs, paused=True)
    script = here.script("pass")
    here("submit", script, "--until-done", "--attempts", "2")
    record = here.run / "attempts/0002/job.json"
    taken = record.read_text()
    # as a command leaves it that was killed before it had the answer
    record.write_text(taken.replace('"2.standin"', "null").replace('"taken"', '"submitting"'))
    assert "run script is" in here("submit", script, "--until-done", code=4)
    assert here.json("runs", "show", "script")["until_done"]["standing"] == "goes on"
    assert jobs(here) == ["1.standin", "2.standin"]
    assert record.read_text() == taken
    here("runs", "cancel", "script")


# the first attempt is killed, the second one ends as told
LONG = """\
import os, pathlib
attempt = os.environ["PANGEO_HPC_ATTEMPT"]
if attempt == "1":
    os.kill(os.getpid(), 9)
print("here", file=open({log!r}, "a"))
raise SystemExit(int(pathlib.Path({code!r}).read_text()))
"""


def submitted(here: Here, code: int) -> Path:
    """Submit a run until done and one that follows it, and let them begin; return their log."""
    log, told = here.folder / "log", here.folder / "code"
    told.write_text(str(code))
    (here.folder / "long.py").write_text(LONG.format(log=str(log), code=str(told)))
    (here.folder / "after.py").write_text(f"print('after', file=open({str(log)!r}, 'a'))\n")
    tell(here.programs, paused=True)
    here("submit", "long.py", "--until-done", "--attempts", "4")
    here("submit", "after.py", "--after", "long")
    script = (here.run.parent / "after/attempts/0001/job.sh").read_text()
    ids = ":".join(f"{number}.standin" for number in range(1, 5))
    assert f"#PBS -W depend=afterany:{ids}\n" in script
    return log


@pytest.mark.slow
def test_after_a_run_until_done(here):
    """PBS knows no "or": the job waits for the end of all attempts, of which one completes it."""
    log = submitted(here, 0)
    tell(here.programs)
    here("runs", "wait", "after")
    assert log.read_text() == "here\nafter\n"
    codes = [each["exit_code"] for each in here.json("runs", "show", "long")["attempts"]]
    assert codes == [137, 0]
    here("submit", "after.py", "--name", "late", "--after", "long", "--wait")


@pytest.mark.slow
def test_after_a_run_that_fails_where_nodes_have_no_commands(here):
    """It begins, sees in the run's files that there is nothing to follow, and tells why."""
    log = submitted(here, 3)
    # what jobs are told of the site, not we: there are no commands
    for name in ("long", "after"):
        site = here.run.parent / name / "site.json"
        site.write_text(site.read_text().replace(str(here.programs), str(here.folder / "nowhere")))
    tell(here.programs)
    here("runs", "wait", "after", code=1)
    attempt = here.json("runs", "show", "after")["attempts"][0]
    assert attempt["exit_code"] == 1
    assert attempt["reason"] == (
        "what it was to follow did not succeed: run long failed: attempt 2 failed with exit code 3"
    )
    assert log.read_text() == "here\n"
    assert jobs(here) == [f"{number}.standin" for number in range(1, 6)]
