"""Chains on the local queue: real jobs, each of them a process of this machine."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc import workflow
from pangeo_hpc.cli.main import call
from pangeo_hpc.errors import PartlyDone, RequestRefused, SubmitRefused, SubmitUnclear
from pangeo_hpc.jobs import Job
from pangeo_hpc.run import Command, Result, run
from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.site import current_person, load_site
from pangeo_hpc.workflow import runs
from pangeo_hpc.workflow.chains.chain import Chain
from pangeo_hpc.workflow.chains.steps import labels_of
from pangeo_hpc.workflow.chains.store import Batch, ChainFolder
from tests.unit.workflow.test_notebooks import write

pytestmark = pytest.mark.timeout(400)

SITE = """\
name: here
scheduler: local
user_state: {state}/{{user}}
node_types:
  one: {{default: true, cores: 1, max_cores: 2, memory: 200 MiB, walltime: "00:10:00"}}
  labs: {{cores: 1, memory: 200 MiB, walltime: "00:10:00", uses: [notebook]}}
  pbs: {{scheduler: other, cores: 1, memory: 200 MiB, walltime: "00:10:00"}}
schedulers:
  local: {{type: local}}
  other: {{type: pbs}}
"""
NOTE = """\
import os, sys
from pathlib import Path
with open("log", "a") as file:
    file.write(" ".join([Path(os.environ["PANGEO_HPC_RUN"]).name, *sys.argv[1:]]) + "\\n")
if Path("broken").exists() and Path("broken").read_text() in sys.argv:
    sys.exit(3)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with scripts, in which we work, and a local queue of its own."""
    (tmp_path / "site.yaml").write_text(SITE.format(state=tmp_path / "state"))
    for name in ("prepare", "member", "figures"):
        (tmp_path / f"{name}.py").write_text(NOTE)
    monkeypatch.setenv("PANGEO_HPC_SITE", str(tmp_path / "site.yaml"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = sys.excepthook
    yield tmp_path
    sys.excepthook = before


def cmip(**changes: Any) -> Chain:
    """The chain of the tests: prepare, three members, figures."""
    chain = workflow.Chain("cmip6", runner=changes.pop("runner", run))
    prepare = chain.step("prepare.py")
    over = changes.pop("over", ["a", "b", "c"])
    members = chain.step("member.py", over=over, after=prepare, **changes)
    chain.step("figures.py", after=members, arguments=[1990])
    return chain


def lines(place: Path) -> list[str]:
    """What ran since the last look, sorted within what may run at the same time."""
    log = place / "log"
    found = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return found


def states(told: Any) -> list[str]:
    return [str(row.state) for row in told.rows]


def test_only_what_failed_or_changed_runs_again(place: Path) -> None:
    """The life of a chain: an item fails, is mended, nothing is left, then a script changes."""
    (place / "broken").write_text("b")
    chain = cmip()
    chain.submit()
    told = chain.wait(timeout=120)
    assert states(told) == ["completed", "completed", "failed", "completed", "cancelled"]
    assert not told.complete
    assert [row.run for row in told.failed] == ["cmip6.member.b", "cmip6.figures"]
    ran = lines(place)
    assert ran[0] == "cmip6.prepare"
    assert sorted(ran[1:]) == [f"cmip6.member.{item} {item}" for item in "abc"]
    array = {row.job.partition("_")[0] for row in told.rows[1:4] if row.job}
    assert len(array) == 1
    (place / "broken").unlink()
    # another process knows it all from the folder
    chain = cmip()
    assert [d.why for d in chain.plan().decisions.values()][:4] == [
        "complete",
        "complete",
        "failed",
        "complete",
    ]
    chain.submit()
    told = chain.wait(timeout=120)
    assert told.complete
    assert lines(place) == ["cmip6.member.b b", "cmip6.figures 1990"]
    assert [row.attempt for row in told.rows] == [1, 1, 2, 1, 2]
    assert states(chain.submit()) == ["completed"] * 5
    assert lines(place) == []
    (place / "member.py").write_text(f"{NOTE}# changed\n")
    chain.submit()
    assert chain.wait(timeout=120).complete
    assert sorted(lines(place)[:3]) == [f"cmip6.member.{item} {item}" for item in "abc"]
    # a changed item: only what is new, and what follows it
    chain = cmip(over=["a", "b", "d"])
    chain.submit()
    assert chain.wait(timeout=120).complete
    assert lines(place) == ["cmip6.member.d d", "cmip6.figures 1990"]


def test_an_item_that_stopped_in_time(place: Path) -> None:
    """75 is told as what it is; the next submission goes on with it, and what follows it."""
    (place / "member.py").write_text(NOTE.replace("sys.exit(3)", "sys.exit(75)"))
    (place / "broken").write_text("c")
    chain = cmip()
    chain.submit()
    told = chain.wait(timeout=120)
    assert told.rows[3].exit_code == 75
    assert str(told.rows[3].reason).startswith("stopped in time")
    (place / "broken").unlink()
    made = chain.plan().decisions
    assert [run for run, each in made.items() if each.submits] == [
        "cmip6.member.c",
        "cmip6.figures",
    ]
    assert not made["cmip6.member.c"].afresh


def test_elements_are_runs_as_all_others(place: Path, capsys: Any) -> None:
    """`runs show` of an item has its own log, exit code and job; the array's folder leads there."""
    from pangeo_hpc.cli.main import call

    (place / "broken").write_text("b")
    (place / "member.py").write_text(f"import sys\nprint('this is', sys.argv[1])\n{NOTE}")
    chain = cmip()
    chain.submit()
    told = {row.run: row for row in chain.wait(timeout=120).rows}
    assert call(["runs", "show", "cmip6.member.b", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    (attempt,) = shown["attempts"]
    assert attempt["exit_code"] == 3
    assert attempt["job"] == told["cmip6.member.b"].job
    assert Path(attempt["output"]).read_text() == "this is b\n"
    assert shown["arguments"] == ["b"]
    assert call(["submit", "prepare.py", "--name", "x", "--after", "cmip6.member.b"]) == 2
    assert "run cmip6.member.b did not succeed (failed" in capsys.readouterr().err
    for whole in ("cmip6.member", "cmip6"):
        assert call(["submit", "prepare.py", "--name", "x", "--after", whole]) == 2
        assert "run cmip6.member.b did not succeed (failed" in capsys.readouterr().err
    waits = ["submit", "prepare.py", "--name", "x", "--after", "cmip6.member.a,cmip6.prepare"]
    assert call([*waits, "--wait"]) == 0


def test_after_a_step(place: Path, capsys: Any) -> None:
    """A step of several items, or a whole chain, is waited for by one name: an array as a whole."""
    from pangeo_hpc.cli.main import call

    (place / "prepare.py").write_text(
        f"import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\n{NOTE}"
    )
    chain = cmip()
    chain.submit()
    for named, ids in (("cmip6.member", "2"), ("cmip6", "1,2,3"), ("cmip6.prepare", "1")):
        assert call(["submit", "figures.py", "--name", "x", "--after", named, "--dry-run"]) == 0
        assert f"#LOCAL --after={ids}\n" in capsys.readouterr().out
    assert call(["submit", "figures.py", "--name", "x", "--after", "cmip6.membr", "--dry-run"]) == 2
    (place / "go").touch()
    assert chain.wait(timeout=120).complete
    assert call(["submit", "figures.py", "--name", "x", "--after", "cmip6", "--dry-run"]) == 0
    assert "--after" not in capsys.readouterr().out


def test_everything_wrong_is_told_at_once(place: Path) -> None:
    """Names, circles, scripts, node types, limits, parameters: nothing is submitted."""
    write(place / "plain.ipynb", "x = 1")
    chain = workflow.Chain("wrong")
    chain.step("absent.py", after="membr")
    chain.step("member.py", node_type="larg", over=["a"])
    chain.step("prepare.py", cores=64, after="figures")
    chain.step("figures.py", after="prepare", node_type="labs")
    chain.step("plain.ipynb", parameters={"year": 1})
    chain.step("prepare.py", name="empty", over=[])
    chain.step("prepare.py", name="twice", over=["a", "a"])
    chain.step("prepare.py", name="twice")
    chain.step("prepare.py", name="elsewhere", node_type="pbs", after="member")
    chain.step("prepare.py", name="member.a")
    with pytest.raises(RequestRefused) as caught:
        chain.submit()
    told = [f"{problem.path}: {problem.text}" for problem in caught.value.problems]
    for words in (
        "twice: 2 steps have this name",
        "absent: follows 'membr', which is no step",
        ": steps follow one another in a circle: ",
        "is not there",
        "member: site here has no node type larg",
        "prepare.cores: ",
        "figures.node_type: ",
        "has no cell that takes parameters",
        "empty.over: there are no items",
        "twice.over: 2 items would be run wrong.twice.a",
        "member.a: shares run wrong.member.a with step member",
    ):
        assert [line for line in told if words in line], (words, told)
    assert not chain.folder.exists()
    assert not runs.home(chain._site, chain._person).exists()


def test_jobs_of_two_schedulers_cannot_follow(place: Path) -> None:
    """A scheduler knows only its own jobs."""
    chain = workflow.Chain("two")
    first = chain.step("prepare.py")
    chain.step("figures.py", node_type="pbs", after=first)
    (problem,) = chain.check()
    assert problem.text == "is a job of other and follows prepare, a job of local"


def test_an_empty_chain(place: Path) -> None:
    """A chain without steps, or with a name that no run can have, is refused."""
    with pytest.raises(RequestRefused, match="has no steps"):
        workflow.Chain("nothing").submit()
    chain = workflow.Chain("a/b")
    chain.step("prepare.py")
    with pytest.raises(RequestRefused, match="cannot be the name of a chain"):
        chain.submit()


def test_items_in_arguments_and_parameters(place: Path) -> None:
    """An item is the last argument, or takes its place; in a notebook it keeps its type."""
    from pangeo_hpc.workflow.chains.steps import works

    chain = workflow.Chain("c")
    step = chain.step("member.py", over=[1990], arguments=["--year={item}", "x"])
    assert [work.program.arguments for work in works("c", step)] == [("--year=1990", "x")]
    write(place / "fig.ipynb", "year = 1")
    step = chain.step("fig.ipynb", over=[1990, 1991], parameters={"year": "{item}", "k": "a"})
    assert [work.program.arguments for work in works("c", step)] == [
        ("year=1990", "k=a"),
        ("year=1991", "k=a"),
    ]
    step = chain.step("fig.ipynb", over=[{"year": 1990, "model": "m"}])
    (work,) = works("c", step)
    assert work.program.arguments == ("year=1990", "model=m")
    assert work.run == "c.fig.1990-m"
    step = chain.step("fig.ipynb", over=["r1"])
    assert works("c", step)[0].program.arguments == ("item=r1",)


def test_labels_are_names_and_stay() -> None:
    """Whatever an item's text is, its run has a name, and always the same one."""
    items = ["r1i1p1f1", "/data/tas 1.nc", "/data/tas 2.nc", "x" * 80, ""]
    labels = labels_of(items, 30)
    assert labels[0] == "r1i1p1f1"
    assert len(set(labels)) == len(items)
    assert all(runs.NAME.fullmatch(f"c.{label}") for label in labels)
    assert labels_of(list(reversed(items)), 30) == list(reversed(labels))


class Fails:
    """A runner that hands on all but some submissions."""

    def __init__(self, *broken: int, after: bool = False) -> None:
        self.broken, self.after, self.count = broken, after, 0

    def __call__(self, command: Command) -> Result:
        if "submit" in command.argv:
            self.count += 1
            if self.count in self.broken:
                if self.after:
                    run(command)
                    raise KeyboardInterrupt
                return Result(command.argv, 2, "", "the queue is full")
        return run(command)


def test_a_submission_that_fails_in_the_middle(place: Path) -> None:
    """What was submitted goes on and is known; the next call submits the rest and nothing twice."""
    chain = cmip(runner=Fails(2))
    with pytest.raises(PartlyDone, match="submitted so far: prepare; then: .*queue is full") as e:
        chain.submit()
    assert "goes on with the rest" in str(e.value.hint)
    told = chain.status()
    assert [row.state is None for row in told.rows] == [False, True, True, True, True]
    chain.submit()
    assert chain.wait(timeout=120).complete
    assert sorted(lines(place)) == sorted(
        ["cmip6.prepare", "cmip6.figures 1990", *(f"cmip6.member.{i} {i}" for i in "abc")]
    )


def test_the_first_submission_is_refused(place: Path) -> None:
    """If nothing was submitted, the scheduler's own error is told."""
    chain = cmip(runner=Fails(1))
    with pytest.raises(SubmitRefused, match="queue is full"):
        chain.submit()
    assert all(row.state is None for row in chain.status().rows)


@pytest.mark.parametrize("which", [1, 2, 3])
def test_ended_between_submission_and_its_note(place: Path, which: int) -> None:
    """Killed after the queue took a job and before we knew: the job is found, not made again."""
    with pytest.raises(KeyboardInterrupt):
        cmip(runner=Fails(which, after=True)).submit()
    chain = cmip()
    chain.submit()
    told = chain.wait(timeout=120)
    assert told.complete, str(told)
    assert [row.attempt for row in told.rows] == [1] * 5
    assert sorted(lines(place)) == sorted(
        ["cmip6.prepare", "cmip6.figures 1990", *(f"cmip6.member.{i} {i}" for i in "abc")]
    )


def test_ended_before_the_submission(place: Path) -> None:
    """A batch that was written down and never handed over came to naught."""
    chain = cmip()
    folder = ChainFolder(chain.folder)
    place_of = folder.new_batch("prepare")
    Batch(folder=place_of, step="prepare", entries=(), upstream={}, array=True).write()
    chain.submit()
    assert Batch.read(place_of).void
    assert chain.wait(timeout=120).complete


def test_an_unclear_submission_is_not_repeated(place: Path, monkeypatch: Any) -> None:
    """While the queue does not say whether it took a job, nothing is submitted."""
    with pytest.raises(KeyboardInterrupt):
        cmip(runner=Fails(1, after=True)).submit()
    monkeypatch.setattr("pangeo_hpc.workflow.chains.store.jobs.recover", lambda _s, job, **_: job)
    count = Fails()
    with pytest.raises(SubmitUnclear):
        cmip(runner=count).submit()
    assert count.count == 0
    told = cmip().status()
    assert [row.state is None for row in told.rows] == [False, True, True, True, True]


def test_two_submit_at_once(place: Path) -> None:
    """Whoever comes second finds all of it there; who only looks does not disturb."""
    count, looked = Fails(), []

    def runner(command: Command) -> Result:
        if "submit" in command.argv:
            looked.append(cmip().status())
        return count(command)

    chains = [cmip(runner=runner), cmip(runner=runner)]
    with ThreadPoolExecutor() as pool:
        told = list(pool.map(lambda chain: chain.submit(), chains))
    assert count.count == 3
    assert [row.job for row in told[0].rows] == [row.job for row in told[1].rows]
    # the queue does not have the first job yet when somebody looks
    assert {row.state for row in looked[0].rows} <= {None, JobState.UNKNOWN}
    assert chains[0].wait(timeout=120).complete
    assert len(lines(place)) == 5


def test_cancel_and_go_on(place: Path) -> None:
    """Cancelled whole, and submitted again it goes on."""
    (place / "prepare.py").write_text(f"import time\n{NOTE}time.sleep(600)\n")
    chain = cmip(over=["a", "b", "c", "d"])
    chain.submit()
    # one that is no longer an item is cancelled with the others
    chain = cmip()
    cancelled = chain.cancel()
    assert {"cmip6.prepare", "cmip6.member.a", "cmip6.member.d"} <= set(cancelled)
    told = chain.wait(timeout=120)
    assert set(states(told)) == {"cancelled"}
    assert chain.cancel() == []
    lines(place)
    (place / "prepare.py").write_text(NOTE)
    chain.submit()
    assert chain.wait(timeout=120).complete


def test_a_step_that_runs_and_changed(place: Path) -> None:
    """It is not pulled away under itself: the chain is refused, with what to do."""
    (place / "prepare.py").write_text("import time\nopen('on', 'w').close()\ntime.sleep(600)\n")
    chain = cmip()
    chain.submit()
    while not (place / "on").exists():
        os.sched_yield()
    (place / "prepare.py").write_text(NOTE)
    with pytest.raises(RequestRefused, match="runs, and its script") as caught:
        chain.submit()
    assert "chain.cancel()" in str(caught.value)
    chain.cancel()
    chain.wait(timeout=120)


def test_larger_than_an_array(place: Path, monkeypatch: Any) -> None:
    """More items than one array may have are several arrays, and all of them are waited for."""
    monkeypatch.setattr("pangeo_hpc.workflow.chains.submit.Submitter._most", lambda *_: 2)
    (place / "prepare.py").write_text(
        f"import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\n{NOTE}"
    )
    chain = cmip(over=["a", "b", "c", "d", "e"])
    told = chain.submit()
    members = [row.job for row in told.rows if row.step == "member"]
    assert [str(job).partition("_")[0] for job in members] == ["2", "2", "3", "3", "4"]
    home = runs.home(chain._site, chain._person)
    job = Job.read(runs.RunFolder(home / "cmip6.figures").attempt(1))
    assert "--after=2,3,4" in (job.folder / "job.sh").read_text()
    (place / "go").touch()
    assert chain.wait(timeout=120).complete
    assert lines(place)[-1] == "cmip6.figures 1990"


def test_status_as_text_and_json(place: Path) -> None:
    """A table for people, a document for programs, before anything is submitted too."""
    told = cmip().status()
    assert str(told).splitlines()[0].split() == ["STEP", "ITEM", "RUN", "STATE", "JOB", "REASON"]
    kept = json.loads(json.dumps(told.as_dict()))
    assert kept["format"] == 1
    assert [row["state"] for row in kept["runs"]] == [None] * 5
    assert told.ended
    assert not told.complete
    plan = cmip().plan()
    assert json.loads(json.dumps(plan.as_dict()))["runs"][0] == {
        "run": "cmip6.prepare",
        "action": "submit",
        "why": "new",
    }


def test_git_is_asked_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever number of items and attempts is submitted as one; each keeps what git said."""
    for words in (["init", "-q", "-b", "main"], ["add", "."], [*GIT_COMMIT, "-m", "1"]):
        subprocess.run(["git", *words], cwd=place, check=True)
    (place / "member.py").write_text(f"{NOTE}# changed\n")
    real = shutil.which("git")
    asked = place / "asked"
    (place / "bin").mkdir()
    (place / "bin/git").write_text(f'#!/bin/sh\necho "$@" >> {asked}\nexec {real} "$@"\n')
    (place / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}")
    chain = Chain("cmip6")
    members = chain.step("member.py", over=[f"r{n}" for n in range(5)])
    chain.step("figures.py", after=members)
    told = chain.submit()
    whole = [" ".join(line.split()) for line in asked.read_text().splitlines()]
    # of the repository once, and of each script whether it belongs to it
    assert sum(line.endswith("rev-parse --show-toplevel") for line in whole) == 1
    assert sum("status" in line for line in whole) == 1
    assert sum("ls-files" in line for line in whole) == 2
    assert len(whole) == 7
    for row in told.rows:
        attempt = run_folder(row.run).attempt(1)
        kept = json.loads((attempt / "submitted.json").read_text())["git"]
        assert (kept["branch"], kept["dirty"], kept["untracked"]) == ("main", 1, False)
        assert "+# changed" in (attempt / kept["diff"]).read_text()
    chain.cancel()
    asked.unlink()
    words = ["submit", "prepare.py", "--until-done", "--attempts", "4"]
    assert call(words) == 0
    assert len(asked.read_text().splitlines()) == 6
    assert call(["runs", "cancel", "prepare"]) == 0


GIT_COMMIT = ("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q")


def run_folder(name: str) -> runs.RunFolder:
    return runs.RunFolder(runs.home(load_site(), current_person()) / name)
