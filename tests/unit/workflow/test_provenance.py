"""Each attempt keeps how it came about, also one that was killed, and no secret with it."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from pangeo_hpc.run import Command, Result, run
from pangeo_hpc.workflow.provenance import environment as provenance_environment
from pangeo_hpc.workflow.provenance import record as provenance
from pangeo_hpc.workflow.provenance import repository as provenance_git
from pangeo_hpc.workflow.provenance.inputs import describe, measure
from pangeo_hpc.workflow.provenance.record import Notes
from tests.unit.workflow.conftest import Begin
from tests.unit.workflow.told import SCRIPT, UNITS, Here, kill_holder, until


@pytest.fixture
def here(tmp_path: Path) -> Here:
    found = Here(tmp_path)
    found.put_input()
    return found


def test_what_two_attempts_keep(here: Here) -> None:
    """Script, site, arguments, repository, inputs, times and the end; packages once."""
    here.commit()
    here.script.write_text(SCRIPT + "# not committed\n")
    here("run", "roots.py", "--", "out.zarr", "0")
    here("run", "roots.py", "--", "out.zarr", "0")
    folder = here.run("roots")
    assert len(folder.attempts()) == 2
    place = folder.attempt(1)
    made = json.loads((place / "provenance.json").read_text())
    assert (place / made["script"]["kept"]).read_text() == here.script.read_text()
    assert json.loads((place / "site.json").read_text())["name"] == "here"
    assert made["arguments"] == ["out.zarr", "0"]
    assert (made["git"]["dirty"], made["git"]["untracked"]) == (1, False)
    assert "+# not committed" in (place / made["git"]["diff"]).read_text()
    (entry,) = made["inputs"]
    assert entry["path"].endswith("/tas.zarr")
    assert (entry["bytes"] > 100, entry["whole"], len(entry["identity"])) == (True, True, 64)
    assert made["began"] <= made["first_unit"] <= made["ended"]
    assert (made["exit_code"], made["why"]) == (0, None)
    assert made["outputs"][0]["complete"]
    (packages,) = (folder.path / "environments").iterdir()
    assert f"sha256:{packages.stem}" == made["environment"]["digest"]
    assert any(line.startswith("xarray==") for line in packages.read_text().splitlines())
    for path in folder.path.rglob("*"):
        if path.is_file():
            assert b"do-not-keep-me" not in path.read_bytes(), path
    assert folder.path.stat().st_mode & 0o077 == 0


def test_the_output_tells_where_it_comes_from(here: Here) -> None:
    """Its attributes have the script, arguments, environment, site, versions, commit and folder."""
    here.commit()
    here("run", "roots.py", "--", "out.zarr", "0")
    told = json.loads((here.scratch / "out.zarr" / "zarr.json").read_text())["attributes"]
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=here.project, capture_output=True, text=True, check=True
    ).stdout
    assert told["pangeo_hpc_git"].startswith(head[:12])
    assert told["pangeo_hpc_folder"] == str(here.run("roots").path)
    made = json.loads((here.run("roots").attempt(1) / "provenance.json").read_text())
    assert made["environment"]["digest"] in told["pangeo_hpc_environment"]
    wanted = {"script", "arguments", "site", "versions", "run", "user"}
    assert {f"pangeo_hpc_{name}" for name in wanted} <= told.keys()


@pytest.mark.slow
def test_a_killed_attempt_has_its_record(here: Here) -> None:
    """What its Dask workers cost up to then, its inputs and its memory are there."""
    with here.start("run", "roots.py", "--", "out.zarr", "0.1", "dask", "stuck") as process:
        place = here.folder / "state"
        until(lambda: list(place.glob("*/runs/here/roots/attempts/0001/cluster.json")))
        folder = here.run("roots")
        costs = folder.attempt(1) / "cluster.json"

        def busy() -> float:
            return float(json.loads(costs.read_text())["total"]["core_hours"]["busy"])

        until(lambda: busy() > 0 and list(folder.path.glob("ledger/*/*/unit-*.json")))
        kill_holder(folder)
        process.communicate()
    assert process.returncode == 137
    told = here.json("runs", "show", "roots")
    (attempt,) = told["attempts"]
    assert attempt["why"] == "failed, exit code 137 (SIGKILL)"
    hours = attempt["core_hours"]
    assert 0 < hours["busy"] < hours["requested"]
    assert told["provenance"]["inputs"]
    assert "ended" not in told["provenance"]
    assert attempt["memory_peak"] > 10_000_000
    assert 0 < told["outputs"][0]["done"] < UNITS
    assert told["outputs"][0]["state"] == "unfinished"


def test_a_requeued_attempt_keeps_its_first_start(attempt: Begin, tmp_path: Path) -> None:
    """Two starts of one attempt have a record each, the later one in front."""
    place = tmp_path / "0001"
    place.mkdir()
    for _ in range(2):
        with attempt() as working:
            notes = Notes(working, place, None, [], None, time.monotonic())
            notes.begin()
            (place / "cluster.json").write_text("{}")
    first, last = provenance.starts(place)
    assert provenance.read(first, "cluster.json") == {}
    holders = [(provenance.read(each) or {})["holder"] for each in (first, last)]
    assert holders == [1, 2]


def test_an_error_before_the_script_computes(here: Here) -> None:
    """An attempt whose Dask cannot start has its end written down, too."""
    here.script.write_text(SCRIPT.replace('cluster="dask" in sys.argv', 'node_type="none"'))
    with here.start("run", "roots.py", "--", "out.zarr", "0") as process:
        process.communicate()
    made = json.loads((here.run("roots").attempt(1) / "provenance.json").read_text())
    assert made["exit_code"] == process.returncode == 2
    assert made["why"]["error"] == "UnknownName"


def test_an_error_is_written_down(here: Here) -> None:
    """Its class and its words stand in `runs show`, beside the exit code."""
    here.script.write_text(
        SCRIPT.replace("ds = xr", 'raise ValueError("no such month")\n    ds = xr')
    )
    here.environment["PYTHONWARNINGS"] = "ignore"
    with here.start("run", "roots.py", "--", "out.zarr", "0") as process:
        process.communicate()
    told = here.json("runs", "show", "roots")
    assert told["why"] == "failed, exit code 1: ValueError: no such month"
    assert here.json("runs", "list")["runs"][0]["attempts"] == 1


def test_a_repository_in_words(tmp_path: Path) -> None:
    """Clean, changed, unknown to git, and no repository at all."""
    script = tmp_path / "a.py"
    script.write_text("1\n")
    assert provenance_git.state(script) is None
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=tmp_path, check=True)
    words = provenance_git.in_words(provenance_git.state(script))
    assert words == "no commit yet (the script is not in it)"
    subprocess.run(["git", "add", "a.py"], cwd=tmp_path, check=True)
    commit = ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "1"]
    subprocess.run(["git", *commit], cwd=tmp_path, check=True)
    clean = provenance_git.state(script)
    assert clean is not None
    assert provenance_git.in_words(clean) == f"{clean['commit'][:12]} on main"
    script.write_text("2\n" * 1_000_000)
    kept = provenance_git.record(script, tmp_path)
    assert kept is not None
    assert (kept["dirty"], kept["diff_cut"]) == (1, True)
    assert (tmp_path / kept["diff"]).stat().st_size == provenance_git.MOST


def test_without_git_there_is_no_repository(tmp_path: Path) -> None:
    """A node that has no git keeps nobody from computing."""

    def missing(command: Command) -> Result:
        return run(Command(("no-such-git", *command.argv[1:])))

    assert provenance_git.state(tmp_path / "a.py", runner=missing) is None


def test_a_repository_starts_no_program_of_its_own(tmp_path: Path) -> None:
    """What its configuration names as a diff or a monitor is not run."""
    script = tmp_path / "a.py"
    script.write_text("1\n")
    proof = tmp_path / "proof"
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "a.py"], cwd=tmp_path, check=True)
    commit = ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "1"]
    subprocess.run(["git", *commit], cwd=tmp_path, check=True)
    for key in ("diff.external", "core.fsmonitor", "core.pager"):
        subprocess.run(["git", "config", key, f"touch {proof};"], cwd=tmp_path, check=True)
    script.write_text("2\n")
    found = provenance_git.state(script)
    assert found is not None
    assert "+2" in found["diff"]
    assert not proof.exists()


def test_inputs_are_measured(tmp_path: Path) -> None:
    """A file, a store, a URL, something that is gone, and one too large to be counted."""
    (tmp_path / "a.nc").write_bytes(b"x" * 7)
    store = tmp_path / "b.zarr" / "c"
    store.mkdir(parents=True)
    for number in range(3):
        (store / str(number)).write_bytes(b"x" * 5)
    assert describe(str(tmp_path / "a.nc"), "i")["bytes"] == 7
    told = describe(str(tmp_path / "b.zarr"), "i")
    assert (told["bytes"], told["files"], told["whole"]) == (15, 3, True)
    assert describe("s3://bucket/a", "a URL") == {"path": "s3://bucket/a", "identity": "a URL"}
    shutil.rmtree(store)
    assert describe(str(store), "i")["error"] == "No such file or directory"
    store.mkdir()
    (store / "0").write_bytes(b"x")
    ticks = iter([0.0, 100.0])
    assert measure(tmp_path / "b.zarr", clock=lambda: next(ticks))["whole"] is False


def test_package_lists_are_compared(tmp_path: Path) -> None:
    """What went and what came; nothing where a list is not there."""
    (tmp_path / "a").write_text("numpy==1\nzarr==3\n")
    (tmp_path / "b").write_text("numpy==2\nzarr==3\n")
    changed = provenance_environment.changes(tmp_path / "a", tmp_path / "b")
    assert changed == ["- numpy==1", "+ numpy==2"]
    assert provenance_environment.changes(tmp_path / "a", tmp_path / "c") == []
