"""Chains on PBS, through programs that keep state: arrays, dependencies on them, and `--after`."""

from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc import workflow
from pangeo_hpc.cli.main import call
from pangeo_hpc.errors import PartlyDone
from pangeo_hpc.workflow import runs
from tests.programs.pbs_programs import install, tell

pytestmark = pytest.mark.timeout(400)

SITE = """\
name: there
scheduler: pbs
user_state: {folder}/state/{{user}}
schedulers:
  pbs: {{type: pbs, bin: {programs}}}
node_types:
  short: {{queue: short, cores: 1, memory: 1 GiB, walltime: "00:10:00"}}
"""
NOTE = """\
import sys
from pathlib import Path
if Path("broken").exists() and "b" in sys.argv:
    sys.exit(3)
print("done", *sys.argv[1:])
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PBS's programs, a site that names them, and a folder with scripts in which we work."""
    found = install(tmp_path / "pbs")
    (tmp_path / "site.yaml").write_text(SITE.format(folder=tmp_path, programs=found))
    for name in ("prepare", "member", "figures"):
        (tmp_path / f"{name}.py").write_text(NOTE)
    monkeypatch.setenv("PANGEO_HPC_SITE", str(tmp_path / "site.yaml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.excepthook", lambda *_: None)
    return found


def cmip() -> Any:
    chain = workflow.Chain("cmip6")
    prepare = chain.step("prepare.py")
    members = chain.step("member.py", over=["a", "b"], after=prepare)
    chain.step("figures.py", after=members)
    return chain


def script_of(chain: Any, run: str) -> str:
    home = runs.home(chain._site, chain._person)
    return (runs.RunFolder(home / run).attempt(1) / "job.sh").read_text()


def test_an_array_is_followed_whole(programs: Path, tmp_path: Path) -> None:
    """The items are one array, the last step waits for it; a failed item alone runs again."""
    (tmp_path / "broken").touch()
    tell(programs, paused=True)
    chain = cmip()
    told = chain.submit()
    assert [row.job for row in told.rows] == [
        "1.standin",
        "2[0].standin",
        "2[1].standin",
        "3.standin",
    ]
    assert "#PBS -W depend=afterok:2[].standin\n" in script_of(chain, "cmip6.figures")
    tell(programs)
    told = chain.wait(timeout=120)
    states = [str(row.state) for row in told.rows]
    assert states == ["completed", "completed", "failed", "cancelled"]
    assert str(told.rows[-1].reason).startswith("what it was to follow did not succeed")
    (tmp_path / "broken").unlink()
    cmip().submit()
    told = cmip().wait(timeout=120)
    assert told.complete, str(told)
    assert [row.attempt for row in told.rows] == [1, 1, 2, 2]
    home = runs.home(chain._site, chain._person)
    outputs = [runs.RunFolder(home / row.run).attempt(row.attempt or 0) for row in told.rows]
    assert [(path / "output.log").read_text() for path in outputs] == [
        "done\n",
        "done a\n",
        "done b\n",
        "done\n",
    ]


def test_after_a_run(programs: Path, capsys: Any) -> None:
    """`--after` names the job by its id; of an unknown one PBS is asked."""
    tell(programs, paused=True)
    assert call(["submit", "prepare.py"]) == 0
    capsys.readouterr()
    assert call(["submit", "figures.py", "--after", "prepare", "--dry-run"]) == 0
    assert "#PBS -W depend=afterok:1.standin\n" in capsys.readouterr().out
    assert call(["submit", "figures.py", "--after", "4711.standin"]) == 2
    assert "pbs knows no such job" in capsys.readouterr().err
    assert call(["submit", "figures.py", "--after", "1"]) == 0
    tell(programs)
    assert call(["runs", "wait", "figures"]) == 0


def test_refused_in_the_middle(programs: Path, monkeypatch: Any) -> None:
    """What the server took goes on; the next call submits the rest."""
    from pangeo_hpc.errors import SubmitRefused
    from pangeo_hpc.workflow.chains.submit import Submitter

    whole = Submitter._hand_over

    def refuse(self: Submitter, request: Any, place: Path) -> None:
        if request.array:
            raise SubmitRefused("qsub: would exceed queue's limit")
        whole(self, request, place)

    monkeypatch.setattr(Submitter, "_hand_over", refuse)
    with pytest.raises(PartlyDone, match="would exceed"):
        cmip().submit()
    monkeypatch.setattr(Submitter, "_hand_over", whole)
    cmip().submit()
    told = cmip().wait(timeout=120)
    assert told.complete, str(told)
    assert [row.attempt for row in told.rows] == [1, 2, 2, 1]
